/**
 * ldap: tables: a search made from templates, the values of the result attributes joined to one, names of entries and
 * LDAP URLs followed. A directory that does not answer is trouble that may pass.
 *
 * @module
 */
// Utility
import type { Logger } from "../log/log.ts";
import { asciiLower } from "../vstring/ascii.ts";
import { encodeText } from "../vstring/byte_builder.ts";
import { printable } from "../vstring/printable.ts";
// Tables
import { filterKey } from "./key_filter.ts";
import { decodePercent, type LdapConfig, type LdapServer } from "./ldap_config.ts";
import { expandQuery, formatFits } from "./query_template.ts";
import { ResultList } from "./results.ts";
import { targetText } from "./server_target.ts";
import type { LdapEntry, LdapLogin, LdapSearch, LdapSession, ServerTls } from "./servers.ts";
import { MISSING, type Outcome, type Table } from "./table.ts";

/** Most look-ups of one table under way at once; more are told to come again. */
const WAITING_LIMIT = 1000;
/** Most searches that one look-up may lead to, however the directory is woven. */
export const SEARCH_LIMIT = 10_000;

/** Opens a session with a directory. */
export type LdapConnect = (login: LdapLogin) => Promise<LdapSession>;

/** A table in a directory. */
export class LdapTable implements Table {
  readonly spec: string;
  readonly partialKeys = true;
  readonly #config: LdapConfig;
  readonly #connect: LdapConnect;
  readonly #tls: ServerTls;
  readonly #fold: boolean;
  readonly #log: Pick<Logger, "warning"> | undefined;
  #session: Promise<LdapSession> | undefined;
  #waiting = 0;

  constructor(
    config: LdapConfig,
    connect: LdapConnect,
    tls: ServerTls,
    foldKeys: boolean,
    log: Pick<Logger, "warning"> | undefined,
  ) {
    this.spec = config.spec;
    this.#config = config;
    this.#connect = connect;
    this.#tls = tls;
    this.#fold = foldKeys;
    this.#log = log;
  }

  async lookup(text: string): Promise<Outcome> {
    const { domains, format, base, filter } = this.#config;
    const key = this.#fold ? asciiLower(text) : text;
    if (!key.isWellFormed() || key.includes("\0")) return MISSING;
    const allowed = await filterKey(domains, key);
    if (allowed.kind !== "found") return allowed;
    const where = expandQuery(base, key, key, quoteDn);
    const what = expandQuery(filter, key, key, quoteFilter);
    if (where === undefined || what === undefined || !formatFits(format, key)) return MISSING;
    if (this.#waiting >= WAITING_LIMIT) return this.#retry("too many searches wait");
    this.#waiting++;
    try {
      return await this.#find(key, where, wholeFilter(what));
    } catch (error) {
      return this.#retry(printable(error instanceof Error ? error.message : String(error)));
    } finally {
      this.#waiting--;
    }
  }

  close(): void {
    const session = this.#session;
    this.#session = undefined;
    session?.then((open) => open.close(), () => {});
  }

  #find(key: string, base: string, filter: string): Promise<Outcome> {
    const { attributes, scope, format, expansionLimit } = this.#config;
    const names = [...new Set(Object.values(attributes).flat())];
    const results = new ResultList(key, format, expansionLimit);
    return new Expansion(this.#config, (search) => this.#search(search), results)
      .run({ base, scope, filter, attributes: names }).then(() => results.outcome(this.spec));
  }

  /** Searches on the open session; on one that has died in its idleness, once more on a new one. */
  async #search(search: LdapSearch): Promise<readonly LdapEntry[] | "missing"> {
    const old = this.#session;
    const session = await (old ?? this.#open());
    try {
      return await session.search(search);
    } catch (error) {
      if (!session.broken) throw error;
      if (this.#session === old) this.close();
      if (old === undefined) throw error;
      return await (await (this.#session ?? this.#open())).search(search);
    }
  }

  #open(): Promise<LdapSession> {
    const opening = this.#openAny();
    this.#session = opening;
    opening.catch(() => {
      if (this.#session === opening) this.#session = undefined;
    });
    return opening;
  }

  /** A session with the first server that answers, in the order of the configuration. */
  async #openAny(): Promise<LdapSession> {
    let last = "";
    for (const server of this.#config.servers) {
      try {
        return await this.#connect(this.#login(server));
      } catch (error) {
        last = `${targetText(server.target)}: ${error instanceof Error ? error.message : String(error)}`;
        this.#log?.warning(`table ${this.spec}: ${printable(last)}`);
      }
    }
    throw new Error(last);
  }

  #login(server: LdapServer): LdapLogin {
    const { bind, timeout } = this.#config;
    return { ...server, bind, tls: this.#tls, timeout };
  }

  #retry(why: string): Outcome {
    return { kind: "retry", why: `table ${this.spec}: ${why}` };
  }
}

/** A search of an expansion. */
type Wanted = Pick<LdapSearch, "base" | "scope" | "filter" | "attributes">;

/** Follows entries to entries, for one key. */
class Expansion {
  readonly #config: LdapConfig;
  readonly #search: (search: LdapSearch) => Promise<readonly LdapEntry[] | "missing">;
  readonly #results: ResultList;
  #searches = 0;

  constructor(
    config: LdapConfig,
    search: (search: LdapSearch) => Promise<readonly LdapEntry[] | "missing">,
    results: ResultList,
  ) {
    this.#config = config;
    this.#search = search;
    this.#results = results;
  }

  /** Searches, and takes the values of each entry. Throws what ends the look-up. */
  async run(wanted: Wanted, depth = 0): Promise<void> {
    const { sizeLimit, dereference } = this.#config;
    if (depth >= this.#config.recursionLimit) throw new Error("Recursion limit exceeded");
    if (++this.#searches > SEARCH_LIMIT) throw new Error(`more than ${SEARCH_LIMIT} searches for one key`);
    const found = await this.#search({ ...wanted, sizeLimit, dereference });
    if (found === "missing") {
      // An entry that is named and gone gives nothing. A base that does not depend on the key is a mistake.
      if (depth === 0 && this.#config.base.length === 1) {
        throw new Error(`Search base '${wanted.base}' not found`);
      }
      return;
    }
    for (const entry of found) {
      if (!(await this.#take(entry, wanted.attributes, depth))) return;
    }
  }

  /** Takes the values of an entry; false when no more may follow. */
  async #take(entry: LdapEntry, wanted: readonly string[], depth: number): Promise<boolean> {
    const { result, special, terminal, leaf } = this.#config.attributes;
    const values = (names: readonly string[]) =>
      names.flatMap((name) => wanted.includes(name) ? entry.attributes.get(name) ?? [] : []);
    const last = values(terminal);
    if (last.length > 0) return last.every((value) => this.#results.add(value));
    const links = values(special);
    const own = values(links.length > 0 ? result : [...new Set([...result, ...leaf])]);
    if (!own.every((value) => this.#results.add(value))) return false;
    for (const link of links) await this.run(this.#follow(link, wanted), depth + 1);
    return true;
  }

  /** The search that a special attribute's value stands for. */
  #follow(link: string, wanted: readonly string[]): Wanted {
    const { attributes } = this.#config;
    const all = [...new Set(Object.values(attributes).flat())];
    if (!asciiLower(link).startsWith("ldap://")) {
      return { base: link, scope: "base", filter: "(objectclass=*)", attributes: wanted };
    }
    const url = parseLdapUrl(link);
    if (url === undefined) throw new Error(`malformed URL "${link}" in a special attribute`);
    const chosen = url.attributes.length === 0 ? all : all.filter((name) => url.attributes.includes(name));
    return { ...url, attributes: chosen };
  }
}

/** RFC 4516 section 2: `ldap://host/base?attributes?scope?filter`; the host is the one that we are connected to. */
export function parseLdapUrl(link: string): Wanted | undefined {
  const slash = link.indexOf("/", "ldap://".length);
  const [base, attributes, scope, filter] = (slash < 0 ? "" : link.slice(slash + 1)).split("?").map(
    decodePercent,
  );
  if (base === undefined) return undefined;
  const word = asciiLower(scope ?? "");
  if (!["", "base", "one", "sub"].includes(word)) return undefined;
  return {
    base,
    attributes: (attributes ?? "").split(",").filter((name) => name !== "").map(asciiLower),
    scope: word === "" ? "base" : word as "base" | "one" | "sub",
    filter: filter === undefined || filter === "" ? "(objectclass=*)" : filter,
  };
}

/** Postfix's library takes a filter without its parentheses. */
function wholeFilter(filter: string): string {
  return filter.startsWith("(") ? filter : `(${filter})`;
}

/** RFC 4515 section 3: what a filter gives a meaning is written as a backslash and two digits. */
export function quoteFilter(text: string): string {
  let out = "";
  for (const char of text) out += "*()\\\0".includes(char) ? `\\${hex(char.charCodeAt(0))}` : char;
  return out;
}

/** RFC 4514 section 2.4: what a name gives a meaning is written as a backslash and two digits. */
export function quoteDn(text: string): string {
  let out = "";
  for (const [index, char] of [...text].entries()) {
    const edge = char === " " && (index === 0 || index === text.length - 1);
    const special = edge || (char === "#" && index === 0) || ',+"\\<>;=\0'.includes(char);
    out += special ? Array.from(encodeText(char), (byte) => `\\${hex(byte)}`).join("") : char;
  }
  return out;
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
