/**
 * What was said in one conversation with a server, kept for the postmaster where notify_classes has "protocol"
 * (smtp_chat of Postfix).
 *
 * @module
 */
import { printable } from "../vstring/printable.ts";
import { transcriptLine } from "../proto/error_notice.ts";
import type { Reply } from "./reply.ts";

/** Most lines that are kept: a conversation about a list of a thousand recipients has more than twice as many. */
const LINE_COUNT_LIMIT = 5000;
/** Longest line, UTF-16 units. */
const LINE_LIMIT = 1024;

/** The lines of one conversation. */
export class ClientTranscript {
  readonly #lines: string[] = [];
  /** The server did what no server should. */
  misbehaved = false;

  /** A command went out, or will. */
  sent(line: string): void {
    this.#put(`Out: ${printable(line, LINE_LIMIT)}`);
  }

  /** A reply came in. */
  heard(reply: Reply): void {
    this.#put(`In:  ${printable(reply.text, LINE_LIMIT)}`);
    if (reply.noise !== undefined) this.misbehaved = true;
  }

  /** What the message to the postmaster says. */
  body(server: string): string[] {
    return [
      `Unexpected response from ${server}.`,
      "",
      "Transcript of session follows.",
      "",
      ...this.#lines.flatMap(transcriptLine),
    ];
  }

  #put(line: string): void {
    if (this.#lines.length < LINE_COUNT_LIMIT) this.#lines.push(line);
  }
}
