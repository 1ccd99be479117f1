/**
 * Tables whose content stands in the configuration itself, in types that need no library: any process can open them, as
 * they are on no file and no server.
 *
 * @module
 */
// Tables
import { unbrace } from "./braces.ts";
import { CIDR_SYNTAX, findCidr } from "./cidr.ts";
import { InlineTable, StaticTable } from "./inline.ts";
import { parseInlineRules } from "./rules.ts";
import { isTableSpec, splitSpec } from "./spec.ts";
import type { Table, Warn } from "./table.ts";

/** The table of an item, `inline:{...}`, `static:value` or `cidr:{...}`; undefined for any other. Throws `TableError`. */
export function openOwnTable(spec: string, warn: Warn): Table | undefined {
  const split = splitSpec(spec);
  if (split.kind === "bad") return undefined;
  const { type, name } = split;
  if (type === "inline") return new InlineTable(spec, name, true, warn);
  if (type === "static") return new StaticTable(spec, name);
  if (type !== "cidr" || !name.startsWith("{")) return undefined;
  const rules = parseInlineRules(unbrace(name), spec, CIDR_SYNTAX, warn);
  return { spec, partialKeys: false, lookup: (key) => findCidr(rules, key) };
}

/** True when a list names a table that somebody else must be asked for. */
export function namesOtherTables(items: readonly string[]): boolean {
  return items.some((item) => isTableSpec(item) && !isOwn(item));
}

function isOwn(spec: string): boolean {
  const split = splitSpec(spec);
  if (split.kind === "bad") return false;
  return split.type === "inline" || split.type === "static" ||
    (split.type === "cidr" && split.name.startsWith("{"));
}
