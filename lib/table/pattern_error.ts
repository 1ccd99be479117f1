/**
 * The exception of the two halves of the pattern translator.
 *
 * @module
 */

/** Why a pattern was refused; the caller says where it stands. */
export class PatternError extends Error {
  override name = "PatternError";
}
