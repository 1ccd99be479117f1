/**
 * Fields that tell what became of a recipient, and of which message. They stand apart from protocols.ts for its length
 * only.
 *
 * @module
 */
import { choice, flag, integer, text } from "../ipc/protocol.ts";
import { NOTIFY_MOST } from "../mail/notify.ts";

/** Longest envelope address that any daemon handles, bytes. RFC 5321 section 4.5.3.1 asks for 254; SMTPUTF8 and quoting get room. */
export const ADDRESS_LIMIT = 1024;
/** Longest queue id, bytes (Postfix: VALID_HOSTNAME_LEN). */
export const QUEUE_ID_LIMIT = 255;
/** Longest free text (a reason, a reply), bytes. */
export const REASON_LIMIT = 4096;

/** One recipient's outcome, as a delivery agent reports it and bounce, defer and trace record it. */
export const OUTCOME = {
  /** Delivered, relayed or expanded; bounced; to be tried again. */
  result: choice("sent", "bounced", "deferred"),
  /** Enhanced status code, RFC 3463. */
  status: text(16),
  /** DSN action (RFC 3464 section 2.3.3): delivered, relayed, expanded, failed, delayed. */
  action: text(16),
  /** Human-readable, one line. */
  reason: text(REASON_LIMIT),
  /** RFC 3464 Diagnostic-Code: `smtp`, `x-unix` or empty, and its text. */
  diagnosticType: text(32),
  diagnosticText: text(REASON_LIMIT),
  /** Name of the system that answered, or empty. */
  remoteMta: text(255),
} as const;

/** A recipient's outcome with what is known of the recipient. */
export const LOGGED_RECIPIENT = {
  offset: integer(),
  recipient: text(ADDRESS_LIMIT),
  originalRecipient: text(ADDRESS_LIMIT),
  dsnOriginalRecipient: text(ADDRESS_LIMIT),
  notify: integer(NOTIFY_MOST),
  ...OUTCOME,
} as const;

/** The message that a report is about; `sender` is to have the report. */
export const REPORTED_MESSAGE = {
  queueName: text(100),
  queueId: text(QUEUE_ID_LIMIT),
  encoding: choice("", "7bit", "8bit"),
  smtputf8: flag(),
  sender: text(ADDRESS_LIMIT),
  envelopeId: text(256),
  ret: integer(3),
} as const;
