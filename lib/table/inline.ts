/**
 * Tables whose content stands in the configuration: `inline:{ key=value, { key = text with blanks } }`,
 * `static:value`, `static:{ text with blanks }` and `fail:why`.
 *
 * @module
 */
// Utility
import { asciiLower } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
// Tables
import { splitBraced, unbrace } from "./braces.ts";
import { trimSpace } from "./logical_lines.ts";
import { MISSING, type Outcome, type Place, refuse, type Table, type Warn } from "./table.ts";

/** Keys and values from the configuration itself. The last of several equal keys stands, as in Postfix. */
export class InlineTable implements Table {
  readonly spec: string;
  readonly partialKeys = true;
  readonly #content = new Map<string, string>();
  readonly #fold: boolean;

  /** @param name what stands behind `inline:` */
  constructor(spec: string, name: string, foldKeys: boolean, warn: Warn) {
    this.spec = spec;
    this.#fold = foldKeys;
    const place: Place = { spec, file: spec, line: 0 };
    for (const item of splitBraced(unbrace(name))) {
      const equals = item.text.indexOf("=");
      const key = trimSpace(item.text.slice(0, Math.max(equals, 0)));
      const value = trimSpace(item.text.slice(equals + 1));
      if (key === "") refuse(place, `need "inline:{name=value...}" instead of "${printable(item.text)}"`);
      if (value === "") refuse(place, `missing value of "${printable(key)}"`);
      const stored = foldKeys ? asciiLower(key) : key;
      if (this.#content.has(stored)) warn({ ...place, text: `duplicate entry: "${printable(stored)}"` });
      this.#content.set(stored, value);
    }
    if (this.#content.size === 0) refuse(place, 'need "inline:{name=value...}"');
  }

  lookup(key: string): Outcome {
    const value = this.#content.get(this.#fold ? asciiLower(key) : key);
    return value === undefined ? MISSING : { kind: "found", value };
  }

  entries(): Iterable<readonly [string, string]> {
    return this.#content;
  }
}

/** One value for every key. */
export class StaticTable implements Table {
  readonly spec: string;
  readonly partialKeys = true;
  readonly #outcome: Outcome;

  /** @param name what stands behind `static:` */
  constructor(spec: string, name: string) {
    this.spec = spec;
    const value = name.startsWith("{") ? unbrace(name) : name;
    if (value === "") refuse({ spec, file: spec, line: 0 }, "missing value");
    this.#outcome = { kind: "found", value };
  }

  lookup(): Outcome {
    return this.#outcome;
  }
}

/** A table that always fails softly: for tests of a configuration. */
export class FailTable implements Table {
  readonly spec: string;
  readonly partialKeys = false;

  constructor(spec: string) {
    this.spec = spec;
  }

  lookup(): Outcome {
    return { kind: "retry", why: `table ${this.spec}: lookup error` };
  }
}
