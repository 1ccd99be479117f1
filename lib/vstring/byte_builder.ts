/**
 * A growable byte buffer with a mandatory limit: Postfix's VSTRING with `vstring_ctl(..., CA_VSTRING_CTL_MAXLEN)`
 * made compulsory, so that no input can make a process grow without somebody having said how far.
 *
 * @module
 */

const ENCODER = new TextEncoder();
/** Up to here a loop copies faster than a call that needs a view or an encoder, bytes. */
const COPY_LIMIT = 128;

/** Thrown when an append would pass the limit; the content stays as it was. */
export class ByteLimitError extends Error {
  override name = "ByteLimitError";
  readonly limit: number;
  constructor(limit: number) {
    super(`Cannot append to byte buffer: limit of ${limit} bytes reached`);
    this.limit = limit;
  }
}

/** Collects bytes up to `limit`; grows by doubling and never shrinks. */
export class ByteBuilder {
  #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;
  readonly limit: number;

  /**
   * @param limit most bytes that it may ever hold
   * @param initial bytes to allocate at once (default 256, at most `limit`)
   */
  constructor(limit: number, initial = 256) {
    if (!Number.isSafeInteger(limit) || limit < 0) {
      throw new RangeError(`Cannot limit a byte buffer to ${limit}`);
    }
    this.limit = limit;
    this.#bytes = new Uint8Array(Math.min(initial, limit));
  }

  /** Bytes held. */
  get length(): number {
    return this.#length;
  }

  /** Bytes that it has allocated. */
  get capacity(): number {
    return this.#bytes.length;
  }

  /** Bytes that may still be appended. */
  get room(): number {
    return this.limit - this.#length;
  }

  /** Appends one byte (0 to 255). */
  byte(value: number): this {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
    return this;
  }

  /** Appends bytes. */
  bytes(value: Uint8Array): this {
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  /** Appends `value` from `start` up to `end`. */
  slice(value: Uint8Array, start: number, end: number): this {
    const count = end - start;
    // A view is an object of its own: for a line of text it costs more than the copy.
    if (count > COPY_LIMIT) return this.bytes(value.subarray(start, end));
    this.#reserve(count);
    const bytes = this.#bytes;
    let to = this.#length;
    for (let i = start; i < end; i++) bytes[to++] = value[i]!;
    this.#length = to;
    return this;
  }

  /** Appends a string that has ASCII characters only, one byte each; false, and nothing appended, when it has others. */
  ascii(value: string): boolean {
    const count = value.length;
    this.#reserve(count);
    const bytes = this.#bytes;
    const start = this.#length;
    for (let i = 0; i < count; i++) {
      const unit = value.charCodeAt(i);
      if (unit > 0x7f) return false;
      bytes[start + i] = unit;
    }
    this.#length = start + count;
    return true;
  }

  /** Appends a string as UTF-8; lone surrogates that `decodeText` made become the bytes they stand for. */
  text(value: string): this {
    if (value.length <= COPY_LIMIT && this.ascii(value)) return this;
    // Every UTF-16 unit is at most three bytes of UTF-8.
    if (!value.isWellFormed()) return this.bytes(encodeText(value));
    const most = value.length * 3;
    if (this.#length + most <= this.limit) {
      this.#reserve(most);
      this.#length += ENCODER.encodeInto(value, this.#bytes.subarray(this.#length)).written;
      return this;
    }
    return this.bytes(ENCODER.encode(value));
  }

  /** Overwrites bytes that are already there, from `offset` on. */
  patch(offset: number, value: Uint8Array): this {
    if (offset < 0 || offset + value.length > this.#length) {
      throw new RangeError(`Cannot patch ${value.length} bytes at ${offset}: buffer has ${this.#length}`);
    }
    this.#bytes.set(value, offset);
    return this;
  }

  /** Makes room for `count` bytes and returns where they go: the caller fills `[start, start + count)` of `raw()`. */
  claim(count: number): number {
    this.#reserve(count);
    const start = this.#length;
    this.#length += count;
    return start;
  }

  /** The backing store, valid until the next append; for filling what `claim` returned. */
  raw(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }

  /** The content without a copy, valid until the next append or clear. */
  view(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  /** A copy of the content. */
  copy(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  /** Cuts the content to its first `length` bytes. */
  truncate(length: number): this {
    if (length < this.#length) this.#length = Math.max(0, length);
    return this;
  }

  /** Drops the content and keeps the allocation. */
  clear(): this {
    this.#length = 0;
    return this;
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    if (needed > this.limit) throw new ByteLimitError(this.limit);
    const grown = new Uint8Array(Math.min(this.limit, Math.max(needed, this.#bytes.length * 2)));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

/** UTF-8 bytes of a string; a lone surrogate U+DC80 to U+DCFF, as made by `decodeText`, becomes its one byte. */
export function encodeText(value: string): Uint8Array<ArrayBuffer> {
  if (value.isWellFormed()) return ENCODER.encode(value);
  const out = new Uint8Array(value.length * 3);
  let length = 0;
  for (let i = 0; i < value.length; i++) {
    const unit = value.charCodeAt(i);
    if (unit >= 0xdc80 && unit <= 0xdcff) {
      out[length++] = unit - 0xdc00;
    } else if (unit >= 0xd800 && unit <= 0xdbff && i + 1 < value.length) {
      length += ENCODER.encodeInto(value.slice(i, i + 2), out.subarray(length)).written;
      i++;
    } else {
      length += ENCODER.encodeInto(value[i]!, out.subarray(length)).written;
    }
  }
  return out.slice(0, length);
}

// ignoreBOM keeps a leading U+FEFF in the text: without it the decoder would eat bytes that a peer sent.
const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Text of bytes, without loss: valid UTF-8 as it is, each byte that is not part of valid UTF-8 as a lone
 * surrogate U+DC80 to U+DCFF, which `encodeText` turns back. So an envelope address of a foreign queue file
 * survives a round trip whatever it holds.
 */
export function decodeText(bytes: Uint8Array): string {
  try {
    return STRICT.decode(bytes);
  } catch {
    return decodeEscaped(bytes);
  }
}

/** True when the bytes are valid UTF-8. */
export function isUtf8(bytes: Uint8Array): boolean {
  try {
    STRICT.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

function decodeEscaped(bytes: Uint8Array): string {
  let out = "";
  let i = 0;
  while (i < bytes.length) {
    const first = bytes[i]!;
    const width = first < 0x80
      ? 1
      : first < 0xc2
      ? 0
      : first < 0xe0
      ? 2
      : first < 0xf0
      ? 3
      : first < 0xf5
      ? 4
      : 0;
    const piece = bytes.subarray(i, i + width);
    if (width > 0 && piece.length === width && isUtf8(piece)) {
      out += STRICT.decode(piece);
      i += width;
    } else {
      out += String.fromCharCode(0xdc00 + first);
      i++;
    }
  }
  return out;
}
