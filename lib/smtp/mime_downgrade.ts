/**
 * 8-bit MIME to 7-bit on its way out, for a server without 8BITMIME: RFC 6152 section 3. Each leaf entity that says
 * "8bit" or "binary" becomes quoted-printable (RFC 2045 section 6.7), multiparts and messages say "7bit". Works line
 * by line in constant memory, as Postfix's mime_state(3) does; like it, data that no header announces is left alone.
 *
 * @module
 */
import { COLON, isBlank, LF, startsWithIgnoreCase } from "../vstring/ascii.ts";
import { ByteBuilder, ByteLimitError, decodeText, encodeText } from "../vstring/byte_builder.ts";
import { RECORD_LIMIT } from "../mail/record.ts";
import { type ContentType, isEightBitEncoding, LEAF, MESSAGE, parseContentType } from "../mail/mime_type.ts";

/** Deepest nesting of multiparts and messages (Postfix: mime_nesting_limit). */
const NESTING_LIMIT = 100;
/** Characters of a boundary that count: RFC 2046 section 5.1.1 allows 70. */
const BOUNDARY_LIMIT = 250;
/** Longest Content-Type or Content-Transfer-Encoding field, bytes. */
const FIELD_LIMIT = 60_000;
/** RFC 2045 section 6.7 rule 5: an encoded line has 76 characters at most, the last for "=". */
const ENCODED_LINE = 75;

/** As much of a line as must be seen at once to know what it is: a field's name, or a boundary. */
const LINE_HEAD = 512;

const HYPHEN = 0x2d;
const EQUAL = 0x3d;
const HEX = encodeText("0123456789ABCDEF");
const NO_BYTES = new Uint8Array(0);
const SEVEN_BIT = encodeText("Content-Transfer-Encoding: 7bit");
const QUOTED_PRINTABLE = encodeText("Content-Transfer-Encoding: quoted-printable");
const TYPE_FIELD = "content-type:";
const ENCODING_FIELD = "content-transfer-encoding:";

/** Thrown when a message's structure is beyond what can be converted. */
export class MimeError extends Error {
  override name = "MimeError";
}

/** Gets the converted text, piece by piece; the bytes are valid during the call only. */
export type Emit = (data: Uint8Array, endsLine: boolean) => void;

/** A multipart that is open. */
interface OpenMultipart {
  readonly boundary: Uint8Array;
  readonly parts: ContentType;
}

/** Converts one message. */
export class MimeDowngrade {
  readonly #emit: Emit;
  #state: "header" | "plain" | "encode" = "header";
  #startsLine = true;
  /** The beginning of a line that came in pieces too short to judge. */
  readonly #head = new ByteBuilder(LINE_HEAD + RECORD_LIMIT, LINE_HEAD);
  /** The header that is being read: what its entity is, and whether it holds 8-bit data. */
  #type: ContentType = LEAF;
  #eightBit = false;
  /** The innermost last. */
  readonly #open: OpenMultipart[] = [];
  #depth = 0;
  /** The field that is being collected, with its lines as they came. */
  #field: "none" | "type" | "encoding" = "none";
  readonly #fieldText = new ByteBuilder(FIELD_LIMIT);
  readonly #encoded = new ByteBuilder(ENCODED_LINE + 1, ENCODED_LINE + 1);

  constructor(emit: Emit) {
    this.#emit = emit;
  }

  /** Takes a piece of a line; `endsLine` is false when the line goes on. Throws `MimeError`. */
  piece(data: Uint8Array, endsLine: boolean): void {
    const short = this.#startsLine && !endsLine && data.length < LINE_HEAD;
    if (!short && this.#head.length === 0) return this.#judged(data, endsLine);
    this.#head.bytes(data);
    if (!endsLine && this.#head.length < LINE_HEAD) return;
    const head = this.#head.copy();
    this.#head.clear();
    this.#judged(head, endsLine);
  }

  /** Takes the beginning of a line, long enough, or a later piece of it. */
  #judged(data: Uint8Array, endsLine: boolean): void {
    const startsLine = this.#startsLine;
    this.#startsLine = endsLine;
    if (startsLine && this.#takeBoundary(data)) this.#emit(data, endsLine);
    else if (this.#state === "header") this.#headerPiece(data, startsLine, endsLine);
    else this.#bodyPiece(data, endsLine);
  }

  /** Ends the message. */
  finish(): void {
    if (this.#head.length > 0) this.#judged(this.#head.copy(), false);
    if (this.#state === "header") {
      // The last line is not ended, and what follows needs a line of its own.
      if (!this.#startsLine && this.#field !== "encoding") this.#emit(NO_BYTES, true);
      this.#closeHeader();
    }
    if (this.#encoded.length > 0) this.#emit(this.#encoded.view(), false);
    this.#encoded.clear();
  }

  /** RFC 2046 section 5.1.2: the boundary of any open multipart ends everything inside it. */
  #takeBoundary(line: Uint8Array): boolean {
    if (line.length < 2 || line[0] !== HYPHEN || line[1] !== HYPHEN) return false;
    for (let level = this.#open.length - 1; level >= 0; level--) {
      const { boundary, parts } = this.#open[level]!;
      const rest = afterPrefix(line, 2, boundary);
      if (rest === undefined) continue;
      const closes = rest.length >= 2 && rest[0] === HYPHEN && rest[1] === HYPHEN;
      if (this.#state === "header") this.#closeHeader();
      this.#open.length = closes ? level : level + 1;
      this.#depth = this.#open.length;
      if (closes) this.#state = "plain";
      else this.#startHeader(parts);
      return true;
    }
    return false;
  }

  #startHeader(type: ContentType): void {
    this.#state = "header";
    this.#type = type;
    this.#eightBit = false;
    this.#field = "none";
  }

  #headerPiece(data: Uint8Array, startsLine: boolean, endsLine: boolean): void {
    if (!startsLine || (data.length > 0 && isBlank(data[0]!))) {
      return this.#fieldPiece(data, startsLine, endsLine);
    }
    this.#endField();
    if (data.length === 0 && endsLine) return this.#endHeader();
    if (!looksLikeField(data)) {
      // Text in the place of a field: the header is over, and the empty line that says so was forgotten.
      this.#endHeader();
      if (this.#state === "header") this.#headerPiece(data, startsLine, endsLine);
      else this.#bodyPiece(data, endsLine);
      return;
    }
    if (startsWithIgnoreCase(data, TYPE_FIELD)) this.#field = "type";
    else if (startsWithIgnoreCase(data, ENCODING_FIELD)) this.#field = "encoding";
    this.#fieldPiece(data, true, endsLine);
  }

  /** A piece of a field: kept if the field matters, and sent on unless it is the encoding, which may have to change. */
  #fieldPiece(data: Uint8Array, startsLine: boolean, endsLine: boolean): void {
    if (this.#field !== "none") {
      try {
        if (startsLine && this.#fieldText.length > 0) this.#fieldText.byte(LF);
        this.#fieldText.bytes(data);
      } catch (error) {
        if (error instanceof ByteLimitError) throw new MimeError("MIME header field is too long");
        throw error;
      }
    }
    if (this.#field !== "encoding") this.#emit(data, endsLine);
  }

  /** Acts on the field that has just ended. */
  #endField(): void {
    const field = this.#field;
    if (field === "none") return;
    this.#field = "none";
    const text = decodeText(this.#fieldText.view());
    const value = text.slice(text.indexOf(":") + 1);
    if (field === "type") this.#type = parseContentType(value, BOUNDARY_LIMIT);
    else if (isEightBitEncoding(value)) this.#eightBit = true;
    else for (const line of text.split("\n")) this.#emit(encodeText(line), true);
    this.#fieldText.clear();
  }

  /** Sends what is left of a header: its last field and the encoding that its body will have. */
  #closeHeader(): void {
    this.#endField();
    if (this.#eightBit) this.#emit(this.#isComposite() ? SEVEN_BIT : QUOTED_PRINTABLE, true);
    this.#eightBit &&= !this.#isComposite();
  }

  #isComposite(): boolean {
    return this.#type.kind !== "leaf" && !this.#type.opaque;
  }

  /** Ends a header with its empty line and goes on to what it announced. */
  #endHeader(): void {
    this.#closeHeader();
    this.#emit(NO_BYTES, true);
    if (!this.#isComposite()) {
      this.#state = this.#eightBit ? "encode" : "plain";
      return;
    }
    if (++this.#depth > NESTING_LIMIT) throw new MimeError("MIME nesting exceeds safe limit");
    if (this.#type.kind === "message") return this.#startHeader(LEAF);
    this.#state = "plain";
    // Without a boundary nothing in it can be told apart.
    const [boundary = ""] = this.#type.boundaries;
    if (boundary === "") return;
    const parts = this.#type.digest ? MESSAGE : LEAF;
    this.#open.push({ boundary: encodeText(boundary), parts });
  }

  #bodyPiece(data: Uint8Array, endsLine: boolean): void {
    if (this.#state === "plain") this.#emit(data, endsLine);
    else this.#encode(data, endsLine);
  }

  /** RFC 2045 section 6.7. A blank at the end of a piece is encoded, as it might be the end of the line. */
  #encode(data: Uint8Array, endsLine: boolean): void {
    const out = this.#encoded;
    for (let i = 0; i < data.length; i++) {
      const byte = data[i]!;
      const plain = byte > 0x20 && byte < 0x7f && byte !== EQUAL || isBlank(byte) && i + 1 < data.length;
      if (out.length + (plain ? 1 : 3) > ENCODED_LINE) {
        this.#emit(out.byte(EQUAL).view(), true);
        out.clear();
      }
      if (plain) out.byte(byte);
      else out.byte(EQUAL).byte(HEX[byte >> 4]!).byte(HEX[byte & 15]!);
    }
    if (!endsLine) return;
    this.#emit(out.view(), true);
    out.clear();
  }
}

/** What follows `prefix` at `offset` of a line if it is "--" and blanks, or blanks only; undefined otherwise. */
function afterPrefix(line: Uint8Array, offset: number, prefix: Uint8Array): Uint8Array | undefined {
  if (line.length < offset + prefix.length) return undefined;
  for (let i = 0; i < prefix.length; i++) if (line[offset + i] !== prefix[i]) return undefined;
  const rest = line.subarray(offset + prefix.length);
  const closes = rest.length >= 2 && rest[0] === HYPHEN && rest[1] === HYPHEN;
  for (let i = closes ? 2 : 0; i < rest.length; i++) if (!isBlank(rest[i]!)) return undefined;
  return rest;
}

/** A name of visible characters, and a colon: RFC 5322 section 2.2. */
function looksLikeField(line: Uint8Array): boolean {
  for (let i = 0; i < line.length; i++) {
    const byte = line[i]!;
    if (byte === COLON) return i > 0;
    if (byte <= 0x20 || byte >= 0x7f) return isBlank(byte) && onlyBlanksToColon(line, i);
  }
  return false;
}

function onlyBlanksToColon(line: Uint8Array, from: number): boolean {
  let i = from;
  while (i < line.length && isBlank(line[i]!)) i++;
  return from > 0 && line[i] === COLON;
}
