/**
 * The cache on the disk: a line for each change, and now and then a new file with a line for each address. A line that is
 * cut is left out; one that is lost costs a probe, so nobody waits for the disk.
 */
// Utility
import type { Logger } from "../../lib/log/log.ts";
// Server skeleton
import { StateJournal } from "../../lib/server/state_journal.ts";
// This program
import type { Known } from "./verify_cache.ts";

const STATUSES: readonly unknown[] = ["ok", "undeliverable", "deferred", "unknown"];

/** One line: an address with what is known, or with nothing when it was forgotten. */
export function formatEntry(address: string, known: Known | undefined): string {
  const values = known === undefined ? [] : [known.status, known.probed, known.updated, known.text];
  return `${JSON.stringify([address, ...values])}\n`;
}

/** Reads a line; undefined when it is none. */
export function parseEntry(line: string): readonly [string, Known | undefined] | undefined {
  let values: unknown;
  try {
    values = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!Array.isArray(values) || typeof values[0] !== "string") return undefined;
  const [address, status, probed, updated, text] = values;
  if (values.length === 1) return [address, undefined];
  const good = values.length === 5 && STATUSES.includes(status) && typeof text === "string" &&
    Number.isSafeInteger(probed) && Number.isSafeInteger(updated);
  return good ? [address, { status, probed, updated, text }] : undefined;
}

/** The file. */
export class VerifyJournal extends StateJournal<Known> {
  constructor(path: string, log: Pick<Logger, "warning">) {
    super(path, { format: formatEntry, parse: parseEntry }, log);
  }
}
