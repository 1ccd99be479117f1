/**
 * What postmap, postalias and newaliases have in common: opening tables, asking them, listing them, checking them.
 *
 * @module
 */
// Safe primitives
import { isAbsolute, resolve } from "../lib/safe/path.ts";
import { currentDirectory } from "../lib/safe/process.ts";
// Utility
import { ByteBuilder, ByteLimitError, decodeText } from "../lib/vstring/byte_builder.ts";
import { printable } from "../lib/vstring/printable.ts";
// Tables
import { checkTables } from "../lib/table/check.ts";
import { openTable } from "../lib/table/open.ts";
import type { OpenHow } from "../lib/table/open_how.ts";
import { isTableSpec, splitSpec } from "../lib/table/spec.ts";
import { tableFiles } from "../lib/table/table_files.ts";
import { describeProblem, type Table, TableError } from "../lib/table/table.ts";
// This program
import { type CommandEnv, CommandError } from "./command.ts";

/** Longest key on standard input, bytes. */
const KEY_LIMIT = 65536;
const LF = 0x0a;
/** Type of a table that is given as a file only, where the configuration does not say. */
const DEFAULT_TYPE = "texthash";

/** One program's use of tables. */
export class TableTool {
  readonly #env: CommandEnv;
  readonly #how: OpenHow;
  /** Behind each key in a list: postalias writes `key: value`. */
  readonly #mark: string;

  /** @param mark what stands between a key and the tab that its value follows */
  constructor(env: CommandEnv, how: OpenHow, mark: string) {
    this.#env = env;
    this.#mark = mark;
    this.#how = {
      ...how,
      warn: (problem) => env.err(`${env.programName}: warning: ${describeProblem(problem)}\n`),
    };
  }

  /** The name of a table as the tables' opener takes it: with a type, and with an absolute path. */
  specOf(operand: string): string {
    const spec = isTableSpec(operand) ? operand : `${this.#defaultType()}:${operand}`;
    const colon = spec.indexOf(":");
    const name = spec.slice(colon + 1);
    const isFile = ["texthash", "cidr", "regexp"].includes(spec.slice(0, colon)) && !name.startsWith("{");
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

  /** Asks the tables for each line of standard input; prints `key TAB value` for those found. */
  async queryInput(specs: readonly string[]): Promise<number> {
    const tables = specs.map((spec) => this.#open(spec));
    let status = 1;
    for await (const key of inputLines(this.#env.stdin())) {
      for (const table of tables) {
        const value = await this.#find(table, key);
        if (value === undefined) continue;
        this.#env.out(`${key}${this.#mark}\t${value}\n`);
        status = 0;
        break;
      }
    }
    return status;
  }

  /** Prints every key and value of the tables. */
  dump(specs: readonly string[]): number {
    for (const spec of specs) {
      const table = this.#open(spec);
      if (table.entries === undefined) {
        throw new CommandError(`fatal: table ${spec}: this type of table cannot list its entries`);
      }
      for (const [key, value] of table.entries()) this.#env.out(`${key}${this.#mark}\t${value}\n`);
    }
    return 0;
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
    const kind = tableFiles([spec]).length > 0
      ? "is read as it stands and needs no index file"
      : "has no file";
    return `${spec}: ${count}a table of type ${type} ${kind}`;
  }

  #open(spec: string): Table {
    try {
      return openTable(spec, this.#how);
    } catch (error) {
      if (error instanceof TableError) throw new CommandError(`fatal: ${error.message}`);
      throw error;
    }
  }

  async #find(table: Table, key: string): Promise<string | undefined> {
    const outcome = await table.lookup(key);
    switch (outcome.kind) {
      case "found":
        if (outcome.value === "") {
          const text = `table ${table.spec}: key ${printable(key)}: empty string result is not allowed`;
          this.#env.err(`${this.#env.programName}: warning: ${text}\n`);
        }
        return outcome.value;
      case "missing":
        return undefined;
      case "retry":
        throw new CommandError(`fatal: table ${table.spec}: query error: ${outcome.why}`);
      default:
        return outcome satisfies never;
    }
  }
}

/** The lines of standard input without their line ends. */
async function* inputLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const line = new ByteBuilder(KEY_LIMIT);
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, start)) {
      append(line, chunk.subarray(start, end));
      yield decodeText(line.view());
      line.clear();
      start = end + 1;
    }
    append(line, chunk.subarray(start));
  }
  if (line.length > 0) yield decodeText(line.view());
}

function append(line: ByteBuilder, bytes: Uint8Array): void {
  try {
    line.bytes(bytes);
  } catch (error) {
    if (error instanceof ByteLimitError) {
      throw new CommandError(`fatal: a key is longer than ${KEY_LIMIT} bytes`);
    }
    throw error;
  }
}
