/**
 * One delivery request from qmgr: its destinations in turn, each destination's hosts in turn, until every recipient
 * has an outcome (postfix-map sections 6.1 and 6.2).
 *
 * @module
 */
import { asciiLower } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
import { type Connection, connectTcp, connectUnix, NetworkError } from "../safe/connect.ts";
import type { Logger } from "../log/log.ts";
import type { DnsLookup } from "../proto/dns_client.ts";
import type { SessionCache } from "./client_cache.ts";
import type { MessageContent } from "./client_content.ts";
import { type Destination, parseDestination, parseDestinations } from "./client_destination.ts";
import { type Failure, localFailure, StreamError } from "./client_failure.ts";
import { type Host, relayLabel } from "./client_hosts.ts";
import { lookUpHosts } from "./client_lookup.ts";
import type { ClientPolicy } from "./client_policy.ts";
import {
  type Attempt,
  type DeliveryRecipient,
  type DeliveryRequest,
  type RecipientReport,
  RequestRecipients,
} from "./client_recipients.ts";
import { LookupTroubleError, type OutgoingRules, OutgoingText } from "./client_rewrite.ts";
import { ClientSession } from "./client_session.ts";
import { type ClientTls, tlsTerms } from "./client_tls.ts";
import type { DestinationTls, HostTls } from "./client_tls_policy.ts";
import type { Introduction } from "./client_tls_session.ts";
import { type ClientMessage, Transaction, type TransactionEnd } from "./client_transaction.ts";
import type { Emit } from "./mime_downgrade.ts";

/** What a delivery works with. */
export interface DeliveryTools {
  readonly policy: ClientPolicy;
  readonly dns: DnsLookup;
  readonly cache: SessionCache;
  readonly tls: ClientTls;
  readonly log: Logger;
  /** From 0 up to 1. */
  readonly random: () => number;
  /** What changes in mail on its way out; undefined when nothing does. */
  readonly rules?: OutgoingRules | undefined;
  /** Gets errors that are neither the peer's nor the network's, refusals of the sandbox among them. */
  readonly trouble: (what: string, error: unknown) => void;
}

/** What qmgr is told at the end: why the destination itself is in trouble, or empty. */
export interface SiteReport {
  readonly siteStatus: string;
  readonly site: string;
}

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
  /** Some session went its orderly way: the destination works, whatever it said. */
  #orderly = false;
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
    this.#recipients = new RequestRecipients(request, tools.policy, tools.log, report);
  }

  /** Nobody waits for the outcome any more: nothing new is begun. */
  cancel(): void {
    this.#cancelled = true;
  }

  /** Delivers. Every recipient has been reported when it resolves, unless it was cancelled. */
  async run(): Promise<SiteReport> {
    if (this.#tools.rules !== undefined && !await this.#mapEnvelope()) return { siteStatus: "", site: "" };
    for (const stop of this.#stops()) {
      if (!this.#goesOn()) break;
      const key = stop.destination.text;
      this.#tools.cache.begin(key);
      try {
        if (await this.#tryDestination(stop) === "final") break;
      } finally {
        this.#tools.cache.end(key);
      }
    }
    if (!this.#cancelled) {
      this.#recipients.settleAll(localFailure("site", true, "4.3.5", "no destination to deliver to"));
    }
    const failure = this.#recipients.deferred;
    const throttles = failure !== undefined && !this.#orderly && failure.blame !== "message" &&
      failure.blame !== "recipient";
    return throttles ? { siteStatus: failure.status, site: failure.text } : { siteStatus: "", site: "" };
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
    const wanted = await this.#tools.tls.destination(destination);
    await this.#useKeptSession(destination, wanted, used);
    if (!this.#goesOn()) return "final";
    const found = await this.#findHosts(stop);
    if (found.kind === "failed") {
      this.#failAll(this.#configured(stop, found.failure), undefined);
      return found.final ? "final" : "next";
    }
    await this.#tryHosts(stop, wanted, found.hosts.filter((host) => !used.has(host.address)));
    return found.final ? "final" : "next";
  }

  async #findHosts(stop: Stop): ReturnType<typeof lookUpHosts> {
    const { policy, dns, log, random } = this.#tools;
    const { destination } = stop;
    switch (destination.kind) {
      case "unix":
        return { kind: "hosts", hosts: [unixHost(destination.path, policy)], final: true };
      case "bad": {
        const text = `bad destination "${printable(destination.text)}": ${printable(destination.why)}`;
        log.warning(`${this.#request.queueId}: ${text}`);
        return { kind: "failed", failure: localFailure("site", true, "4.3.5", text), final: false };
      }
      case "inet":
        return await lookUpHosts(destination, {
          policy,
          dns,
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
  async #useKeptSession(
    destination: Destination,
    wanted: DestinationTls,
    used: Set<string>,
  ): Promise<void> {
    for (;;) {
      const session = this.#tools.cache.take(cacheKey(destination, wanted));
      if (session === undefined) return;
      const attempt = { session, connected: Date.now() };
      const end = await this.#transact(attempt, destination, wanted);
      if (end.stale) continue;
      used.add(session.host.address);
      return;
    }
  }

  async #tryHosts(stop: Stop, wanted: DestinationTls, hosts: readonly Host[]): Promise<void> {
    const { addressLimit, sessionLimit } = this.#tools.policy;
    let sessions = 0;
    for (const [tried, host] of hosts.entries()) {
      if (!this.#goesOn()) return;
      if ((addressLimit > 0 && tried >= addressLimit) || (sessionLimit > 0 && sessions >= sessionLimit)) {
        return;
      }
      this.#logPassedOver();
      const tls = await this.#tools.tls.host(wanted, stop.destination, host);
      if (tls.kind === "failed") {
        this.#failAll(tls.failure, undefined);
        continue;
      }
      if (await this.#tryHost(stop, wanted, host, tls) === "offered") sessions++;
    }
  }

  /** One host: over TLS as its policy says, and where that is broken and may be done without, once more in the clear. */
  async #tryHost(
    stop: Stop,
    wanted: DestinationTls,
    host: Host,
    tls: HostTls,
  ): Promise<"offered" | "closed"> {
    let offered: "offered" | "closed" = "closed";
    for (const clear of [false, true]) {
      const attempt = await this.#open(host, tls, clear);
      let broken = attempt === "broken";
      if (typeof attempt === "object") {
        offered = "offered";
        const end = await this.#transact(attempt, stop.destination, wanted, stop.fallback);
        broken = end.failure?.blame === "stream" && attempt.session.security !== undefined;
      }
      if (!broken || !this.#goesOn() || !this.#tools.tls.mayGoClear(tls, this.#request)) break;
      this.#logPassedOver();
    }
    return offered;
  }

  /** Connects and introduces us; else the failure is on the books. "broken": TLS was not to be had. */
  async #open(host: Host, tls: HostTls, clear: boolean): Promise<Attempt | "closed" | "broken"> {
    const { policy } = this.#tools;
    const connection = await this.#connect(host);
    if (connection === undefined) return "closed";
    const session = new ClientSession(host, connection);
    let introduction: Introduction;
    try {
      introduction = await this.#tools.tls.introduce(session, tls, clear);
    } catch (error) {
      session.close();
      if (!(error instanceof StreamError)) throw error;
      // What breaks before any mail was offered is the site's trouble.
      introduction = { kind: "failed", failure: error.failure };
    }
    const attempt = { session, connected: Date.now() };
    if (introduction.kind === "ready") return attempt;
    this.#failAll(introduction.failure, attempt);
    await session.quit(policy);
    return introduction.tls !== undefined || session.security !== undefined ? "broken" : "closed";
  }

  async #connect(host: Host): Promise<Connection | undefined> {
    const { policy, log, trouble } = this.#tools;
    try {
      return host.kind === "unix"
        ? await connectUnix(host.address, policy.timeouts.connect)
        : await connectTcp(host.address, host.port, policy.timeouts.connect);
    } catch (error) {
      if (!(error instanceof NetworkError)) throw error;
      if (error.kind === "denied") trouble(`connect to ${relayLabel(host)}`, error.cause);
      const text = `connect to ${relayLabel(host)}: ${printable(error.reason)}`;
      log.info(text);
      this.#failAll(localFailure("site", true, "4.4.1", text, host.name), undefined, "logged");
      return undefined;
    }
  }

  /** Offers the message to a server and keeps or ends the session. */
  async #transact(
    attempt: Attempt,
    destination: Destination,
    wanted: DestinationTls,
    fallback = false,
  ): Promise<TransactionEnd> {
    const { policy, cache, log } = this.#tools;
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
      (text) => log.info(`${this.#request.queueId}: ${text}`),
    );
    const keep = cache.wanted(destination.text) && !fallback;
    const end = await transaction.run(keep);
    if (end.stale) return end;
    this.#orderly ||= end.orderly;
    if (end.failure !== undefined) {
      for (const number of numbers) if (!settled.has(number)) this.#failOne(number, end.failure, attempt);
    }
    if (keep && session.sound) cache.keep(cacheKey(destination, wanted), session);
    else await session.quit(policy);
    return end;
  }

  /** The message as the server sees it. */
  #message(): ClientMessage {
    const { rules, log } = this.#tools;
    const request = this.#request;
    const rewrite = rules === undefined
      ? undefined
      : (emit: Emit) => new OutgoingText(rules, request.queueId, log, emit);
    const sender = this.#mapped.get(request.sender) ?? request.sender;
    return { ...request, sender, content: this.#content, rewrite };
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

/** A connection is used again by mail that would have made the same one. */
function cacheKey(destination: Destination, wanted: DestinationTls): string {
  return `${destination.text} ${tlsTerms(wanted)}`;
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
