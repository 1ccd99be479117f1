/**
 * Packets of the milter protocol, versions 2 to 6: a length of four bytes, one byte that says what it is, data. What a
 * filter sends is bounded here and taken apart nowhere else.
 *
 * @module
 */
// Utility
import { ByteBuilder } from "../vstring/byte_builder.ts";
import { NUL } from "../vstring/ascii.ts";

/** What is told a filter (SMFIC). */
export const COMMAND = {
  ABORT: 0x41, // A: the message is over
  BODY: 0x42, // B: a piece of the body
  CONNECT: 0x43, // C
  MACRO: 0x44, // D: values of macros for the command that follows
  BODY_END: 0x45, // E: the message is complete
  HELO: 0x48, // H
  HEADER: 0x4c, // L
  MAIL: 0x4d, // M
  HEADER_END: 0x4e, // N
  NEGOTIATE: 0x4f, // O
  QUIT: 0x51, // Q
  RCPT: 0x52, // R
  DATA: 0x54, // T
  UNKNOWN: 0x55, // U: a command that nobody knows
} as const;

/** What a filter answers (SMFIR). */
export const ANSWER = {
  ADD_RCPT: 0x2b, // +
  ADD_RCPT_ARGS: 0x32, // 2: with ESMTP parameters
  DELETE_RCPT: 0x2d, // -
  SHUTDOWN: 0x34, // 4
  ACCEPT: 0x61, // a
  REPLACE_BODY: 0x62, // b
  CONTINUE: 0x63, // c
  DISCARD: 0x64, // d
  CHANGE_FROM: 0x65, // e
  CONNECTION_FAILURE: 0x66, // f
  ADD_HEADER: 0x68, // h
  INSERT_HEADER: 0x69, // i
  CHANGE_HEADER: 0x6d, // m
  NEGOTIATE: 0x4f, // O
  PROGRESS: 0x70, // p
  QUARANTINE: 0x71, // q
  REJECT: 0x72, // r
  SKIP: 0x73, // s: no more of this event
  TEMPFAIL: 0x74, // t
  REPLY_CODE: 0x79, // y
} as const;

/** What a filter may change (SMFIF). */
export const ACTION = {
  ADD_HEADERS: 0x01,
  CHANGE_BODY: 0x02,
  ADD_RCPT: 0x04,
  DELETE_RCPT: 0x08,
  CHANGE_HEADERS: 0x10,
  QUARANTINE: 0x20,
  CHANGE_FROM: 0x40,
  ADD_RCPT_ARGS: 0x80,
  SET_MACRO_LIST: 0x100,
} as const;

/** What a filter does not want to hear, does not answer, and can (SMFIP). */
export const STEP = {
  NO_CONNECT: 0x01,
  NO_HELO: 0x02,
  NO_MAIL: 0x04,
  NO_RCPT: 0x08,
  NO_BODY: 0x10,
  NO_HEADERS: 0x20,
  NO_HEADER_END: 0x40,
  MUTE_HEADER: 0x80,
  NO_UNKNOWN: 0x100,
  NO_DATA: 0x200,
  SKIP: 0x400,
  REJECTED_RCPT: 0x800,
  MUTE_CONNECT: 0x1000,
  MUTE_HELO: 0x2000,
  MUTE_MAIL: 0x4000,
  MUTE_RCPT: 0x8000,
  MUTE_DATA: 0x10000,
  MUTE_UNKNOWN: 0x20000,
  MUTE_HEADER_END: 0x40000,
  MUTE_BODY: 0x80000,
  LEADING_SPACE: 0x100000,
} as const;

/** Bytes of body in one packet. */
export const BODY_CHUNK = 65_535;
/** Longest packet that a filter may send, bytes: a piece of body, or one header with room to spare. */
export const PACKET_LIMIT = 1024 * 1024;
/** Bytes of a packet's length. */
const LENGTH_SIZE = 4;

/** Thrown for bytes that are no packet, or no packet of its kind. */
export class MilterFormatError extends Error {
  override name = "MilterFormatError";
}

/** A packet as it came; `data` is the reader's own copy. */
export interface Packet {
  readonly code: number;
  readonly data: Uint8Array;
}

/** A packet as it goes out. Its parts stand one behind the other. */
export function encodePacket(code: number, ...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const length = parts.reduce((sum, part) => sum + part.length, 1);
  const packet = new Uint8Array(LENGTH_SIZE + length);
  new DataView(packet.buffer).setUint32(0, length);
  packet[LENGTH_SIZE] = code;
  let at = LENGTH_SIZE + 1;
  for (const part of parts) {
    packet.set(part, at);
    at += part.length;
  }
  return packet;
}

/** Numbers of four bytes each. */
export function encodeNumbers(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  values.forEach((value, index) => view.setUint32(index * 4, value));
  return bytes;
}

/** Strings, each with the NUL that ends it; one that holds a NUL is cut there, as nobody could read on. */
export function encodeStrings(...values: readonly Uint8Array[]): Uint8Array {
  const cut = values.map((value) => {
    const end = value.indexOf(NUL);
    return end < 0 ? value : value.subarray(0, end);
  });
  const bytes = new Uint8Array(cut.reduce((sum, value) => sum + value.length + 1, 0));
  let at = 0;
  for (const value of cut) {
    bytes.set(value, at);
    at += value.length + 1;
  }
  return bytes;
}

/** Cuts what a filter sends into packets, in whatever pieces it comes. */
export class PacketReader {
  readonly #held = new ByteBuilder(PACKET_LIMIT + LENGTH_SIZE, 512);
  /** What came with the last packet and belongs to the next. */
  #rest: Uint8Array = new Uint8Array(0);

  /** Takes bytes. Throws a MilterFormatError when they can be no packet. */
  push(bytes: Uint8Array): void {
    if (this.#rest.length > 0) {
      const all = new Uint8Array(this.#rest.length + bytes.length);
      all.set(this.#rest);
      all.set(bytes, this.#rest.length);
      this.#rest = all;
    } else this.#rest = bytes.slice();
  }

  /** The next whole packet; undefined when more must come. */
  next(): Packet | undefined {
    const held = this.#held;
    if (!this.#gather(LENGTH_SIZE)) return undefined;
    const length = new DataView(held.raw().buffer, held.raw().byteOffset).getUint32(0);
    if (length < 1) throw new MilterFormatError("no data in input packet");
    if (length > PACKET_LIMIT) {
      throw new MilterFormatError(`unreasonable packet length: ${length} > ${PACKET_LIMIT}`);
    }
    if (!this.#gather(LENGTH_SIZE + length)) return undefined;
    const packet = held.copy();
    held.clear();
    return { code: packet[LENGTH_SIZE]!, data: packet.subarray(LENGTH_SIZE + 1) };
  }

  /** True when bytes are there of which nothing was made yet. */
  get pending(): boolean {
    return this.#held.length > 0 || this.#rest.length > 0;
  }

  /** Moves bytes over until so many are together. */
  #gather(count: number): boolean {
    const take = Math.min(count - this.#held.length, this.#rest.length);
    if (take > 0) {
      this.#held.bytes(this.#rest.subarray(0, take));
      this.#rest = this.#rest.subarray(take);
    }
    return this.#held.length >= count;
  }
}

/** Reads a packet's data field by field. Throws a MilterFormatError for what is not there. */
export class FieldReader {
  readonly #data: Uint8Array;
  #at = 0;

  constructor(data: Uint8Array) {
    this.#data = data;
  }

  /** A number of four bytes. */
  number(): number {
    if (this.left < 4) throw new MilterFormatError("input packet too short for network long");
    const { buffer, byteOffset } = this.#data;
    const value = new DataView(buffer, byteOffset + this.#at).getUint32(0);
    this.#at += 4;
    return value;
  }

  /** The bytes up to a NUL, which must be there. */
  string(): Uint8Array {
    if (this.left === 0) throw new MilterFormatError("packet too short for string");
    const end = this.#data.indexOf(NUL, this.#at);
    if (end < 0) throw new MilterFormatError("missing string null terminator");
    const value = this.#data.subarray(this.#at, end);
    this.#at = end + 1;
    return value;
  }

  /** All that is left. */
  rest(): Uint8Array {
    const value = this.#data.subarray(this.#at);
    this.#at = this.#data.length;
    return value;
  }

  /** Bytes that nobody has read. */
  get left(): number {
    return this.#data.length - this.#at;
  }

  /** Demands that nothing is left. */
  end(): void {
    if (this.left > 0) throw new MilterFormatError(`reply was followed by ${this.left} data bytes`);
  }
}

/** A code as logs name it. */
export function codeName(code: number): string {
  return code > 0x20 && code < 0x7f ? `'${String.fromCharCode(code)}'` : `0x${code.toString(16)}`;
}
