/**
 * Takes the messages of a stopped mail system's queue over into ours.
 *
 * Each batch of messages goes through three states, so that a crash at any point loses none and doubles none:
 *
 * 1. Copies are made in a staging folder that only we may enter, synced, their folder too. Until then the source is
 *    as it was; what is staged is thrown away by the next run.
 * 2. The source's files are moved aside, out of its queues but still below its root, and that is synced. From here on
 *    the staged copy is the message: the source would not deliver it any more.
 * 3. The staged copies are renamed into our queue, logs before messages, under ids that hold their inode numbers. A
 *    run that comes after a crash finds a staged file whose source is aside, and goes on here.
 *
 * Nothing is ever removed from the source: what was moved aside stays there until an administrator removes it.
 *
 * @module
 */
// Safe primitives
import {
  type FileStat,
  listDirectory,
  lookAt,
  makeDirectory,
  readTextFile,
  removeFile,
  renameFile,
  replaceFile,
  safeCreate,
  type SafeFile,
  safeOpen,
  setFileMode,
  setFileOwner,
  setFileTime,
  syncDirectory,
} from "../lib/safe/file.ts";
import { dirname } from "../lib/safe/path.ts";
import { ownUid } from "../lib/safe/process.ts";
// Utility
import { encodeText } from "../lib/vstring/byte_builder.ts";
import { printable } from "../lib/vstring/printable.ts";
// Mail
import {
  QUEUE_FILE_CORRUPT,
  QUEUE_FILE_READY,
  QUEUE_FILE_UNREADY,
  type QueueDirectory,
} from "../lib/mail/queue_directory.ts";
import { inodeOf, makeQueueId, type QueueId, toQueueId } from "../lib/mail/queue_id.ts";
// Server skeleton
import type { QueueOwner } from "../lib/server/prepare_queue.ts";
import { isLongId, withInode } from "../lib/server/queue_structure.ts";
// This program
import { findDamage } from "./import_check.ts";
import type { Reporter } from "./postsuper_report.ts";

/** The queues whose messages are taken over, in this order. */
export const IMPORTED_QUEUES = ["incoming", "active", "deferred", "hold", "maildrop"] as const;
export type ImportedQueue = typeof IMPORTED_QUEUES[number];

const LOG_QUEUES = ["bounce", "defer", "trace"] as const;
type LogQueue = typeof LOG_QUEUES[number];

/** Queues in which an id of ours must not be taken. */
const OUR_QUEUES = [...IMPORTED_QUEUES, "corrupt"] as const;
/** Folder of our queue directory for copies that are not messages yet. */
const STAGING = "import";
/** File in it that tells whose copies they are. */
const JOURNAL = "source";
/** Folder of the source for what was taken over, one below it for each run. */
const ASIDE = "imported";
/** Messages that share the cost of syncing the folders. */
const BATCH = 100;
const CHUNK = 256 * 1024;
const JOURNAL_LIMIT = 65536;
/** Deepest subdirectory of a queue that is looked into (Postfix: hash_queue_depth is at most 32). */
const DEPTH_LIMIT = 32;

/** What is imported, and where to. */
export interface Import {
  /** The other system's queue directory. */
  readonly source: string;
  readonly target: QueueDirectory;
  /** enable_long_queue_ids */
  readonly longIds: boolean;
  /** Owner of our queue; undefined: we ourselves. */
  readonly owner: QueueOwner | undefined;
  /** Name of this run's folder for what was taken over. */
  readonly run: string;
  readonly report: Reporter;
}

/** What became of the source's files. */
export interface ImportCounts {
  readonly taken: Map<ImportedQueue, number>;
  /** Damaged files, saved in corrupt/. */
  corrupt: number;
  /** Files that stay where they are: unfinished, in use, not regular. */
  left: number;
}

/** A message of the source. */
interface Found {
  readonly queue: ImportedQueue;
  readonly id: QueueId;
  readonly path: string;
}

/** Does the import; the caller sees to it that neither mail system runs. */
export async function importQueue(given: Import): Promise<ImportCounts> {
  const work = new QueueImport(given);
  await work.finishEarlier();
  await work.run();
  return work.counts;
}

class QueueImport {
  readonly #given: Import;
  readonly #staging: string;
  #aside: string;
  readonly #logs = new Map<string, string>();
  readonly #seen = new Set<string>();
  readonly counts: ImportCounts = {
    taken: new Map(IMPORTED_QUEUES.map((queue) => [queue, 0])),
    corrupt: 0,
    left: 0,
  };

  constructor(given: Import) {
    this.#given = given;
    this.#staging = `${given.target.root}/${STAGING}`;
    this.#aside = `${given.source}/${ASIDE}/${given.run}`;
  }

  /** Goes on with what an earlier run left when it was cut off. */
  async finishEarlier(): Promise<void> {
    const journal = `${this.#staging}/${JOURNAL}`;
    if (lookAt(journal) === undefined) return this.#clearStaging();
    const [source, run] = readTextFile(journal, JOURNAL_LIMIT).split("\n");
    if (source !== this.#given.source || run === undefined) {
      throw new Error(`Cannot import: an import from "${source}" was cut off and must be finished first`);
    }
    const fresh = this.#aside;
    this.#aside = `${this.#given.source}/${ASIDE}/${run}`;
    const staged = listDirectory(this.#staging);
    const messages = staged.flatMap((name) => {
      const [queue = "", id = "", log] = name.split(".");
      const known = IMPORTED_QUEUES.find((one) => one === queue);
      const valid = toQueueId(id);
      return known === undefined || valid === undefined || log !== undefined
        ? []
        : [{ queue: known, id: valid }];
    });
    const sure = messages.filter(({ queue, id }) => lookAt(`${this.#aside}/${queue}/${id}`) !== undefined);
    this.#findLogs();
    for (const { id } of sure) this.#moveLogsAside(id, new Set());
    await this.#place(sure);
    this.#clearStaging();
    this.#aside = fresh;
  }

  async run(): Promise<void> {
    this.#findLogs();
    let batch: Found[] = [];
    for (const queue of IMPORTED_QUEUES) {
      for (const found of this.#messages(queue, `${this.#given.source}/${queue}`, 0)) {
        batch.push(found);
        if (batch.length < BATCH) continue;
        await this.#take(batch);
        batch = [];
      }
    }
    await this.#take(batch);
    this.#clearStaging();
  }

  /** One batch through the three states. */
  async #take(batch: readonly Found[]): Promise<void> {
    if (batch.length === 0) return;
    await this.#openStaging();
    const staged: Found[] = [];
    for (const found of batch) {
      const name = stagedName(found);
      // Two subdirectories may hold the same id: the second copy would take the place of the first.
      if (this.#seen.has(name)) this.#leave(found, "another file has the same id");
      else if (await this.#stage(found)) staged.push(found);
      this.#seen.add(name);
    }
    await syncDirectory(this.#staging);
    await this.#moveAside(staged);
    await this.#place(staged);
  }

  /** A folder that the queue's owner cannot enter: nobody swaps a file while root gives it away. */
  async #openStaging(): Promise<void> {
    if (lookAt(`${this.#staging}/${JOURNAL}`) !== undefined) return;
    makeDirectory(this.#staging, 0o700);
    await replaceFile(
      `${this.#staging}/${JOURNAL}`,
      encodeText(`${this.#given.source}\n${this.#given.run}\n`),
      0o600,
    );
  }

  #clearStaging(): void {
    if (lookAt(this.#staging) === undefined) return;
    // The journal goes last: without it, what is staged is nobody's.
    const names = listDirectory(this.#staging).filter((name) => name !== JOURNAL);
    for (const name of names) removeFile(`${this.#staging}/${name}`);
    removeFile(`${this.#staging}/${JOURNAL}`);
    removeFile(this.#staging);
  }

  /** Copies a message and its logs; false when it stays where it is. */
  async #stage(found: Found): Promise<boolean> {
    const opened = safeOpen(found.path, { access: "read" });
    if (opened.kind === "missing") return false;
    if (opened.kind === "refused") return this.#leave(found, opened.why);
    using file = opened.file;
    const stat = file.stat();
    const state = stat.mode & QUEUE_FILE_READY;
    if (state === QUEUE_FILE_UNREADY) return this.#leave(found, "is incomplete: it was never acknowledged");
    if (state !== QUEUE_FILE_READY && state !== QUEUE_FILE_CORRUPT) {
      return this.#leave(found, `has mode ${stat.mode.toString(8)}`);
    }
    // A delivery agent of the stopped system may have it in hand still.
    if (!file.tryLock("exclusive")) return this.#leave(found, "is being delivered");
    const name = stagedName(found);
    await this.#copy(file, `${this.#staging}/${name}`, this.#attributesOf(found, stat));
    for (const queue of LOG_QUEUES) {
      const path = this.#logs.get(`${queue}/${found.id}`);
      const log = path === undefined ? undefined : safeOpen(path, { access: "read" });
      if (log?.kind === "refused") this.#given.report.warning(`${queue}/${found.id}: ${log.why}: left`);
      if (log?.kind !== "opened") continue;
      using source = log.file;
      const { mode, modified } = source.stat();
      await this.#copy(source, `${this.#staging}/${name}.${queue}`, {
        mode,
        time: modified,
        owner: this.#given.owner,
      });
    }
    return true;
  }

  #leave(found: Found, why: string): false {
    this.counts.left++;
    this.#given.report.warning(`${found.queue}/${found.id}: ${why}: left in ${dirname(found.path)}`);
    return false;
  }

  /** Mode, time and owner of the copy. */
  #attributesOf({ queue }: Found, stat: FileStat): FileAttributes {
    // The owner of a posted file is the proven identity of its sender.
    const sourceOwner = lookAt(`${this.#given.source}/${queue}`)?.uid;
    const posted = queue === "maildrop" && (stat.uid !== sourceOwner || (stat.mode & 0o004) !== 0);
    return {
      mode: stat.mode,
      // The next start of the old system would have tried them at once.
      time: queue === "active" ? Date.now() : stat.modified,
      owner: posted ? { uid: stat.uid, gid: stat.gid } : this.#given.owner,
    };
  }

  async #copy(source: SafeFile, path: string, { mode, time, owner }: FileAttributes): Promise<void> {
    removeFile(path);
    const made = safeCreate(path, QUEUE_FILE_UNREADY);
    if (made.kind === "exists") throw new Error(`Cannot create "${path}": the name is taken`);
    using file = made.file;
    const buffer = new Uint8Array(CHUNK);
    let offset = 0;
    for (;;) {
      const count = source.read(buffer, offset);
      if (count === 0) break;
      file.write(buffer.subarray(0, count));
      offset += count;
    }
    if (owner !== undefined && owner.uid !== ownUid()) setFileOwner(path, owner.uid, owner.gid);
    setFileMode(path, mode);
    setFileTime(path, time);
    await file.sync();
  }

  /**
   * Takes the originals out of the source's queues: from here on the copy counts. Messages first: until one is aside,
   * its logs must stay with it.
   */
  async #moveAside(staged: readonly Found[]): Promise<void> {
    if (staged.length === 0) return;
    const folders = new Set<string>([this.#given.source]);
    for (const { queue, id, path } of staged) this.#move(path, queue, id, folders);
    for (const { id } of staged) this.#moveLogsAside(id, folders);
    for (const folder of folders) await syncDirectory(folder);
  }

  #moveLogsAside(id: QueueId, folders: Set<string>): void {
    for (const queue of LOG_QUEUES) {
      const from = this.#logs.get(`${queue}/${id}`);
      if (from !== undefined) this.#move(from, queue, id, folders);
    }
  }

  /** Moves one file aside, and notes the folders that this changes. */
  #move(from: string, queue: ImportedQueue | LogQueue, id: QueueId, folders: Set<string>): void {
    const folder = `${this.#aside}/${queue}`;
    if (!folders.has(folder)) this.#makeAside(folder);
    renameFile(from, `${folder}/${id}`);
    folders.add(folder).add(this.#aside).add(dirname(this.#aside)).add(dirname(from));
  }

  #makeAside(folder: string): void {
    for (const path of [dirname(this.#aside), this.#aside, folder]) makeDirectory(path, 0o700);
  }

  /** Renames staged copies into our queue. */
  async #place(staged: readonly Omit<Found, "path">[]): Promise<void> {
    const { target, report } = this.#given;
    const folders = new Set<string>([this.#staging]);
    for (const { queue, id } of staged) {
      const name = stagedName({ queue, id });
      const from = `${this.#staging}/${name}`;
      const damage = this.#damageOf(queue, from);
      const next = this.#freeId(id, from);
      for (const log of LOG_QUEUES) {
        this.#ensureHash(log, next);
        if (renameFile(`${from}.${log}`, target.path(log, next))) {
          folders.add(dirname(target.path(log, next)));
        }
      }
      const to = damage !== undefined ? "corrupt" : queue === "active" ? "incoming" : queue;
      this.#ensureHash(to, next);
      if (!renameFile(from, target.path(to, next))) throw new Error(`Cannot place "${from}": it is gone`);
      folders.add(dirname(target.path(to, next)));
      if (damage === undefined) {
        this.counts.taken.set(queue, this.counts.taken.get(queue)! + 1);
        report.info(`${next}: imported from ${queue}/${id}`);
      } else {
        this.counts.corrupt++;
        report.warning(`${next}: ${printable(damage)}: ${queue}/${id} saved in corrupt queue`);
      }
    }
    for (const folder of folders) await syncDirectory(folder);
  }

  /** What is wrong with a staged message. A file of maildrop/ is judged by pickup, as its owner's word is. */
  #damageOf(queue: ImportedQueue, path: string): string | undefined {
    const opened = safeOpen(path, { access: "read" });
    if (opened.kind !== "opened") throw new Error(`Cannot open "${path}": it is ${opened.kind}`);
    using file = opened.file;
    if ((file.stat().mode & QUEUE_FILE_READY) === QUEUE_FILE_CORRUPT) return "marked as corrupt";
    return queue === "maildrop" ? undefined : findDamage((buffer, offset) => file.read(buffer, offset));
  }

  /** The message's id here: it holds the inode number of the copy, or is a long one that nobody else has. */
  #freeId(id: QueueId, path: string): QueueId {
    const { longIds, target } = this.#given;
    const inode = lookAt(path)!.inode;
    const taken = (name: QueueId) =>
      OUR_QUEUES.some((queue) => lookAt(target.path(queue, name)) !== undefined);
    if (isLongId(id) && longIds && !taken(id)) return id;
    const renamed = inodeOf(id) === undefined
      ? makeQueueId(Date.now() * 1000, inode, longIds)
      : withInode(id, inode, isLongId(id) && longIds);
    if (!taken(renamed)) return renamed;
    for (let time = Date.now() * 1000;; time++) {
      const fresh = makeQueueId(time, inode, longIds);
      if (!taken(fresh)) return fresh;
    }
  }

  #ensureHash(queue: Parameters<QueueDirectory["path"]>[0], id: QueueId): void {
    const { target, owner } = this.#given;
    const folder = dirname(target.path(queue, id));
    if (lookAt(folder) !== undefined) return;
    target.ensureHash(queue, id);
    if (owner === undefined) return;
    for (let path = folder; path !== target.directory(queue); path = dirname(path)) {
      setFileOwner(path, owner.uid, owner.gid);
    }
  }

  /** Where the source's logs are: its hash_queue_depth is not ours. */
  #findLogs(): void {
    for (const queue of LOG_QUEUES) {
      for (const [id, path] of filesBelow(`${this.#given.source}/${queue}`, 0)) {
        this.#logs.set(`${queue}/${id}`, path);
      }
    }
  }

  *#messages(queue: ImportedQueue, folder: string, depth: number): Generator<Found> {
    for (const [name, path] of filesBelow(folder, depth)) {
      const id = toQueueId(name);
      if (id !== undefined) yield { queue, id, path };
      else {
        this.counts.left++;
        this.#given.report.warning(`${queue}/${printable(name)}: is no queue file: left`);
      }
    }
  }
}

interface FileAttributes {
  readonly mode: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  /** Undefined: who made the file. */
  readonly owner: QueueOwner | undefined;
}

/** Name of a copy: queue ids have no dots. */
function stagedName({ queue, id }: { readonly queue: ImportedQueue; readonly id: QueueId }): string {
  return `${queue}.${id}`;
}

/** Names and paths of what is below a folder and no directory, at any depth that a hashed queue may have. */
function* filesBelow(folder: string, depth: number): Generator<readonly [name: string, path: string]> {
  for (const name of listDirectory(folder)) {
    const path = `${folder}/${name}`;
    if (lookAt(path)?.kind !== "directory") yield [name, path];
    else if (depth < DEPTH_LIMIT) yield* filesBelow(path, depth + 1);
  }
}
