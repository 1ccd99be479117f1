/**
 * The queue's structure: names that hold the inode number, files in the subdirectory where they are looked for, no
 * leftovers.
 *
 * @module
 */
import { SystemError } from "../safe/error.ts";
import { type FileStat, listDirectory, lookAt, removeFile, renameFile } from "../safe/file.ts";
import { printable } from "../vstring/printable.ts";
import { QUEUE_FILE_READY, type QueueDirectory } from "../mail/queue_directory.ts";
import { hashedDirectory, inodeOf, makeQueueId, type QueueId, toQueueId } from "../mail/queue_id.ts";
import type { Logger } from "../log/log.ts";

/** The queues that are looked through. Logs come first: a message that gets another name finds them in their place. */
export const STRUCTURE_QUEUES = [
  "bounce",
  "defer",
  "trace",
  "maildrop",
  "incoming",
  "active",
  "deferred",
  "hold",
  "flush",
] as const;
type StructureQueue = typeof STRUCTURE_QUEUES[number];

/** Queues whose files are messages. */
const MESSAGE_QUEUES: ReadonlySet<StructureQueue> = new Set([
  "maildrop",
  "incoming",
  "active",
  "deferred",
  "hold",
]);
const LOG_QUEUES = ["bounce", "defer", "trace"] as const;
/** Marks a file that has been given a new name that another file may still have. */
const FIX_SUFFIX = "#FIX";
/** Age at which an unfinished file has no writer any more, milliseconds. */
const STALE_AGE = 7 * 24 * 3600 * 1000;

/** Hexadecimal digits of microseconds that a short id begins with. */
const SHORT_TIME_DIGITS = 5;
/** Characters before the `z` of a long id, at least. */
const LONG_TIME_DIGITS = 10;

/** What the work is done on. */
export interface Structure {
  readonly directory: QueueDirectory;
  readonly hashed: ReadonlySet<string>;
  readonly depth: number;
  /** enable_long_queue_ids */
  readonly longIds: boolean;
  readonly queues: readonly StructureQueue[];
  readonly report: Pick<Logger, "info" | "warning">;
}

/** A name found in a queue. */
interface Found {
  readonly path: string;
  readonly name: string;
  readonly stat: FileStat;
}

/** Removes files of more than seven days that were never completed. */
export function purgeQueues(structure: Structure): void {
  const oldest = Date.now() - STALE_AGE;
  for (const queue of structure.queues) {
    if (!MESSAGE_QUEUES.has(queue)) continue;
    for (const { path, stat } of filesOf(queue, structure)) {
      const unfinished = (stat.mode & QUEUE_FILE_READY) !== QUEUE_FILE_READY;
      if (stat.kind === "file" && unfinished && stat.modified < oldest) removeFile(path);
    }
  }
}

/**
 * Repairs names and places.
 *
 * Names are changed in two steps, as the new name of one file may still be the wrong name of another: first to the
 * new name with a mark, then the mark is taken off. A crash in between leaves marks, which the next run takes off.
 *
 * @returns messages whose id has changed
 */
export function repairQueues(structure: Structure & { readonly redundant: boolean }): number {
  const { report } = structure;
  let renamed = 0;
  let marked = false;
  for (const queue of structure.queues) {
    for (const found of filesOf(queue, structure)) {
      const { name } = found;
      if (name.endsWith(FIX_SUFFIX)) {
        marked = true;
        continue;
      }
      if (queue === "flush") continue; // its files are named after destinations
      const id = toFileId(queue, found);
      if (id === undefined) report.warning(`bogus file name: ${printable(relative(found.path, structure))}`);
      else if (isMisnamed(queue, id, found.stat, structure)) {
        markRenamed(queue, found.path, id, found.stat, structure);
        renamed++;
        marked = true;
      } else moveHome(queue, found.path, id, structure);
    }
  }
  if (marked) takeMarksOff(structure);
  for (const queue of structure.queues) removeDirectories(queue, structure);
  if (renamed > 0) {
    report.info(`Renamed to match inode number: ${renamed} message${renamed === 1 ? "" : "s"}`);
    report.warning("QUEUE FILE NAMES WERE CHANGED TO MATCH INODE NUMBERS");
  }
  return renamed;
}

/** A file's queue id; undefined for what is no file of the queue. A log's name is only compared with a message's. */
function toFileId(queue: StructureQueue, { name, stat }: Found): QueueId | undefined {
  const id = stat.kind === "file" ? toQueueId(name) : undefined;
  return id !== undefined && (!MESSAGE_QUEUES.has(queue) || inodeOf(id) !== undefined) ? id : undefined;
}

/** True for an id of the kind that is not used again. */
export function isLongId(id: string): boolean {
  return id.lastIndexOf("z") >= LONG_TIME_DIGITS;
}

/** The id with another inode number. */
export function withInode(id: QueueId, inode: number, long: boolean): QueueId {
  const name = long
    ? id.slice(0, id.lastIndexOf("z") + 1) + makeQueueId(0, inode, true).slice(LONG_TIME_DIGITS + 1)
    : hashedDirectory(id, SHORT_TIME_DIGITS).replaceAll("/", "") +
      makeQueueId(0, inode, false).slice(SHORT_TIME_DIGITS);
  const made = toQueueId(name);
  if (made === undefined) {
    throw new Error(`Cannot rename "${printable(id)}": "${printable(name)}" is no queue id`);
  }
  return made;
}

function isMisnamed(
  queue: StructureQueue,
  id: QueueId,
  stat: FileStat,
  structure: Structure & { readonly redundant: boolean },
): boolean {
  if (!MESSAGE_QUEUES.has(queue)) return false;
  const long = isLongId(id);
  // A long id is not used again: it need not hold the right inode number, as long as long ids are in use.
  if (long && structure.longIds && !structure.redundant) return false;
  return (long && !structure.longIds) || inodeOf(id) !== stat.inode;
}

/** Gives a message and its logs their new name with a mark. The logs go first: a message never loses sight of them. */
function markRenamed(
  queue: StructureQueue,
  path: string,
  id: QueueId,
  stat: FileStat,
  structure: Structure,
): void {
  const { directory } = structure;
  const next = withInode(id, stat.inode, isLongId(id) && structure.longIds);
  for (const log of LOG_QUEUES) {
    directory.ensureHash(log, next);
    renameFile(directory.path(log, id), directory.path(log, next) + FIX_SUFFIX);
  }
  directory.ensureHash(queue, next);
  renameFile(path, directory.path(queue, next) + FIX_SUFFIX);
}

function takeMarksOff(structure: Structure): void {
  const { directory, report } = structure;
  // A message in one queue has its logs in others: the marks of all queues belong together.
  for (const queue of STRUCTURE_QUEUES) {
    for (const { path, name } of filesOf(queue, { ...structure, queues: STRUCTURE_QUEUES })) {
      if (!name.endsWith(FIX_SUFFIX)) continue;
      const id = toQueueId(name.slice(0, -FIX_SUFFIX.length));
      const target = id === undefined ? undefined : directory.path(queue, id);
      if (target === undefined) report.warning(`bogus file name: ${printable(relative(path, structure))}`);
      else if (lookAt(target) === undefined) renameFile(path, target);
      else {
        report.warning(`${printable(relative(path, structure))}: there is a file with its right name`);
        report.warning("OPERATION INCOMPLETE -- RERUN COMMAND TO FIX THE QUEUE FIRST");
      }
    }
  }
}

/** Moves a file to the subdirectory where it is looked for. */
function moveHome(queue: StructureQueue, path: string, id: QueueId, structure: Structure): void {
  const { directory, report } = structure;
  const home = directory.path(queue, id);
  if (home === path) return;
  if (lookAt(home) !== undefined) {
    report.warning(`${printable(relative(path, structure))}: there is a file in its right place`);
    return;
  }
  directory.ensureHash(queue, id);
  renameFile(path, home);
}

/** The files of a queue, however deep; what is neither a file nor a directory is removed. */
function filesOf(queue: StructureQueue, structure: Structure): Found[] {
  return filesBelow(structure.directory.directory(queue), structure);
}

function filesBelow(directory: string, structure: Structure): Found[] {
  const found: Found[] = [];
  for (const name of listDirectory(directory)) {
    const path = `${directory}/${name}`;
    const stat = lookAt(path);
    if (stat === undefined) continue;
    if (stat.kind === "file") found.push({ path, name, stat });
    else if (stat.kind === "directory") {
      for (const one of filesBelow(path, structure)) found.push(one); // too many for one call's arguments
    } else {
      // Nothing that belongs here is a link, a socket or a device; what a link points to is not touched.
      structure.report.warning(`removed ${printable(relative(path, structure))}: it is no regular file`);
      removeFile(path);
    }
  }
  return found;
}

/** Removes the directories that a queue has no use for, once their files have moved. */
function removeDirectories(queue: StructureQueue, structure: Structure): void {
  const depth = structure.hashed.has(queue) ? structure.depth : 0;
  removeDirectoriesBelow(structure.directory.directory(queue), depth, structure);
}

function removeDirectoriesBelow(directory: string, depth: number, structure: Structure): void {
  for (const name of listDirectory(directory)) {
    const path = `${directory}/${name}`;
    if (lookAt(path)?.kind !== "directory") continue;
    removeDirectoriesBelow(path, depth - 1, structure);
    if (depth <= 0 || name.length !== 1) removeDirectory(path, structure);
  }
}

/** Removes a directory if it is empty. */
function removeDirectory(path: string, structure: Structure): void {
  try {
    removeFile(path);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    structure.report.warning(`remove subdirectory ${printable(relative(path, structure))}: not empty`);
  }
}

function relative(path: string, structure: Structure): string {
  return path.slice(structure.directory.root.length + 1);
}
