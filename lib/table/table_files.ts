/**
 * Which files tables and lists stand on: what a daemon that opens them must be allowed to read.
 *
 * @module
 */
// Tables
import { BraceError, splitBraced } from "./braces.ts";
import { isTableSpec, splitSpec } from "./spec.ts";
import { UNIX_FILES } from "./unix_table.ts";

/**
 * The files of a parameter's value, absolute paths, each once: of `type:name` tables, and of `/path` items of lists.
 * Restriction lists may be given as they are: words that are neither are passed over. So are tables that `openTable`
 * refuses; it says why.
 */
export function tableFiles(items: readonly string[]): string[] {
  return [...new Set(items.flatMap(listWords).flatMap(filesOf))];
}

/** The words of a list's items without their `!`: an item may be several words, as `check_client_access cidr:/file`. */
export function listWords(item: string): string[] {
  return splitOrNothing(item).map((word) => {
    let start = 0;
    while (word[start] === "!") start++;
    return word.slice(start);
  });
}

/**
 * The tables that a parameter's items name: tables, lists, restriction lists. What follows check_policy_service is a
 * socket and no table.
 */
export function tableSpecs(items: readonly string[]): string[] {
  const words = items.flatMap(listWords);
  return words.filter((word, i) => isTableSpec(word) && words[i - 1] !== "check_policy_service");
}

function filesOf(word: string): string[] {
  if (word.startsWith("/")) return [word];
  const split = isTableSpec(word) ? splitSpec(word) : undefined;
  if (split?.kind !== "spec") return [];
  const { type, name } = split;
  switch (type) {
    case "texthash":
    case "cidr":
    case "regexp":
      return name.startsWith("/") ? [name] : [];
    case "unix":
      return Object.hasOwn(UNIX_FILES, name) ? [UNIX_FILES[name]!] : [];
    case "unionmap":
    case "pipemap":
      return name.startsWith("{") ? tableFiles([name]) : [];
    default:
      return [];
  }
}

/** Braces that do not match hold no files: whoever opens the table says what is wrong with it. */
function splitOrNothing(item: string): string[] {
  try {
    return splitBraced(item).flatMap((part) => part.braced ? splitOrNothing(part.text) : [part.text]);
  } catch (error) {
    if (error instanceof BraceError) return [];
    throw error;
  }
}
