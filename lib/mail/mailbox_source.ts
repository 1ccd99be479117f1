/**
 * A message in the queue as final delivery reads it: the text for a mailbox, and who it was delivered to before.
 *
 * Permissions needed: read on the queue's active directory.
 *
 * @module
 */
import { asciiLower, startsWithIgnoreCase } from "../vstring/ascii.ts";
import { openOwn, type SafeFile } from "../safe/file.ts";
import { unquoteAddress } from "./address.ts";
import { headerNameLength, isContinuation, unfoldText } from "./header.ts";
import { type DeliveryHeaders, MailboxText, type TextForm } from "./mailbox_text.ts";
import { ContentReader } from "./queue_file.ts";

const DELIVERED_TO = "delivered-to";
/** Most Delivered-To headers that are remembered; a message is stopped by its Received headers long before. */
const DELIVERED_TO_LIMIT = 1000;
/** Bytes that a message is read in at once: all of a small one, with room for the heads of its records. */
const LARGEST_WINDOW = 65536;
const LEAST_WINDOW = 2048;

/** An open queue file. */
export class MessageSource implements Disposable {
  readonly #file: SafeFile;
  readonly #dataOffset: number;
  readonly #window: number;
  readonly #deliveredTo: ReadonlySet<string>;

  /**
   * Opens a queue file and reads its header.
   *
   * @param dataOffset offset of its content segment
   * @param dataSize about how many bytes of content it has: a hint, to read small messages into small buffers
   * @throws Error when it is missing or no plain file of one link, or has no content where it should be
   */
  constructor(path: string, dataOffset: number, dataSize: number = LARGEST_WINDOW) {
    const opened = openOwn(path, "read");
    if (opened.kind !== "opened") {
      throw new Error(
        `Cannot open queue file "${path}": ${opened.kind === "missing" ? "no such file" : opened.why}`,
      );
    }
    this.#file = opened.file;
    this.#dataOffset = dataOffset;
    this.#window = Math.min(LARGEST_WINDOW, Math.max(LEAST_WINDOW, 2 * dataSize));
    try {
      this.#deliveredTo = readDeliveredTo(this.content());
    } catch (error) {
      this.#file.close();
      throw error;
    }
  }

  /** Reads the content from its start; many may read at once. */
  content(): ContentReader {
    return new ContentReader(
      (buffer, offset) => this.#file.read(buffer, offset),
      this.#dataOffset,
      this.#window,
    );
  }

  /** The message as it goes into a mailbox or to a program. */
  text(headers: DeliveryHeaders, form?: TextForm): MailboxText {
    return new MailboxText(headers, this.content(), form);
  }

  /** True when a Delivered-To header names the address (internal form, letters folded). */
  wasDeliveredTo(address: string): boolean {
    return this.#deliveredTo.has(asciiLower(address));
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** The addresses of the Delivered-To headers, internal form, letters folded. */
export function readDeliveredTo(content: ContentReader): ReadonlySet<string> {
  const found = new Set<string>();
  let lineStarts = true;
  while (found.size < DELIVERED_TO_LIMIT && content.next()) {
    const { data } = content;
    if (lineStarts && !isContinuation(data)) {
      const nameLength = headerNameLength(data, 0, data.length);
      // The first line that is no header ends the section.
      if (nameLength === 0) break;
      if (nameLength === DELIVERED_TO.length && startsWithIgnoreCase(data, DELIVERED_TO)) {
        const value = unfoldText(data.subarray(data.indexOf(0x3a) + 1));
        found.add(asciiLower(unquoteAddress(value)));
      }
    }
    lineStarts = content.endsLine;
  }
  return found;
}
