/**
 * Which files and servers tables and lists stand on: what a daemon that opens them must be allowed to read and reach.
 *
 * @module
 */
// Tables
import { CDB_SUFFIX } from "./cdb_table.ts";
import type { ConfigReading } from "./database_config.ts";
import { SYSTEM_FILES, type TableFiles } from "./file_table.ts";
import { readLdapConfig } from "./ldap_config.ts";
import { readMemcacheConfig } from "./memcache_table.ts";
import { parseTarget, type ServerTarget } from "./server_target.ts";
import { parseSocketmap } from "./socketmap_table.ts";
import { readSqliteConfig, readSqlServerConfig } from "./sql_config.ts";
import { TableError } from "./table.ts";
import { BraceError, splitBraced } from "./braces.ts";
import { isTableSpec, splitSpec } from "./spec.ts";
import { UNIX_FILES } from "./unix_table.ts";

/**
 * The files of a parameter's value, absolute paths, each once: of `type:name` tables, and of `/path` items of lists.
 * Restriction lists may be given as they are: words that are neither are passed over. So are tables that `openTable`
 * refuses; it says why.
 */
export function tableFiles(
  items: readonly string[],
  files: Pick<TableFiles, "read"> = SYSTEM_FILES,
): string[] {
  return [...new Set(reachOf(items, files).files)];
}

/** The servers of a parameter's tables. The configuration files of databases are read for it. */
export function tableTargets(
  items: readonly string[],
  files: Pick<TableFiles, "read"> = SYSTEM_FILES,
): ServerTarget[] {
  return reachOf(items, files).targets;
}

/** Types whose content is on a server. */
const SERVER_TYPES = ["ldap", "memcache", "mysql", "pgsql", "socketmap", "tcp"];

/** True for a table that asks a server, itself or by one of those that it is made of: only proxymap can. */
export function asksServer(spec: string): boolean {
  const split = splitSpec(spec);
  if (split.kind === "bad") return false;
  if (split.type === "debug") return asksServer(split.name);
  if (split.type === "unionmap" || split.type === "pipemap") return listWords(split.name).some(asksServer);
  return SERVER_TYPES.includes(split.type);
}

/** Types that get full keys only, never a domain or a user cut from one. */
const WHOLE_KEY_TYPES = ["cidr", "fail", "pcre", "randmap", "regexp", "socketmap", "tcp"];

/** Whether a table takes parts of keys, as its `partialKeys` says when it is open. */
export function takesPartialKeys(spec: string): boolean {
  const split = splitSpec(spec);
  if (split.kind === "bad") return false;
  if (split.type === "debug") return takesPartialKeys(split.name);
  if (split.type === "unionmap" || split.type === "pipemap") {
    return listWords(split.name).every(takesPartialKeys);
  }
  return !WHOLE_KEY_TYPES.includes(split.type);
}

/** What tables need. */
interface Reach {
  readonly files: readonly string[];
  readonly targets: readonly ServerTarget[];
}

const NOTHING: Reach = { files: [], targets: [] };
/** Deepest nesting of tables that name tables. */
const DEPTH_LIMIT = 10;

function reachOf(
  items: readonly string[],
  files: Pick<TableFiles, "read">,
  depth = 0,
): { files: string[]; targets: ServerTarget[] } {
  const found = depth > DEPTH_LIMIT
    ? []
    : items.flatMap(listWords).map((word) => reachOfWord(word, files, depth));
  return { files: found.flatMap((one) => one.files), targets: found.flatMap((one) => one.targets) };
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

function reachOfWord(word: string, files: Pick<TableFiles, "read">, depth: number): Reach {
  if (word.startsWith("/")) return { ...NOTHING, files: [word] };
  const split = isTableSpec(word) ? splitSpec(word) : undefined;
  if (split?.kind !== "spec") return NOTHING;
  const { type, name } = split;
  switch (type) {
    case "texthash":
    case "cidr":
    case "regexp":
    case "pcre":
      return { ...NOTHING, files: name.startsWith("/") ? [name] : [] };
    case "cdb":
      return { ...NOTHING, files: name.startsWith("/") ? [name + CDB_SUFFIX] : [] };
    case "unix":
      return { ...NOTHING, files: Object.hasOwn(UNIX_FILES, name) ? [UNIX_FILES[name]!] : [] };
    case "unionmap":
    case "pipemap":
      return name.startsWith("{") ? reachOf([name], files, depth + 1) : NOTHING;
    case "debug":
      return reachOf([name], files, depth + 1);
    case "tcp":
      return onTarget(parseTarget(name, undefined));
    case "socketmap":
      return onTarget(parseSocketmap(name)?.target);
    default:
      return name.startsWith("/") ? reachOfDatabase(type, word, name, files, depth) : NOTHING;
  }
}

function onTarget(target: ServerTarget | undefined): Reach {
  return target === undefined ? NOTHING : { files: [], targets: [target] };
}

/** What a table needs whose file is its configuration; one that cannot be used is told by whoever opens it. */
function reachOfDatabase(
  type: string,
  spec: string,
  path: string,
  files: Pick<TableFiles, "read">,
  depth: number,
): Reach {
  const named: string[] = [];
  const open = (table: string) => {
    named.push(table);
    return { spec: table, partialKeys: true, lookup: () => ({ kind: "missing" as const }) };
  };
  const reading: ConfigReading = { spec, path, files, warn: () => {}, open };
  try {
    const own = databaseReach(type, reading, named);
    if (own === undefined) return NOTHING;
    const others = reachOf(named, files, depth + 1);
    return {
      files: [path, ...own.files.filter((file) => file !== ""), ...others.files],
      targets: [...own.targets, ...others.targets],
    };
  } catch (error) {
    if (error instanceof TableError) return { ...NOTHING, files: [path] };
    throw error;
  }
}

/** @param named takes the tables that the configuration names */
function databaseReach(type: string, reading: ConfigReading, named: string[]): Reach | undefined {
  switch (type) {
    case "mysql":
    case "pgsql": {
      const { targets, tls } = readSqlServerConfig(type, reading);
      return { targets, files: tls === undefined ? [] : [tls.ca, tls.cert, tls.key] };
    }
    case "sqlite":
      return { ...NOTHING, files: sqliteFiles(readSqliteConfig(reading).path) };
    case "ldap": {
      const { servers, tls } = readLdapConfig(reading);
      return { targets: servers.map(({ target }) => target), files: [tls.ca, tls.cert, tls.key] };
    }
    case "memcache": {
      const { target, backup } = readMemcacheConfig(reading);
      if (backup !== "") named.push(backup);
      return { targets: [target], files: [] };
    }
    default:
      return undefined;
  }
}

/** A reader looks for what a writer has not yet put into the file. */
function sqliteFiles(path: string): string[] {
  return [path, `${path}-journal`, `${path}-wal`, `${path}-shm`];
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
