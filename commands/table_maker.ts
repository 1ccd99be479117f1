/**
 * How postmap, postalias and newaliases make cdb: files, change them, and whose rights they have meanwhile.
 *
 * @module
 */
// Safe primitives
import { lookAt, readBytesFile, readTextFile, realPath } from "../lib/safe/file.ts";
import { actAs } from "../lib/safe/login.ts";
import { ownUid } from "../lib/safe/process.ts";
// Utility
import { encodeBase64 } from "../lib/vstring/base64.ts";
import { decodeText } from "../lib/vstring/byte_builder.ts";
import { asciiLower, splitBlanks } from "../lib/vstring/ascii.ts";
import { printable } from "../lib/vstring/printable.ts";
// Tables
import { parseAliasSource } from "../lib/table/alias_source.ts";
import { writeCdb } from "../lib/table/cdb_file.ts";
import { CDB_SUFFIX } from "../lib/table/cdb_table.ts";
import { TABLE_FILE_LIMIT } from "../lib/table/file_table.ts";
import { type MapReading, parseMapSource } from "../lib/table/map_source.ts";
import { openTable } from "../lib/table/open.ts";
import { splitSpec } from "../lib/table/spec.ts";
import { describeProblem } from "../lib/table/table.ts";
// This program
import { type CommandEnv, CommandError } from "./command.ts";

/** Mode of a new file, before it is cut to that of its source. */
const PLAIN_MODE = 0o644;

/** What the options say of making tables. */
export interface Making {
  readonly alias: boolean;
  readonly foldKeys: boolean;
  readonly nul: boolean;
  readonly duplicates: NonNullable<MapReading["duplicates"]>;
  /** Keep root's rights for the files of others. */
  readonly asRoot: boolean;
  /** Do not take the mode of the source over. */
  readonly plainMode: boolean;
  /** Values name files, whose content is stored. */
  readonly files: boolean;
  readonly anyBytes: boolean;
}

/** Makes tables. */
export class TableMaker {
  readonly #env: CommandEnv;
  readonly #making: Making;

  constructor(env: CommandEnv, making: Making) {
    this.#env = env;
    this.#making = making;
  }

  /** Makes each table anew from its source; types that have no index file are checked. The exit status. */
  async make(specs: readonly string[], check: (spec: string) => number): Promise<number> {
    let status = 0;
    for (const spec of specs) {
      const path = sourceOf(spec);
      if (path === undefined) status = Math.max(status, check(spec));
      else {
        await this.#asOwner(path, async () => {
          const entries = this.#entries(path, this.#readSource(path));
          await this.#write(path, entries);
        });
      }
    }
    return status;
  }

  /** Adds the entries of standard input to a table. The exit status. */
  async update(spec: string): Promise<number> {
    const path = this.#indexed(spec, "updated");
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of this.#env.stdin()) {
      size += chunk.length;
      if (size > TABLE_FILE_LIMIT) {
        throw new CommandError(`fatal: input is longer than ${TABLE_FILE_LIMIT} bytes`);
      }
      chunks.push(chunk.slice());
    }
    const text = decodeText(new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer()));
    await this.#asOwner(path, async () => {
      const entries = this.#existing(spec, path);
      for (const [key, value] of this.#entries("stdin", text)) this.#store(entries, key, value, path);
      await this.#write(path, entries);
    });
    return 0;
  }

  /** Removes keys; exit status 0 when one was there. */
  async remove(specs: readonly string[], keys: Iterable<string> | AsyncIterable<string>): Promise<number> {
    const paths = specs.map((spec) => this.#indexed(spec, "changed"));
    const names: string[] = [];
    for await (const key of keys) names.push(this.#making.foldKeys ? asciiLower(key) : key);
    let status = 1;
    for (const [index, path] of paths.entries()) {
      await this.#asOwner(path, async () => {
        if (lookAt(path + CDB_SUFFIX) === undefined) {
          throw new CommandError(`fatal: open database ${path}${CDB_SUFFIX}: No such file or directory`);
        }
        const entries = this.#existing(specs[index]!, path);
        const removed = names.filter((name) => entries.delete(name));
        if (removed.length === 0) return;
        status = 0;
        await this.#write(path, entries);
      });
    }
    return status;
  }

  /** The source file of a table that has an index file. */
  #indexed(spec: string, what: string): string {
    const path = sourceOf(spec);
    if (path !== undefined) return path;
    throw new CommandError(
      `fatal: table ${spec}: this type of table cannot be ${what}: it has no index file`,
    );
  }

  #readSource(path: string): string {
    try {
      return readTextFile(path, TABLE_FILE_LIMIT);
    } catch (error) {
      throw new CommandError(`fatal: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #entries(file: string, text: string): Map<string, string> {
    const { alias, foldKeys, duplicates, anyBytes, files } = this.#making;
    const warn: MapReading["warn"] = (problem) => {
      this.#env.err(`${this.#env.programName}: warning: ${describeProblem(problem)}\n`);
    };
    const parse = alias ? parseAliasSource : parseMapSource;
    const entries = parse(text, { foldKeys, file, warn, duplicates, anyBytes });
    if (files) { for (const [key, value] of entries) entries.set(key, this.#filesOf(key, value)); }
    return entries;
  }

  /** What the files that a value names hold, a newline between two, as base64. */
  #filesOf(key: string, value: string): string {
    const contents = splitBlanks(value, true).map((path) => {
      try {
        return readBytesFile(path, TABLE_FILE_LIMIT);
      } catch (error) {
        throw new CommandError(
          `fatal: key ${printable(key)}: ${error instanceof Error ? error.message : error}`,
        );
      }
    });
    const newline = new Uint8Array([0x0a]);
    const pieces = contents.flatMap((content, index) => index === 0 ? [content] : [newline, content]);
    const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    pieces.reduce((at, piece) => (all.set(piece, at), at + piece.length), 0);
    return encodeBase64(all);
  }

  /** The entries that the index file has now; none when there is no file. */
  #existing(spec: string, path: string): Map<string, string> {
    if (lookAt(path + CDB_SUFFIX) === undefined) return new Map();
    const table = openTable(spec, { foldKeys: this.#making.foldKeys });
    // The first of several values counts, also in a file that another program made.
    const entries = new Map<string, string>();
    for (const [key, value] of table.entries!()) if (!entries.has(key)) entries.set(key, value);
    table.close?.();
    return entries;
  }

  #store(entries: Map<string, string>, key: string, value: string, path: string): void {
    const { duplicates } = this.#making;
    if (!entries.has(key) || duplicates === "replace") entries.set(key, value);
    else if (duplicates === "warn") {
      this.#env.err(
        `${this.#env.programName}: warning: ${path}${CDB_SUFFIX}: duplicate entry: "${printable(key)}"\n`,
      );
    }
  }

  async #write(path: string, entries: Map<string, string>): Promise<void> {
    const real = realPath(path);
    const source = real === undefined ? undefined : lookAt(real);
    const mode = this.#making.plainMode || source === undefined ? PLAIN_MODE : PLAIN_MODE & source.mode;
    try {
      await writeCdb(path + CDB_SUFFIX, entries, { mode, nul: this.#making.nul });
    } catch (error) {
      throw new CommandError(`fatal: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /**
   * Works with the rights of the source's owner: as root, a link that the owner put beside the source would have any
   * file overwritten.
   */
  async #asOwner(path: string, work: () => Promise<void>): Promise<void> {
    const real = realPath(path) ?? realPath(path + CDB_SUFFIX);
    const source = real === undefined ? undefined : lookAt(real);
    if (source === undefined || source.uid === 0 || ownUid() !== 0 || this.#making.asRoot) {
      return await work();
    }
    await actAs(source, work);
  }
}

/** The source file of a cdb: table, or undefined for other types. */
function sourceOf(spec: string): string | undefined {
  const split = splitSpec(spec);
  return split.kind === "spec" && split.type === "cdb" && split.name.startsWith("/") ? split.name : undefined;
}
