/** Queue files written record by record. Not a test itself. @module */
import {
  appendAttribute,
  formatSizeRecord,
  formatTime,
  type SizeRecord,
} from "../../../lib/mail/queue_file.ts";
import { appendRecord, NUMBER_WIDTH, type ReadAt, RECORD } from "../../../lib/mail/record.ts";
import { ByteBuilder, encodeText } from "../../../lib/vstring/byte_builder.ts";

export const ARRIVAL = 1_700_000_000_123;

/** Writes the parts of a queue file in any order, good or bad. */
export class FileWriter {
  readonly out = new ByteBuilder(64 * 1024 * 1024, 4096);

  /** Bytes so far. */
  get position(): number {
    return this.out.length;
  }

  put(type: number, data: Uint8Array | string = ""): this {
    appendRecord(this.out, type, data);
    return this;
  }

  attribute(name: string, value: string): this {
    appendAttribute(this.out, name, value);
    return this;
  }

  pointer(target: number): this {
    return this.put(RECORD.POINTER, String(target).padStart(NUMBER_WIDTH));
  }

  size(size: Partial<SizeRecord> = {}): this {
    return this.put(RECORD.SIZE, formatSizeRecord({ ...EMPTY, ...size }));
  }

  /** The size record at the start of the file, once its numbers are known. */
  patchSize(size: Partial<SizeRecord>): this {
    this.out.patch(2, encodeText(formatSizeRecord({ ...EMPTY, ...size })));
    return this;
  }

  /** Overwrites a pointer record's target. */
  patchPointer(offset: number, target: number): this {
    this.out.patch(offset + 2, encodeText(String(target).padStart(NUMBER_WIDTH)));
    return this;
  }

  bytes(): Uint8Array<ArrayBuffer> {
    return this.out.copy();
  }
}

const EMPTY: SizeRecord = {
  contentSize: 0,
  dataOffset: 0,
  recipientCount: 0,
  qmgrFlags: 0,
  contentLength: 0,
  sendOptions: 0,
};

/** What a sample file holds. */
export interface Sample {
  readonly recipients: readonly string[];
  readonly lines: readonly string[];
}

export const SAMPLE: Sample = {
  recipients: ["one@example.com", "two@example.com", "drei@grün.example"],
  lines: ["Subject: test", "", "First line", ".", "", "Last line"],
};

/** A committed queue file as cleanup writes it. */
export function sampleFile(sample: Sample = SAMPLE): FileWriter {
  const file = new FileWriter().size().put(RECORD.TIME, formatTime(ARRIVAL));
  file.attribute("create_time", "1700000000").attribute("rewrite_context", "local")
    .put(RECORD.FROM, "sender@example.com")
    .attribute("log_client_name", "client.example").attribute("log_client_address", "192.0.2.1");
  for (const address of sample.recipients) {
    file.attribute("dsn_orig_rcpt", `rfc822;${address}`).attribute("notify_flags", "12")
      .put(RECORD.ORIGINAL, `orig-${address}`).put(RECORD.RECIPIENT, address);
  }
  return content(file, sample).put(RECORD.EXTRACTED).put(RECORD.END);
}

/** Appends M and the lines, and puts the size record right. */
export function content(file: FileWriter, sample: Sample): FileWriter {
  file.put(RECORD.MESSAGE);
  const dataOffset = file.position;
  let contentLength = 0;
  for (const line of sample.lines) {
    file.put(RECORD.NORMAL, line);
    contentLength += encodeText(line).length + 1;
  }
  const contentSize = file.position - dataOffset;
  return file.patchSize({ contentSize, dataOffset, recipientCount: sample.recipients.length, contentLength });
}

/** Reads a file in memory. */
export function readerOf(file: Uint8Array): ReadAt {
  return (buffer, offset) => {
    const piece = file.subarray(offset, offset + buffer.length);
    buffer.set(piece);
    return piece.length;
  };
}
