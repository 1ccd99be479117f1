/**
 * Tables of Postfix as tables of ours: indexed files become the texts that they were made of, and files of the
 * configuration directory are copied beside main.toml.
 *
 * @module
 */
// Safe primitives
import { lookAt, readBytesFile } from "../lib/safe/file.ts";
import { normalize } from "../lib/safe/path.ts";
// Tables
import { BraceError, splitBraced, unbrace } from "../lib/table/braces.ts";
import { TABLE_FILE_LIMIT } from "../lib/table/file_table.ts";
import { TABLE_TYPES } from "../lib/table/open.ts";
import { withoutProxy } from "../lib/table/spec.ts";

/** Indexed files: what they hold is in a text of the same name without the ending. */
const INDEXED: ReadonlySet<string> = new Set(["btree", "dbm", "hash", "lmdb", "sdbm"]);

/** Types whose name is a file with rules or with the settings of a database. */
const FILE_TYPES: ReadonlySet<string> = new Set([
  "cdb",
  "cidr",
  "ldap",
  "memcache",
  "mysql",
  "pcre",
  "pgsql",
  "regexp",
  "sqlite",
  "texthash",
]);

/** All types that Postfix has. */
const POSTFIX_TYPES: ReadonlySet<string> = new Set([
  ...INDEXED,
  ...FILE_TYPES,
  "debug",
  "environ",
  "fail",
  "inline",
  "internal",
  "mongodb",
  "netinfo",
  "nis",
  "nisplus",
  "pipemap",
  "proxy",
  "randmap",
  "socketmap",
  "static",
  "tcp",
  "unionmap",
  "unix",
]);

/** A table of ours, or why there is none. */
export type ImportedTable =
  | { readonly kind: "table"; readonly spec: string; readonly note: string }
  | { readonly kind: "dropped"; readonly why: string; readonly cure: string };

/** A file that is copied beside main.toml. */
export interface CopiedFile {
  readonly from: string;
  /** Path below the configuration directory. */
  readonly to: string;
  readonly mode: number;
  readonly content: Uint8Array;
}

/** True for `type:name` with a type that Postfix has. */
export function isPostfixTable(item: string): boolean {
  const colon = item.indexOf(":");
  return colon > 0 && POSTFIX_TYPES.has(item.slice(0, colon));
}

/** The tables and files of one import. */
export class TableImport {
  readonly #directory: string;
  readonly #copies = new Map<string, CopiedFile>();

  /** @param directory of main.cf, without links */
  constructor(directory: string) {
    this.#directory = directory;
  }

  get copies(): readonly CopiedFile[] {
    return [...this.#copies.values()];
  }

  /** A table of ours for one of Postfix's. */
  convert(item: string): ImportedTable {
    const spec = withoutProxy(item);
    const colon = spec.indexOf(":");
    const type = spec.slice(0, colon);
    const name = spec.slice(colon + 1);
    if (type === "pipemap" || type === "unionmap") return this.#convertMembers(type, name);
    if (INDEXED.has(type)) {
      return this.#indexed(item, name);
    }
    if (!TABLE_TYPES.includes(type)) {
      const cure = type === "pcre"
        ? `rewrite ${name} as a regexp: table`
        : "put its content into a texthash: table, or let another system look it up";
      return { kind: "dropped", why: `table type "${type}" is not supported`, cure };
    }
    const isFile = FILE_TYPES.has(type) && !name.startsWith("{");
    const ending = type === "cdb" ? ".cdb" : "";
    const place = isFile ? this.file(name, ending) : { path: name, copied: false };
    if (place === undefined) return relativePath(name);
    const ours = `${type}:${place.path}`;
    return { kind: "table", spec: ours, note: ours === spec ? "" : `${item} is ${ours} now` };
  }

  /** The text that an indexed file was made of. */
  #indexed(item: string, name: string): ImportedTable {
    const place = this.file(name);
    if (place === undefined) return relativePath(name);
    const spec = `texthash:${place.path}`;
    const missing = !place.copied && lookAt(name) === undefined;
    const note = `${item} is ${spec} now, the text itself, read again when it changes`;
    if (!missing) return { kind: "table", spec, note };
    return { kind: "table", spec, note: `${note}; that text is not there: make it with postmap -s ${item}` };
  }

  #convertMembers(type: string, name: string): ImportedTable {
    const members: string[] = [];
    try {
      for (const { text } of splitBraced(unbrace(name))) {
        const member = this.convert(text);
        if (member.kind === "dropped") return member;
        members.push(member.spec);
      }
    } catch (error) {
      if (!(error instanceof BraceError)) throw error;
      return { kind: "dropped", why: error.message, cure: "mend it in main.cf" };
    }
    const ours = `${type}:{${members.join(", ")}}`;
    const same = ours === `${type}:${name}`;
    return { kind: "table", spec: ours, note: same ? "" : `${type}:${name} is ${ours} now` };
  }

  /**
   * Where a file is from now on: a copy if it was in the configuration directory; undefined for a relative path.
   *
   * @param ending of the file's name, which the name of its table does not have
   */
  file(path: string, ending = ""): { readonly path: string; readonly copied: boolean } | undefined {
    if (!path.startsWith("/")) return undefined;
    const plain = normalize(path);
    if (!plain.startsWith(`${this.#directory}/`)) return { path, copied: false };
    const to = plain.slice(this.#directory.length + 1);
    const stat = lookAt(plain + ending);
    if (stat !== undefined && !this.#copies.has(to + ending)) {
      const content = readBytesFile(plain + ending, TABLE_FILE_LIMIT);
      this.#copies.set(to + ending, {
        from: plain + ending,
        to: to + ending,
        mode: stat.mode & 0o777,
        content,
      });
    }
    return { path: `$config_directory/${to}`, copied: stat !== undefined };
  }
}

function relativePath(name: string): ImportedTable {
  return {
    kind: "dropped",
    why: `"${name}" is relative to wherever Postfix runs`,
    cure: "name the file by its absolute path",
  };
}
