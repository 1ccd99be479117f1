/**
 * The five address classes: which domains are ours, and how.
 *
 * @module
 */
// Utility
import type { Logger } from "../log/log.ts";
import { asciiLower } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
// Mail
import type { OwnAddresses } from "../mail/own_address.ts";
// Rewriting
import { findValue, type Maps, type RewriteSettings, TableTrouble } from "./rewrite_settings.ts";

/** The five classes of a recipient's domain. */
export type AddressClass = "local" | "alias" | "virtual" | "relay" | "default";

/** The lists of domains of the classes, in the order in which they are searched. */
const LISTS = [
  ["local", "mydestination"],
  ["alias", "virtual_alias_domains"],
  ["virtual", "virtual_mailbox_domains"],
  ["relay", "relay_domains"],
] as const satisfies readonly (readonly [AddressClass, keyof RewriteSettings])[];

/** A local domain in relay_domains does no harm: it is a backup server's list that names its own domain. */
const HARMLESS = { parameter: "mydestination", later: "relay_domains" };
/** Domains whose overlap was looked for; when so many are reached, it begins anew. */
const CHECKED_LIMIT = 1000;

/** Finds the class of a domain. */
export class DomainClasses {
  readonly #maps: Maps;
  readonly #own: OwnAddresses;
  readonly #log: Logger | undefined;
  readonly #origin: string;
  readonly #checked = new Set<string>();

  constructor(settings: RewriteSettings, maps: Maps, own: OwnAddresses, log: Logger) {
    this.#maps = maps;
    this.#own = own;
    this.#log = settings.helpful_warnings ? log : undefined;
    this.#origin = asciiLower(settings.myorigin);
  }

  /** True when mail for the domain is delivered on this host to its users. Throws `TableTrouble`. */
  async isLocal(domain: string): Promise<boolean> {
    const folded = asciiLower(domain);
    return await this.#lists("mydestination", folded) || this.#own.includes(folded);
  }

  /**
   * The class of a domain. Throws `TableTrouble`.
   *
   * @param local what `isLocal` said of it
   */
  async classOf(domain: string, local: boolean): Promise<AddressClass> {
    const folded = asciiLower(domain);
    for (const [i, [name, parameter]] of LISTS.entries()) {
      if (name === "local" ? !local : !await this.#lists(parameter, folded)) continue;
      await this.#warnOverlap(folded, parameter, LISTS.slice(i + 1).map(([, later]) => later));
      return name;
    }
    return "default";
  }

  /** True when the list that the parameter names holds the domain, in lower case. */
  async #lists(parameter: string, domain: string): Promise<boolean> {
    return await findValue(this.#maps, parameter, "list", domain) !== undefined;
  }

  /** Says once per domain that it is in two lists, of which only the first counts. */
  async #warnOverlap(domain: string, parameter: string, others: readonly string[]): Promise<void> {
    const log = this.#log;
    if (log === undefined || this.#checked.has(domain)) return;
    if (this.#checked.size >= CHECKED_LIMIT) this.#checked.clear();
    this.#checked.add(domain);
    for (const other of others) {
      if (parameter === HARMLESS.parameter && other === HARMLESS.later) continue;
      if (await this.#mayList(other, domain)) {
        log.warning(`do not list domain ${printable(domain)} in BOTH ${parameter} and ${other}`);
      }
    }
    if (parameter === "virtual_alias_domains" && domain === this.#origin) {
      log.warning(`do not list $myorigin (${printable(domain)}) in virtual_alias_domains`);
    }
  }

  /** Like `#lists`; a table that cannot answer must not delay mail for the sake of a warning. */
  async #mayList(parameter: string, domain: string): Promise<boolean> {
    try {
      return await this.#lists(parameter, domain);
    } catch (error) {
      if (error instanceof TableTrouble) return false;
      throw error;
    }
  }
}
