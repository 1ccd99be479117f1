/** Escapes of C's strings, as configuration and options have them. @module */

const LETTERS: ReadonlyMap<string, number> = new Map([
  ["a", 0x07],
  ["b", 0x08],
  ["f", 0x0c],
  ["n", 0x0a],
  ["r", 0x0d],
  ["t", 0x09],
  ["v", 0x0b],
  ["\\", 0x5c],
]);

/** What stands behind a backslash. */
export interface CEscape {
  /** Up to 0o777, as three digits may say more than a byte; undefined when C knows no such escape. */
  readonly code: number | undefined;
  /** UTF-16 units behind the backslash that belong to it, at least one. */
  readonly length: number;
}

/** The escape whose backslash is at `at`: one of the letters `abfnrtv`, a backslash, or one to three octal digits. */
export function readCEscape(text: string, at: number): CEscape {
  const digits = /^[0-7]{1,3}/.exec(text.slice(at + 1, at + 4))?.[0];
  if (digits !== undefined) return { code: parseInt(digits, 8), length: digits.length };
  return { code: LETTERS.get(text[at + 1] ?? ""), length: 1 };
}
