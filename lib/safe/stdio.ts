/**
 * The three descriptors that every process has, and its own identity. In a daemon: 0 is the configuration and
 * control words from master, 1 the status channel to master, 2 the log.
 *
 * @module
 */
import { decodeText, encodeText } from "../vstring/byte_builder.ts";

/** Longest line that a process takes from its standard input as configuration or control, bytes. */
export const INPUT_LINE_LIMIT = 16 * 1024 * 1024;

/** The lines of standard input. Ends at end-of-file. */
export async function* inputLines(): AsyncGenerator<string> {
  yield* linesOf(Deno.stdin.readable);
}

/** Cuts a byte stream into lines without their LF; throws when one is longer than `INPUT_LINE_LIMIT`. */
export async function* linesOf(stream: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let pieces: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
      pieces.push(chunk.subarray(start, end));
      yield decodeText(join(pieces, length + end - start));
      pieces = [];
      length = 0;
      start = end + 1;
    }
    if (start < chunk.length) {
      pieces.push(chunk.slice(start));
      length += chunk.length - start;
      if (length > INPUT_LINE_LIMIT) throw new Error("Cannot read line: it is too long");
    }
  }
  if (length > 0) yield decodeText(join(pieces, length));
}

function join(pieces: readonly Uint8Array[], length: number): Uint8Array {
  if (pieces.length === 1) return pieces[0]!;
  const out = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

/** All of standard input as chunks. */
export function inputChunks(): AsyncIterable<Uint8Array> {
  return Deno.stdin.readable;
}

/** Writes all of the bytes to standard output; false when nobody reads it any more. */
export function writeOutput(bytes: Uint8Array): boolean {
  return writeAll(Deno.stdout, bytes);
}

/** Writes text to standard output. */
export function writeOutputText(text: string): boolean {
  return writeAll(Deno.stdout, encodeText(text));
}

/** Writes all of the bytes to standard error; false when it cannot be written, as nobody can be told. */
export function writeError(bytes: Uint8Array): boolean {
  return writeAll(Deno.stderr, bytes);
}

function writeAll(target: { writeSync(bytes: Uint8Array): number }, bytes: Uint8Array): boolean {
  let done = 0;
  while (done < bytes.length) {
    try {
      done += target.writeSync(bytes.subarray(done));
    } catch (error) {
      if (error instanceof Deno.errors.Interrupted || error instanceof Deno.errors.WouldBlock) continue;
      return false;
    }
  }
  return true;
}

/** True when standard output is a terminal. */
export function outputIsTerminal(): boolean {
  return Deno.stdout.isTerminal();
}

/** This process's number. */
export function processId(): number {
  return Deno.pid;
}

/** Ends the process. */
export function exitProcess(status: number): never {
  Deno.exit(status);
}

/** Calls `handle` for an error that nobody caught, in place of the runtime's own report. */
export function onUncaughtError(handle: (error: unknown) => void): void {
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    handle(event.error);
  });
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    handle(event.reason);
  });
}

/** Calls `handle` when the signal arrives. Needs no permission for these signals. */
export function onSignal(
  name: "SIGHUP" | "SIGINT" | "SIGTERM" | "SIGUSR1" | "SIGCHLD",
  handle: () => void,
): void {
  Deno.addSignalListener(name, handle);
}

/** Blocks the process for some milliseconds: only for one that is about to end. */
export function blockFor(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
