/**
 * Long lines folded as postconf -f folds them.
 *
 * @module
 */
// Utility
import { splitBlanks } from "../lib/vstring/ascii.ts";

/** Longest line, unless a word is longer. */
const LINE_LIMIT = 80;
const INDENT = "    ";

/** The line with line ends between words, what follows being indented. */
export function foldLine(line: string): string {
  let out = "";
  let length = 0;
  for (const word of splitBlanks(line)) {
    if (out === "") {
      out = word;
      length = word.length;
    } else if (length + 1 + word.length <= LINE_LIMIT) {
      out += ` ${word}`;
      length += 1 + word.length;
    } else {
      out += `\n${INDENT}${word}`;
      length = INDENT.length + word.length;
    }
  }
  return out;
}

/** A command with its options, each on a line of its own when folded. */
export function joinOptions(command: string, options: readonly string[], fold: boolean): string {
  return [command, ...options].join(fold ? `\n${INDENT}` : " ");
}
