/**
 * The lookup tables of the clients that are about servers, replies and results rather than about the message:
 * asked through proxymap, and not there at all where none is configured.
 *
 * @module
 */
import { splitBlanks } from "../vstring/ascii.ts";
import { decodeText, encodeText } from "../vstring/byte_builder.ts";
import { printable } from "../vstring/printable.ts";
import type { Settings } from "../config/parameters.ts";
import type { DnsLookup } from "../proto/dns_client.ts";
import { filterDns, type FilteredDns } from "../proto/dns_filter.ts";
import type { LineLookup, MapLookup } from "../proto/proxymap_client.ts";
import { localFailure, StreamError } from "./client_failure.ts";
import type { Dialect } from "./client_policy.ts";
import type { ClientSession } from "./client_session.ts";
import { leadingStatus } from "./reply.ts";

/** What each table is called by the two programs. */
const NAMES = {
  smtp: {
    cached: "smtp_connection_cache_destinations",
    discard: "smtp_discard_ehlo_keyword_address_maps",
    dns: "smtp_dns_reply_filter",
    pix: "smtp_pix_workaround_maps",
    reply: "smtp_reply_filter",
    status: "smtp_delivery_status_filter",
  },
  lmtp: {
    cached: "lmtp_connection_cache_destinations",
    discard: "lmtp_discard_lhlo_keyword_address_maps",
    dns: "lmtp_dns_reply_filter",
    pix: "lmtp_pix_workaround_maps",
    reply: "lmtp_reply_filter",
    status: "lmtp_delivery_status_filter",
  },
} as const;
type TableName = keyof (typeof NAMES)["smtp"];

/** Parameters of one program that are read here. */
export type TableSettings<D extends Dialect> = Settings<(typeof NAMES)[D][TableName]>;

/** Log lines. */
export interface TableLog {
  info(text: string): void;
  warning(text: string): void;
}

/** A delivery's result as the filter sees it. */
export interface FilteredStatus {
  readonly status: string;
  readonly reason: string;
}

/** The tables of one program. */
export class ClientTables {
  readonly #names: Readonly<Record<TableName, string>>;
  readonly #set: ReadonlySet<TableName>;
  readonly #maps: MapLookup & LineLookup;
  readonly #log: TableLog;

  private constructor(
    dialect: Dialect,
    set: ReadonlySet<TableName>,
    maps: MapLookup & LineLookup,
    log: TableLog,
  ) {
    this.#names = NAMES[dialect];
    this.#set = set;
    this.#maps = maps;
    this.#log = log;
  }

  /** The tables, or undefined when none is configured. `maps` is called only where there are some. */
  static from<D extends Dialect>(
    dialect: D,
    settings: TableSettings<D>,
    maps: () => MapLookup & LineLookup,
    log: TableLog,
  ): ClientTables | undefined {
    const values = settings as unknown as Readonly<Record<string, readonly unknown[]>>;
    const names = Object.entries(NAMES[dialect]) as [TableName, string][];
    const set = new Set(names.filter(([, name]) => values[name]!.length > 0).map(([table]) => table));
    return set.size === 0 ? undefined : new ClientTables(dialect, set, maps(), log);
  }

  /** True where connections to the domain are kept whatever qmgr has (smtp_connection_cache_destinations). */
  async keepsConnections(domain: string): Promise<boolean> {
    if (!this.#set.has("cached")) return false;
    // A table that cannot be asked costs a connection, and no mail.
    return (await this.#maps.find(this.#names.cached, "list", domain)).kind === "found";
  }

  /** EHLO keywords that are not believed from this server; undefined when the table does not have it. */
  async discardedKeywords(session: ClientSession): Promise<readonly string[] | undefined> {
    const value = await this.#ofServer("discard", session);
    return value === undefined ? undefined : splitBlanks(value, true);
  }

  /** Work-arounds for this server; undefined when the table does not have it. */
  async pixWorkarounds(session: ClientSession): Promise<readonly string[] | undefined> {
    const value = await this.#ofServer("pix", session);
    return value === undefined ? undefined : splitBlanks(value, true);
  }

  async #ofServer(table: "discard" | "pix", session: ClientSession): Promise<string | undefined> {
    if (!this.#set.has(table)) return undefined;
    const { name, label, host } = session;
    const found = await this.#maps.find(this.#names[table], "key", host.address);
    if (found.kind === "found") return found.value;
    if (found.kind === "missing") return undefined;
    this.#log.warning(`${this.#names[table]} map lookup error for ${host.address}: ${printable(found.why)}`);
    throw new StreamError(
      localFailure("stream", true, "4.3.0", `local data error while talking to ${label}`, name),
    );
  }

  /** True when reply lines are changed. */
  get filtersReplies(): boolean {
    return this.#set.has("reply");
  }

  /** What a server is taken to have said (smtp_reply_filter). */
  async filterReply(line: Uint8Array, session: ClientSession): Promise<Uint8Array> {
    const found = await this.#maps.findLines(this.#names.reply, [line]);
    if (found.kind === "retry") {
      this.#log.warning(
        `${this.#names.reply} lookup error for "${printable(line)}": ${printable(found.why)}`,
      );
      return encodeText("450 4.3.0 Internal error");
    }
    const value = found.values.get(0);
    if (value === undefined) return line;
    const [said, taken] = [printable(line), printable(value)];
    this.#log.info(`${session.label}:${session.host.port}: replacing server reply "${said}" with "${taken}"`);
    return value;
  }

  /** Answers of the dns daemon as the rest of the client gets them. */
  filterDns(dns: DnsLookup): FilteredDns {
    return this.#set.has("dns") ? filterDns(this.#names.dns, dns, this.#maps, this.#log) : dns;
  }

  /** True when results of deliveries are changed. */
  get filtersStatus(): boolean {
    return this.#set.has("status");
  }

  /** The result of a delivery as it is told: never a success of a failure, nor the other way round. */
  async filterStatus(given: FilteredStatus): Promise<FilteredStatus> {
    const key = `${given.status} ${given.reason}`;
    const found = await this.#maps.findLines(this.#names.status, [encodeText(key)]);
    const bad = (why: string) => {
      this.#log.warning(`${this.#names.status}: ${printable(why)}: result "${printable(key)}" stays`);
      return given;
    };
    if (found.kind === "retry") return bad(`lookup error: ${found.why}`);
    const value = found.values.get(0);
    if (value === undefined) return given;
    const text = decodeText(value);
    const status = leadingStatus(text);
    if (status === undefined) return bad(`"${text}" has no status code`);
    if ((status[0] === "2") !== (given.status[0] === "2")) {
      return bad(`"${text}" turns success and failure round`);
    }
    return { status, reason: text.slice(status.length + 1) };
  }
}
