/**
 * What one run costs: time from the first connection to an empty queue, processor time and memory of every process of
 * the system that is measured, and what a client waits for.
 *
 * @module
 */
import type { Load } from "./cases.ts";
import { Probe, send } from "./clients.ts";
import type { ProbeResult } from "./latency_probe.ts";
import { cpuTime, type DaemonSizes, MemoryWatch } from "./processes.ts";

/** A mail system that runs. */
export interface System {
  readonly name: "Postfix" | "Postern";
  readonly port: number;
  /** Numbers of all its processes now; the first one reaps the others. */
  pids(): number[];
  /** Directories through which a message passes between its arrival and its end, in this order. */
  readonly queues: readonly string[];
  /** Lines of its log that say that a message was delivered to a recipient. */
  delivered(): number;
  /** Those of them that say that the connection had been used before. */
  reused(): number;
}

/** What was measured. */
export interface Figures {
  /** Messages of the run, those of the probe included. */
  readonly messages: number;
  /** Messages per second from the start to the last one's end. */
  readonly rate: number;
  /** Messages per second as the client sees it. */
  readonly accepted: number;
  /** Processor time of the system's processes per message, milliseconds; the client's is not in it. */
  readonly cpu: number;
  /** Largest sum of resident sizes, MiB; pages that processes share count for each of them. */
  readonly rss: number;
  /** The same where a shared page counts as its share. */
  readonly pss: number;
  /** What the probe's messages waited for. */
  readonly probe: ProbeResult;
  /** Share of the deliveries that went over a connection that had been used before. */
  readonly reused: number;
  /** Largest process of each watched daemon, MiB. */
  readonly daemons: DaemonSizes;
}

/** How often the queue is looked at, milliseconds. */
const QUEUE_INTERVAL = 10;
/** What messages may take to leave the queue after the last one was accepted, milliseconds. */
const DRAIN_LIMIT = 300_000;
/** What the log's last lines may be late, milliseconds. */
const LOG_LIMIT = 5000;

/**
 * Sends the load through the system and gives the figures; throws when a message did not come through, and when
 * `signal` says that it shall end.
 */
export async function measure(
  system: System,
  load: Load,
  daemons: readonly string[],
  signal: AbortSignal,
): Promise<Figures> {
  await using probe = await Probe.start(system.port, load);
  const delivered = system.delivered();
  const reused = system.reused();
  const cpu = cpuTime(system.pids());
  using memory = new MemoryWatch(() => system.pids(), daemons);
  const started = performance.now();
  const sent = await send(system.port, load, probe, signal);
  await drained(system, signal);
  const seconds = (performance.now() - started) / 1000;
  const used = cpuTime(system.pids()) - cpu;
  memory.look(true);
  await untilDelivered(system, delivered + sent.messages * load.recipients);
  return {
    messages: sent.messages,
    rate: sent.messages / seconds,
    accepted: sent.messages / sent.seconds,
    cpu: (used / sent.messages) * 1000,
    rss: memory.resident,
    pss: memory.proportional,
    probe: sent.probe,
    reused: (system.reused() - reused) / (system.delivered() - delivered),
    daemons: memory.daemons,
  };
}

async function drained(system: System, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + DRAIN_LIMIT;
  while (!system.queues.every(isEmpty)) {
    signal.throwIfAborted();
    if (Date.now() > deadline) {
      throw new Error(`Cannot measure ${system.name}: its queue does not become empty`);
    }
    await pause(QUEUE_INTERVAL);
  }
}

/** The log is written by another process: its last lines may come a little later than the queue is empty. */
async function untilDelivered(system: System, wanted: number): Promise<void> {
  const deadline = Date.now() + LOG_LIMIT;
  while (system.delivered() < wanted) {
    if (Date.now() > deadline) {
      throw new Error(`Cannot measure ${system.name}: ${wanted - system.delivered()} deliveries are missing`);
    }
    await pause(50);
  }
}

/** True when no file is in the directory; what waits in deferred/ is in subdirectories. */
function isEmpty(directory: string): boolean {
  for (const { isFile } of Deno.readDirSync(directory)) if (isFile) return false;
  return true;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
