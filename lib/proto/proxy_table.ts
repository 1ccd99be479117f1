/**
 * Tables that a process looks up through proxymap because they are on a server that it may not reach.
 *
 * @module
 */
// Tables
import { asksServer, takesPartialKeys } from "../table/table_files.ts";
import type { Outcome, Table } from "../table/table.ts";
// Internal protocols
import type { MapLookup } from "./proxymap_client.ts";

/** One table of a parameter, as proxymap sees it. */
export class ProxyTable implements Table {
  readonly spec: string;
  readonly partialKeys: boolean;
  readonly #parameter: string;
  readonly #maps: MapLookup;

  constructor(spec: string, parameter: string, maps: MapLookup) {
    this.spec = spec;
    this.partialKeys = takesPartialKeys(spec);
    this.#parameter = parameter;
    this.#maps = maps;
  }

  async lookup(key: string): Promise<Outcome> {
    const outcome = await this.#maps.find(this.#parameter, "key", key, this.spec);
    return outcome.kind === "found" ? { kind: "found", value: outcome.value } : outcome;
  }
}

/**
 * The tables of a parameter: those on servers through proxymap, the others opened here.
 *
 * @param maps makes the client of proxymap; called when one is needed
 */
export function openTables(
  parameter: string,
  specs: readonly string[],
  maps: () => MapLookup,
  open: (spec: string) => Table,
): Table[] {
  return specs.map((spec) => asksServer(spec) ? new ProxyTable(spec, parameter, maps()) : open(spec));
}
