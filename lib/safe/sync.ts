/**
 * Syncs that many share. On a disk a sync costs milliseconds, and one sync of a directory serves everybody who
 * waits for it; on a fast one it costs less than the thread hop of an awaited call.
 *
 * @module
 */
import { SafeDirectory, type SafeFile } from "./file.ts";

/** Syncs that take longer than this on the average are awaited instead of blocking the process, milliseconds. */
const CHEAP = 2;
/** Weight of one sync in the average. */
const WEIGHT = 0.1;
/** One sync in so many blocks all the same, to see whether syncs have become cheap. */
const PROBE_INTERVAL = 64;

/** Syncs files in the way that costs least here. */
export class SyncGauge {
  #average = 0;
  #syncs = 0;

  /** True while syncs are so fast that blocking costs less than waiting. */
  get cheap(): boolean {
    return this.#average <= CHEAP;
  }

  /** Syncs the file: undefined when that is done, else a promise. Nobody may be answered before. */
  sync(file: SafeFile): Promise<void> | undefined {
    if (!this.cheap && ++this.#syncs % PROBE_INTERVAL !== 0) return file.sync();
    const start = performance.now();
    file.syncNow();
    this.#average += (performance.now() - start - this.#average) * WEIGHT;
    return undefined;
  }
}

/** Makes names durable in one directory. */
export class SyncGate implements Disposable {
  readonly #directory: SafeDirectory;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(directory: string) {
    this.#directory = new SafeDirectory(directory);
  }

  /** Syncs the directory. Whoever asks while a sync runs shares the next one: the running one may have begun too early. */
  sync(): Promise<void> {
    if (this.#running === undefined) return this.#run();
    this.#next ??= this.#running.then(() => this.#run(), () => this.#run());
    return this.#next;
  }

  #run(): Promise<void> {
    this.#next = undefined;
    const run = this.#directory.sync().finally(() => {
      if (this.#running === run) this.#running = undefined;
    });
    this.#running = run;
    return run;
  }

  [Symbol.dispose](): void {
    this.#directory[Symbol.dispose]();
  }
}
