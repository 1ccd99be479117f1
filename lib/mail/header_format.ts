/**
 * Headers that the mail system itself writes: From, Message-Id, lists of addresses.
 *
 * @module
 */
import { isAlnum, isAscii, SPACE } from "../vstring/ascii.ts";
import { encodeText } from "../vstring/byte_builder.ts";
import { printable } from "../vstring/printable.ts";
import { isAtomText, quoteAddress, quoteString } from "./address.ts";
import { formatIdDate } from "./date.ts";

/** Longest encoded word (RFC 2047 section 2). */
const ENCODED_WORD_LIMIT = 75;
const ENCODED_WORD_START = "=?utf-8?Q?";
const ENCODED_WORD_END = "?=";
const HEX = "0123456789ABCDEF";

/**
 * A From header without its line end.
 *
 * @param address internal form; empty for the null address
 * @param fullName may be empty; control characters become `?`
 * @param form `header_from_format`
 */
export function formatFrom(
  address: string,
  fullName: string,
  form: "standard" | "obsolete" = "standard",
): string {
  const external = address === "" ? "MAILER-DAEMON" : quoteAddress(address);
  const name = printable(fullName);
  if (name === "") return `From: ${external}`;
  // RFC 5322 section 3.4: name-addr is a display name and the address in angle brackets.
  if (form === "standard") return `From: ${formatDisplayName(name)} <${external}>`;
  return `From: ${external} (${formatComment(name)})`;
}

/** A display name: as it is, quoted, or encoded when it goes beyond ASCII. */
export function formatDisplayName(name: string): string {
  if (!isAscii(name)) return encodeWords(name);
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i);
    if (!isAtomText(unit) && unit !== SPACE) return quoteString(name);
  }
  // "=?" would be read as an encoded word.
  return name.startsWith(" ") || name.endsWith(" ") || name.includes("=?") ? quoteString(name) : name;
}

function formatComment(name: string): string {
  if (!isAscii(name)) return encodeWords(name);
  let out = "";
  for (const character of name) out += "()\\".includes(character) ? `\\${character}` : character;
  return out;
}

/** The text as encoded words, each of whole characters, separated by blanks. */
function encodeWords(text: string): string {
  // RFC 2047 section 5 (3): in a phrase only letters, digits and !*+-/ stand for themselves; "_" is a space.
  const room = ENCODED_WORD_LIMIT - ENCODED_WORD_START.length - ENCODED_WORD_END.length;
  const words: string[] = [];
  let word = "";
  for (const character of text) {
    const piece = encodeCharacter(character);
    if (word.length + piece.length > room) {
      words.push(word);
      word = "";
    }
    word += piece;
  }
  words.push(word);
  return words.map((content) => ENCODED_WORD_START + content + ENCODED_WORD_END).join(" ");
}

function encodeCharacter(character: string): string {
  if (character === " ") return "_";
  const unit = character.charCodeAt(0);
  if (unit < 0x80 && (isAlnum(unit) || "!*+-/".includes(character))) return character;
  let out = "";
  for (const byte of encodeText(character)) out += "=" + HEX[byte >> 4]! + HEX[byte & 15]!;
  return out;
}

/**
 * A message id in angle brackets. A short queue id comes round again, so the time goes in front of it.
 *
 * @param longIds `enable_long_queue_ids`
 * @param time milliseconds since 1970
 */
export function formatMessageId(queueId: string, longIds: boolean, time: number, hostname: string): string {
  // RFC 5322 section 3.6.4: a message id is unique in the world for ever.
  return longIds ? `<${queueId}@${hostname}>` : `<${formatIdDate(time)}.${queueId}@${hostname}>`;
}
