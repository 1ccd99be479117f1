/**
 * The sender of probes: address_verify_sender, which is ours, so that a system that probes it in turn gets a good answer.
 * It may have a part that changes with time (address_verify_sender_ttl), so that who puts it on a list of senders to be
 * refused refuses nobody for long.
 *
 * @module
 */
import { equalsIgnoreCase } from "../vstring/ascii.ts";

/** The parameters that make it. */
export interface VerifySenderRule {
  readonly address_verify_sender: string;
  /** Seconds; 0: the address has no such part. */
  readonly address_verify_sender_ttl: number;
  readonly myorigin: string;
}

/** Digits and consonants: the part is no word. */
const RADIX = 31;

/** The sender of probes at a time, milliseconds since 1970; empty for the null sender. */
export function verifySender(rule: VerifySenderRule, time: number): string {
  const { address_verify_sender: sender, address_verify_sender_ttl: ttl, myorigin } = rule;
  if (sender === "" || sender === "<>") return "";
  const at = sender.lastIndexOf("@");
  const local = at < 0 ? sender : sender.slice(0, at);
  const domain = at < 0 ? myorigin : sender.slice(at + 1);
  return `${local}${ttl === 0 ? "" : Math.floor(time / 1000 / ttl).toString(RADIX)}@${domain}`;
}

/** True for the sender of probes of now, and of a while ago: a probe may have been under way when it changed. */
export function isVerifySender(rule: VerifySenderRule, address: string, time: number): boolean {
  const ages = rule.address_verify_sender_ttl === 0 ? [0] : [0, rule.address_verify_sender_ttl * 1000];
  return address !== "" && ages.some((age) => equalsIgnoreCase(verifySender(rule, time - age), address));
}
