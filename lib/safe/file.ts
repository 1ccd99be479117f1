/**
 * Files, opened as Postfix's safe_open(3) opens them. `O_NOFOLLOW` is void under Deno's scoped permissions (the
 * runtime resolves the path first), so what was opened is compared with what the name stands for: a regular file,
 * one link, the expected owner. Cheap calls block, as a thread hop costs more than they do; only `sync` and waiting
 * for a lock are awaited.
 *
 * Permissions needed: read or write on the path, as the access says.
 *
 * @module
 */
import { ensureDirSync } from "@std/fs";
import { decodeText } from "../vstring/byte_builder.ts";
import { isMissing, isTaken, SystemError } from "./error.ts";
import { dirname } from "./path.ts";

/** An open file as the system gives it. */
export type DiskFile = Pick<
  Deno.FsFile,
  | "readSync"
  | "writeSync"
  | "seekSync"
  | "statSync"
  | "truncateSync"
  | "sync"
  | "syncSync"
  | "lock"
  | "tryLockSync"
  | "unlockSync"
  | "close"
  | typeof Symbol.dispose
>;

/** The calls by which this module reaches the file system. */
export type Disk =
  & Pick<
    typeof Deno,
    | "lstatSync"
    | "renameSync"
    | "linkSync"
    | "removeSync"
    | "readDirSync"
    | "mkdirSync"
    | "chmodSync"
    | "utimeSync"
    | "chownSync"
    | "realPathSync"
  >
  & { openSync(path: string | URL, options?: Deno.OpenOptions): DiskFile };

/** The runtime's own, in every process of the mail system: a call costs nothing more than without it. */
let disk: Disk = Deno;

/**
 * Puts another file system in the place of the runtime's, for the whole process, and returns the one before: so the
 * fault tests make any call fail, fall short or be the last one before a crash, and write down what was done.
 */
export function replaceDisk(other: Disk): Disk {
  const before = disk;
  disk = other;
  return before;
}

/** What the system says of a file. Times are milliseconds since 1970. */
export interface FileStat {
  readonly kind: "file" | "directory" | "link" | "other";
  readonly size: number;
  /** Permission bits, with set-id and sticky bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly inode: number;
  readonly device: number;
  readonly modified: number;
  /** Time of the last read, as far as the file system keeps account of it. */
  readonly accessed: number;
  /** Time of the last change of the inode. */
  readonly changed: number;
}

/** What opening an existing file came to. */
export type Opened =
  | { readonly kind: "opened"; readonly file: SafeFile }
  | { readonly kind: "missing" }
  /** The name exists and must not be used; `why` names what is wrong with it. */
  | { readonly kind: "refused"; readonly why: string };

/** An open file. Every failure throws a `SystemError` that names the action and the path. */
export class SafeFile implements Disposable {
  #path: string;
  #file: DiskFile | undefined;

  /** Only this module makes one. */
  constructor(path: string, file: DiskFile) {
    this.#path = path;
    this.#file = file;
  }

  /** The name that it was opened under, or got since. */
  get path(): string {
    return this.#path;
  }

  /** Renames the file, which stays open. */
  rename(to: string): void {
    if (!renameFile(this.#path, to)) throw new SystemError("rename", this.#path, new Error("it is gone"));
    this.#path = to;
  }

  /** Reads into `buffer` from `offset` of the file, or from the current place; returns the bytes read, 0 at the end. */
  read(buffer: Uint8Array, offset?: number): number {
    return this.#do("read", (file) => {
      if (offset !== undefined) file.seekSync(offset, Deno.SeekMode.Start);
      return file.readSync(buffer) ?? 0;
    });
  }

  /** Reads all that follows the current place; throws when it is more than `limit` bytes. */
  readAll(limit: number): Uint8Array<ArrayBuffer> {
    return this.#do("read", (file) => readToEnd(file, limit));
  }

  /** Writes all of `bytes` at the current place. */
  write(bytes: Uint8Array): void {
    this.#do("write", (file) => writeAll(file, bytes));
  }

  /** Writes all of `bytes` at `offset`. */
  writeAt(offset: number, bytes: Uint8Array): void {
    this.#do("write", (file) => {
      file.seekSync(offset, Deno.SeekMode.Start);
      writeAll(file, bytes);
    });
  }

  /** Moves to `offset` from the start. */
  seek(offset: number): void {
    this.#do("seek in", (file) => file.seekSync(offset, Deno.SeekMode.Start));
  }

  /** Bytes in the file. */
  size(): number {
    return this.stat().size;
  }

  stat(): FileStat {
    return this.#do("look at", (file) => toStat(file.statSync()));
  }

  /** Sets the permission bits of the name that it was opened under. */
  setMode(mode: number): void {
    this.#do("set mode of", () => disk.chmodSync(this.path, mode));
  }

  truncate(size: number): void {
    this.#do("truncate", (file) => file.truncateSync(size));
  }

  /** Waits until data and metadata are on the disk. The only witness of a write: errors of close are swallowed. */
  async sync(): Promise<void> {
    try {
      await this.#open().sync();
    } catch (error) {
      throw new SystemError("sync", this.path, error);
    }
  }

  /** The same, blocking the process: right only where a sync is known to be cheap. */
  syncNow(): void {
    this.#do("sync", (file) => file.syncSync());
  }

  /** Waits for a lock (flock) on the file. */
  async lock(kind: "shared" | "exclusive"): Promise<void> {
    try {
      await this.#open().lock(kind === "exclusive");
    } catch (error) {
      throw new SystemError("lock", this.path, error);
    }
  }

  /** Takes a lock if it is free. */
  tryLock(kind: "shared" | "exclusive"): boolean {
    return this.#do("lock", (file) => file.tryLockSync(kind === "exclusive"));
  }

  unlock(): void {
    this.#do("unlock", (file) => file.unlockSync());
  }

  /** Closes the file; a second call does nothing. */
  close(): void {
    const file = this.#file;
    this.#file = undefined;
    file?.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #open(): DiskFile {
    if (this.#file === undefined) throw new SystemError("use", this.path, new Error("file is closed"));
    return this.#file;
  }

  #do<T>(action: string, work: (file: DiskFile) => T): T {
    const file = this.#open();
    // A signal may interrupt any system call; the call did nothing and is made again.
    for (;;) {
      try {
        return work(file);
      } catch (error) {
        if (error instanceof Deno.errors.Interrupted) continue;
        throw new SystemError(action, this.path, error);
      }
    }
  }
}

/**
 * Opens an existing file: regular, with one link, not reached through a link, and owned by `owner` if that is given.
 *
 * @param how `access`: what will be done with it; `append` writes at the end
 */
export function safeOpen(
  path: string,
  how: { readonly access: "read" | "write" | "append"; readonly owner?: number },
): Opened {
  let file: DiskFile;
  try {
    // A FIFO would block the open: look first. The comparison below settles what was really opened.
    const before = disk.lstatSync(path);
    if (!before.isFile) {
      return { kind: "refused", why: before.isSymlink ? "is a symbolic link" : "is not a regular file" };
    }
    file = disk.openSync(path, {
      read: how.access !== "append",
      write: how.access === "write",
      append: how.access === "append",
    });
  } catch (error) {
    if (isMissing(error)) return { kind: "missing" };
    throw new SystemError("open", path, error);
  }
  try {
    const why = objection(file.statSync(), disk.lstatSync(path), how.owner);
    if (why === undefined) return { kind: "opened", file: new SafeFile(path, file) };
    file.close();
    return { kind: "refused", why };
  } catch (error) {
    file.close();
    if (isMissing(error)) return { kind: "missing" };
    throw new SystemError("open", path, error);
  }
}

/**
 * Opens an existing file in a directory where nobody but this process's own user may make names: what is looked at is
 * what is opened. A regular file with one link, or it is refused.
 */
export function openOwn(path: string, access: "read" | "write"): Opened {
  try {
    // By name: a look at an open file costs the runtime a walk over the whole path, and this one none.
    const stat = disk.lstatSync(path);
    if (!stat.isFile) {
      return { kind: "refused", why: stat.isSymlink ? "is a symbolic link" : "is not a regular file" };
    }
    if (stat.nlink !== 1) return { kind: "refused", why: `has ${stat.nlink} hard links` };
    return {
      kind: "opened",
      file: new SafeFile(path, disk.openSync(path, { read: true, write: access === "write" })),
    };
  } catch (error) {
    if (isMissing(error)) return { kind: "missing" };
    throw new SystemError("open", path, error);
  }
}

function objection(open: Deno.FileInfo, named: Deno.FileInfo, owner: number | undefined): string | undefined {
  if (named.isSymlink) return "is a symbolic link";
  if (!open.isFile || !named.isFile) return "is not a regular file";
  if (open.dev !== named.dev || open.ino !== named.ino) return "is another file than was opened";
  if (open.nlink !== 1) return `has ${open.nlink} hard links`;
  if (owner !== undefined && open.uid !== owner) return `is owned by uid ${open.uid}, not ${owner}`;
  return undefined;
}

/** Creates a file that must not exist yet (O_EXCL: a dangling link is refused too), for reading and writing or to be written only. */
export function safeCreate(
  path: string,
  mode: number,
  access: "both" | "write" = "both",
): { readonly kind: "created"; readonly file: SafeFile } | { readonly kind: "exists" } {
  try {
    const file = disk.openSync(path, { createNew: true, read: access === "both", write: true, mode });
    return { kind: "created", file: new SafeFile(path, file) };
  } catch (error) {
    if (isTaken(error)) return { kind: "exists" };
    throw new SystemError("create", path, error);
  }
}

/** Renames a file; false when there is none. An existing target is replaced. */
export function renameFile(from: string, to: string): boolean {
  try {
    disk.renameSync(from, to);
    return true;
  } catch (error) {
    if (isMissing(error) && lookAt(from) === undefined) return false;
    throw new SystemError(`rename to "${to}"`, from, error);
  }
}

/** Gives a file a second name; false when the new name is taken. */
export function linkFile(from: string, to: string): boolean {
  try {
    disk.linkSync(from, to);
    return true;
  } catch (error) {
    if (isTaken(error)) return false;
    throw new SystemError(`link to "${to}"`, from, error);
  }
}

/** Removes a file or a link (never what it points to); false when there is none. */
export function removeFile(path: string): boolean {
  try {
    disk.removeSync(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw new SystemError("remove", path, error);
  }
}

/** Removes a directory with all that is in it; links in it are removed, not followed. Nothing when there is none. */
export function removeTree(path: string): void {
  try {
    disk.removeSync(path, { recursive: true });
  } catch (error) {
    if (!isMissing(error)) throw new SystemError("remove", path, error);
  }
}

/** What the name stands for, links not followed; undefined when there is no such name. */
export function lookAt(path: string): FileStat | undefined {
  try {
    return toStat(disk.lstatSync(path));
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw new SystemError("look at", path, error);
  }
}

/** The names in a directory, unsorted; empty when there is no such directory. */
export function listDirectory(path: string): string[] {
  try {
    return Array.from(disk.readDirSync(path), (entry) => entry.name);
  } catch (error) {
    if (isMissing(error)) return [];
    throw new SystemError("list", path, error);
  }
}

/** Makes a directory with exactly this mode; false when the name is taken. */
export function makeDirectory(path: string, mode: number): boolean {
  try {
    disk.mkdirSync(path, { mode });
    disk.chmodSync(path, mode); // the umask does not count
    return true;
  } catch (error) {
    if (isTaken(error)) return false;
    throw new SystemError("make directory", path, error);
  }
}

/** Makes a directory and those above it where they are missing. */
export function ensureDirectory(path: string): void {
  try {
    ensureDirSync(path);
  } catch (error) {
    throw new SystemError("make directory", path, error);
  }
}

/** Sets the time of last change of a file's content, milliseconds since 1970. */
export function setFileTime(path: string, time: number): void {
  try {
    disk.utimeSync(path, time / 1000, time / 1000);
  } catch (error) {
    throw new SystemError("set time of", path, error);
  }
}

/** Sets permission bits by name. */
export function setFileMode(path: string, mode: number): void {
  try {
    disk.chmodSync(path, mode);
  } catch (error) {
    throw new SystemError("set mode of", path, error);
  }
}

/** Gives a file to another owner (root only). */
export function setFileOwner(path: string, uid: number, gid: number): void {
  try {
    disk.chownSync(path, uid, gid);
  } catch (error) {
    throw new SystemError("change owner of", path, error);
  }
}

/** Waits until the names in a directory are on the disk. */
export async function syncDirectory(path: string): Promise<void> {
  try {
    using directory = new SafeDirectory(path);
    await directory.sync();
  } catch (error) {
    throw new SystemError("sync directory", path, error);
  }
}

/** The same, blocking the process: for what is seldom done. */
export function syncDirectoryNow(path: string): void {
  using directory = new SafeDirectory(path);
  directory.syncNow();
}

/** An open directory, to sync it many times at the cost of one open. */
export class SafeDirectory implements Disposable {
  readonly path: string;
  readonly #file: DiskFile;
  constructor(path: string) {
    this.path = path;
    try {
      this.#file = disk.openSync(path, { read: true });
    } catch (error) {
      throw new SystemError("open directory", path, error);
    }
  }

  async sync(): Promise<void> {
    try {
      await this.#file.sync();
    } catch (error) {
      throw new SystemError("sync directory", this.path, error);
    }
  }

  syncNow(): void {
    try {
      this.#file.syncSync();
    } catch (error) {
      throw new SystemError("sync directory", this.path, error);
    }
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** Opens an existing file to read; links are followed: for configuration and tables, which their owner may link. */
export function openLinked(path: string): SafeFile {
  try {
    return new SafeFile(path, Deno.openSync(path, { read: true }));
  } catch (error) {
    throw new SystemError("open", path, error);
  }
}

/** Content of a small text file; throws when it is missing or longer than `limit` bytes. */
export function readTextFile(path: string, limit: number): string {
  return decodeText(readBytesFile(path, limit));
}

/** Content of a small file; links are followed: for configuration, which its owner may link. */
export function readBytesFile(path: string, limit: number): Uint8Array<ArrayBuffer> {
  try {
    using file = disk.openSync(path, { read: true });
    return readToEnd(file, limit);
  } catch (error) {
    throw new SystemError("read", path, error);
  }
}

/** Writes a whole file so that a reader sees the old or the new content and nothing between, also after a crash. */
export async function replaceFile(path: string, content: Uint8Array, mode: number): Promise<void> {
  const temporary = `${path}.tmp.${Deno.pid}`;
  removeFile(temporary);
  const made = safeCreate(temporary, mode);
  if (made.kind === "exists") throw new SystemError("create", temporary, new Error("name is taken"));
  using file = made.file;
  file.write(content);
  await file.sync();
  renameFile(temporary, path);
  await syncDirectory(dirname(path));
}

/** Where a path leads after links, or undefined when it does not exist. */
export function realPath(path: string): string | undefined {
  try {
    return disk.realPathSync(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw new SystemError("resolve", path, error);
  }
}

function readToEnd(file: DiskFile, limit: number): Uint8Array<ArrayBuffer> {
  let buffer = new Uint8Array(Math.min(limit + 1, 65536));
  let length = 0;
  for (;;) {
    if (length === buffer.length) {
      const grown = new Uint8Array(Math.min(limit + 1, buffer.length * 2));
      grown.set(buffer);
      buffer = grown;
    }
    const count = readSome(file, buffer.subarray(length));
    if (count === 0) return buffer.subarray(0, length);
    length += count;
    if (length > limit) throw new Error(`file is longer than ${limit} bytes`);
  }
}

/** Reads once, again when a signal came between: what was read before must not be lost. */
function readSome(file: DiskFile, buffer: Uint8Array): number {
  for (;;) {
    try {
      return file.readSync(buffer) ?? 0;
    } catch (error) {
      if (!(error instanceof Deno.errors.Interrupted)) throw error;
    }
  }
}

function writeAll(file: DiskFile, bytes: Uint8Array): void {
  let done = 0;
  // Short writes happen (a full disk): the next write says why.
  while (done < bytes.length) {
    try {
      done += file.writeSync(done === 0 ? bytes : bytes.subarray(done));
    } catch (error) {
      if (!(error instanceof Deno.errors.Interrupted)) throw error;
    }
  }
}

function toStat(info: Deno.FileInfo): FileStat {
  return {
    kind: info.isFile ? "file" : info.isDirectory ? "directory" : info.isSymlink ? "link" : "other",
    size: info.size,
    mode: (info.mode ?? 0) & 0o7777,
    uid: info.uid ?? 0,
    gid: info.gid ?? 0,
    links: info.nlink ?? 1,
    inode: info.ino ?? 0,
    device: info.dev,
    modified: info.mtime?.getTime() ?? 0,
    accessed: info.atime?.getTime() ?? 0,
    changed: info.ctime?.getTime() ?? 0,
  };
}
