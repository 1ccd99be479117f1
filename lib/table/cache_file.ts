/**
 * A cache in a file: all of it is in memory, and what changes is appended. A line is `key TAB expires TAB value`; the last
 * line of a key counts. A line that is cut off or makes no sense is passed over: a cache is no record. When the file has
 * more old lines than new ones it is written anew.
 *
 * @module
 */
// Safe primitives
import { openOwn, removeFile, replaceFile, safeCreate, type SafeFile } from "../safe/file.ts";
// Utility
import { LF, parseDecimal } from "../vstring/ascii.ts";
import { decodeText, encodeText } from "../vstring/byte_builder.ts";

/** Entries; past that those go first that were put first. */
export const CACHE_ENTRY_LIMIT = 200_000;
/** A file that is larger is none of ours, bytes. */
const FILE_LIMIT = 256 * 1024 * 1024;
/** Bytes that are read at once, and the longest line. */
const READ_SIZE = 1024 * 1024;
const LINE_LIMIT = 16_384;
/** Lines beyond the entries that are not worth a new file. */
const SPARE_LINES = 1000;
const MODE = 0o600;

interface Entry {
  readonly value: string;
  /** Seconds since 1970. */
  readonly expires: number;
}

/** An open cache; one process at a time has it. */
export class CacheFile implements Disposable {
  readonly #path: string;
  readonly #entries: Map<string, Entry>;
  #file: SafeFile;
  /** Lines in the file, and those that are still to be written. */
  #lines: number;
  #pending = "";

  private constructor(path: string, file: SafeFile, entries: Map<string, Entry>, lines: number) {
    this.#path = path;
    this.#file = file;
    this.#entries = entries;
    this.#lines = lines;
  }

  /**
   * Opens the cache, or makes it. A file that cannot be one is replaced.
   *
   * @param warn is told what is wrong with the file
   */
  static open(path: string, warn: (text: string) => void): CacheFile {
    const opened = openOwn(path, "write");
    if (opened.kind === "opened" && opened.file.size() <= FILE_LIMIT) {
      const entries = new Map<string, Entry>();
      const lines = readEntries(opened.file, entries);
      const size = opened.file.size();
      const last = new Uint8Array(1);
      if (size > 0) opened.file.read(last, size - 1);
      opened.file.seek(size);
      const cache = new CacheFile(path, opened.file, entries, lines);
      // What is appended must not become a part of a line that was cut off.
      if (size > 0 && last[0] !== LF) cache.#pending = "\n";
      return cache;
    }
    if (opened.kind === "opened") opened.file.close();
    if (opened.kind !== "missing") {
      warn(`cache ${path} is made anew: it ${opened.kind === "refused" ? opened.why : "is too large"}`);
      removeFile(path);
    }
    const made = safeCreate(path, MODE);
    if (made.kind === "exists") throw new Error(`Cannot open cache "${path}": somebody makes it too`);
    return new CacheFile(path, made.file, new Map(), 0);
  }

  /** Entries. */
  get size(): number {
    return this.#entries.size;
  }

  /** The value of a key, also when it has expired and was not cleaned up yet. */
  get(key: string): string | undefined {
    return this.#entries.get(key)?.value;
  }

  /** Keeps a value; keys and values with a TAB or a line end cannot be kept. */
  put(key: string, value: string, expires: number): void {
    if (!isPlain(key) || !isPlain(value)) return;
    this.#entries.delete(key);
    this.#entries.set(key, { value, expires });
    this.#pending += formatLine(key, { value, expires });
    this.#lines++;
    if (this.#entries.size <= CACHE_ENTRY_LIMIT) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      break;
    }
  }

  /** Writes what was put. */
  async flush(): Promise<void> {
    if (this.#lines > 2 * this.#entries.size + SPARE_LINES) return await this.#rewrite();
    const text = this.#pending;
    this.#pending = "";
    if (text !== "") this.#file.write(encodeText(text));
  }

  /** Forgets what has expired; tells how many entries stay and how many went. */
  async clean(now: number): Promise<{ readonly retained: number; readonly dropped: number }> {
    let dropped = 0;
    for (const [key, { expires }] of this.#entries) {
      if (expires > now) continue;
      this.#entries.delete(key);
      dropped++;
    }
    if (dropped > 0) await this.#rewrite();
    return { retained: this.#entries.size, dropped };
  }

  async #rewrite(): Promise<void> {
    this.#pending = "";
    const content = [...this.#entries].map(([key, entry]) => formatLine(key, entry)).join("");
    this.#lines = this.#entries.size;
    await replaceFile(this.#path, encodeText(content), MODE);
    const opened = openOwn(this.#path, "write");
    if (opened.kind !== "opened") throw new Error(`Cannot open cache "${this.#path}": it is ${opened.kind}`);
    this.#file.close();
    this.#file = opened.file;
    this.#file.seek(this.#file.size());
    await this.flush();
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

function formatLine(key: string, { value, expires }: Entry): string {
  return `${key}\t${expires}\t${value}\n`;
}

function isPlain(text: string): boolean {
  return text !== "" && !text.includes("\t") && !text.includes("\n");
}

/** Reads the lines of a file; returns how many there are. */
function readEntries(file: SafeFile, entries: Map<string, Entry>): number {
  const buffer = new Uint8Array(READ_SIZE + LINE_LIMIT);
  let kept = 0;
  let lines = 0;
  for (let offset = 0;;) {
    const count = file.read(buffer.subarray(kept, kept + READ_SIZE), offset);
    if (count === 0) return lines;
    offset += count;
    const length = kept + count;
    let start = 0;
    for (let end = buffer.indexOf(LF); end >= 0 && end < length; end = buffer.indexOf(LF, start)) {
      takeLine(decodeText(buffer.subarray(start, end)), entries);
      lines++;
      start = end + 1;
    }
    buffer.copyWithin(0, start, length);
    kept = length - start > LINE_LIMIT ? 0 : length - start;
    buffer.fill(0, kept);
  }
}

function takeLine(line: string, entries: Map<string, Entry>): void {
  const [key, time, value, ...more] = line.split("\t");
  const expires = parseDecimal(time ?? "");
  if (!key || expires === undefined || !value || more.length > 0) return;
  entries.delete(key);
  if (entries.size < CACHE_ENTRY_LIMIT) entries.set(key, { value, expires });
}
