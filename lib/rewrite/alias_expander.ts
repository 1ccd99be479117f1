/**
 * Recipients that stand for others: virtual_alias_maps (postfix-map section 7.2). cleanup expands them; `postern explain`
 * shows how.
 *
 * @module
 */
// Utility
import type { Settings } from "../config/parameters.ts";
import { asciiLower } from "../vstring/ascii.ts";
import { encodeText } from "../vstring/byte_builder.ts";
import { printable } from "../vstring/printable.ts";
// Mail
import { mapAddress } from "../mail/address_list.ts";
import { quoteAddress } from "../mail/address.ts";
// Internal protocols
import type { MapLookup } from "../proto/proxymap_client.ts";
import type { RewriteClient } from "../proto/rewrite_client.ts";

/** The settings that bound expansion, and say what becomes of extensions. */
export type AliasSettings = Settings<
  | "propagate_unmatched_extensions"
  | "virtual_alias_address_length_limit"
  | "virtual_alias_expansion_limit"
  | "virtual_alias_recursion_limit"
>;

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

/** Is told of an alias that was found, and of the addresses that it stands for. */
export type ExpansionWatch = (alias: string, targets: readonly string[]) => void;

/** Expands recipients. */
export class AliasExpander {
  readonly #rewrite: RewriteClient;
  readonly #maps: MapLookup;
  readonly #limits: AliasLimits;
  readonly #propagate: boolean;
  readonly #expanded: ExpansionWatch | undefined;

  /**
   * @param propagate an unmatched extension goes on to the result (propagate_unmatched_extensions has "virtual")
   * @param expanded gets each alias with what it stands for
   */
  constructor(
    rewrite: RewriteClient,
    maps: MapLookup,
    limits: AliasLimits,
    propagate: boolean,
    expanded?: ExpansionWatch,
  ) {
    this.#rewrite = rewrite;
    this.#maps = maps;
    this.#limits = limits;
    this.#propagate = propagate;
    this.#expanded = expanded;
  }

  /** The expander that the settings make. */
  static from(
    settings: AliasSettings,
    rewrite: RewriteClient,
    maps: MapLookup,
    expanded?: ExpansionWatch,
  ): AliasExpander {
    const limits = {
      expansion: settings.virtual_alias_expansion_limit,
      recursion: settings.virtual_alias_recursion_limit,
      length: settings.virtual_alias_address_length_limit,
    };
    const propagate = settings.propagate_unmatched_extensions.includes("virtual");
    return new AliasExpander(rewrite, maps, limits, propagate, expanded);
  }

  /** What a recipient in canonical form stands for: its results are looked up again, each until it stands for itself. */
  async expand(first: string): Promise<Expanded> {
    const addresses = [first];
    /** Those that were found to stand for themselves, perhaps among others. */
    const final = new Set<string>();
    for (let i = 0; i < addresses.length; i++) {
      for (let depth = 0; !final.has(asciiLower(addresses[i]!)); depth++) {
        const address = addresses[i]!;
        const found = await this.#results(first, address, depth);
        if (found.kind === "missing") break;
        if (found.kind !== "found") return found;
        const [target, ...more] = found.targets;
        addresses[i] = target!;
        addresses.push(...more);
        if (addresses.length > this.#limits.expansion) return unreasonable("expansion size", first);
        const self = asciiLower(address);
        if (found.targets.some((one) => asciiLower(one) === self)) final.add(self);
      }
    }
    const alias = addresses.length === 1 && addresses[0] === first ? undefined : first;
    return { kind: "addresses", addresses, alias };
  }

  /** The addresses that the tables have for one, complete; at least one. */
  async #results(
    first: string,
    address: string,
    depth: number,
  ): Promise<
    { kind: "found"; targets: string[] } | { kind: "missing" } | Exclude<Expanded, { kind: "addresses" }>
  > {
    if (depth >= this.#limits.recursion) return unreasonable("nesting", first);
    const found = await this.#maps.find("virtual_alias_maps", "address", address);
    if (found.kind === "missing") return found;
    if (found.kind === "retry") {
      const why = `virtual_alias_maps map lookup problem for ${printable(address)}: ${found.why}`;
      return { kind: "retry", why };
    }
    const targets: string[] = [];
    for (const raw of mapAddress(address, found.value, found.extension, this.#propagate)) {
      const result = await this.#rewrite.rewriteInternal("local", raw);
      if (result.kind === "retry") return result;
      if (encodeText(quoteAddress(result.address)).length > this.#limits.length) {
        return {
          kind: "unreasonable",
          why: `unreasonable virtual_alias_maps result ${printable(result.address, 300)}`,
        };
      }
      targets.push(result.address);
    }
    this.#expanded?.(address, targets);
    // Without this a recipient would vanish.
    return targets.length === 0 ? nobody(address, found.value) : { kind: "found", targets };
  }
}

function unreasonable(what: string, address: string): { kind: "unreasonable"; why: string } {
  return {
    kind: "unreasonable",
    why: `unreasonable virtual_alias_maps map ${what} for ${printable(address)}`,
  };
}

function nobody(address: string, value: string): { kind: "retry"; why: string } {
  const why = `virtual_alias_maps lookup of ${printable(address)} returns non-address result "${
    printable(value, 100)
  }"`;
  return { kind: "retry", why };
}
