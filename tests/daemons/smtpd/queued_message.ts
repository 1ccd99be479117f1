/** What a committed queue file holds, for tests. Not a test itself. @module */
import { EnvelopeReader } from "../../../lib/mail/queue_file.ts";
import { RECORD, RecordCursor } from "../../../lib/mail/record.ts";
import { ByteBuilder } from "../../../lib/vstring/byte_builder.ts";

export interface QueuedMessage {
  readonly id: string;
  readonly time: number;
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly originalRecipients: readonly string[];
  readonly attributes: ReadonlyMap<string, string>;
  readonly envelope: ReturnType<EnvelopeReader["envelope"]>;
  /** The content, one LF for each line end. */
  readonly content: Uint8Array<ArrayBuffer>;
  /** The content as text, one character for each byte. */
  readonly text: string;
  /** What follows the first empty line. */
  readonly body: string;
}

/** Reads a queue file by the product's own reader, and its content record by record. */
export function readQueueFile(path: string): QueuedMessage {
  return readQueued(path.slice(path.lastIndexOf("/") + 1), Deno.readFileSync(path));
}

export function readQueued(id: string, bytes: Uint8Array): QueuedMessage {
  const reader = new EnvelopeReader((buffer, offset) => {
    const part = bytes.subarray(offset, offset + buffer.length);
    buffer.set(part);
    return part.length;
  });
  const recipients = [];
  while (!reader.finished) recipients.push(...reader.recipients(100_000));
  const envelope = reader.envelope();
  const { dataOffset, contentSize } = envelope.size;
  const cursor = new RecordCursor(bytes, dataOffset, dataOffset + contentSize);
  const out = new ByteBuilder(contentSize, contentSize);
  while (cursor.next()) {
    if (cursor.type === RECORD.NORMAL) out.bytes(cursor.data).byte(0x0a);
    else if (cursor.type === RECORD.CONTINUED) out.bytes(cursor.data);
    else throw new Error(`record type ${cursor.type} in the content`);
  }
  const content = out.copy();
  const text = latin1(content);
  const separator = text.indexOf("\n\n");
  return {
    id,
    time: envelope.arrivalTime,
    sender: envelope.sender,
    recipients: recipients.map(({ address }) => address),
    originalRecipients: recipients.map(({ originalRecipient }) => originalRecipient),
    attributes: envelope.attributes,
    envelope,
    content,
    text,
    body: separator < 0 ? "" : text.slice(separator + 2),
  };
}

/** One character for each byte. */
export function latin1(bytes: Uint8Array): string {
  let out = "";
  for (const byte of bytes) out += String.fromCharCode(byte);
  return out;
}
