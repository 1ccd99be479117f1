/**
 * The configuration file of a database table: `name = value` on logical lines, as in main.cf but without `$name`.
 * A name that the type does not know is refused, so that a slip of the pen is not an open door.
 *
 * @module
 */
// Utility
import { asciiLower, parseDecimal, splitBlanks } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
// Tables
import { logicalLines, trimSpace } from "./logical_lines.ts";
import { type Place, refuse, type Warn } from "./table.ts";

/** Longest configuration file, bytes. */
export const PARAMETER_FILE_LIMIT = 256 * 1024;

/** The parameters of one file. */
export class ParameterFile {
  readonly path: string;
  readonly #spec: string;
  readonly #values = new Map<string, { readonly text: string; readonly line: number }>();

  /**
   * Parses the text.
   *
   * @param known the names that may stand there
   * @throws TableError that names the line
   */
  constructor(spec: string, path: string, text: string, known: readonly string[], warn: Warn) {
    this.#spec = spec;
    this.path = path;
    for (const { line, text: content } of logicalLines(text, path, warn)) {
      const equals = content.indexOf("=");
      const name = trimSpace(content.slice(0, Math.max(equals, 0)));
      const place = { spec, file: path, line };
      if (name === "") refuse(place, `missing '=' after attribute name: "${printable(content)}"`);
      if (!known.includes(name)) {
        refuse(place, `unknown parameter "${printable(name)}": there are ${known.join(", ")}`);
      }
      this.#values.set(name, { text: trimSpace(content.slice(equals + 1)), line });
    }
  }

  /** Where a parameter stands, for errors about it. */
  place(name: string): Place {
    return { spec: this.#spec, file: this.path, line: this.#values.get(name)?.line ?? 0 };
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The text of a parameter. */
  text(name: string, otherwise = ""): string {
    return this.#values.get(name)?.text ?? otherwise;
  }

  /** A text that must be there. */
  required(name: string): string {
    const text = this.text(name);
    if (text === "") refuse(this.place(name), `parameter "${name}" must be set`);
    return text;
  }

  /** A whole number within limits. */
  number(name: string, otherwise: number, least = 0, most = 0x7fffffff): number {
    if (!this.has(name)) return otherwise;
    const value = parseDecimal(this.text(name), most);
    if (value === undefined || value < least) {
      refuse(this.place(name), `bad numerical value of "${name}": "${printable(this.text(name))}"`);
    }
    return value;
  }

  /** yes or no. */
  flag(name: string, otherwise: boolean): boolean {
    if (!this.has(name)) return otherwise;
    const text = asciiLower(this.text(name));
    if (text !== "yes" && text !== "no") {
      refuse(this.place(name), `bad boolean value of "${name}": "${printable(text)}"`);
    }
    return text === "yes";
  }

  /** One of some words. */
  choice<T extends string>(name: string, words: readonly T[], otherwise: T): T {
    if (!this.has(name)) return otherwise;
    const found = words.find((word) => word === asciiLower(this.text(name)));
    if (found === undefined) {
      refuse(
        this.place(name),
        `bad value of "${name}": "${printable(this.text(name))}", not ${words.join(", ")}`,
      );
    }
    return found;
  }

  /** Words separated by blanks or commas. */
  words(name: string, otherwise: readonly string[] = []): readonly string[] {
    return this.has(name) ? splitBlanks(this.text(name), true) : otherwise;
  }
}
