/**
 * What the restriction lists say at each step of a session, and what they leave behind for the next one.
 */
// Utility
// Mail
import { quoteAddress } from "../../lib/mail/address.ts";
// Internal protocols
import type { Resolved } from "../../lib/proto/rewrite_client.ts";
// Access
import { type Question, type Refusal, type Ruling, type Stage, Standing } from "../../lib/access/policy.ts";
import { AccessLists, isPostmaster, resolveRecipient } from "../../lib/access/recipient_policy.ts";
import type { ReplyText } from "../../lib/access/reply.ts";
// This program
import { logRefusal, logRule } from "./smtpd_refusal.ts";
import type { Session } from "./smtpd_session.ts";
import type { AccessServices, SmtpdSettings } from "./smtpd_settings.ts";
import type { Transaction } from "./smtpd_transaction.ts";

/** Accepted recipients that are remembered, and for how long, milliseconds. */
const ACCEPTED_LIMIT = 1000;
const ACCEPTED_TIME = 5000;

/** The restrictions whose answer depends on nothing but whether the client is trusted and where the recipient leads. */
const PLAIN: ReadonlySet<string> = new Set([
  "permit_mynetworks",
  "permit_sasl_authenticated",
  "permit_auth_destination",
  "reject_unauth_destination",
  "defer_unauth_destination",
  "reject_unlisted_recipient",
]);

/** What a session remembers of the restrictions that were asked before its transactions. */
export class SessionAccess {
  /** Behind the client's restrictions. */
  readonly client: Standing;
  /** Behind those on its HELO name; undefined until they were asked. */
  helo: Standing | undefined;
  /** The client was turned away: all that it says gets this sort of answer. */
  denied = false;

  /** @param client what they have left behind in the session that this one takes over, before it was encrypted */
  constructor(client: Standing = Standing.fresh()) {
    this.client = client;
  }

  /** For what is asked next. */
  next(): Standing {
    return (this.helo ?? this.client).next();
  }
}

/** The restrictions of one process. */
export class AccessControl {
  readonly #services: AccessServices;
  readonly #settings: SmtpdSettings;
  readonly #lists: AccessLists;
  readonly #plain: boolean;
  readonly #accepted = new Map<string, number>();
  readonly #instances = `${Date.now().toString(16)}.${(Math.random() * 2 ** 32 >>> 0).toString(16)}`;
  #instance = 0;

  constructor(services: AccessServices) {
    this.#services = services;
    this.#settings = services.settings;
    this.#lists = new AccessLists(services);
    const { settings } = services;
    // With sender-dependent routing a recipient may be refused for one sender and taken for another.
    this.#plain = settings.sender_dependent_default_transport_maps.length === 0 &&
      settings.sender_dependent_relayhost_maps.length === 0 && this.#lists.earlyEmpty &&
      settings.smtpd_log_access_permit_actions.length === 0 &&
      [...settings.smtpd_relay_restrictions, ...settings.smtpd_recipient_restrictions].every((word) =>
        PLAIN.has(word)
      );
  }

  /** True when a client is judged before it is greeted. */
  get judgesClients(): boolean {
    return !this.#settings.smtpd_delay_reject && !this.#lists.client.empty;
  }

  /** True when HELO is judged at once. */
  get judgesHelo(): boolean {
    return !this.#settings.smtpd_delay_reject && !this.#lists.helo.empty;
  }

  /** True when MAIL is judged at once. */
  get judgesSender(): boolean {
    return !this.#settings.smtpd_delay_reject && !this.#lists.earlyEmpty;
  }

  /** True when nothing restricts DATA. */
  get dataFree(): boolean {
    return this.#lists.data.empty;
  }

  /** True when nothing restricts the end of a message. */
  get endFree(): boolean {
    return this.#lists.endOfData.empty;
  }

  /** The reply that turns a client away, if something does; refusals have been logged, here and below. */
  async checkClient(session: Session): Promise<ReplyText | undefined> {
    const question = this.#question(session, "CONNECT");
    const refused = await this.#lists.client.evaluate(question, session.access.client);
    session.access.denied = refused !== undefined;
    return this.#refuse(session, question, refused);
  }

  /** The reply that refuses the HELO name, if something does. */
  async checkHelo(session: Session, stage: "HELO" | "EHLO"): Promise<ReplyText | undefined> {
    const question = this.#question(session, stage);
    const standing = session.access.client.next();
    session.access.helo = standing;
    return this.#refuse(session, question, await this.#lists.helo.evaluate(question, standing));
  }

  /** The reply that refuses the sender of a transaction that is not the session's yet, if something does. */
  async checkSender(session: Session, transaction: Transaction): Promise<ReplyText | undefined> {
    const question = this.#question(session, "MAIL", this.#ofMail(transaction));
    const standing = session.access.next();
    const refused = await this.#lists.checkSender(question, standing);
    transaction.standing = standing;
    return this.#refuse(session, question, refused);
  }

  /** True when the recipient was accepted a moment ago from a client of the same standing. */
  knownRecipient(session: Session, recipient: string): boolean {
    if (!this.#plain) return false;
    const until = this.#accepted.get(acceptedKey(session, recipient));
    return until !== undefined && until > performance.now();
  }

  /** The reply that refuses a recipient, if something does. */
  async checkRecipient(
    session: Session,
    stage: "RCPT" | "VRFY",
    recipient: string,
  ): Promise<ReplyText | undefined> {
    if (isPostmaster(recipient)) return undefined;
    const { transaction } = session;
    // Behind a recipient that was taken the message has an id, which logs and policy servers are told.
    if (transaction !== undefined && transaction.recipients.length > 0) await transaction.queueId();
    const sender = transaction?.sender ?? "";
    const resolved = await resolveRecipient(this.#services.rewrite, session.local, sender, recipient);
    const question = this.#question(session, stage, {
      recipient: quoteAddress(recipient),
      resolved: typeof resolved === "string" ? undefined : resolved,
    });
    if (typeof resolved === "string") return this.#refuse(session, question, { reply: resolved });
    const standing = transaction?.standing.next() ?? session.access.next();
    const refused = await this.#judge(question, resolved, standing);
    transaction?.standing.keep(standing);
    if (refused === undefined && this.#plain) this.#remember(acceptedKey(session, recipient));
    return this.#refuse(session, question, refused);
  }

  async #judge(question: Question, resolved: Resolved, standing: Standing): Promise<Ruling> {
    const early = this.#settings.smtpd_delay_reject
      ? await this.#lists.checkEarly(question, standing)
      : undefined;
    return early ?? await this.#lists.checkDestination(question, resolved, standing);
  }

  /** The reply that refuses ETRN for a domain, if something does. */
  async checkEtrn(session: Session, domain: string): Promise<ReplyText | undefined> {
    const question = this.#question(session, "ETRN", { etrnDomain: domain });
    const standing = session.access.next();
    const { client, helo, etrn } = this.#lists;
    const lists = this.#settings.smtpd_delay_reject ? [client, helo, etrn] : [etrn];
    for (const list of lists) {
      const refused = await list.evaluate(question, standing);
      if (refused !== undefined) return this.#refuse(session, question, refused);
    }
    return this.#refuse(session, question, standing.deferIfPermit);
  }

  /** The reply that refuses DATA, or the end of a message, if something does. */
  async checkContent(
    session: Session,
    transaction: Transaction,
    end: boolean,
  ): Promise<ReplyText | undefined> {
    const question = this.#question(session, end ? "END-OF-MESSAGE" : "DATA", {
      ...this.#ofMail(transaction),
      // What is said here is said of all recipients alike.
      recipient: transaction.recipients.length === 1 ? quoteAddress(transaction.recipients[0]!) : undefined,
      recipientCount: transaction.recipients.length,
    });
    const standing = transaction.standing.next();
    standing.deferIfPermit = undefined;
    const refused = await this.#lists.checkContent(end ? "endOfData" : "data", question, standing);
    transaction.standing.keep(standing);
    return this.#refuse(session, question, refused);
  }

  #refuse(session: Session, question: Question, refusal: Ruling): ReplyText | undefined {
    return refusal === undefined ? undefined : logRefusal(session, "reject", question, refusal);
  }

  #ofMail(transaction: Transaction): Pick<Question, "sender" | "size" | "queueId" | "instance"> {
    return {
      sender: transaction.sender,
      size: transaction.reader?.size ?? transaction.options?.size ?? 0,
      queueId: transaction.recipients.length > 0 ? transaction.id : "",
      instance: transaction.instance ||= `${this.#instances}.${(++this.#instance).toString(16)}`,
    };
  }

  /** @param known what is known beside what the session tells */
  #question(session: Session, stage: Stage, known: Partial<Question> = {}): Question {
    const { transaction } = session;
    const mail = transaction === undefined
      ? { sender: undefined, size: 0, queueId: "", instance: this.#instances }
      : this.#ofMail(transaction);
    const question: Question = {
      stage,
      peer: session.peer,
      client: session.client,
      trusted: session.trusted,
      helo: session.greeting?.name ?? "",
      protocol: session.protocol,
      ...mail,
      recipient: undefined,
      resolved: undefined,
      recipientCount: 0,
      pipelined: session.pipelined,
      tls: session.tls,
      sasl: session.sasl,
      saslSender: transaction?.options?.submitter,
      warn: (refusal: Refusal) => logRefusal(session, "reject_warning", question, refusal),
      note: (word: string, text: string) => logRule(session, word, question, text),
      ...known,
    };
    return question;
  }

  #remember(key: string): void {
    if (this.#accepted.size >= ACCEPTED_LIMIT) this.#accepted.clear();
    this.#accepted.set(key, performance.now() + ACCEPTED_TIME);
  }
}

function acceptedKey({ trusted, local, sasl }: Session, recipient: string): string {
  return `${trusted ? "+" : "-"}${local ? "+" : "-"}${sasl === undefined ? "-" : "+"}${recipient}`;
}
