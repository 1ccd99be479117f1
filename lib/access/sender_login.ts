/**
 * Who may use a sender address: smtpd_sender_login_maps names its owners.
 */
// Utility
import { equalsIgnoreCase, splitBlanks } from "../vstring/ascii.ts";
// Access
import { DUNNO, type Question, reject, type Services, type Verdict } from "./policy.ts";
import { lookupFailure, refusal, shown } from "./reply.ts";

/** The owners of the sender's address; undefined when it has none. */
async function ownersOf(
  services: Services,
  sender: string,
): Promise<readonly string[] | undefined | Verdict> {
  const resolved = await services.rewrite.resolve("", sender);
  if (resolved.kind === "retry") return reject(lookupFailure(sender));
  const found = await services.maps.find("smtpd_sender_login_maps", "address", resolved.recipient);
  if (found.kind === "retry") return reject(lookupFailure(sender));
  return found.kind === "found" ? splitBlanks(found.value, true) : undefined;
}

function mismatch(text: string): Verdict {
  return reject(refusal(553, "5.7.1", text));
}

function isVerdict(value: readonly string[] | undefined | Verdict): value is Verdict {
  return value !== undefined && "kind" in value;
}

/**
 * A client that has logged in must own the sender.
 *
 * @param knownOnly says nothing of senders that nobody owns
 */
export async function rejectLoggedIn(services: Services, q: Question, knownOnly: boolean): Promise<Verdict> {
  if (!q.sender || q.sasl === undefined) return DUNNO;
  const { username } = q.sasl;
  const owners = await ownersOf(services, q.sender);
  if (isVerdict(owners)) return owners;
  const owned = owners === undefined ? knownOnly : owners.some((one) => equalsIgnoreCase(one, username));
  if (owned) return DUNNO;
  return mismatch(`<${shown(q.sender)}>: Sender address rejected: not owned by user ${shown(username)}`);
}

/** A client that has not logged in must not use a sender that somebody owns. */
export async function rejectNotLoggedIn(services: Services, q: Question): Promise<Verdict> {
  // Where nobody can log in, nobody is blamed for it.
  if (!q.sender || q.sasl !== undefined || !services.settings.smtpd_sasl_auth_enable) return DUNNO;
  const owners = await ownersOf(services, q.sender);
  if (isVerdict(owners)) return owners;
  return owners === undefined
    ? DUNNO
    : mismatch(`<${shown(q.sender)}>: Sender address rejected: not logged in`);
}
