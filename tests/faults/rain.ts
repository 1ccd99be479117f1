/**
 * What falls on a mail system: kills of one process, of master, of all at once; processes that are stopped for a
 * while; kills at a system call. Not a test itself.
 *
 * @module
 */
import { killProcess, type Postern } from "../support/postern.ts";
import type { Random } from "../support/random.ts";
import { missingNeeds } from "../support/tools.ts";
import type { Ledger } from "./ledger.ts";

/** Daemons that are killed, each as often as it stands here. */
const VICTIMS = [
  "smtpd",
  "cleanup",
  "cleanup",
  "qmgr",
  "qmgr",
  "virtual",
  "mailbox",
  "mailbox",
  "bounce",
  "smtp",
  "error",
  "trivial-rewrite",
  "proxymap",
] as const;

/** A place between two steps of a message's way: the daemon, and the system call that it does not get to make. */
export interface Point {
  readonly name: string;
  readonly daemon: string;
  readonly call: string;
}

export const POINTS: readonly Point[] = [
  { name: "cleanup before it creates the file", daemon: "cleanup", call: "openat" },
  { name: "cleanup before a write", daemon: "cleanup", call: "write" },
  { name: "cleanup before the sync", daemon: "cleanup", call: "fsync" },
  { name: "cleanup after the sync, before the name", daemon: "cleanup", call: "rename" },
  { name: "cleanup after the name, before the answer", daemon: "cleanup", call: "sendto" },
  { name: "smtpd before a reply", daemon: "smtpd", call: "sendto" },
  { name: "qmgr before it moves a file", daemon: "qmgr", call: "rename" },
  { name: "qmgr before the done mark", daemon: "qmgr", call: "write" },
  { name: "qmgr before it removes a file", daemon: "qmgr", call: "unlink" },
  { name: "qmgr before a request", daemon: "qmgr", call: "sendto" },
  { name: "mailbox before the sync", daemon: "mailbox", call: "fsync" },
  { name: "mailbox before the link", daemon: "mailbox", call: "linkat" },
  { name: "mailbox after the link", daemon: "mailbox", call: "unlink" },
  { name: "mailbox before its answer", daemon: "mailbox", call: "sendto" },
  { name: "virtual before an answer", daemon: "virtual", call: "sendto" },
  { name: "smtp before its next command or answer", daemon: "smtp", call: "sendto" },
  { name: "bounce before it appends", daemon: "bounce", call: "write" },
  { name: "bounce before the sync", daemon: "bounce", call: "fsync" },
  { name: "bounce after the report, before it removes the log", daemon: "bounce", call: "unlink" },
  { name: "bounce before an answer", daemon: "bounce", call: "sendto" },
];

/** A system call has several names: on this machine and with this runtime one of them is used. */
const CALLS: Readonly<Record<string, string>> = {
  openat: "openat",
  write: "write,pwrite64,writev",
  fsync: "fsync,fdatasync",
  rename: "rename,renameat,renameat2",
  linkat: "link,linkat",
  unlink: "unlink,unlinkat",
  sendto: "sendto,sendmsg",
};

/** How long a kill at a system call waits for the call, milliseconds. */
const POINT_LIMIT = 4000;
/** Longest time that a process is stopped, milliseconds. */
const STOP_LIMIT = 3000;
/** The kill falls at one of so many calls. */
const CALL_LIMIT = 6;

/** How often each kind of fault falls, of the sum. */
const WEIGHTS = { kill: 74, stop: 8, point: 12, master: 3, everything: 3 } as const;
export type Kind = keyof typeof WEIGHTS;

/** Makes faults fall, and counts them. */
export class Rain {
  /** Faults by what they were. */
  readonly counts = new Map<string, number>();
  /** SIGKILLs that reached what they were meant for; a kill of everything counts once. */
  kills = 0;
  readonly #postern: Postern;
  readonly #random: Random;
  readonly #ledger: Ledger;
  readonly #kinds: readonly Kind[];

  constructor(postern: Postern, random: Random, ledger: Ledger) {
    this.#postern = postern;
    this.#random = random;
    this.#ledger = ledger;
    const strace = missingNeeds(["root", "strace"]).length === 0;
    this.#kinds = (Object.keys(WEIGHTS) as Kind[]).filter((kind) => kind !== "point" || strace)
      .flatMap((kind) => Array<Kind>(WEIGHTS[kind]).fill(kind));
  }

  /** Lets one fault fall. */
  async fall(kind: Kind = this.#random.pick(this.#kinds)): Promise<void> {
    const from = Date.now();
    const what = await this.#make(kind);
    if (what === undefined) return;
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
    this.#ledger.fallen.push({ what, from, to: Date.now() });
  }

  async #make(kind: Kind): Promise<string | undefined> {
    switch (kind) {
      case "kill":
        return this.killDaemon(this.#random.pick(VICTIMS));
      case "stop":
        return await this.#stop(this.#random.pick(VICTIMS));
      case "point":
        return await this.killAt(this.#random.pick(POINTS));
      case "master":
        await this.#postern.behead();
        await this.#postern.start();
        this.kills++;
        return "SIGKILL master, start again";
      case "everything":
        await this.#postern.cut();
        await this.#postern.start();
        this.kills++;
        return "SIGKILL all at once, start again";
    }
  }

  /** Kills one process of a daemon; undefined when none runs. */
  killDaemon(daemon: string): string | undefined {
    const pids = this.#postern.pids(daemon);
    if (pids.length === 0) return undefined;
    killProcess(this.#random.pick(pids));
    this.kills++;
    return `SIGKILL ${daemon}`;
  }

  async #stop(daemon: string): Promise<string | undefined> {
    const pids = this.#postern.pids(daemon);
    if (pids.length === 0) return undefined;
    const pid = this.#random.pick(pids);
    signal(pid, "SIGSTOP");
    await pause(this.#random.below(STOP_LIMIT));
    signal(pid, "SIGCONT");
    return `SIGSTOP ${daemon} for a while`;
  }

  /** Kills a daemon as it enters a system call; undefined when it did not make that call in time. */
  async killAt({ name, daemon, call }: Point): Promise<string | undefined> {
    const pids = this.#postern.pids(daemon);
    if (pids.length === 0) return undefined;
    const pid = this.#random.pick(pids);
    const calls = CALLS[call]!;
    const when = 1 + this.#random.below(CALL_LIMIT);
    const strace = new Deno.Command("strace", {
      args: [
        "-f",
        "-o",
        "/dev/null",
        "-e",
        `trace=${calls}`,
        "-e",
        `inject=${calls}:signal=KILL:when=${when}`,
        "-p",
        String(pid),
      ],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const deadline = Date.now() + POINT_LIMIT;
    while (isAlive(pid) && Date.now() < deadline) await pause(20);
    const killed = !isAlive(pid);
    // A process that is killed under strace is held until strace has let go.
    signal(strace.pid, killed ? "SIGKILL" : "SIGINT");
    await strace.status;
    if (!killed) return undefined;
    this.kills++;
    return `SIGKILL at a point: ${name}`;
  }
}

/** True while a process runs: a dead one that a tracer holds does not. */
function isAlive(pid: number): boolean {
  try {
    const status = Deno.readTextFileSync(`/proc/${pid}/status`);
    return !/^State:\t[ZX]/m.test(status) && !/^SigPnd:\t0*[1-9a-f]*1[0-9a-f]{2}$/m.test(status);
  } catch {
    return false;
  }
}

function signal(pid: number, name: "SIGSTOP" | "SIGCONT" | "SIGKILL" | "SIGINT"): void {
  try {
    Deno.kill(pid, name);
  } catch {
    return; // it has ended
  }
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
