/**
 * Changing what is told of deliveries (local_delivery_status_filter and the like): "status text" is looked up, and what
 * is found takes its place.
 *
 * @module
 */
// Utility
import { printable } from "../vstring/printable.ts";
// Tables
import { keySearch } from "../table/search.ts";
import { type Table } from "../table/table.ts";
// Mail
import { type MailboxOutcome, outcomeOf } from "../mail/mailbox_outcome.ts";
import { splitStatus } from "../mail/status_code.ts";

/** Gives the outcome as it is told. */
export type StatusFilter = (outcome: MailboxOutcome) => Promise<MailboxOutcome>;

/**
 * The filter that a parameter's tables make; undefined where there are none, so that nothing waits for it.
 *
 * @param warn told of what a table says that cannot be
 */
export function statusFilter(
  parameter: string,
  tables: readonly Table[],
  warn: (text: string) => void,
): StatusFilter | undefined {
  if (tables.length === 0) return undefined;
  return async (outcome) => {
    const key = `${outcome.status} ${outcome.reason}`;
    const stays = (why: string) => {
      warn(`${parameter}: ${printable(why)}: result "${printable(key)}" stays`);
      return outcome;
    };
    const found = await keySearch(tables, key);
    if (found.kind === "missing") return outcome;
    if (found.kind === "retry") return stays(`lookup error: ${found.why}`);
    const { status, text } = splitStatus(found.value, "");
    if (status === "") return stays(`"${found.value}" has no status code`);
    // A failure that is told as a success would lose the mail, and the other way round deliver it twice.
    if ((status[0] === "2") !== (outcome.result === "sent")) {
      return stays(`"${found.value}" turns success and failure round`);
    }
    return outcomeOf(status, text);
  };
}
