/**
 * The results of header_checks(5) tables: what is done with a header or a line of a body. One reader for cleanup,
 * which knows all actions, and for the clients, which know those that change text only.
 *
 * @module
 */
import { asciiUpper, isBlank, SPACE } from "../vstring/ascii.ts";
import { headerNameLength } from "./header.ts";
import { textOfBytes } from "../vstring/byte_text.ts";

/** Actions that change the text or tell of it; the clients have these. */
export const TEXT_ACTIONS = ["DUNNO", "IGNORE", "INFO", "OK", "PREPEND", "REPLACE", "STRIP", "WARN"] as const;
/** Actions that decide about the message; only cleanup has them. */
export const MESSAGE_ACTIONS = ["BCC", "DISCARD", "FILTER", "HOLD", "PASS", "REDIRECT", "REJECT"] as const;

const NAMES_SOMEBODY: ReadonlySet<string> = new Set(["BCC", "FILTER", "REDIRECT"]);
/** Longest address or destination, bytes: what an envelope has room for. */
const TARGET_LIMIT = 1000;
const DEL = 0x7f;

/** The name of an action. */
export type ActionName = (typeof TEXT_ACTIONS)[number] | (typeof MESSAGE_ACTIONS)[number];

/** What a table says. */
export type ContentAction =
  | {
    readonly kind: "action";
    readonly name: ActionName;
    /** What stands behind the name, as text. */
    readonly text: string;
    /** The same as bytes. */
    readonly bytes: Uint8Array;
  }
  /** The text stays as it is, and the log says what is wrong with the table. */
  | { readonly kind: "bad"; readonly why: string };

/**
 * Reads the result of a look-up.
 *
 * @param names the actions that there are
 * @param header the text is a header, so what takes its place must be one
 * @param parameter names the table in what is wrong
 */
export function parseContentAction(
  value: Uint8Array,
  names: readonly ActionName[],
  header: boolean,
  parameter: string,
): ContentAction {
  let end = 0;
  while (end < value.length && !isBlank(value[end]!)) end++;
  let start = end;
  while (start < value.length && isSpace(value[start]!)) start++;
  const word = asciiUpper(textOfBytes(value.subarray(0, end)));
  const name = names.find((one) => one === word);
  const bytes = value.subarray(start);
  const text = textOfBytes(bytes);
  if (name === undefined) {
    return { kind: "bad", why: `unknown command in ${parameter} map: ${textOfBytes(value)}` };
  }
  const why = whatIsWrong(name, text, bytes, header, parameter);
  return why === undefined ? { kind: "action", name, text, bytes } : { kind: "bad", why };
}

/** Why an action cannot be done with what stands behind it. */
function whatIsWrong(
  name: ActionName,
  text: string,
  bytes: Uint8Array,
  header: boolean,
  parameter: string,
): string | undefined {
  // What a pattern took from a header may be anything; an address or a destination may not.
  if (NAMES_SOMEBODY.has(name) && (bytes.length > TARGET_LIMIT || hasControl(bytes))) {
    return `${name} action with text that is too long or has control characters in ${parameter} map`;
  }
  switch (name) {
    case "REPLACE":
    case "PREPEND":
      if (text === "") return `${name} action without text in ${parameter} map`;
      if (!header || headerNameLength(bytes, 0, bytes.length) > 0) return undefined;
      return `bad ${name} header text "${text}" in ${parameter} map -- need "headername: headervalue"`;
    case "FILTER":
      if (text === "") return `missing FILTER command argument in ${parameter} map`;
      if (text.includes(":")) return undefined;
      return `bad FILTER command ${text} in ${parameter} -- need transport:destination`;
    case "REDIRECT":
      if (text.includes("@")) return undefined;
      return `bad REDIRECT target "${text}" in ${parameter} map -- need user@domain`;
    case "BCC":
      if (text.includes("@")) return undefined;
      return `bad BCC address "${text}" in ${parameter} map -- need user@domain`;
    default:
      return undefined;
  }
}

function hasControl(bytes: Uint8Array): boolean {
  return bytes.some((byte) => byte < SPACE || byte === DEL);
}

function isSpace(byte: number): boolean {
  return byte === SPACE || (byte >= 0x09 && byte <= 0x0d);
}

/** The reason of a REJECT with its status code in front: 5.7.1 unless it has one. */
export function rejectReason(
  text: string,
): { readonly reason: string; readonly soft: boolean; readonly bad: boolean } {
  if (text === "") return { reason: "5.7.1 message content rejected", soft: false, bad: false };
  const reason = splitStatus(text) ?? `5.7.1 ${text}`;
  const bad = reason[0] !== "4" && reason[0] !== "5";
  return { reason: bad ? `4${reason.slice(1)}` : reason, soft: bad || reason[0] === "4", bad };
}

/** The text when it begins with a status code (RFC 3463 section 2), one blank behind it. */
function splitStatus(text: string): string | undefined {
  const space = text.indexOf(" ");
  const word = space < 0 ? text : text.slice(0, space);
  const numbers = word.split(".");
  const limits = [1, 3, 3];
  const good = numbers.length === 3 &&
    numbers.every((number, i) => number.length >= 1 && number.length <= limits[i]! && allDigits(number));
  if (!good || !"245".includes(word[0]!)) return undefined;
  return text;
}

function allDigits(text: string): boolean {
  for (const character of text) if (character < "0" || character > "9") return false;
  return true;
}
