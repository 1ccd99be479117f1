/**
 * A table whose name is a configuration file: opened from it, and opened anew when the file has changed. A file that
 * has become bad leaves the table that was opened before in use.
 *
 * @module
 */
// Safe primitives
import { isSandboxRefusal } from "../safe/error.ts";
// Tables
import { CHECK_INTERVAL } from "./reload.ts";
import type { Opening } from "./opening.ts";
import { type Outcome, type Table, TableError } from "./table.ts";

/** Watches the configuration of one table. */
export class ConfiguredTable implements Table {
  readonly spec: string;
  readonly partialKeys = true;
  readonly #opening: Opening;
  readonly #make: () => Table;
  #table: Table | undefined;
  #version: string | undefined;
  #trouble = "";
  #nextCheck: number;

  /**
   * Opens the table. Throws a TableError unless the opening is soft.
   *
   * @param make reads the configuration and opens what it describes
   */
  constructor(opening: Opening, make: () => Table) {
    this.spec = opening.spec;
    this.#opening = opening;
    this.#make = make;
    this.#nextCheck = opening.files.now() + CHECK_INTERVAL;
    this.#load();
  }

  lookup(key: string): Outcome | Promise<Outcome> {
    const now = this.#opening.files.now();
    if (now >= this.#nextCheck) {
      this.#nextCheck = now + CHECK_INTERVAL;
      this.#load();
    }
    return this.#table?.lookup(key) ?? { kind: "retry", why: this.#trouble };
  }

  close(): void {
    this.#table?.close?.();
  }

  /** Opens the table if its file is new. */
  #load(): void {
    const { files, how, name, spec } = this.#opening;
    const before = this.#table;
    try {
      const version = files.version(name);
      if (before !== undefined && (version === undefined || version === this.#version)) return;
      this.#table = this.#make();
      this.#version = version;
      this.#trouble = "";
      if (before === undefined) return;
      before.close?.();
      how.log?.info(`table ${spec} has changed -- using its new content`);
    } catch (error) {
      const trouble = error instanceof TableError ? error : asTableError(spec, name, error);
      if (before === undefined && !(how.soft ?? false)) throw trouble;
      this.#say(trouble);
    }
  }

  #say(trouble: TableError): void {
    if (trouble.message === this.#trouble) return;
    this.#trouble = trouble.message;
    const { how } = this.#opening;
    const rest = this.#table === undefined ? "" : " -- going on with the content that was read before";
    how.log?.error(trouble.message + rest);
    if (isSandboxRefusal(trouble.cause)) how.refused?.(trouble.cause);
  }
}

function asTableError(spec: string, file: string, error: unknown): TableError {
  const text = error instanceof Error ? error.message : String(error);
  return new TableError(spec, { file, line: 0, text }, { cause: error });
}
