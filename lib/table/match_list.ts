/**
 * Lists of names and networks, as mydestination, relay_domains and mynetworks: items in order, `!` for "not",
 * `type:name` for the keys of a table. The first item that matches decides. (Items `/file` were replaced by the
 * file's items when the configuration was read.)
 *
 * A list may have a million items, and smtpd asks one for each connection: literal items are indexed, so that a
 * question costs one look for each parent domain and for each prefix length that the list uses.
 *
 * @module
 */
// Utility
import { asciiLower } from "../vstring/ascii.ts";
// Tables
import { BraceError, splitBraced } from "./braces.ts";
import { type IpAddress, maskAddress, parseIpAddress, parseIpNetwork } from "./ip_network.ts";
import { domainKeys, type ParentStyle } from "./search_keys.ts";
import { isTableSpec } from "./spec.ts";
import { MISSING, type Outcome, type Table, TableError } from "./table.ts";

/** What a list holds. string: names, exactly. domain: names and their subdomains. address: those, and networks. */
export type ListKind = "string" | "domain" | "address";

/** How a list is parsed. */
export interface ListHow {
  readonly kind: ListKind;
  /** plain: `example.com` matches its subdomains too; dotted: `.example.com` does that, and that alone. */
  readonly parents: ParentStyle;
  /** The parameter, for error texts. */
  readonly name: string;
  /** Opens its tables; without it they are items that cannot be used here. */
  readonly open?: ((spec: string) => Table) | undefined;
}

/** An item that takes more than an index to ask. */
type Special =
  | { readonly kind: "table"; readonly at: number; readonly table: Table }
  /** It cannot be used, and what it would say is not known. */
  | { readonly kind: "broken"; readonly at: number; readonly why: string };

/** Networks of one length and family: their masked bytes and where each stands first. */
interface NetworkIndex {
  readonly family: number;
  readonly bits: number;
  readonly places: Map<string, number>;
}

/** A parsed list. Made by `parseList`. */
export interface MatchList {
  readonly how: ListHow;
  /** Where each name stands first. */
  readonly names: ReadonlyMap<string, number>;
  readonly networks: readonly NetworkIndex[];
  readonly specials: readonly Special[];
  /** Places of the items with `!`. */
  readonly negated: ReadonlySet<number>;
}

/** What is sought in a list: a host or domain name in lower case, an address, or both. */
export interface ListSubject {
  readonly name: string;
  readonly address: IpAddress | undefined;
  /** The address as text, the key for tables; empty without an address. */
  readonly addressText: string;
}

/** A subject from `name`; in lists of addresses from `name address` or `address`, where the name may be empty. */
export function listSubject(kind: ListKind, key: string): ListSubject {
  const space = key.lastIndexOf(" ");
  const addressText = key.slice(space + 1);
  const address = kind === "address" ? parseIpAddress(addressText) : undefined;
  if (address === undefined) return { name: asciiLower(key), address, addressText: "" };
  return { name: asciiLower(key.slice(0, Math.max(space, 0))), address, addressText };
}

/** Parses a list once, for many questions. Never throws: an item that cannot be used fails softly when it is reached. */
export function parseList(items: readonly string[], how: ListHow): MatchList {
  return new ListParser(how).parse(items);
}

/** A list of domains (relay_domains). */
export function parseDomainList(items: readonly string[], how: Omit<ListHow, "kind">): MatchList {
  return parseList(items, { ...how, kind: "domain" });
}

/** A list of clients (mynetworks). */
export function parseAddressList(items: readonly string[], how: Omit<ListHow, "kind">): MatchList {
  return parseList(items, { ...how, kind: "address" });
}

/** What is wrong with the items that cannot be used. */
export function listProblems(list: MatchList): string[] {
  return list.specials.flatMap((special) => special.kind === "broken" ? [special.why] : []);
}

class ListParser {
  readonly #how: ListHow;
  readonly #names = new Map<string, number>();
  readonly #networks = new Map<string, NetworkIndex>();
  readonly #specials: Special[] = [];
  readonly #negated = new Set<number>();
  #at = 0;

  constructor(how: ListHow) {
    this.#how = how;
  }

  parse(items: readonly string[]): MatchList {
    for (const item of items) {
      try {
        // One item may be several words: "127.0.0.0/8 [::1]/128".
        for (const word of splitBraced(item)) this.#add(word.text);
      } catch (error) {
        if (!(error instanceof BraceError)) throw error;
        this.#break(error.message);
      }
    }
    return {
      how: this.#how,
      names: this.#names,
      networks: [...this.#networks.values()],
      specials: this.#specials,
      negated: this.#negated,
    };
  }

  #add(word: string): void {
    let start = 0;
    while (word[start] === "!") start++;
    if (start % 2 === 1) this.#negated.add(this.#at);
    const text = word.slice(start);
    if (isTableSpec(text)) this.#addTable(text);
    else if (this.#how.kind === "address" && looksLikeNetwork(text)) this.#addNetwork(text);
    else if (!this.#names.has(asciiLower(text))) this.#names.set(asciiLower(text), this.#at);
    this.#at++;
  }

  #addTable(spec: string): void {
    if (this.#how.open === undefined) return this.#break(`table "${spec}" cannot be asked here`);
    try {
      this.#specials.push({ kind: "table", at: this.#at, table: this.#how.open(spec) });
    } catch (error) {
      if (!(error instanceof TableError)) throw error;
      this.#break(error.message);
    }
  }

  #addNetwork(text: string): void {
    const parsed = parseIpNetwork(text);
    if (parsed.kind === "bad") return this.#break(parsed.why);
    const { address, bits } = parsed.network;
    const id = `${address.length}/${bits}`;
    const index = this.#networks.get(id) ??
      { family: address.length, bits, places: new Map<string, number>() };
    this.#networks.set(id, index);
    const key = addressKey(address);
    if (!index.places.has(key)) index.places.set(key, this.#at);
  }

  #break(why: string): void {
    this.#specials.push({ kind: "broken", at: this.#at, why: `${this.#how.name}: ${why}` });
  }
}

/** True when the item can only have been meant as an address or a network. */
function looksLikeNetwork(text: string): boolean {
  return text.startsWith("[") || text.includes("/") || text.includes(":") ||
    parseIpAddress(text) !== undefined;
}

function addressKey(address: IpAddress): string {
  return String.fromCharCode(...address);
}

/** What a list says by its literal items; `ask` when a table or a broken item stands before the first that matches. */
export type ListVerdict = "match" | "none" | "ask";

/** Matches without looking into tables, and without waiting. */
export function matchLiteral(list: MatchList, subject: ListSubject): ListVerdict {
  const place = literalPlace(list, subject);
  const special = list.specials[0];
  if (special !== undefined && special.at < place) return "ask";
  return place === Infinity || list.negated.has(place) ? "none" : "match";
}

/** Whether the list holds the name: `found` (with an empty value), `missing`, or `retry` when a table fails. */
export function matchDomainList(list: MatchList, name: string): Promise<Outcome> {
  return matchList(list, { name: asciiLower(name), address: undefined, addressText: "" });
}

/** Whether the list holds the subject. */
export async function matchList(list: MatchList, subject: ListSubject): Promise<Outcome> {
  const place = literalPlace(list, subject);
  for (const special of list.specials) {
    if (special.at > place) break;
    if (special.kind === "broken") return { kind: "retry", why: special.why };
    const outcome = await lookupSubject(special.table, subject, list.how);
    if (outcome.kind === "retry") return outcome;
    if (outcome.kind === "found") return answer(list, special.at);
  }
  return place === Infinity ? MISSING : answer(list, place);
}

function answer(list: MatchList, place: number): Outcome {
  return list.negated.has(place) ? MISSING : { kind: "found", value: "" };
}

/** The name and, where the kind of list has it so, its parents; then the address. */
async function lookupSubject(table: Table, subject: ListSubject, how: ListHow): Promise<Outcome> {
  const names = how.kind === "string" || !table.partialKeys
    ? [subject.name]
    : domainKeys(subject.name, how.parents);
  for (const key of [...names, subject.addressText]) {
    const outcome = key === "" ? MISSING : await table.lookup(key);
    if (outcome.kind !== "missing") return outcome;
  }
  return MISSING;
}

/** Place of the first literal item that matches, or Infinity. */
function literalPlace(list: MatchList, subject: ListSubject): number {
  const names = list.how.kind === "string" ? [subject.name] : domainKeys(subject.name, list.how.parents);
  let first = Infinity;
  for (const name of names) first = Math.min(first, list.names.get(name) ?? Infinity);
  const address = subject.address;
  if (address === undefined) return first;
  for (const index of list.networks) {
    if (index.family !== address.length) continue;
    first = Math.min(first, index.places.get(addressKey(maskAddress(address, index.bits))) ?? Infinity);
  }
  return first;
}
