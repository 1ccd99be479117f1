/**
 * What became of one delivery to a mailbox, and how the system's errors map to it (Postfix: mbox_dsn).
 *
 * @module
 */
import { describe, isSandboxRefusal, SystemError } from "../safe/error.ts";

/** One delivery's result. `status` is an enhanced status code, `reason` one line for the log and the report. */
export interface MailboxOutcome {
  readonly result: "sent" | "bounced" | "deferred";
  readonly status: string;
  readonly reason: string;
}

/** The status of errors that the table below does not name. Temporary for virtual mailboxes, final for local ones. */
export const OTHER_MAILBOX_ERROR = "5.2.0";

/** Thrown by a mailbox writer for what it found itself: a lock that is held, a mailbox that is a link. */
export class MailboxError extends Error {
  override name = "MailboxError";
  /** Enhanced status code: 4.x.x defers, 5.x.x bounces. */
  readonly status: string;
  constructor(status: string, why: string) {
    super(why);
    this.status = status;
  }
}

/**
 * Status codes of system errors. Postfix names EAGAIN, ESTALE, ENOSPC, EDQUOT and EFBIG; the trouble that says
 * nothing about the mailbox but everything about the machine is deferred as well, as it may pass; so is a directory
 * that is not there, which may be a home that is not mounted.
 */
const STATUS_OF_CODE: ReadonlyMap<string, string> = new Map([
  ["EAGAIN", "4.2.0"],
  ["ESTALE", "4.2.0"],
  ["ENOENT", "4.2.0"],
  ["ENOSPC", "4.3.0"],
  ["EDQUOT", "5.2.2"],
  ["EFBIG", "5.2.2"],
  ["EIO", "4.3.0"],
  ["EROFS", "4.3.0"],
  ["EMFILE", "4.3.0"],
  ["ENFILE", "4.3.0"],
  ["ENOMEM", "4.3.0"],
  ["ENOLCK", "4.3.0"],
  ["EBUSY", "4.3.0"],
  // A folder of a Maildir on a file system of its own: the mailbox is set up wrong, the mail is not.
  ["EXDEV", "4.2.0"],
  ["EINTR", "4.3.0"],
  ["ETIMEDOUT", "4.3.0"],
]);

/** Maps what a mailbox writer threw to an outcome; an error that nobody planned for is deferred. */
export function failedDelivery(error: unknown): MailboxOutcome {
  if (error instanceof MailboxError) return outcomeOf(error.status, error.message);
  if (error instanceof SystemError) {
    // A permission that the sandbox does not grant says that we are wrong, not the mailbox.
    const status = isSandboxRefusal(error) ? "4.3.5" : STATUS_OF_CODE.get(error.code) ?? OTHER_MAILBOX_ERROR;
    return outcomeOf(status, error.message);
  }
  return outcomeOf("4.3.0", describe(error));
}

/** The outcome that a status code stands for. */
export function outcomeOf(status: string, reason: string): MailboxOutcome {
  const result = status.startsWith("2") ? "sent" : status.startsWith("5") ? "bounced" : "deferred";
  return { result, status, reason };
}
