/**
 * Frames on a connection between daemons: length (4 bytes, big-endian), kind, exchange id (4 bytes), payload.
 *
 * @module
 */
import { ByteBuilder, decodeText, encodeText } from "../vstring/byte_builder.ts";
import type { Channel } from "../safe/channel.ts";
import { CodecError, encodeFields } from "./codec.ts";
import type { Field, Fields, Messages, Protocol } from "./protocol.ts";

/** Kinds that carry no message of the protocol. Messages are numbered from `FIRST_MESSAGE`. */
export const FRAME = {
  HELLO: 0, // server first: "postern NAME VERSION DIGEST"
  CANCEL: 1, // client: the exchange is off
  CREDIT: 2, // server: that many bytes of the exchange have been taken
  GOODBYE: 3, // server: no new exchange on this connection, please
  FIRST_MESSAGE: 16,
} as const;

/** Bytes of the frame's head behind the length. */
export const HEAD_LENGTH = 5;
/** No frame of any protocol is longer. */
export const FRAME_LIMIT = 8 * 1024 * 1024;
/** So many bytes of hints are sent without waiting for more. */
const HINTS_MOST = 32 * 1024;
/** A write buffer that has grown beyond this is not kept for the next write, bytes. */
const SPARE_SIZE = 65536;
/** Bytes of one exchange that may be under way before the server has taken them. */
export const WINDOW = 256 * 1024;

/** The message names of one direction, by number and back. */
export class MessageIndex {
  readonly #names: readonly string[];
  readonly #numbers = new Map<string, number>();
  readonly messages: Messages;
  /** Longest payload of any of them, bytes. */
  readonly most: number;

  constructor(messages: Messages) {
    this.messages = messages;
    this.#names = Object.keys(messages);
    this.#names.forEach((name, index) => this.#numbers.set(name, index + FRAME.FIRST_MESSAGE));
    this.most = Math.min(
      FRAME_LIMIT,
      Math.max(64, ...this.#names.map((name) => mostBytes(messages[name]!.fields))),
    );
  }

  nameOf(kind: number): string | undefined {
    return this.#names[kind - FRAME.FIRST_MESSAGE];
  }

  numberOf(name: string): number {
    return this.#numbers.get(name)!;
  }
}

function mostBytes(fields: Fields): number {
  let sum = 1;
  for (const name in fields) sum += 1 + mostBytesOf(fields[name]!);
  return sum;
}

function mostBytesOf(field: Field): number {
  switch (field.kind) {
    case "text":
    case "bytes":
      return field.most + 8;
    case "list":
      return 8 + field.most * mostBytes(field.of);
    default:
      return 8;
  }
}

/** What the server says first; a client that expects something else is on the wrong socket. */
export function helloText(protocol: Protocol): string {
  return `postern ${protocol.name} ${protocol.version} ${
    digest(JSON.stringify([protocol.requests, protocol.replies]))
  }`;
}

/** A short fingerprint of the table (FNV-1a), so that two releases with different tables do not talk. */
function digest(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash.toString(16).padStart(8, "0");
}

/** Hints that follow one another this closely are sent together, milliseconds. */
const GATHERING = 5;

/**
 * Gathers frames and hands them to the channel once per turn of the event loop; hints, for which nobody waits, less often
 * when there are many: each write wakes the other process, which costs more than what it then does.
 */
export class FrameWriter {
  readonly #channel: Channel;
  #out: ByteBuilder | undefined;
  #spare: ByteBuilder | undefined;
  /** What was gathered goes out at the end of this turn. */
  #prompt = false;
  /** Until when the next hint waits, by `performance.now()`, and whether something does. */
  #hintTime = 0;
  #hintWaits = false;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /**
   * Sends a message.
   *
   * @param hint it may go out some milliseconds later
   */
  message(
    kind: number,
    exchange: number,
    fields: Fields,
    values: Record<string, unknown>,
    hint = false,
  ): void {
    const out = this.#begin(hint);
    const start = out.claim(4 + HEAD_LENGTH);
    try {
      encodeFields(out, fields, values);
    } catch (error) {
      out.truncate(start);
      throw error;
    }
    putHead(out, start, kind, exchange);
    if (hint && out.length > HINTS_MOST) this.flush();
  }

  /** Sends a frame that is no message. */
  control(kind: number, exchange: number, payload: Uint8Array = NOTHING): void {
    const out = this.#begin(false);
    const start = out.claim(4 + HEAD_LENGTH);
    out.bytes(payload);
    putHead(out, start, kind, exchange);
  }

  #begin(hint: boolean): ByteBuilder {
    if (this.#out !== undefined && this.#out.length > FRAME_LIMIT) this.flush();
    if (this.#out === undefined) {
      this.#out = this.#spare ?? new ByteBuilder(FRAME_LIMIT * 8, 1024);
      this.#spare = undefined;
    }
    if (!this.#prompt && !(hint && this.#waits())) {
      this.#prompt = true;
      queueMicrotask(() => this.flush());
    }
    return this.#out;
  }

  /** True when a hint waits for others, as one went out a moment ago. */
  #waits(): boolean {
    if (this.#hintWaits) return true;
    const now = performance.now();
    const wait = this.#hintTime - now;
    this.#hintTime = Math.max(now, this.#hintTime) + GATHERING;
    if (wait <= 0) return false;
    this.#hintWaits = true;
    setTimeout(() => {
      this.#hintWaits = false;
      this.flush();
    }, wait);
    return true;
  }

  /** Hands over what was gathered. */
  flush(): void {
    const out = this.#out;
    if (out === undefined) return;
    this.#out = undefined;
    this.#prompt = false;
    this.#channel.write(out.view());
    // Most writes are done at once, and the buffer is free again; the channel keeps what it could not send.
    if (this.#channel.pending === 0 && out.capacity <= SPARE_SIZE) this.#spare = out.clear();
  }
}

const NOTHING = new Uint8Array(0);

function putHead(out: ByteBuilder, start: number, kind: number, exchange: number): void {
  const raw = out.raw();
  const length = out.length - start - 4;
  raw[start] = length >>> 24;
  raw[start + 1] = length >>> 16;
  raw[start + 2] = length >>> 8;
  raw[start + 3] = length;
  raw[start + 4] = kind;
  raw[start + 5] = exchange >>> 24;
  raw[start + 6] = exchange >>> 16;
  raw[start + 7] = exchange >>> 8;
  raw[start + 8] = exchange;
}

/** Cuts what arrives into frames. */
export class FrameReader {
  readonly #most: number;
  readonly #frame: (kind: number, exchange: number, bytes: Uint8Array, start: number, end: number) => void;
  #rest: Uint8Array = NOTHING;

  /** @param most longest payload, bytes */
  constructor(
    most: number,
    frame: (kind: number, exchange: number, bytes: Uint8Array, start: number, end: number) => void,
  ) {
    this.#most = most + HEAD_LENGTH;
    this.#frame = frame;
  }

  /** Takes bytes and calls `frame` for each frame that they complete; throws `CodecError` on a bad length. */
  push(chunk: Uint8Array): void {
    let bytes = chunk;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + chunk.length);
      bytes.set(this.#rest);
      bytes.set(chunk, this.#rest.length);
      this.#rest = NOTHING;
    }
    let at = 0;
    while (bytes.length - at >= 4) {
      const length =
        ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
      if (length < HEAD_LENGTH || length > this.#most) {
        throw new CodecError(`Cannot read frame: length ${length}`);
      }
      if (bytes.length - at - 4 < length) break;
      const head = at + 4;
      const exchange =
        ((bytes[head + 1]! << 24) | (bytes[head + 2]! << 16) | (bytes[head + 3]! << 8) | bytes[head + 4]!) >>>
        0;
      at = head + length;
      this.#frame(bytes[head]!, exchange, bytes, head + HEAD_LENGTH, at);
    }
    if (at < bytes.length) this.#rest = bytes.slice(at);
  }
}

/** Payload of a CREDIT frame. */
export function encodeCredit(count: number): Uint8Array {
  return new Uint8Array([count >>> 24, count >>> 16, count >>> 8, count]);
}

/** Reads the payload of a CREDIT frame. */
export function decodeCredit(bytes: Uint8Array, start: number, end: number): number {
  if (end - start !== 4) throw new CodecError("Cannot read frame: bad credit");
  return ((bytes[start]! << 24) | (bytes[start + 1]! << 16) | (bytes[start + 2]! << 8) |
    bytes[start + 3]!) >>> 0;
}

/** Payload of a HELLO frame. */
export function encodeHello(protocol: Protocol): Uint8Array {
  return encodeText(helloText(protocol));
}

/** Reads the payload of a HELLO frame. */
export function decodeHello(bytes: Uint8Array, start: number, end: number): string {
  return decodeText(bytes.subarray(start, end));
}
