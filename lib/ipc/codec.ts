/**
 * Fields to bytes and back. Each field is a tag (its place in the table, from 1), then its value; a group ends with
 * a zero. So a message that lacks a field, has one too many or one out of order is told from a good one.
 *
 * @module
 */
import { type ByteBuilder, decodeSlice, encodeText } from "../vstring/byte_builder.ts";
import type { Field, Fields } from "./protocol.ts";

/** A peer sent something that its protocol does not have: the connection is closed. */
export class CodecError extends Error {
  override name = "CodecError";
}

const GROUP_END = 0;

/** The fields of a group in their order: an array is gone through faster than an object. */
const ORDERED = new WeakMap<Fields, readonly (readonly [name: string, field: Field])[]>();

function ordered(fields: Fields): readonly (readonly [name: string, field: Field])[] {
  let entries = ORDERED.get(fields);
  if (entries === undefined) ORDERED.set(fields, entries = Object.entries(fields));
  return entries;
}

/** Appends a group of fields; throws when a value passes its bound, which is a fault of ours. */
export function encodeFields(out: ByteBuilder, fields: Fields, values: Record<string, unknown>): void {
  let tag = 0;
  for (const [name, field] of ordered(fields)) {
    out.byte(++tag);
    encodeField(out, name, field, values[name]);
  }
  out.byte(GROUP_END);
}

function encodeField(out: ByteBuilder, name: string, field: Field, value: unknown): void {
  switch (field.kind) {
    case "text":
      encodeTextField(out, name, field.most, value as string);
      break;
    case "bytes": {
      const bytes = value as Uint8Array;
      if (bytes.length > field.most) throw tooLong(name, bytes.length, field.most);
      encodeInteger(out, bytes.length);
      out.bytes(bytes);
      break;
    }
    case "integer": {
      const number = value as number;
      if (!Number.isSafeInteger(number) || number < 0 || number > field.most) {
        throw new RangeError(`Cannot send field "${name}": ${number} is not from 0 to ${field.most}`);
      }
      encodeInteger(out, number);
      break;
    }
    case "flag":
      out.byte(value === true ? 1 : 0);
      break;
    case "choice": {
      const index = field.of.indexOf(value as string);
      if (index < 0) throw new RangeError(`Cannot send field "${name}": "${value}" is no choice`);
      out.byte(index);
      break;
    }
    case "list": {
      const groups = value as readonly Record<string, unknown>[];
      if (groups.length > field.most) throw tooLong(name, groups.length, field.most);
      encodeInteger(out, groups.length);
      for (const group of groups) encodeFields(out, field.of, group);
      break;
    }
  }
}

function tooLong(name: string, length: number, most: number): RangeError {
  return new RangeError(`Cannot send field "${name}": ${length} is more than ${most}`);
}

/** Strings are mostly short ASCII: then their length is known without encoding them. */
function encodeTextField(out: ByteBuilder, name: string, most: number, value: string): void {
  if (value.length < 0x80 && value.length <= most) {
    const start = out.length;
    if (out.byte(value.length).ascii(value)) return;
    out.truncate(start);
  }
  const bytes = encodeText(value);
  if (bytes.length > most) throw tooLong(name, bytes.length, most);
  encodeInteger(out, bytes.length);
  out.bytes(bytes);
}

function encodeInteger(out: ByteBuilder, value: number): void {
  let rest = value;
  while (rest > 0x7f) {
    out.byte((rest % 128) | 0x80);
    rest = Math.floor(rest / 128);
  }
  out.byte(rest);
}

/** Reads one group of fields that fills `bytes` from `start` to `end`. Byte fields are views of `bytes`. */
export function decodeFields(
  bytes: Uint8Array,
  start: number,
  end: number,
  fields: Fields,
): Record<string, unknown> {
  const source = new Source(bytes, start, end);
  const values = decodeGroup(source, fields);
  if (source.left() !== 0) throw new CodecError(`Cannot read message: ${source.left()} bytes are left over`);
  return values;
}

function decodeGroup(source: Source, fields: Fields): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  let tag = 0;
  for (const [name, field] of ordered(fields)) {
    if (source.byte() !== ++tag) throw new CodecError(`Cannot read message: field "${name}" is missing`);
    values[name] = decodeField(source, name, field);
  }
  if (source.byte() !== GROUP_END) throw new CodecError("Cannot read message: unknown field");
  return values;
}

function decodeField(source: Source, name: string, field: Field): unknown {
  switch (field.kind) {
    case "text":
      return source.text(bounded(name, source.integer(), field.most));
    case "bytes":
      return source.take(bounded(name, source.integer(), field.most));
    case "integer":
      return bounded(name, source.integer(), field.most);
    case "flag":
      return bounded(name, source.byte(), 1) === 1;
    case "choice":
      return field.of[bounded(name, source.byte(), field.of.length - 1)];
    case "list": {
      const count = bounded(name, source.integer(), field.most);
      const groups: unknown[] = [];
      for (let i = 0; i < count; i++) groups.push(decodeGroup(source, field.of));
      return groups;
    }
  }
}

function bounded(name: string, value: number, most: number): number {
  if (value > most) {
    throw new CodecError(`Cannot read message: field "${name}" is ${value}, more than ${most}`);
  }
  return value;
}

/** Reads values one behind the other and never past the end. */
class Source {
  readonly #bytes: Uint8Array;
  #at: number;
  readonly #end: number;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  left(): number {
    return this.#end - this.#at;
  }

  byte(): number {
    if (this.#at >= this.#end) throw new CodecError("Cannot read message: it is cut off");
    return this.#bytes[this.#at++]!;
  }

  integer(): number {
    let value = 0;
    let weight = 1;
    for (;;) {
      const digit = this.byte();
      value += (digit & 0x7f) * weight;
      if (value > Number.MAX_SAFE_INTEGER) throw new CodecError("Cannot read message: number is too large");
      if (digit < 0x80) return value;
      weight *= 128;
    }
  }

  take(length: number): Uint8Array {
    if (length > this.left()) throw new CodecError("Cannot read message: it is cut off");
    const start = this.#at;
    this.#at += length;
    return this.#bytes.subarray(start, this.#at);
  }

  text(length: number): string {
    if (length > this.left()) throw new CodecError("Cannot read message: it is cut off");
    const start = this.#at;
    this.#at = start + length;
    return decodeSlice(this.#bytes, start, this.#at);
  }
}
