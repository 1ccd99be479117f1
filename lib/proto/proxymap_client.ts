/**
 * Client of proxymap: tables for daemons that may open no file.
 *
 * @module
 */
// Utility
import { encodeText } from "../vstring/byte_builder.ts";
// Tables
import { listSubject, type MatchList, matchLiteral, parseList } from "../table/match_list.ts";
import { listKind, parentStyle } from "../table/parameter_lists.ts";
// Internal protocols
import { type IpcClient, IpcError } from "../ipc/client.ts";
import type { RequestValues } from "../ipc/protocol.ts";
import { LINE_LIMIT, LINES_LIMIT, PROXYMAP } from "./protocols.ts";
import { ReplyCache } from "./reply_cache.ts";

/** How the tables are searched; see the protocol. */
export type MapSearch = RequestValues<typeof PROXYMAP, "find">["search"];

/**
 * What the tables hold. `extension`: the address extension that the key found did not hold, with its delimiter. `place`:
 * where the entry stands, when one table was asked whose content is a text file.
 */
export type MapOutcome =
  | { readonly kind: "found"; readonly value: string; readonly extension: string; readonly place?: string }
  | { readonly kind: "missing" }
  | { readonly kind: "retry"; readonly why: string };

/** Who looks keys up: proxymap's client, or tables in a test. */
export interface MapLookup {
  /**
   * Searches the tables that a parameter names.
   *
   * @param parameter the parameter, as virtual_alias_maps; its value is a list of tables, or a list of the kind that
   * `list` searches
   * @param key an address in its internal form, a domain, or "name address" of a client
   * @param table searches this one of the parameter's tables only, for restrictions like `check_client_access TABLE`
   */
  find(parameter: string, search: MapSearch, key: string, table?: string): Promise<MapOutcome>;
}

/** What the tables of a parameter have for lines, by the line's index. */
export type LinesOutcome =
  | { readonly kind: "matched"; readonly values: ReadonlyMap<number, Uint8Array> }
  | { readonly kind: "retry"; readonly why: string };

/** Who looks up headers and lines of bodies, many at once. */
export interface LineLookup {
  /**
   * Looks each line up as it is, any bytes.
   *
   * @param parameter the parameter, as header_checks
   */
  findLines(parameter: string, lines: readonly Uint8Array[]): Promise<LinesOutcome>;
}

/** Answers that are remembered, and for how long, seconds. */
const CACHE_LIMIT = 1000;
const CACHE_TIME = 5;
/** Longest key that the protocol takes, bytes. No table holds a longer one that could be meant. */
const KEY_LIMIT = PROXYMAP.requests.find.fields.key.most;
/** Longest name of a table, bytes. */
const TABLE_LIMIT = PROXYMAP.requests.find.fields.table.most;

/** A request for lines gets no further one when it has this many bytes. */
const REQUEST_SIZE = 128 * 1024;

const MISSING: MapOutcome = { kind: "missing" };

/** The part of `IpcClient` that is used. */
export type MapConnection = Pick<IpcClient<typeof PROXYMAP>, "call">;

/** Looks keys up through proxymap. Its failure is a soft one, like that of a table. */
export class MapClient implements MapLookup, LineLookup {
  readonly #connection: MapConnection;
  readonly #settings: Readonly<Record<string, unknown>>;
  readonly #cache: ReplyCache<MapOutcome>;
  readonly #literals = new Map<string, MatchList | undefined>();

  /**
   * @param settings the caller's settings: a parameter that is empty there needs no request, nor does a list of names
   * and networks only
   * @param now milliseconds of a clock that is never set back
   */
  constructor(
    connection: MapConnection,
    settings: Readonly<Record<string, unknown>> = {},
    now?: () => number,
  ) {
    this.#connection = connection;
    this.#settings = settings;
    this.#cache = new ReplyCache(CACHE_LIMIT, CACHE_TIME, now);
  }

  async find(parameter: string, search: MapSearch, key: string, table = ""): Promise<MapOutcome> {
    const value = this.#settings[parameter];
    if (Array.isArray(value) && value.length === 0) return MISSING;
    // A key that is not UTF-8 is in no table.
    if (!key.isWellFormed() || encodeText(key).length > KEY_LIMIT) return MISSING;
    if (encodeText(table).length > TABLE_LIMIT) {
      return { kind: "retry", why: `${parameter}: name of a table is longer than ${TABLE_LIMIT} bytes` };
    }
    const literal = search === "list" && table === "" ? this.#literalList(parameter, value) : undefined;
    if (literal !== undefined) {
      const verdict = matchLiteral(literal, listSubject(literal.how.kind, key));
      if (verdict !== "ask") {
        return verdict === "match" ? { kind: "found", value: "", extension: "" } : MISSING;
      }
    }
    const id = JSON.stringify([parameter, search, key, table]);
    // Trouble may be over the next time.
    const keep = (outcome: MapOutcome) => outcome.kind !== "retry";
    return await this.#cache.ask(id, () => this.#ask({ parameter, table, search, key }), keep);
  }

  /** Asks for many lines at a time, until all have an answer: how many one request does is for the server to say. */
  async findLines(parameter: string, lines: readonly Uint8Array[]): Promise<LinesOutcome> {
    const values = new Map<number, Uint8Array>();
    for (let from = 0; from < lines.length;) {
      const outcome = await this.#askLines(parameter, someLines(lines, from));
      if (outcome.kind === "retry") return outcome;
      for (const { index, value } of outcome.matches) values.set(from + index, value.slice());
      from += outcome.done;
    }
    return { kind: "matched", values };
  }

  async #askLines(parameter: string, lines: readonly { readonly line: Uint8Array }[]) {
    try {
      const reply = await this.#connection.call("lines", { parameter, lines });
      if (reply.is === "matched" && reply.done > 0) return { kind: "matched" as const, ...reply };
      return { kind: "retry" as const, why: reply.is === "retry" ? reply.reason : "proxymap: wrong reply" };
    } catch (error) {
      if (!(error instanceof IpcError)) throw error;
      return { kind: "retry" as const, why: error.message };
    }
  }

  /** The parsed list, so that what its literal items decide needs no request. */
  #literalList(parameter: string, value: unknown): MatchList | undefined {
    if (this.#literals.has(parameter)) return this.#literals.get(parameter);
    const kind = listKind(parameter);
    const parents = this.#settings["parent_domain_matches_subdomains"];
    // Without the parameter that says how parents match, only proxymap knows.
    const known = kind !== undefined && Array.isArray(value) && (kind === "string" || Array.isArray(parents));
    const style = parentStyle(parameter, Array.isArray(parents) ? parents : []);
    const list = known ? parseList(value, { kind, parents: style, name: parameter }) : undefined;
    this.#literals.set(parameter, list);
    return list;
  }

  async #ask(fields: RequestValues<typeof PROXYMAP, "find">): Promise<MapOutcome> {
    try {
      const reply = await this.#connection.call("find", fields);
      switch (reply.is) {
        case "found":
          return {
            kind: "found",
            value: reply.value,
            extension: reply.extension,
            ...(reply.place === "" ? {} : { place: reply.place }),
          };
        case "missing":
          return MISSING;
        case "retry":
          return { kind: "retry", why: reply.reason };
        case "matched":
          return { kind: "retry", why: "proxymap: wrong reply" };
        default:
          return reply satisfies never;
      }
    } catch (error) {
      if (!(error instanceof IpcError)) throw error;
      return { kind: "retry", why: error.message };
    }
  }
}

/** The lines from one on that go into one request. */
function someLines(lines: readonly Uint8Array[], from: number): { line: Uint8Array }[] {
  const some: { line: Uint8Array }[] = [];
  let size = 0;
  for (let i = from; i < lines.length && some.length < LINES_LIMIT && size < REQUEST_SIZE; i++) {
    // What passes the protocol's limit cannot be a line that a table is about.
    const line = lines[i]!.subarray(0, LINE_LIMIT);
    some.push({ line });
    size += line.length;
  }
  return some;
}
