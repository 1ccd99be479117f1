/**
 * A message from a file, as a filter is told it, and the body that the filter may give back.
 *
 * @module
 */
// Utility
import { COLON, CR, isBlank, LF } from "../lib/vstring/ascii.ts";
import { ByteBuilder } from "../lib/vstring/byte_builder.ts";
// Mail
import { headerNameLength } from "../lib/mail/header.ts";
// Wire protocols
import { BODY_CHUNK } from "../lib/milter/milter_codec.ts";
import type { MilterSource } from "../lib/milter/milter_content.ts";

/** Longest new body, bytes. */
const BODY_LIMIT = 256 * 1024 * 1024;

/** A message whose lines end in LF or CR LF. */
export class FilterInput implements MilterSource {
  readonly #headers: { readonly name: Uint8Array; readonly value: Uint8Array }[] = [];
  readonly #body: Uint8Array;
  #made: ByteBuilder | undefined;

  constructor(message: Uint8Array) {
    let at = 0;
    let field: Uint8Array[] = [];
    const put = () => {
      if (field.length > 0) this.#headers.push(split(joined(field, new Uint8Array([LF]))));
      field = [];
    };
    for (;;) {
      const line = lineAt(message, at);
      const folded = field.length > 0 && line.bytes.length > 0 && isBlank(line.bytes[0]!);
      if (!folded && headerNameLength(line.bytes, 0, line.bytes.length) === 0) {
        if (line.bytes.length === 0) at = line.next;
        break;
      }
      if (!folded) put();
      field.push(line.bytes);
      at = line.next;
    }
    put();
    const lines: Uint8Array[] = [];
    for (let from = at; from < message.length;) {
      const line = lineAt(message, from);
      lines.push(line.bytes);
      from = line.next;
    }
    const end = new Uint8Array([CR, LF]);
    this.#body = joined([...lines, ...(lines.length > 0 ? [new Uint8Array(0)] : [])], end);
  }

  // deno-lint-ignore require-await
  async *headers(): AsyncGenerator<{ name: Uint8Array; value: Uint8Array }> {
    yield* this.#headers;
  }

  // deno-lint-ignore require-await
  async *body(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < this.#body.length; at += BODY_CHUNK) yield this.#body.subarray(at, at + BODY_CHUNK);
  }

  replaceBody(piece: Uint8Array): void {
    this.#made ??= new ByteBuilder(BODY_LIMIT);
    this.#made.bytes(piece);
  }

  /** The body that the filter has sent; undefined when it has sent none. */
  get newBody(): Uint8Array | undefined {
    return this.#made?.view();
  }
}

function lineAt(bytes: Uint8Array, from: number): { readonly bytes: Uint8Array; readonly next: number } {
  const lf = bytes.indexOf(LF, from);
  const end = lf < 0 ? bytes.length : lf;
  const text = bytes.subarray(from, end > from && bytes[end - 1] === CR ? end - 1 : end);
  return { bytes: text, next: lf < 0 ? bytes.length : lf + 1 };
}

function split(field: Uint8Array): { name: Uint8Array; value: Uint8Array } {
  const colon = field.indexOf(COLON);
  let end = colon;
  while (end > 0 && isBlank(field[end - 1]!)) end--;
  return { name: field.subarray(0, end), value: field.subarray(colon + 1) };
}

function joined(parts: readonly Uint8Array[], between: Uint8Array): Uint8Array {
  const size = parts.reduce((sum, part) => sum + part.length + between.length, 0);
  const all = new ByteBuilder(Math.max(1, size), Math.max(1, size));
  parts.forEach((part, index) => {
    if (index > 0) all.bytes(between);
    all.bytes(part);
  });
  return all.view();
}
