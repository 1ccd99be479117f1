/**
 * The files that a helper may read for local: a user's .forward, or an :include: list. What they name beside addresses
 * is told to master before anybody gets the content: master runs and writes for local what a file named, and nothing
 * that local says a file named.
 *
 * @module
 */
// Utility
import { decodeText } from "../../lib/vstring/byte_builder.ts";
// Wire protocols
import { type ServerExchange } from "../../lib/ipc/server.ts";
import { CHUNK_LIMIT, type MAILBOX, REASON_LIMIT } from "../../lib/proto/protocols.ts";
// Server skeleton
import { parseTargets, targetLines, targetNames } from "../../lib/server/local_target.ts";
import { findTargetFile, type TargetFiles } from "../../lib/server/target_files.ts";

/** Most commands, files and lists that one file may name. */
export const NAMES_LIMIT = 1000;

/** What is read, and how. */
export interface FilesOptions extends TargetFiles {
  readonly lineLimit: number;
  /** Tells master what the file names. */
  readonly names: (items: readonly string[]) => void;
}

/** Answers a request for the first of the files that exists. */
export function replyFile(exchange: ServerExchange<typeof MAILBOX>, options: FilesOptions): void {
  const found = findTargetFile(options);
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
