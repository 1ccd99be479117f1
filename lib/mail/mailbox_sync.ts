/**
 * Syncs of mailboxes. One sync for all who wait for it: a directory's names are on the disk after any sync that began
 * later than the change, so those who come while one runs share the next. And no hop to another thread where that
 * gains nothing: it is a fifth of what a delivery costs a process that sleeps between two messages.
 *
 * @module
 */
import { SafeDirectory, type SafeFile, syncDirectory } from "../safe/file.ts";
import { SyncGauge } from "../safe/sync.ts";

/** Syncs what the deliveries of one process write. */
export class MailboxSyncs {
  readonly #gauge = new SyncGauge();
  #underWay = 0;

  /** A delivery began. */
  begin(): void {
    this.#underWay++;
  }

  /** A delivery ended. */
  end(): void {
    this.#underWay--;
  }

  /**
   * Syncs a message's file: undefined when that is done, else a promise. Where no other delivery is under way there is
   * nothing that the process could do meanwhile, so it waits inside the system call.
   */
  file(file: SafeFile): Promise<void> | undefined {
    if (this.#underWay > 1) return this.#gauge.sync(file);
    file.syncNow();
    return undefined;
  }

  /** Makes the gathered syncs of one directory. */
  directory(path: string): DirectorySync {
    const gathered = new GatheredSync(() => syncDirectory(path));
    return {
      sync: () => {
        if (this.#underWay > 1 && !this.#gauge.cheap) return gathered.wait();
        using directory = new SafeDirectory(path);
        directory.syncNow();
        return undefined;
      },
    };
  }
}

/** Syncs a directory: undefined when that is done, else a promise. */
export interface DirectorySync {
  sync(): Promise<void> | undefined;
}

/** Gathers requests for the same sync. */
export class GatheredSync {
  readonly #sync: () => Promise<void>;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** @param sync does the work once */
  constructor(sync: () => Promise<void>) {
    this.#sync = sync;
  }

  /** Resolves when a sync that began after this call is done; rejects when it failed. */
  wait(): Promise<void> {
    if (this.#running === undefined) return this.#start();
    // The one under way may have begun before the caller's change reached the directory.
    this.#next ??= this.#afterRunning(this.#running);
    return this.#next;
  }

  async #afterRunning(running: Promise<void>): Promise<void> {
    // Its failure is told to those who waited for it; the next one speaks for itself.
    await running.catch(() => undefined);
    this.#next = undefined;
    await this.#start();
  }

  #start(): Promise<void> {
    const running = this.#sync().finally(() => {
      if (this.#running === running) this.#running = undefined;
    });
    this.#running = running;
    return running;
  }
}
