/**
 * Rules of cidr, regexp and pcre tables that are never come to, as an earlier rule takes all that they would match.
 *
 * @module
 */
// Safe primitives
import { SystemError } from "../safe/error.ts";
import { readTextFile } from "../safe/file.ts";
// Utility
import type { Configuration } from "../config/configuration.ts";
import { PARAMETER_NAMES, PARAMETERS } from "../config/parameters.ts";
import { type Problem, warningAt } from "../config/problem.ts";
import { asciiLower } from "../vstring/ascii.ts";
import { formatIpAddress } from "../vstring/ip_address.ts";
import { printable } from "../vstring/printable.ts";
// Tables
import { TABLE_FILE_LIMIT } from "../table/file_table.ts";
import { type IpNetwork, maskAddress, parseIpNetwork } from "../table/ip_network.ts";
import { findSpace, type LogicalLine, logicalLines } from "../table/logical_lines.ts";
import { splitSpec } from "../table/spec.ts";
import { tableSpecs } from "../table/table_files.ts";

/** Says of each rule which earlier line takes its keys; lines of `if` blocks are compared, but take nothing. */
type FindTaker = (text: string, line: number, inBlock: boolean) => number | undefined;

const TYPES: ReadonlyMap<string, () => FindTaker> = new Map([
  ["cidr", networkTaker],
  ["pcre", patternTaker],
  ["regexp", patternTaker],
]);

/** Warns of such rules in the files that main.toml names. */
export function findLostRules(configuration: Configuration): Problem[] {
  const specs = new Set<string>();
  for (const name of PARAMETER_NAMES) {
    if (PARAMETERS[name].type !== "tables" && PARAMETERS[name].type !== "list") continue;
    for (const spec of tableSpecs(configuration.settings[name] as readonly string[])) specs.add(spec);
  }
  return [...specs].flatMap(lostRulesOf);
}

function lostRulesOf(spec: string): Problem[] {
  const split = splitSpec(spec);
  const makeTaker = split.kind === "spec" ? TYPES.get(split.type) : undefined;
  if (split.kind !== "spec" || makeTaker === undefined || !split.name.startsWith("/")) return [];
  const taker = makeTaker();
  const problems: Problem[] = [];
  let depth = 0;
  for (const { line, text } of linesOf(split.name)) {
    const word = asciiLower(text.slice(0, findSpace(text, 0)));
    if (word === "if" || text.startsWith("if/") || text.startsWith("if!")) depth++;
    else if (word === "endif") depth--;
    else {
      const earlier = taker(text, line, depth > 0);
      if (earlier === undefined) continue;
      const shown = printable(text.slice(0, findSpace(text, 0)));
      const why = `"${shown}" is never come to: line ${earlier} takes all that it matches`;
      problems.push(
        warningAt({ file: split.name, line }, why, "put it in front of that line, or leave it out"),
      );
    }
  }
  return problems;
}

/** The lines of a file; none of one that cannot be read, which is told of elsewhere. */
function linesOf(path: string): readonly LogicalLine[] {
  try {
    return logicalLines(readTextFile(path, TABLE_FILE_LIMIT), path, () => {});
  } catch (error) {
    if (error instanceof SystemError) return [];
    throw error;
  }
}

/** Networks that hold later ones: looked up by their prefixes, so that a long table takes no square of its length. */
function networkTaker(): FindTaker {
  const seen = new Map<string, number>();
  const lengths = new Set<number>();
  return (text, line, inBlock) => {
    const parsed = parseIpNetwork(text.slice(0, findSpace(text, 0)));
    if (text.startsWith("!") || parsed.kind === "bad") return undefined;
    const { network } = parsed;
    for (const length of lengths) {
      if (length > network.bits) continue;
      const earlier = seen.get(networkKey(network, length));
      if (earlier !== undefined) return earlier;
    }
    if (!inBlock) {
      lengths.add(network.bits);
      seen.set(networkKey(network, network.bits), line);
    }
    return undefined;
  };
}

function networkKey({ address }: IpNetwork, length: number): string {
  return `${address.length} ${length} ${formatIpAddress(maskAddress(address, length))}`;
}

/** Patterns that are the same as an earlier one, flags included. */
function patternTaker(): FindTaker {
  const seen = new Map<string, number>();
  return (text, line, inBlock) => {
    const pattern = patternOf(text);
    if (pattern === undefined) return undefined;
    const earlier = seen.get(pattern);
    if (earlier === undefined && !inBlock) seen.set(pattern, line);
    return earlier;
  };
}

/** `/pattern/flags` at the start of a rule, the delimiter being its first character; `!` in front belongs to it. */
function patternOf(text: string): string | undefined {
  let at = 0;
  while (text[at] === "!") at++;
  const delimiter = text[at];
  if (delimiter === undefined) return undefined;
  for (let end = at + 1; end < text.length; end++) {
    if (text[end] === "\\") end++;
    else if (text[end] === delimiter) return text.slice(0, findSpace(text, end));
  }
  return undefined;
}
