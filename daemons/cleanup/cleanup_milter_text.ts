/**
 * A message whose records have all been written, and that filters read and change. It is a list of ranges of what was
 * written: what is added is appended there, and a change puts other ranges in the place of some. Nothing of it is a
 * message before `QueueFileOutput.rebuild` has put the ranges together.
 */
// Utility
import { asciiLower, COLON, CR, isBlank, LF, TAB } from "../../lib/vstring/ascii.ts";
import { decodeText } from "../../lib/vstring/byte_builder.ts";
// Mail
import { appendRecord, appendRecordSlice, RECORD, RecordReader, recordSize } from "../../lib/mail/record.ts";
// Wire protocols
import { BODY_CHUNK } from "../../lib/milter/milter_codec.ts";
// This program
import { headerLines } from "./cleanup_header.ts";
import type { QueueFileOutput, Range } from "./cleanup_output.ts";

/** Bytes that are read at once. */
const WINDOW = 64 * 1024;
/** Headers that are looked at before others get their turn: a header of many megabytes holds nobody up. */
const HEADERS_AT_ONCE = 1000;

/** Where the parts of a message stand in what was written. */
export interface MessageMarks {
  /** The sender's record. */
  readonly sender: Range;
  /** Our own Received header; undefined when a check took it away. */
  readonly received: number | undefined;
  /** Behind the M record. */
  readonly dataOffset: number;
  /** Behind the last header. */
  readonly headerEnd: number;
  /** Behind the body: the X record. */
  readonly contentEnd: number;
}

/** A logical header and where it stands. */
interface FoundHeader {
  readonly field: Uint8Array;
  /** Index of its piece among the header's. */
  readonly piece: number;
  readonly range: Range;
}

/** Reads and changes one message. */
export class MessageText {
  readonly #out: QueueFileOutput;
  readonly #received: number | undefined;
  readonly #lineLimit: number;
  #beforeSender: Range[];
  #sender: Range[];
  #afterSender: Range[];
  #header: Range[];
  #separator: Range[];
  #body: Range[];
  #tail: Range[];
  /** Something was changed. */
  changed = false;

  /** @param lineLimit longest record of text, bytes */
  constructor(out: QueueFileOutput, marks: MessageMarks, lineLimit: number) {
    this.#out = out;
    this.#lineLimit = lineLimit;
    this.#received = marks.received;
    const { sender, dataOffset, headerEnd, contentEnd } = marks;
    this.#beforeSender = [{ from: 0, to: sender.from }];
    this.#sender = [sender];
    this.#afterSender = [{ from: sender.to, to: dataOffset }];
    this.#header = pieces(dataOffset, headerEnd);
    const bodyStart = this.#behindSeparator(headerEnd, contentEnd);
    this.#separator = pieces(headerEnd, bodyStart);
    this.#body = pieces(bodyStart, contentEnd);
    this.#tail = [{ from: contentEnd, to: out.position }];
  }

  /** All ranges, in order, the M record's end and the content's end among them. */
  get whole(): { readonly head: Range[]; readonly content: Range[]; readonly tail: Range[] } {
    return {
      head: [...this.#beforeSender, ...this.#sender, ...this.#afterSender],
      content: [...this.#header, ...this.#separator, ...this.#body],
      tail: this.#tail,
    };
  }

  /** The text of the content, as the size record counts it: bytes, with one for each line end. */
  async contentLength(): Promise<number> {
    let length = 0;
    let records = 0;
    for (const range of this.whole.content) {
      for (const reader of this.#records(range)) {
        length += reader.end - reader.start + (reader.type === RECORD.NORMAL ? 1 : 0);
        if (++records % HEADERS_AT_ONCE === 0) await breathe();
      }
    }
    return length;
  }

  // --- reading

  /** The headers that filters see: all but our own. */
  async *headers(): AsyncGenerator<{ name: Uint8Array; value: Uint8Array }> {
    for await (const { field, range } of this.#headers()) {
      if (range.from === this.#received) continue;
      const colon = field.indexOf(COLON);
      yield { name: field.subarray(0, Math.max(0, colon)), value: field.subarray(colon + 1) };
    }
  }

  /** The body with CR LF, in pieces; each is valid until the next one. */
  async *body(): AsyncGenerator<Uint8Array> {
    const chunk = new Uint8Array(BODY_CHUNK);
    let filled = 0;
    for (const range of [...this.#body]) {
      for (const reader of this.#records(range)) {
        const ends = reader.type === RECORD.NORMAL ? 2 : 0;
        let at = reader.start;
        while (at < reader.end || ends > 0) {
          const room = chunk.length - filled;
          const count = Math.min(room, reader.end - at);
          chunk.set(reader.bytes.subarray(at, at + count), filled);
          filled += count;
          at += count;
          if (at === reader.end && chunk.length - filled >= ends) {
            if (ends > 0) {
              chunk[filled++] = CR;
              chunk[filled++] = LF;
            }
            break;
          }
          yield chunk.subarray(0, filled);
          filled = 0;
        }
      }
    }
    if (filled > 0) yield chunk.subarray(0, filled);
  }

  async *#headers(): AsyncGenerator<FoundHeader> {
    let count = 0;
    for (const [piece, range] of [...this.#header].entries()) {
      let from = range.from;
      let lines: Uint8Array[] = [];
      let lineOpen = false;
      const found = (to: number): FoundHeader => ({ field: concat(lines), piece, range: { from, to } });
      for (const reader of this.#records(range)) {
        const { data } = reader;
        const goesOn = lineOpen || data.length > 0 && isBlank(data[0]!);
        if (lines.length > 0 && !goesOn) {
          yield found(reader.offset);
          if (++count % HEADERS_AT_ONCE === 0) await breathe();
          lines = [];
          from = reader.offset;
        } else if (lines.length > 0 && !lineOpen) lines.push(NEWLINE);
        lines.push(data.slice());
        lineOpen = reader.type === RECORD.CONTINUED;
      }
      if (lines.length > 0) yield found(range.to);
    }
  }

  *#records(range: Range): Generator<RecordReader> {
    const readAt = (buffer: Uint8Array, offset: number) => this.#out.readAt(buffer, offset);
    const reader = new RecordReader(readAt, range.from, WINDOW);
    while (reader.position < range.to && reader.next()) yield reader;
  }

  /** The empty line behind the header is of neither part; a message without a body may lack it. */
  #behindSeparator(headerEnd: number, contentEnd: number): number {
    const [first] = headerEnd < contentEnd ? this.#records({ from: headerEnd, to: contentEnd }) : [];
    return first !== undefined && first.type === RECORD.NORMAL && first.start === first.end
      ? first.position
      : headerEnd;
  }

  // --- changing

  /** Adds a header behind the last. */
  addHeader(field: Uint8Array): void {
    this.#header = [...this.#header, this.#append(field)];
    this.changed = true;
  }

  /** Puts a header in front of the one with this index, from 0, our own among them; or behind the last. */
  async insertHeader(index: number, field: Uint8Array): Promise<void> {
    let at = 0;
    for await (const found of this.#headers()) {
      if (at++ < index) continue;
      return this.#replace({ ...found, range: { from: found.range.from, to: found.range.from } }, field);
    }
    this.addHeader(field);
  }

  /**
   * Replaces the header with this name and index among those that filters see, from 1; undefined removes it. One that
   * is not there is added.
   */
  async changeHeader(name: string, index: number, field: Uint8Array | undefined): Promise<void> {
    const wanted = asciiLower(name);
    let left = Math.max(1, index);
    for await (const found of this.#headers()) {
      if (found.range.from === this.#received || nameOf(found.field) !== wanted || --left > 0) continue;
      return this.#replace(found, field);
    }
    if (field !== undefined) this.addHeader(field);
  }

  #replace({ piece, range }: FoundHeader, field: Uint8Array | undefined): void {
    const whole = this.#header[piece]!;
    this.#header = [
      ...this.#header.slice(0, piece),
      ...pieces(whole.from, range.from),
      ...(field === undefined ? [] : [this.#append(field)]),
      ...pieces(range.to, whole.to),
      ...this.#header.slice(piece + 1),
    ];
    this.changed = true;
  }

  /** Writes a header: lines behind the first begin with a blank, or they would be headers of their own. */
  #append(field: Uint8Array): Range {
    const from = this.#out.position;
    let first = true;
    for (const line of headerLines(field)) {
      const text = line.at(-1) === CR ? line.subarray(0, -1) : line;
      const folded = first || text.length > 0 && isBlank(text[0]!) ? text : concat([TAB_BYTE, text]);
      first = false;
      this.#putLine(folded, true);
    }
    return { from, to: this.#out.position };
  }

  #putLine(line: Uint8Array, endsLine: boolean): void {
    const { records } = this.#out;
    const most = this.#lineLimit;
    let start = 0;
    for (; line.length - start > most; start += most) {
      appendRecordSlice(records, RECORD.CONTINUED, line, start, start + most);
    }
    appendRecordSlice(records, endsLine ? RECORD.NORMAL : RECORD.CONTINUED, line, start, line.length);
    this.#out.spill();
  }

  /** A writer for a new body. */
  newBody(): BodyWriter {
    return new BodyWriter(this.#out, this.#lineLimit);
  }

  /** Puts a new body in the place of the old one. */
  replaceBody(range: Range): void {
    if (this.#separator.length === 0) {
      const from = this.#out.position;
      appendRecord(this.#out.records, RECORD.NORMAL, "");
      this.#separator = [{ from, to: this.#out.position }];
    }
    this.#body = pieces(range.from, range.to);
    this.changed = true;
  }

  /** Puts other records in the place of the sender's. */
  replaceSender(range: Range): void {
    this.#sender = [range];
    this.changed = true;
  }

  /** Puts records in front of the E record, where those stand that are found out late. */
  addBehind(range: Range): void {
    const last = this.#tail.at(-1)!;
    const end = last.to - recordSize(0);
    this.#tail = [...this.#tail.slice(0, -1), ...pieces(last.from, end), range, { from: end, to: last.to }];
    this.changed = true;
  }

  /**
   * Marks the recipients whose original address this is as cancelled.
   *
   * @returns how many there were
   */
  cancelRecipient(address: string): number {
    let count = 0;
    for (const range of [...this.#afterSender, ...this.#tail]) {
      let original: string | undefined;
      for (const reader of this.#records(range)) {
        if (reader.type === RECORD.ORIGINAL) original = decodeText(reader.data);
        else if (reader.type === RECORD.RECIPIENT) {
          if ((original || decodeText(reader.data)) === address) {
            this.#out.patch(reader.offset, CANCELLED);
            count++;
          }
          original = undefined;
        }
      }
    }
    if (count > 0) this.changed = true;
    return count;
  }
}

/** Takes a new body from a filter: lines end with CR LF or LF, and come in whatever pieces. */
export class BodyWriter {
  readonly #out: QueueFileOutput;
  readonly #lineLimit: number;
  readonly #from: number;
  #carry: Uint8Array = NOTHING;
  /** Bytes so far. */
  size = 0;

  constructor(out: QueueFileOutput, lineLimit: number) {
    this.#out = out;
    this.#lineLimit = lineLimit;
    this.#from = out.position;
  }

  push(bytes: Uint8Array): void {
    this.size += bytes.length;
    const input = this.#carry.length === 0 ? bytes : concat([this.#carry, bytes]);
    let start = 0;
    for (let lf = input.indexOf(LF); lf >= 0; lf = input.indexOf(LF, start)) {
      this.#put(input, start, lf > start && input[lf - 1] === CR ? lf - 1 : lf, RECORD.NORMAL);
      start = lf + 1;
    }
    // A byte stays behind: it may be the CR of a line end.
    for (; input.length - start > this.#lineLimit + 1; start += this.#lineLimit) {
      this.#put(input, start, start + this.#lineLimit, RECORD.CONTINUED);
    }
    this.#carry = input.slice(start);
  }

  /** Ends the body: where it stands. */
  end(): Range {
    if (this.#carry.length > 0) this.#put(this.#carry, 0, this.#carry.length, RECORD.NORMAL);
    return { from: this.#from, to: this.#out.position };
  }

  #put(input: Uint8Array, start: number, end: number, type: number): void {
    let from = start;
    for (; end - from > this.#lineLimit; from += this.#lineLimit) {
      appendRecordSlice(this.#out.records, RECORD.CONTINUED, input, from, from + this.#lineLimit);
    }
    appendRecordSlice(this.#out.records, type, input, from, end);
    this.#out.spill();
  }
}

const NOTHING: Uint8Array = new Uint8Array(0);
const NEWLINE: Uint8Array = new Uint8Array([LF]);
const TAB_BYTE: Uint8Array = new Uint8Array([TAB]);
const CANCELLED: Uint8Array = new Uint8Array([RECORD.CANCELLED]);

function pieces(from: number, to: number): Range[] {
  return from < to ? [{ from, to }] : [];
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function nameOf(field: Uint8Array): string {
  return asciiLower(decodeText(field.subarray(0, Math.max(0, field.indexOf(COLON)))));
}

/** Lets others have their turn. */
function breathe(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
