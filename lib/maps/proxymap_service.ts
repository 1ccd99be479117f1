/**
 * Answers the look-ups of other daemons.
 *
 * @module
 */
// Utility
import type { Logger } from "../log/log.ts";
import { encodeText } from "../vstring/byte_builder.ts";
import { bytesOfText, textOfBytes } from "../vstring/byte_text.ts";
import { printable } from "../vstring/printable.ts";
// Tables
import { listSubject, matchList, parseList } from "../table/match_list.ts";
import { parentStyle } from "../table/parameter_lists.ts";
import {
  accessSearch,
  addressSearch,
  clientSearch,
  domainSearch,
  type Hit,
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
import type { MapOutcome } from "../proto/proxymap_client.ts";
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
/** Longest place that fits a reply, bytes. */
const PLACE_LIMIT = PROXYMAP.replies.found.fields.place.most;
/** Longest reason that fits a reply, UTF-16 units; each is three bytes at most. */
const REASON_UNITS = Math.floor(PROXYMAP.replies.retry.fields.reason.most / 3);

/** How long one request for lines may keep others waiting, milliseconds. */
export const LINES_TIME = 5;
/** How much an answer to a request for lines may hold, bytes. */
const LINES_SIZE = 256 * 1024;

/** One look-up as a client asks for it. */
export type FindRequest = RequestValues<typeof PROXYMAP, "find">;
/** Many look-ups at once. */
export type LinesRequest = RequestValues<typeof PROXYMAP, "lines">;

/** What the tables have for lines. */
export type LinesOutcome =
  | {
    readonly kind: "matched";
    readonly done: number;
    readonly matches: readonly { readonly index: number; readonly value: Uint8Array }[];
  }
  | { readonly kind: "retry"; readonly why: string };

/** An entry that answered: its table, its key there, and its place, "FILE:LINE", where the table is a text file. */
export interface FoundEntry {
  readonly table: string;
  readonly key: string;
  readonly value: string;
  readonly place: string;
}

/** Parameters whose tables have `.example.com` for what is below a domain, whatever access tables have. */
const DOTTED: readonly string[] = ["smtp_requiretls_policy", "lmtp_requiretls_policy"];

/** Is told of entries that answer requests. */
export type FoundWatch = (request: FindRequest, entry: FoundEntry) => void;

/** Searches the tables of the parameters that clients may name. */
export class MapService {
  readonly #tables: ProxymapTables;
  readonly #log: Logger;
  readonly #extension: ExtensionHow;
  readonly #parents: readonly string[];
  readonly #local: LocalDomains;
  readonly #found: FoundWatch | undefined;
  readonly #now: () => number;

  /**
   * @param addresses this host's addresses, as `addressSet` makes them
   * @param found is told of each entry that answers a request
   * @param now a clock that only goes ahead, milliseconds
   */
  constructor(
    settings: ProxymapSettings,
    tables: ProxymapTables,
    addresses: ReadonlySet<string>,
    log: Logger,
    found?: FoundWatch,
    now: () => number = () => performance.now(),
  ) {
    this.#found = found;
    this.#now = now;
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
  async find(request: FindRequest): Promise<MapOutcome> {
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
    if (outcome.kind !== "found") return outcome;
    const { kind, value, extension, hit } = outcome;
    if (hit !== undefined) {
      this.#found?.(request, { table: hit.table.spec, key: hit.key, value, place: placeOf(hit) });
    }
    const place = table === "" ? "" : placeOf(hit);
    return place === "" ? { kind, value, extension } : { kind, value, extension, place };
  }

  /**
   * The answers for the first of the lines, as many as a moment allows: a message that is made to match slowly must
   * not keep the look-ups of others waiting.
   */
  async findLines({ parameter, lines }: LinesRequest): Promise<LinesOutcome> {
    if (!this.#tables.isSearched(parameter) || SERVERS_ONLY.includes(parameter)) {
      return this.#denyLines(parameter, "parameter is not among those served");
    }
    const { tables } = this.#tables.open(parameter);
    const keys = lines.map(({ line }) => textOfBytes(line));
    const matches: { index: number; value: Uint8Array }[] = [];
    const end = this.#now() + LINES_TIME;
    let size = 0;
    let done = 0;
    while (done < keys.length && size < LINES_SIZE && (done === 0 || this.#now() < end)) {
      const outcome = await keySearch(tables, keys[done]!);
      if (outcome.kind === "retry") {
        this.#log.warning(`${parameter}: ${printable(outcome.why)}`);
        return outcome;
      }
      if (outcome.kind === "found") {
        const value = bytesOfText(outcome.value);
        if (value.length > VALUE_LIMIT) {
          return this.#denyLines(parameter, `value is longer than ${VALUE_LIMIT} bytes`);
        }
        matches.push({ index: done, value });
        size += value.length;
      }
      done++;
    }
    return { kind: "matched", done, matches };
  }

  #denyLines(parameter: string, why: string): LinesOutcome {
    this.#log.warning(`refused request for "${printable(parameter)}": ${why}`);
    return { kind: "retry", why: `request refused: ${why}` };
  }

  #search(request: FindRequest, opened: OpenedParameter, tables: readonly Table[]): Promise<SearchOutcome> {
    const { parameter, search, key, table } = request;
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
        return domainSearch(
          tables,
          key,
          DOTTED.includes(parameter) ? "dotted" : this.#style("smtpd_access_maps"),
        );
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

  #deny(request: FindRequest, why: string): MapOutcome {
    const table = request.table === "" ? "" : ` table "${printable(request.table)}"`;
    this.#log.warning(`refused request for "${printable(request.parameter)}"${table}: ${why}`);
    return { kind: "retry", why: `request refused: ${why}` };
  }
}

/** Where the entry stands that a search has found; empty when the table cannot tell, or nobody could write it down. */
function placeOf(hit: Hit | undefined): string {
  const place = hit?.table.placeOf?.(hit.key) ?? "";
  return encodeText(place).length > PLACE_LIMIT ? "" : place;
}

function sameTable(spec: string, wanted: string): boolean {
  return withoutProxy(spec) === withoutProxy(wanted);
}

/** Connects the service to the protocol. */
export function proxymapHandler(service: MapService): Handler<typeof PROXYMAP> {
  return async (exchange, message) => {
    const outcome = message.is === "find" ? await service.find(message) : await service.findLines(message);
    switch (outcome.kind) {
      case "found":
        return exchange.reply("found", {
          value: outcome.value,
          extension: outcome.extension,
          place: outcome.place ?? "",
        });
      case "missing":
        return exchange.reply("missing", {});
      case "matched":
        return exchange.reply("matched", { done: outcome.done, matches: outcome.matches });
      case "retry":
        return exchange.reply("retry", { reason: outcome.why.slice(0, REASON_UNITS) });
      default:
        return outcome satisfies never;
    }
  };
}
