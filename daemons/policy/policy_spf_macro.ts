/**
 * SPF macros (RFC 7208 section 7): read once into pieces, expanded for one client. What is remote text is scanned byte
 * by byte.
 */
// Utility
import { asciiLower, isAlnum, isAlpha, isDigit } from "../../lib/vstring/ascii.ts";
import { formatIpAddress } from "../../lib/vstring/ip_address.ts";

/** A piece of a macro-string: text, or a macro with its transformers. */
export type MacroPiece = string | {
  /** In lower case. */
  readonly letter: string;
  /** Reserved characters become %XX. */
  readonly escaped: boolean;
  /** Parts that are kept, from the right; 0: all. */
  readonly keep: number;
  readonly reversed: boolean;
  readonly delimiters: string;
};

/** What macros stand for. */
export interface MacroFacts {
  readonly sender: string;
  readonly domain: string;
  /** The client's address, 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly helo: string;
  /** Our own name, for explanations. */
  readonly receiver: string;
  /** Seconds since 1970. */
  readonly time: number;
  /** The client's name, proven by its address, or "unknown". */
  clientName(): Promise<string>;
}

const HEX = "0123456789ABCDEF";
const LETTERS = "slodiphv";
/** Those that only explanations may have. */
const EXPLAINING = "crt";
const DELIMITERS = ".-+,/_=";
/** Most parts that a transformer can ask for (a name has no more labels). */
const PARTS_LIMIT = 128;

/** Reads a macro-string; undefined when it is none. `explains`: the text of an explanation, with blanks and all letters. */
export function parseMacros(text: string, explains = false): readonly MacroPiece[] | undefined {
  const pieces: MacroPiece[] = [];
  let literal = "";
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (text[i] !== "%") {
      if (code < (explains ? 0x20 : 0x21) || code > 0x7e) return undefined;
      literal += text[i];
      continue;
    }
    const next = text[++i];
    if (next === "%") literal += "%";
    else if (next === "_") literal += " ";
    else if (next === "-") literal += "%20";
    else if (next === "{") {
      const end = text.indexOf("}", i);
      const macro = end < 0 ? undefined : parseMacro(text.slice(i + 1, end), explains);
      if (macro === undefined) return undefined;
      if (literal !== "") pieces.push(literal);
      literal = "";
      pieces.push(macro);
      i = end;
    } else return undefined;
  }
  if (literal !== "") pieces.push(literal);
  return pieces;
}

function parseMacro(text: string, explains: boolean): MacroPiece | undefined {
  const letter = asciiLower(text[0] ?? " ");
  if (!LETTERS.includes(letter) && !(explains && EXPLAINING.includes(letter))) return undefined;
  let at = 1;
  let keep: number | undefined;
  while (at < text.length && isDigit(text.charCodeAt(at))) {
    keep = Math.min((keep ?? 0) * 10 + Number(text[at]), PARTS_LIMIT);
    at++;
  }
  // RFC 7208 section 7.3: the number of parts must not be zero.
  if (keep === 0) return undefined;
  const reversed = asciiLower(text[at] ?? "") === "r";
  const delimiters = text.slice(reversed ? at + 1 : at);
  if ([...delimiters].some((one) => !DELIMITERS.includes(one))) return undefined;
  return { letter, escaped: letter !== text[0], keep: keep ?? 0, reversed, delimiters: delimiters || "." };
}

/** True for a macro-string that may stand where a domain is meant: it ends in a macro, or in a dot and a top label. */
export function endsLikeDomain(text: string, pieces: readonly MacroPiece[]): boolean {
  const last = pieces[pieces.length - 1];
  if (last === undefined) return false;
  if (typeof last !== "string" || text.endsWith("%%") || text.endsWith("%_") || text.endsWith("%-")) {
    return true;
  }
  const tail = last.endsWith(".") ? last.slice(0, -1) : last;
  const dot = tail.lastIndexOf(".");
  return dot >= 0 && isTopLabel(tail.slice(dot + 1));
}

function isTopLabel(label: string): boolean {
  if (label === "" || label.startsWith("-") || label.endsWith("-")) return false;
  let named = false;
  for (let i = 0; i < label.length; i++) {
    const code = label.charCodeAt(i);
    if (!isAlnum(code) && label[i] !== "-") return false;
    named ||= isAlpha(code) || label[i] === "-";
  }
  return named;
}

/** What the pieces stand for. */
export async function expandMacros(pieces: readonly MacroPiece[], facts: MacroFacts): Promise<string> {
  let out = "";
  for (const piece of pieces) {
    out += typeof piece === "string" ? piece : transform(piece, await valueOf(piece.letter, facts));
  }
  return out;
}

async function valueOf(letter: string, facts: MacroFacts): Promise<string> {
  const { sender, domain, address } = facts;
  const at = sender.lastIndexOf("@");
  switch (letter) {
    case "s":
      return sender;
    case "l":
      return sender.slice(0, at);
    case "o":
      return sender.slice(at + 1);
    case "d":
      return domain;
    case "i":
      return address.length === 4 ? formatIpAddress(address) : nibbles(address);
    case "p":
      return await facts.clientName();
    case "v":
      return address.length === 4 ? "in-addr" : "ip6";
    case "h":
      return facts.helo;
    case "c":
      return formatIpAddress(address);
    case "r":
      return facts.receiver;
    default:
      return String(facts.time);
  }
}

function nibbles(address: Uint8Array): string {
  return Array.from(address, (byte) => `${HEX[byte >> 4]}.${HEX[byte & 15]}`).join(".");
}

function transform(piece: Exclude<MacroPiece, string>, value: string): string {
  const parts: string[] = [""];
  for (const character of value) {
    if (piece.delimiters.includes(character)) parts.push("");
    else parts[parts.length - 1] += character;
  }
  if (piece.reversed) parts.reverse();
  const kept = piece.keep === 0 ? parts : parts.slice(-piece.keep);
  const joined = kept.join(".");
  return piece.escaped ? escape(joined) : joined;
}

/** RFC 3986 section 2.3: all but unreserved characters. */
function escape(text: string): string {
  let out = "";
  for (const byte of new TextEncoder().encode(text)) {
    const character = String.fromCharCode(byte);
    const plain = isAlnum(byte) || "-._~".includes(character);
    out += plain ? character : `%${HEX[byte >> 4]}${HEX[byte & 15]}`;
  }
  return out;
}
