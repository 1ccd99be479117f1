/**
 * The cache on the disk: a line for each change, and now and then a new file with a line for each address. A line that is
 * cut is left out; one that is lost costs a probe, so nobody waits for the disk.
 */
// Safe primitives
import { SystemError } from "../../lib/safe/error.ts";
import { openOwn, readTextFile, replaceFile, safeCreate, type SafeFile } from "../../lib/safe/file.ts";
// Utility
import type { Logger } from "../../lib/log/log.ts";
import { encodeText } from "../../lib/vstring/byte_builder.ts";
// This program
import type { Known } from "./verify_cache.ts";

/** Longest file that is read, bytes; it is written anew long before that. */
const FILE_LIMIT = 256 * 1024 * 1024;
/** Lines behind those of a new file that make another worth its while. */
const SLACK = 10_000;
const MODE = 0o600;
const STATUSES: readonly unknown[] = ["ok", "undeliverable", "deferred", "unknown"];

/** One line: an address with what is known, or with nothing when it was forgotten. */
export function formatEntry(address: string, known: Known | undefined): string {
  const values = known === undefined ? [] : [known.status, known.probed, known.updated, known.text];
  return `${JSON.stringify([address, ...values])}\n`;
}

/** Reads a line; undefined when it is none. */
export function parseEntry(line: string): readonly [string, Known | undefined] | undefined {
  let values: unknown;
  try {
    values = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!Array.isArray(values) || typeof values[0] !== "string") return undefined;
  const [address, status, probed, updated, text] = values;
  if (values.length === 1) return [address, undefined];
  const good = values.length === 5 && STATUSES.includes(status) && typeof text === "string" &&
    Number.isSafeInteger(probed) && Number.isSafeInteger(updated);
  return good ? [address, { status, probed, updated, text }] : undefined;
}

/** The file. */
export class VerifyJournal {
  readonly #path: string;
  readonly #log: Pick<Logger, "warning">;
  #file: SafeFile | undefined;
  #pending: string[] = [];
  /** Lines in the file beyond one for each address. */
  #lines = 0;

  constructor(path: string, log: Pick<Logger, "warning">) {
    this.#path = path;
    this.#log = log;
  }

  /** Gives each line of the file. */
  read(take: (address: string, known: Known | undefined) => void): void {
    let text: string;
    try {
      text = readTextFile(this.#path, FILE_LIMIT);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      if (openOwn(this.#path, "read").kind !== "missing") this.#log.warning(error.message);
      return;
    }
    for (const line of text.split("\n")) {
      const entry = line === "" ? undefined : parseEntry(line);
      if (entry !== undefined) take(...entry);
    }
    this.#lines = SLACK;
  }

  /** Notes a change; it is written with the next `write`. */
  note(address: string, known: Known | undefined): void {
    this.#pending.push(formatEntry(address, known));
  }

  /** Writes what was noted; a disk that is full or broken costs what is remembered and nothing else. */
  async write(entries: () => Iterable<readonly [string, Known]>): Promise<void> {
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
      this.#close();
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

  /** One line for each address, in a new file in the old one's place. */
  async #renew(entries: Iterable<readonly [string, Known]>): Promise<void> {
    this.#lines = 0;
    this.#close();
    const text = Array.from(entries, ([address, known]) => formatEntry(address, known)).join("");
    await replaceFile(this.#path, encodeText(text), MODE);
  }

  #close(): void {
    this.#file?.close();
    this.#file = undefined;
  }
}
