/**
 * Exit statuses that callers of sendmail know, from sysexits(3).
 *
 * @module
 */

/** Exit statuses by their names in sysexits.h. */
export const EX = {
  OK: 0,
  /** The command line is wrong. */
  USAGE: 64,
  /** The message is wrong. */
  DATAERR: 65,
  /** The user who runs the command is unknown. */
  NOUSER: 67,
  /** The message cannot be taken, now or later. */
  UNAVAILABLE: 69,
  /** A fault of ours. */
  SOFTWARE: 70,
  /** Try again later. */
  TEMPFAIL: 75,
  /** Not allowed. */
  NOPERM: 77,
} as const;
