/**
 * The transcript of a session in which something went wrong that the postmaster wants to know (notify_classes).
 * Where no class of such errors is asked for there is no transcript at all.
 */
// Utility
import { startsWithIgnoreCase } from "../../lib/vstring/ascii.ts";
import { decodeText, encodeText } from "../../lib/vstring/byte_builder.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Internal protocols
import type { CleanupClient } from "../../lib/proto/cleanup_client.ts";
import { noticeLines, sendNotice, transcriptLine } from "../../lib/proto/error_notice.ts";
// Access
import type { ReplyText } from "../../lib/access/reply.ts";
// This program
import type { SmtpdSettings } from "./smtpd_settings.ts";

/** Classes of notify_classes that a session can fall into. */
const CLASSES = ["data", "policy", "protocol", "resource", "software"] as const;
/** Kind of an error. */
export type ErrorClass = typeof CLASSES[number];

/** Replies by their beginning, the first that fits: what kind of error they tell of. */
const REPLY_CLASSES: readonly (readonly [beginning: string, kind: ErrorClass])[] = [
  ["451 4.3.0 Error: internal error", "software"],
  ["451 4.3.0", "resource"],
  ["452 4.3.1", "resource"],
  ["421 4.3.2", "resource"],
  ["552 5.3.4 Error", "data"],
  ["554 5.4.0", "data"],
  ["500", "protocol"],
  ["501", "protocol"],
  ["503", "protocol"],
  ["555", "protocol"],
  ["554 5.5.", "protocol"],
  ["4", "policy"],
  ["5", "policy"],
];

/** Most lines that are kept of a session, whatever smtpd_history_flush_threshold says, and bytes of each. */
const LINE_COUNT_LIMIT = 10_000;
const LINE_LIMIT = 1024;
/** What stands for a command that holds a password. */
const SECRET = encodeText("AUTH [secret]");

/** The kind of error that a refusal tells of. */
export function classOf(reply: ReplyText): ErrorClass {
  return REPLY_CLASSES.find(([beginning]) => reply.startsWith(beginning))?.[1] ?? "policy";
}

/** True when the postmaster wants to know of some kind of error that a session can have. */
export function wantsTranscripts(notifyClasses: readonly string[]): boolean {
  return CLASSES.some((kind) => notifyClasses.includes(kind));
}

/** What was said in one session. */
export class Transcript {
  readonly #settings: SmtpdSettings;
  #lines: (string | Uint8Array)[] = [];
  readonly #errors = new Set<ErrorClass>();

  constructor(settings: SmtpdSettings) {
    this.#settings = settings;
  }

  /** The client sent a command line. */
  heard(line: Uint8Array): void {
    // The input's buffer is used again: the line is copied. A password is nothing to send by mail.
    this.#put(startsWithIgnoreCase(line, "auth ") ? SECRET : line.slice(0, LINE_LIMIT));
  }

  /** The server answers; a refusal is an error of its kind. */
  said(reply: ReplyText): void {
    this.#put(reply);
    if (reply.startsWith("4") || reply.startsWith("5")) this.#errors.add(classOf(reply));
  }

  #put(line: string | Uint8Array): void {
    if (this.#lines.length < LINE_COUNT_LIMIT) this.#lines.push(line);
  }

  /** A message was accepted: what went wrong before it is forgiven, and a long history is dropped. */
  accepted(): void {
    this.#errors.clear();
    this.flush();
  }

  /** Drops a long history (smtpd_history_flush_threshold): a client that stays for days must not fill the memory. */
  flush(): void {
    if (this.#lines.length > this.#settings.smtpd_history_flush_threshold) this.#lines = [];
  }

  /** True when the postmaster wants to know of something that happened. */
  get wanted(): boolean {
    return this.#errors.size > 0 &&
      this.#errors.values().some((kind) => this.#settings.notify_classes.includes(kind));
  }

  /** The lines of the message about the session; `reason` is why it was aborted, or empty. */
  messageLines(client: string, queueId: string, reason: string, time: number): string[] {
    const body = [
      "Transcript of session follows.",
      "",
      ...this.#lines.flatMap(transcriptLines),
      "",
      ...(reason === "" ? [] : [`Session aborted, reason: ${reason}`]),
    ];
    return noticeLines(this.#settings, queueId, `SMTP server: errors from ${printable(client)}`, body, time);
  }

  /** Mails the transcript to the postmaster; gives what went wrong, or undefined. */
  async send(cleanup: CleanupClient, client: string, reason: string): Promise<string | undefined> {
    const lines = (queueId: string, time: number) => this.messageLines(client, queueId, reason, time);
    return await sendNotice(cleanup, this.#settings, lines);
  }
}

/** One command or reply as lines of the transcript. */
function transcriptLines(line: string | Uint8Array): string[] {
  if (typeof line !== "string") return transcriptLine(`In:  ${printable(decodeText(line), LINE_LIMIT)}`);
  return line.split("\r\n").flatMap((one) => transcriptLine(`Out: ${printable(one, LINE_LIMIT)}`));
}
