/**
 * What a daemon gets from its skeleton: its settings, its log, clients of the services that it may reach, timers.
 *
 * @module
 */
import { fatal, type Logger, makeLogger, panic, sandboxRefusal } from "../log/log.ts";
import type { Settings } from "../config/parameters.ts";
import type { PipeAttributes } from "../config/pipe_attributes.ts";
import { IpcClient } from "../ipc/client.ts";
import type { Protocol } from "../ipc/protocol.ts";
import { MAILBOX } from "../proto/protocols.ts";
import type { Channel } from "../safe/channel.ts";
import { isSandboxRefusal } from "../safe/error.ts";
import { type ClientTlsMaterial, NO_MATERIAL } from "../tls/client_material.ts";
import { exitProcess, inputLines, onUncaughtError, writeOutputText } from "../safe/stdio.ts";
import {
  type Boot,
  type Control,
  formatLine,
  HEARTBEAT_INTERVAL,
  type HelperRequest,
  parseControl,
  type Status,
} from "./boot.ts";
import type { Service } from "./service.ts";
import type { ServerTlsMaterial } from "../tls/server_material.ts";

/**
 * Seconds that a helper may take to start and arrive. Master starts one after the other, and a machine that is busy
 * takes seconds for each; that one cannot be started master says at once.
 */
const HELPER_START_TIMEOUT = 120;
/** Longest token line that a helper's connection begins with, bytes. */
const TOKEN_LIMIT = 64;

/** A daemon's view of the world. */
export interface Context<S extends Service> {
  readonly settings: Settings<S["parameters"][number]>;
  /** The settings while clients come faster than they can be served; the same where nothing depends on that. */
  readonly stressed: Settings<S["parameters"][number]>;
  /** Its clients are handed over by postscreen. */
  readonly passed: boolean;
  readonly log: Logger;
  /** Name in master.toml. */
  readonly serviceName: string;
  readonly hostName: string;
  /** Boot id of the system. */
  readonly bootId: string;
  /** What cleanup proves itself to qmgr with; empty for all others. */
  readonly queueKey: string;
  /** What a daemon that opens TLS connections has for it. */
  readonly clientTls: ClientTlsMaterial;
  /** Of a pipe agent: its program and how that wants its mail. */
  readonly pipe: PipeAttributes | undefined;
  /** Services that serve the delivery protocol. */
  readonly transports: readonly string[];
  /** Where a parameter that holds rules is set, "FILE:LINE", or "default". */
  origin(parameter: string): string;
  /** Keys and certificates, where the daemon terminates TLS and TLS is on. */
  readonly tls: ServerTlsMaterial | undefined;
  /** A client of a service that the declaration names. The same client for the same service. */
  client<P extends Protocol>(protocol: P, service: string): IpcClient<P>;
  /** True when the service runs here and may be reached. */
  reaches(service: string): boolean;
  /** Path of the service's socket, for those that speak no internal protocol on it. */
  socketOf(service: string): string | undefined;
  /** Runs `work` every so many seconds; an error in it is fatal. */
  every(seconds: number, work: () => void | Promise<void>): void;
  /** Runs `work` when master's wake-up timer for the service fires. */
  onWakeup(work: () => void | Promise<void>): void;
  /** Runs `work` whenever all processes of the service are full. */
  onStress(work: () => void): void;
  /** The process keeps counts: it is not replaced after max_use requests, and is idle so many seconds before it ends. */
  keepCounts(seconds: number): void;
  /** Asks master for a helper process; throws with master's reason. */
  startHelper(task: HelperRequest): Promise<IpcClient<typeof MAILBOX>>;
  /** Ends the process after an error that nothing here can mend. */
  fatal(why: string): never;
  /** Reports an error of a piece of work that ran on its own; the sandbox's refusals are named as such. */
  trouble(what: string, error: unknown): void;
  /** Runs `work` when the process is to end, and ends it when that is done. */
  onRetire(work: () => Promise<void>): void;
  /** Runs `work` before the process ends because master is gone or the mail system stops; it has little time. */
  onEnd(work: () => Promise<void>): void;
  /** Ends the process because it keeps state that no longer fits, when its work is done. */
  retire(): void;
}

/** The process's side of the conversation with master, and the context made from it. */
export class Process<S extends Service> implements Context<S> {
  readonly boot: Boot;
  readonly log: Logger;
  readonly settings: Settings<S["parameters"][number]>;
  readonly stressed: Settings<S["parameters"][number]>;
  readonly passed: boolean;
  readonly serviceName: string;
  readonly hostName: string;
  readonly bootId: string;
  readonly queueKey: string;
  readonly clientTls: ClientTlsMaterial;
  readonly pipe: PipeAttributes | undefined;
  readonly transports: readonly string[];
  /** Requests after which it is replaced, 0 for never, and seconds without work after which it ends. */
  maxUse: number;
  maxIdle: number;
  readonly #onStress: (() => void)[] = [];
  readonly tls: ServerTlsMaterial | undefined;
  readonly #clients = new Map<string, IpcClient<Protocol>>();
  readonly #wakeups: (() => void | Promise<void>)[] = [];
  readonly #helpers = new Map<
    string,
    { resolve: (c: IpcClient<typeof MAILBOX>) => void; reject: (e: Error) => void }
  >();
  readonly #lastWork: (() => Promise<void>)[] = [];
  readonly #endWork: (() => Promise<void>)[] = [];
  #nextToken = 1;
  #onRetire: (() => void) | undefined;
  #retireAsked = false;

  constructor(command: string, boot: Boot) {
    this.boot = boot;
    this.settings = Object.freeze({ ...boot.settings }) as Settings<S["parameters"][number]>;
    this.stressed = Object.freeze({ ...boot.settings, ...boot.stressed }) as Settings<
      S["parameters"][number]
    >;
    this.passed = boot.passed === true;
    this.maxUse = boot.maxUse;
    this.maxIdle = boot.maxIdle;
    this.serviceName = boot.service;
    this.hostName = boot.log.hostName;
    this.bootId = boot.bootId;
    this.queueKey = boot.queueKey ?? "";
    this.clientTls = boot.clientTls ?? NO_MATERIAL;
    this.pipe = boot.pipe;
    this.transports = boot.transports;
    this.tls = boot.tls;
    const program = boot.service === command ? command : programName(boot.service, command);
    this.log = makeLogger({ ...boot.log, program });
    onUncaughtError((error) => this.panic(error));
  }

  /** Ends the process after an error that is a fault of ours, or a refusal of the sandbox. */
  panic(error: unknown): never {
    if (isSandboxRefusal(error)) this.#security(error);
    return panic(this.log, error);
  }

  #security(error: unknown): void {
    const text = sandboxRefusal(error);
    this.log.warning(text);
    this.tell({ word: "security", text });
  }

  client<P extends Protocol>(protocol: P, service: string): IpcClient<P> {
    const known = this.#clients.get(service);
    if (known !== undefined) return known as unknown as IpcClient<P>;
    const path = this.boot.sockets[service];
    if (path === undefined) fatal(this.log, `service "${service}" is not in master.toml`);
    const client = new IpcClient(protocol, path);
    this.#clients.set(service, client as unknown as IpcClient<Protocol>);
    return client;
  }

  origin(parameter: string): string {
    return this.boot.places?.[parameter] ?? "default";
  }

  reaches(service: string): boolean {
    return this.boot.sockets[service] !== undefined;
  }

  socketOf(service: string): string | undefined {
    return this.boot.sockets[service];
  }

  every(seconds: number, work: () => void | Promise<void>): void {
    setInterval(() => this.#run(work), seconds * 1000);
  }

  onWakeup(work: () => void | Promise<void>): void {
    this.#wakeups.push(work);
  }

  onStress(work: () => void): void {
    this.#onStress.push(work);
  }

  keepCounts(seconds: number): void {
    this.maxUse = 0;
    this.maxIdle = Math.max(this.maxIdle, seconds);
  }

  fatal(why: string): never {
    return fatal(this.log, why);
  }

  trouble(what: string, error: unknown): void {
    if (isSandboxRefusal(error)) this.#security(error);
    else this.log.warning(`${what}: ${error instanceof Error ? error.message : String(error)}`);
  }

  onRetire(work: () => Promise<void>): void {
    this.#lastWork.push(work);
  }

  /** What the daemon still has to do before the process ends. */
  async lastWork(): Promise<void> {
    await Promise.all(this.#lastWork.map((work) => work()));
  }

  onEnd(work: () => Promise<void>): void {
    this.#endWork.push(work);
  }

  retire(): void {
    this.#retireAsked = true;
    this.#onRetire?.();
  }

  startHelper(task: HelperRequest): Promise<IpcClient<typeof MAILBOX>> {
    const token = String(this.#nextToken++);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#helpers.delete(token);
        reject(new Error("Cannot start mailbox helper: it did not arrive in time"));
      }, HELPER_START_TIMEOUT * 1000);
      this.#helpers.set(token, {
        resolve: (client) => (clearTimeout(timer), resolve(client)),
        reject: (error) => (clearTimeout(timer), reject(error)),
      });
      this.tell({ word: "helper", token, task });
    });
  }

  /** Takes a connection on the helper listener: a line with the token from master, then the helper's greeting. */
  acceptHelper(channel: Channel): void {
    let early = new Uint8Array(0);
    channel.start({
      closed: () => {},
      data: (bytes) => {
        const all = new Uint8Array(early.length + bytes.length);
        all.set(early);
        all.set(bytes, early.length);
        early = all;
        const end = early.indexOf(0x0a);
        if (end < 0 && early.length <= TOKEN_LIMIT) return;
        const token = String.fromCharCode(...early.subarray(0, Math.max(0, Math.min(end, TOKEN_LIMIT))));
        const waiting = this.#helpers.get(token);
        this.#helpers.delete(token);
        if (waiting === undefined || end + 1 !== early.length) {
          this.log.warning("mailbox helper arrived that nobody waits for");
          return channel.destroy();
        }
        waiting.resolve(IpcClient.onChannel(MAILBOX, channel));
      },
    });
  }

  /** Sends a status line to master. */
  tell(status: Status): void {
    // Nobody reads any more: master is gone, and end-of-file on standard input says the same.
    writeOutputText(formatLine(status));
  }

  /** Starts signs of life, listens to master, and calls `retire` when it says so or is gone. */
  start(count: () => { busy: number; used: number }, retire: () => void): void {
    this.#onRetire = retire;
    this.tell({ word: "ready" });
    setInterval(() => this.tell({ word: "alive", ...count() }), HEARTBEAT_INTERVAL * 1000);
    if (this.#retireAsked) retire();
  }

  /** Reads control lines until master is gone. */
  async listen(lines: AsyncIterator<string>): Promise<void> {
    for (let next = await lines.next(); !next.done; next = await lines.next()) {
      const control = parseControl(next.value);
      if (control === undefined) fatal(this.log, "control line from master is malformed");
      this.#obey(control);
    }
    // End-of-file on standard input: master is gone. No child survives it; what is unfinished is done again.
    await Promise.all(this.#endWork.map((work) => work()));
    this.log.flush();
    exitProcess(0);
  }

  #obey(control: Control): void {
    switch (control.word) {
      case "retire":
        return this.retire();
      case "stress":
        for (const work of this.#onStress) work();
        return;
      case "wakeup":
        for (const work of this.#wakeups) this.#run(work);
        return;
      case "helper": {
        if (control.why === "") return; // started: its connection settles it
        const waiting = this.#helpers.get(control.token);
        this.#helpers.delete(control.token);
        waiting?.reject(new Error(control.why));
      }
    }
  }

  #run(work: () => void | Promise<void>): void {
    try {
      work()?.catch((error) => this.panic(error));
    } catch (error) {
      this.panic(error);
    }
  }
}

/** Postfix logs the service name with the program where they differ, as "postfix/relay/smtp". */
function programName(service: string, command: string): string {
  const plain = service.split(":").at(-1) ?? service;
  const port = plain.length > 0 && [...plain].every((digit) => digit >= "0" && digit <= "9");
  return port || service === "rewrite" || service === "mailbox" || service === "program"
    ? command
    : commandAliases.includes(service)
    ? service
    : `${service}/${command}`;
}

/** Services that are one program under several names and log as themselves. */
const commandAliases: readonly string[] = ["bounce", "defer", "trace", "error", "retry", "smtp", "lmtp"];

/** Reads the configuration from standard input and makes the process's context; goes on listening to master. */
export async function bootProcess<S extends Service>(service: S): Promise<Process<S>> {
  const lines = inputLines();
  const first = await lines.next();
  if (first.done) exitProcess(0);
  const process = new Process<S>(service.command, JSON.parse(first.value) as Boot);
  process.listen(lines).catch((error) => process.panic(error));
  return process;
}
