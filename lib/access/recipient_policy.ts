/**
 * Whether a client, a sender or a recipient is accepted: where the recipient leads, what the restriction lists say,
 * whether it exists. smtpd asks this, and `postern check` before anything is started.
 *
 * @module
 */
// Utility
import { equalsIgnoreCase } from "../vstring/ascii.ts";
// Mail
import { isVerifySender } from "../mail/verify_sender.ts";
// Internal protocols
import type { Resolved, RewriteClient } from "../proto/rewrite_client.ts";
// Access
import { type Question, type Rule, type Ruling, type Services, Standing, type Verdict } from "./policy.ts";
import { checkRecipientExists, checkSenderExists } from "./recipient.ts";
import { lookupFailure, type ReplyText } from "./reply.ts";
import { type ListParameter, RestrictionList } from "./restrictions.ts";

/** A recipient that is no address. */
const BAD_RECIPIENT: ReplyText = "501 5.1.3 Bad recipient address syntax";

/** The lists of an smtpd. */
export class AccessLists {
  readonly services: Services;
  readonly client: RestrictionList;
  readonly helo: RestrictionList;
  readonly sender: RestrictionList;
  readonly data: RestrictionList;
  readonly endOfData: RestrictionList;
  readonly etrn: RestrictionList;
  /** On the recipient: those against relaying and the others, in the order that the settings say. */
  readonly #destination: readonly RestrictionList[];
  /** What refuses senders and recipients that do not exist where no list does. */
  readonly #unlistedSender: Rule | undefined;
  readonly #unlistedRecipient: Rule | undefined;

  constructor(services: Services) {
    this.services = services;
    const { settings } = services;
    const list = (parameter: ListParameter) => new RestrictionList(services, parameter, settings[parameter]);
    this.client = list("smtpd_client_restrictions");
    this.helo = list("smtpd_helo_restrictions");
    this.sender = list("smtpd_sender_restrictions");
    this.data = list("smtpd_data_restrictions");
    this.endOfData = list("smtpd_end_of_data_restrictions");
    this.etrn = list("smtpd_etrn_restrictions");
    const destination = [list("smtpd_relay_restrictions"), list("smtpd_recipient_restrictions")];
    this.#destination = settings.smtpd_relay_before_recipient_restrictions
      ? destination
      : destination.reverse();
    const own = (parameter: "smtpd_reject_unlisted_recipient" | "smtpd_reject_unlisted_sender") =>
      settings[parameter] ? { text: parameter, parameter, place: services.origin(parameter) } : undefined;
    this.#unlistedSender = own("smtpd_reject_unlisted_sender");
    this.#unlistedRecipient = settings.receive_override_options.includes("no_unknown_recipient_checks")
      ? undefined
      : own("smtpd_reject_unlisted_recipient");
  }

  /** Nothing is asked of clients, HELO names and senders. */
  get earlyEmpty(): boolean {
    return this.client.empty && this.helo.empty && this.sender.empty && this.#unlistedSender === undefined;
  }

  /** What refuses the sender, if something does. */
  async checkSender(question: Question, standing: Standing): Promise<Ruling> {
    // Systems that we send probes to may probe their sender in turn.
    if (isVerifySender(this.services.settings, question.sender ?? "", Date.now())) return undefined;
    const refused = await this.sender.evaluate(question, standing);
    const rule = this.#unlistedSender;
    if (refused !== undefined || standing.discarded || rule === undefined) return refused;
    return asRuling(await checkSenderExists(this.services, question), rule, question);
  }

  /** What refuses the client, its HELO name or the sender, if something does. */
  async checkEarly(question: Question, standing: Standing): Promise<Ruling> {
    return await this.client.evaluate(question, standing) ?? await this.helo.evaluate(question, standing) ??
      await this.checkSender(question, standing);
  }

  /** What refuses the recipient, if something does. */
  async checkDestination(question: Question, resolved: Resolved, standing: Standing): Promise<Ruling> {
    for (const list of this.#destination) {
      const refused = await list.evaluate(question, standing);
      if (refused !== undefined) return refused;
    }
    // As in Postfix, what was to be delayed is delayed before anybody asks whether the recipient exists.
    if (standing.deferIfPermit !== undefined) return standing.deferIfPermit;
    if (resolved.bad) return { reply: BAD_RECIPIENT };
    const rule = this.#unlistedRecipient;
    if (rule !== undefined && !standing.discarded) {
      const verdict = await checkRecipientExists(this.services, question.recipient!, resolved);
      return asRuling(verdict, rule, question);
    }
    return undefined;
  }

  /** What refuses DATA, or the end of a message, if something does. */
  async checkContent(list: "data" | "endOfData", question: Question, standing: Standing): Promise<Ruling> {
    return await this[list].evaluate(question, standing) ?? standing.deferIfPermit;
  }
}

function asRuling(verdict: Verdict, rule: Rule, question: Question): Ruling {
  const reply = verdict.kind === "reject" ? verdict.reply : undefined;
  const outcome = reply === undefined ? "dunno" : "reject";
  question.trace?.({ rule, outcome, ...(reply === undefined ? {} : { reply }) });
  return reply === undefined ? undefined : { reply, rule };
}

/** RFC 5321 section 4.5.1: postmaster without a domain is taken, whatever the restrictions say. */
export function isPostmaster(address: string): boolean {
  return equalsIgnoreCase(address, "postmaster");
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

/** What refuses a recipient, if something does: all that there is to ask, of a client that nothing was asked of so far. */
export async function checkRecipient(
  lists: AccessLists,
  question: Question,
  resolved: Resolved,
  standing: Standing = Standing.fresh(),
): Promise<Ruling> {
  return await lists.checkEarly(question, standing) ??
    await lists.checkDestination(question, resolved, standing);
}
