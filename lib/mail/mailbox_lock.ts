/**
 * Locks on an mbox file: the dotlock `path.lock` that mail readers know, and flock on the file itself
 * (postfix-map section 9.5). Deno offers no fcntl lock; where the configuration asks for one, flock is taken and the
 * dotlock is always made, as a reader that knows fcntl only would not see the flock.
 *
 * Permissions needed: read and write on `path.lock`.
 *
 * @module
 */
import { type FileStat, lookAt, removeFile, safeCreate, type SafeFile, setFileTime } from "../safe/file.ts";
import { MailboxError } from "./mailbox_outcome.ts";

/** How patient a writer is. Times in seconds. */
export interface LockPolicy {
  /** Tries for a lock (deliver_lock_attempts). */
  readonly attempts: number;
  /** Pause between tries (deliver_lock_delay); each pause is 0.75 to 1.25 of it. */
  readonly delay: number;
  /** Age at which a dotlock is taken for left over (stale_lock_time). */
  readonly stale: number;
  readonly dotlock: boolean;
  readonly flock: boolean;
}

/** What `mailbox_delivery_lock` and `virtual_mailbox_lock` ask for, as far as Deno can give it. */
export function lockKinds(words: readonly string[]): { readonly dotlock: boolean; readonly flock: boolean } {
  const fcntl = words.includes("fcntl");
  return { dotlock: fcntl || words.includes("dotlock"), flock: fcntl || words.includes("flock") };
}

/** The name that programs agree on for a mailbox's lock file. */
export function dotlockPath(path: string): string {
  return `${path}.lock`;
}

/** A dotlock that we hold. */
export class Dotlock {
  readonly #path: string;
  #stat: FileStat;
  #refreshed = Date.now();

  private constructor(path: string, stat: FileStat) {
    this.#path = path;
    this.#stat = stat;
  }

  /**
   * Makes the lock file of a mailbox, waiting for whoever holds it and removing it when it is left over.
   *
   * @throws MailboxError 4.2.0 when it stays held
   */
  static async acquire(mailbox: string, policy: LockPolicy): Promise<Dotlock> {
    const path = dotlockPath(mailbox);
    for (let attempt = 1;; attempt++) {
      // O_EXCL: a link in its place, dangling or not, counts as held and is never followed.
      const made = safeCreate(path, 0o600);
      if (made.kind === "created") {
        using file = made.file;
        return new Dotlock(path, file.stat());
      }
      const removed = removeStale(path, policy.stale);
      if (attempt >= policy.attempts) throw held(mailbox);
      if (!removed) await pause(policy.delay);
    }
  }

  /** True while the lock file is still the one that we made. */
  isOurs(): boolean {
    const found = lookAt(this.#path);
    return found !== undefined && isSame(found, this.#stat);
  }

  /** Keeps others from taking the lock for left over; cheap enough to call for every piece of a long message. */
  refresh(stale: number): void {
    const now = Date.now();
    if (now - this.#refreshed < stale * 1000 / 4 || !this.isOurs()) return;
    setFileTime(this.#path, now);
    this.#stat = lookAt(this.#path) ?? this.#stat;
    this.#refreshed = now;
  }

  /** Gives the lock up. A lock that is no longer ours belongs to somebody else by now: it stays. */
  release(): void {
    if (this.isOurs()) removeFile(this.#path);
  }
}

/** Removes a lock file that nobody can be using any more; true when it did. */
function removeStale(path: string, stale: number): boolean {
  const found = lookAt(path);
  if (found === undefined) return true;
  // A directory or a device was never made by a program that locks.
  if (found.kind !== "file" || Date.now() - found.changed < stale * 1000) return false;
  // Two who see the same stale lock: the slower one must not remove the lock that the faster one has just made.
  const again = lookAt(path);
  if (again === undefined) return true;
  return isSame(again, found) && removeFile(path);
}

/** Inode numbers are used again at once: the time of the last change tells a new lock file from the old one. */
function isSame(a: FileStat, b: FileStat): boolean {
  return a.device === b.device && a.inode === b.inode && a.changed === b.changed && a.size === b.size;
}

/**
 * Takes the flock on an open mailbox.
 *
 * @throws MailboxError 4.2.0 when another process keeps it
 */
export async function lockFile(file: SafeFile, policy: LockPolicy): Promise<void> {
  for (let attempt = 1; !file.tryLock("exclusive"); attempt++) {
    if (attempt >= policy.attempts) throw held(file.path);
    await pause(policy.delay);
  }
}

function held(mailbox: string): MailboxError {
  return new MailboxError("4.2.0", `Cannot lock mailbox "${mailbox}": another process holds the lock`);
}

/** Waits about as long as asked, so that two who wait do not keep meeting. */
function pause(seconds: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, seconds * 1000 * (0.75 + Math.random() / 2));
  return promise;
}
