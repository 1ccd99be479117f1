/**
 * The records that a user may post: types, order and sizes are checked on the way to the file. pickup checks them
 * again, as anybody can write a file without this program.
 *
 * @module
 */
// Utility
import { ByteBuilder, decodeText } from "../lib/vstring/byte_builder.ts";
// Mail
import { formatTime } from "../lib/mail/queue_file.ts";
import { BadRecordError, RECORD, recordSize } from "../lib/mail/record.ts";
// This program
import type { MaildropFile } from "./maildrop_file.ts";

/** The types that a segment may have, and the one that ends it. */
interface Segment {
  readonly name: string;
  readonly types: readonly number[];
  readonly end: number;
}

const SEGMENTS: readonly Segment[] = [
  {
    name: "envelope",
    types: [
      RECORD.SIZE,
      RECORD.FULL,
      RECORD.FROM,
      RECORD.RECIPIENT,
      RECORD.VERP,
      RECORD.ATTRIBUTE,
      RECORD.DSN_ENVELOPE_ID,
      RECORD.DSN_NOTIFY,
    ],
    end: RECORD.MESSAGE,
  },
  { name: "content", types: [RECORD.NORMAL, RECORD.CONTINUED], end: RECORD.EXTRACTED },
  { name: "extracted", types: [RECORD.RECIPIENT, RECORD.ATTRIBUTE], end: RECORD.END },
];

/** Bytes of a record's type and length at most: more digits than these stand for a size that is never allowed. */
const HEAD_LIMIT = 4;

/**
 * Copies records from the input to the file, a fresh arrival time in front.
 *
 * @param recordLimit longest record, bytes (line_length_limit)
 * @param demandSender throws for a sender that the user may not have
 * @throws BadRecordError when the input is no message, or ends early
 */
export async function copyRecords(
  input: AsyncIterable<Uint8Array>,
  file: Pick<MaildropFile, "record">,
  recordLimit: number,
  demandSender?: (sender: string) => Promise<void>,
): Promise<void> {
  file.record(RECORD.TIME, formatTime(Date.now()));
  const assembler = new RecordAssembler(recordLimit);
  let segment = 0;
  for await (const chunk of input) {
    for (const { type, data } of assembler.push(chunk)) {
      const rules = SEGMENTS[segment]!;
      if (type !== rules.end && !rules.types.includes(type)) {
        throw new BadRecordError(
          `Cannot post message: record type ${type} is not allowed in the ${rules.name}`,
        );
      }
      if (type === RECORD.FROM) await demandSender?.(decodeText(data));
      file.record(type, data);
      if (type !== rules.end) continue;
      segment++;
      if (segment === SEGMENTS.length) return;
    }
  }
  throw new BadRecordError("Cannot post message: the input ends before the end record");
}

interface AnyRecord {
  readonly type: number;
  /** Valid until the next record is asked for. */
  readonly data: Uint8Array;
}

/** Puts records together from chunks that cut them anywhere. */
class RecordAssembler {
  readonly #limit: number;
  readonly #held: ByteBuilder;

  constructor(limit: number) {
    this.#limit = limit;
    this.#held = new ByteBuilder(recordSize(limit) + HEAD_LIMIT);
  }

  *push(chunk: Uint8Array): Generator<AnyRecord> {
    for (let at = 0; at < chunk.length;) {
      // Byte by byte through the head, then the data in one piece.
      const needed = this.#needed();
      const taken = Math.min(needed, chunk.length - at);
      this.#held.slice(chunk, at, at + taken);
      at += taken;
      const head = this.#head();
      if (head === undefined || this.#held.length < head.end) continue;
      const bytes = this.#held.view();
      yield { type: bytes[0]!, data: bytes.subarray(head.start, head.end) };
      this.#held.clear();
    }
  }

  #needed(): number {
    const head = this.#head();
    return head === undefined ? 1 : head.end - this.#held.length;
  }

  /** Where the data of the record that is held begins and ends; undefined while its length is not known. */
  #head(): { readonly start: number; readonly end: number } | undefined {
    const bytes = this.#held.view();
    let length = 0;
    for (let i = 1; i < bytes.length; i++) {
      const digit = bytes[i]!;
      length += (digit & 0x7f) << (7 * (i - 1));
      if (length > this.#limit || i === HEAD_LIMIT) {
        throw new BadRecordError("Cannot post message: it has a record that is too long");
      }
      if ((digit & 0x80) === 0) return { start: i + 1, end: i + 1 + length };
    }
    return undefined;
  }
}
