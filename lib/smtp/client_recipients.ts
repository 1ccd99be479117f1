/**
 * The recipients of one delivery request and what became of each: the log line, the report to qmgr, and the last
 * failure of those that are still open.
 *
 * @module
 */
import type { ReplyValues, RequestValues } from "../ipc/protocol.ts";
import type { Logger } from "../log/log.ts";
import { deliveredVia, deliveryLogLine, type DeliveryResult } from "../mail/delivery_log.ts";
import type { DELIVERY } from "../proto/protocols.ts";
import { type Failure, softened } from "./client_failure.ts";
import { relayLabel } from "./client_hosts.ts";
import type { ClientPolicy } from "./client_policy.ts";
import type { ClientSession } from "./client_session.ts";
import type { Reply } from "./reply.ts";

/** What qmgr asks for, and one recipient of it. */
export type DeliveryRequest = RequestValues<typeof DELIVERY, "deliver">;
export type DeliveryRecipient = DeliveryRequest["recipients"][number];
/** What qmgr is told of a recipient. */
export type RecipientReport = ReplyValues<typeof DELIVERY, "recipient">;

/** Changes what is told of a delivery (smtp_delivery_status_filter). */
export type StatusFilter = (outcome: Pick<RecipientReport, "status" | "reason">) => Promise<
  Pick<RecipientReport, "status" | "reason">
>;

/** The connection that an outcome belongs to. */
export interface Attempt {
  readonly session: ClientSession;
  /** When it was ready for the message, milliseconds since 1970. */
  readonly connected: number;
}

interface Open {
  readonly recipient: DeliveryRecipient;
  failure: Failure | undefined;
  attempt: Attempt | undefined;
  /** What the log says of TLS where there was no connection. */
  tls: string;
}

/** Keeps the books of one request. */
export class RequestRecipients {
  readonly #request: DeliveryRequest;
  readonly #policy: ClientPolicy;
  readonly #log: Logger;
  readonly #report: (report: RecipientReport) => void;
  readonly #filter: StatusFilter | undefined;
  readonly #started = Date.now();
  readonly #open = new Map<number, Open>();
  /** Results that a filter looks at. */
  readonly #telling: Promise<void>[] = [];
  /** What the log says of TLS with the host in hand as long as there is no connection (client_tls_status.ts). */
  tls = "";
  #deferred: Failure | undefined;

  constructor(
    request: DeliveryRequest,
    policy: ClientPolicy,
    log: Logger,
    report: (report: RecipientReport) => void,
    filter?: StatusFilter,
  ) {
    this.#filter = filter;
    this.#request = request;
    this.#policy = policy;
    this.#log = log;
    this.#report = report;
    request.recipients.forEach((recipient, i) =>
      this.#open.set(i, { recipient, failure: undefined, attempt: undefined, tls: "" })
    );
  }

  /** Everything has been told when it resolves. */
  async told(): Promise<void> {
    while (this.#telling.length > 0) await this.#telling.shift();
  }

  /** Recipients without an outcome, by their number in the request. */
  get open(): readonly number[] {
    return [...this.#open.keys()];
  }

  recipient(number: number): DeliveryRecipient {
    return this.#request.recipients[number]!;
  }

  /** The failure of the last recipient that was deferred. */
  get deferred(): Failure | undefined {
    return this.#deferred;
  }

  /** The server has taken responsibility for the recipient. */
  sent(number: number, reply: Reply, attempt: Attempt): void {
    const open = this.#close(number);
    if (open === undefined) return;
    this.#tell(open, attempt, {
      result: "sent",
      status: reply.status,
      // RFC 3461 section 5.2.2: a server with DSN reports by itself; of one without, LMTP says that it has delivered.
      action: attempt.session.features.dsn ? "" : this.#policy.assumeFinal ? "delivered" : "relayed",
      reason: reply.text,
      diagnosticType: "smtp",
      diagnosticText: reply.text,
      remoteMta: attempt.session.name,
    }, this.#request.probe ? "deliverable" : "sent");
  }

  /** Another transport has settled the recipient, and logged it. */
  passed(report: RecipientReport): void {
    const { recipients } = this.#request;
    const number = recipients.findIndex((recipient) => recipient.offset === report.offset);
    if (this.#close(number) !== undefined) this.#report(report);
  }

  /**
   * A failure of one open recipient. It stays open when another server may do better.
   *
   * @returns true when it is open still
   */
  failed(number: number, failure: Failure, attempt: Attempt | undefined): boolean {
    const open = this.#open.get(number);
    if (open === undefined) return false;
    // One host has said that it may take the recipient later: that another one never will does not end that hope.
    if (failure.elsewhere === true && !failure.soft && open.failure?.soft === true) return true;
    open.failure = failure;
    open.attempt = attempt;
    open.tls = this.tls;
    const softens = this.#policy.softBounce && !this.#request.probe;
    if (failure.soft || failure.elsewhere === true || softens) return true;
    this.#settle(number, open, failure);
    return false;
  }

  /** Settles those that are open with their last failure: nothing more will be tried. */
  settleAll(otherwise: Failure): void {
    for (const [number, open] of [...this.#open]) this.#settle(number, open, open.failure ?? otherwise);
  }

  #settle(number: number, open: Open, failure: Failure): void {
    this.#close(number);
    const { probe } = this.#request;
    const bounces = !failure.soft && (probe || !this.#policy.softBounce);
    const final = bounces ? failure : softened(failure);
    if (!bounces) this.#deferred = failure;
    this.#tell(open, open.attempt, {
      result: bounces ? "bounced" : "deferred",
      status: final.status,
      action: bounces ? "failed" : "delayed",
      reason: failure.text,
      diagnosticType: failure.reply === "" ? "" : "smtp",
      diagnosticText: failure.reply,
      remoteMta: failure.remoteMta,
    }, probe ? "undeliverable" : bounces ? "bounced" : failure.soft ? "deferred" : "SOFTBOUNCE");
  }

  #close(number: number): Open | undefined {
    const open = this.#open.get(number);
    this.#open.delete(number);
    return open;
  }

  #tell(
    open: Open,
    attempt: Attempt | undefined,
    outcome: Omit<RecipientReport, "offset">,
    result: DeliveryResult,
  ): void {
    if (this.#filter === undefined) return this.#tellNow(open, attempt, outcome, result);
    this.#telling.push(this.#tellFiltered(this.#filter, open, attempt, outcome, result));
  }

  /** A result with another code is another result: a failure that passes may become one that does not. */
  async #tellFiltered(
    filter: StatusFilter,
    open: Open,
    attempt: Attempt | undefined,
    outcome: Omit<RecipientReport, "offset">,
    result: DeliveryResult,
  ): Promise<void> {
    const { status, reason } = await filter(outcome);
    const changed = { ...outcome, status, reason };
    if (status[0] === outcome.status[0]) return this.#tellNow(open, attempt, changed, result);
    const bounces = status.startsWith("5");
    this.#tellNow(
      open,
      attempt,
      { ...changed, result: bounces ? "bounced" : "deferred", action: bounces ? "failed" : "delayed" },
      this.#request.probe ? result : bounces ? "bounced" : "deferred",
    );
  }

  #tellNow(
    open: Open,
    attempt: Attempt | undefined,
    outcome: Omit<RecipientReport, "offset">,
    result: DeliveryResult,
  ): void {
    const request = this.#request;
    const { recipient } = open;
    const relay = attempt === undefined ? "none" : relayLabel(attempt.session.host);
    const line = deliveryLogLine({
      queueId: request.queueId,
      recipient: recipient.address,
      originalRecipient: recipient.originalRecipient,
      relay,
      connectionUses: attempt?.session.uses,
      tls: this.#policy.logsTls ? attempt?.session.tlsStatus ?? open.tls : "",
      times: {
        arrival: request.arrivalTime,
        active: request.activeTime,
        started: this.#started,
        connected: attempt?.connected,
        done: Date.now(),
      },
      status: outcome.status,
      result,
      text: outcome.reason,
    }, { resolution: this.#policy.delayResolution, addressFormat: this.#policy.logAddressFormat });
    this.#log.info(line);
    const via = outcome.result === "sent" || (request.probe && relay !== "none");
    const reason = via ? deliveredVia(relay, outcome.reason) : outcome.reason;
    this.#report({ offset: recipient.offset, ...outcome, reason });
  }
}
