/**
 * Whether a recipient is accepted: where it leads, what the restriction lists say, whether it exists. smtpd asks this at
 * RCPT, and `postern check` before anything is started.
 *
 * @module
 */
// Internal protocols
import type { Resolved, RewriteClient } from "../proto/rewrite_client.ts";
// Access
import type { AccessSettings, Question, Rule, Ruling, Services } from "./policy.ts";
import { checkRecipientExists } from "./recipient.ts";
import { lookupFailure, type ReplyText } from "./reply.ts";
import { type ListParameter, RestrictionList } from "./restrictions.ts";

/** A recipient that is no address. */
const BAD_RECIPIENT: ReplyText = "501 5.1.3 Bad recipient address syntax";

/** The lists that a recipient meets. */
export interface RecipientLists {
  /** What refuses recipients that do not exist where no list does. */
  readonly unlisted: Rule;
  /** On client, HELO and sender. */
  readonly early: readonly RestrictionList[];
  /** On the recipient: those against relaying and the others, in the order that the settings say. */
  readonly destination: readonly RestrictionList[];
}

/** Makes the lists. */
export function recipientLists(services: Services): RecipientLists {
  const { settings } = services;
  const list = (parameter: ListParameter & keyof AccessSettings) =>
    new RestrictionList(services, parameter, settings[parameter]);
  const early = [
    list("smtpd_client_restrictions"),
    list("smtpd_helo_restrictions"),
    list("smtpd_sender_restrictions"),
  ];
  const destination = [list("smtpd_relay_restrictions"), list("smtpd_recipient_restrictions")];
  const parameter = "smtpd_reject_unlisted_recipient";
  return {
    unlisted: { text: parameter, parameter, place: services.origin(parameter) },
    early,
    destination: settings.smtpd_relay_before_recipient_restrictions ? destination : destination.reverse(),
  };
}

/**
 * Where a recipient leads, or the reply when nobody can tell now.
 *
 * @param local the client is one whose addresses are completed with our domain
 */
export async function resolveRecipient(
  rewrite: Pick<RewriteClient, "resolve" | "rewriteInternal">,
  local: boolean,
  sender: string,
  recipient: string,
): Promise<Resolved | ReplyText> {
  const full = await rewrite.rewriteInternal(local ? "local" : "remote", recipient);
  if (full.kind === "retry") return lookupFailure(recipient);
  // What the remote context left without a domain is delivered as the local one completes it.
  const complete = await rewrite.rewriteInternal("local", full.address);
  if (complete.kind === "retry") return lookupFailure(recipient);
  const resolved = await rewrite.resolve(sender, complete.address);
  return resolved.kind === "retry" ? lookupFailure(recipient) : resolved;
}

/**
 * What refuses a recipient, if something does.
 *
 * @param recipient as the client sent it
 */
export async function checkRecipient(
  services: Services,
  lists: RecipientLists,
  question: Question,
  recipient: string,
  resolved: Resolved,
): Promise<Ruling> {
  for (const list of [...lists.early, ...lists.destination]) {
    const refusal = await list.evaluate(question);
    if (refusal !== undefined) return refusal;
  }
  if (resolved.bad) return { reply: BAD_RECIPIENT };
  const { smtpd_reject_unlisted_recipient, receive_override_options } = services.settings;
  const unchecked = receive_override_options.includes("no_unknown_recipient_checks");
  if (!smtpd_reject_unlisted_recipient || unchecked) return undefined;
  const verdict = await checkRecipientExists(services, recipient, resolved);
  const reply = verdict.kind === "reject" ? verdict.reply : undefined;
  const rule = lists.unlisted;
  question.trace?.({ rule, outcome: verdict.kind, ...(reply === undefined ? {} : { reply }) });
  return reply === undefined ? undefined : { reply, rule };
}
