/**
 * The file operations of a run, read from what strace(1) wrote down of it: `-f -y -xx`.
 *
 * @module
 */
// Utility
import { decodeText, encodeText } from "../lib/vstring/byte_builder.ts";
// This program
import type { Operation } from "./crash_disk.ts";

/** The system calls that are asked for. */
export const TRACED_CALLS =
  "openat,write,writev,pwrite64,lseek,ftruncate,fsync,fdatasync,rename,renameat,renameat2," +
  "link,linkat,unlink,unlinkat,mkdir,mkdirat,chmod,fchmod,fchmodat,sendto";

/** What stands before the queue id in the server's answer (Postfix's words). */
const QUEUED = "250 2.0.0 Ok: queued as ";

/** An open descriptor, as far as it is known. */
interface Position {
  offset: number;
  readonly appends: boolean;
}

/** Reads a trace line by line. */
export class TraceReader {
  readonly operations: Operation[];
  readonly #directories: readonly string[];
  readonly #files = new Map<string, number>();
  readonly #sizes = new Map<number, number>();
  readonly #positions = new Map<string, Position>();
  readonly #unfinished = new Map<string, string>();
  #next = 1;

  /**
   * @param directories what is below them is followed, by absolute path
   * @param operations what has been done before
   */
  constructor(directories: readonly string[], operations: readonly Operation[]) {
    this.#directories = directories;
    this.operations = [...operations];
  }

  /** Takes one line. */
  take(line: string): void {
    const space = line.indexOf(" ");
    const thread = line.slice(0, space);
    let text = line.slice(space).trim();
    if (text.endsWith("<unfinished ...>")) {
      this.#unfinished.set(thread, text.slice(0, -"<unfinished ...>".length));
      return;
    }
    if (text.startsWith("<...")) {
      text = (this.#unfinished.get(thread) ?? "") + text.slice(text.indexOf("resumed>") + "resumed>".length);
      this.#unfinished.delete(thread);
    }
    const open = text.indexOf("(");
    const end = text.lastIndexOf(" = ");
    if (open < 0 || end < 0 || text.startsWith("-", end + 3)) return;
    this.#call(text.slice(0, open), text.slice(open + 1, text.lastIndexOf(")", end)), text.slice(end + 3));
  }

  #call(name: string, rest: string, result: string): void {
    const strings = quoted(rest);
    const paths = strings.map(decodeText);
    const [first = "", second = ""] = paths;
    switch (name) {
      case "openat":
        return this.#opened(first, rest, result);
      case "write":
      case "writev":
      case "pwrite64":
        return this.#written(name, rest, strings, parseInt(result));
      case "lseek": {
        const position = this.#positions.get(descriptorOf(rest));
        if (position !== undefined) position.offset = parseInt(result);
        return;
      }
      case "ftruncate":
        return this.#changed(pathOf(rest), (file) => {
          const size = parseInt(rest.slice(rest.lastIndexOf(",") + 1));
          this.#sizes.set(file, size);
          return { kind: "truncate", file, size };
        });
      case "fsync":
      case "fdatasync": {
        const path = pathOf(rest);
        if (!this.#follows(path)) return;
        const file = this.#files.get(path);
        this.operations.push(file === undefined ? { kind: "syncDirectory", path } : { kind: "sync", file });
        return;
      }
      case "sendto":
        return this.#told(first);
      case "chmod":
      case "fchmod":
      case "fchmodat":
        return this.#changed(
          first === "" ? pathOf(rest) : first,
          (file) => ({ kind: "mode", file, mode: octal(rest) }),
        );
      default:
        return this.#named(name, rest, first, second);
    }
  }

  #named(name: string, rest: string, first: string, second: string): void {
    if (!this.#follows(first)) return;
    const file = this.#files.get(first);
    if (name.startsWith("mkdir")) this.operations.push({ kind: "directory", path: first, mode: octal(rest) });
    else if (name.startsWith("unlink")) {
      this.#files.delete(first);
      this.operations.push({ kind: "remove", path: first });
    } else {
      const kind = name.startsWith("link") ? "link" : "rename";
      if (kind === "rename") this.#files.delete(first);
      if (file !== undefined) this.#files.set(second, file);
      this.operations.push({ kind, from: first, to: second });
    }
  }

  #opened(path: string, rest: string, result: string): void {
    if (!this.#follows(path)) return;
    if (rest.includes("O_CREAT") && !this.#files.has(path)) {
      const file = this.#next++;
      this.#files.set(path, file);
      this.#sizes.set(file, 0);
      this.operations.push({ kind: "create", path, file, mode: octal(rest) });
    }
    this.#positions.set(descriptorOf(result), { offset: 0, appends: rest.includes("O_APPEND") });
  }

  #written(name: string, rest: string, strings: readonly Uint8Array[], count: number): void {
    const file = this.#files.get(pathOf(rest));
    if (file === undefined) return;
    const bytes = joined(strings).subarray(0, count);
    const position = this.#positions.get(descriptorOf(rest)) ?? { offset: 0, appends: false };
    const size = this.#sizes.get(file) ?? 0;
    const placed = name === "pwrite64" ? parseInt(rest.slice(rest.lastIndexOf(",") + 1)) : position.offset;
    const offset = position.appends ? size : placed;
    this.#sizes.set(file, Math.max(size, offset + bytes.length));
    if (name !== "pwrite64") position.offset = offset + bytes.length;
    this.operations.push({ kind: "write", file, offset, bytes });
  }

  #changed(path: string, make: (file: number) => Operation): void {
    const file = this.#files.get(path);
    if (file !== undefined) this.operations.push(make(file));
  }

  /** A client is told that its message is taken. */
  #told(text: string): void {
    for (let at = text.indexOf(QUEUED); at >= 0; at = text.indexOf(QUEUED, at + 1)) {
      this.operations.push({ kind: "note", text: text.slice(at + QUEUED.length, text.indexOf("\r", at)) });
    }
  }

  #follows(path: string): boolean {
    return this.#directories.some((directory) => path === directory || path.startsWith(`${directory}/`));
  }
}

/** The bytes of each quoted argument. */
function quoted(text: string): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (let at = text.indexOf('"'); at >= 0;) {
    const end = text.indexOf('"', at + 1);
    found.push(unescaped(text.slice(at + 1, end)));
    at = text.indexOf('"', end + 1);
  }
  return found;
}

/** The bytes that strace writes as `\x41\x42`. */
function unescaped(text: string): Uint8Array {
  if (!text.startsWith("\\x")) return encodeText(text);
  return Uint8Array.from(
    { length: text.length / 4 },
    (_, i) => parseInt(text.slice(i * 4 + 2, i * 4 + 4), 16),
  );
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

/** `5</path>` of a text that begins with it: number and path, as the same number is used again. */
function descriptorOf(text: string): string {
  return text.slice(0, text.indexOf(">") + 1);
}

/** The path of the descriptor with which the arguments begin. */
function pathOf(text: string): string {
  return decodeText(unescaped(text.slice(text.indexOf("<") + 1, text.indexOf(">"))));
}

/** The last number of the arguments, in octal digits. */
function octal(text: string): number {
  return parseInt(text.slice(text.lastIndexOf(",") + 1).trim(), 8);
}
