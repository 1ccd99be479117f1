/**
 * Maildir: one file per message, written in `tmp`, synced, linked into `new` (postfix-map section 9.6). No locks: a
 * name that holds the file's own device and inode is unique while the file exists. A process that dies at any point
 * leaves at most a file in `tmp`, which mail readers remove by the rules of Maildir after 36 hours.
 *
 * Permissions needed: read and write on the directory itself, nothing else.
 *
 * @module
 */
import {
  linkFile,
  lookAt,
  makeDirectory,
  removeFile,
  renameFile,
  safeCreate,
  type SafeFile,
  syncDirectory,
} from "../safe/file.ts";
import { SystemError } from "../safe/error.ts";
import { type Mailbox, type MailboxDelivery, type MailboxPlace } from "./mailbox_writer.ts";
import { MailboxError } from "./mailbox_outcome.ts";
import { type DirectorySync, type MailboxSyncs } from "./mailbox_sync.ts";

const FOLDERS = ["tmp", "new", "cur"] as const;
const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;
/** Tries for a free name; the second already means that somebody made our name on purpose. */
const NAME_ATTEMPTS = 10;

/** Errors that say that the file system does not link, not that something is wrong. */
const CANNOT_LINK: ReadonlySet<string> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "EMLINK", "ENOSYS"]);

/** A Maildir. */
export class Maildir implements Mailbox {
  readonly #place: MailboxPlace;
  readonly #host: string;
  readonly #syncs: MailboxSyncs;
  readonly #newSync: DirectorySync;

  /**
   * @param hostname this host's name, for the names of files
   * @param syncs of all mailboxes that this process writes
   */
  constructor(place: MailboxPlace, hostname: string, syncs: MailboxSyncs) {
    this.#place = place;
    this.#host = fileNameHost(hostname);
    this.#syncs = syncs;
    this.#newSync = syncs.directory(`${place.path}/new`);
  }

  async begin(_sender: string): Promise<MailboxDelivery> {
    await this.#ensureFolders();
    for (let attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
      const made = safeCreate(`${this.#place.path}/tmp/${this.#temporaryName()}`, FILE_MODE, "write");
      if (made.kind === "created") {
        return new MaildirDelivery(made.file, this.#place, this.#host, this.#syncs, this.#newSync);
      }
    }
    throw new MailboxError("4.3.0", `Cannot create file in maildir "${this.#place.path}": names are taken`);
  }

  /**
   * Makes the folders that are missing and refuses what is no directory. A link planted in the place of `new` would
   * send the message elsewhere, as Deno's path permissions follow links that already exist.
   */
  async #ensureFolders(): Promise<void> {
    const path = this.#place.path;
    let made = this.#ensureDirectory(path);
    for (const folder of FOLDERS) made = this.#ensureDirectory(`${path}/${folder}`) || made;
    if (made) await syncDirectory(path);
  }

  #ensureDirectory(path: string): boolean {
    const found = lookAt(path);
    if (found?.kind === "directory") return false;
    if (found === undefined && makeDirectory(path, DIRECTORY_MODE)) return true;
    // Somebody else made it between the two calls, or it is no directory.
    const kind = lookAt(path)?.kind;
    if (kind === "directory") return false;
    throw new MailboxError(
      "4.2.0",
      `Cannot use maildir "${this.#place.path}": "${path}" is ${
        kind === "link" ? "a symbolic link" : "not a directory"
      }`,
    );
  }

  /** 64 random bits, so that nobody can make the name before us. */
  #temporaryName(): string {
    const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
    const random = high.toString(16).padStart(8, "0") + low.toString(16).padStart(8, "0");
    return `${Math.floor(Date.now() / 1000)}.R${random}.${this.#host}`;
  }
}

/** One message: a file in `tmp` until `finish`. */
class MaildirDelivery implements MailboxDelivery {
  readonly #file: SafeFile;
  readonly #place: MailboxPlace;
  readonly #host: string;
  readonly #syncs: MailboxSyncs;
  readonly #newSync: DirectorySync;
  #size = 0;

  constructor(
    file: SafeFile,
    place: MailboxPlace,
    host: string,
    syncs: MailboxSyncs,
    newSync: DirectorySync,
  ) {
    this.#file = file;
    this.#place = place;
    this.#host = host;
    this.#syncs = syncs;
    this.#newSync = newSync;
    syncs.begin();
  }

  write(content: Uint8Array): void {
    const limit = this.#place.sizeLimit;
    if (limit > 0 && this.#size + content.length > limit) {
      throw new MailboxError(
        "5.2.2",
        `Cannot write to maildir "${this.#place.path}": message is larger than ${limit} bytes`,
      );
    }
    this.#file.write(content);
    this.#size += content.length;
  }

  async finish(): Promise<void> {
    try {
      await this.#syncs.file(this.#file);
      const name = this.#publish();
      try {
        await this.#newSync.sync();
      } catch (error) {
        // The caller will try again: without this the reader would get the message once per try.
        removeFile(name);
        throw error;
      }
    } catch (error) {
      this.abort();
      throw error;
    }
    this.#removeTemporary();
  }

  abort(): void {
    this.#removeTemporary();
  }

  /** Called once, whatever became of the delivery. */
  #removeTemporary(): void {
    this.#syncs.end();
    this.#file.close();
    try {
      removeFile(this.#file.path);
    } catch (error) {
      this.#place.warn(error instanceof Error ? error.message : String(error));
    }
  }

  /** Gives the file its name in `new` and returns it. */
  #publish(): string {
    // By name: a look at an open file costs the runtime a walk over the whole path.
    const found = lookAt(this.#file.path);
    if (found === undefined) throw this.#gone();
    const { device, inode } = found;
    for (let attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
      const time = microseconds();
      const seconds = Math.floor(time / 1_000_000);
      const name = `${seconds}.V${device.toString(16)}I${inode.toString(16)}M${
        time % 1_000_000
      }.${this.#host}`;
      const path = `${this.#place.path}/new/${name}`;
      if (this.#link(path)) return path;
    }
    throw new MailboxError("4.3.0", `Cannot publish in maildir "${this.#place.path}": names are taken`);
  }

  /** Links or, where the file system has no links, renames; false when the name is taken. */
  #link(path: string): boolean {
    try {
      return linkFile(this.#file.path, path);
    } catch (error) {
      if (!(error instanceof SystemError) || !CANNOT_LINK.has(error.code)) throw error;
    }
    // A rename replaces what is there. The name holds our inode, so only somebody who means harm has made it.
    if (lookAt(path) !== undefined) return false;
    if (!renameFile(this.#file.path, path)) throw this.#gone();
    return true;
  }

  #gone(): MailboxError {
    return new MailboxError("4.3.0", `Cannot publish "${this.#file.path}": file is gone`);
  }
}

/** Microseconds since 1970: the wall clock's milliseconds, told apart by a finer clock's last three digits. */
function microseconds(): number {
  return Date.now() * 1000 + Math.floor(performance.now() * 1000) % 1000;
}

/** The host name without what a Maildir name must not hold. */
function fileNameHost(hostname: string): string {
  return hostname.replaceAll("/", "\\057").replaceAll(":", "\\072");
}
