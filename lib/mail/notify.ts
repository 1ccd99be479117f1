/**
 * What a sender wants to be told of a recipient.
 *
 * @module
 */

/** RFC 3461 section 4.1: the NOTIFY values, as bits in Postfix's numbering, which queue files hold. */
export const NOTIFY = { NEVER: 1, SUCCESS: 2, FAILURE: 4, DELAY: 8 } as const;

/** All bits. */
export const NOTIFY_MOST = 15;
