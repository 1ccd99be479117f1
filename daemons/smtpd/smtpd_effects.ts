/**
 * What restrictions want done to a message, as records for cleanup.
 */
// Utility
import type { ByteBuilder } from "../../lib/vstring/byte_builder.ts";
// Mail
import { NOTIFY } from "../../lib/mail/notify.ts";
import { appendAttribute } from "../../lib/mail/queue_file.ts";
import { appendRecord, RECORD } from "../../lib/mail/record.ts";
// Internal protocols
import { CLEANUP_FLAG } from "../../lib/proto/protocols.ts";
// Access
import type { Effect } from "../../lib/access/policy.ts";

/** Puts the effects into the envelope, or behind the content; headers that are put in front are none of these. */
export function appendEffects(out: ByteBuilder, effects: readonly Effect[]): void {
  for (const effect of effects) appendEffect(out, effect);
}

function appendEffect(out: ByteBuilder, effect: Effect): void {
  switch (effect.kind) {
    case "bcc":
      // The sender knows nothing of it and hears nothing of it.
      appendAttribute(out, "notify_flags", String(NOTIFY.NEVER));
      return appendRecord(out, RECORD.RECIPIENT, effect.text);
    case "filter":
      return appendRecord(out, RECORD.FILTER, effect.text);
    case "redirect":
      return appendRecord(out, RECORD.REDIRECT, effect.text);
    case "discard":
      return appendRecord(out, RECORD.FLAGS, String(CLEANUP_FLAG.DISCARD));
    case "hold":
      return appendRecord(out, RECORD.FLAGS, String(CLEANUP_FLAG.HOLD));
    case "prepend":
      return;
    default:
      effect satisfies never;
  }
}

/** The headers that go in front of the message, in the order of the rules. */
export function prependedLines(effects: readonly Effect[]): string[] {
  return effects.flatMap((effect) => effect.kind === "prepend" ? [effect.text] : []);
}
