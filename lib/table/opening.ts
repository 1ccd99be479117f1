/**
 * What every type of table is opened with.
 *
 * @module
 */
// Utility
import { printable } from "../vstring/printable.ts";
// Tables
import type { TableFiles } from "./file_table.ts";
import type { OpenHow } from "./open_how.ts";
import { type Place, refuse, type Table, type Warn } from "./table.ts";

/** What a type's opener gets. */
export interface Opening {
  readonly spec: string;
  /** What stands behind the colon. */
  readonly name: string;
  readonly how: OpenHow;
  readonly fold: boolean;
  readonly files: TableFiles;
  readonly warn: Warn;
  /** Where errors about the table as a whole stand. */
  readonly place: Place;
  /** Opens a table that this one is made of, in the same way. */
  readonly open: (spec: string) => Table;
}

/** The file that the name stands for; a relative one would depend on who asks. */
export function filePath(opening: Opening): string {
  if (!opening.name.startsWith("/")) {
    refuse(opening.place, `"${printable(opening.name)}" is not an absolute path`);
  }
  return opening.name;
}
