/**
 * Syncs that many share. On a disk a sync costs milliseconds, and one sync of a directory serves everybody who
 * waits for it; on a file system in memory it costs microseconds, less than the thread hop of an awaited call.
 *
 * @module
 */
import { SafeDirectory, type SafeFile } from "./file.ts";

/** A blocking sync that takes longer than this shows that syncs are not cheap here, milliseconds. */
const CHEAP = 0.2;
/** One commit in so many is made without a thread, to see whether syncs have become cheap. */
const PROBE_INTERVAL = 256;

/** Makes files and their names durable in one directory. */
export class SyncGate implements Disposable {
  readonly #directory: SafeDirectory;
  #cheap = true;
  #commits = 0;
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
    if (!this.#cheap && ++this.#commits % PROBE_INTERVAL !== 0) return this.#commitSlowly(file);
    const start = performance.now();
    file.syncNow();
    this.#directory.syncNow();
    this.#cheap = performance.now() - start < CHEAP;
    return undefined;
  }

  async #commitSlowly(file: SafeFile): Promise<void> {
    await file.sync();
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
