/**
 * What smtpd's restrictions have decided about a message as a whole: where it goes instead, that it is put on hold or
 * thrown away.
 */
// Utility
import { parseDecimal } from "../../lib/vstring/ascii.ts";
// Mail
import { RECORD } from "../../lib/mail/record.ts";
// Internal protocols
import { CLEANUP_FLAG, CLEANUP_STATUS } from "../../lib/proto/protocols.ts";
// This program
import type { MessageState } from "./cleanup_state.ts";

/** Flags that a client may set in a message. */
const FLAGS: readonly number[] = [CLEANUP_FLAG.HOLD, CLEANUP_FLAG.DISCARD];

/** Takes a record of the kind FILTER, REDIRECT or FLAGS. */
export function takeDecision(state: MessageState, type: number, text: string): undefined {
  const flag = parseDecimal(text, 0xffff) ?? 0;
  if (hasControl(text) || (type === RECORD.FLAGS && !FLAGS.includes(flag))) {
    return state.fail(CLEANUP_STATUS.BAD, "malformed decision about the message");
  }
  if (type === RECORD.FILTER) state.filter = text;
  else if (type === RECORD.REDIRECT) state.redirect = text;
  else state.flags |= flag;
  return undefined;
}

function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x20 || unit === 0x7f) return true;
  }
  return text === "";
}
