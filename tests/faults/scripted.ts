/**
 * Runs of the scripted delivery: with a fault at a chosen call, and on every disk that a power cut may leave. Not a test
 * itself.
 *
 * @module
 */
import { CrashDisk, type DiskState, type Operation } from "../../commands/crash_disk.ts";
import { writeState } from "../../commands/crash_state_files.ts";
import type { Random } from "../support/random.ts";
import { TemporaryDirectory } from "../support/temporary.ts";
import { type Call, FaultDisk, type Plan } from "./fault_disk.ts";
import { brokenPromises, prepareMail, runScript } from "./script.ts";

/** The boot ids before and after a power cut. */
const BEFORE = "boot-before";
const AFTER = "boot-after";
/** How long a run with a fault may take until it is taken for dead, milliseconds. */
const RUN_LIMIT = 60_000;
/** What a dead daemon's last waits may take, milliseconds: for a lock, for a turn. */
const AFTERMATH = 15;

/** Errors that end a daemon, which here has no process of its own: caught, they are a death like another. */
export class Deaths implements Disposable {
  readonly causes: unknown[] = [];
  readonly #take = (event: PromiseRejectionEvent | ErrorEvent): void => {
    event.preventDefault();
    this.causes.push("reason" in event ? event.reason : event.error);
  };

  constructor() {
    globalThis.addEventListener("unhandledrejection", this.#take);
    globalThis.addEventListener("error", this.#take);
  }

  [Symbol.dispose](): void {
    globalThis.removeEventListener("unhandledrejection", this.#take);
    globalThis.removeEventListener("error", this.#take);
  }
}

/** What a run came to. */
export interface Run {
  readonly calls: readonly Call[];
  readonly operations: readonly Operation[];
  readonly broken: readonly string[];
}

/** Runs the script with a fault, starts again on what is left, and says what is broken. */
export async function runWithFault(plan: Plan | undefined, sameBoot: boolean): Promise<Run> {
  using directory = new TemporaryDirectory();
  using deaths = new Deaths();
  const root = directory.path;
  prepareMail(root);
  const disk = new FaultDisk(root, plan);
  try {
    await until(runScript(root, disk, BEFORE).catch((error) => void deaths.causes.push(error)), disk, deaths);
  } finally {
    disk[Symbol.dispose]();
  }
  const strayLog = plan !== undefined && plan.fault !== "stop" && disk.calls[plan.at] === "remove";
  const broken = await brokenPromises(root, notesOf(disk.operations), sameBoot ? BEFORE : AFTER, strayLog);
  return { calls: disk.calls, operations: disk.operations, broken };
}

/**
 * Waits for the end of a run: by itself, by a stop, by a death, or because it hangs. A daemon that is dead does nothing
 * more: here it still runs, so every further call of it fails until it has come to its end.
 */
async function until(run: Promise<void>, disk: FaultDisk, deaths: Deaths): Promise<void> {
  let over = false;
  run.finally(() => over = true);
  const deadline = Date.now() + RUN_LIMIT;
  while (!over && !disk.stopped && deaths.causes.length === 0 && Date.now() < deadline) await pause(1);
  disk.stopped = true;
  while (!over && Date.now() < deadline) await pause(1);
  await pause(AFTERMATH);
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** What was told to somebody, in the order in which it was. */
export function notesOf(operations: readonly Operation[]): string[] {
  return operations.flatMap((operation) => operation.kind === "note" ? [operation.text] : []);
}

/** A run without a fault, its operations written down; of some paths no sync reaches the disk. */
export async function recordRun(
  withoutSync?: (path: string) => boolean,
): Promise<{ root: string; operations: Operation[] }> {
  using directory = new TemporaryDirectory();
  prepareMail(directory.path);
  const disk = new FaultDisk(directory.path, undefined, withoutSync);
  try {
    await runScript(directory.path, disk, BEFORE);
  } finally {
    disk[Symbol.dispose]();
  }
  return { root: directory.path, operations: disk.operations };
}

/** What the search for a broken promise came to. */
export interface Search {
  /** States on which the system was started. */
  readonly states: number;
  /** Places in the run at which the power went. */
  readonly cuts: number;
  readonly broken: readonly string[];
}

/** How many states are looked at for each place of a cut, and when to stop looking. */
export interface SearchLimits {
  readonly perCut: number;
  /** The power is cut at one of so many places, which chance picks. */
  readonly oneCutIn?: number;
  readonly untilBroken?: boolean;
}

/** Cuts the power at every place of a run, and starts the system on what that may leave. */
export async function searchStates(
  { root, operations }: { readonly root: string; readonly operations: readonly Operation[] },
  random: Random,
  { perCut, oneCutIn = 1, untilBroken }: SearchLimits,
): Promise<Search> {
  const disk = new CrashDisk();
  const seen = new Set<string>();
  const broken: string[] = [];
  let cuts = 0;
  for (const [at, operation] of operations.entries()) {
    disk.apply(operation);
    if (at < beginning(operations) || random.below(oneCutIn) > 0) continue;
    cuts++;
    const notes = notesOf(operations.slice(0, at + 1));
    for (const state of disk.states(perCut, (limit) => random.below(limit))) {
      const key = `${notes.length} ${state.key}`;
      if (seen.has(key)) continue;
      seen.add(key);
      const found = await tryState(state, root, notes);
      if (found.length > 0) {
        broken.push(`after operation ${at} (${operation.kind}):\n${found.join("\n")}\n${state.key}`);
      }
      if (untilBroken === true && broken.length > 0) return { states: seen.size, cuts, broken };
    }
  }
  return { states: seen.size, cuts, broken };
}

/** The first operation behind what was there before the run and the making of the queue's directories. */
function beginning(operations: readonly Operation[]): number {
  return operations.findIndex(({ kind }) => kind === "note") - 2;
}

async function tryState(state: DiskState, root: string, notes: readonly string[]): Promise<string[]> {
  using directory = new TemporaryDirectory();
  using deaths = new Deaths();
  writeState(state, root, directory.path);
  try {
    const broken = await brokenPromises(directory.path, notes, AFTER);
    return [...broken, ...deaths.causes.map(String)];
  } catch (error) {
    return [`the start fails: ${error instanceof Error ? error.stack : error}`];
  }
}
