/**
 * The per-message logs below bounce/, defer/ and trace/: one record of text lines for each recipient, in Postfix's
 * format (postfix-map section 10.1), so that its tools read ours and we read its.
 *
 * A record is an empty line, for old readers a line `<recipient>: reason`, then `name=value` lines, then an empty
 * line. A record is torn when a writer died in it: the reader gives what is left of it and says that the log is
 * damaged, as a recipient that nobody is told about would be lost.
 *
 * @module
 */
import { type ByteBuilder, decodeText } from "../vstring/byte_builder.ts";
import { LF, parseDecimal } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
import { quoteAddress, unquoteAddress } from "./address.ts";
import type { ReadAt } from "./record.ts";

/** One recipient's outcome. Addresses are in internal form. */
export interface BounceRecord {
  readonly recipient: string;
  /** Recipient before aliasing; empty when it is the same or unknown. */
  readonly originalRecipient: string;
  /** ORCPT, as `rfc822;user@example.com`. */
  readonly dsnOriginalRecipient: string;
  /** Offset of the recipient's record in the queue file, 0 when unknown. */
  readonly offset: number;
  /** NOTIFY bits, 0 when the sender asked for nothing. */
  readonly notify: number;
  readonly status: string;
  readonly action: string;
  readonly diagnosticType: string;
  readonly diagnosticText: string;
  /** `dns` when there is a remote MTA. */
  readonly remoteMtaType: string;
  readonly remoteMta: string;
  readonly reason: string;
}

/** What the reader fills in where a record does not say. */
export interface BounceDefaults {
  readonly status: string;
  readonly action: string;
}

/** Longest text of one value that is written, UTF-16 units. */
const VALUE_LIMIT = 4096;
/** Longest line that is read, bytes; the rest of a longer one is skipped and the log called damaged. */
export const BOUNCE_LINE_LIMIT = 32768;
/** Most bytes of one record as `appendBounceRecord` writes it. */
export const BOUNCE_RECORD_LIMIT = 65536;

/** Largest NOTIFY value: all four bits. */
const NOTIFY_MOST = 15;
const NULL_RECIPIENT = "<>";
const REASON_UNAVAILABLE = "(error report unavailable)";

/**
 * Appends one record.
 *
 * @param compatible also write the line that Postfix before 2.0 reads (backwards_bounce_logfile_compatibility)
 */
export function appendBounceRecord(out: ByteBuilder, record: BounceRecord, compatible: boolean): void {
  const recipient = oneLine(quoteAddress(record.recipient));
  const reason = printable(record.reason, VALUE_LIMIT);
  out.byte(LF);
  if (compatible) out.text(`<${recipient}>: ${reason}\n`);
  appendLine(out, "recipient", recipient === "" ? NULL_RECIPIENT : recipient);
  if (record.originalRecipient !== "" && record.originalRecipient !== record.recipient) {
    appendLine(out, "original_recipient", oneLine(quoteAddress(record.originalRecipient)));
  }
  if (record.offset > 0) appendLine(out, "offset", String(record.offset));
  appendOptional(out, "dsn_orig_rcpt", oneLine(record.dsnOriginalRecipient));
  if (record.notify !== 0) appendLine(out, "notify_flags", String(record.notify));
  appendOptional(out, "status", printable(record.status));
  appendOptional(out, "action", printable(record.action));
  if (record.diagnosticType !== "" && record.diagnosticText !== "") {
    appendLine(out, "diag_type", printable(record.diagnosticType));
    appendLine(out, "diag_text", printable(record.diagnosticText, VALUE_LIMIT));
  }
  if (record.remoteMta !== "") {
    appendLine(out, "mta_type", printable(record.remoteMtaType === "" ? "dns" : record.remoteMtaType));
    appendLine(out, "mta_mname", printable(record.remoteMta));
  }
  appendOptional(out, "reason", reason);
  out.byte(LF);
}

function appendLine(out: ByteBuilder, name: string, value: string): void {
  out.text(`${name}=${value}\n`);
}

function appendOptional(out: ByteBuilder, name: string, value: string): void {
  if (value !== "") appendLine(out, name, value);
}

/** The text with control characters replaced: a line end in an address would forge the rest of the record. */
function oneLine(text: string): string {
  for (let i = 0; i < text.length; i++) {
    if (isControl(text.charCodeAt(i))) return replaceControls(text);
  }
  return text;
}

function replaceControls(text: string): string {
  let out = "";
  for (let i = 0; i < text.length; i++) out += isControl(text.charCodeAt(i)) ? "?" : text[i];
  return out;
}

function isControl(unit: number): boolean {
  return unit < 0x20 || unit === 0x7f;
}

/** A record under construction; `named` once a `recipient=` line was seen. */
type Draft = { -readonly [K in keyof BounceRecord]?: BounceRecord[K] } & { named?: true };

/** Reads a log record by record, in bounded memory. */
export class BounceLogReader {
  readonly #lines: LineReader;
  readonly #defaults: BounceDefaults;
  #draft: Draft | undefined;
  /** True once something was found that is no whole record. */
  damaged = false;

  constructor(readAt: ReadAt, defaults: BounceDefaults) {
    this.#lines = new LineReader(readAt);
    this.#defaults = defaults;
  }

  /** The next record, or undefined at the end of the log. */
  next(): BounceRecord | undefined {
    for (;;) {
      const line = this.#lines.next();
      if (this.#lines.damaged) this.damaged = true;
      if (line === undefined || line === "") {
        const whole = line !== undefined;
        const record = this.#finish(whole);
        if (record !== undefined) return record;
        if (!whole) return undefined;
        continue;
      }
      const torn = this.#begins(line) ? this.#finish(false) : undefined;
      this.#take(line);
      if (torn !== undefined) return torn;
    }
  }

  /** True when the line can only be the first of another record: the one before lacks its end. */
  #begins(line: string): boolean {
    const draft = this.#draft;
    if (draft === undefined) return false;
    if (line.startsWith("<")) return true;
    return line.startsWith("recipient=") && draft.named === true;
  }

  #take(line: string): void {
    this.#draft ??= {};
    if (line.startsWith("<")) return this.#takeCompatible(line);
    const equals = line.indexOf("=");
    const name = line.slice(0, Math.max(0, equals));
    const take = TAKE.get(name);
    if (take !== undefined) take(this.#draft, line.slice(equals + 1));
    else if (equals <= 0) this.damaged = true;
  }

  /** `<recipient>: reason`: all that there is in the oldest logs, and overridden by what follows in the others. */
  #takeCompatible(line: string): void {
    const end = endOfAngle(line);
    if (end < 0 || !line.startsWith(": ", end)) {
      this.damaged = true;
      return;
    }
    this.#draft!.recipient = unquoteAddress(line.slice(1, end - 1));
    this.#draft!.reason = line.slice(end + 2);
  }

  #finish(whole: boolean): BounceRecord | undefined {
    const draft = this.#draft;
    this.#draft = undefined;
    if (draft === undefined) return undefined;
    if (!whole || draft.recipient === undefined || draft.reason === undefined) this.damaged = true;
    if (draft.recipient === undefined) return undefined;
    return {
      recipient: draft.recipient,
      originalRecipient: draft.originalRecipient ?? "",
      dsnOriginalRecipient: draft.dsnOriginalRecipient ?? "",
      offset: draft.offset ?? 0,
      notify: draft.notify ?? 0,
      status: draft.status ?? this.#defaults.status,
      action: draft.action ?? this.#defaults.action,
      diagnosticType: draft.diagnosticType ?? "",
      diagnosticText: draft.diagnosticText ?? "",
      remoteMtaType: draft.remoteMtaType ?? "",
      remoteMta: draft.remoteMta ?? "",
      reason: draft.reason ?? REASON_UNAVAILABLE,
    };
  }
}

/** What each name in a record sets. */
const TAKE: ReadonlyMap<string, (draft: Draft, value: string) => void> = new Map<
  string,
  (draft: Draft, value: string) => void
>([
  ["recipient", (draft, value) => {
    draft.recipient = value === NULL_RECIPIENT ? "" : unquoteAddress(value);
    draft.named = true;
  }],
  ["original_recipient", (draft, value) => draft.originalRecipient = unquoteAddress(value)],
  ["offset", (draft, value) => draft.offset = parseDecimal(value) ?? 0],
  ["dsn_orig_rcpt", (draft, value) => draft.dsnOriginalRecipient = value],
  ["notify_flags", (draft, value) => draft.notify = parseDecimal(value, NOTIFY_MOST) ?? 0],
  ["status", (draft, value) => draft.status = value],
  ["action", (draft, value) => draft.action = value],
  ["diag_type", (draft, value) => draft.diagnosticType = value],
  ["diag_text", (draft, value) => draft.diagnosticText = value],
  ["mta_type", (draft, value) => draft.remoteMtaType = value],
  ["mta_mname", (draft, value) => draft.remoteMta = value],
  ["reason", (draft, value) => draft.reason = value],
]);

/** Offset behind the `>` that closes an address in angle brackets, quotes heeded; -1 when it does not close. */
function endOfAngle(line: string): number {
  let quoted = false;
  for (let i = 1; i < line.length; i++) {
    const character = line[i];
    if (character === "\\") i++;
    else if (character === '"') quoted = !quoted;
    else if (character === ">" && !quoted) return i + 1;
  }
  return -1;
}

/** Bytes read at once. */
const WINDOW = 8192;

/** Lines of a file in bounded memory. */
class LineReader {
  readonly #readAt: ReadAt;
  readonly #buffer = new Uint8Array(WINDOW);
  #offset = 0;
  #filled = 0;
  #position = 0;
  /** True once a line was too long, held a NUL byte, or the file ended in a line. */
  damaged = false;

  constructor(readAt: ReadAt) {
    this.#readAt = readAt;
  }

  /** The next line without its LF, or undefined at the end. */
  next(): string | undefined {
    let line = new Uint8Array(0);
    for (;;) {
      if (this.#position === this.#filled && !this.#fill()) {
        if (line.length === 0) return undefined;
        this.damaged = true;
        return this.#text(line);
      }
      const rest = this.#buffer.subarray(this.#position, this.#filled);
      const end = rest.indexOf(LF);
      const piece = end < 0 ? rest : rest.subarray(0, end);
      line = this.#extend(line, piece);
      this.#position += end < 0 ? rest.length : end + 1;
      if (end >= 0) return this.#text(line);
    }
  }

  #extend(line: Uint8Array<ArrayBuffer>, piece: Uint8Array): Uint8Array<ArrayBuffer> {
    const room = BOUNCE_LINE_LIMIT - line.length;
    if (piece.length > room) this.damaged = true;
    const taken = piece.subarray(0, Math.max(0, room));
    const joined = new Uint8Array(line.length + taken.length);
    joined.set(line);
    joined.set(taken, line.length);
    return joined;
  }

  #text(line: Uint8Array): string {
    // A crash of the system may leave a hole of NUL bytes where a write never reached the disk.
    if (line.includes(0)) this.damaged = true;
    return decodeText(line);
  }

  #fill(): boolean {
    this.#filled = this.#readAt(this.#buffer, this.#offset);
    this.#offset += this.#filled;
    this.#position = 0;
    return this.#filled > 0;
  }
}
