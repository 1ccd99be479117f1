/**
 * What a filter's file says that it may touch, read from its text. The file is not run for that: what decides about a
 * sandbox must not be made outside of one.
 *
 * @module
 */
// Utility
import { splitBlanks } from "../vstring/ascii.ts";
// Filters
import type { FilterMay } from "./filter.ts";

/** Largest file of a filter, bytes. */
export const FILTER_FILE_LIMIT = 1024 * 1024;
/** Limits of what may be asked for. */
const ITEMS_LIMIT = 100;
const TIME_MOST = 3600;
const MEMORY_LEAST = 16;
const MEMORY_MOST = 4096;

/** Thrown for a file without a declaration that can be read. */
export class FilterDeclarationError extends Error {
  override name = "FilterDeclarationError";
}

type Literal = string | number | readonly Literal[] | { readonly [name: string]: Literal };

const MARK = "export const may";

/** The declaration in a file's text. Throws a FilterDeclarationError. */
export function parseFilterDeclaration(text: string): FilterMay {
  const lines = text.split("\n");
  const line = lines.findIndex((one) => one.startsWith(MARK));
  if (line < 0) throw new FilterDeclarationError(`no line begins with "${MARK}"`);
  const rest = lines.slice(line).join("\n");
  const equals = rest.indexOf("=");
  const found = new LiteralReader(rest, equals < 0 ? rest.length : equals + 1).value();
  if (typeof found !== "object" || Array.isArray(found)) throw new FilterDeclarationError("it is no object");
  return checked(found as { readonly [name: string]: Literal });
}

function checked(declared: { readonly [name: string]: Literal }): FilterMay {
  const known = new Set(["reads", "net", "time", "memory"]);
  const unknown = Object.keys(declared).find((name) => !known.has(name));
  if (unknown !== undefined) throw new FilterDeclarationError(`"${unknown}" is nothing that it may be`);
  return {
    reads: texts(declared, "reads", (item) => item.startsWith("/"), "an absolute path"),
    net: texts(declared, "net", isEndpoint, '"host:port" or "unix:/path"'),
    time: number(declared, "time", 1, TIME_MOST),
    memory: number(declared, "memory", MEMORY_LEAST, MEMORY_MOST),
  };
}

function texts(
  declared: { readonly [name: string]: Literal },
  name: string,
  good: (item: string) => boolean,
  form: string,
): string[] {
  const value = declared[name];
  if (!Array.isArray(value) || value.length > ITEMS_LIMIT) {
    throw new FilterDeclarationError(`"${name}" must be a list of at most ${ITEMS_LIMIT}`);
  }
  return value.map((item) => {
    // A comma would end an item in the runtime's flags.
    if (typeof item === "string" && !item.includes(",") && splitBlanks(item).length === 1 && good(item)) {
      return item;
    }
    throw new FilterDeclarationError(`"${name}" has an item that is not ${form}`);
  });
}

function isEndpoint(item: string): boolean {
  if (item.startsWith("unix:")) return item[5] === "/";
  const colon = item.lastIndexOf(":");
  const port = Number(item.slice(colon + 1));
  return colon > 0 && Number.isInteger(port) && port > 0 && port <= 65535;
}

function number(
  declared: { readonly [name: string]: Literal },
  name: string,
  least: number,
  most: number,
): number {
  const value = declared[name];
  if (typeof value === "number" && value >= least && value <= most) return value;
  throw new FilterDeclarationError(`"${name}" must be a number from ${least} to ${most}`);
}

/** Reads a literal: texts in double quotes, whole numbers, lists, objects with plain names. */
class LiteralReader {
  readonly #text: string;
  #at: number;

  constructor(text: string, from: number) {
    this.#text = text;
    this.#at = from;
  }

  value(depth = 0): Literal {
    const next = this.#next();
    if (depth > 3) throw this.#error();
    if (next === '"') return this.#string();
    if (next === "[") return this.#list(depth);
    if (next === "{") return this.#object(depth);
    return this.#number();
  }

  #list(depth: number): Literal[] {
    const items: Literal[] = [];
    this.#at++;
    while (this.#next() !== "]") {
      items.push(this.value(depth + 1));
      this.#separator("]");
    }
    this.#at++;
    return items;
  }

  #object(depth: number): { [name: string]: Literal } {
    const entries: [string, Literal][] = [];
    this.#at++;
    while (this.#next() !== "}") {
      const name = this.#word();
      if (this.#next() !== ":" || entries.some(([other]) => other === name)) throw this.#error();
      this.#at++;
      entries.push([name, this.value(depth + 1)]);
      this.#separator("}");
    }
    this.#at++;
    return Object.fromEntries(entries);
  }

  #separator(end: string): void {
    const next = this.#next();
    if (next === ",") this.#at++;
    else if (next !== end) throw this.#error();
  }

  /** No escapes: a path or a host needs none. */
  #string(): string {
    const end = this.#text.indexOf('"', this.#at + 1);
    const text = this.#text.slice(this.#at + 1, end);
    if (end < 0 || text.includes("\\") || text.includes("\n")) throw this.#error();
    this.#at = end + 1;
    return text;
  }

  #word(): string {
    const start = this.#at;
    while (isLetter(this.#text.charCodeAt(this.#at))) this.#at++;
    if (this.#at === start) throw this.#error();
    return this.#text.slice(start, this.#at);
  }

  #number(): number {
    const start = this.#at;
    while (isDigitUnit(this.#text.charCodeAt(this.#at))) this.#at++;
    if (this.#at === start || this.#at - start > 9) throw this.#error();
    return Number(this.#text.slice(start, this.#at));
  }

  /** The next character that is no blank. */
  #next(): string {
    while (" \t\r\n".includes(this.#text[this.#at] ?? "x")) this.#at++;
    return this.#text[this.#at] ?? "";
  }

  #error(): FilterDeclarationError {
    const shown = this.#text.slice(this.#at, this.#at + 20).split("\n")[0];
    return new FilterDeclarationError(
      `"${MARK}" must be plain texts, numbers and lists, which ends at "${shown}"`,
    );
  }
}

function isLetter(unit: number): boolean {
  return unit >= 0x61 && unit <= 0x7a;
}

function isDigitUnit(unit: number): boolean {
  return unit >= 0x30 && unit <= 0x39;
}
