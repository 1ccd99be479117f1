/**
 * What one run costs: time from the first connection to an empty queue, processor time and memory of every process of
 * the system that is measured. Read from Linux's /proc.
 *
 * @module
 */

/** A mail system that runs and drops what it delivers. */
export interface System {
  readonly name: string;
  readonly port: number;
  /** Numbers of all its processes now; the first one reaps the others. */
  pids(): number[];
  /** Directories through which a message passes between its arrival and its end. */
  readonly queues: readonly string[];
  /** Lines of its log that say that a message was delivered. */
  delivered(): number;
}

/** What is sent. */
export interface Load {
  readonly messages: number;
  readonly sessions: number;
  /** Bytes of a message's content. */
  readonly length: number;
}

/** What was measured. */
export interface Figures {
  /** Messages per second from the start to the last one's end. */
  readonly rate: number;
  /** Messages per second as the client sees it. */
  readonly accepted: number;
  /** Processor time of the system's processes per message, milliseconds; the client's is not in it. */
  readonly cpu: number;
  /** Largest sum of resident sizes, MiB; pages that processes share count for each of them. */
  readonly memory: number;
}

const DEBIANS_SOURCE = "/usr/sbin/smtp-source";
const MAIN = new URL("../main.ts", import.meta.url).pathname;
/** How often memory is looked at, milliseconds. */
const MEMORY_INTERVAL = 100;
/** How often the queue is looked at, milliseconds. */
const QUEUE_INTERVAL = 10;
/** What a message may take to leave the queue after the last one was accepted, milliseconds. */
const DRAIN_LIMIT = 120_000;
/** Ticks per second in /proc/PID/stat: the same on every Linux that this runs on. */
const TICKS = 100;
const PAGE = 4096;
const MEBI = 1024 * 1024;

/**
 * Sends the load through the system and gives the figures; throws when a message did not come through, and when
 * `signal` says that it shall end.
 */
export async function measure(system: System, load: Load, signal: AbortSignal): Promise<Figures> {
  const delivered = system.delivered();
  const cpu = cpuTime(system.pids());
  let memory = 0;
  const watch = setInterval(() => memory = Math.max(memory, residentSize(system.pids())), MEMORY_INTERVAL);
  try {
    const started = performance.now();
    await send(system, load, signal);
    const accepted = performance.now() - started;
    await drained(system, signal);
    const all = performance.now() - started;
    const used = cpuTime(system.pids()) - cpu;
    memory = Math.max(memory, residentSize(system.pids()));
    await countDelivered(system, delivered + load.messages);
    return {
      rate: load.messages / (all / 1000),
      accepted: load.messages / (accepted / 1000),
      cpu: (used / load.messages) * 1000,
      memory: memory / MEBI,
    };
  } finally {
    clearInterval(watch);
  }
}

/** Drives the system with Debian's smtp-source, or with ours where that is missing; connections stay open (-d). */
async function send(
  system: System,
  { messages, sessions, length }: Load,
  signal: AbortSignal,
): Promise<void> {
  const load = ["-d", "-s", sessions, "-m", messages, "-l", length].map(String);
  const target = ["-f", "me@bench.test", "-t", "you@far.test", `127.0.0.1:${system.port}`];
  const [program, ...first] = hasDebians()
    ? [DEBIANS_SOURCE]
    : [Deno.execPath(), "run", "-A", MAIN, "smtp-source"];
  const args = [...first, ...load, ...target];
  const done = await new Deno.Command(program!, { args, signal, stdout: "null", stderr: "piped" }).output();
  signal.throwIfAborted();
  if (!done.success) {
    throw new Error(`Cannot send to ${system.name}: ${new TextDecoder().decode(done.stderr)}`);
  }
}

function hasDebians(): boolean {
  try {
    return Deno.statSync(DEBIANS_SOURCE).isFile;
  } catch {
    return false;
  }
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
async function countDelivered(system: System, wanted: number): Promise<void> {
  const deadline = Date.now() + 5000;
  while (system.delivered() < wanted) {
    if (Date.now() > deadline) {
      throw new Error(`Cannot measure ${system.name}: not every message was delivered`);
    }
    await pause(50);
  }
}

/** True when no file is in the directory, without listing all of it. */
function isEmpty(directory: string): boolean {
  for (const { isFile } of Deno.readDirSync(directory)) if (isFile) return false;
  return true;
}

/** Seconds of processor time, that of children which have ended included. */
function cpuTime(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const text = readProc(pid, "stat");
    // Behind the name in parentheses: utime, stime, cutime and cstime are the fields 12 to 15 from there.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    for (const field of fields.slice(11, 15)) ticks += Number(field);
  }
  return ticks / TICKS;
}

function residentSize(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + Number(readProc(pid, "statm").split(" ")[1] ?? 0) * PAGE, 0);
}

/** A file of a process; empty when it is gone. */
function readProc(pid: number, name: string): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/${name}`);
  } catch {
    return "";
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
