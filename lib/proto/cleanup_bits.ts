/**
 * The bits of the cleanup protocol: what is wanted of cleanup, and what it says.
 *
 * @module
 */

/** What a client of cleanup wants done to its message. */
export const CLEANUP_FLAG = {
  BOUNCE: 1, // cleanup itself returns the message on a content error
  FILTER: 2, // header and body checks
  HOLD: 4,
  DISCARD: 8,
  BCC: 16,
  MAP: 32, // canonical, virtual alias, masquerade
  MILTER: 64,
  SMTPUTF8: 128,
  AUTOUTF8: 256, // mail that needs SMTPUTF8 is found out
  SMTP_REPLY: 512, // the client has milters of its own, and takes a whole SMTP reply as the reason
  REQUIRETLS: 1024, // the sender asked for REQUIRETLS
} as const;

/** Mail from outside the mail system. */
export const CLEANUP_EXTERNAL = CLEANUP_FLAG.FILTER | CLEANUP_FLAG.MILTER | CLEANUP_FLAG.BCC |
  CLEANUP_FLAG.MAP;
/** Mail that the mail system makes itself: bounces, forwarded mail, probes. */
export const CLEANUP_INTERNAL = CLEANUP_FLAG.MAP;

/** The header that tells of REQUIRETLS where a message goes through a filter (requiretls_esmtp_header). */
export const REQUIRE_TLS_HEADER = "Require-TLS-ESMTP: yes";

/** What cleanup says of a message; 0 is success. Postfix's CLEANUP_STAT bits. */
export const CLEANUP_STATUS = {
  OK: 0,
  BAD: 1, // internal protocol error
  WRITE: 2, // queue file write error
  SIZE: 4, // message too big
  CONTENT: 8, // content rejected
  HOPS: 16, // too many hops
  RECIPIENT: 64, // no recipients
  PROXY: 128,
  DEFER: 512, // temporary failure
  NOPERM: 1024,
} as const;
