/**
 * A file system that writes down what is done to it, and makes one chosen call fail, fall short, or be the last.
 * Not a test itself.
 *
 * @module
 */
import type { Operation } from "../../commands/crash_disk.ts";
import { type Disk, type DiskFile, replaceDisk } from "../../lib/safe/file.ts";

/** What can go wrong with a call. */
export type Fault = "ENOSPC" | "EIO" | "EMFILE" | "EROFS" | "short" | "stop";

/** A call as it may fail. */
export type Call =
  | "create"
  | "open"
  | "read"
  | "write"
  | "truncate"
  | "sync"
  | "rename"
  | "link"
  | "remove"
  | "directory"
  | "mode"
  | "time";

/** What each call may meet. */
export const FAULTS: Readonly<Record<Call, readonly Fault[]>> = {
  create: ["ENOSPC", "EMFILE", "EROFS", "stop"],
  open: ["EMFILE", "stop"],
  read: ["EIO", "stop"],
  write: ["ENOSPC", "EIO", "short", "stop"],
  truncate: ["EIO", "stop"],
  sync: ["EIO", "ENOSPC", "stop"],
  rename: ["ENOSPC", "EIO", "EROFS", "stop"],
  link: ["ENOSPC", "EROFS", "stop"],
  remove: ["EIO", "EROFS", "stop"],
  directory: ["ENOSPC", "EROFS", "stop"],
  mode: ["EROFS", "stop"],
  time: ["EROFS", "stop"],
};

/** Which call fails, and how. */
export interface Plan {
  readonly at: number;
  readonly fault: Fault;
  /** All that follow fail as well, as on a full disk. */
  readonly lasts?: boolean;
}

/** Calls that a full or read-only disk refuses. */
const CHANGES: readonly Call[] = ["create", "write", "rename", "link", "directory"];

/** Thrown at the call at which everything stops, and at all that follow. */
export class Stopped extends Error {
  override name = "Stopped";
}

/** The file system; `using` takes it away again. */
export class FaultDisk implements Disk, Disposable {
  readonly operations: Operation[] = [];
  /** Every call so far, in order. */
  readonly calls: Call[] = [];
  /** Syncs of these paths are not carried out: what depends on them must be found out. */
  readonly withoutSync: (path: string) => boolean;
  stopped = false;
  readonly #root: string;
  readonly #plan: Plan | undefined;
  readonly #before: Disk;
  readonly #files = new Map<number, number>();
  readonly #open = new Set<Deno.FsFile>();
  #next = 1;
  #full: string | undefined;

  /** @param root only what is below it counts */
  constructor(root: string, plan?: Plan, withoutSync: (path: string) => boolean = () => false) {
    this.#root = root;
    this.#plan = plan;
    this.withoutSync = withoutSync;
    this.#recordTree(root);
    this.#before = replaceDisk(this);
  }

  /** What is there from the start has been on the disk for long. */
  #recordTree(directory: string): void {
    for (const entry of Deno.readDirSync(directory)) {
      const path = `${directory}/${entry.name}`;
      const mode = (Deno.lstatSync(path).mode ?? 0) & 0o7777;
      if (entry.isDirectory) {
        this.record({ kind: "directory", path, mode });
        this.#recordTree(path);
        continue;
      }
      const file = this.#numberOf(path);
      this.record({ kind: "create", path, file, mode });
      this.record({ kind: "write", file, offset: 0, bytes: Deno.readFileSync(path) });
      this.record({ kind: "sync", file });
    }
    this.record({ kind: "syncDirectory", path: directory });
  }

  /** Takes the file system away; what a stopped system had open is closed, and its locks end. */
  [Symbol.dispose](): void {
    replaceDisk(this.#before);
    if (!this.stopped) return;
    for (const file of this.#open) file.close();
  }

  /** Files that are open. */
  track(file: Deno.FsFile, open: boolean): void {
    if (open) this.#open.add(file);
    else this.#open.delete(file);
  }

  /** A call is to fail. */
  get planned(): boolean {
    return this.#plan !== undefined;
  }

  /** Somebody was told something. */
  note(text: string): void {
    if (!this.stopped) this.operations.push({ kind: "note", text });
  }

  /** Counts a call, and throws when it is the one that fails; "short" is for the caller. */
  meet(call: Call): "short" | undefined {
    if (this.stopped) throw new Stopped("the system has stopped");
    const plan = this.#plan;
    const number = this.calls.push(call) - 1;
    if (plan === undefined || number < plan.at) return undefined;
    if (number === plan.at) return this.#fail(plan.fault);
    if (plan.lasts === true && CHANGES.includes(call)) return this.#fail(plan.fault);
    return undefined;
  }

  #fail(fault: Fault): "short" {
    if (fault === "short") return "short";
    if (fault === "stop") {
      this.stopped = true;
      throw new Stopped("the system stops");
    }
    throw systemError(fault);
  }

  record(operation: Operation): void {
    this.operations.push(operation);
  }

  #ours(path: string): boolean {
    return path.startsWith(this.#root);
  }

  /** The number by which a file goes. */
  #numberOf(path: string): number {
    const inode = Deno.lstatSync(path).ino!;
    let number = this.#files.get(inode);
    if (number === undefined) this.#files.set(inode, number = this.#next++);
    return number;
  }

  openSync(path: string | URL, options: Deno.OpenOptions = {}): DiskFile {
    const name = String(path);
    if (!this.#ours(name)) return Deno.openSync(path, options);
    this.meet(options.createNew === true ? "create" : "open");
    const file = Deno.openSync(path, options);
    const stat = file.statSync();
    if (stat.isDirectory) return new FaultFile(this, file, name, undefined, this.withoutSync(name));
    if (options.createNew === true) {
      this.#files.set(stat.ino!, this.#next++);
      const mode = (stat.mode ?? 0) & 0o7777;
      this.record({ kind: "create", path: name, file: this.#files.get(stat.ino!)!, mode });
    }
    const number = this.#numberOf(name);
    return new FaultFile(this, file, name, number, this.withoutSync(name), options.append === true);
  }

  renameSync(from: string | URL, to: string | URL): void {
    if (!this.#ours(String(from))) return Deno.renameSync(from, to);
    this.meet("rename");
    Deno.renameSync(from, to);
    this.record({ kind: "rename", from: String(from), to: String(to) });
  }

  linkSync(from: string, to: string): void {
    if (!this.#ours(from)) return Deno.linkSync(from, to);
    this.meet("link");
    Deno.linkSync(from, to);
    this.record({ kind: "link", from, to });
  }

  removeSync(path: string | URL): void {
    if (!this.#ours(String(path))) return Deno.removeSync(path);
    this.meet("remove");
    Deno.removeSync(path);
    this.record({ kind: "remove", path: String(path) });
  }

  mkdirSync(path: string | URL, options?: Deno.MkdirOptions): void {
    if (!this.#ours(String(path))) return Deno.mkdirSync(path, options);
    this.meet("directory");
    Deno.mkdirSync(path, options);
    this.record({ kind: "directory", path: String(path), mode: options?.mode ?? 0o755 });
  }

  chmodSync(path: string | URL, mode: number): void {
    if (!this.#ours(String(path))) return Deno.chmodSync(path, mode);
    this.meet("mode");
    Deno.chmodSync(path, mode);
    if (Deno.lstatSync(path).isDirectory) return;
    this.record({ kind: "mode", file: this.#numberOf(String(path)), mode });
  }

  utimeSync(path: string | URL, accessed: number | Date, modified: number | Date): void {
    if (this.#ours(String(path))) this.meet("time");
    Deno.utimeSync(path, accessed, modified);
  }

  chownSync(path: string | URL, uid: number | null, gid: number | null): void {
    if (this.stopped) throw new Stopped("the system has stopped");
    Deno.chownSync(path, uid, gid);
  }

  lstatSync(path: string | URL): Deno.FileInfo {
    if (this.stopped) throw new Stopped("the system has stopped");
    return Deno.lstatSync(path);
  }

  readDirSync(path: string | URL): IteratorObject<Deno.DirEntry> {
    if (this.stopped) throw new Stopped("the system has stopped");
    return Deno.readDirSync(path);
  }

  realPathSync(path: string | URL): string {
    return Deno.realPathSync(path);
  }

  /** A write that fell short: the disk is full for this file from here on. */
  full(path: string): void {
    this.#full = path;
  }

  isFull(path: string): boolean {
    return this.#full === path;
  }
}

/** An open file of it; without a number it is a directory. */
class FaultFile implements DiskFile {
  readonly #disk: FaultDisk;
  readonly #file: Deno.FsFile;
  readonly #path: string;
  readonly #number: number | undefined;
  readonly #withoutSync: boolean;
  readonly #append: boolean;

  constructor(
    disk: FaultDisk,
    file: Deno.FsFile,
    path: string,
    number: number | undefined,
    withoutSync: boolean,
    append = false,
  ) {
    this.#disk = disk;
    this.#file = file;
    this.#path = path;
    this.#number = number;
    this.#withoutSync = withoutSync;
    this.#append = append;
    disk.track(file, true);
  }

  readSync(buffer: Uint8Array): number | null {
    this.#disk.meet("read");
    return this.#file.readSync(buffer);
  }

  writeSync(bytes: Uint8Array): number {
    const short = this.#disk.meet("write") === "short";
    if (this.#disk.isFull(this.#path)) throw systemError("ENOSPC");
    if (short) this.#disk.full(this.#path);
    const offset = this.#append ? this.#file.statSync().size : this.#file.seekSync(0, Deno.SeekMode.Current);
    const count = this.#file.writeSync(short ? bytes.subarray(0, bytes.length >> 1) : bytes);
    this.#disk.record({ kind: "write", file: this.#number!, offset, bytes: bytes.slice(0, count) });
    return count;
  }

  seekSync(offset: number | bigint, whence: Deno.SeekMode): number {
    return this.#file.seekSync(offset, whence);
  }

  statSync(): Deno.FileInfo {
    if (this.#disk.stopped) throw new Stopped("the system has stopped");
    return this.#file.statSync();
  }

  truncateSync(size = 0): void {
    this.#disk.meet("truncate");
    this.#file.truncateSync(size);
    this.#disk.record({ kind: "truncate", file: this.#number!, size });
  }

  /** Nothing is synced in earnest: the states of the disk are made from what is written down. */
  syncSync(): void {
    this.#disk.meet("sync");
    if (this.#withoutSync) return;
    if (this.#number === undefined) this.#disk.record({ kind: "syncDirectory", path: this.#path });
    else this.#disk.record({ kind: "sync", file: this.#number });
  }

  async sync(): Promise<void> {
    await Promise.resolve();
    this.syncSync();
  }

  async lock(exclusive?: boolean): Promise<void> {
    await this.#file.lock(exclusive);
  }

  tryLockSync(exclusive?: boolean): boolean {
    if (this.#disk.stopped) throw new Stopped("the system has stopped");
    return this.#file.tryLockSync(exclusive);
  }

  unlockSync(): void {
    this.#file.unlockSync();
  }

  close(): void {
    if (this.#disk.stopped) return; // closed with the system
    this.#disk.track(this.#file, false);
    this.#file.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

const TEXTS: Readonly<Record<string, string>> = {
  ENOSPC: "No space left on device",
  EIO: "Input/output error",
  EMFILE: "Too many open files",
  EROFS: "Read-only file system",
};

function systemError(code: string): Error {
  return Object.assign(new Error(`${TEXTS[code]} (os error)`), { code });
}
