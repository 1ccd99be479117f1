/**
 * The envelope's addresses: completed by trivial-rewrite, recipients expanded by virtual_alias_maps
 * (postfix-map section 7.2).
 */
// Utility
import { asciiLower } from "../../lib/vstring/ascii.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { domainOf, joinAddress } from "../../lib/mail/address.ts";
// Server skeleton
import type { MapLookup } from "../../lib/proto/proxymap_client.ts";
import type { RewriteClient } from "../../lib/proto/rewrite_client.ts";
// This program
import { parseAliasValue } from "./cleanup_alias.ts";

/** Limits of one recipient's expansion. */
export interface AliasLimits {
  /** virtual_alias_expansion_limit: addresses. */
  readonly expansion: number;
  /** virtual_alias_recursion_limit: depth. */
  readonly recursion: number;
  /** virtual_alias_address_length_limit: bytes of one address. */
  readonly length: number;
}

/** The addresses that a recipient stands for, or why nobody can tell now. */
export type Expanded =
  | {
    readonly kind: "addresses";
    readonly addresses: readonly string[];
    /** The alias that stood for them; undefined when it was none. */
    readonly alias: string | undefined;
  }
  /** A table or service failed: the client must try again later. */
  | { readonly kind: "retry"; readonly why: string }
  /** The aliases pass a limit, as when they go round; somebody has to mend them. */
  | { readonly kind: "unreasonable"; readonly why: string };

/** Rewrites and expands addresses. */
export class AddressPipeline {
  readonly #rewrite: RewriteClient;
  readonly #aliases: MapLookup | undefined;
  readonly #limits: AliasLimits;
  readonly #propagate: boolean;

  /**
   * @param aliases undefined when virtual_alias_maps is empty
   * @param propagate an unmatched extension goes on to the result (propagate_unmatched_extensions has "virtual")
   */
  constructor(
    rewrite: RewriteClient,
    aliases: MapLookup | undefined,
    limits: AliasLimits,
    propagate: boolean,
  ) {
    this.#rewrite = rewrite;
    this.#aliases = aliases;
    this.#limits = limits;
    this.#propagate = propagate;
  }

  /** The address in canonical form when that is known without asking anybody. */
  known(address: string): string | undefined {
    return this.#aliases === undefined ? this.#rewrite.cachedRewrite("local", address) : undefined;
  }

  /** The canonical form of a sender. */
  rewrite(address: string): ReturnType<RewriteClient["rewrite"]> {
    return this.#rewrite.rewriteInternal("local", address);
  }

  /** The canonical form of an address in a header when it is known without asking anybody, external form both. */
  knownHeader(address: string): string | undefined {
    return this.#rewrite.cachedHeaderRewrite("local", address);
  }

  /** The canonical form of an address in a header, external form both; as it was when nobody can tell now. */
  async rewriteHeader(address: string): Promise<string> {
    const outcome = await this.#rewrite.rewrite("local", address);
    return outcome.kind === "rewritten" ? outcome.address : address;
  }

  /** What a recipient stands for. */
  async expand(address: string): Promise<Expanded> {
    const rewritten = await this.#rewrite.rewriteInternal("local", address);
    if (rewritten.kind === "retry") return rewritten;
    if (this.#aliases === undefined) {
      return { kind: "addresses", addresses: [rewritten.address], alias: undefined };
    }
    return await this.#expandAliases(this.#aliases, rewritten.address);
  }

  /** Looks every address up, its results too, until each stands for itself. */
  async #expandAliases(aliases: MapLookup, first: string): Promise<Expanded> {
    const done: string[] = [];
    const waiting: { address: string; depth: number; path: readonly string[] }[] = [{
      address: first,
      depth: 0,
      path: [],
    }];
    let count = 1;
    while (waiting.length > 0) {
      const { address, depth, path } = waiting.shift()!;
      const key = asciiLower(address);
      const found = await aliases.find("virtual_alias_maps", "address", address);
      if (found.kind === "retry") return found;
      if (found.kind === "missing" || path.includes(key)) {
        done.push(address);
        continue;
      }
      if (depth >= this.#limits.recursion) return tooBig(first, "recursion");
      const targets = parseAliasValue(found.value);
      // Without this a recipient would vanish.
      if (targets.length === 0) return nobody(address, found.value);
      for (const raw of targets) {
        const extended = this.#propagate && found.extension !== ""
          ? withExtension(raw, found.extension)
          : raw;
        const result = await this.#rewrite.rewriteInternal("local", extended);
        if (result.kind === "retry") return result;
        if (++count > this.#limits.expansion) return tooBig(first, "expansion");
        if (result.address.length > this.#limits.length) return tooBig(first, "address length");
        // An address that stands for itself, or for one that it came from, is final.
        if (asciiLower(result.address) === key) done.push(result.address);
        else waiting.push({ address: result.address, depth: depth + 1, path: [...path, key] });
      }
    }
    const alias = done.length === 1 && done[0] === first ? undefined : first;
    return { kind: "addresses", addresses: done, alias };
  }
}

function tooBig(address: string, what: string): Expanded {
  return {
    kind: "unreasonable",
    why: `unreasonable virtual_alias_maps map ${what} for ${printable(address)}`,
  };
}

function nobody(address: string, value: string): Expanded {
  const why = `virtual_alias_maps lookup of ${printable(address)} returns non-address result "${
    printable(value, 100)
  }"`;
  return { kind: "retry", why };
}

function withExtension(address: string, extension: string): string {
  const domain = domainOf(address);
  if (domain === "") return address + extension;
  return joinAddress(address.slice(0, address.length - domain.length - 1) + extension, domain);
}
