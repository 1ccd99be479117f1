/**
 * `sendmail -t`: recipients from the headers of the message that goes by, and the headers that name hidden
 * recipients taken out of it.
 *
 * @module
 */
// Utility
import { isBlank, LF } from "../lib/vstring/ascii.ts";
import { ByteBuilder } from "../lib/vstring/byte_builder.ts";
// Mail
import { headerName, headerNameLength, isHeaderNamed, readHeaderField } from "../lib/mail/header.ts";
// This program
import { readAddressList } from "./sendmail_address.ts";
import { SendmailError } from "./sendmail_error.ts";
import type { LinePiece } from "./sendmail_lines.ts";
import { EX } from "./sysexits.ts";

/** What a header means for -t. */
interface HeaderRow {
  /** Lower case. */
  readonly name: string;
  /** It is one of the Resent- headers, which count instead of the others. */
  readonly resent: boolean;
  /** It is not sent on. */
  readonly hidden: boolean;
}

const RECIPIENT_HEADERS: readonly HeaderRow[] = [
  { name: "to", resent: false, hidden: false },
  { name: "cc", resent: false, hidden: false },
  // RFC 5322 section 3.6.3: recipients of Bcc are not to be revealed; the line is taken out.
  { name: "bcc", resent: false, hidden: true },
  { name: "resent-to", resent: true, hidden: false },
  { name: "resent-cc", resent: true, hidden: false },
  { name: "resent-bcc", resent: true, hidden: true },
];

/** Longest recipient header, bytes: 100,000 addresses of ordinary length. */
const HEADER_LIMIT = 4 * 1024 * 1024;

/** Watches the header lines of a message. */
export class RecipientHeaders {
  readonly #header = new ByteBuilder(HEADER_LIMIT);
  #row: HeaderRow | undefined;
  /** Some header has begun, so that a line with a blank in front continues it. */
  #begun = false;
  #over = false;
  readonly #plain: string[] = [];
  readonly #resent: string[] = [];
  #resentSeen = false;

  /**
   * Looks at the next piece of the message; false when it belongs to a header that is taken out.
   *
   * @throws SendmailError when a recipient header cannot be read
   */
  take(piece: LinePiece): boolean {
    if (this.#over) return true;
    if (piece.begins) this.#beginLine(piece.bytes);
    if (this.#over) return true;
    const row = this.#row;
    if (row === undefined) return true;
    if (piece.bytes.length + 1 > this.#header.room) {
      throw new SendmailError(EX.DATAERR, `message header ${row.name} is too long`);
    }
    this.#header.bytes(piece.bytes);
    if (piece.ends) this.#header.byte(LF);
    return !row.hidden;
  }

  /** The recipients, once the message has gone by. */
  finish(): readonly string[] {
    this.#endHeader();
    // RFC 5322 section 3.6.6: a resent message goes where its Resent- headers say.
    return this.#resentSeen ? this.#resent : this.#plain;
  }

  #beginLine(line: Uint8Array): void {
    if (this.#begun && line.length > 0 && isBlank(line[0]!)) return;
    this.#endHeader();
    const nameLength = headerNameLength(line, 0, line.length);
    if (nameLength === 0) {
      this.#over = true;
      return;
    }
    this.#begun = true;
    this.#row = RECIPIENT_HEADERS.find((row) => isNamed(line, nameLength, row.name));
  }

  #endHeader(): void {
    const row = this.#row;
    this.#row = undefined;
    if (row === undefined) return;
    const bytes = this.#header.view();
    const field = readHeaderField(bytes, 0, HEADER_LIMIT);
    if (field === undefined) throw new Error(`Cannot read header "${row.name}": it has no name`);
    const what = `recipient in header ${headerName(bytes, field)}`;
    const found = readAddressList(bytes.subarray(field.valueStart, field.end), what);
    const list = row.resent ? this.#resent : this.#plain;
    for (const address of found) list.push(address);
    this.#resentSeen ||= row.resent;
    this.#header.clear();
  }
}

function isNamed(line: Uint8Array, nameLength: number, name: string): boolean {
  return isHeaderNamed(line, {
    start: 0,
    nameEnd: nameLength,
    valueStart: 0,
    end: 0,
    next: 0,
    truncated: false,
  }, name);
}
