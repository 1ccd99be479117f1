/**
 * One delivery request from qmgr: its destinations in turn, each destination's hosts in turn, until every recipient
 * has an outcome (postfix-map sections 6.1 and 6.2).
 *
 * @module
 */
import { asciiLower } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
import type { Logger } from "../log/log.ts";
import { needsUtf8, type TlsWish, tlsWish, type TlsWishSettings } from "../mail/send_options.ts";
import type { FilteredDns } from "../proto/dns_filter.ts";
import type { SessionCache } from "./client_cache.ts";
import { type Opened, openSession } from "./client_connect.ts";
import type { MessageContent } from "./client_content.ts";
import { type Destination, parseDestination, parseDestinations } from "./client_destination.ts";
import { type Failure, isLoop, localFailure } from "./client_failure.ts";
import { type Host, relayLabel } from "./client_hosts.ts";
import { destinationKey, endpointKey, PLAIN_TERMS, type SessionTerms } from "./client_key.ts";
import { lookUpHosts } from "./client_lookup.ts";
import type { ClientPolicy } from "./client_policy.ts";
import {
  type Attempt,
  type DeliveryRecipient,
  type DeliveryRequest,
  type RecipientReport,
  RequestRecipients,
} from "./client_recipients.ts";
import {
  policyGap,
  requireTlsFailure,
  type RequireTlsLevel,
  type RequireTlsPolicy,
} from "./client_requiretls.ts";
import { LookupTroubleError, type OutgoingRules, OutgoingText } from "./client_rewrite.ts";
import type { ClientSession, Introduction } from "./client_session.ts";
import type { ClientTables } from "./client_tables.ts";
import type { ClientLogin } from "./client_sasl.ts";
import { type ClientTls, tlsTerms } from "./client_tls.ts";
import type { DestinationTls, HostTls } from "./client_tls_policy.ts";
import { tlsStatus, undecidedStatus } from "./client_tls_status.ts";
import type { Introduced } from "./client_tls_session.ts";
import { type ClientMessage, Transaction, type TransactionEnd } from "./client_transaction.ts";
import type { Emit } from "./mime_downgrade.ts";

/** What a delivery works with. */
export interface DeliveryTools {
  readonly policy: ClientPolicy;
  readonly dns: FilteredDns;
  /** Addresses of a name by the system's file of host names. */
  readonly native: (name: string) => readonly string[];
  readonly cache: SessionCache;
  readonly tls: ClientTls;
  /** What is made of senders' wishes about TLS; undefined: they are not heard. */
  readonly wishes?: TlsWishes | undefined;
  /** Undefined where nobody logs in. */
  readonly login?: ClientLogin | undefined;
  readonly log: Logger;
  /** From 0 up to 1. */
  readonly random: () => number;
  /** What changes in mail on its way out; undefined when nothing does. */
  readonly rules?: OutgoingRules | undefined;
  /** Tables about servers and results; undefined where none is configured. */
  readonly tables?: ClientTables | undefined;
  /** Tells the postmaster of a conversation; undefined where he does not want to know. */
  readonly notify?: ((server: string, body: readonly string[]) => void) | undefined;
  /** Sender of mail about which the postmaster is not told anything. */
  readonly doubleBounceSender?: string;
  /** Hands recipients to another transport (best_mx_transport); undefined where none is configured. */
  readonly pass?: PassOn | undefined;
  /** Gets errors that are neither the peer's nor the network's, refusals of the sandbox among them. */
  readonly trouble: (what: string, error: unknown) => void;
}

/** What is made of senders' wishes about TLS. */
export interface TlsWishes {
  readonly heard: TlsWishSettings;
  readonly requireTls: RequireTlsPolicy;
}

/** Hands recipients to another transport; resolves with why that did not work for those that it did not report. */
export type PassOn = (
  request: DeliveryRequest,
  recipients: readonly DeliveryRecipient[],
  report: (report: RecipientReport) => void,
) => Promise<string>;

/** What qmgr is told at the end: why the destination itself is in trouble, or empty. */
export interface SiteReport {
  readonly siteStatus: string;
  readonly site: string;
}

const NO_SITE: SiteReport = { siteStatus: "", site: "" };

/** A destination with its place in the order. */
interface Stop {
  readonly destination: Destination;
  readonly fallback: boolean;
}

/** Delivers one message to the recipients of one request. Made for one use. */
export class ClientDelivery {
  readonly #request: DeliveryRequest;
  readonly #content: MessageContent;
  readonly #tools: DeliveryTools;
  readonly #recipients: RequestRecipients;
  /** Addresses of the envelope that are others outside. */
  readonly #mapped = new Map<string, string>();
  #cancelled = false;
  /** What the sender wants of TLS. */
  readonly #wish: TlsWish;
  /** What is wanted of the destination in hand. */
  #wanted: DestinationTls = { kind: "invalid", why: "" };
  /** What REQUIRETLS demands of it; undefined: nothing. */
  #requireTls: RequireTlsLevel | undefined;
  /** Some session went its orderly way: the destination works, whatever it said. */
  #orderly = false;
  /** The destination in hand is the first one of the request. */
  #first = true;
  /** A server turned out to be ourselves. */
  #looped = false;
  /** A session of this request was kept. */
  #kept = false;
  /** What the failure before the next attempt will be logged as. */
  #unlogged = "";

  constructor(
    request: DeliveryRequest,
    content: MessageContent,
    tools: DeliveryTools,
    report: (report: RecipientReport) => void,
  ) {
    this.#request = request;
    this.#content = content;
    this.#tools = tools;
    const { tables, wishes } = tools;
    this.#wish = wishes === undefined ? "none" : tlsWish(request.sendOptions, wishes.heard);
    const filter = tables?.filtersStatus === true ? tables.filterStatus.bind(tables) : undefined;
    this.#recipients = new RequestRecipients(request, tools.policy, tools.log, report, filter);
  }

  /** Nobody waits for the outcome any more: nothing new is begun. */
  cancel(): void {
    this.#cancelled = true;
  }

  /** Delivers. Every recipient has been reported when it resolves, unless it was cancelled. */
  async run(): Promise<SiteReport> {
    const site = await this.#deliver();
    await this.#recipients.told();
    return site;
  }

  async #deliver(): Promise<SiteReport> {
    if (this.#tools.rules !== undefined && !await this.#mapEnvelope()) return NO_SITE;
    for (const stop of this.#stops()) {
      if (!this.#goesOn()) break;
      const key = stop.destination.text;
      this.#tools.cache.begin(key);
      try {
        if (await this.#tryDestination(stop) === "final") break;
      } finally {
        this.#tools.cache.end(key);
      }
      this.#first = false;
    }
    if (!this.#cancelled) {
      this.#recipients.settleAll(localFailure("site", true, "4.3.5", "no destination to deliver to"));
    }
    const failure = this.#recipients.deferred;
    const throttles = failure !== undefined && !this.#orderly && failure.blame !== "message" &&
      failure.blame !== "recipient";
    return throttles ? { siteStatus: failure.status, site: failure.text } : NO_SITE;
  }

  #goesOn(): boolean {
    return !this.#cancelled && this.#recipients.open.length > 0;
  }

  /** The nexthop's destinations, then the fallback relays; a unix socket has no fallback. */
  #stops(): Stop[] {
    const { policy } = this.#tools;
    const stops: Stop[] = parseDestinations(this.#request.nexthop, policy)
      .map((destination) => ({ destination, fallback: false }));
    if (stops.some((stop) => stop.destination.kind === "unix")) return stops;
    const fallbacks = policy.fallbackRelays.map((word) => parseDestination(word, policy));
    return [...stops, ...fallbacks.map((destination) => ({ destination, fallback: true }))];
  }

  async #tryDestination(stop: Stop): Promise<"next" | "final"> {
    const { destination } = stop;
    const used = new Set<string>();
    this.#wanted = await this.#tools.tls.destination(destination, this.#wish === "not required");
    if (this.#wish === "required" && !await this.#findRequireTls(destination)) return "next";
    this.#recipients.tls = undecidedStatus(this.#wanted, this.#requireTls);
    const reuse = await this.#reuse(stop);
    if (reuse) await this.#useKept(() => destinationKey(destination.text, this.#terms(stop)), stop, used);
    if (!this.#goesOn()) return "final";
    const found = await this.#findHosts(stop);
    if (found.kind === "failed") {
      const failure = this.#configured(stop, found.failure);
      if (found.loop && !failure.soft && await this.#passOn()) return "final";
      // What has no host here may have one at the next destination; only at the end is a final failure final.
      this.#failAll({ ...failure, elsewhere: true }, undefined);
      return found.final ? "final" : "next";
    }
    await this.#tryHosts(stop, found.hosts.filter((host) => !used.has(host.address)), reuse);
    // Another destination would make a loop worse.
    return found.final || this.#looped ? "final" : "next";
  }

  /** Finds what REQUIRETLS demands of a destination; false when the configuration does not make sense of it. */
  async #findRequireTls(destination: Destination): Promise<boolean> {
    const found = await this.#tools.wishes!.requireTls.of(destination);
    if (found.kind === "level") {
      this.#requireTls = found.level === "disable" ? undefined : found.level;
      return true;
    }
    this.#tools.log.warning(`${this.#request.queueId}: ${found.why}`);
    this.#failAll(
      localFailure("message", true, "4.7.10", "client REQUIRETLS configuration problem"),
      undefined,
    );
    return false;
  }

  /** True when connections to the destination are kept, and kept ones used. */
  async #reuse(stop: Stop): Promise<boolean> {
    if (this.#isBusy(stop)) return true;
    const { destination } = stop;
    return destination.kind === "inet" &&
      await this.#tools.tables?.keepsConnections(destination.host) === true;
  }

  #isBusy({ destination }: Stop): boolean {
    const { policy, cache } = this.#tools;
    return policy.reuse.enabled && cache.busy(destination.text);
  }

  /** What a connection for this message has to be like, beside its address. */
  #terms({ destination }: Stop, host?: Host): SessionTerms {
    const { login } = this.#tools;
    const requireTls = this.#requireTls ?? "";
    const tls = { ...PLAIN_TERMS, requireTls, ...tlsTerms(this.#wanted, destination, host) };
    if (login === undefined) return tls;
    const boundTo = `${destination.text} ${host?.name ?? ""}`;
    return { ...tls, login: login.terms(this.#request.sender), boundTo };
  }

  /** This host is the best one for the mail: another transport takes it (best_mx_transport). */
  async #passOn(): Promise<boolean> {
    const { pass } = this.#tools;
    if (pass === undefined) return false;
    const recipients = this.#recipients.open.map((number) => this.#recipients.recipient(number));
    const why = await pass(this.#request, recipients, (report) => this.#recipients.passed(report));
    this.#recipients.settleAll(localFailure("message", true, "4.3.0", why));
    return true;
  }

  async #findHosts(stop: Stop): ReturnType<typeof lookUpHosts> {
    const { policy, dns, native, log, random } = this.#tools;
    const { destination } = stop;
    switch (destination.kind) {
      case "unix":
        return { kind: "hosts", hosts: [unixHost(destination.path, policy)], final: true };
      case "bad": {
        const text = `bad destination "${printable(destination.text)}": ${printable(destination.why)}`;
        log.warning(`${this.#request.queueId}: ${text}`);
        const failure = localFailure("site", true, "4.3.5", text);
        return { kind: "failed", failure, final: false, loop: false };
      }
      case "inet":
        return await lookUpHosts(destination, {
          policy,
          dns,
          native,
          random,
          warn: (text) => log.warning(`${this.#request.queueId}: ${text}`),
        });
      default:
        return destination satisfies never;
    }
  }

  /**
   * What the administrator wrote must not bounce mail because it was written wrong: a failure of the relayhost or of a
   * fallback relay, which no server is to blame for, passes.
   */
  #configured(stop: Stop, failure: Failure): Failure {
    const { policy, log } = this.#tools;
    const isRelayhost = policy.dialect === "smtp" && policy.relayhost === stop.destination.text;
    if (failure.soft || !(stop.fallback || isRelayhost)) return failure;
    log.warning(`${printable(stop.destination.text)}: ${failure.text}: configuration problem`);
    return { ...failure, soft: true, status: "4.3.5" };
  }

  /** Tries connections that earlier deliveries left, until one of them is alive. */
  async #useKept(key: () => string, stop: Stop, used: Set<string>): Promise<boolean> {
    for (;;) {
      const session = this.#tools.cache.take(key());
      if (session === undefined) return false;
      const end = await this.#transact({ session, connected: Date.now() }, stop, true);
      if (end.stale) continue;
      used.add(session.host.address);
      return true;
    }
  }

  async #tryHosts(stop: Stop, hosts: readonly Host[], reuse: boolean): Promise<void> {
    const { addressLimit, sessionLimit } = this.#tools.policy;
    let sessions = 0;
    for (const [tried, host] of hosts.entries()) {
      if (!this.#goesOn()) return;
      if ((addressLimit > 0 && tried >= addressLimit) || (sessionLimit > 0 && sessions >= sessionLimit)) {
        return;
      }
      this.#logPassedOver();
      if (reuse && await this.#useKept(() => endpointKey(host, this.#terms(stop, host)), stop, new Set())) {
        sessions++;
        continue;
      }
      const found = await this.#tools.tls.host(this.#wanted, stop.destination, host);
      if (found.kind === "failed") this.#failAll(found.failure, undefined);
      else {
        const tls = { ...found, requireTls: this.#requireTls };
        if (this.#mayDo(host, tls) && await this.#tryHost(stop, host, tls, reuse)) sessions++;
      }
    }
  }

  /** False for a host of which not enough is demanded to satisfy REQUIRETLS: it is not connected to. */
  #mayDo(host: Host, tls: HostTls): boolean {
    const gap = policyGap(tls, this.#requireTls);
    this.#recipients.tls = tlsStatus(this.#wanted, tls, gap ?? "undecided");
    if (gap === undefined) return true;
    const missing = gap === "noencryption" ? "no TLS" : "no proof of its certificate";
    const text = `REQUIRETLS was asked for, but TLS level "${tls.level}" of ${
      relayLabel(host)
    } has ${missing}`;
    this.#failAll(requireTlsFailure("5.7.10", text, host.name), undefined);
    return false;
  }

  /**
   * One host: over TLS as its policy says, and where that breaks and may be done without, once more in the clear.
   *
   * @returns true when the message was offered to it
   */
  async #tryHost(stop: Stop, host: Host, tls: HostTls, reuse: boolean): Promise<boolean> {
    let offered = false;
    for (const clear of [false, true]) {
      const opened = await this.#open(stop, host, tls, clear);
      let broken = opened.kind === "failed" && opened.brokenTls === true;
      if (opened.kind === "ready") {
        offered = true;
        const { session } = opened;
        const end = await this.#transact({ session, connected: Date.now() }, stop, reuse);
        broken = end.failure?.blame === "stream" && session.security !== undefined;
      }
      if (!broken || !this.#goesOn() || !this.#tools.tls.mayGoClear(tls, this.#request)) break;
      // What is sent with a password is not sent to whoever broke TLS.
      if (await this.#logsIn(stop, host)) break;
      this.#logPassedOver();
    }
    return offered;
  }

  async #logsIn({ destination }: Stop, host: Host): Promise<boolean> {
    const found = await this.#tools.login?.find(destination, host, this.#request.sender);
    return found !== undefined && found.kind !== "none";
  }

  /** From the greeting to where mail may be sent: over TLS as it may be, and logged in. Throws `StreamError`. */
  async #introduce(
    session: ClientSession,
    by: Introduction,
    { destination }: Stop,
    tls: HostTls,
    clear: boolean,
  ): Promise<Introduced> {
    const { login, policy } = this.#tools;
    const reported = this.#wish !== "not required";
    const introduced = await this.#tools.tls.introduce(session, destination, tls, by, { clear, reported });
    if (introduced.kind !== "ready" || login === undefined) return introduced;
    const found = await login.find(destination, session.host, this.#request.sender);
    const failure = await login.login(session, found, policy.timeouts.hello);
    return failure === undefined ? introduced : { kind: "failed", failure };
  }

  /** Connects and introduces us; a failure is on the books then. */
  async #open(stop: Stop, host: Host, tls: HostTls, clear: boolean): Promise<Opened> {
    const { policy, log, tables, trouble, notify } = this.#tools;
    const { queueId, arrivalTime } = this.#request;
    const opened = await openSession(host, {
      introduce: (session, by) => this.#introduce(session, by, stop, tls, clear),
      policy,
      tables,
      arrival: arrivalTime,
      info: (text) => log.info(`${queueId}: ${text}`),
      warn: (text) => log.warning(`${queueId}: ${text}`),
      log: (text) => log.info(text),
      keepsTranscripts: notify !== undefined,
      trouble,
    });
    if (opened.kind === "ready") {
      opened.session.tlsStatus = tlsStatus(this.#wanted, tls, "ready", opened.session);
      return opened;
    }
    const { session, failure, fault } = opened;
    const unannounced = tls.requireTls !== undefined && fault === undefined && failure.status === "5.7.30";
    const stage = fault ?? (unannounced ? "requiretls-not-offered" : "undecided");
    if (session !== undefined) session.tlsStatus = tlsStatus(this.#wanted, tls, stage, session);
    const attempt = session && { session, connected: Date.now() };
    this.#failAll(failure, attempt, session === undefined ? "logged" : undefined);
    if (session === undefined) return opened;
    this.#tellPostmaster(session);
    await session.quit(policy);
    return opened;
  }

  /** Offers the message to a server and keeps or ends the session. */
  async #transact(attempt: Attempt, stop: Stop, reuse: boolean): Promise<TransactionEnd> {
    const { policy, log } = this.#tools;
    const { session } = attempt;
    session.uses++;
    const numbers = this.#recipients.open;
    const settled = new Set<number>();
    const transaction = new Transaction(
      session,
      policy,
      this.#message(),
      numbers.map((number) => this.#outgoing(this.#recipients.recipient(number))),
      (index, result) => {
        const number = numbers[index]!;
        settled.add(number);
        if (result.kind === "sent") this.#recipients.sent(number, result.reply, attempt);
        else if (this.#recipients.failed(number, result.failure, attempt)) {
          this.#unlogged = result.failure.text;
        }
      },
      {
        info: (text) => log.info(`${this.#request.queueId}: ${text}`),
        warn: (text) => log.warning(`${this.#request.queueId}: ${text}`),
      },
    );
    // By now there may be more mail for the destination than when this delivery began.
    const keep = reuse || this.#isBusy(stop);
    const end = await transaction.run(keep);
    if (end.stale) return end;
    this.#orderly ||= end.orderly;
    if (end.failure !== undefined) {
      for (const number of numbers) if (!settled.has(number)) this.#failOne(number, end.failure, attempt);
    }
    this.#warnOfNoise(session);
    this.#tellPostmaster(session);
    if (keep && session.sound) this.#keep(session, stop);
    else await session.quit(policy);
    return end;
  }

  /**
   * Keeps a session by its address, and the first good one of the request by the destination too: so that hosts that
   * are dead are not tried again and again, and a fallback is never taken for the destination.
   */
  #keep(session: ClientSession, stop: Stop): void {
    const { destination, fallback } = stop;
    const keys = [endpointKey(session.host, this.#terms(stop, session.host))];
    if (this.#first && !fallback && !this.#kept) {
      keys.push(destinationKey(destination.text, this.#terms(stop)));
    }
    this.#kept = true;
    this.#tools.cache.keep(keys, session);
  }

  /** A server that says what is no reply may make us take one reply for another when commands run ahead. */
  #warnOfNoise(session: ClientSession): void {
    if (session.noise === "" || !session.features.pipelining) return;
    const { log, policy } = this.#tools;
    const relay = relayLabel(session.host);
    const [protocol, parameter] = policy.dialect === "smtp"
      ? ["SMTP", "smtp_discard_ehlo_keyword_address_maps"]
      : ["LMTP", "lmtp_discard_lhlo_keyword_address_maps"];
    log.warning(`${this.#request.queueId}: non-${protocol} response from ${relay}: ${session.noise}`);
    log.warning(
      `to prevent loss of mail, turn off command pipelining for ${session.label} with the ${parameter} parameter`,
    );
  }

  /** Sends the transcript of a conversation that went wrong, unless the message is such a notice itself. */
  #tellPostmaster({ transcript, label }: ClientSession): void {
    const { notify, doubleBounceSender } = this.#tools;
    const { sender } = this.#request;
    if (transcript?.misbehaved !== true || sender === "" || sender === doubleBounceSender) return;
    transcript.misbehaved = false;
    notify?.(label, transcript.body(label));
  }

  /** The message as the server sees it. */
  #message(): ClientMessage {
    const { rules, log } = this.#tools;
    const request = this.#request;
    const rewrite = rules === undefined
      ? undefined
      : (emit: Emit) => new OutgoingText(rules, request.queueId, log, emit);
    const sender = this.#mapped.get(request.sender) ?? request.sender;
    return {
      ...request,
      sender,
      smtputf8: needsUtf8(request.sendOptions),
      requireTls: this.#requireTls !== undefined,
      client: request,
      content: this.#content,
      rewrite,
    };
  }

  /** A recipient as the server sees it. */
  #outgoing(recipient: DeliveryRecipient): DeliveryRecipient {
    const address = this.#mapped.get(recipient.address);
    return address === undefined ? recipient : { ...recipient, address };
  }

  /** Looks up what the envelope's addresses are to others; false when nobody can tell now. */
  async #mapEnvelope(): Promise<boolean> {
    const { rules } = this.#tools;
    if (rules?.mapsAddresses !== true) return true;
    try {
      const { sender, recipients } = this.#request;
      for (const address of [sender, ...recipients.map((recipient) => recipient.address)]) {
        if (!this.#mapped.has(address)) this.#mapped.set(address, await rules.map(address));
      }
      return true;
    } catch (error) {
      if (!(error instanceof LookupTroubleError)) throw error;
      this.#recipients.settleAll(localFailure("message", true, "4.3.0", error.message));
      return false;
    }
  }

  #failAll(failure: Failure, attempt: Attempt | undefined, logged?: "logged"): void {
    if (attempt !== undefined && isLoop(failure)) this.#looped = true;
    for (const number of this.#recipients.open) this.#failOne(number, failure, attempt);
    if (logged !== undefined) this.#unlogged = "";
  }

  #failOne(number: number, failure: Failure, attempt: Attempt | undefined): void {
    if (this.#recipients.failed(number, failure, attempt)) this.#unlogged = failure.text;
  }

  /** A failure that another host may make good is told before that host is tried; the last one stands in the outcome. */
  #logPassedOver(): void {
    if (this.#unlogged !== "") this.#tools.log.info(`${this.#request.queueId}: ${this.#unlogged}`);
    this.#unlogged = "";
  }
}

/** A unix socket is on this host: it has our name. */
function unixHost(path: string, policy: ClientPolicy): Host {
  return {
    kind: "unix",
    name: asciiLower(policy.myHostName),
    address: path,
    port: 0,
    preference: 0,
    best: true,
  };
}
