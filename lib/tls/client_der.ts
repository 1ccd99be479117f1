/**
 * DER (X.690) as certificates use it, read without trust: every length is checked against what holds it.
 *
 * @module
 */

/** Thrown for bytes that are not the DER that they should be. */
export class DerError extends Error {
  override name = "DerError";
}

/** Tags of ASN.1 that are met here. */
export const TAG = {
  BOOLEAN: 0x01,
  INTEGER: 0x02,
  BIT_STRING: 0x03,
  OCTET_STRING: 0x04,
  OID: 0x06,
  UTF8_STRING: 0x0c,
  PRINTABLE_STRING: 0x13,
  T61_STRING: 0x14,
  IA5_STRING: 0x16,
  UTC_TIME: 0x17,
  GENERALIZED_TIME: 0x18,
  SEQUENCE: 0x30,
  SET: 0x31,
} as const;

/** One value: its tag, its content, and itself with tag and length. */
export interface DerValue {
  readonly tag: number;
  readonly body: Uint8Array;
  readonly whole: Uint8Array;
}

/** Most bytes of a length: 4 GB are more than anybody sends. */
const LENGTH_BYTES = 4;

/** Reads the values of one level in turn. */
export class DerReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** The next value's tag; undefined at the end. */
  get peek(): number | undefined {
    return this.#bytes[this.#at];
  }

  /** The next value. Throws `DerError` when there is none, or another than `tag`. */
  next(tag?: number): DerValue {
    const start = this.#at;
    const found = this.#byte();
    if (tag !== undefined && found !== tag) throw new DerError(`tag ${found} in the place of ${tag}`);
    if ((found & 0x1f) === 0x1f) throw new DerError("tag of several bytes");
    const length = this.#length();
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new DerError("value runs past the end");
    const body = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return { tag: found, body, whole: this.#bytes.subarray(start, end) };
  }

  /** The next value if it has this tag. */
  optional(tag: number): DerValue | undefined {
    return this.peek === tag ? this.next(tag) : undefined;
  }

  #length(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    const count = first & 0x7f;
    // DER has definite lengths only.
    if (count === 0 || count > LENGTH_BYTES) throw new DerError("length is not definite or too long");
    let length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + this.#byte();
    return length;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new DerError("value runs past the end");
    return byte;
  }
}

/** An object identifier as its dotted numbers. Throws `DerError`. */
export function readOid(body: Uint8Array): string {
  const arcs: number[] = [];
  let value = 0;
  for (const byte of body) {
    if (value > 0xffffff) throw new DerError("object identifier is too large");
    value = value * 128 + (byte & 0x7f);
    if ((byte & 0x80) !== 0) continue;
    if (arcs.length === 0) {
      const first = Math.min(2, Math.floor(value / 40));
      arcs.push(first, value - first * 40);
    } else arcs.push(value);
    value = 0;
  }
  return arcs.join(".");
}

/** A bit string's bytes; the bits that fill the last one up are not looked at. Throws `DerError`. */
export function readBitString(body: Uint8Array): Uint8Array {
  if (body.length === 0 || body[0]! > 7) throw new DerError("bit string is malformed");
  return body.subarray(1);
}

/** A small whole number that is not negative; one that does not fit is infinite. */
export function readSmallInteger(body: Uint8Array): number {
  if (body.length === 0 || body[0]! >= 0x80) throw new DerError("number is negative or empty");
  return body.length > 4 ? Infinity : body.reduce((value, byte) => value * 256 + byte, 0);
}

/** Milliseconds since 1970 of a time (RFC 5280 section 4.1.2.5). Throws `DerError`. */
export function readTime({ tag, body }: DerValue): number {
  const yearDigits = tag === TAG.GENERALIZED_TIME ? 4 : 2;
  if (tag !== TAG.GENERALIZED_TIME && tag !== TAG.UTC_TIME) throw new DerError("not a time");
  if (body.length !== yearDigits + 11 || body[body.length - 1] !== 0x5a) {
    throw new DerError("time is malformed");
  }
  const number = (from: number, digits: number): number => {
    let value = 0;
    for (let i = from; i < from + digits; i++) {
      const digit = body[i]! - 0x30;
      if (digit < 0 || digit > 9) throw new DerError("time is malformed");
      value = value * 10 + digit;
    }
    return value;
  };
  const short = number(0, yearDigits);
  const year = yearDigits === 4 ? short : short < 50 ? 2000 + short : 1900 + short;
  const [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map((at) => number(yearDigits + at, 2));
  return Date.UTC(year, month! - 1, day, hour, minute, second);
}
