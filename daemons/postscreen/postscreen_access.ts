/**
 * The permanent list (postscreen_access_list): who is let in or kept out without a test.
 */
// Utility
import { asciiLower } from "../../lib/vstring/ascii.ts";
import { printable } from "../../lib/vstring/printable.ts";
import { listSubject, type MatchList, matchLiteral, parseAddressList } from "../../lib/table/match_list.ts";
import { parentStyle } from "../../lib/table/parameter_lists.ts";
import type { Logger } from "../../lib/log/log.ts";
// Internal protocols
import type { MapLookup } from "../../lib/proto/proxymap_client.ts";
// This program
import type { PostscreenSettings } from "./postscreen_settings.ts";

/** What the list says. */
export type AccessVerdict = "permit" | "reject" | "dunno";

/** The list, read. */
export class AccessList {
  readonly #items: readonly string[];
  readonly #networks: MatchList;
  readonly #maps: MapLookup;
  readonly #log: Pick<Logger, "warning">;

  constructor(settings: PostscreenSettings, maps: MapLookup, log: Pick<Logger, "warning">) {
    this.#items = settings.postscreen_access_list;
    this.#networks = parseAddressList(settings.mynetworks, {
      parents: parentStyle("mynetworks", settings.parent_domain_matches_subdomains),
      name: "mynetworks",
    });
    this.#maps = maps;
    this.#log = log;
  }

  /** The first item that says something decides. Trouble ends the list, and says nothing. */
  async judge(address: string): Promise<AccessVerdict> {
    for (const item of this.#items) {
      const word = asciiLower(item);
      if (word === "permit" || word === "reject" || word === "dunno") return word;
      if (word === "permit_mynetworks") {
        if (await this.#isOurs(address)) return "permit";
        continue;
      }
      if (!item.includes(":")) {
        this.#log.warning(`postscreen_access_list: unknown command: ${item}`);
        return "dunno";
      }
      const verdict = await this.#lookUp(item, address);
      if (verdict !== undefined) return verdict;
    }
    return "dunno";
  }

  async #isOurs(address: string): Promise<boolean> {
    const key = ` ${address}`;
    const verdict = matchLiteral(this.#networks, listSubject("address", key));
    if (verdict !== "ask") return verdict === "match";
    return (await this.#maps.find("mynetworks", "list", key)).kind === "found";
  }

  /** Undefined: the next item is asked. */
  async #lookUp(table: string, address: string): Promise<AccessVerdict | undefined> {
    const found = await this.#maps.find("postscreen_access_list", "key", address, table);
    if (found.kind === "missing") return undefined;
    if (found.kind === "retry") {
      this.#log.warning(`postscreen_access_list: ${table}: table lookup error: ${printable(found.why)}`);
      return "dunno";
    }
    const word = asciiLower(found.value);
    if (word === "permit" || word === "reject" || word === "dunno") return word;
    this.#log.warning(`postscreen_access_list: ${table}: unknown command: ${printable(found.value)}`);
    return "dunno";
  }
}
