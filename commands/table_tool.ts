/**
 * What postmap, postalias and newaliases have in common: opening tables, asking them, listing them, checking them.
 *
 * @module
 */
// Safe primitives
import { isAbsolute, resolve } from "../lib/safe/path.ts";
import { currentDirectory } from "../lib/safe/process.ts";
// Utility
import { decodeBase64 } from "../lib/vstring/base64.ts";
import { decodeText } from "../lib/vstring/byte_builder.ts";
import { printable } from "../lib/vstring/printable.ts";
// Tables
import { checkTables } from "../lib/table/check.ts";
import { DebugTable } from "../lib/table/debug_table.ts";
import { openTable } from "../lib/table/open.ts";
import type { OpenHow } from "../lib/table/open_how.ts";
import { isTableSpec, splitSpec } from "../lib/table/spec.ts";
import { tableFiles } from "../lib/table/table_files.ts";
import { TABLE_SERVERS } from "../lib/table/table_servers.ts";
import { describeProblem, type Table, TableError } from "../lib/table/table.ts";
// This program
import { type CommandEnv, CommandError } from "./command.ts";
import { inputLineBytes } from "./table_input.ts";

/** Type of a table that is given as a file only, where the configuration does not say. */
const DEFAULT_TYPE = "texthash";
/** Types whose name is a file. */
const FILE_TYPES = [
  ..."cdb cidr ldap memcache mysql pcre pgsql regexp sqlite texthash".split(" "),
  // These are refused, with the file to use in their place.
  ..."btree dbm hash lmdb sdbm".split(" "),
];

/** How tables are shown. */
export interface TableShow {
  /** What stands between a key and the tab that its value follows: postalias writes `key: value`. */
  readonly mark: string;
  /** Values are the base64 form of files. */
  readonly files?: boolean;
  /** Tell of each look-up. */
  readonly verbose?: boolean;
}

/** One program's use of tables. */
export class TableTool {
  readonly #env: CommandEnv;
  readonly #how: OpenHow;
  readonly #show: TableShow;
  readonly #opened: Table[] = [];

  constructor(env: CommandEnv, how: OpenHow, show: TableShow) {
    this.#env = env;
    this.#show = show;
    this.#how = {
      ...how,
      servers: TABLE_SERVERS,
      warn: (problem) => env.err(`${env.programName}: warning: ${describeProblem(problem)}\n`),
    };
  }

  /** The name of a table as the tables' opener takes it: with a type, and with an absolute path. */
  specOf(operand: string): string {
    const spec = isTableSpec(operand) ? operand : `${this.#defaultType()}:${operand}`;
    const colon = spec.indexOf(":");
    const name = spec.slice(colon + 1);
    const isFile = FILE_TYPES.includes(spec.slice(0, colon)) && !name.startsWith("{");
    if (!isFile || name === "" || isAbsolute(name)) return spec;
    return `${spec.slice(0, colon)}:${resolve(currentDirectory(), name)}`;
  }

  #defaultType(): string {
    return this.#env.load().configuration?.settings.default_database_type ?? DEFAULT_TYPE;
  }

  /** Prints the first table's value for the key; exit status 0 when one has it. */
  async query(specs: readonly string[], key: string): Promise<number> {
    for (const spec of specs) {
      const value = await this.#find(this.#open(spec), key);
      if (value === undefined) continue;
      this.#env.out(`${value}\n`);
      return 0;
    }
    return 1;
  }

  /** Asks the tables for each key; prints `key TAB value` for those found. */
  async queryInput(specs: readonly string[], keys: AsyncIterable<string>): Promise<number> {
    const tables = specs.map((spec) => this.#open(spec));
    let status = 1;
    for await (const key of keys) {
      for (const table of tables) {
        const value = await this.#find(table, key);
        if (value === undefined) continue;
        this.#print(key, value);
        status = 0;
        break;
      }
    }
    return status;
  }

  /** Standard input. */
  input(): AsyncIterable<Uint8Array> {
    return this.#env.stdin();
  }

  /** The lines of standard input. */
  async *inputKeys(): AsyncGenerator<string> {
    for await (const line of inputLineBytes(this.#env.stdin())) yield decodeText(line);
  }

  /** Ends the connections of tables on servers. */
  close(): void {
    for (const table of this.#opened) table.close?.();
  }

  /** Prints every key and value of the tables. */
  dump(specs: readonly string[]): number {
    for (const spec of specs) {
      const table = this.#open(spec);
      if (table.entries === undefined) {
        throw new CommandError(`fatal: table ${spec}: this type of table cannot list its entries`);
      }
      for (const [key, value] of table.entries()) this.#print(key, this.#shown(table, key, value));
    }
    return 0;
  }

  #print(key: string, value: string): void {
    this.#env.out(`${key}${this.#show.mark}\t${value}\n`);
  }

  /** A value as it is shown: with -F, what its base64 form stands for. */
  #shown(table: Table, key: string, value: string): string {
    if (!this.#show.files) return value;
    const bytes = decodeBase64(value);
    if (bytes !== undefined) return decodeText(bytes);
    const text = `table ${table.spec}: key ${printable(key)}: malformed BASE64 value: ${
      printable(value.slice(0, 100))
    }`;
    throw new CommandError(`fatal: ${text}`);
  }

  /** Reads the tables and says what is wrong with them; exit status 1 when one cannot be used. */
  check(specs: readonly string[], quiet = false): number {
    let status = 0;
    for (const spec of specs) {
      const problems = checkTables([spec], this.#how);
      for (const problem of problems) {
        const fault = problem.severity === "fault";
        if (fault) status = 1;
        const word = fault ? "error" : "warning";
        this.#env.err(`${this.#env.programName}: ${word}: ${describeProblem(problem)}\n`);
      }
      const usable = problems.every((problem) => problem.severity !== "fault");
      if (usable && !quiet) this.#env.err(`${this.#env.programName}: ${this.#summary(spec)}\n`);
    }
    return status;
  }

  #summary(spec: string): string {
    const table = openTable(spec, { ...this.#how, warn: () => {} });
    const count = table.entries === undefined ? "" : `${Array.from(table.entries()).length} entries; `;
    const split = splitSpec(spec);
    const type = split.kind === "spec" ? split.type : "";
    table.close?.();
    const kind = tableFiles([spec]).length > 0
      ? "is read as it stands and needs no index file"
      : "has no file";
    return `${spec}: ${count}a table of type ${type} ${kind}`;
  }

  #open(spec: string): Table {
    try {
      const table = openTable(spec, this.#how);
      this.#opened.push(table);
      return this.#show.verbose ? new DebugTable(spec, table, { info: (text) => this.#say(text) }) : table;
    } catch (error) {
      if (error instanceof TableError) throw new CommandError(`fatal: ${error.message}`);
      throw error;
    }
  }

  #say(text: string): void {
    this.#env.err(`${this.#env.programName}: ${text}\n`);
  }

  async #find(table: Table, key: string): Promise<string | undefined> {
    const outcome = await table.lookup(key);
    switch (outcome.kind) {
      case "found":
        if (outcome.value === "") {
          const text = `table ${table.spec}: key ${printable(key)}: empty string result is not allowed`;
          this.#env.err(`${this.#env.programName}: warning: ${text}\n`);
        }
        return this.#shown(table, key, outcome.value);
      case "missing":
        return undefined;
      case "retry":
        throw new CommandError(`fatal: table ${table.spec}: query error: ${outcome.why}`);
      default:
        return outcome satisfies never;
    }
  }
}
