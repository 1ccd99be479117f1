/**
 * A message as it goes into a mailbox: the headers that delivery adds, then the content of the queue file with LF
 * line ends, in pieces of bounded size.
 *
 * @module
 */
import { CR, LF } from "../vstring/ascii.ts";
import { ByteBuilder } from "../vstring/byte_builder.ts";
import { type ContentReader } from "./queue_file.ts";
import { RECORD_LIMIT } from "./record.ts";

/** What the added headers say; addresses in their external (quoted) form. An empty field but the sender adds no header. */
export interface DeliveryHeaders {
  /** The line that begins an mbox message, without its end; a mailbox makes its own. */
  readonly fromLine?: string;
  /** Envelope sender; empty for the null sender; undefined for no header. */
  readonly returnPath: string | undefined;
  readonly originalTo: string;
  readonly deliveredTo: string;
}

/** How a program wants its text; a mailbox has its own ways. */
export interface TextForm {
  readonly lineEnd: Uint8Array;
  /** Lines that begin so get `mark` in front. */
  readonly quoted: readonly { readonly start: Uint8Array; readonly mark: number }[];
  /** An empty line ends the message. */
  readonly blankEnd: boolean;
}

/** Least size of a piece, bytes. */
const PIECE_SIZE = 32768;
/** Room for what the headers and one record add to a piece that is nearly full. */
const HEADERS_LIMIT = 16384;

/** Longest run of CRs that is kept in the middle of a line. */
const RETURNS_LIMIT = 1000;

/** Longest piece that `MailboxText` gives: it stops as soon as it has PIECE_SIZE, and a record may come on top. */
export const PIECE_LIMIT = 65536;

/** Gives a message's text piece by piece. */
export class MailboxText {
  readonly #content: ContentReader;
  readonly #out = new ByteBuilder(PIECE_SIZE + HEADERS_LIMIT + RECORD_LIMIT + RETURNS_LIMIT + 1);
  /** A piece of the content that is larger than what may leave at once, from `#sent` on. */
  #sent = 0;
  /** CRs at the end of a piece whose line goes on: part of the line unless the line ends there. */
  #heldReturns = 0;
  #finished = false;
  readonly #form: TextForm | undefined;
  #lineStarts = true;

  constructor(headers: DeliveryHeaders, content: ContentReader, form?: TextForm) {
    this.#content = content;
    this.#form = form;
    const { fromLine, returnPath, originalTo, deliveredTo } = headers;
    if (fromLine !== undefined) this.#header("", fromLine);
    if (returnPath !== undefined) this.#header("Return-Path: ", `<${returnPath}>`);
    if (originalTo !== "") this.#header("X-Original-To: ", originalTo);
    if (deliveredTo !== "") this.#header("Delivered-To: ", deliveredTo);
  }

  /** Appends one header line; what could end it early or hide in it becomes `?`. */
  #header(name: string, value: string): void {
    const out = this.#out;
    out.text(name);
    const start = out.length;
    out.text(value);
    const bytes = out.view();
    for (let i = start; i < bytes.length; i++) {
      if (bytes[i]! < 0x20 || bytes[i] === 0x7f) bytes[i] = 0x3f;
    }
    this.#endLine();
  }

  #endLine(): void {
    if (this.#form === undefined) this.#out.byte(LF);
    else this.#out.bytes(this.#form.lineEnd);
  }

  /** The next piece, at most PIECE_LIMIT bytes and the caller's own; undefined at the end. */
  next(): Uint8Array<ArrayBuffer> | undefined {
    const out = this.#out;
    if (this.#sent >= out.length) {
      out.clear();
      this.#sent = 0;
    }
    while (this.#sent === 0 && out.length < PIECE_SIZE && !this.#finished) this.#take();
    const piece = out.view().slice(this.#sent, this.#sent + PIECE_LIMIT);
    this.#sent += piece.length;
    return piece.length > 0 ? piece : undefined;
  }

  #take(): void {
    const content = this.#content;
    if (!content.next()) {
      this.#finished = true;
      if (this.#form?.blankEnd) this.#endLine();
      return;
    }
    const { data } = content;
    if (this.#form !== undefined && this.#lineStarts) this.#quote(data, this.#form);
    this.#lineStarts = content.endsLine;
    let end = data.length;
    while (end > 0 && data[end - 1] === CR) end--;
    if (end > 0) this.#releaseReturns();
    this.#out.slice(data, 0, end);
    // CR LF must not reach a mailbox: its readers disagree on where such a line ends.
    if (content.endsLine) {
      this.#heldReturns = 0;
      this.#endLine();
    } else this.#heldReturns = Math.min(this.#heldReturns + data.length - end, RETURNS_LIMIT);
  }

  /** Marks a line that a reader of the text would take for something else. */
  #quote(line: Uint8Array, form: TextForm): void {
    for (const { start, mark } of form.quoted) {
      if (line.length >= start.length && start.every((byte, i) => line[i] === byte)) this.#out.byte(mark);
    }
  }

  #releaseReturns(): void {
    for (; this.#heldReturns > 0; this.#heldReturns--) this.#out.byte(CR);
  }
}
