/**
 * Addresses as a user types them, on the command line and in headers: in internal form, each checked to be fit for
 * an envelope. Nothing is passed over silently: an address that is lost is a message that is lost.
 *
 * @module
 */
// Utility
import { COLON, CR, GREATER, isBlank, LESS, LF, trimBlanks } from "../lib/vstring/ascii.ts";
import { encodeText } from "../lib/vstring/byte_builder.ts";
import { printable } from "../lib/vstring/printable.ts";
// Mail
import { envelopeText, unquoteAddress } from "../lib/mail/address.ts";
import { findHeaderAddresses, type HeaderAddress } from "../lib/mail/header_address.ts";
// Wire protocols
import { ADDRESS_LIMIT } from "../lib/proto/protocols.ts";
// This program
import { SendmailError } from "./sendmail_error.ts";
import { EX } from "./sysexits.ts";

const QUOTE = 0x22;
const OPEN = 0x28;
const CLOSE = 0x29;
const COMMA = 0x2c;
const SEMICOLON = 0x3b;
const BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;

/**
 * The addresses of a list, internal form.
 *
 * @param what names the list in the error, as "recipient"
 * @throws SendmailError when the list holds something that is no address
 */
export function readAddressList(value: Uint8Array, what: string): string[] {
  // No limit of tokens: the caller has bounded the bytes, and an address behind a limit would be lost.
  const found = findHeaderAddresses(value, value.length);
  const lost = findLostElement(value, found.addresses);
  if (lost !== undefined) {
    const text = trimBlanks(printable(value.subarray(lost.start, lost.end), 100));
    throw new SendmailError(EX.DATAERR, `malformed ${what} address: ${text}`);
  }
  return found.addresses.map((one) => checkAddress(unquoteAddress(one.address), what));
}

/** The recipients that one argument names: at least one. */
export function readRecipients(argument: string): string[] {
  const addresses = readAddressList(encodeText(argument), "recipient");
  if (addresses.length > 0) return addresses;
  throw new SendmailError(EX.DATAERR, `malformed recipient address: ${printable(argument, 100)}`);
}

/** The sender that an argument names; empty text and `<>` are the null sender. */
export function readSender(argument: string): string {
  if (argument === "" || argument === "<>") return "";
  const addresses = readAddressList(encodeText(argument), "sender");
  if (addresses.length === 1) return addresses[0]!;
  throw new SendmailError(EX.USAGE, `malformed sender: ${printable(argument, 100)}`);
}

function checkAddress(address: string, what: string): string {
  if (envelopeText(address) === undefined || encodeText(address).length > ADDRESS_LIMIT) {
    throw new SendmailError(EX.DATAERR, `malformed ${what} address: ${printable(address, 100)}`);
  }
  return address;
}

/** A piece of a list between separators. */
interface Element {
  readonly start: number;
  readonly end: number;
  /** It holds more than blanks and comments. */
  readonly solid: boolean;
  /** It is the name of a group: there need be no address in it. */
  readonly empty: boolean;
}

/** The first element of a list in which no address was found although there should be one. */
function findLostElement(value: Uint8Array, addresses: readonly HeaderAddress[]): Element | undefined {
  let next = 0;
  for (const element of elementsOf(value)) {
    // Both are in order: an address that begins before the end of the element is in it.
    const address = addresses[next];
    if (address !== undefined && address.start < element.end) next++;
    else if (element.solid && !element.empty) return element;
  }
  return undefined;
}

/** Cuts a list at commas, semicolons and colons outside quotes, brackets and comments. */
function* elementsOf(value: Uint8Array): Generator<Element> {
  let start = 0, depth = 0, solid = false, angle = false;
  for (let i = 0; i < value.length; i++) {
    const byte = value[i]!;
    if (byte === BACKSLASH) i++;
    else if (depth > 0) depth += byte === OPEN ? 1 : byte === CLOSE ? -1 : 0;
    else if (byte === OPEN) depth++;
    else if (byte === QUOTE || byte === BRACKET) {
      solid = true;
      i = endOfQuote(value, i, byte === QUOTE ? QUOTE : CLOSE_BRACKET);
    } else if (byte === LESS) angle = solid = true;
    else if (byte === GREATER) angle = false;
    else if (!angle && (byte === COMMA || byte === SEMICOLON || byte === COLON)) {
      yield { start, end: i, solid, empty: byte === COLON };
      start = i + 1;
      solid = false;
    } else if (!isBlank(byte) && byte !== CR && byte !== LF) solid = true;
  }
  yield { start, end: value.length, solid, empty: false };
}

function endOfQuote(value: Uint8Array, from: number, close: number): number {
  for (let i = from + 1; i < value.length; i++) {
    if (value[i] === BACKSLASH) i++;
    else if (value[i] === close) return i;
  }
  return value.length;
}
