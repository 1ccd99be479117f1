/**
 * The argument of MAIL and RCPT: `FROM:<reverse-path> parameters`, `TO:<forward-path> parameters`, by the grammar
 * of RFC 5321 section 4.1.2 on bytes, in one pass. It is the only reader of envelope paths: comments, groups and
 * encoded words, which a header parser would know, are syntax errors here, so that no two parts of the system
 * take one path for two addresses.
 *
 * Without `strict` it takes what Postfix takes too: blanks after the colon, a path without `<>`, a mailbox
 * without a domain, misplaced dots in a local part, underscores in a domain, a dot at its end (which it drops).
 *
 * @module
 */
import { AT, COLON, DOT, GREATER, isAlnum, isBlank, LESS, startsWithIgnoreCase } from "../vstring/ascii.ts";
import { asciiUpper, SPACE } from "../vstring/ascii.ts";
import { decodeSlice, isUtf8 } from "../vstring/byte_builder.ts";
import { printable } from "../vstring/printable.ts";
import { type EnvelopeText, envelopeText, isAtomText } from "./address.ts";
import { isValidDomain } from "./domain.ts";

/**
 * Longest local part, bytes. RFC 5321 section 4.5.3.1.1 lets a receiver stop at 64, but list managers and
 * sender rewriting go beyond; a whole path is at most 256 by section 4.5.3.1.3, so no valid one is refused.
 */
export const LOCALPART_LIMIT = 256;
/** Longest path with its source route, bytes between the angle brackets. */
export const PATH_LIMIT = 1000;
/** Most parameters of one command. */
export const PARAMETER_LIMIT = 20;

const QUOTE = 0x22;
const PERCENT = 0x25;
const COMMA = 0x2c;
const HYPHEN = 0x2d;
const EQUAL = 0x3d;
const BANG = 0x21;
const BACKSLASH = 0x5c;
const DEL = 0x7f;

/** How much a path may differ from the grammar. */
export interface PathOptions {
  /** `strict_rfc821_envelopes`: the grammar of the RFC and nothing else. */
  readonly strict: boolean;
  /** Characters outside ASCII are allowed (RFC 6531); otherwise the result is bad with what "utf8". */
  readonly utf8: boolean;
}

/** One ESMTP parameter. */
export interface PathParameter {
  /** In capitals. */
  readonly keyword: string;
  /** As written, or undefined when there was no `=`. */
  readonly value: string | undefined;
}

/** What a command's argument says. */
export type PathResult =
  | {
    readonly kind: "path";
    /** Internal form; empty for the null path. */
    readonly address: EnvelopeText;
    /** The address has characters outside ASCII. */
    readonly utf8: boolean;
    readonly parameters: readonly PathParameter[];
  }
  | {
    readonly kind: "bad";
    /** command: no `FROM:` or `TO:`. path: no valid path. utf8: not ASCII where it must be. parameter: see there. */
    readonly what: "command" | "path" | "utf8" | "parameter";
    /** A phrase for the log. */
    readonly why: string;
  };

/** Ends the parse; never leaves this file. */
class PathError extends Error {
  readonly what: "command" | "path" | "utf8" | "parameter";
  constructor(what: "command" | "path" | "utf8" | "parameter", why: string) {
    super(why);
    this.what = what;
  }
}

/**
 * Reads the argument of MAIL (`word` "from") or RCPT (`word` "to"): what follows the verb and its space, without
 * the line end.
 *
 * @param argument at most a command line; time is linear in its length
 */
export function parsePathArgument(
  argument: Uint8Array,
  word: "from" | "to",
  options: PathOptions,
): PathResult {
  try {
    const cursor = new Cursor(argument);
    // RFC 5321 section 4.1.1.2: MAIL FROM:<reverse-path>; section 4.1.1.3: RCPT TO:<forward-path>.
    if (!startsWithIgnoreCase(argument, `${word}:`)) throw new PathError("command", `no ${word}:`);
    cursor.at = word.length + 1;
    if (!options.strict) cursor.skipBlanks();
    const path = readPath(cursor, options);
    if (!cursor.done && !isBlank(cursor.peek())) throw new PathError("path", "text after the path");
    return { kind: "path", ...path, parameters: readParameters(cursor) };
  } catch (error) {
    if (error instanceof PathError) return { kind: "bad", what: error.what, why: error.message };
    throw error;
  }
}

/** A place in the bytes. */
class Cursor {
  readonly bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** The byte here, or -1 at the end. */
  peek(): number {
    return this.bytes[this.at] ?? -1;
  }

  get done(): boolean {
    return this.at >= this.bytes.length;
  }

  skipBlanks(): void {
    while (isBlank(this.peek())) this.at++;
  }

  /** Text from `start` to here. */
  text(start: number): string {
    return decodeSlice(this.bytes, start, this.at);
  }
}

interface Mailbox {
  readonly address: EnvelopeText;
  readonly utf8: boolean;
}

function readPath(cursor: Cursor, options: PathOptions): Mailbox {
  if (cursor.peek() !== LESS) {
    if (options.strict) throw new PathError("path", "no angle brackets");
    return readMailbox(cursor, options);
  }
  const start = ++cursor.at;
  if (cursor.peek() === GREATER) {
    // RFC 5321 section 4.5.5: the null reverse-path is "<>".
    cursor.at++;
    return { address: "" as EnvelopeText, utf8: false };
  }
  if (cursor.peek() === AT) dropSourceRoute(cursor, options);
  const mailbox = readMailbox(cursor, options);
  if (cursor.peek() !== GREATER) throw new PathError("path", "address does not end with >");
  if (cursor.at - start > PATH_LIMIT) throw new PathError("path", "path is too long");
  cursor.at++;
  return mailbox;
}

/** Moves behind `@a,@b:`; each domain must be one, so that a route hides nothing else. */
function dropSourceRoute(cursor: Cursor, options: PathOptions): void {
  // RFC 5321 section 4.1.2: a source route must be accepted, should not be generated and should be ignored.
  for (;;) {
    if (cursor.peek() !== AT) throw new PathError("path", "malformed source route");
    cursor.at++;
    readDomain(cursor, options);
    const separator = cursor.peek();
    cursor.at++;
    if (separator === COLON) return;
    if (separator !== COMMA) throw new PathError("path", "malformed source route");
  }
}

function readMailbox(cursor: Cursor, options: PathOptions): Mailbox {
  const start = cursor.at;
  const quoted = cursor.peek() === QUOTE;
  const localpart = quoted ? readQuotedString(cursor) : readDotString(cursor, options.strict);
  if (cursor.at - start > LOCALPART_LIMIT) throw new PathError("path", "local part is too long");
  let address = localpart;
  if (cursor.peek() === AT) {
    cursor.at++;
    address += `@${readDomain(cursor, options)}`;
  } else checkLoneLocalpart(localpart, quoted, options.strict);
  const utf8 = checkCharacters(cursor.bytes.subarray(start, cursor.at), address, options.utf8);
  const checked = envelopeText(address);
  if (checked === undefined) throw new PathError("path", "control character in address");
  return { address: checked, utf8 };
}

/** RFC 5321 has no mailbox without a domain but "postmaster"; mail programs of one's own host send them. */
function checkLoneLocalpart(localpart: string, quoted: boolean, strict: boolean): void {
  // RFC 5321 section 4.1.1.3: the local part "postmaster" without a domain is accepted, in any case.
  if (strict && asciiUpper(localpart) !== "POSTMASTER") throw new PathError("path", "address has no domain");
  // In internal form its @ would pass for the one before a domain.
  if (quoted && localpart.includes("@")) {
    throw new PathError("path", "@ in a quoted local part without domain");
  }
  // "site!" or "%site" would be rewritten to an address without local part or domain.
  for (const edge of [localpart.charCodeAt(0), localpart.charCodeAt(localpart.length - 1)]) {
    if (edge === BANG || edge === PERCENT) throw new PathError("path", "incomplete routing in local part");
  }
}

/** Dot-string: atoms and dots. Atoms outside ASCII are checked by the caller. */
function readDotString(cursor: Cursor, strict: boolean): string {
  const start = cursor.at;
  let atoms = 0;
  let misplacedDot = cursor.peek() === DOT;
  while (!cursor.done) {
    const byte = cursor.peek();
    if (byte === DOT) {
      const next = cursor.bytes[cursor.at + 1] ?? -1;
      if (next < 0 || !isAtomText(next)) misplacedDot = true;
    } else if (isAtomText(byte)) atoms++;
    else break;
    cursor.at++;
  }
  if (atoms === 0) throw new PathError("path", "empty local part");
  if (strict && misplacedDot) throw new PathError("path", "misplaced dot in local part");
  return cursor.text(start);
}

/** Quoted-string: returns what the quotes hold. */
function readQuotedString(cursor: Cursor): string {
  // RFC 5321 section 4.1.2: a quoted string holds printable ASCII and space; a backslash quotes one of them.
  cursor.at++;
  let out = "";
  let from = cursor.at;
  while (!cursor.done && cursor.peek() !== QUOTE) {
    if (cursor.peek() === BACKSLASH) {
      out += cursor.text(from);
      from = ++cursor.at;
      if (cursor.peek() > DEL) throw new PathError("path", "backslash before a character outside ASCII");
    }
    const byte = cursor.peek();
    if (byte < SPACE || byte === DEL) throw new PathError("path", "control character in quoted string");
    cursor.at++;
  }
  if (cursor.done) throw new PathError("path", "quoted string does not end");
  out += cursor.text(from);
  cursor.at++;
  // An empty one would read as the null address where the domain is ours.
  if (out === "") throw new PathError("path", "empty local part");
  return out;
}

/** Domain or address literal. */
function readDomain(cursor: Cursor, options: PathOptions): string {
  const start = cursor.at;
  const literal = cursor.peek() === 0x5b;
  while (!cursor.done) {
    const byte = cursor.peek();
    const inside = literal
      ? isAlnum(byte) || byte === 0x5b || byte === COLON || byte === DOT || byte === HYPHEN
      : byte === DOT || isAtomText(byte);
    if (!inside) break;
    cursor.at++;
  }
  if (literal && cursor.peek() === 0x5d) cursor.at++;
  let domain = cursor.text(start);
  // One final dot, which makes the name absolute in DNS, names the same host; nobody behind us sees two names.
  if (!options.strict && !literal && domain.endsWith(".")) domain = domain.slice(0, -1);
  if (!isValidDomain(domain, { utf8: true, underscore: !options.strict })) {
    throw new PathError("path", `invalid domain "${printable(domain, 100)}"`);
  }
  return domain;
}

/** Whether the address goes beyond ASCII; refuses what is no UTF-8, does not print, or is not allowed. */
function checkCharacters(raw: Uint8Array, address: string, allowed: boolean): boolean {
  if (raw.every((byte) => byte <= DEL)) return false;
  if (!isUtf8(raw)) throw new PathError("path", "address is not UTF-8");
  // RFC 6531 section 3.3: addresses outside ASCII only where SMTPUTF8 was asked for.
  if (!allowed) throw new PathError("utf8", "address needs SMTPUTF8");
  if (printable(address, PATH_LIMIT) !== address) throw new PathError("path", "address does not print");
  return true;
}

/** The parameters from here to the end of the line. */
function readParameters(cursor: Cursor): PathParameter[] {
  const parameters: PathParameter[] = [];
  for (;;) {
    cursor.skipBlanks();
    if (cursor.done) return parameters;
    const parameter = readParameter(cursor);
    // RFC 3461 section 4.1: a parameter stands at most once; taking first or last would be two readings.
    if (parameters.some((other) => other.keyword === parameter.keyword)) {
      throw new PathError("parameter", `parameter ${parameter.keyword} is given twice`);
    }
    if (parameters.length === PARAMETER_LIMIT) throw new PathError("parameter", "too many parameters");
    parameters.push(parameter);
  }
}

/** `KEYWORD` or `KEYWORD=value`. */
function readParameter(cursor: Cursor): PathParameter {
  // RFC 5321 section 4.1.2: a keyword is letters, digits and hyphens, beginning with a letter or digit.
  const start = cursor.at;
  while (isAlnum(cursor.peek()) || (cursor.peek() === HYPHEN && cursor.at > start)) cursor.at++;
  if (cursor.at === start) throw new PathError("parameter", "parameter without a keyword");
  const keyword = asciiUpper(cursor.text(start));
  if (cursor.done || isBlank(cursor.peek())) return { keyword, value: undefined };
  if (cursor.peek() !== EQUAL) throw new PathError("parameter", "malformed parameter keyword");
  const from = ++cursor.at;
  while (!cursor.done && !isBlank(cursor.peek())) {
    // RFC 5321 section 4.1.2: a value is printable ASCII without space. Senders leave "=" unencoded; no harm.
    if (cursor.peek() < SPACE || cursor.peek() === DEL) {
      throw new PathError("parameter", "control character in value");
    }
    cursor.at++;
  }
  if (cursor.at === from) throw new PathError("parameter", `parameter ${keyword} has an empty value`);
  const raw = cursor.bytes.subarray(from, cursor.at);
  if (!isUtf8(raw)) throw new PathError("parameter", `value of ${keyword} is not UTF-8`);
  return { keyword, value: cursor.text(from) };
}
