/**
 * Opens a lookup table by its name in the configuration, `type:name`. One row per type.
 *
 * @module
 */
// Utility
import { asciiLower } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
// Tables
import { parseAliasSource } from "./alias_source.ts";
import { BraceError, unbrace } from "./braces.ts";
import { CDB_SUFFIX, CdbTable } from "./cdb_table.ts";
import { CIDR_SYNTAX, findCidr } from "./cidr.ts";
import { combinedMembers, PipeTable, RandomTable, UnionTable } from "./combined_table.ts";
import { DebugTable } from "./debug_table.ts";
import { type FileFormat, FileTable, logProblems, MAP_FORMAT, SYSTEM_FILES } from "./file_table.ts";
import { FailTable, InlineTable, StaticTable } from "./inline.ts";
import { parseMapSource } from "./map_source.ts";
import type { OpenHow } from "./open_how.ts";
import { filePath, type Opening } from "./opening.ts";
import { openLdap, openMemcache, openSocketmap, openSqlite, openSqlServer, openTcp } from "./open_server.ts";
import { findPattern, type PatternDialect, patternSyntax, PCRE_DIALECT, POSIX_DIALECT } from "./regexp.ts";
import { parseInlineRules, parseRuleFile, type Rule, type RuleSyntax } from "./rules.ts";
import { splitSpec } from "./spec.ts";
import { MISSING, type Outcome, refuse, type Table, TableError } from "./table.ts";
import { parseUnixFile, UNIX_FILES } from "./unix_table.ts";

const OPENERS: Readonly<Record<string, (opening: Opening) => Table>> = {
  cdb: openCdb,
  cidr: (opening) => openRules(opening, CIDR_SYNTAX, findCidr, ruleResults),
  debug: openDebug,
  fail: (opening) => new FailTable(opening.spec),
  inline: (opening) => new InlineTable(opening.spec, opening.name, opening.fold, opening.warn),
  ldap: openLdap,
  memcache: openMemcache,
  mysql: (opening) => openSqlServer("mysql", opening),
  pcre: (opening) => openPatterns(opening, PCRE_DIALECT),
  pgsql: (opening) => openSqlServer("pgsql", opening),
  pipemap: (opening) => new PipeTable(opening.spec, openMembers(opening)),
  randmap: (opening) => new RandomTable(opening.spec, combinedMembers(opening.spec, opening.name)),
  regexp: (opening) => openPatterns(opening, POSIX_DIALECT),
  socketmap: openSocketmap,
  sqlite: openSqlite,
  static: (opening) => new StaticTable(opening.spec, opening.name),
  tcp: openTcp,
  texthash: openTexthash,
  unionmap: (opening) => new UnionTable(opening.spec, openMembers(opening)),
  unix: openUnix,
};

/** The types that `openTable` knows, as `postconf -m` lists them. */
export const TABLE_TYPES: readonly string[] = Object.keys(OPENERS);

/**
 * Opens a table.
 *
 * @param spec `type:name`, also with Postfix's `proxy:` before it, which says who asks and not which table
 * @throws {TableError} naming file and line, when the type is unknown or the content unusable; with `how.soft` only
 * for what waiting cannot cure, as an unknown type
 */
export function openTable(spec: string, how: OpenHow = {}): Table {
  const place = { spec, file: spec, line: 0 };
  const split = splitSpec(spec);
  if (split.kind === "bad") refuse(place, split.why);
  const opener = Object.hasOwn(OPENERS, split.type) ? OPENERS[split.type] : undefined;
  if (opener === undefined) refuse(place, `table type "${printable(split.type)}" is not supported`);
  const warn = how.warn ?? logProblems(how.log);
  const files = how.files ?? SYSTEM_FILES;
  try {
    const open = (member: string) => openTable(member, how);
    return opener({ spec, name: split.name, how, fold: how.foldKeys ?? true, files, warn, place, open });
  } catch (error) {
    if (error instanceof BraceError) refuse(place, error.message);
    throw error;
  }
}

/** Opens a table of alias_maps: texthash files are in the syntax of aliases(5), and no result may hold `$1`. */
export function openAliasTable(spec: string, how: OpenHow = {}): Table {
  return openTable(spec, { ...how, syntax: "alias", paranoid: true });
}

/**
 * The same as `openTable`, but always with a table: one that cannot be opened is logged and fails softly at each
 * look-up, so that mail waits for the administrator instead of bouncing.
 */
export function openTableSoftly(spec: string, how: OpenHow = {}): Table {
  try {
    return openTable(spec, { ...how, soft: true });
  } catch (error) {
    if (!(error instanceof TableError)) throw error;
    how.log?.error(error.message);
    return { spec, partialKeys: false, lookup: () => ({ kind: "retry", why: error.message }) };
  }
}

function openMembers(opening: Opening): Table[] {
  return combinedMembers(opening.spec, opening.name).map(opening.open);
}

function openCdb(opening: Opening): Table {
  const { spec, files, warn, how } = opening;
  const path = filePath(opening) + CDB_SUFFIX;
  const { log, refused, soft = false } = how;
  return new CdbTable({ spec, path, files, warn, log, refused, soft }, opening.fold);
}

function openDebug(opening: Opening): Table {
  return new DebugTable(opening.spec, opening.open(opening.name), opening.how.log);
}

function openPatterns(opening: Opening, dialect: PatternDialect): Table {
  return openRules(opening, patternSyntax(dialect, opening.how.paranoid ?? false), findPattern);
}

function openTexthash(opening: Opening): Table {
  const { fold, how } = opening;
  const parse = how.syntax === "alias" ? parseAliasSource : parseMapSource;
  const file = filePath(opening);
  const folded = (key: string) => fold ? asciiLower(key) : key;
  return openFile(opening, file, {
    ...MAP_FORMAT,
    parse: (text, warn) => parse(text, { foldKeys: fold, file, warn }),
    find: (content: Map<string, string>, key) => findKey(content, folded(key)),
    locate: (_, text) => {
      const lines = new Map<string, number>();
      parse(text, { foldKeys: fold, file, warn: () => {}, lines });
      return (key) => lines.get(folded(key));
    },
  });
}

function openUnix(opening: Opening): Table {
  const { fold, name, place } = opening;
  const path = Object.hasOwn(UNIX_FILES, name) ? UNIX_FILES[name] : undefined;
  if (path === undefined) {
    refuse(place, `unknown table: there are unix:${Object.keys(UNIX_FILES).join(" and unix:")}`);
  }
  return openFile(opening, path, {
    ...MAP_FORMAT,
    parse: (text, warn) => parseUnixFile(text, path, warn),
    find: (content: Map<string, string>, key) => findKey(content, fold ? asciiLower(key) : key),
  });
}

/** The results of rules whose results are texts. */
function ruleResults<T>(rules: readonly Rule<T, string>[]): string[] {
  return rules.flatMap((rule) => rule.kind === "result" ? [rule.result] : []);
}

function findKey(content: ReadonlyMap<string, string>, key: string): Outcome {
  const value = content.get(key);
  return value === undefined ? MISSING : { kind: "found", value };
}

/** A table of ordered rules, in a file or in braces in the configuration. */
function openRules<T, R>(
  opening: Opening,
  syntax: RuleSyntax<T, R>,
  find: (rules: readonly Rule<T, R>[], key: string, hit?: (rule: Rule<T, R>) => void) => Outcome,
  values?: (rules: readonly Rule<T, R>[]) => Iterable<string>,
): Table {
  const { spec, name, warn } = opening;
  if (name.startsWith("{")) {
    const rules = parseInlineRules(unbrace(name), spec, syntax, warn);
    const table = { spec, partialKeys: false, lookup: (key: string) => find(rules, key) };
    return values === undefined ? table : { ...table, values: () => values(rules) };
  }
  const file = filePath(opening);
  return openFile(opening, file, {
    partialKeys: false,
    parse: (text, warn) => parseRuleFile(text, spec, file, syntax, warn),
    find,
    ...(values === undefined ? {} : { values }),
    locate: (rules) => (key) => {
      let line: number | undefined;
      find(rules, key, (rule) => line = rule.line);
      return line;
    },
  });
}

function openFile<Content>(opening: Opening, path: string, format: FileFormat<Content>): Table {
  const { spec, files, warn, how } = opening;
  return new FileTable(format, {
    spec,
    path,
    files,
    warn,
    log: how.log,
    refused: how.refused,
    soft: how.soft ?? false,
  });
}
