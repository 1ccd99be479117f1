/**
 * The queue directory before the daemons start: its subdirectories with their modes and owners, the files in their
 * places, whoever put them there, and nothing left of a message that was never acknowledged. So the queue of a
 * Postfix that is stopped can be taken as it is.
 *
 * @module
 */
import type { Settings } from "../config/parameters.ts";
import type { Logger } from "../log/log.ts";
import {
  ensureDirectory,
  listDirectory,
  lookAt,
  makeDirectory,
  removeFile,
  renameFile,
  setFileMode,
  setFileOwner,
  syncDirectoryNow,
} from "../safe/file.ts";
import { dirname } from "../safe/path.ts";
import { ownGid, ownUid } from "../safe/process.ts";
import { printable } from "../vstring/printable.ts";
import {
  isTemporaryName,
  QUEUE_FILE_CORRUPT,
  QUEUE_FILE_READY,
  QUEUE_FILE_UNREADY,
  QueueDirectory,
  type QueueName,
} from "../mail/queue_directory.ts";
import { toQueueId } from "../mail/queue_id.ts";
import { repairQueues, STRUCTURE_QUEUES } from "./queue_structure.ts";

/** Whom the queue belongs to. */
export interface QueueOwner {
  readonly uid: number;
  readonly gid: number;
}

/** Permission to read for everybody: postdrop sets it, `postsuper -r` leaves it unset. */
const WORLD_READABLE = 0o004;
/** Queues whose files are the owner's, all of them. */
const OWNED_QUEUES: readonly QueueName[] = [
  "active",
  "bounce",
  "corrupt",
  "defer",
  "deferred",
  "flush",
  "hold",
  "incoming",
  "journal",
  "saved",
  "trace",
];

/** Subdirectories, their modes, and whether the queue's owner or root owns them (postfix-map section 2.1). */
const DIRECTORIES: readonly { readonly name: string; readonly mode: number; readonly root?: true }[] = [
  // Local users write and search, and cannot list or remove: sticky. First, while the owner of incoming/ still tells
  // whose the requeued files in it are.
  { name: "maildrop", mode: 0o1733 },
  { name: "active", mode: 0o700 },
  { name: "bounce", mode: 0o700 },
  { name: "corrupt", mode: 0o700 },
  { name: "data", mode: 0o700 },
  { name: "defer", mode: 0o700 },
  { name: "deferred", mode: 0o700 },
  { name: "flush", mode: 0o700 },
  { name: "hold", mode: 0o700 },
  { name: "incoming", mode: 0o700 },
  { name: "journal", mode: 0o700 },
  { name: "policy", mode: 0o700 },
  { name: "saved", mode: 0o700 },
  { name: "sts", mode: 0o700 },
  { name: "tlsrpt", mode: 0o700 },
  { name: "trace", mode: 0o700 },
  { name: "verify", mode: 0o700 },
  { name: "pid", mode: 0o755, root: true },
  // Root's, so that no daemon can put a socket of its own in the place of another's. Searched by daemons of two
  // users; the sockets' own modes say which of them may connect, and that no local user may.
  { name: "private", mode: 0o711, root: true },
  { name: "public", mode: 0o755, root: true },
];

/**
 * Makes what is missing and mends modes and owners, one log line for each mend.
 *
 * @param root the queue directory
 * @param owner the queue's owner; undefined: we ourselves
 */
export function prepareQueue(
  root: string,
  owner: QueueOwner | undefined,
  log: Pick<Logger, "info">,
): void {
  ensureDirectory(root);
  const previous = lookAt(`${root}/incoming`)?.uid;
  let some = false;
  for (const { name, mode, root: rootOwned } of DIRECTORIES) {
    const path = `${root}/${name}`;
    const made = makeDirectory(path, mode);
    some ||= made;
    const stat = lookAt(path);
    if (stat?.kind !== "directory") {
      throw new Error(`Cannot use queue directory "${path}": it is a ${stat?.kind ?? "missing"}`);
    }
    if (!made && stat.mode !== mode) {
      log.info(`mode of ${path} was ${stat.mode.toString(8)}, is now ${mode.toString(8)}`);
      setFileMode(path, mode);
    }
    const wanted = rootOwned ? ownUid() : owner?.uid ?? ownUid();
    if (stat.uid === wanted) continue;
    if (!made) log.info(`owner of ${path} was uid ${stat.uid}, is now uid ${wanted}`);
    setFileOwner(path, wanted, rootOwned ? stat.gid : owner?.gid ?? stat.gid);
    if (name === "maildrop" && !made) adoptRequeued(path, previous, owner ?? { uid: wanted, gid: stat.gid });
  }
  // A message that is synced in a directory whose own name is not on the disk is lost with it.
  if (some) { for (const path of [root, dirname(root)]) syncDirectoryNow(path); }
}

/**
 * Gives what `postsuper -r` has put into maildrop/ to the new owner. The owner of every other file there is the
 * identity of its sender and stays: nobody may pass off a file of his own as a requeued one.
 */
function adoptRequeued(directory: string, previous: number | undefined, owner: QueueOwner): void {
  for (const name of listDirectory(directory)) {
    const path = `${directory}/${name}`;
    const stat = lookAt(path);
    if (stat?.kind !== "file" || stat.links !== 1 || stat.uid !== previous) continue;
    if ((stat.mode & WORLD_READABLE) === 0) setFileOwner(path, owner.uid, owner.gid);
  }
}

/** The parameters that say where files belong. */
export type QueueSettings = Settings<
  "enable_long_queue_ids" | "hash_queue_depth" | "hash_queue_names" | "queue_directory"
>;

/**
 * Puts in order what is in the queue, one log line for each mend. Only for a start, when nobody uses the queue: it
 * gives files to the owner, removes what was being written when the system went down (its clients got no 250), sets
 * damaged files aside, and does what `postsuper -s` does.
 *
 * @param owner the queue's owner; undefined: we ourselves
 */
export function mendQueue(
  settings: QueueSettings,
  owner: QueueOwner | undefined,
  log: Pick<Logger, "info" | "warning">,
): void {
  const { queue_directory: root, hash_queue_names, hash_queue_depth } = settings;
  const directory = new QueueDirectory(root, hash_queue_names, hash_queue_depth);
  for (const queue of ["incoming", "active", "deferred"] as const) {
    sortOut(directory, queue, directory.directory(queue), log);
  }
  // By the names of now the journal knows its messages: they stay until qmgr has been through it, and the next start
  // looks at them.
  if (listDirectory(directory.directory("journal")).length === 0) {
    repairQueues({
      directory,
      hashed: new Set(hash_queue_names),
      depth: hash_queue_depth,
      longIds: settings.enable_long_queue_ids,
      queues: STRUCTURE_QUEUES,
      report: log,
      redundant: false,
    });
  }
  // Only the superuser can give files away, and needs to: an ordinary user's queue was always his own.
  if (ownUid() !== 0) return;
  const keeper = owner ?? { uid: ownUid(), gid: ownGid() };
  let adopted = 0;
  for (const queue of OWNED_QUEUES) adopted += adopt(directory.directory(queue), keeper);
  if (adopted > 0) log.info(`owner of ${adopted} files below ${root} is now uid ${keeper.uid}`);
}

/** Removes what was never acknowledged; a file that an agent has marked as corrupt is kept in corrupt/. */
function sortOut(
  directory: QueueDirectory,
  queue: QueueName,
  folder: string,
  log: Pick<Logger, "info" | "warning">,
): void {
  for (const name of listDirectory(folder)) {
    const path = `${folder}/${name}`;
    const stat = lookAt(path);
    if (stat?.kind === "directory") sortOut(directory, queue, path, log);
    if (stat?.kind !== "file") continue;
    const state = stat.mode & QUEUE_FILE_READY;
    const id = toQueueId(name);
    if (state === QUEUE_FILE_CORRUPT && id !== undefined) {
      renameFile(path, directory.path("corrupt", id));
      log.warning(`${queue}/${printable(name)}: marked as corrupt: saved in corrupt queue`);
    } else if (queue === "incoming" && (state === QUEUE_FILE_UNREADY || isTemporaryName(name))) {
      removeFile(path);
      log.info(`${printable(name)}: removed (incomplete message of an earlier run)`);
    }
  }
}

/** Gives a directory's content to the owner, each subdirectory before what is in it: by then nobody else can write there. */
function adopt(directory: string, owner: QueueOwner): number {
  let adopted = 0;
  for (const name of listDirectory(directory)) {
    const path = `${directory}/${name}`;
    const stat = lookAt(path);
    if (stat === undefined || (stat.kind !== "directory" && (stat.kind !== "file" || stat.links !== 1))) {
      continue;
    }
    if (stat.uid !== owner.uid) {
      setFileOwner(path, owner.uid, owner.gid);
      if (stat.kind === "file") adopted++;
    }
    if (stat.kind === "directory") adopted += adopt(path, owner);
  }
  return adopted;
}
