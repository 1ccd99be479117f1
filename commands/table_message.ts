/**
 * A message as keys of header_checks and body_checks, for `postmap -h`, `-b` and `-m`: each logical header is a key,
 * each line of the body is one. With MIME parsing the headers of parts and of attached messages are headers too.
 *
 * @module
 */
// Utility
import { asciiLower, equalsIgnoreCase, isBlank, trimBlanks } from "../lib/vstring/ascii.ts";
import { decodeText } from "../lib/vstring/byte_builder.ts";
// Mail
import { headerNameLength } from "../lib/mail/header.ts";
// This program
import { inputLineBytes } from "./table_input.ts";

/** What becomes keys. */
export interface MessageHow {
  readonly headers: boolean;
  readonly body: boolean;
  readonly mime: boolean;
}

/** Deepest nesting of multipart entities whose boundaries are looked for. */
const NESTING_LIMIT = 100;
/** Characters of a boundary that count. */
const BOUNDARY_LIMIT = 2048;
/** Lines of one header. */
const HEADER_LINES = 10_000;

/** The keys of a message, in its order. */
export async function* messageKeys(
  chunks: AsyncIterable<Uint8Array>,
  how: MessageHow,
): AsyncGenerator<string> {
  const walk = new MessageWalk(how.mime);
  for await (const bytes of inputLineBytes(chunks)) {
    for (const part of walk.line(bytes)) if (part.header ? how.headers : how.body) yield part.text;
  }
  for (const part of walk.end()) if (part.header ? how.headers : how.body) yield part.text;
}

/** A key, and which kind it is. */
interface MessagePart {
  readonly header: boolean;
  readonly text: string;
}

/** Takes a message apart, line by line. */
class MessageWalk {
  readonly #mime: boolean;
  #inHeaders = true;
  /** Lines of the header that is not complete yet. */
  #header: string[] = [];
  #boundaries: string[] = [];
  #contentType = "";

  constructor(mime: boolean) {
    this.#mime = mime;
  }

  /** What a line completes. */
  *line(bytes: Uint8Array): Generator<MessagePart> {
    const text = decodeText(bytes);
    if (this.#inHeaders) {
      if (this.#header.length > 0 && bytes.length > 0 && isBlank(bytes[0]!)) {
        if (this.#header.length < HEADER_LINES) this.#header.push(text);
        return;
      }
      yield* this.#headerDone();
      if (headerNameLength(bytes, 0, bytes.length) > 0) {
        this.#header.push(text);
        return;
      }
      // A line that is no header ends the headers; the empty line between belongs to the body.
      yield* this.#headersDone();
      if (this.#inHeaders || bytes.length === 0) return;
    }
    yield { header: false, text };
    this.#boundary(text);
  }

  /** What is left at the end of the message. */
  *end(): Generator<MessagePart> {
    if (this.#inHeaders) yield* this.#headerDone();
  }

  *#headerDone(): Generator<MessagePart> {
    if (this.#header.length === 0) return;
    const text = this.#header.join("\n");
    this.#header = [];
    const colon = text.indexOf(":");
    if (this.#mime && equalsIgnoreCase(trimBlanks(text.slice(0, colon)), "content-type")) {
      this.#contentType = text.slice(colon + 1).replaceAll("\n", " ");
    }
    yield { header: true, text };
  }

  *#headersDone(): Generator<MessagePart> {
    yield { header: false, text: "" };
    const type = trimBlanks(asciiLower(this.#contentType));
    const boundary = type.startsWith("multipart/") ? boundaryOf(this.#contentType) : undefined;
    this.#contentType = "";
    if (boundary !== undefined && this.#boundaries.length < NESTING_LIMIT) this.#boundaries.push(boundary);
    // An attached message begins with headers of its own.
    this.#inHeaders = this.#mime && type.startsWith("message/rfc822");
  }

  /** RFC 2046 section 5.1.1: a boundary ends the parts within; the closing one begins no other. */
  #boundary(text: string): void {
    if (!this.#mime || !text.startsWith("--")) return;
    const found = this.#boundaries.findLastIndex((boundary) => text.startsWith(boundary, 2));
    if (found < 0) return;
    const closing = text.startsWith("--", 2 + this.#boundaries[found]!.length);
    this.#boundaries.length = closing ? found : found + 1;
    this.#inHeaders = !closing;
  }
}

/** The parameter `boundary` of a Content-Type, without its quotes. */
function boundaryOf(value: string): string | undefined {
  const at = asciiLower(value).indexOf("boundary=");
  if (at < 0) return undefined;
  const rest = value.slice(at + "boundary=".length);
  let out = "";
  const quoted = rest.startsWith('"');
  for (let i = quoted ? 1 : 0; i < rest.length && out.length < BOUNDARY_LIMIT; i++) {
    if (quoted && rest[i] === "\\") i++;
    else if (quoted ? rest[i] === '"' : rest[i] === ";" || rest[i] === " " || rest[i] === "\t") break;
    out += rest[i] ?? "";
  }
  return out === "" ? undefined : out;
}
