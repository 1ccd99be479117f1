/**
 * From the text of a parameter to its value, and from a TOML value to that text.
 *
 * @module
 */
import { asciiLower, parseDecimal, trimBlanks } from "../vstring/ascii.ts";
import type { Parameter, ParameterTypes } from "./parameters.ts";

/** Greatest duration, seconds (Postfix keeps them in an int). */
const DURATION_LIMIT = 2 ** 31 - 1;

const UNIT_SECONDS: ReadonlyMap<string, number> = new Map([
  ["s", 1],
  ["m", 60],
  ["h", 3600],
  ["d", 86400],
  ["w", 604800],
]);

/** A value of any parameter. */
export type AnyValue = ParameterTypes[keyof ParameterTypes];

/** A value, or what is wrong with the text. */
export type Parsed<T> = { readonly kind: "value"; readonly value: T } | {
  readonly kind: "wrong";
  readonly why: string;
};

/** What the value of each type looks like, for messages. */
const EXPECTED: Readonly<Record<Parameter["type"], string>> = {
  string: "a string in quotes",
  integer: "a whole number",
  boolean: "true or false",
  duration: 'a duration such as "300s", "10m", "1h" or "5d"',
  list: "an array of strings",
  tables: 'an array of tables "type:name"',
  templates: "a string in quotes",
};

/** What a value of the parameter looks like. */
export function expectedForm(row: Parameter): string {
  return EXPECTED[row.type];
}

/** A TOML value as the text that Postfix would have in main.cf. */
export function tomlToText(row: Parameter, value: unknown): Parsed<string> {
  if (typeof value === "string") return found(value);
  if (typeof value === "boolean" && row.type === "boolean") return found(value ? "yes" : "no");
  const number = row.type === "integer" || row.type === "duration";
  if (typeof value === "number" && number && Number.isSafeInteger(value)) return found(String(value));
  if (Array.isArray(value) && (row.type === "list" || row.type === "tables")) {
    const item = value.find((candidate) => typeof candidate !== "string");
    if (item === undefined) return found(value.join(", "));
    return wrong(`expected ${expectedForm(row)}, got an item that is ${describe(item)}`);
  }
  return wrong(`expected ${expectedForm(row)}, got ${describe(value)}`);
}

function describe(value: unknown): string {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value === "string") return `"${value}"`;
  if (Array.isArray(value)) return "an array";
  return value instanceof Date ? "a date" : "a table";
}

/** The value of an expanded text; "/file" items of lists are still as they stand. */
export function parseValue(row: Parameter, text: string): Parsed<AnyValue> {
  switch (row.type) {
    case "string":
    case "templates":
      return parseText(row, text);
    case "integer":
      return inRange(row, parseInteger(row, trimBlanks(text)), text);
    case "boolean":
      return parseBoolean(text);
    case "duration":
      return inRange(row, parseDuration(text, defaultUnit(row)), text);
    case "list":
    case "tables":
      return parseList(row, text);
    default:
      return row.type satisfies never;
  }
}

function parseText(row: Parameter, text: string): Parsed<string> {
  if (row.values !== undefined && text !== row.default && !row.values.includes(text)) {
    return wrong(`expected one of ${row.values.join(", ")}, got "${text}"`);
  }
  if (row.absolute && text !== "" && !text.startsWith("/")) {
    return wrong(`expected an absolute path, got "${text}"`);
  }
  return found(text);
}

function parseBoolean(text: string): Parsed<boolean> {
  const word = asciiLower(trimBlanks(text));
  if (word === "yes" || word === "true") return found(true);
  if (word === "no" || word === "false") return found(false);
  return wrong(`expected true or false, got "${text}"`);
}

function inRange(row: Parameter, number: number | undefined, text: string): Parsed<number> {
  if (number === undefined) return wrong(`expected ${expectedForm(row)}, got "${text}"`);
  const unit = row.type === "duration" ? "s" : "";
  if (row.min !== undefined && number < row.min) {
    return wrong(`must be at least ${row.min}${unit}, got "${text}"`);
  }
  if (row.max !== undefined && number > row.max) {
    return wrong(`must be at most ${row.max}${unit}, got "${text}"`);
  }
  return found(number);
}

/** Numbers below 0 are for parameters that may be so low. */
function parseInteger(row: Parameter, text: string): number | undefined {
  if (row.min === undefined || row.min >= 0 || !text.startsWith("-")) return parseDecimal(text);
  const amount = parseDecimal(text.slice(1));
  return amount === undefined ? undefined : -amount;
}

/** Unit of a number without one: that of the default, as in Postfix. */
function defaultUnit(row: Parameter): string {
  const unit = asciiLower(row.default.slice(-1));
  return UNIT_SECONDS.has(unit) ? unit : "s";
}

/** Seconds of a duration, or undefined. */
export function parseDuration(text: string, unitIfNone: string = "s"): number | undefined {
  const word = asciiLower(trimBlanks(text));
  const last = word.slice(-1);
  const hasUnit = UNIT_SECONDS.has(last);
  const number = parseDecimal(hasUnit ? word.slice(0, -1) : word);
  const seconds = number === undefined ? NaN : number * UNIT_SECONDS.get(hasUnit ? last : unitIfNone)!;
  return seconds <= DURATION_LIMIT ? seconds : undefined;
}

function parseList(row: Parameter, text: string): Parsed<readonly string[]> {
  const items = splitList(text);
  if (items === undefined) return wrong(`braces do not match in "${text}"`);
  for (const item of items) {
    if (row.type === "tables" && !isTableName(item)) {
      return wrong(`expected a table "type:name", got "${item}"`);
    }
    const mayBeTable = row.orTables === true && isTableName(item);
    if (row.values !== undefined && !row.values.includes(item) && !mayBeTable) {
      const tables = row.orTables === true ? ' or tables "type:name"' : "";
      return wrong(`expected some of ${row.values.join(", ")}${tables}, got "${item}"`);
    }
  }
  return found(items);
}

/** True for "type:name", the type being letters, digits and underscores; "proxy:type:name" too. */
export function isTableName(item: string): boolean {
  return /^[A-Za-z][A-Za-z0-9_]*:./s.test(item);
}

/** The items of a list: separated by commas and blanks that are outside braces; undefined if braces do not match. */
export function splitList(text: string): readonly string[] | undefined {
  const out: string[] = [];
  let level = 0;
  let item = "";
  for (const char of text) {
    if (level === 0 && (char === "," || char === " " || char === "\t" || char === "\n" || char === "\r")) {
      if (item !== "") out.push(item);
      item = "";
      continue;
    }
    if (char === "{") level++;
    if (char === "}" && --level < 0) return undefined;
    item += char;
  }
  if (item !== "") out.push(item);
  return level === 0 ? out : undefined;
}

function found<T>(value: T): Parsed<T> {
  return { kind: "value", value };
}

function wrong(why: string): { readonly kind: "wrong"; readonly why: string } {
  return { kind: "wrong", why };
}
