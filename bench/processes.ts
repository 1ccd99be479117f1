/**
 * Processor time and memory of processes, from Linux's /proc.
 *
 * @module
 */

/** Ticks per second in /proc/PID/stat: the same on every Linux that this runs on. */
const TICKS = 100;
const PAGE = 4096;
const MEBI = 1024 * 1024;
/** How often resident sizes are looked at, milliseconds. */
const RESIDENT_INTERVAL = 100;
/** PSS makes the kernel walk every page, so every so many looks only. */
const PROPORTIONAL_EVERY = 10;

/** Seconds of processor time, that of children which have ended included. */
export function cpuTime(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const text = readProc(pid, "stat");
    // Behind the name in parentheses: utime, stime, cutime and cstime are the fields 12 to 15 from there.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    for (const field of fields.slice(11, 15)) ticks += Number(field);
  }
  return ticks / TICKS;
}

/** Resident size of a process, MiB; 0 when it is gone. */
export function residentSize(pid: number): number {
  return Number(readProc(pid, "statm").split(" ")[1] ?? 0) * PAGE / MEBI;
}

/** Resident size of a process in which a page that n processes share counts as 1/n, MiB; 0 when it is gone. */
export function proportionalSize(pid: number): number {
  const line = readProc(pid, "smaps_rollup").split("\n").find((text) => text.startsWith("Pss:")) ?? "";
  return Number(line.split(" ").filter((word) => word !== "")[1] ?? 0) / 1024;
}

/** What a process runs: for Deno the daemon that it loads, otherwise the name of the program. */
export function daemonName(pid: number): string {
  const last = readProc(pid, "cmdline").split("\0").slice(0, -1).at(-1) ?? "";
  const parts = last.split("/");
  return parts.at(-1) === "main.ts" ? parts.at(-2)! : readProc(pid, "comm").trim();
}

/** The largest resident size of one process of each daemon, MiB. */
export type DaemonSizes = Readonly<Record<string, number>>;

/** The largest process of each of some daemons now. */
export function daemonSizes(pids: readonly number[], daemons: readonly string[]): DaemonSizes {
  const sizes: Record<string, number> = {};
  if (daemons.length === 0) return sizes;
  for (const pid of pids) {
    const name = daemonName(pid);
    if (daemons.includes(name)) sizes[name] = Math.max(sizes[name] ?? 0, residentSize(pid));
  }
  return sizes;
}

/** The larger one of each daemon's sizes. */
export function largerSizes(a: DaemonSizes, b: DaemonSizes): DaemonSizes {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return Object.fromEntries([...names].map((name) => [name, Math.max(a[name] ?? 0, b[name] ?? 0)]));
}

/** Watches the memory of a system's processes until it is disposed of. */
export class MemoryWatch implements Disposable {
  /** Largest sums over all processes, MiB. */
  resident = 0;
  proportional = 0;
  daemons: DaemonSizes = {};
  #looks = 0;
  readonly #pids: () => readonly number[];
  readonly #names: readonly string[];
  readonly #timer: ReturnType<typeof setInterval>;

  /** @param daemons those whose single processes are watched as well */
  constructor(pids: () => readonly number[], daemons: readonly string[]) {
    this.#pids = pids;
    this.#names = daemons;
    this.#timer = setInterval(() => this.look(this.#looks++ % PROPORTIONAL_EVERY === 0), RESIDENT_INTERVAL);
  }

  /** Looks once; PSS included where it is wanted. */
  look(proportional: boolean): void {
    const pids = this.#pids();
    this.resident = Math.max(this.resident, sum(pids.map(residentSize)));
    if (proportional) this.proportional = Math.max(this.proportional, sum(pids.map(proportionalSize)));
    this.daemons = largerSizes(this.daemons, daemonSizes(pids, this.#names));
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** A file of a process; empty when it is gone. */
function readProc(pid: number, name: string): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/${name}`);
  } catch {
    return "";
  }
}
