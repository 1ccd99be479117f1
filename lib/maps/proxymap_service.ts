/**
 * Answers the look-ups of other daemons.
 *
 * @module
 */
// Utility
import type { Logger } from "../log/log.ts";
import { encodeText } from "../vstring/byte_builder.ts";
import { printable } from "../vstring/printable.ts";
// Tables
import { listSubject, matchList, parseList } from "../table/match_list.ts";
import { parentStyle } from "../table/parameter_lists.ts";
import {
  accessSearch,
  addressSearch,
  clientSearch,
  domainSearch,
  keySearch,
  type SearchOutcome,
  transportSearch,
} from "../table/search.ts";
import type { ExtensionHow, ParentStyle } from "../table/search_keys.ts";
import type { Table } from "../table/table.ts";
import { withoutProxy } from "../table/spec.ts";
// Internal protocols
import type { RequestValues } from "../ipc/protocol.ts";
import type { Handler } from "../ipc/server.ts";
import { PROXYMAP } from "../proto/protocols.ts";
// Maps
import { isLocalDomain, type LocalDomains } from "./proxymap_local.ts";
import {
  type OpenedParameter,
  type ProxymapSettings,
  type ProxymapTables,
  SERVERS_ONLY,
} from "./proxymap_tables.ts";

/** Longest value that fits a reply, bytes. */
const VALUE_LIMIT = PROXYMAP.replies.found.fields.value.most;
/** Longest reason that fits a reply, UTF-16 units; each is three bytes at most. */
const REASON_UNITS = Math.floor(PROXYMAP.replies.retry.fields.reason.most / 3);

/** One look-up as a client asks for it. */
export type FindRequest = RequestValues<typeof PROXYMAP, "find">;

/** Searches the tables of the parameters that clients may name. */
export class MapService {
  readonly #tables: ProxymapTables;
  readonly #log: Logger;
  readonly #extension: ExtensionHow;
  readonly #parents: readonly string[];
  readonly #local: LocalDomains;

  /** @param addresses this host's addresses, as `addressSet` makes them */
  constructor(
    settings: ProxymapSettings,
    tables: ProxymapTables,
    addresses: ReadonlySet<string>,
    log: Logger,
  ) {
    this.#tables = tables;
    this.#log = log;
    this.#parents = settings.parent_domain_matches_subdomains;
    this.#extension = {
      delimiters: settings.recipient_delimiter,
      ownerRequestSpecial: settings.owner_request_special,
      doubleBounceSender: settings.double_bounce_sender,
    };
    const mydestination = tables.open("mydestination").list ??
      parseList([], { kind: "string", parents: "dotted", name: "mydestination" });
    this.#local = { myorigin: settings.myorigin, mydestination, addresses };
  }

  /** The answer to a request. A request for what is not allowed, and every trouble, is `retry`: nothing bounces. */
  async find(request: FindRequest): Promise<SearchOutcome> {
    const { parameter, table } = request;
    if (!this.#tables.isSearched(parameter)) {
      return this.#deny(request, "parameter is not among those served");
    }
    if (SERVERS_ONLY.includes(parameter) && table === "") {
      return this.#deny(request, "only tables on servers are served of this parameter");
    }
    const opened = this.#tables.open(parameter);
    const chosen = table === "" ? opened.tables : opened.tables.filter(({ spec }) => sameTable(spec, table));
    if (table !== "" && chosen.length === 0) return this.#deny(request, "parameter does not name that table");
    const outcome = await this.#search(request, opened, chosen);
    if (outcome.kind === "retry") this.#log.warning(`${parameter}: ${outcome.why}`);
    if (outcome.kind === "found" && encodeText(outcome.value).length > VALUE_LIMIT) {
      return this.#deny(request, `value is longer than ${VALUE_LIMIT} bytes`);
    }
    return outcome;
  }

  #search(request: FindRequest, opened: OpenedParameter, tables: readonly Table[]): Promise<SearchOutcome> {
    const { search, key, table } = request;
    switch (search) {
      case "key":
        return keySearch(tables, key);
      case "address":
        return addressSearch(tables, key, {
          extension: this.#extension,
          isLocal: (domain) => isLocalDomain(domain, this.#local),
        });
      case "access":
        return accessSearch(tables, key, this.#extension, this.#style("smtpd_access_maps"));
      case "domain":
        return domainSearch(tables, key, this.#style("smtpd_access_maps"));
      case "transport":
        return transportSearch(tables, key, this.#extension, this.#style("transport_maps"));
      case "client": {
        const space = key.lastIndexOf(" ");
        const name = key.slice(0, Math.max(space, 0));
        return clientSearch(tables, name, key.slice(space + 1), this.#style("smtpd_access_maps"));
      }
      case "list":
        return table === "" ? this.#searchList(request, opened) : keySearch(tables, key);
      default:
        return search satisfies never;
    }
  }

  async #searchList(request: FindRequest, opened: OpenedParameter): Promise<SearchOutcome> {
    // A parameter that is a list of tables only, searched as a list: is the key in one of them?
    if (opened.list === undefined) return await keySearch(opened.tables, request.key);
    const outcome = await matchList(opened.list, listSubject(opened.list.how.kind, request.key));
    return outcome.kind === "found" ? { ...outcome, extension: "" } : outcome;
  }

  #style(feature: string): ParentStyle {
    return parentStyle(feature, this.#parents);
  }

  #deny(request: FindRequest, why: string): SearchOutcome {
    const table = request.table === "" ? "" : ` table "${printable(request.table)}"`;
    this.#log.warning(`refused request for "${printable(request.parameter)}"${table}: ${why}`);
    return { kind: "retry", why: `request refused: ${why}` };
  }
}

function sameTable(spec: string, wanted: string): boolean {
  return withoutProxy(spec) === withoutProxy(wanted);
}

/** Connects the service to the protocol. */
export function proxymapHandler(service: MapService): Handler<typeof PROXYMAP> {
  return async (exchange, message) => {
    const outcome = await service.find(message);
    switch (outcome.kind) {
      case "found":
        return exchange.reply("found", { value: outcome.value, extension: outcome.extension });
      case "missing":
        return exchange.reply("missing", {});
      case "retry":
        return exchange.reply("retry", { reason: outcome.why.slice(0, REASON_UNITS) });
      default:
        return outcome satisfies never;
    }
  };
}
