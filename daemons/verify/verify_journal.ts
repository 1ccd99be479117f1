/**
 * The cache on the disk: a line for each change, and now and then a new file with a line for each address. A line that is
 * cut is left out; one that is lost costs a probe, so nobody waits for the disk.
 */
// Utility
import type { Logger } from "../../lib/log/log.ts";
// Tables
import { formatLine, isWhole, parseLine, StateJournal } from "../../lib/table/state_journal.ts";
// This program
import type { Known } from "./verify_cache.ts";

const STATUSES: readonly Known["status"][] = ["ok", "undeliverable", "deferred", "unknown"];

/** One line: an address with what is known, or with nothing when it was forgotten. */
export function formatEntry(address: string, known: Known | undefined): string {
  const values = known === undefined ? [] : [known.status, known.probed, known.updated, known.text];
  return formatLine(address, values);
}

/** Reads a line; undefined when it is none. */
export function parseEntry(line: string): readonly [string, Known | undefined] | undefined {
  const values = parseLine(line);
  if (values === undefined) return undefined;
  const [address, status, probed, updated, text] = values;
  if (values.length === 1) return [address, undefined];
  const good = values.length === 5 && isStatus(status) && typeof text === "string" && isWhole(probed) &&
    isWhole(updated);
  return good ? [address, { status, probed, updated, text }] : undefined;
}

function isStatus(value: unknown): value is Known["status"] {
  return STATUSES.some((one) => one === value);
}

/** The file. */
export class VerifyJournal extends StateJournal<Known> {
  constructor(path: string, log: Pick<Logger, "warning">) {
    super(path, { format: formatEntry, parse: parseEntry }, log);
  }
}
