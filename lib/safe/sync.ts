/**
 * Syncs that many share. On a disk a sync costs milliseconds, and one sync of a directory serves everybody who
 * waits for it; on a file system in memory it costs microseconds, less than the thread hop of an awaited call.
 *
 * @module
 */
import { SafeDirectory, type SafeFile } from "./file.ts";

/** A blocking sync that takes longer than this shows that syncs are not cheap here, milliseconds. */
const CHEAP = 0.3;
/** Awaited syncs in a row that must be quick before one is tried without waiting. */
const QUICK_RUN = 16;
/** An awaited sync is quick when it takes less than this, milliseconds; most of it is the thread hop. */
const QUICK = 0.6;

/** Makes files and their names durable in one directory. */
export class SyncGate implements Disposable {
  readonly #directory: SafeDirectory;
  #cheap = false;
  #quickRun = 0;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(directory: string) {
    this.#directory = new SafeDirectory(directory);
  }

  /**
   * Syncs the file, then the directory that names it. Returns undefined when that is done already, else a promise:
   * the caller must not answer anybody before.
   */
  commit(file: SafeFile): Promise<void> | undefined {
    if (!this.#cheap) return this.#commitSlowly(file);
    const start = performance.now();
    file.syncNow();
    this.#directory.syncNow();
    if (performance.now() - start > CHEAP) this.#cheap = false;
    return undefined;
  }

  async #commitSlowly(file: SafeFile): Promise<void> {
    const start = performance.now();
    await file.sync();
    this.#quickRun = performance.now() - start < QUICK ? this.#quickRun + 1 : 0;
    if (this.#quickRun >= QUICK_RUN) {
      this.#quickRun = 0;
      this.#cheap = true;
    }
    await this.directory();
  }

  /** Syncs the directory. Whoever asks while a sync runs shares the next one: the running one may have begun too early. */
  directory(): Promise<void> {
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
