/**
 * One sync for all who wait for it: a directory's names are on the disk after any sync that began later than the
 * change, so those who come while one runs share the next.
 *
 * @module
 */

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
