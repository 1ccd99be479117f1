/**
 * SQLite files, to read.
 *
 * Permissions needed: read on the file.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { decodeText } from "../vstring/byte_builder.ts";
import { SystemError } from "./error.ts";

/** Milliseconds that a query waits for a writer's lock. */
const BUSY_TIMEOUT = 1000;

/** An open data base. */
export interface SqliteFile {
  /** The rows of a query as texts, or undefined for a statement that gives none. Throws what SQLite says. */
  query(text: string): (string | null)[][] | undefined;
  close(): void;
}

/** Opens a data base that exists. */
export function openSqlite(path: string): SqliteFile {
  let database: DatabaseSync;
  try {
    database = new DatabaseSync(path, { readOnly: true, timeout: BUSY_TIMEOUT });
  } catch (error) {
    throw new SystemError("open", path, error);
  }
  return {
    query: (text) => {
      const statement = database.prepare(text);
      statement.setReadBigInts(true);
      if (statement.columns().length === 0) return undefined;
      // Rows as arrays: two columns may have one name. The runtime's types do not know the call yet.
      (statement as unknown as { setReturnArrays(on: boolean): void }).setReturnArrays(true);
      return (statement.all() as unknown as unknown[][]).map((row) => row.map(asText));
    },
    close: () => database.close(),
  };
}

/** A value as SQLite itself would write it as text. */
function asText(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (value instanceof Uint8Array) return decodeText(value);
  // Whole numbers come as bigint: a number is a REAL, which SQLite writes with its point.
  return typeof value === "number" && Number.isInteger(value) ? `${value}.0` : String(value);
}
