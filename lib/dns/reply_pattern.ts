/**
 * Patterns for the addresses that a DNS block list answers with, as `127.0.0.2` or `127.0.[1;3..5].[0..255]`: four
 * numbers, each of them a number or, in brackets, numbers and ranges with `;` between.
 *
 * @module
 */
import { parseDecimal } from "../vstring/ascii.ts";
import { parseIpv4 } from "../vstring/ip_address.ts";

/** For each of the four numbers, the ranges that it may be in. */
export type ReplyPattern = readonly (readonly (readonly [least: number, most: number])[])[];

const NUMBERS = 4;
/** Most alternatives of one number; there are no more numbers. */
const ALTERNATIVES = 256;

/** The pattern, or undefined for text that is none. */
export function parseReplyPattern(text: string): ReplyPattern | undefined {
  const parts = splitNumbers(text);
  if (parts?.length !== NUMBERS) return undefined;
  const pattern = parts.map(parseNumber);
  return pattern.includes(undefined) ? undefined : pattern as ReplyPattern;
}

/** True for an address that the pattern fits. */
export function fitsReplyPattern(pattern: ReplyPattern, address: string): boolean {
  const bytes = parseIpv4(address);
  return bytes !== undefined &&
    pattern.every((ranges, i) => ranges.some(([least, most]) => bytes[i]! >= least && bytes[i]! <= most));
}

/** The parts between dots that are outside brackets. */
function splitNumbers(text: string): string[] | undefined {
  const parts = [""];
  let inside = false;
  for (const char of text) {
    if (char === "[" || char === "]") {
      if (inside === (char === "[")) return undefined;
      inside = !inside;
    }
    if (char === "." && !inside) parts.push("");
    else parts[parts.length - 1] += char;
  }
  return inside ? undefined : parts;
}

function parseNumber(text: string): (readonly [number, number])[] | undefined {
  if (!text.startsWith("[")) {
    const value = parseDecimal(text, 255);
    return value === undefined ? undefined : [[value, value]];
  }
  if (text.indexOf("]") !== text.length - 1) return undefined;
  const ranges = text.slice(1, -1).split(";");
  if (ranges.length > ALTERNATIVES) return undefined;
  const parsed = ranges.map((range): readonly [number, number] | undefined => {
    const [least = "", most = least, ...more] = range.split("..");
    const [from, to] = [parseDecimal(least, 255), parseDecimal(most, 255)];
    return from === undefined || to === undefined || from > to || more.length > 0 ? undefined : [from, to];
  });
  return parsed.includes(undefined) ? undefined : parsed as (readonly [number, number])[];
}
