/**
 * What a daemon remembers, on the disk: a line for each change, and now and then a new file with a line for each entry. A
 * line that is cut is left out; one that is lost costs what it said, so nobody waits for the disk.
 *
 * Permissions needed: read and write on the file and its directory.
 *
 * @module
 */
// Safe primitives
import { SystemError } from "../safe/error.ts";
import { openOwn, replaceFile, safeCreate, type SafeFile } from "../safe/file.ts";
// Utility
import type { Logger } from "../log/log.ts";
import { decodeText, encodeText } from "../vstring/byte_builder.ts";

/** Longest file that is read, bytes; it is written anew long before that. */
const FILE_LIMIT = 256 * 1024 * 1024;
/** Lines behind those of a new file that make another worth its while. */
const SLACK = 10_000;
const MODE = 0o600;

/** How entries stand in the file: one line each; without a value the key was forgotten. */
export interface EntryFormat<Value> {
  format(key: string, value: Value | undefined): string;
  /** Undefined when the line is none. */
  parse(line: string): readonly [string, Value | undefined] | undefined;
}

/** A line of a key and its values, as JSON; without values the key was forgotten. */
export function formatLine(key: string, values: readonly (string | number)[]): string {
  return `${JSON.stringify([key, ...values])}\n`;
}

/** Reads a line of `formatLine`; undefined when it is none. The values are of any type. */
export function parseLine(line: string): readonly [key: string, ...values: unknown[]] | undefined {
  let parts: unknown;
  try {
    parts = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!Array.isArray(parts)) return undefined;
  const [key, ...values]: unknown[] = parts;
  return typeof key === "string" ? [key, ...values] : undefined;
}

/** True for a value of a line that is a whole number. */
export function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

/** The file. */
export class StateJournal<Value> {
  readonly #path: string;
  readonly #format: EntryFormat<Value>;
  readonly #log: Pick<Logger, "warning">;
  #file: SafeFile | undefined;
  #pending: string[] = [];
  /** Lines in the file beyond one for each entry. */
  #lines = 0;

  constructor(path: string, format: EntryFormat<Value>, log: Pick<Logger, "warning">) {
    this.#path = path;
    this.#format = format;
    this.#log = log;
  }

  /** Gives each line of the file. One that cannot be read is replaced with the next `write`, as a link is. */
  read(take: (key: string, value: Value | undefined) => void): void {
    this.#lines = SLACK;
    const text = this.#readText();
    for (const line of text.split("\n")) {
      const entry = line === "" ? undefined : this.#format.parse(line);
      if (entry !== undefined) take(...entry);
    }
  }

  #readText(): string {
    try {
      const opened = openOwn(this.#path, "read");
      if (opened.kind === "missing") return "";
      if (opened.kind === "refused") throw new SystemError("read", this.#path, new Error(`it ${opened.why}`));
      using file = opened.file;
      return decodeText(file.readAll(FILE_LIMIT));
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#log.warning(error.message);
      return "";
    }
  }

  /** Notes a change; it is written with the next `write`. */
  note(key: string, value: Value | undefined): void {
    this.#pending.push(this.#format.format(key, value));
  }

  /** Writes what was noted; a disk that is full or broken costs what is remembered and nothing else. */
  async write(entries: () => Iterable<readonly [string, Value]>): Promise<void> {
    if (this.#pending.length === 0) return;
    const lines = this.#pending;
    this.#pending = [];
    try {
      this.#lines += lines.length;
      if (this.#lines >= SLACK) return await this.#renew(entries());
      this.#append(encodeText(lines.join("")));
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#log.warning(`${error.message} -- what was learned is not kept`);
      this.close();
    }
  }

  #append(bytes: Uint8Array): void {
    const file = this.#file ??= this.#open();
    file.seek(file.size());
    file.write(bytes);
  }

  #open(): SafeFile {
    const opened = openOwn(this.#path, "write");
    if (opened.kind === "opened") return opened.file;
    const made = opened.kind === "missing" ? safeCreate(this.#path, MODE) : undefined;
    if (made?.kind === "created") return made.file;
    throw new SystemError(
      "open",
      this.#path,
      new Error(opened.kind === "refused" ? opened.why : "name is taken"),
    );
  }

  /** One line for each entry, in a new file in the old one's place. */
  async #renew(entries: Iterable<readonly [string, Value]>): Promise<void> {
    this.#lines = 0;
    this.close();
    const text = Array.from(entries, ([key, value]) => this.#format.format(key, value)).join("");
    await replaceFile(this.#path, encodeText(text), MODE);
  }

  /** Closes the file; what was noted and not written is lost. */
  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }
}
