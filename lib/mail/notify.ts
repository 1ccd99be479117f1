/**
 * What a sender wants to be told of a recipient, and what he wants back.
 *
 * @module
 */
import { asciiLower } from "../vstring/ascii.ts";

/** RFC 3461 section 4.1: the NOTIFY values, as bits in Postfix's numbering, which queue files hold. */
export const NOTIFY = { NEVER: 1, SUCCESS: 2, FAILURE: 4, DELAY: 8 } as const;

/** All bits. */
export const NOTIFY_MOST = 15;

/** RET: what of the message the sender wants back, RFC 3461 section 4.3. */
export const RET = { FULL: 1, HEADERS: 2 } as const;

const NOTIFY_WORDS: ReadonlyMap<string, number> = new Map([
  ["never", NOTIFY.NEVER],
  ["success", NOTIFY.SUCCESS],
  ["failure", NOTIFY.FAILURE],
  ["delay", NOTIFY.DELAY],
]);

const RET_WORDS: ReadonlyMap<string, number> = new Map([["full", RET.FULL], ["hdrs", RET.HEADERS]]);

/** The bits of words of a NOTIFY value; undefined when it is none. */
export function parseNotify(words: readonly string[]): number | undefined {
  let bits = 0;
  for (const word of words) {
    const bit = NOTIFY_WORDS.get(asciiLower(word));
    if (bit === undefined) return undefined;
    bits |= bit;
  }
  // RFC 3461 section 4.1: NEVER stands alone.
  const never = (bits & NOTIFY.NEVER) !== 0;
  return bits === 0 || (never && bits !== NOTIFY.NEVER) ? undefined : bits;
}

/** The number of a RET value; undefined when it is none. */
export function parseRet(word: string): number | undefined {
  return RET_WORDS.get(asciiLower(word));
}

/** The NOTIFY of what an alias expands to, once the alias itself has been reported as expanded. */
export function withoutSuccess(notify: number): number {
  // RFC 3461 section 5.2.7.1: members of an alias get no SUCCESS; without this, 0 would ask for the usual reports.
  return notify === NOTIFY.SUCCESS ? NOTIFY.NEVER : notify & ~NOTIFY.SUCCESS;
}
