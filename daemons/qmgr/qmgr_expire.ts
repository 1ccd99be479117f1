/**
 * What the log of an earlier attempt knows of a message that is expired by force (postsuper -e and -f): the report to
 * its sender gives the reason of the delay. Recipients that the log does not have, as the attempt was not finished,
 * are put off anew: without that nobody would hear of them.
 */
// Safe primitives
import { openOwn } from "../../lib/safe/file.ts";
// Mail
import { BounceLogReader } from "../../lib/mail/bounce_log.ts";

const DEFAULTS = { status: "4.0.0", action: "delayed" } as const;

/** Offsets in the queue file of the recipients that a log has; none when there is no log. */
export function loggedRecipients(path: string): ReadonlySet<number> {
  const offsets = new Set<number>();
  const opened = openOwn(path, "read");
  if (opened.kind !== "opened") return offsets;
  using file = opened.file;
  const reader = new BounceLogReader((buffer, offset) => file.read(buffer, offset), DEFAULTS);
  // An offset of 0 is none: the log of another program need not name it.
  for (let record = reader.next(); record !== undefined; record = reader.next()) {
    if (record.offset > 0) offsets.add(record.offset);
  }
  return offsets;
}
