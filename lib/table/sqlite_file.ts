/**
 * Queries of sqlite: tables, which open their file to read only.
 *
 * @module
 */
// Safe primitives
import { openSqlite, type SqliteFile } from "../safe/sqlite.ts";
// Tables
import { quoteStandard, type SqlRunner } from "./sql_table.ts";
import type { SqlRows } from "./servers.ts";

/** A data base file, opened with the first query and again after an error. */
export class SqliteRunner implements SqlRunner {
  readonly quote = quoteStandard;
  readonly #path: string;
  #file: SqliteFile | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** Throws when the file cannot be opened now. */
  open(): void {
    this.#file ??= openSqlite(this.#path);
  }

  run(query: string): Promise<SqlRows | undefined> {
    try {
      this.open();
      return Promise.resolve(this.#file!.query(query));
    } catch (error) {
      this.close();
      return Promise.reject(error);
    }
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }
}
