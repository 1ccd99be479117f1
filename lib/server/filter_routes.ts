/**
 * Where content filters are: what content_filter names for any service, and what FILTER actions in tables name. Mail goes
 * there as it goes where transport_maps says, so the client may connect to it.
 *
 * @module
 */
// Safe primitives
import { readTextFile } from "../safe/file.ts";
// Utility
import { type Configuration, settingsFor } from "../config/configuration.ts";
import { RESTRICTION_PARAMETERS } from "../config/check_restrictions.ts";
import { equalsIgnoreCase, splitBlanks } from "../vstring/ascii.ts";
// Tables
import { openTable } from "../table/open.ts";
import { asksServer, tableFiles } from "../table/table_files.ts";

/** A filter as it is named, and where. */
export interface FilterRoute {
  /** "transport:nexthop"; the next hop may be missing. */
  readonly target: string;
  readonly because: string;
}

/** Parameters of cleanup whose tables may hold FILTER actions. */
const CONTENT_TABLES = [
  "header_checks",
  "mime_header_checks",
  "nested_header_checks",
  "body_checks",
] as const;
const LISTS = [...RESTRICTION_PARAMETERS, "smtpd_restriction_classes"] as const;
/** Tables whose results stand behind patterns: their text is read, as they cannot be listed. */
const PATTERNS: readonly string[] = ["regexp", "pcre", "cidr"];
/** Largest file of patterns, bytes. */
const FILE_LIMIT = 16 * 1024 * 1024;

/** The filters that the configuration names, each once. */
export function filterRoutes(configuration: Configuration): FilterRoute[] {
  const found = new Map<string, string>();
  const add = (target: string, because: string) => {
    if (target !== "" && !found.has(target)) found.set(target, because);
  };
  const origin = configuration.origin("content_filter");
  add(configuration.settings.content_filter, `content_filter (${origin})`);
  const specs = new Map<string, string>();
  for (const entry of configuration.services) {
    const { content_filter } = settingsFor(configuration, entry, ["content_filter"]);
    add(content_filter, `content_filter of service ${entry.name}`);
    const lists: Readonly<Record<string, readonly string[]>> = settingsFor(configuration, entry, [
      ...LISTS,
      ...CONTENT_TABLES,
    ]);
    for (const [name, items] of Object.entries(lists)) {
      for (const item of items) if (item.includes(":") && !specs.has(item)) specs.set(item, name);
    }
  }
  for (const [spec, name] of specs) {
    for (const target of tableTargets(spec)) add(target, `${name} ${spec}`);
  }
  return [...found].map(([target, because]) => ({ target, because }));
}

/** What the FILTER actions of one table name, as far as that can be listed; of what is no table, nothing. */
function tableTargets(spec: string): string[] {
  const type = spec.slice(0, spec.indexOf(":"));
  try {
    if (asksServer(spec)) return [];
    if (PATTERNS.includes(type)) {
      return tableFiles([spec]).flatMap((path) =>
        readTextFile(path, FILE_LIMIT).split("\n").flatMap(namedIn)
      );
    }
    const table = openTable(spec, { soft: true });
    const found = Array.from(table.entries?.() ?? [], ([, value]) => namedIn(value)).flat();
    table.close?.();
    return found;
  } catch {
    // Restriction lists hold more than tables, and what is wrong with a table is said by whoever opens it.
    return [];
  }
}

/** The word behind FILTER. */
function namedIn(text: string): string[] {
  const words = splitBlanks(text);
  const at = words.findIndex((word) => equalsIgnoreCase(word, "FILTER"));
  const target = at < 0 ? "" : words[at + 1] ?? "";
  return target.includes(":") && !target.includes("$") ? [target] : [];
}
