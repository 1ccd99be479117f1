/**
 * The structure of a message, found line by line in constant memory: its header, and where MIME says so the headers
 * of its parts and of the messages that are attached, as Postfix's mime_state(3) finds them (postfix-map section 7.4).
 * Nothing is decoded. What a line is told apart by is its beginning, so a line is looked at once, and once more for
 * each multipart that is open around it; these are limited.
 *
 * @module
 */
import { asciiLower, COLON, CR, isBlank, LF, trimBlanks } from "../vstring/ascii.ts";
import { ByteBuilder, decodeSlice, encodeText } from "../vstring/byte_builder.ts";
import { bytesOfText, textOfBytes } from "../vstring/byte_text.ts";
import { headerNameLength, isNamed } from "./header.ts";
import {
  type ContentType,
  LEAF,
  MESSAGE,
  parseContentType,
  parseTransferEncoding,
  SEVEN_BIT,
  type TransferEncoding,
} from "./mime_type.ts";

/** Whose header it is: the message's, a part's, or that of a message within it. */
export type HeaderClass = "primary" | "multipart" | "nested";

/** What is wrong with a message's structure. */
export type MimeFault = "nesting" | "headerData" | "bodyData" | "encodingDomain";

/** What Postfix says of it. */
export const MIME_FAULTS: Readonly<Record<MimeFault, string>> = {
  nesting: "MIME nesting exceeds safety limit",
  headerData: "improper use of 8-bit data in message header",
  bodyData: "improper use of 8-bit data in message body",
  encodingDomain: "invalid message/* or multipart/* encoding domain",
};

/** What a reader looks for. */
export interface MimeOptions {
  /** Bytes of one header; more is dropped (header_size_limit). */
  readonly headerLimit: number;
  /** Look into parts and attached messages; without it all behind the header is body. */
  readonly parts: boolean;
  /** Most multiparts within one another (mime_nesting_limit); those beyond are body. */
  readonly nestingLimit: number;
  /** mime_boundary_length_limit */
  readonly boundaryLimit: number;
  /** The faults that are reported, each once. */
  readonly faults: ReadonlySet<MimeFault>;
}

/** Gets the parts of a message in their order. */
export interface MimeHandler {
  /** A whole header without its last line end; blanks before the colon are taken off. The bytes stay valid. */
  header(field: Uint8Array, where: HeaderClass): void;
  /** The message's own header is over. `separated` is false when text follows in place of the empty line. */
  headerEnd(separated: boolean): void;
  /**
   * A piece of a body, the empty line before it and boundaries among it. The bytes are valid during the call only.
   *
   * @param offset bytes since the body began, with one for each line end
   */
  body(data: Uint8Array, endsLine: boolean, offset: number): void;
  /** Something is wrong: `text` is the header or line. */
  fault(fault: MimeFault, text: Uint8Array): void;
}

/** A multipart that is open. */
interface OpenMultipart {
  readonly boundary: Uint8Array;
  readonly parts: ContentType;
}

const HYPHEN = 0x2d;
/** Room that a header's buffer begins with, bytes. */
const FIRST_ROOM = 256;

/** Reads one message. */
export class MimeReader {
  readonly #options: MimeOptions;
  readonly #handler: MimeHandler;
  #state: HeaderClass | "body" = "primary";
  /** The header that is being read. */
  #field: ByteBuilder | undefined;
  /** The last piece did not end its line. */
  #lineOpen = false;
  #type: ContentType = LEAF;
  #encoding: TransferEncoding = SEVEN_BIT;
  /** The innermost last. */
  readonly #open: OpenMultipart[] = [];
  #offset = 0;
  readonly #faults: MimeFault[] = [];

  constructor(options: MimeOptions, handler: MimeHandler) {
    this.#options = options;
    this.#handler = handler;
  }

  /** True when the text is (or will be, from the next line on) body. */
  get inBody(): boolean {
    return this.#state === "body";
  }

  /** Takes a piece of a line; `endsLine` is false when the line goes on in the next one. */
  piece(data: Uint8Array, endsLine: boolean): void {
    const goesOn = this.#lineOpen;
    this.#lineOpen = !endsLine;
    if (this.#state === "body") return this.#bodyPiece(data, endsLine, goesOn);
    if (this.#field !== undefined) {
      if (goesOn || (data.length > 0 && isBlank(data[0]!))) return this.#extend(data, goesOn);
      this.#endField();
    }
    const nameLength = headerNameLength(data, 0, data.length);
    if (nameLength > 0) return this.#startField(data, nameLength);
    this.#endHeader(data);
    this.#bodyPiece(data, endsLine, goesOn);
  }

  /** Ends the message. */
  finish(): void {
    if (this.#field !== undefined) this.#endField();
    if (this.#state === "primary") this.#handler.headerEnd(true);
    if (this.#state !== "body") this.#checkEncodingDomain();
    this.#state = "body";
  }

  #startField(line: Uint8Array, nameLength: number): void {
    const { headerLimit } = this.#options;
    this.#field = new ByteBuilder(headerLimit, Math.min(FIRST_ROOM, headerLimit));
    this.#add(line.subarray(0, nameLength));
    // Mail with blanks before the colon is old or devious: one form for all who look at it.
    this.#add(line.subarray(line.indexOf(COLON, nameLength)));
  }

  /** What passes header_size_limit is dropped, as Postfix does. */
  #extend(data: Uint8Array, sameLine: boolean): void {
    const field = this.#field!;
    if (!sameLine && field.room > 0) field.byte(LF);
    this.#add(data);
  }

  #add(data: Uint8Array): void {
    const field = this.#field!;
    if (field.room > 0) field.bytes(data.length > field.room ? data.subarray(0, field.room) : data);
  }

  #endField(): void {
    const field = this.#field!.view();
    this.#field = undefined;
    if (this.#options.parts) this.#learn(field);
    if (this.#watches("headerData") && hasEightBit(field)) this.#report("headerData", field);
    this.#handler.header(field, this.#state as HeaderClass);
  }

  /** What a header says of the body behind it. */
  #learn(field: Uint8Array): void {
    if (isNamed(field, "content-type")) {
      const type = parseContentType(headerValue(field), this.#options.boundaryLimit);
      this.#type = type;
      for (const boundary of type.boundaries) this.#push(boundary, type.digest ? MESSAGE : LEAF, field);
    } else if (isNamed(field, "content-transfer-encoding")) {
      this.#encoding = parseTransferEncoding(headerValue(field)) ?? this.#encoding;
    }
  }

  #push(boundary: string, parts: ContentType, field: Uint8Array): void {
    // Postfix counts from the second: so many may be within the first one.
    if (this.#open.length > this.#options.nestingLimit + 1) this.#report("nesting", field);
    else this.#open.push({ boundary: bytesOfText(boundary), parts });
  }

  /** The line is none of a header: what follows is a body, or begins with a header of its own. */
  #endHeader(line: Uint8Array): void {
    const primary = this.#state === "primary";
    this.#state = "body";
    if (primary) this.#handler.headerEnd(line.length === 0);
    this.#checkEncodingDomain();
    // Text in place of the empty line: it is body, and what the header said of the body holds.
    if (line.length > 0) return;
    this.#offset = 0;
    if (this.#type.kind === "message" && !this.#type.opaque) this.#expect("nested", LEAF);
    else if (this.#type.kind === "multipart") this.#expect("body", LEAF);
  }

  #expect(state: HeaderClass | "body", type: ContentType): void {
    this.#state = state;
    this.#type = type;
    this.#encoding = SEVEN_BIT;
  }

  /** RFC 2045 section 6.4: what is made of parts has no encoding that hides them; parts of messages are 7-bit. */
  #checkEncodingDomain(): void {
    if (!this.#watches("encodingDomain")) return;
    const { kind, sevenBit } = this.#type;
    const { name, domain } = this.#encoding;
    const plain = name === "7bit" || name === "8bit" || name === "binary";
    const bad = kind !== "leaf" && (sevenBit ? domain !== "7bit" : !plain);
    if (bad) this.#report("encodingDomain", encodeText(name));
  }

  #bodyPiece(data: Uint8Array, endsLine: boolean, goesOn: boolean): void {
    if (this.#watches("bodyData") && this.#encoding.name === "7bit" && hasEightBit(data)) {
      this.#report("bodyData", data);
    }
    if (!goesOn && this.#open.length > 0 && data[0] === HYPHEN && data[1] === HYPHEN) this.#boundary(data);
    this.#handler.body(data, endsLine, this.#offset);
    this.#offset += data.length + 1;
  }

  /** RFC 2046 section 5.1.2: the boundary of any open multipart ends everything inside it. What follows it is ignored. */
  #boundary(line: Uint8Array): void {
    for (let level = this.#open.length - 1; level >= 0; level--) {
      const { boundary, parts } = this.#open[level]!;
      if (!startsWith(line, 2, boundary)) continue;
      const end = 2 + boundary.length;
      const closes = line[end] === HYPHEN && line[end + 1] === HYPHEN;
      this.#open.length = closes ? level : level + 1;
      if (closes) this.#expect("body", LEAF);
      else this.#expect("multipart", parts);
      return;
    }
  }

  #watches(fault: MimeFault): boolean {
    return this.#options.faults.has(fault) && !this.#faults.includes(fault);
  }

  #report(fault: MimeFault, text: Uint8Array): void {
    if (!this.#watches(fault)) return;
    this.#faults.push(fault);
    this.#handler.fault(fault, text);
  }
}

/** The name of a whole header, in lower case. */
export function headerName(field: Uint8Array): string {
  return asciiLower(decodeSlice(field, 0, Math.max(0, field.indexOf(COLON))));
}

/** The unfolded value of a header. */
export function headerValue(field: Uint8Array): string {
  const value = field.subarray(field.indexOf(COLON) + 1);
  return trimBlanks(textOfBytes(value.filter((byte) => byte !== CR && byte !== LF)));
}

function hasEightBit(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i]! > 0x7f) return true;
  return false;
}

function startsWith(line: Uint8Array, offset: number, prefix: Uint8Array): boolean {
  if (line.length < offset + prefix.length) return false;
  for (let i = 0; i < prefix.length; i++) if (line[offset + i] !== prefix[i]) return false;
  return true;
}
