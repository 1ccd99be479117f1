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
}

/** The entries of a file in the format of postmap(1). The first of several equal keys stands, as in Postfix. */
export function parseMapSource(text: string, how: MapReading): Map<string, string> {
  const entries = new Map<string, string>();
  for (const line of logicalLines(text, how.file, how.warn)) {
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
    storeEntry(entries, key, value, how.foldKeys, warn);
  }
  return entries;
}

/** Adds an entry unless its key is there already, which is warned about. */
export function storeEntry(
  entries: Map<string, string>,
  key: string,
  value: string,
  fold: boolean,
  warn: (text: string) => void,
): void {
  const stored = fold ? asciiLower(key) : key;
  if (entries.has(stored)) warn(`duplicate entry: "${printable(stored)}"`);
  else entries.set(stored, value);
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
