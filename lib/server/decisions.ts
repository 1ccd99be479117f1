/**
 * What smtpd would say to a client about a recipient, and where the recipient would go: asked of a configuration that does
 * not run. The restrictions, the rewriting and the look-ups are the daemons' own code, on settings as master would give
 * them; only the connections between them are missing, and DNS.
 *
 * @module
 */
// Safe primitives
import { systemAddresses } from "../safe/process.ts";
// Utility
import { type Configuration, type ServiceEntry, settingsFor, withAllRules } from "../config/configuration.ts";
import { PARAMETER_NAMES, type ParameterName, type Settings } from "../config/parameters.ts";
import type { Scope } from "../config/scope.ts";
import { localClient } from "../ipc/local.ts";
import { SILENT } from "../log/log.ts";
// Tables
import type { TableServers } from "../table/servers.ts";
// Mail
import { quoteAddress, unquoteAddress } from "../mail/address.ts";
import { OwnAddresses } from "../mail/own_address.ts";
// Internal protocols
import type { DnsLookup } from "../proto/dns_client.ts";
import { MapClient, type MapConnection, type MapLookup } from "../proto/proxymap_client.ts";
import { type Resolved, RewriteClient } from "../proto/rewrite_client.ts";
// Access
import { isLoopback, type Peer } from "../access/peer.ts";
import {
  type Effect,
  type Question,
  type Ruling,
  type Services,
  Standing,
  type Step,
} from "../access/policy.ts";
import { AccessLists, checkRecipient, isPostmaster, resolveRecipient } from "../access/recipient_policy.ts";
import { type ReplyText, soften } from "../access/reply.ts";
import { isOurs } from "../access/restriction_rows.ts";
// Maps
import { addressSet } from "../maps/proxymap_local.ts";
import { type FoundEntry, type FoundWatch, MapService, proxymapHandler } from "../maps/proxymap_service.ts";
import { ProxymapTables, searchedParameters } from "../maps/proxymap_tables.ts";
// Rewriting
import type { RewriteWatch } from "../rewrite/rewrite_address.ts";
import { rewriteHandler, RewriteService } from "../rewrite/rewrite_service.ts";
// Server skeleton
import type { Service } from "./service.ts";

/** A client, and what it asks for. */
export interface View {
  readonly address: string;
  /** Its verified name, or "unknown". */
  readonly name: string;
  /** The name of its address, verified or not; left out: as `name`. */
  readonly reverseName?: string;
  /** Its names cannot be looked up now. */
  readonly nameTrouble?: boolean;
  readonly helo: string;
  /** The name under which it has logged in; empty or left out: it has not. */
  readonly sasl?: string;
  /** Internal form; empty for the null sender. */
  readonly sender: string;
  /** As the client sends it, without the brackets. */
  readonly recipient: string;
}

/** What becomes of it. */
export interface Decision {
  /** The reply to RCPT. */
  readonly reply: ReplyText;
  readonly accepted: boolean;
  /** The client is in mynetworks. */
  readonly trusted: boolean;
  /** Where the recipient leads; undefined when nobody can tell. */
  readonly resolved: Resolved | undefined;
  /** It was accepted although its mail does not end here: relayed. */
  readonly relayed: boolean;
  /** What refused it. */
  readonly refusal: Ruling;
  /** What refuses its message later on; only to those who follow the decision. */
  readonly later: LaterRefusal | undefined;
  /** What the message meets. */
  readonly effects: readonly Effect[];
}

/** A refusal at DATA, or at the end of the message. */
export interface LaterRefusal {
  readonly stage: "DATA" | "END-OF-MESSAGE";
  readonly reply: ReplyText;
}

/** Is told of each restriction that is asked, with what it says, and when. */
export type StepWatch = (step: Step, stage: "RCPT" | LaterRefusal["stage"]) => void;

/** What decided about something: a parameter, and the entry of one of its tables if it has such. */
export interface Ground {
  readonly parameter: string;
  /** Where the parameter is set, "FILE:LINE"; "default" where it is not. */
  readonly place: string;
  /** What was sought. */
  readonly key: string;
  readonly entry?: FoundEntry;
}

/** Is told of what decides while the daemons' code runs. */
export interface DecisionWatch {
  found(ground: Ground): void;
  readonly rewrote: RewriteWatch;
}

/** How questions are answered that the configuration does not answer. */
export interface DecisionOptions {
  /** A table that cannot answer is taken for one that has no entry. */
  readonly ignoreTrouble?: boolean;
  /** Who knows names; without it every domain exists, has a mail host, and every client its name. */
  readonly dns?: DnsLookup;
  /** Ways to the servers of tables; without them such tables cannot answer. */
  readonly servers?: TableServers;
  readonly watch?: DecisionWatch;
}

const ACCEPTED: ReplyText = "250 2.1.5 Ok";

/** The mechanism that a login is taken to have come by. */
const LOGIN_METHOD = "PLAIN";

/** Every domain exists, has a mail host, and every client its name: what DNS refuses is not counted on. */
const KIND_DNS: DnsLookup = {
  query: (name, type) =>
    Promise.resolve({
      rcode: "ok",
      authenticated: false,
      ttl: 0,
      canonicalName: name,
      records: [{ priority: 0, weight: 0, port: 0, value: answerTo(type), data: new Uint8Array() }],
    }),
};

function answerTo(type: string): string {
  if (type === "A") return "198.51.100.1";
  return type === "AAAA" ? "2001:db8::1" : "mx.example.net";
}

/** Decisions of the smtpd services of a configuration. */
export class Decisions {
  /** trivial-rewrite. */
  readonly rewrite: RewriteClient;
  readonly #configuration: Configuration;
  readonly #maps: MapConnection;
  readonly #options: DecisionOptions;
  /** The last entry that answered a request, by the request. */
  readonly #entries = new Map<string, FoundEntry>();

  /** @param services the daemons' declarations */
  constructor(
    configuration: Configuration,
    services: ReadonlyMap<string, Service>,
    options: DecisionOptions = {},
  ) {
    this.#configuration = configuration;
    this.#options = options;
    const settings = withAllRules(configuration, this.settingsOf("proxymap"));
    const reads = services.get("proxymap")?.reads ?? [];
    const searched = searchedParameters(reads as Parameters<typeof searchedParameters>[0]);
    // Unless somebody says how, tables on servers are not asked: check must not hang on them, nor need their passwords.
    const how = options.servers === undefined ? {} : { servers: options.servers };
    const tables = new ProxymapTables(settings, SILENT, searched, how);
    const addresses = addressSet(
      [...settings.inet_interfaces, ...settings.proxy_interfaces],
      systemAddresses,
    );
    const note: FoundWatch = ({ parameter, search, key, table }, entry) =>
      this.#entries.set(requestId(parameter, search, key, table), entry);
    const found = options.watch === undefined ? undefined : note;
    const service = new MapService(settings, tables, addresses, SILENT, found);
    this.#maps = localClient(proxymapHandler(service));
    // There is no log for warnings, so nothing need be looked up for them.
    const rewriteSettings = { ...this.settingsOf("trivial-rewrite"), helpful_warnings: false };
    const own = new OwnAddresses(
      rewriteSettings.inet_interfaces,
      rewriteSettings.proxy_interfaces,
      systemAddresses,
    );
    const maps = this.mapsOf("trivial-rewrite");
    const rewriting = new RewriteService(rewriteSettings, maps, own, SILENT, options.watch?.rewrote);
    this.rewrite = new RewriteClient(localClient(rewriteHandler(rewriting)));
  }

  /** The settings of the first service with a daemon; those of main.toml when there is none. */
  settingsOf(command: string): Settings<ParameterName> {
    const entry = this.#entryOf(command);
    return entry === undefined
      ? this.#configuration.settings
      : settingsFor(this.#configuration, entry, PARAMETER_NAMES);
  }

  /** The tables as the first service with a daemon asks for them. */
  mapsOf(command: string): MapLookup {
    const entry = this.#entryOf(command);
    return entry === undefined
      ? this.#mapsFor(this.#configuration.settings, this.#configuration.scope)
      : this.mapsAt(entry);
  }

  /** The tables as a service asks for them. */
  mapsAt(entry: ServiceEntry): MapLookup {
    const settings = settingsFor(this.#configuration, entry, PARAMETER_NAMES);
    return this.#mapsFor(settings, this.#configuration.scopeOf(entry));
  }

  #entryOf(command: string): ServiceEntry | undefined {
    return this.#configuration.services.find((one) => one.command === command);
  }

  #mapsFor(settings: Settings<ParameterName>, scope: Scope): MapLookup {
    const client = new MapClient(this.#maps, settings);
    return {
      find: async (parameter, search, key, table = "") => {
        const outcome = await client.find(parameter, search, key, table);
        if (outcome.kind === "retry" && this.#options.ignoreTrouble === true) return { kind: "missing" };
        if (outcome.kind === "found") {
          const entry = this.#entries.get(requestId(parameter, search, key, table));
          const place = scope.origin(parameter);
          this.#options.watch?.found({ parameter, place, key, ...(entry === undefined ? {} : { entry }) });
        }
        return outcome;
      },
    };
  }

  /**
   * What an smtpd service would say.
   *
   * @param trace gets each restriction that is asked, also those on the message, which is taken to be empty
   */
  async ask(entry: ServiceEntry, view: View, trace?: StepWatch): Promise<Decision> {
    const scope = this.#configuration.scopeOf(entry);
    const settings = settingsFor(this.#configuration, entry, PARAMETER_NAMES);
    const services: Services = {
      settings,
      origin: (parameter) => scope.origin(parameter),
      maps: this.#mapsFor(settings, scope),
      dns: this.#options.dns ?? KIND_DNS,
      rewrite: this.rewrite,
    };
    const said = (reply: ReplyText) => settings.soft_bounce ? soften(reply) : reply;
    const peer = makePeer(view);
    const client = `${view.name} ${view.address}`;
    const trusted = (await services.maps.find("mynetworks", "list", client)).kind === "found";
    const recipient = unquoteAddress(view.recipient);
    const resolved = await resolveRecipient(this.rewrite, peer.ours, view.sender, recipient);
    if (typeof resolved === "string") {
      const refusal = { reply: resolved };
      const reply = said(resolved);
      const nothing = { resolved: undefined, relayed: false, later: undefined, effects: [] };
      return { reply, accepted: false, trusted, refusal, ...nothing };
    }
    const question: Question = {
      stage: "RCPT",
      protocol: "ESMTP",
      recipientCount: 0,
      size: 0,
      queueId: "",
      instance: "",
      pipelined: false,
      note: () => {},
      peer,
      client: `${view.name}[${view.address}]`,
      trusted,
      helo: view.helo,
      sender: view.sender,
      recipient: quoteAddress(recipient),
      resolved,
      warn: () => {},
      ...(view.sasl ? { sasl: { method: LOGIN_METHOD, username: view.sasl } } : {}),
      ...(trace === undefined ? {} : { trace: (step) => trace(step, "RCPT") }),
    };
    const lists = new AccessLists(services);
    const standing = Standing.fresh();
    const refusal = isPostmaster(recipient)
      ? undefined
      : await checkRecipient(lists, question, resolved, standing);
    const accepted = refusal === undefined;
    const relayed = accepted && !isOurs(question);
    const refused = accepted && trace !== undefined
      ? await refusedLater(lists, question, standing, trace)
      : undefined;
    const later = refused && { ...refused, reply: said(refused.reply) };
    const { effects } = standing;
    return {
      reply: said(refusal?.reply ?? ACCEPTED),
      accepted,
      trusted,
      resolved,
      relayed,
      refusal,
      later,
      effects,
    };
  }
}

/** What refuses a message of one recipient at DATA or at its end. */
async function refusedLater(
  lists: AccessLists,
  question: Question,
  standing: Standing,
  trace: StepWatch,
): Promise<LaterRefusal | undefined> {
  for (const [list, stage] of [["data", "DATA"], ["endOfData", "END-OF-MESSAGE"]] as const) {
    standing.deferIfPermit = undefined;
    const asked = { ...question, stage, recipientCount: 1, trace: (step: Step) => trace(step, stage) };
    const refused = await lists.checkContent(list, asked, standing);
    if (refused !== undefined) return { stage, reply: refused.reply };
  }
  return undefined;
}

function requestId(...request: readonly string[]): string {
  return JSON.stringify(request);
}

function makePeer({ address, name, reverseName = name, nameTrouble = false }: View): Peer {
  const local = isLoopback(address);
  return {
    name,
    reverseName,
    address,
    port: 0,
    serverAddress: local ? address : "",
    serverPort: 0,
    nameTrouble,
    ours: local,
  };
}
