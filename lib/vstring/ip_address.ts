/**
 * IPv4 and IPv6 addresses as text and as bytes. The parser takes the strict forms only: no octal or short IPv4
 * ("127.1", "0177.0.0.1"), no zone, no brackets, because what one reader takes for a name and another for an
 * address is how a filter is passed.
 *
 * @module
 */
import { isDigit, parseDecimal } from "./ascii.ts";

const V4_LENGTH = 4;
const V6_LENGTH = 16;
const V6_GROUPS = 8;

/** The 4 or 16 bytes of an address in text form, or undefined. */
export function parseIpAddress(text: string): Uint8Array<ArrayBuffer> | undefined {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

/** The four bytes of a dotted quad: decimal, no leading zeros, nothing left out. */
export function parseIpv4(text: string): Uint8Array<ArrayBuffer> | undefined {
  const parts = text.length <= 15 ? text.split(".") : [];
  if (parts.length !== V4_LENGTH) return undefined;
  const bytes = new Uint8Array(V4_LENGTH);
  for (let i = 0; i < V4_LENGTH; i++) {
    const part = parts[i]!;
    const value = part.length <= 3 ? parseDecimal(part, 255) : undefined;
    if (value === undefined || (part.length > 1 && part.startsWith("0"))) return undefined;
    bytes[i] = value;
  }
  return bytes;
}

/** The sixteen bytes of an IPv6 address (RFC 4291 section 2.2), with at most one "::" and an optional IPv4 tail. */
export function parseIpv6(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (text.length > 45) return undefined;
  const gap = text.indexOf("::");
  if (gap < 0) {
    const groups = parseGroups(text, true);
    return groups?.length === V6_GROUPS ? toBytes(groups, []) : undefined;
  }
  const head = gap === 0 ? [] : parseGroups(text.slice(0, gap), false);
  const rest = text.slice(gap + 2);
  const tail = rest === "" ? [] : parseGroups(rest, true);
  // "::" stands for at least one group of zeros.
  if (head === undefined || tail === undefined || head.length + tail.length >= V6_GROUPS) return undefined;
  return toBytes(head, tail);
}

/** Sixteen-bit groups of a colon-separated part; the last may be a dotted quad. */
function parseGroups(text: string, quadAllowed: boolean): number[] | undefined {
  const parts = text.split(":");
  if (parts.length > V6_GROUPS) return undefined;
  const groups: number[] = [];
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]!;
    if (quadAllowed && i === parts.length - 1 && part.includes(".")) {
      const quad = parseIpv4(part);
      if (quad === undefined) return undefined;
      groups.push((quad[0]! << 8) | quad[1]!, (quad[2]! << 8) | quad[3]!);
    } else {
      const group = parseHexGroup(part);
      if (group === undefined) return undefined;
      groups.push(group);
    }
  }
  return groups;
}

function parseHexGroup(part: string): number | undefined {
  if (part.length === 0 || part.length > 4) return undefined;
  let value = 0;
  for (let i = 0; i < part.length; i++) {
    const unit = part.charCodeAt(i);
    const lower = unit | 0x20;
    if (isDigit(unit)) value = value * 16 + unit - 0x30;
    else if (lower >= 0x61 && lower <= 0x66) value = value * 16 + lower - 0x57;
    else return undefined;
  }
  return value;
}

function toBytes(head: readonly number[], tail: readonly number[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(V6_LENGTH);
  const put = (group: number, at: number) => {
    bytes[at * 2] = group >> 8;
    bytes[at * 2 + 1] = group & 0xff;
  };
  head.forEach((group, i) => put(group, i));
  tail.forEach((group, i) => put(group, V6_GROUPS - tail.length + i));
  return bytes;
}

/** Text of 4 or 16 bytes, IPv6 in the form of RFC 5952. */
export function formatIpAddress(bytes: Uint8Array): string {
  if (bytes.length === V4_LENGTH) return bytes.join(".");
  if (bytes.length !== V6_LENGTH) {
    throw new RangeError(`Cannot format IP address: it has ${bytes.length} bytes`);
  }
  const groups: number[] = [];
  for (let i = 0; i < V6_LENGTH; i += 2) groups.push((bytes[i]! << 8) | bytes[i + 1]!);
  const zeros = longestZeros(groups);
  if (zeros.length < 2) return groups.map(toHex).join(":");
  const head = groups.slice(0, zeros.start).map(toHex).join(":");
  const tail = groups.slice(zeros.start + zeros.length).map(toHex).join(":");
  return `${head}::${tail}`;
}

function toHex(group: number): string {
  return group.toString(16);
}

/** RFC 5952 section 4.2: the longest run of zero groups is shortened, the first of equals. */
function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let i = 0; i < groups.length; i++) {
    let length = 0;
    while (i + length < groups.length && groups[i + length] === 0) length++;
    if (length > best.length) best = { start: i, length };
    i += length;
  }
  return best;
}
