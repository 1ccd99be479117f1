/**
 * The text format of postmap(1): `key whitespace value` on each logical line. The key ends at the first white space
 * outside double quotes and is kept as written, quotes and backslashes included.
 *
 * @module
 */
// Utility
import { asciiLower } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
// Tables
import { isSpaceUnit, logicalLines, trimSpace } from "./logical_lines.ts";
import type { Warn } from "./table.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** How keys are stored. */
export interface MapReading {
  readonly foldKeys: boolean;
  /** Name for the warnings. */
  readonly file: string;
  readonly warn: Warn;
  /** What a later entry for a key does: is told of (default), left out in silence, or stands in place of the first. */
  readonly duplicates?: "warn" | "ignore" | "replace";
  /** Gets the line of each entry that stands. */
  readonly lines?: Map<string, number>;
  /** Take text that is not UTF-8 as well. */
  readonly anyBytes?: boolean;
}

/** The entries of a file in the format of postmap(1). The first of several equal keys stands, as in Postfix. */
export function parseMapSource(text: string, how: MapReading): Map<string, string> {
  const entries = new Map<string, string>();
  for (const line of logicalLines(text, how.file, how.warn, how.anyBytes)) {
    const warn = (what: string) => how.warn({ file: how.file, line: line.line, text: what });
    const end = keyEnd(line.text);
    if (end === undefined) {
      warn(`unbalanced '"' in '${printable(line.text)}' -- ignoring this line`);
      continue;
    }
    const key = line.text.slice(0, end);
    const value = trimSpace(line.text.slice(end));
    if (key === "" || value === "") {
      warn("expected format: key whitespace value -- ignoring this line");
      continue;
    }
    if (key.endsWith(":")) warn('record is in "key: value" format; is this an alias file?');
    storeEntry(entries, key, value, how, warn, line.line);
  }
  return entries;
}

/** Adds an entry; when its key is there already, `duplicates` says what happens. */
export function storeEntry(
  entries: Map<string, string>,
  key: string,
  value: string,
  how: Pick<MapReading, "foldKeys" | "duplicates" | "lines">,
  warn: (text: string) => void,
  line: number,
): void {
  const stored = how.foldKeys ? asciiLower(key) : key;
  if (!entries.has(stored) || how.duplicates === "replace") {
    entries.set(stored, value);
    how.lines?.set(stored, line);
  } else if (how.duplicates !== "ignore") warn(`duplicate entry: "${printable(stored)}"`);
}

/** Where the key of a line ends, or undefined when its quotes are unbalanced. */
function keyEnd(text: string): number | undefined {
  let quoted = false;
  let at = 0;
  for (; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === BACKSLASH) at++;
    else if (unit === QUOTE) quoted = !quoted;
    else if (!quoted && isSpaceUnit(unit)) break;
  }
  return quoted ? undefined : Math.min(at, text.length);
}
