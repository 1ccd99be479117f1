/**
 * The message that a report is about, read from its queue file.
 *
 * @module
 */
// Safe primitives
import { type SafeFile, safeOpen } from "../../lib/safe/file.ts";
import { SystemError } from "../../lib/safe/error.ts";
// Utility
import { COLON, isBlank, startsWithIgnoreCase, trimBlanks } from "../../lib/vstring/ascii.ts";
import { decodeText } from "../../lib/vstring/byte_builder.ts";
// Mail
import type { QueueDirectory } from "../../lib/mail/queue_directory.ts";
import { ContentReader, EnvelopeReader, type SizeRecord } from "../../lib/mail/queue_file.ts";
import type { QueueId } from "../../lib/mail/queue_id.ts";
import { BadRecordError } from "../../lib/mail/record.ts";

/** Where a message stands when it is reported on. */
const QUEUES = ["active"] as const;
const MESSAGE_ID = "message-id:";
/** Longest Message-ID that is repeated in a report, bytes: one line of RFC 5322. */
const MESSAGE_ID_LIMIT = 998;
/** Most pieces of header looked at for the Message-ID. */
const HEADER_PIECE_LIMIT = 10_000;

/** What goes into a report, piece by piece. */
export interface Piece {
  readonly data: Uint8Array;
  /** False when the line goes on in the next piece. */
  readonly endsLine: boolean;
}

/** A message that is open for reading. */
export class Original implements Disposable {
  readonly #file: SafeFile;
  readonly #size: SizeRecord;
  /** Arrival, milliseconds since 1970. */
  readonly arrivalTime: number;

  /** @throws BadRecordError when the envelope is damaged */
  constructor(file: SafeFile) {
    this.#file = file;
    const reader = new EnvelopeReader((buffer, offset) => file.read(buffer, offset));
    reader.recipients(1);
    const envelope = reader.envelope();
    this.#size = envelope.size;
    this.arrivalTime = envelope.arrivalTime;
  }

  /** Content as its reader sees it, bytes; 0 when unknown. */
  get contentLength(): number {
    return this.#size.contentLength;
  }

  /**
   * The content, line by line.
   *
   * @throws BadRecordError where the file is damaged
   */
  *content(): Generator<Piece> {
    const reader = this.#reader();
    while (reader.next()) yield reader;
  }

  /** The header lines only; none begins behind `limit` bytes. */
  *headers(limit: number): Generator<Piece> {
    const reader = this.#reader();
    let room = limit;
    let startsLine = true;
    while (reader.next()) {
      if (startsLine && (room <= 0 || !belongsToHeader(reader.data))) return;
      room -= reader.data.length + 1;
      yield reader;
      startsLine = reader.endsLine;
    }
  }

  /** The Message-ID with its angle brackets, or an empty string when there is none that may be repeated. */
  messageId(): string {
    const reader = this.#reader();
    let startsLine = true;
    let found: string | undefined;
    for (let count = 0; count < HEADER_PIECE_LIMIT && reader.next(); count++) {
      const folded = reader.data.length > 0 && isBlank(reader.data[0]!);
      if (startsLine && found !== undefined && !folded) break;
      if (startsLine && !belongsToHeader(reader.data)) break;
      if (found !== undefined) found += decodeText(reader.data);
      else if (startsLine && startsWithIgnoreCase(reader.data, MESSAGE_ID)) {
        found = decodeText(reader.data.subarray(MESSAGE_ID.length));
      }
      if (found !== undefined && found.length > MESSAGE_ID_LIMIT) return "";
      startsLine = reader.endsLine;
    }
    const id = trimBlanks(found ?? "");
    return isMessageId(id) ? id : "";
  }

  #reader(): ContentReader {
    return new ContentReader((buffer, offset) => this.#file.read(buffer, offset), this.#size.dataOffset);
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** Opens a message; when it cannot be read, `why` says so and the report goes out without it. */
export function openOriginal(
  directory: QueueDirectory,
  queueName: string,
  id: QueueId,
): { readonly kind: "opened"; readonly original: Original } | {
  readonly kind: "unreadable";
  readonly why: string;
} {
  const queue = QUEUES.find((name) => name === queueName);
  if (queue === undefined) return { kind: "unreadable", why: "it is in a queue that bounce does not read" };
  try {
    const opened = safeOpen(directory.path(queue, id), { access: "read" });
    if (opened.kind === "missing") return { kind: "unreadable", why: "there is no such file" };
    if (opened.kind === "refused") return { kind: "unreadable", why: `it ${opened.why}` };
    try {
      return { kind: "opened", original: new Original(opened.file) };
    } catch (error) {
      opened.file.close();
      throw error;
    }
  } catch (error) {
    if (!isReadError(error) || mayPass(error)) throw error;
    return { kind: "unreadable", why: error.message };
  }
}

/** What keeps a file from being opened now says nothing of the file: the report can wait, and then has the message. */
function mayPass(error: Error): boolean {
  return error instanceof SystemError && PASSING.has(error.code);
}

const PASSING: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOMEM", "EAGAIN"]);

/** True for what a damaged file or disk makes of reading. */
export function isReadError(error: unknown): error is Error {
  return error instanceof BadRecordError || error instanceof SystemError;
}

/** True for a header line or the continuation of one. */
function belongsToHeader(line: Uint8Array): boolean {
  if (line.length === 0) return false;
  if (isBlank(line[0]!)) return true;
  for (let i = 0; i < line.length; i++) {
    const byte = line[i]!;
    // RFC 5322 section 2.2: a field name is printable ASCII without a colon; old mail has blanks before the colon.
    if (byte === COLON) return i > 0;
    if (isBlank(byte)) return firstAfterBlanks(line, i) === COLON;
    if (byte < 0x21 || byte > 0x7e) return false;
  }
  return false;
}

function firstAfterBlanks(line: Uint8Array, start: number): number | undefined {
  let i = start;
  while (i < line.length && isBlank(line[i]!)) i++;
  return line[i];
}

/** An id in angle brackets with nothing in it that could end the header that it is repeated in. */
function isMessageId(id: string): boolean {
  if (id.length < 3 || id[0] !== "<" || id.indexOf(">") !== id.length - 1) return false;
  for (let i = 0; i < id.length; i++) {
    const unit = id.charCodeAt(i);
    if (unit <= 0x20 || unit > 0x7e) return false;
  }
  return true;
}
