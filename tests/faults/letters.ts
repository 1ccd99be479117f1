/**
 * Numbered messages, and the copies of them that arrive. Every attempt to send one has a number of its own, so that a
 * copy tells which transaction it came from. Not a test itself.
 *
 * @module
 */
import type { Letter } from "../support/smtp_driver.ts";

export const MAILBOXES = 8;
export const SENDER = "sender@example.test";
/** Text of a message that is too long for the journal, bytes. */
const LARGE = 200_000;

/** What a report says that was asked for again after its log had been used and removed. */
const WITHOUT_NAMES = "--- Delivery report unavailable ---";
/** Whose copy such a report is: nobody's, so that it stands for no other. */
export const NAMELESS = "(report without names)";

/** One attempt to send one message. */
export interface Attempted {
  readonly number: number;
  readonly attempt: number;
}

/** A copy that arrived somewhere. */
export interface Copy extends Attempted {
  /** Whose copy it is; of a report, whom it is about. */
  readonly recipient: string;
  readonly queueId: string;
  /** Milliseconds since 1970. */
  readonly time: number;
  /** Its text is as it was sent. */
  readonly whole: boolean;
  /** Its beginning. */
  readonly start: string;
}

/** Recipients of a message: most go to one mailbox, some elsewhere, some to several. */
export function recipientsOf(number: number): string[] {
  const box = (shift: number) => `box${(number + shift) % MAILBOXES}@example.test`;
  const bounces = `number${number}@elsewhere.test`;
  const remote = `number${number}@remote.test`;
  if (number % 25 === 0) return [bounces];
  if (number % 20 === 16) return [box(0), bounces, remote];
  if (number % 10 === 3) return [box(0), box(1)];
  if (number % 10 === 7) return [remote];
  return [box(0)];
}

/** The message as a client sends it. */
export function letterOf({ number, attempt }: Attempted): Letter {
  const text = `From: ${SENDER}\nTo: you@example.test\nSubject: number ${number} attempt ${attempt}\n\n${
    bodyOf(number)
  }`;
  return { from: SENDER, to: recipientsOf(number), content: text.replaceAll("\n", "\r\n") };
}

function bodyOf(number: number): string {
  const words = `${number} `;
  const line = number % 100 === 11 ? `${words.repeat(10)}\n` : "";
  const filling = line === "" ? words.repeat(number % 150) : line.repeat(LARGE / line.length);
  return `number ${number}\n${filling}\nend of ${number}\n`;
}

/** Reads a copy: one that was delivered, or the report about it. */
export function readCopy(text: string, recipient: string, time: number): Copy {
  if (text.includes(WITHOUT_NAMES)) recipient = NAMELESS;
  const [, number, attempt] = /^Subject: number (\d+) attempt (\d+)$/m.exec(text) ?? [];
  if (number === undefined) throw new Error(`Cannot tell whose copy this is:\n${text.slice(0, 2000)}`);
  const about = /^Final-Recipient: rfc822; *(\S+)$/m.exec(text)?.[1];
  const original = about === undefined ? undefined : /^X-Post(?:fix|ern)-Queue-ID: (\w+)$/m.exec(text)?.[1];
  const body = `\n\n${bodyOf(Number(number))}`;
  return {
    number: Number(number),
    attempt: Number(attempt),
    recipient: about ?? recipient,
    queueId: original ?? /\bid ([0-9A-Za-z]+)\b/.exec(text)?.[1] ?? "",
    time,
    whole: about === undefined && recipient !== NAMELESS
      ? text.endsWith(body)
      : text.includes(body) || Number(number) % 100 === 11,
    start: text.slice(0, 3000),
  };
}
