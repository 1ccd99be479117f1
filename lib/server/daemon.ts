/**
 * The skeletons that daemons run on: accept loops, use and idle limits, signs of life, retirement, exit. A daemon
 * writes only what it does with one request or one session.
 *
 * @module
 */
import { type Handler, IpcServer } from "../ipc/server.ts";
import { CodecError } from "../ipc/codec.ts";
import type { Protocol } from "../ipc/protocol.ts";
import { type Channel, inheritedChannel, Listener } from "../safe/channel.ts";
import { exitProcess } from "../safe/stdio.ts";
import { LISTENER } from "./boot.ts";
import { bootProcess, type Context, type Process } from "./context.ts";
import type { Service } from "./service.ts";

/** Connections from other daemons that one process takes at once. */
const CONNECTION_LIMIT = 1000;
/** How often idleness and use are looked at, milliseconds. */
const HOUSEKEEPING = 1000;
/** Seconds that a retired process gives its unfinished work. */
const RETIREMENT_LIMIT = 3600;

/** Serves an internal protocol on the inherited listener until it is retired. */
export async function runIpcDaemon<const S extends Service, P extends Protocol>(
  service: S,
  protocol: P,
  start: (context: Context<S>) => Handler<P> | Promise<Handler<P>>,
): Promise<void> {
  const process = await bootProcess(service);
  const server = await guarded(process, async () => makeServer(process, protocol, await start(process)));
  const failed = (why: string) => process.log.warning(`accept: ${why}`);
  const listeners = listenOnAll(process, CONNECTION_LIMIT, (channel) => server.accept(channel));
  if (service.startsHelpers) {
    const descriptor = LISTENER + process.boot.listeners;
    listeners.push(
      new Listener(descriptor, CONNECTION_LIMIT, (channel) => process.acceptHelper(channel), failed),
    );
  }
  keepHouse(process, service, {
    busy: () => server.busy,
    used: () => server.used,
    stopAccepting: () => closeAll(listeners),
    finished: () => server.retire(),
  });
}

/** Serves an internal protocol on the one connection that was inherited, and ends with it. */
export async function runHelperDaemon<const S extends Service, P extends Protocol>(
  service: S,
  protocol: P,
  start: (context: Context<S>, process: Process<S>) => Handler<P> | Promise<Handler<P>>,
): Promise<void> {
  const process = await bootProcess(service);
  const server = await guarded(
    process,
    async () => makeServer(process, protocol, await start(process, process)),
  );
  server.accept(inheritedChannel(LISTENER));
  keepHouse(process, service, {
    busy: () => server.busy,
    used: () => server.used,
    stopAccepting: () => {},
    finished: () => server.retire(),
  });
  await server.retireWhenAlone();
  await process.lastWork();
  process.log.flush();
  exitProcess(0);
}

/** What a stream daemon gives its skeleton. */
export interface StreamService {
  /** Takes a client's connection; `done` must be called once when the session is over. */
  session(channel: Channel, done: () => void): void;
  /** Sessions at once in this process; more clients wait in the system's queue. */
  readonly sessionLimit: number;
}

/** Serves network clients on the inherited listener until it is retired; sessions under way are finished. */
export async function runStreamDaemon<const S extends Service>(
  service: S,
  start: (context: Context<S>, process: Process<S>) => StreamService | Promise<StreamService>,
): Promise<void> {
  const process = await bootProcess(service);
  const stream = await guarded(process, async () => await start(process, process));
  let busy = 0;
  let used = 0;
  let wake: (() => void) | undefined;
  const listeners = listenOnAll(process, stream.sessionLimit, (channel) => {
    busy++;
    used++;
    let open = true;
    stream.session(channel, () => {
      if (!open) return;
      open = false;
      busy--;
      if (busy === 0) wake?.();
    });
  });
  keepHouse(process, service, {
    busy: () => busy,
    used: () => used,
    stopAccepting: () => closeAll(listeners),
    finished: () => new Promise((resolve) => busy === 0 ? resolve() : wake = resolve),
  });
}

/** Accepts on every listening socket that was inherited. */
function listenOnAll<S extends Service>(
  process: Process<S>,
  most: number,
  accept: (channel: Channel) => void,
): Listener[] {
  const failed = (why: string) => process.log.warning(`accept: ${why}`);
  return Array.from(
    { length: process.boot.listeners },
    (_, i) => new Listener(LISTENER + i, most, accept, failed),
  );
}

function closeAll(listeners: readonly Listener[]): void {
  for (const listener of listeners) listener.close();
}

function makeServer<S extends Service, P extends Protocol>(
  process: Process<S>,
  protocol: P,
  handler: Handler<P>,
): IpcServer<P> {
  return new IpcServer(protocol, handler, {
    trouble: (why, error) => {
      // A peer that breaks the protocol loses its connection; an error of ours ends the process.
      if (error instanceof CodecError) process.log.warning(`${process.serviceName} socket: ${why}`);
      else process.panic(error);
    },
  });
}

/** Start-up errors end the process with a line that says what is wrong. */
async function guarded<S extends Service, T>(process: Process<S>, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    return process.panic(error);
  }
}

interface House {
  busy(): number;
  used(): number;
  stopAccepting(): void;
  /** Resolves when the last client has gone. */
  finished(): Promise<void>;
}

/** Watches use and idleness, and retires the process when they or master say so. */
function keepHouse<S extends Service>(process: Process<S>, service: S, house: House): void {
  let retiring = false;
  let idleSince = performance.now();
  let lastUsed = 0;
  const retire = () => {
    if (retiring) return;
    retiring = true;
    house.stopAccepting();
    process.tell({ word: "retiring" });
    const end = () => {
      process.log.flush();
      exitProcess(0);
    };
    setTimeout(end, RETIREMENT_LIMIT * 1000);
    Promise.all([house.finished(), process.lastWork()]).then(end, (error) => process.panic(error));
  };
  // A process that keeps state between requests (qmgr) gains nothing from being replaced.
  const replaceable = service.endsWhenIdle || service.skeleton === "stream";
  const look = () => {
    const used = house.used();
    const { maxUse, maxIdle } = process;
    if (house.busy() > 0 || used !== lastUsed) idleSince = performance.now();
    lastUsed = used;
    if (maxUse > 0 && used >= maxUse) retire();
    if (service.endsWhenIdle && maxIdle > 0 && performance.now() - idleSince >= maxIdle * 1000) retire();
  };
  // A hundred idle helpers that wake up each second would be load.
  if (replaceable) setInterval(look, HOUSEKEEPING);
  process.start(() => ({ busy: house.busy(), used: house.used() }), retire);
}
