/**
 * Addresses in the value of an address header (From, To, Cc ...): where each one stands, so that a rewriter can
 * replace just the addresses and leave names, comments, groups and folding byte for byte as they were.
 *
 * The reader is iterative, goes forward only and stops at a limit of tokens. What has not the form of an address
 * is passed over, not repaired: this is never used to decide where mail goes, only to rewrite and, for
 * `sendmail -t`, to collect what the user typed.
 *
 * @module
 */
import { AT, COLON, CR, DOT, GREATER, isBlank, LESS, LF } from "../vstring/ascii.ts";
import { ByteBuilder, encodeText } from "../vstring/byte_builder.ts";
import { isAtomText } from "./address.ts";
import { unfoldText } from "./header.ts";

const QUOTE = 0x22;
const OPEN = 0x28;
const CLOSE = 0x29;
const COMMA = 0x2c;
const SEMICOLON = 0x3b;
const BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const BACKSLASH = 0x5c;

/** One address of a header. */
export interface HeaderAddress {
  /** Where it begins: behind the `<` if it has one. */
  readonly start: number;
  /** Behind its last byte. */
  readonly end: number;
  /** External form, without comments and blanks; an old source route is still in front. */
  readonly address: string;
}

/** What an address header holds. */
export interface HeaderAddresses {
  readonly addresses: readonly HeaderAddress[];
  /** The limit of tokens was reached: there may be more addresses behind. */
  readonly truncated: boolean;
}

/** A word, a quoted string, a literal (kind "word") or one special character. */
interface Token {
  readonly kind: "word" | "special" | "end";
  readonly start: number;
  readonly end: number;
  /** The character of a special; the first one of a word. */
  readonly byte: number;
}

/**
 * Finds the addresses of a header's value, groups and angle brackets included.
 *
 * @param value bytes behind the colon; folding is white space
 * @param tokenLimit `header_address_token_limit`
 */
export function findHeaderAddresses(value: Uint8Array, tokenLimit: number): HeaderAddresses {
  const reader = new TokenReader(value, tokenLimit);
  const addresses: HeaderAddress[] = [];
  let element: Token[] = [];
  const settle = () => {
    const address = toAddress(value, element);
    if (address !== undefined) addresses.push(address);
    element = [];
  };
  // RFC 5322 section 3.4: mailboxes and groups separated by commas; a group is a name, ":", mailboxes and ";".
  for (;;) {
    const token = reader.next();
    if (token.kind === "end") break;
    if (token.kind === "special" && (token.byte === COMMA || token.byte === SEMICOLON)) settle();
    else if (token.kind === "special" && token.byte === COLON) element = [];
    else if (token.kind === "special" && token.byte === LESS) {
      element = readAngle(reader);
      settle();
      skipElement(reader, settle);
    } else element.push(token);
  }
  // At the limit the last element may be cut short: half an address is none.
  if (!reader.exhausted) settle();
  return { addresses, truncated: reader.exhausted };
}

/** The tokens between `<` and `>`; none when the bracket is not closed. */
function readAngle(reader: TokenReader): Token[] {
  const inside: Token[] = [];
  for (;;) {
    const token = reader.next();
    if (token.kind === "end") return [];
    if (token.kind === "special" && token.byte === GREATER) return inside;
    inside.push(token);
  }
}

/** Passes over what stands between `>` and the end of the element. */
function skipElement(reader: TokenReader, settle: () => void): void {
  for (;;) {
    const token = reader.next();
    if (token.kind === "end") return;
    if (token.kind === "special" && (token.byte === COMMA || token.byte === SEMICOLON)) return settle();
  }
}

/** The address that the tokens make, or undefined when they make none (a name, nothing, rubbish). */
function toAddress(value: Uint8Array, tokens: readonly Token[]): HeaderAddress | undefined {
  const first = tokens[0];
  const last = tokens[tokens.length - 1];
  if (first === undefined || last === undefined) return undefined;
  const from = first.byte === AT && first.kind === "special" ? routeLength(tokens) : 0;
  if (from < 0 || !isAddressSpec(tokens, from)) return undefined;
  let address = "";
  for (const token of tokens) address += unfoldText(value.subarray(token.start, token.end));
  return { start: first.start, end: last.end, address };
}

/** How many tokens the source route in front takes, or -1 when it has no end. */
function routeLength(tokens: readonly Token[]): number {
  // RFC 5322 section 4.4: obs-route is "@" domains and a ":".
  const colon = tokens.findIndex((token) => token.kind === "special" && token.byte === COLON);
  return colon < 0 ? -1 : colon + 1;
}

/** True when the tokens from `from` on are words joined by dots, optionally `@` and again words joined by dots. */
function isAddressSpec(tokens: readonly Token[], from: number): boolean {
  // RFC 5322 section 3.4.1: local-part "@" domain; a lone local part is a local user's name.
  let wordExpected = true;
  let words = 0;
  let atSeen = false;
  for (let i = from; i < tokens.length; i++) {
    const token = tokens[i]!;
    if (token.kind === "word") {
      if (!wordExpected || (token.byte === BRACKET && !atSeen)) return false;
      wordExpected = false;
      words++;
    } else if (token.byte === DOT) wordExpected = true;
    else if (token.byte === AT && !atSeen && words > 0) {
      atSeen = true;
      wordExpected = true;
      words = 0;
    } else return false;
  }
  // Each side needs a word. Misplaced dots are in use; a final one is the rewriter's to take off.
  return words > 0;
}

/** Cuts a value into tokens, passing over blanks, line breaks and comments. */
class TokenReader {
  readonly #value: Uint8Array;
  #left: number;
  #at = 0;

  constructor(value: Uint8Array, limit: number) {
    this.#value = value;
    this.#left = limit;
  }

  /** True when the limit of tokens stopped the reading before the end. */
  get exhausted(): boolean {
    return this.#left < 0;
  }

  next(): Token {
    this.#skipBlanksAndComments();
    const start = this.#at;
    const byte = this.#value[start];
    if (byte === undefined || --this.#left < 0) return { kind: "end", start, end: start, byte: 0 };
    const word = this.#skipWord(byte);
    if (!word && this.#at === start) this.#at++;
    return { kind: word ? "word" : "special", start, end: this.#at, byte };
  }

  /** Moves behind the word that begins here; false when none does or it has no end. */
  #skipWord(first: number): boolean {
    if (first === QUOTE) return this.#skipPast(QUOTE);
    if (first === BRACKET) return this.#skipPast(CLOSE_BRACKET);
    const start = this.#at;
    while (isAtomText(this.#value[this.#at] ?? 0)) this.#at++;
    return this.#at > start;
  }

  /** Moves behind the `close` that ends what begins here; false, at the end of the value, when there is none. */
  #skipPast(close: number): boolean {
    for (this.#at++; this.#at < this.#value.length; this.#at++) {
      const byte = this.#value[this.#at];
      if (byte === BACKSLASH) this.#at++;
      else if (byte === close) {
        this.#at++;
        return true;
      }
    }
    this.#at = this.#value.length;
    return false;
  }

  #skipBlanksAndComments(): void {
    // RFC 5322 section 3.2.2: comments nest. A counter, no recursion: depth costs nothing.
    let depth = 0;
    for (; this.#at < this.#value.length; this.#at++) {
      const byte = this.#value[this.#at]!;
      if (byte === OPEN) depth++;
      else if (depth === 0) {
        if (!isBlank(byte) && byte !== CR && byte !== LF) return;
      } else if (byte === CLOSE) depth--;
      else if (byte === BACKSLASH) this.#at++;
    }
    this.#at = Math.min(this.#at, this.#value.length);
  }
}

/** A place in a header's value and the text that goes there. */
export interface Replacement {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/**
 * The value with the replacements made and every other byte as it was.
 *
 * @param replacements in order and not overlapping
 */
export function replaceInHeader(value: Uint8Array, replacements: readonly Replacement[]): Uint8Array {
  if (replacements.length === 0) return value;
  const texts = replacements.map((replacement) => encodeText(replacement.text));
  const out = new ByteBuilder(texts.reduce((sum, text) => sum + text.length, value.length));
  let from = 0;
  replacements.forEach((replacement, i) => {
    out.slice(value, from, replacement.start).bytes(texts[i]!);
    from = replacement.end;
  });
  return out.slice(value, from, value.length).copy();
}
