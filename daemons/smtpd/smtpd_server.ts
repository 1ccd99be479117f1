/**
 * What all sessions of a process share: settings, services, the restriction lists, the clock for deadlines.
 */
// Utility
import { printable } from "../../lib/vstring/printable.ts";
import { listSubject, type MatchList, matchLiteral, parseAddressList } from "../../lib/table/match_list.ts";
import { parentStyle } from "../../lib/table/parameter_lists.ts";
import type { Logger } from "../../lib/log/log.ts";
import type { DeadlineRule } from "../../lib/stream/deadline.ts";
// Mail
import { DateClock } from "../../lib/mail/date.ts";
// Server skeleton
import { receiveFlags, utf8Flag } from "../../lib/proto/cleanup_client.ts";
import { filterDns } from "../../lib/proto/dns_filter.ts";
import { type FlushStatus, sendSite } from "../../lib/proto/flush_client.ts";
import type { Resolved } from "../../lib/proto/rewrite_client.ts";
// Access
import { CommandWords } from "../../lib/access/command_words.ts";
import { KeywordFilter } from "../../lib/access/hidden_keywords.ts";
import type { Peer } from "../../lib/access/peer.ts";
import { RejectFooter } from "../../lib/access/reject_footer.ts";
import type { ReplyText } from "../../lib/access/reply.ts";
// This program
import { AccessControl } from "./smtpd_access.ts";
import { Accounts, type Admission, type ClientAccount } from "./smtpd_anvil.ts";
import { LocalClients } from "./smtpd_local_clients.ts";
import { SmtpdMilters } from "./smtpd_milter.ts";
import { RejectFilter } from "./smtpd_reject_filter.ts";
import type { ClientStanding } from "./smtpd_client.ts";
import type { Session } from "./smtpd_session.ts";
import type { SmtpdServices, SmtpdSettings } from "./smtpd_settings.ts";
import { commandText, proxyFilter, ProxyTransaction } from "./smtpd_proxy.ts";
import type { ProxyFilter } from "./smtpd_proxy_conversation.ts";
import type { SmtpdSasl } from "./smtpd_sasl.ts";
import type { SmtpdTls } from "./smtpd_tls.ts";
import { type Transcript, wantsTranscripts } from "./smtpd_transcript.ts";
import type { MailOptions } from "./smtpd_dsn.ts";
import { type CleanupService, Transaction } from "./smtpd_transaction.ts";

/** How long stress is remembered, milliseconds (Postfix: 1000 seconds). */
const STRESS_TIME = 1_000_000;
/** From so many sessions on replies are sent together, at the end of a turn: with fewer the wait for it costs more. */
const CROWD = 4;

/** Lists of clients that may have tables in them. */
type ClientList =
  | "mynetworks"
  | "smtpd_authorized_verp_clients"
  | "smtpd_authorized_xclient_hosts"
  | "smtpd_authorized_xforward_hosts"
  | "smtpd_client_event_limit_exceptions"
  | "smtpd_sasl_exceptions_networks";

/** The shared part of one process. */
export class Server {
  /** Others under stress. */
  settings: SmtpdSettings;
  readonly log: Logger;
  readonly cleanup: CleanupService;
  /** Undefined where TLS is off. */
  readonly tls: SmtpdTls | undefined;
  /** Undefined where nobody logs in. */
  readonly sasl: SmtpdSasl | undefined;
  /** What a refused line that ends in LF alone gets. */
  readonly bareNewlineReply: ReplyText;
  /** The postmaster wants to know of errors in sessions. */
  readonly keepsTranscripts: boolean;
  /** How long a client may take. */
  readonly patience: DeadlineRule;
  /** Clients are handed over by postscreen. */
  readonly passed: boolean;
  readonly words: CommandWords;
  readonly #services: SmtpdServices;
  /** Until when the stress of a moment ago counts, by `performance.now()`. */
  #stressEnd = 0;
  readonly #trusted: MatchList;
  readonly #local: LocalClients;
  /** What cleanup does with mail that comes in here. */
  readonly cleanupFlags: number;
  /** Undefined where no client has filters. */
  readonly milters: SmtpdMilters | undefined;
  readonly #unlimited: MatchList;
  readonly #accounts: Accounts;
  readonly #bareNewlineAllowed: MatchList;
  readonly #verpClients: MatchList;
  readonly #xclientHosts: MatchList;
  readonly #xforwardHosts: MatchList;
  readonly #noLogin: MatchList;
  /** Which EHLO keywords are neither offered to a client nor honoured. */
  readonly #keywords: KeywordFilter;
  /** What stands behind refusals; undefined: nothing. */
  readonly footer: RejectFooter | undefined;
  /** What says refusals in other words; undefined: nothing. */
  readonly rejectFilter: RejectFilter | undefined;
  /** The restriction lists. */
  readonly access: AccessControl;
  /** Who sees each message before it is taken; undefined: nobody. */
  readonly #filter: ProxyFilter | undefined;
  readonly #sessions = new Set<Session>();
  readonly #clock = new DateClock();
  readonly #trouble: (what: string, error: unknown) => void;

  constructor(
    services: SmtpdServices,
    cleanup: CleanupService,
    log: Logger,
    trouble: (what: string, error: unknown) => void,
  ) {
    const { settings } = services;
    this.settings = settings;
    this.passed = services.passed === true;
    this.words = new CommandWords({
      noop: { parameter: "smtpd_noop_commands", items: settings.smtpd_noop_commands },
      forbidden: { parameter: "smtpd_forbidden_commands", items: settings.smtpd_forbidden_commands },
      filter: { parameter: "smtpd_command_filter", items: settings.smtpd_command_filter },
    }, services.maps);
    this.patience = new Patience(this);
    this.bareNewlineReply = `${settings.smtpd_forbid_bare_newline_reject_code} 5.5.2 ` +
      `${settings.myhostname} Error: bare <LF> received`;
    this.log = log;
    this.cleanup = cleanup;
    this.tls = services.tls;
    this.sasl = services.sasl;
    this.#services = services;
    this.#trouble = trouble;
    const clients = (name: string, items: readonly string[]) =>
      parseAddressList(items, {
        parents: parentStyle(name, settings.parent_domain_matches_subdomains),
        name,
      });
    this.#trusted = clients("mynetworks", settings.mynetworks);
    this.#unlimited = clients(
      "smtpd_client_event_limit_exceptions",
      settings.smtpd_client_event_limit_exceptions,
    );
    this.#accounts = new Accounts(settings, log, services.serviceName, services.anvil);
    this.#bareNewlineAllowed = clients(
      "smtpd_forbid_bare_newline_exclusions",
      settings.smtpd_forbid_bare_newline_exclusions,
    );
    const filter = settings.smtpd_dns_reply_filter.length > 0;
    this.access = new AccessControl(
      filter
        ? { ...services, dns: filterDns("smtpd_dns_reply_filter", services.dns, services.maps, log) }
        : services,
    );
    this.footer = RejectFooter.from(
      {
        parameter: "smtpd_reject_footer",
        template: settings.smtpd_reject_footer,
        tables: settings.smtpd_reject_footer_maps,
        serverName: settings.myhostname,
        filter: settings.smtpd_expansion_filter,
      },
      services.maps,
      log,
    );
    this.rejectFilter = RejectFilter.from(settings.smtpd_reject_filter_maps, services.maps, log);
    this.#local = new LocalClients(settings.local_header_rewrite_clients, services.maps);
    this.cleanupFlags = receiveFlags(settings.receive_override_options) |
      utf8Flag(settings.smtputf8_autodetect_classes, "smtpd");
    this.milters = SmtpdMilters.from(services, log);
    this.keepsTranscripts = wantsTranscripts(settings.notify_classes);
    this.#verpClients = clients("smtpd_authorized_verp_clients", settings.smtpd_authorized_verp_clients);
    this.#xclientHosts = clients("smtpd_authorized_xclient_hosts", settings.smtpd_authorized_xclient_hosts);
    this.#xforwardHosts = clients(
      "smtpd_authorized_xforward_hosts",
      settings.smtpd_authorized_xforward_hosts,
    );
    this.#noLogin = clients("smtpd_sasl_exceptions_networks", settings.smtpd_sasl_exceptions_networks);
    this.#filter = proxyFilter(settings);
    this.#keywords = new KeywordFilter({
      words: settings.smtpd_discard_ehlo_keywords,
      parameter: "smtpd_discard_ehlo_keyword_address_maps",
      tables: settings.smtpd_discard_ehlo_keyword_address_maps,
      maps: services.maps,
      warn: (text) => log.warning(text),
    });
  }

  /** What the configuration says of a client; a promise when a table has to be asked. */
  standingOf(peer: Peer): ClientStanding | Promise<ClientStanding> {
    const trusted = this.#isIn("mynetworks", this.#trusted, peer);
    const unlimited = this.#isIn("smtpd_client_event_limit_exceptions", this.#unlimited, peer);
    const local = typeof trusted === "boolean" ? this.#local.matches(peer, trusted) : undefined;
    const noLogin = this.#mayNotLogIn(peer);
    const hidden = this.#keywords.of(peer.address);
    if (
      typeof trusted === "boolean" && typeof local === "boolean" && typeof unlimited === "boolean" &&
      typeof noLogin === "boolean" && !(hidden instanceof Promise)
    ) {
      return { trusted, local, unlimited, noLogin, hidden };
    }
    return this.#askStanding(peer, trusted, unlimited);
  }

  async #askStanding(
    peer: Peer,
    asked: boolean | Promise<boolean>,
    unlimited: boolean | Promise<boolean>,
  ): Promise<ClientStanding> {
    const trusted = await asked;
    return {
      trusted,
      local: await this.#local.matches(peer, trusted),
      unlimited: await unlimited,
      noLogin: await this.#mayNotLogIn(peer),
      hidden: await this.#keywords.of(peer.address),
    };
  }

  /** True for a client that AUTH is kept from; a promise when a table has to be asked. */
  #mayNotLogIn(peer: Peer): boolean | Promise<boolean> {
    return this.sasl !== undefined && this.#isIn("smtpd_sasl_exceptions_networks", this.#noLogin, peer);
  }

  /** True for a client in a list; a promise when a table has to be asked. Trouble means: it is not. */
  #isIn(parameter: ClientList, list: MatchList, peer: Peer): boolean | Promise<boolean> {
    const key = `${peer.name} ${peer.address}`;
    const verdict = matchLiteral(list, listSubject("address", key));
    if (verdict !== "ask") return verdict === "match";
    return this.#services.maps.find(parameter, "list", key).then((found) => found.kind === "found");
  }

  /** The account of a client that is not without limits. */
  openAccount(peer: Peer): ClientAccount {
    return this.#accounts.open(peer);
  }

  /** What the client said behind MAIL and RCPT, as the filter is told it; empty where there is none. */
  kept(argument: Uint8Array): string {
    return this.#filter === undefined ? "" : commandText(argument);
  }

  /**
   * Begins a transaction.
   *
   * @param argument of MAIL, as the client said it
   */
  newTransaction(
    session: Session,
    sender: string,
    options: Readonly<MailOptions> | undefined,
    argument: string,
  ): Transaction {
    if (this.#filter === undefined) return new Transaction(sender, options);
    return new ProxyTransaction(this.#filter, session, sender, options, argument);
  }

  /** True for a client that may ask for VERP; a promise when a table has to be asked. Trouble means: it may not. */
  allowsVerp(peer: Peer): boolean | Promise<boolean> {
    if (this.settings.smtpd_authorized_verp_clients.length === 0) return false;
    return this.#isIn("smtpd_authorized_verp_clients", this.#verpClients, peer);
  }

  /** True for a client that may use XCLIENT; a promise when a table has to be asked. Trouble means: it may not. */
  mayImpersonate(peer: Peer): boolean | Promise<boolean> {
    if (this.settings.smtpd_authorized_xclient_hosts.length === 0) return false;
    return this.#isIn("smtpd_authorized_xclient_hosts", this.#xclientHosts, peer);
  }

  /** True for a client that may use XFORWARD; likewise. */
  mayForward(peer: Peer): boolean | Promise<boolean> {
    if (this.settings.smtpd_authorized_xforward_hosts.length === 0) return false;
    return this.#isIn("smtpd_authorized_xforward_hosts", this.#xforwardHosts, peer);
  }

  /** "host[address]", with its port where that is logged: a client as all logs name it. */
  nameOf({ name, address, port }: Peer): string {
    return `${name}[${address}]${this.settings.smtpd_client_port_logging ? `:${port}` : ""}`;
  }

  /** Registers a session; gives the reply for a client that is turned away. */
  admit(session: Session): Admission {
    this.#sessions.add(session);
    if (this.#sessions.size > this.settings.smtpd_session_limit) {
      this.stress();
      return `421 4.3.2 ${this.settings.myhostname} Error: all server ports are busy`;
    }
    return session.anvil.connect();
  }

  /** More clients come than can be served: for a while the settings are those for stress. */
  stress(): void {
    const { stressed } = this.#services;
    if (stressed === undefined) return;
    this.settings = stressed;
    this.#stressEnd = performance.now() + STRESS_TIME;
  }

  /** Mails a session's transcript to the postmaster; that it fails is only logged, as the session is over. */
  sendTranscript(transcript: Transcript, client: string, reason: string): void {
    transcript.send(this.cleanup, client, reason).then(
      (why) => {
        if (why !== undefined) this.log.warning(`postmaster notice for ${client} failed: ${printable(why)}`);
      },
      (error) => this.#trouble(`postmaster notice for ${client}`, error),
    );
  }

  /** So many clients that several of them are told something in one turn of the event loop. */
  get crowded(): boolean {
    return this.#sessions.size >= CROWD;
  }

  /** A session takes the place of another on the same connection. */
  replace(old: Session, next: Session): void {
    this.#sessions.delete(old);
    this.#sessions.add(next);
  }

  /** Takes a session out; false when it is out already. */
  forget(session: Session): boolean {
    if (!this.#sessions.delete(session)) return false;
    session.anvil.end();
    return true;
  }

  /** What becomes of a line of this client that ends in LF alone (smtpd_forbid_bare_newline). */
  bareNewline(peer: Peer): "accept" | "note" | "reject" {
    const rule = this.settings.smtpd_forbid_bare_newline;
    if (rule !== "reject" && rule !== "note") return "accept";
    return matches(this.#bareNewlineAllowed, peer) ? "accept" : rule;
  }

  /** The date for a header. */
  date(time: number): string {
    return this.#clock.format(time);
  }

  /** Where an address leads; undefined when nobody can tell now. */
  async resolve(sender: string, address: string): Promise<Resolved | undefined> {
    const outcome = await this.#services.rewrite.resolve(sender, address);
    return outcome.kind === "resolved" ? outcome : undefined;
  }

  /** Asks for the delivery of what waits for a domain. */
  async flushSite(domain: string): Promise<FlushStatus> {
    const { flush } = this.#services;
    return flush === undefined ? "fail" : await sendSite(flush, domain);
  }

  /** A session ran into a fault of ours or of a service: it ends, the others go on. */
  failed(session: Session, error: unknown): void {
    this.#trouble(`session of ${session.client}`, error);
    session.fail();
  }

  /** Ends the sessions of clients that have been silent for too long; to be called every second. */
  checkDeadlines(): void {
    if (this.#stressEnd > 0 && performance.now() > this.#stressEnd) {
      this.#stressEnd = 0;
      this.settings = this.#services.settings;
    }
    for (const session of [...this.#sessions]) if (session.late) session.timeout();
  }
}

/** How long a client may take, by the settings of the moment. */
class Patience implements DeadlineRule {
  readonly #server: Pick<Server, "settings">;

  constructor(server: Pick<Server, "settings">) {
    this.#server = server;
  }

  get timeout(): number {
    return this.#server.settings.smtpd_timeout * 1000;
  }

  get perRequest(): boolean {
    return this.#server.settings.smtpd_per_request_deadline;
  }

  get minimumRate(): number {
    return this.#server.settings.smtpd_min_data_rate;
  }
}

function matches(list: MatchList, peer: Peer): boolean {
  return matchLiteral(list, listSubject("address", `${peer.name} ${peer.address}`)) === "match";
}
