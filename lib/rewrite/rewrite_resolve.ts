/**
 * Resolution: from a recipient to its class, transport and next hop.
 *
 * Works on the internal form. A local part that needs quotes is looked into like any other (unless
 * `resolve_dequoted_address` says no): somewhere behind us a system drops the quotes and routes by what they held,
 * and then it is us who relayed.
 *
 * @module
 */
// Utility
import type { Logger } from "../log/log.ts";
import { formatIpAddress, parseIpAddress } from "../vstring/ip_address.ts";
// Mail
import { isDotString } from "../mail/address.ts";
import { isValidHostname, parseAddressLiteral } from "../mail/domain.ts";
// Rewriting
import type { AddressRewriter } from "./rewrite_address.ts";
import type { AddressClass, DomainClasses } from "./rewrite_classes.ts";
import { type Maps, type RewriteSettings, TableTrouble } from "./rewrite_settings.ts";
import { ERROR_TRANSPORT, Router } from "./rewrite_transport.ts";

/** Steps of local routing beyond the length of the address; each step takes a character off, so none needs them. */
const EXTRA_STEPS = 100;
const V4_LENGTH = 4;

/** What resolution says of a recipient. */
export interface Resolution {
  readonly transport: string;
  readonly nexthop: string;
  /** Internal form, always with a domain. */
  readonly recipient: string;
  readonly class: AddressClass;
  /** The local part holds `@`, `!` or `%`: another system may route by it. */
  readonly routed: boolean;
  /** No valid address; the transport is "error" and the next hop says so. */
  readonly bad: boolean;
}

/** A recipient taken apart, with all local domains stripped off. */
interface Stripped {
  readonly localpart: string;
  readonly domain: string;
  /** The domain is one of this host. */
  readonly local: boolean;
}

/** Resolves recipients. */
export class AddressResolver {
  readonly #settings: RewriteSettings;
  readonly #rewriter: AddressRewriter;
  readonly #classes: DomainClasses;
  readonly #router: Router;

  constructor(
    settings: RewriteSettings,
    rewriter: AddressRewriter,
    classes: DomainClasses,
    maps: Maps,
    log: Logger,
  ) {
    this.#settings = settings;
    this.#rewriter = rewriter;
    this.#classes = classes;
    this.#router = new Router(settings, maps, log);
  }

  /**
   * Resolves a recipient. Throws `TableTrouble` when a table cannot answer.
   *
   * @param sender internal form; routes may depend on it
   * @param address internal form
   */
  async resolve(sender: string, address: string): Promise<Resolution> {
    const stripped = await this.#strip(address);
    const checked = await this.#checkDomain(stripped);
    if (checked === undefined) return badAddress(stripped);
    const { localpart, domain, local } = checked;
    const recipient = `${localpart}@${domain}`;
    const kind = await this.#classes.classOf(domain, local);
    const route = await this.#router.route(kind, sender, recipient);
    // A program that is given such a recipient could take it for an option.
    const minus = localpart.startsWith("-") && !this.#settings.allow_min_user;
    if (minus) return badAddress(checked, kind);
    return { ...route, recipient, class: kind, routed: hasRouting(localpart), bad: false };
  }

  /** Strips local domains and follows the routing in the local part until a foreign domain or a user is left. */
  async #strip(address: string): Promise<Stripped> {
    let rest = address;
    let ownDomain: string | undefined;
    let named = false;
    for (let steps = address.length + EXTRA_STEPS; steps > 0; steps--) {
      rest = this.#tidyEnd(rest);
      const at = rest.lastIndexOf("@");
      let localpart = rest;
      if (at >= 0) {
        const domain = rest.slice(at + 1);
        localpart = rest.slice(0, at);
        if (domain !== "" && !await this.#classes.isLocal(domain)) return { localpart, domain, local: false };
        ownDomain = domain;
      }
      const unnamed: boolean = localpart === "" && !named;
      const next = unnamed ? this.#nobody() : this.#rewriter.unroute(localpart, !isDotString(localpart));
      if (next === undefined) return await this.#finish(localpart, ownDomain);
      named ||= unnamed;
      rest = next;
    }
    throw new TableTrouble("routing in address does not end");
  }

  /** Who gets what is addressed to nobody here; that may be an address elsewhere. */
  #nobody(): string | undefined {
    return this.#settings.empty_address_recipient || undefined;
  }

  /** A user of this host; without a domain he has the name of this host, whatever class that is of. */
  async #finish(localpart: string, ownDomain: string | undefined): Promise<Stripped> {
    const { myhostname } = this.#settings;
    if (ownDomain !== undefined) return { localpart, domain: ownDomain, local: true };
    return { localpart, domain: myhostname, local: await this.#classes.isLocal(myhostname) };
  }

  /** Without one dot at the end of the domain and, if so set, without an `@` at the end. */
  #tidyEnd(address: string): string {
    let out = address;
    const at = out.lastIndexOf("@");
    if (at >= 0 && out.endsWith(".") && at < out.length - 2 && !out.endsWith("..")) out = out.slice(0, -1);
    return this.#settings.resolve_null_domain && out.endsWith("@") ? out.slice(0, -1) : out;
  }

  /** The parts with a valid domain, or undefined. */
  async #checkDomain(parts: Stripped): Promise<Stripped | undefined> {
    const utf8 = this.#settings.smtputf8_enable;
    const { localpart, domain } = parts;
    // RFC 5321 section 4.1.2: a mailbox has a local part; an empty one would read as the null address somewhere.
    if (localpart === "" || (utf8 && !localpart.isWellFormed())) return undefined;
    if (domain.startsWith("[")) return parseAddressLiteral(domain) === undefined ? undefined : parts;
    if (isValidHostname(domain, { utf8 })) return parts;
    const bytes = this.#settings.resolve_numeric_domain ? parseIpAddress(domain) : undefined;
    if (bytes === undefined) return undefined;
    const tag = bytes.length === V4_LENGTH ? "" : "IPv6:";
    const literal = `[${tag}${formatIpAddress(bytes)}]`;
    return { localpart, domain: literal, local: parts.local || await this.#classes.isLocal(literal) };
  }
}

function badAddress(parts: Stripped, kind: AddressClass = "default"): Resolution {
  const recipient = `${parts.localpart}@${parts.domain}`;
  const routed = hasRouting(parts.localpart);
  const nexthop = "5.1.3 bad address syntax";
  return { transport: ERROR_TRANSPORT, nexthop, recipient, class: kind, routed, bad: true };
}

/** True whatever the settings of this host: the next one may have others. */
function hasRouting(localpart: string): boolean {
  return localpart.includes("@") || localpart.includes("!") || localpart.includes("%");
}
