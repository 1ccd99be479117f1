/**
 * Whether a queue file is whole: what the queue manager and the delivery agents will read of it is read here first.
 *
 * @module
 */
// Mail
import { ContentReader, EnvelopeReader } from "../lib/mail/queue_file.ts";
import { BadRecordError, type ReadAt } from "../lib/mail/record.ts";

/** Recipients that are read at once. */
const BATCH = 1000;

/** What is wrong with a queue file, or undefined. */
export function findDamage(readAt: ReadAt): string | undefined {
  try {
    const reader = new EnvelopeReader(readAt);
    while (!reader.finished) reader.recipients(BATCH);
    const content = new ContentReader(readAt, reader.envelope().size.dataOffset);
    while (content.next());
    return undefined;
  } catch (error) {
    if (error instanceof BadRecordError) return error.message;
    throw error;
  }
}
