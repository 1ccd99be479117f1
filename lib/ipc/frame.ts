/**
 * Frames on a connection between daemons: length (4 bytes, big-endian), kind, exchange id (4 bytes), payload.
 *
 * @module
 */
import { ByteBuilder, decodeText, encodeText } from "../vstring/byte_builder.ts";
import { readUint32, writeUint32 } from "../vstring/uint32.ts";
import type { Channel } from "../safe/channel.ts";
import { CodecError, decodeFields, encodeFields } from "./codec.ts";
import type { Field, Fields, Message, Messages, Protocol } from "./protocol.ts";

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
/** Memory that a reader begins with, and what it grows to where much comes at once; a longer frame has more, bytes. */
const FIRST_MEMORY = 8192;
const MOST_MEMORY = 128 * 1024;
/** Bytes of one exchange that may be under way before the server has taken them. */
export const WINDOW = 256 * 1024;
/** A write buffer that has grown beyond this is not kept for the next write, bytes. */
const SPARE_SIZE = WINDOW;

/** The message names of one direction, by number and back. */
export class MessageIndex {
  readonly #names: readonly string[];
  readonly #numbers = new Map<string, number>();
  /** Messages with bytes that their handler may keep; of those with `flow` it has them until it is done. */
  readonly #owned = new Set<Message>();
  readonly messages: Messages;
  /** Longest payload of any of them, bytes. */
  readonly most: number;

  constructor(messages: Messages) {
    this.messages = messages;
    this.#names = Object.keys(messages);
    this.#names.forEach((name, index) => this.#numbers.set(name, index + FRAME.FIRST_MESSAGE));
    for (const message of Object.values(messages)) {
      if (message.flow !== true && hasBytes(message.fields)) this.#owned.add(message);
    }
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

  /** The fields of a message that came. Bytes among them are the reader's memory where the message has `flow`. */
  decode(message: Message, bytes: Uint8Array, start: number, end: number): Record<string, unknown> {
    if (!this.#owned.has(message)) return decodeFields(bytes, start, end, message.fields);
    return decodeFields(bytes.slice(start, end), 0, end - start, message.fields);
  }
}

function hasBytes(fields: Fields): boolean {
  return Object.values(fields).some((field) =>
    field.kind === "bytes" || (field.kind === "list" && hasBytes(field.of))
  );
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
const GATHERING = 20;

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
  writeUint32(raw, start, length);
  raw[start + 4] = kind;
  writeUint32(raw, start + 5, exchange);
}

/** Cuts what arrives into frames. A channel may read straight into its memory, `room`. */
export class FrameReader {
  readonly #most: number;
  readonly #frame: (kind: number, exchange: number, bytes: Uint8Array, start: number, end: number) => void;
  #memory = new Uint8Array(FIRST_MEMORY);
  #filled = 0;
  #kept = false;
  /** Where the next bytes are best read into: the rest of the memory. */
  room: Uint8Array = this.#memory;

  /**
   * @param most longest payload, bytes
   * @param frame gets each frame: its bytes are valid during the call only, unless `keep` is called in it
   */
  constructor(
    most: number,
    frame: (kind: number, exchange: number, bytes: Uint8Array, start: number, end: number) => void,
  ) {
    this.#most = most + HEAD_LENGTH;
    this.#frame = frame;
  }

  /** The bytes of the frame in hand, and of those that came with it, stay valid for whoever has them. */
  keep(): void {
    this.#kept = true;
  }

  /** Takes bytes and calls `frame` for each frame that they complete; throws `CodecError` on a bad length. */
  push(chunk: Uint8Array): void {
    const isFull = chunk.length === this.room.length;
    if (chunk.buffer !== this.#memory.buffer) this.#append(chunk);
    this.#filled += chunk.length;
    const bytes = this.#memory;
    let at = 0;
    let missing = 0;
    while (this.#filled - at >= 4) {
      const length = readUint32(bytes, at);
      if (length < HEAD_LENGTH || length > this.#most) {
        throw new CodecError(`Cannot read frame: length ${length}`);
      }
      missing = 4 + length;
      if (this.#filled - at < missing) break;
      const head = at + 4;
      at += missing;
      missing = 0;
      this.#frame(bytes[head]!, readUint32(bytes, head + 1), bytes, head + HEAD_LENGTH, at);
    }
    this.#settle(at, Math.max(missing, isFull ? Math.min(bytes.length * 2, MOST_MEMORY) : 0));
  }

  /** Takes bytes that were not read into the memory. */
  #append(chunk: Uint8Array): void {
    const needed = this.#filled + chunk.length;
    if (needed > this.#memory.length) this.#replace(0, needed);
    this.#memory.set(chunk, this.#filled);
  }

  /** Makes room behind what is left from `at` on, for `wanted` bytes with it. */
  #settle(at: number, wanted: number): void {
    const left = this.#filled - at;
    const { length } = this.#memory;
    const size = Math.max(wanted, left, Math.min(length, MOST_MEMORY));
    if (this.#kept || size !== length) this.#replace(at, size);
    else if (at > 0 && left > 0) this.#memory.copyWithin(0, at, this.#filled);
    this.#filled = left;
    this.#kept = false;
    if (this.room.buffer !== this.#memory.buffer || this.room.byteOffset !== left) {
      this.room = this.#memory.subarray(left);
    }
  }

  #replace(from: number, size: number): void {
    const memory = new Uint8Array(size);
    memory.set(this.#memory.subarray(from, this.#filled));
    this.#memory = memory;
  }
}

/** Payload of a CREDIT frame. */
export function encodeCredit(count: number): Uint8Array {
  const payload = new Uint8Array(4);
  writeUint32(payload, 0, count);
  return payload;
}

/** Reads the payload of a CREDIT frame. */
export function decodeCredit(bytes: Uint8Array, start: number, end: number): number {
  if (end - start !== 4) throw new CodecError("Cannot read frame: bad credit");
  return readUint32(bytes, start);
}

/** Payload of a HELLO frame. */
export function encodeHello(protocol: Protocol): Uint8Array {
  return encodeText(helloText(protocol));
}

/** Reads the payload of a HELLO frame. */
export function decodeHello(bytes: Uint8Array, start: number, end: number): string {
  return decodeText(bytes.subarray(start, end));
}
