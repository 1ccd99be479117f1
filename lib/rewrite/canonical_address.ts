/**
 * What becomes of an address in an envelope or a header: completed by trivial-rewrite, then replaced by
 * sender_canonical_maps or recipient_canonical_maps and by canonical_maps, then masqueraded (postfix-map section 7.2).
 * cleanup does it; `postern explain` shows it.
 *
 * @module
 */
// Utility
import type { Settings } from "../config/parameters.ts";
import { asciiLower, equalsIgnoreCase } from "../vstring/ascii.ts";
import { encodeText } from "../vstring/byte_builder.ts";
import { printable } from "../vstring/printable.ts";
// Mail
import { quoteAddress, splitAddress, unquoteAddress } from "../mail/address.ts";
import { mapAddress } from "../mail/address_list.ts";
// Internal protocols
import { ADDRESS_LIMIT } from "../proto/protocols.ts";
import type { MapLookup } from "../proto/proxymap_client.ts";
import type { RewriteClient, RewriteContext, RewriteOutcome } from "../proto/rewrite_client.ts";
// Rewriting
import { masquerade } from "./masquerade.ts";

/** The settings that say which addresses are replaced, and by what. */
export type CanonicalSettings = Settings<
  | "canonical_classes"
  | "canonical_maps"
  | "masquerade_classes"
  | "masquerade_domains"
  | "propagate_unmatched_extensions"
  | "recipient_canonical_classes"
  | "recipient_canonical_maps"
  | "sender_canonical_classes"
  | "sender_canonical_maps"
>;

/** Where an address stands: the words of canonical_classes and masquerade_classes. */
export type AddressRole = "envelope_sender" | "envelope_recipient" | "header_sender" | "header_recipient";

const ROLES: readonly AddressRole[] = [
  "envelope_sender",
  "envelope_recipient",
  "header_sender",
  "header_recipient",
];

/** How often the result of a table is looked up again (Postfix: MAX_RECURSION). */
const RECURSION_LIMIT = 10;
/** The local part that stands for no sender. */
const MAILER_DAEMON = "MAILER-DAEMON";

/** Is told of an address that a parameter's rules have replaced. */
export type ReplacementWatch = (parameter: string, before: string, after: string) => void;

/** Whose addresses are replaced. */
interface RoleRules {
  /** Parameters whose tables are searched, in order. */
  readonly tables: readonly string[];
  readonly masquerades: boolean;
}

/** Gives addresses their canonical form. */
export class AddressPipeline {
  readonly #rewrite: RewriteClient;
  readonly #maps: MapLookup;
  readonly #roles: ReadonlyMap<AddressRole, RoleRules>;
  readonly #propagate: boolean;
  readonly #domains: readonly string[];
  readonly #warn: (text: string) => void;
  readonly #replaced: ReplacementWatch | undefined;

  constructor(
    rewrite: RewriteClient,
    maps: MapLookup,
    settings: CanonicalSettings,
    warn: (text: string) => void,
    replaced?: ReplacementWatch,
  ) {
    this.#replaced = replaced;
    this.#rewrite = rewrite;
    this.#maps = maps;
    this.#roles = new Map(ROLES.map((role) => [role, rulesOf(role, settings)]));
    this.#propagate = settings.propagate_unmatched_extensions.includes("canonical");
    this.#domains = settings.masquerade_domains;
    this.#warn = warn;
  }

  /** The canonical form of an address of the envelope when it is known without asking anybody, internal form both. */
  known(role: AddressRole, address: string, maps: boolean): string | undefined {
    if (maps && this.#changes(role)) return undefined;
    const known = this.#rewrite.cachedRewrite("local", address);
    // Whether it is ours takes another question.
    return role === "envelope_sender" && known !== undefined && isMailerDaemon(known) ? undefined : known;
  }

  /**
   * The canonical form of an address of the envelope, internal form both.
   *
   * @param maps the tables apply to this message
   */
  async canonical(role: AddressRole, address: string, maps: boolean): Promise<RewriteOutcome> {
    const complete = await this.#rewrite.rewriteInternal("local", address);
    if (complete.kind === "retry") return complete;
    if (role === "envelope_sender" && isMailerDaemon(complete.address)) {
      const ours = await this.#rewrite.rewriteInternal("local", MAILER_DAEMON);
      if (ours.kind === "retry") return ours;
      if (equalsIgnoreCase(ours.address, complete.address)) return await this.#map(role, "", maps);
    }
    return await this.#map(role, complete.address, maps);
  }

  /** The same for an address in a header, external form both. */
  knownHeader(
    context: RewriteContext,
    role: AddressRole,
    address: string,
    maps: boolean,
  ): string | undefined {
    if (maps && this.#changes(role)) return undefined;
    return this.#rewrite.cachedHeaderRewrite(context, address);
  }

  /** The canonical form of an address in a header, external form both; completed as far as that can be done now. */
  async canonicalHeader(
    context: RewriteContext,
    role: AddressRole,
    address: string,
    maps: boolean,
  ): Promise<RewriteOutcome> {
    const outcome = await this.#rewrite.rewrite(context, address);
    const complete = outcome.kind === "rewritten" ? outcome.address : address;
    if (!maps || !this.#changes(role)) return { kind: "rewritten", address: complete };
    const internal = unquoteAddress(complete);
    const mapped = await this.#map(role, internal, maps);
    // What did not change keeps the way in which it was written.
    if (mapped.kind === "retry" || mapped.address !== internal) {
      return mapped.kind === "retry" ? mapped : { kind: "rewritten", address: quoteAddress(mapped.address) };
    }
    return { kind: "rewritten", address: complete };
  }

  #changes(role: AddressRole): boolean {
    const { tables, masquerades } = this.#roles.get(role)!;
    return tables.length > 0 || masquerades;
  }

  async #map(role: AddressRole, address: string, maps: boolean): Promise<RewriteOutcome> {
    if (!maps) return { kind: "rewritten", address };
    const { tables, masquerades } = this.#roles.get(role)!;
    let current = address;
    for (const parameter of tables) {
      const outcome = await this.#search(parameter, current);
      if (outcome.kind === "retry") return outcome;
      current = outcome.address;
    }
    return masquerades ? await this.#masquerade(current) : { kind: "rewritten", address: current };
  }

  /** Replaces an address, and the result again, until a table has nothing for it or gives it back. */
  async #search(parameter: string, first: string): Promise<RewriteOutcome> {
    let address = first;
    for (let round = 0; round < RECURSION_LIMIT; round++) {
      const found = await this.#maps.find(parameter, "address", address);
      if (found.kind === "missing") return { kind: "rewritten", address };
      if (found.kind === "retry") {
        return {
          kind: "retry",
          why: `${parameter} map lookup problem for ${printable(first)}: ${found.why}`,
        };
      }
      const [target, ...more] = mapAddress(address, found.value, found.extension, this.#propagate);
      if (target === undefined) {
        return { kind: "retry", why: `${parameter} has no address for ${printable(address)}` };
      }
      if (more.length > 0) this.#warn(`multi-valued ${parameter} entry for ${printable(address)}`);
      const result = await this.#rewrite.rewriteInternal("local", target);
      // The envelope has no room for it, and what has no room would be lost.
      if (result.kind === "rewritten" && encodeText(result.address).length > ADDRESS_LIMIT) {
        return { kind: "retry", why: `unreasonable ${parameter} map result for ${printable(first)}` };
      }
      if (result.kind === "retry") return result;
      this.#replaced?.(parameter, address, result.address);
      if (equalsIgnoreCase(result.address, address)) return result;
      address = result.address;
    }
    this.#warn(`unreasonable ${parameter} map nesting for ${printable(first)}`);
    return { kind: "rewritten", address };
  }

  async #masquerade(address: string): Promise<RewriteOutcome> {
    const masked = masquerade(address, this.#domains);
    if (masked === address) return { kind: "rewritten", address };
    const name = asciiLower(quoteAddress(splitAddress(address).localpart));
    const excepted = await this.#maps.find("masquerade_exceptions", "list", name);
    if (excepted.kind === "retry") {
      return { kind: "retry", why: `masquerade_exceptions map lookup problem: ${excepted.why}` };
    }
    if (excepted.kind === "found") return { kind: "rewritten", address };
    this.#replaced?.("masquerade_domains", address, masked);
    return { kind: "rewritten", address: masked };
  }
}

function rulesOf(role: AddressRole, settings: CanonicalSettings): RoleRules {
  const sender = role.endsWith("_sender");
  const [own, classes] = sender
    ? ["sender_canonical_maps", settings.sender_canonical_classes] as const
    : ["recipient_canonical_maps", settings.recipient_canonical_classes] as const;
  const tables: string[] = [];
  if (settings[own].length > 0 && classes.includes(role)) tables.push(own);
  if (settings.canonical_maps.length > 0 && settings.canonical_classes.includes(role)) {
    tables.push("canonical_maps");
  }
  const masquerades = settings.masquerade_domains.length > 0 && settings.masquerade_classes.includes(role);
  return { tables, masquerades };
}

/** Mail from our own mailer daemon has no sender that could be told of anything. */
function isMailerDaemon(address: string): boolean {
  return address.length > MAILER_DAEMON.length && address[MAILER_DAEMON.length] === "@" &&
    equalsIgnoreCase(address.slice(0, MAILER_DAEMON.length), MAILER_DAEMON);
}
