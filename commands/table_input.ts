/**
 * Standard input of postmap and postalias, line by line.
 *
 * @module
 */
// Utility
import { ByteBuilder, ByteLimitError } from "../lib/vstring/byte_builder.ts";
import { LF } from "../lib/vstring/ascii.ts";
// This program
import { CommandError } from "./command.ts";

/** Longest key on standard input, bytes. */
const KEY_LIMIT = 65536;

/** The lines of standard input without their line ends; each is a view that is valid until the next. */
export async function* inputLineBytes(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const line = new ByteBuilder(KEY_LIMIT);
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, start)) {
      append(line, chunk.subarray(start, end));
      yield line.view();
      line.clear();
      start = end + 1;
    }
    append(line, chunk.subarray(start));
  }
  if (line.length > 0) yield line.view();
}

function append(line: ByteBuilder, bytes: Uint8Array): void {
  try {
    line.bytes(bytes);
  } catch (error) {
    if (error instanceof ByteLimitError) {
      throw new CommandError(`fatal: a key is longer than ${KEY_LIMIT} bytes`);
    }
    throw error;
  }
}
