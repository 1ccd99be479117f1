/**
 * Reading the files that say where a local user's mail goes: a .forward, or an :include: list. A mailbox helper reads them
 * with the rights that Postfix would; `postern explain` with its caller's.
 *
 * @module
 */
// Safe primitives
import { SystemError } from "../safe/error.ts";
import { type FileStat, lookAt, openLinked, type SafeFile, safeOpen } from "../safe/file.ts";

/** Longest file that is read, bytes: a list of some 400,000 addresses. */
export const FILE_LIMIT = 16 * 1024 * 1024;

const WORLD_WRITE = 0o002;

/** What is read, and how. */
export interface TargetFiles {
  /** In the order in which they count. */
  readonly files: readonly string[];
  /** Who may own a file beside root, which must then be no link; -1: anybody, and links are followed. */
  readonly owner: number;
  /** A directory that must be there; empty: it does not matter. */
  readonly home: string;
}

/** What became of reading. */
export type FoundFile =
  | { readonly kind: "read"; readonly index: number; readonly content: Uint8Array }
  | { readonly kind: "missing" }
  | { readonly kind: "refused" | "retry"; readonly index: number; readonly why: string };

/** The first of the files that exists. */
export function findTargetFile({ files, owner, home }: TargetFiles): FoundFile {
  if (home !== "") {
    const why = homeFault(home);
    if (why !== undefined) return { kind: "retry", index: 0, why };
  }
  for (const [index, path] of files.entries()) {
    try {
      if (lookAt(path) === undefined) continue;
    } catch (error) {
      // No way to it: as if it were not there, as in Postfix.
      if (!(error instanceof SystemError)) throw error;
      continue;
    }
    return read(path, index, owner);
  }
  return { kind: "missing" };
}

function homeFault(home: string): string | undefined {
  try {
    return lookAt(home) === undefined ? "no such directory" : undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function read(path: string, index: number, owner: number): FoundFile {
  try {
    const opened = owner < 0 ? openList(path) : openForward(path, owner);
    if (typeof opened === "string") return { kind: "refused", index, why: opened };
    using file = opened;
    if (file.size() > FILE_LIMIT) {
      return { kind: "refused", index, why: `file is longer than ${FILE_LIMIT} bytes` };
    }
    return { kind: "read", index, content: file.readAll(FILE_LIMIT) };
  } catch (error) {
    return { kind: "refused", index, why: error instanceof Error ? error.message : String(error) };
  }
}

/** A .forward: nobody but root and its user may decide where the user's mail goes. */
function openForward(path: string, owner: number): SafeFile | string {
  const opened = safeOpen(path, { access: "read" });
  if (opened.kind !== "opened") return opened.kind === "missing" ? "file is gone" : `file ${opened.why}`;
  const { uid, mode } = opened.file.stat();
  const why = uid !== 0 && uid !== owner
    ? `file has bad owner uid ${uid}`
    : (mode & WORLD_WRITE) !== 0
    ? "file is world writable"
    : undefined;
  if (why === undefined) return opened.file;
  opened.file.close();
  return why;
}

/** A list: its rights are those of this process, so that a link leads nowhere where the user could not go. */
function openList(path: string): SafeFile | string {
  // A FIFO would block the open. What is opened is looked at again.
  const before = lookAt(path);
  if (before?.kind === "other" || before?.kind === "directory") return "file is not a regular file";
  const file = openLinked(path);
  const stat: FileStat = file.stat();
  const why = stat.kind !== "file"
    ? "file is not a regular file"
    : (stat.mode & WORLD_WRITE) !== 0
    ? "file is world writable"
    : undefined;
  if (why === undefined) return file;
  file.close();
  return why;
}
