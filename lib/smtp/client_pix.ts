/**
 * Cisco PIX firewalls with "fixup protocol smtp" hide the server's greeting behind asterisks, break ESMTP, and lose
 * the end of a message that is cut by a packet (smtp_pix_workarounds).
 *
 * @module
 */
import { asciiLower } from "../vstring/ascii.ts";
import type { ClientPolicy } from "./client_policy.ts";
import type { Reply } from "./reply.ts";

const WORKAROUNDS = ["disable_esmtp", "delay_dotcrlf"] as const;

/** Name of a work-around. */
export type PixWorkaround = typeof WORKAROUNDS[number];

/** True for a greeting of which a firewall has left nothing but "2", "0" and asterisks. */
export function isMasked(greeting: Reply): boolean {
  for (const char of greeting.text) if (!"20 *".includes(char)) return false;
  return true;
}

/**
 * The work-arounds that are used.
 *
 * @param words of the parameter or of the table; unknown ones are passed over
 * @param age how long the message has been in the queue, milliseconds: the delay is for mail that did not get through
 */
export function pixWorkarounds(
  words: readonly string[],
  age: number,
  { pix }: Pick<ClientPolicy, "pix">,
): PixWorkaround[] {
  const wanted = new Set(words.map(asciiLower));
  return WORKAROUNDS.filter((name) =>
    wanted.has(name) && (name !== "delay_dotcrlf" || age >= pix.thresholdMs)
  );
}
