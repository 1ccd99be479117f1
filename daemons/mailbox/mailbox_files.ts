/**
 * The files that a helper may read for local: a user's .forward, or an :include: list. What they name beside addresses
 * is told to master before anybody gets the content: master runs and writes for local what a file named, and nothing
 * that local says a file named.
 *
 * @module
 */
// Safe primitives
import { SystemError } from "../../lib/safe/error.ts";
import { type FileStat, lookAt, openLinked, type SafeFile, safeOpen } from "../../lib/safe/file.ts";
// Utility
import { decodeText } from "../../lib/vstring/byte_builder.ts";
// Wire protocols
import { type ServerExchange } from "../../lib/ipc/server.ts";
import { CHUNK_LIMIT, type MAILBOX, REASON_LIMIT } from "../../lib/proto/protocols.ts";
// Server skeleton
import { parseTargets, targetLines, targetNames } from "../../lib/server/local_target.ts";

/** Longest file that is read, bytes: a list of some 400,000 addresses. */
export const FILE_LIMIT = 16 * 1024 * 1024;
/** Most commands, files and lists that one file may name. */
export const NAMES_LIMIT = 1000;

const WORLD_WRITE = 0o002;

/** What is read, and how. */
export interface FilesOptions {
  /** In the order in which they count. */
  readonly files: readonly string[];
  /** Who may own a file beside root, which must then be no link; -1: anybody, and links are followed. */
  readonly owner: number;
  /** A directory that must be there; empty: it does not matter. */
  readonly home: string;
  readonly lineLimit: number;
  /** Tells master what the file names. */
  readonly names: (items: readonly string[]) => void;
}

/** What became of reading. */
type Found =
  | { readonly kind: "read"; readonly index: number; readonly content: Uint8Array }
  | { readonly kind: "missing" }
  | { readonly kind: "refused" | "retry"; readonly index: number; readonly why: string };

/** Answers a request for the first of the files that exists. */
export function replyFile(exchange: ServerExchange<typeof MAILBOX>, options: FilesOptions): void {
  const found = find(options);
  if (found.kind === "missing") return exchange.reply("file", { kind: "missing", index: 0, why: "" });
  if (found.kind !== "read") {
    const { kind, index, why } = found;
    return exchange.reply("file", { kind, index, why: why.slice(0, REASON_LIMIT / 4) });
  }
  const { content, index } = found;
  options.names(namesIn(decodeText(content), options.lineLimit));
  for (let at = 0; at < content.length; at += CHUNK_LIMIT) {
    exchange.reply("piece", { content: content.subarray(at, at + CHUNK_LIMIT) });
  }
  exchange.reply("file", { kind: "read", index, why: "" });
}

/** The commands, files and lists that a file names. */
function namesIn(text: string, lineLimit: number): string[] {
  const names = new Set<string>();
  for (const line of targetLines(text, lineLimit)) {
    for (const name of targetNames(parseTargets(line) ?? [])) {
      if (names.size < NAMES_LIMIT) names.add(name);
    }
  }
  return [...names];
}

function find({ files, owner, home }: FilesOptions): Found {
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

function read(path: string, index: number, owner: number): Found {
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
