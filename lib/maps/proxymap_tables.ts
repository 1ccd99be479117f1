/**
 * The tables that proxymap may search, by parameter. Each table is opened once, however many parameters name it.
 *
 * @module
 */
// Utility
import type { Logger } from "../log/log.ts";
import type { ParameterName, ParameterValue, Settings } from "../config/parameters.ts";
// Tables
import { listProblems, type MatchList, parseList } from "../table/match_list.ts";
import { openTableSoftly } from "../table/open.ts";
import type { OpenHow } from "../table/open_how.ts";
import { isAliasTable, listKind, parentStyle } from "../table/parameter_lists.ts";
import { withoutProxy } from "../table/spec.ts";
import { asksServer, tableSpecs } from "../table/table_files.ts";
import type { Table } from "../table/table.ts";

/** A parameter whose value is a list with tables. */
export type SearchedParameter = {
  [K in ParameterName]: ParameterValue<K> extends readonly string[] ? K : never;
}[ParameterName];

/** The settings that say how tables are searched, and the parameters that name them. */
export type ProxymapSettings =
  & Partial<Settings<SearchedParameter>>
  & Settings<
    | "alias_database"
    | "alias_maps"
    | "double_bounce_sender"
    | "myorigin"
    | "owner_request_special"
    | "parent_domain_matches_subdomains"
    | "proxy_read_maps"
    | "recipient_delimiter"
  >;

/** Parameters that decide about users: only their tables on servers are for this process. */
export const SERVERS_ONLY: readonly string[] = ["virtual_gid_maps", "virtual_uid_maps"];

/** Parameters whose results name files and users: no sender may write a part of them. */
const PARANOID_PARAMETERS: readonly string[] = [
  "virtual_gid_maps",
  "virtual_mailbox_maps",
  "virtual_uid_maps",
];

/** The parameters that clients may name: those whose tables a daemon's declaration lets it read. */
export function searchedParameters(
  reads: readonly `${"table" | "servers"}:${SearchedParameter}`[],
): SearchedParameter[] {
  return reads.map((item) => item.slice(item.indexOf(":") + 1) as SearchedParameter);
}

/** A parameter's value, opened. */
export interface OpenedParameter {
  readonly tables: readonly Table[];
  /** For parameters that are lists of names, networks and tables. */
  readonly list: MatchList | undefined;
}

/** Opens tables as they are asked for. */
export class ProxymapTables {
  readonly #settings: ProxymapSettings;
  readonly #log: Logger;
  readonly #how: Pick<OpenHow, "files" | "refused" | "servers">;
  /** The tables that may be named with `proxy:`, without it; undefined: all. */
  readonly #approved: ReadonlySet<string> | undefined;
  readonly #searched: ReadonlySet<string>;
  readonly #tables = new Map<string, Table>();
  readonly #parameters = new Map<SearchedParameter, OpenedParameter>();

  /**
   * @param searched the parameters that clients may name
   * @param how whom the sandbox's refusals are told, and how files and servers are reached
   */
  constructor(
    settings: ProxymapSettings,
    log: Logger,
    searched: readonly SearchedParameter[],
    how: Pick<OpenHow, "files" | "refused" | "servers"> = {},
  ) {
    this.#settings = settings;
    this.#log = log;
    this.#searched = new Set(searched);
    this.#how = how;
    const approved = tableSpecs(settings.proxy_read_maps);
    this.#approved = approved.length === 0 ? undefined : new Set(approved.map(withoutProxy));
  }

  /** Opens everything, so that what is wrong is logged at the start and not with the first mail. */
  openAll(): void {
    for (const parameter of this.#searched) this.open(parameter as SearchedParameter);
  }

  /** True for a parameter that clients may name. */
  isSearched(parameter: string): parameter is SearchedParameter {
    return this.#searched.has(parameter);
  }

  /** The parameter's tables, and its list where it is one. */
  open(parameter: SearchedParameter): OpenedParameter {
    const known = this.#parameters.get(parameter);
    if (known !== undefined) return known;
    const items = this.#settings[parameter] ?? [];
    const kind = listKind(parameter);
    const specs = [...new Set(tableSpecs(items))].filter((spec) =>
      !SERVERS_ONLY.includes(parameter) || asksServer(spec)
    );
    const opened = {
      tables: specs.map((spec) => this.#table(spec, parameter)),
      list: kind === undefined ? undefined : this.#list(parameter, kind, items),
    };
    this.#parameters.set(parameter, opened);
    return opened;
  }

  #list(parameter: SearchedParameter, kind: MatchList["how"]["kind"], items: readonly string[]): MatchList {
    const parents = parentStyle(parameter, this.#settings.parent_domain_matches_subdomains);
    const list = parseList(items, {
      kind,
      parents,
      name: parameter,
      open: (spec) => this.#table(spec, parameter),
    });
    for (const problem of listProblems(list)) this.#log.error(problem);
    return list;
  }

  #table(spec: string, parameter: SearchedParameter): Table {
    const { alias_maps, alias_database } = this.#settings;
    const alias = isAliasTable(spec, [...alias_maps, ...alias_database]);
    const paranoid = alias || PARANOID_PARAMETERS.includes(parameter);
    const id = `${paranoid} ${spec}`;
    const known = this.#tables.get(id);
    if (known !== undefined) return known;
    const how: OpenHow = { ...this.#how, log: this.#log, paranoid, syntax: alias ? "alias" : "map" };
    const table = this.#isApproved(spec) ? openTableSoftly(spec, how) : this.#unapproved(spec);
    this.#tables.set(id, table);
    return table;
  }

  #isApproved(spec: string): boolean {
    const plain = withoutProxy(spec);
    return plain === spec || this.#approved === undefined || this.#approved.has(plain);
  }

  /** Postfix does not look such a table up either. */
  #unapproved(spec: string): Table {
    const why = `table "${spec}" is not approved: add it to proxy_read_maps`;
    this.#log.error(why);
    return { spec, partialKeys: true, lookup: () => ({ kind: "retry", why }) };
  }
}
