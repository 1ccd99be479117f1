/**
 * Follows one recipient through the daemons' code: smtpd's restrictions, cleanup's rewriting and aliases, where qmgr would
 * send each address that is left, and what the transport would do with it. Nothing is sent, and nothing is written.
 *
 * @module
 */
// Utility
import type { Configuration, ServiceEntry } from "../lib/config/configuration.ts";
import { formatPlace } from "../lib/config/problem.ts";
import { asciiLower } from "../lib/vstring/ascii.ts";
// Tables
import { TABLE_SERVERS } from "../lib/table/table_servers.ts";
// Mail
import { quoteAddress } from "../lib/mail/address.ts";
import { filterRoute } from "../lib/mail/filter_route.ts";
// Internal protocols
import { receiveFlags } from "../lib/proto/cleanup_client.ts";
import type { DnsLookup } from "../lib/proto/dns_client.ts";
import { CLEANUP_FLAG } from "../lib/proto/protocols.ts";
import type { MapLookup } from "../lib/proto/proxymap_client.ts";
// Access
import type { Step } from "../lib/access/policy.ts";
// Rewriting
import { AliasExpander } from "../lib/rewrite/alias_expander.ts";
import { AddressPipeline, type AddressRole } from "../lib/rewrite/canonical_address.ts";
// Server skeleton
import { Decisions, type DecisionWatch, type Ground } from "../lib/server/decisions.ts";
import type { Service } from "../lib/server/service.ts";
// This program
import { deliveryOf } from "./explain_end.ts";
import { localFilters, smtpFilters } from "./explain_filters.ts";
import type {
  AddressStep,
  AddressStory,
  AliasNode,
  AskedMail,
  Delivery,
  EndFacts,
  Explanation,
  FilterFacts,
  MailFilterFacts,
  RecipientFacts,
  SmtpFacts,
} from "./explain_facts.ts";

/** Most addresses that local forwards to of which the end is shown. */
const FORWARD_LIMIT = 100;

/** What an explanation is made from. */
export interface ExplainTools {
  readonly configuration: Configuration;
  /** The daemons' declarations. */
  readonly services: ReadonlyMap<string, Service>;
  readonly dns: DnsLookup;
}

/** Takes down what decides, until it is asked for. */
class Notebook implements DecisionWatch {
  #grounds: Ground[] = [];
  #steps: AddressStep[] = [];

  found(ground: Ground): void {
    this.#grounds.push(ground);
  }

  readonly rewrote = (rule: string, before: string, after: string): void => {
    this.#steps.push({ rule, before, after, grounds: [] });
  };

  /** A change with what was found since the last one. */
  replaced(rule: string, before: string, after: string): void {
    const grounds = this.takeGrounds().filter(({ parameter }) => parameter === rule);
    if (before !== after) this.#steps.push({ rule, before, after, grounds });
  }

  takeGrounds(): Ground[] {
    const taken = this.#grounds;
    this.#grounds = [];
    return taken;
  }

  takeSteps(): AddressStep[] {
    const taken = this.#steps;
    this.#steps = [];
    return taken;
  }
}

/** Follows one mail. */
export class Explainer {
  readonly #tools: ExplainTools;
  readonly #asked: AskedMail;
  readonly #entry: ServiceEntry | undefined;
  readonly #notes = new Notebook();
  readonly #decisions: Decisions;
  readonly #pipeline: AddressPipeline;
  /** CLEANUP_FLAG bits. */
  readonly #flags: number;
  #filter: FilterFacts | undefined;

  /** @param entry the smtpd service that takes the mail; undefined where there is none */
  constructor(tools: ExplainTools, asked: AskedMail, entry: ServiceEntry | undefined) {
    const { configuration, services, dns } = tools;
    this.#tools = tools;
    this.#asked = asked;
    this.#entry = entry;
    const notes = this.#notes;
    this.#decisions = new Decisions(configuration, services, { dns, servers: TABLE_SERVERS, watch: notes });
    const settings = this.#decisions.settingsOf("cleanup");
    this.#pipeline = new AddressPipeline(
      this.#decisions.rewrite,
      this.#decisions.mapsOf("cleanup"),
      settings,
      () => {},
      (...change) => notes.replaced(...change),
    );
    const options = entry === undefined ? [] : configuration.scopeOf(entry).value("receive_override_options");
    this.#flags = receiveFlags(options as readonly string[]);
    this.#filter = contentFilter(configuration, entry);
  }

  /** Everything that is decided, in order. */
  async run(): Promise<Explanation> {
    const smtp = this.#entry === undefined ? undefined : await this.#smtp(this.#entry);
    const filters = await this.#filters();
    const sender = await this.#rewritten("envelope_sender", this.#asked.sender);
    const recipients = await this.#forwarded(await this.#recipients(sender.canonical));
    const ends = recipients.flatMap((each) => each.ends);
    const good = smtp?.accepted !== false && smtp?.later === undefined &&
      recipients.every((each) => each.trouble === undefined) &&
      ends.every(({ delivery }) => isDelivered(delivery));
    return { asked: this.#asked, ...(smtp === undefined ? {} : { smtp }), filters, sender, recipients, good };
  }

  async #filters(): Promise<readonly MailFilterFacts[]> {
    const entry = this.#entry;
    if (entry === undefined) return localFilters(this.#tools);
    const maps = this.#decisions.mapsAt(entry);
    const found = await smtpFilters({ ...this.#tools, maps }, entry, this.#asked.client);
    this.#notes.takeGrounds();
    return found;
  }

  /** smtpd's answer. It remembers nothing for what follows, so that each stage shows its own steps. */
  async #smtp(entry: ServiceEntry): Promise<SmtpFacts> {
    const { configuration, services, dns } = this.#tools;
    const { sender, recipient, client, clientName, reverseName, nameTrouble, helo, sasl } = this.#asked;
    const decisions = new Decisions(configuration, services, { dns, servers: TABLE_SERVERS });
    const steps: Step[] = [];
    const dataSteps: Step[] = [];
    const endSteps: Step[] = [];
    const taken = { RCPT: steps, DATA: dataSteps, "END-OF-MESSAGE": endSteps };
    const asked = { address: client, name: clientName, reverseName, nameTrouble, helo, sasl, sender };
    const view = { ...asked, recipient: quoteAddress(recipient) };
    const decision = await decisions.ask(entry, view, (step, stage) => taken[stage].push(step));
    const { reply, accepted, relayed, refusal, trusted, later, effects } = decision;
    const filter = effects.findLast(({ kind }) => kind === "filter");
    if (filter !== undefined && "text" in filter) {
      this.#filter = filterOfRule(filter.text, [...steps, ...dataSteps, ...endSteps]);
    }
    return {
      service: entry.name,
      place: formatPlace(entry.place),
      trusted,
      mynetworks: configuration.origin("mynetworks"),
      steps,
      reply,
      accepted,
      relayed,
      ...(refusal === undefined ? {} : { refusal }),
      dataSteps,
      endSteps,
      ...(later === undefined ? {} : { later }),
    };
  }

  async #rewritten(role: AddressRole, address: string): Promise<AddressStory> {
    const maps = (this.#flags & CLEANUP_FLAG.MAP) !== 0;
    const outcome = await this.#pipeline.canonical(role, address, maps);
    this.#notes.takeGrounds();
    const steps = this.#notes.takeSteps();
    if (outcome.kind === "rewritten") return { address, steps, canonical: outcome.address };
    return { address, steps, canonical: address, trouble: outcome.why };
  }

  /** The recipient and those who get copies. */
  async #recipients(sender: string): Promise<RecipientFacts[]> {
    const settings = this.#decisions.settingsOf("cleanup");
    const { configuration } = this.#tools;
    const main = await this.#recipient("recipient", this.#asked.recipient, [], sender);
    if ((this.#flags & CLEANUP_FLAG.BCC) === 0) return [main];
    const found = [main];
    for (
      const [parameter, key] of [
        ["sender_bcc_maps", sender],
        ["recipient_bcc_maps", main.rewriting.canonical],
      ] as const
    ) {
      if (settings[parameter].length === 0 || key === "") continue;
      const copy = await this.#maps().find(parameter, "address", key);
      const grounds = this.#notes.takeGrounds();
      if (copy.kind === "found") found.push(await this.#recipient(parameter, copy.value, grounds, sender));
    }
    if (settings.always_bcc !== "") {
      const parameter = "always_bcc";
      const ground = { parameter, place: configuration.origin(parameter), key: "" };
      found.push(await this.#recipient(parameter, settings.always_bcc, [ground], sender));
    }
    return found;
  }

  /** The recipients, and those of the messages that local would make for them. */
  async #forwarded(first: readonly RecipientFacts[]): Promise<RecipientFacts[]> {
    const all = [...first];
    const seen = new Set<string>();
    for (let at = 0; at < all.length; at++) {
      for (const { delivery } of all[at]!.ends) {
        for (const step of delivery.kind === "local" ? delivery.steps : []) {
          if (step.kind !== "forwarded" || seen.has(step.address) || seen.size === FORWARD_LIMIT) continue;
          seen.add(step.address);
          all.push(await this.#recipient("forwarded", step.address, [], step.sender));
        }
      }
    }
    return all;
  }

  async #recipient(
    role: string,
    address: string,
    grounds: readonly Ground[],
    sender: string,
  ): Promise<RecipientFacts> {
    const rewriting = await this.#rewritten("envelope_recipient", address);
    const { tree, addresses, trouble } = await this.#expanded(rewriting.canonical);
    const ends: EndFacts[] = [];
    // What local forwards is a new message, of no SMTP server.
    const filter = role === "forwarded" ? undefined : this.#filter;
    for (const each of addresses) ends.push(await this.#end(sender, each, filter));
    const why = rewriting.trouble ?? trouble;
    return {
      role,
      grounds,
      rewriting,
      aliases: tree,
      ...(why === undefined ? {} : { trouble: why }),
      ends: why === undefined ? ends : [],
    };
  }

  #maps(): MapLookup {
    return this.#decisions.mapsOf("cleanup");
  }

  async #expanded(
    address: string,
  ): Promise<{ tree: AliasNode; addresses: readonly string[]; trouble?: string }> {
    const settings = this.#decisions.settingsOf("cleanup");
    const leaf: AliasNode = { address, members: [], grounds: [] };
    if (settings.virtual_alias_maps.length === 0 || (this.#flags & CLEANUP_FLAG.MAP) === 0) {
      return { tree: leaf, addresses: [address] };
    }
    const expansions = new Map<string, { targets: readonly string[]; grounds: readonly Ground[] }>();
    const expander = AliasExpander.from(settings, this.#decisions.rewrite, this.#maps(), (alias, targets) => {
      expansions.set(asciiLower(alias), { targets, grounds: this.#notes.takeGrounds() });
    });
    const expanded = await expander.expand(address);
    this.#notes.takeGrounds();
    this.#notes.takeSteps();
    const tree = treeOf(address, expansions, new Set());
    if (expanded.kind !== "addresses") return { tree, addresses: [], trouble: expanded.why };
    const unique = new Map(expanded.addresses.map((each) => [asciiLower(each), each]));
    return { tree, addresses: [...unique.values()] };
  }

  async #end(sender: string, address: string, filter: FilterFacts | undefined): Promise<EndFacts> {
    const resolved = await this.#decisions.rewrite.resolve(sender, address);
    const steps = this.#notes.takeSteps();
    const grounds = this.#notes.takeGrounds();
    if (resolved.kind === "retry") {
      const text = `4.3.0 address resolver failure: ${resolved.why}`;
      const delivery = { kind: "deferred" as const, place: "", text };
      return { address, class: "", transport: "", nexthop: "", steps, grounds, delivery };
    }
    const { class: kind, recipient } = resolved;
    const { configuration } = this.#tools;
    const filters = filter !== undefined && !resolved.bad;
    const { transport, nexthop } = filters
      ? filterRoute(filter.target, configuration.settings.default_filter_nexthop, recipient)
      : resolved;
    const delivery = await deliveryOf({ ...this.#tools, decisions: this.#decisions }, {
      ...resolved,
      transport,
      nexthop,
      sender,
    });
    // What local asks on its way is shown there.
    this.#notes.takeSteps();
    this.#notes.takeGrounds();
    const facts = { address: recipient, class: kind, transport, nexthop, steps, grounds, delivery };
    return filters ? { ...facts, filter } : facts;
  }
}

/** What content_filter says for mail that comes in by a service, or from this host's programs. */
function contentFilter(
  configuration: Configuration,
  entry: ServiceEntry | undefined,
): FilterFacts | undefined {
  const taker = entry ?? configuration.services.find(({ command }) => command === "pickup");
  if (taker === undefined) return undefined;
  const scope = configuration.scopeOf(taker);
  const target = String(scope.value("content_filter"));
  const place = scope.setting("content_filter");
  return target === "" || place === undefined
    ? undefined
    : { target, rule: "content_filter", place: formatPlace(place) };
}

/** The restriction that wants the filter. */
function filterOfRule(target: string, steps: readonly Step[]): FilterFacts {
  const step = steps.findLast(({ note }) => note === `filter ${target}`);
  const place = step?.entry?.place || step?.rule.place || "";
  return { target, rule: step?.rule.text ?? "FILTER", place };
}

/** The tree below an address; what was expanded already is not expanded again. */
function treeOf(
  address: string,
  expansions: ReadonlyMap<string, { targets: readonly string[]; grounds: readonly Ground[] }>,
  above: Set<string>,
): AliasNode {
  const key = asciiLower(address);
  const expansion = expansions.get(key);
  if (expansion === undefined) return { address, members: [], grounds: [] };
  if (above.has(key)) return { address, members: [], grounds: [], repeated: true };
  above.add(key);
  const members = expansion.targets.map((target) => treeOf(target, expansions, above));
  return { address, members, grounds: expansion.grounds };
}

/** False for an end that brings the mail back or makes it wait. */
function isDelivered(delivery: Delivery): boolean {
  switch (delivery.kind) {
    case "local":
      return delivery.steps.every((step) =>
        step.kind === "passed"
          ? isDelivered(step.delivery)
          : step.kind !== "bounced" && step.kind !== "deferred"
      );
    case "smtp":
    case "lmtp":
      return delivery.destinations.some(({ hosts }) => hosts.length > 0);
    case "mailbox":
    case "service":
    case "discarded":
      return true;
    case "bounced":
    case "deferred":
      return false;
    default:
      return delivery satisfies never;
  }
}
