/**
 * local_header_rewrite_clients: whose mail has its headers completed as mail from here has. For all others headers are
 * left alone, or completed with remote_header_rewrite_domain.
 */
// Server skeleton
import type { MapLookup } from "../../lib/proto/proxymap_client.ts";
// Access
import type { Peer } from "../../lib/access/peer.ts";

/** The list, read. */
export class LocalClients {
  readonly #items: readonly string[];
  readonly #maps: MapLookup;

  constructor(items: readonly string[], maps: MapLookup) {
    this.#items = items;
    this.#maps = maps;
  }

  /** True when the first item that says something says so; a promise when a table has to be asked. */
  matches(peer: Peer, trusted: boolean): boolean | Promise<boolean> {
    const tables: string[] = [];
    for (const item of this.#items) {
      // What stands for everybody needs no question: Postfix's submission services have it.
      if (item.startsWith("static:")) return true;
      if (item.includes(":")) tables.push(item);
      else if (item === "permit_inet_interfaces" ? peer.ours : item === "permit_mynetworks" && trusted) {
        return true;
      }
    }
    return tables.length === 0 ? false : this.#isListed(peer.address, tables);
  }

  /** Trouble means: the headers stay as they are. */
  async #isListed(address: string, tables: readonly string[]): Promise<boolean> {
    for (const table of tables) {
      const found = await this.#maps.find("local_header_rewrite_clients", "key", address, table);
      if (found.kind === "found") return true;
    }
    return false;
  }
}
