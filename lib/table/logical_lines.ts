/**
 * The logical lines of a Postfix text file: a line that begins with white space continues the one before; lines
 * that are empty or whose first character is `#` are skipped, between continuation lines too.
 *
 * @module
 */
import type { Warn } from "./table.ts";

/** One logical line and the number of the physical line that it begins on. */
export interface LogicalLine {
  readonly line: number;
  readonly text: string;
}

const HASH = 0x23;

/** White space as C's isspace has it: space, tab, LF, VT, FF, CR. */
export function isSpaceUnit(unit: number): boolean {
  return unit === 0x20 || (unit >= 0x09 && unit <= 0x0d);
}

/** The text without leading and trailing white space. */
export function trimSpace(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isSpaceUnit(value.charCodeAt(start))) start++;
  while (end > start && isSpaceUnit(value.charCodeAt(end - 1))) end--;
  return value.slice(start, end);
}

/** Index of the first unit at or after `from` that is no white space, or the length. */
export function skipSpace(value: string, from: number): number {
  let at = from;
  while (at < value.length && isSpaceUnit(value.charCodeAt(at))) at++;
  return at;
}

/** Index of the first white space at or after `from`, or the length. */
export function findSpace(value: string, from: number): number {
  let at = from;
  while (at < value.length && !isSpaceUnit(value.charCodeAt(at))) at++;
  return at;
}

/**
 * Splits the text of a file into its logical lines, as Postfix's readllines() does.
 *
 * @param file name for the warnings
 * @param warn is told of lines that are left out: a continuation of nothing, text that is not UTF-8, a NUL
 * @param anyBytes takes text that is not UTF-8 as well
 */
export function logicalLines(text: string, file: string, warn: Warn, anyBytes = false): LogicalLine[] {
  const lines: LogicalLine[] = [];
  let pieces: string[] = [];
  let first = 0;
  const finish = () => {
    if (pieces.length > 0) keepLine({ line: first, text: pieces.join("") }, lines, file, warn, anyBytes);
    pieces = [];
  };
  let number = 0;
  for (let start = 0; start < text.length;) {
    let end = text.indexOf("\n", start);
    if (end < 0) end = text.length;
    number++;
    const at = skipSpace(text, start);
    if (at < end && text.charCodeAt(at) !== HASH) {
      if (at === start) finish();
      if (pieces.length === 0) first = number;
      pieces.push(text.slice(start, end));
    }
    start = end + 1;
  }
  finish();
  return lines;
}

/** Keeps a logical line unless it is one that no table may hold. */
function keepLine(
  line: LogicalLine,
  lines: LogicalLine[],
  file: string,
  warn: Warn,
  anyBytes: boolean,
): void {
  if (isSpaceUnit(line.text.charCodeAt(0))) {
    warn({
      file,
      line: line.line,
      text: "logical line must not start with whitespace -- ignoring this line",
    });
  } else if (!anyBytes && !line.text.isWellFormed()) {
    warn({ file, line: line.line, text: "non-UTF-8 input -- ignoring this line" });
  } else if (line.text.includes("\0")) {
    warn({ file, line: line.line, text: "NUL character in input -- ignoring this line" });
  } else lines.push(line);
}
