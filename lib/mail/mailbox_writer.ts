/**
 * What the two mailbox formats have in common: a mailbox takes deliveries, a delivery takes text and becomes part of
 * the mailbox whole or not at all.
 *
 * @module
 */

/** One mailbox. Deliveries may overlap; a format that cannot interleave them makes `begin` wait. */
export interface Mailbox {
  /**
   * Prepares for one message.
   *
   * @param sender envelope sender; empty for the null sender
   * @throws MailboxError, SystemError when the mailbox cannot take mail now
   */
  begin(sender: string): Promise<MailboxDelivery>;
}

/** One message on its way into a mailbox. Exactly one of `finish` and `abort` ends it. */
export interface MailboxDelivery {
  /** Takes the next piece of text, LF line ends. */
  write(content: Uint8Array): void;
  /** Makes the message visible and waits until it is on the disk. When it throws, nothing of the message stays. */
  finish(): Promise<void>;
  /** Takes back what was written. */
  abort(): void;
}

/** Things about the place that a format needs. */
export interface MailboxPlace {
  /** Absolute path: of the file (mbox), or of the directory without a final slash (maildir). */
  readonly path: string;
  /** Most bytes: of the file (mbox), of one message (maildir); 0 for no limit. */
  readonly sizeLimit: number;
  /** Told of trouble that did not stop a delivery. */
  readonly warn: (text: string) => void;
}
