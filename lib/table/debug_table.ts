/**
 * debug:type:name: the table type:name with each of its look-ups in the log.
 *
 * @module
 */
// Utility
import type { Logger } from "../log/log.ts";
import { printable } from "../vstring/printable.ts";
// Tables
import type { Outcome, Table } from "./table.ts";

/** A table that is watched. */
export class DebugTable implements Table {
  readonly spec: string;
  readonly partialKeys: boolean;
  readonly entries?: () => Iterable<readonly [key: string, value: string]>;
  readonly #table: Table;
  readonly #log: Pick<Logger, "info"> | undefined;

  constructor(spec: string, table: Table, log: Pick<Logger, "info"> | undefined) {
    this.spec = spec;
    this.partialKeys = table.partialKeys;
    this.#table = table;
    this.#log = log;
    if (table.entries !== undefined) this.entries = () => table.entries!();
  }

  placeOf(key: string): string | undefined {
    return this.#table.placeOf?.(key);
  }

  async lookup(key: string): Promise<Outcome> {
    const outcome = await this.#table.lookup(key);
    const what = outcome.kind === "found"
      ? `found "${printable(outcome.value)}"`
      : outcome.kind === "missing"
      ? "not found"
      : `error: ${printable(outcome.why)}`;
    this.#log?.info(`${this.#table.spec} lookup: "${printable(key)}" = ${what}`);
    return outcome;
  }

  close(): void {
    this.#table.close?.();
  }
}
