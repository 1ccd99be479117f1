/**
 * A TOML file with the lines of its keys; the only importer of `@std/toml`.
 *
 * @module
 */
import { parse } from "@std/toml";
import { errorAt, type Place, type Problem } from "./problem.ts";
import { findKeys, type KeyMark } from "./toml_lines.ts";

/** A TOML table. */
export type Table = Readonly<Record<string, unknown>>;

/** A file that was read and parsed. */
export interface TomlFile {
  readonly path: string;
  readonly table: Table;
  /** Where a key stands: `place("service", 0, "name")`; the nearest key above it if it has no line of its own. */
  place(...path: readonly (string | number)[]): Place;
}

/** Reads a TOML file; undefined, with a problem added, when it cannot be read or is no TOML. */
export function readTomlFile(
  path: string,
  readText: (path: string) => string,
  problems: Problem[],
): TomlFile | undefined {
  let text: string;
  try {
    text = readText(path);
  } catch (error) {
    problems.push(errorAt({ file: path, line: 0 }, error instanceof Error ? error.message : String(error)));
    return undefined;
  }
  try {
    const table = parse(text);
    const marks = findKeys(text);
    return { path, table, place: (...keys) => ({ file: path, line: lineOf(marks, keys) }) };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    problems.push(syntaxProblem(path, error.message));
    return undefined;
  }
}

function lineOf(marks: ReadonlyMap<string, KeyMark>, keys: readonly (string | number)[]): number {
  for (let length = keys.length; length > 0; length--) {
    const mark = marks.get(keys.slice(0, length).join("."));
    if (mark !== undefined) return mark.line;
  }
  return 0;
}

/** `Parse error on line N, column N: reason` as a problem at that line. */
function syntaxProblem(path: string, message: string): Problem {
  const parts = /^Parse error on line ([0-9]+), column ([0-9]+): (.*)$/s.exec(message);
  if (parts === null) return errorAt({ file: path, line: 0 }, message);
  return errorAt({ file: path, line: Number(parts[1]) }, `not valid TOML at column ${parts[2]}: ${parts[3]}`);
}

/** True for a table of a parsed document, not an array or a date. */
export function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}
