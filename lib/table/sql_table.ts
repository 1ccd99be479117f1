/**
 * mysql:, pgsql: and sqlite: tables: a query made from a template, its rows joined to one value. A database that does
 * not answer is trouble that may pass.
 *
 * @module
 */
// Utility
import type { Logger } from "../log/log.ts";
import { asciiLower } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
// Tables
import { filterKey } from "./key_filter.ts";
import { expandQuery, formatFits, type Quote } from "./query_template.ts";
import { ResultList } from "./results.ts";
import { ServerPool, type ServerTarget, targetText } from "./server_target.ts";
import type { SqlLogin, SqlRows, SqlSession } from "./servers.ts";
import type { SqlConfig, SqlServerConfig } from "./sql_config.ts";
import { MISSING, type Outcome, type Table } from "./table.ts";

/** Milliseconds for connecting to a database. */
const CONNECT_TIMEOUT = 10_000;
/** Milliseconds for one query. */
export const QUERY_TIMEOUT = 30_000;
/** Most look-ups of one table that wait for its database at once; more are told to come again. */
export const WAITING_LIMIT = 1000;

/** Who runs queries. */
export interface SqlRunner {
  /** How text is written between quotes. */
  readonly quote: Quote;
  /** Rows, or undefined without a result set. Rejects with the reason. */
  run(query: string): Promise<SqlRows | undefined>;
  close?(): void;
}

/** A table whose content is in a database. */
export class SqlTable implements Table {
  readonly spec: string;
  readonly partialKeys = true;
  readonly #config: SqlConfig;
  readonly #runner: SqlRunner;
  readonly #fold: boolean;
  #waiting = 0;

  constructor(config: SqlConfig, runner: SqlRunner, foldKeys: boolean) {
    this.spec = config.spec;
    this.#config = config;
    this.#runner = runner;
    this.#fold = foldKeys;
  }

  async lookup(text: string): Promise<Outcome> {
    const { spec } = this;
    const { domains, query, format } = this.#config;
    const key = this.#fold ? asciiLower(text) : text;
    // What is not UTF-8 is in no database, and a NUL ends a text for some.
    if (!key.isWellFormed() || key.includes("\0")) return MISSING;
    const allowed = await filterKey(domains, key);
    if (allowed.kind !== "found") return allowed;
    const sql = expandQuery(query, key, key, this.#runner.quote);
    if (sql === undefined || !formatFits(format, key)) return MISSING;
    if (this.#waiting >= WAITING_LIMIT) return { kind: "retry", why: `table ${spec}: too many queries wait` };
    this.#waiting++;
    try {
      return this.#outcome(key, await this.#runner.run(sql));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return { kind: "retry", why: `table ${spec}: ${printable(why)}` };
    } finally {
      this.#waiting--;
    }
  }

  close(): void {
    this.#runner.close?.();
  }

  #outcome(key: string, rows: SqlRows | undefined): Outcome {
    const { spec, format, expansionLimit, requireResultSet, firstColumn } = this.#config;
    if (rows === undefined) {
      return requireResultSet
        ? { kind: "retry", why: `table ${spec}: query failed: no result set` }
        : MISSING;
    }
    const results = new ResultList(key, format, expansionLimit);
    for (const row of rows) {
      for (const value of firstColumn ? row.slice(0, 1) : row) {
        if (value !== null && !results.add(value)) return results.outcome(spec);
      }
    }
    return results.outcome(spec);
  }
}

/** Opens a session with one server. */
export type SqlConnect = (login: SqlLogin) => Promise<SqlSession>;

/** Sessions with the servers of one table: one each, kept while it is used. */
export class SqlServers implements SqlRunner {
  readonly quote: Quote;
  readonly #config: SqlServerConfig;
  readonly #connect: SqlConnect;
  readonly #tls: SqlLogin["tls"];
  readonly #pool: ServerPool;
  readonly #log: Pick<Logger, "warning"> | undefined;
  readonly #sessions = new Map<ServerTarget, Promise<SqlSession>>();
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(
    config: SqlServerConfig,
    connect: SqlConnect,
    tls: SqlLogin["tls"],
    log: Pick<Logger, "warning"> | undefined,
    now: () => number,
  ) {
    this.#config = config;
    this.#connect = connect;
    this.#tls = tls;
    this.#log = log;
    this.#pool = new ServerPool(config.targets, config.retryInterval, now);
    this.quote = config.type === "mysql" ? quoteMysql : quoteStandard;
  }

  async run(query: string): Promise<SqlRows | undefined> {
    let last = "all servers failed a moment ago";
    for (const target of this.#pool.order()) {
      try {
        return await this.#runOn(target, query);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        last = `${targetText(target)}: ${why}`;
        this.#log?.warning(`table ${this.#config.spec}: ${printable(last)}`);
        // Another server would not like the query better, and a server that can say so is well.
        if (error instanceof QueryError) throw new Error(last);
        this.#pool.failed(target);
      }
    }
    throw new Error(last);
  }

  /** Runs the query on a server; on a session that has died in its idleness, once more on a new one. */
  async #runOn(target: ServerTarget, query: string): Promise<SqlRows | undefined> {
    const old = this.#sessions.get(target);
    const session = await (old ?? this.#open(target));
    try {
      return await this.#ask(target, session, query);
    } catch (error) {
      if (old === undefined || error instanceof QueryError) throw error;
      return await this.#ask(target, await this.#open(target), query);
    }
  }

  async #ask(target: ServerTarget, session: SqlSession, query: string): Promise<SqlRows | undefined> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error("query timed out")), QUERY_TIMEOUT);
    });
    try {
      const rows = await Promise.race([session.query(query), late]);
      this.#pool.answered(target);
      this.#rest();
      return rows;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (!session.broken && why !== "query timed out") throw new QueryError(why);
      this.#drop(target, session);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** The session with a server, opened once for all who ask at the same time. */
  #open(target: ServerTarget): Promise<SqlSession> {
    const known = this.#sessions.get(target);
    if (known !== undefined) return known;
    const { user, password, database, encoding } = this.#config;
    const opening = this.#connect({
      target,
      user,
      password,
      database,
      encoding,
      tls: this.#tls,
      timeout: CONNECT_TIMEOUT,
    });
    this.#sessions.set(target, opening);
    opening.catch(() => this.#sessions.delete(target));
    return opening;
  }

  #drop(target: ServerTarget, session: SqlSession): void {
    this.#sessions.delete(target);
    session.close();
  }

  /** Ends the sessions when nobody has asked for idle_interval. */
  #rest(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.close(), this.#config.idleInterval * 1000);
  }

  /** Ends all sessions; the next query opens new ones. */
  close(): void {
    clearTimeout(this.#idle);
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    for (const opening of sessions) opening.then((session) => session.close(), () => {});
  }
}

/** The database answered that it does not take the query. */
class QueryError extends Error {
  override name = "QueryError";
}

/**
 * As mysql_real_escape_string does it. The session has NO_BACKSLASH_ESCAPES off and a character set in which no byte
 * of a character can be a quote (mysql_client.ts sees to both).
 */
export function quoteMysql(text: string): string {
  const escapes: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\x1a": "\\Z" };
  let out = "";
  for (const char of text) {
    if (char === "\\" || char === "'" || char === '"') out += `\\${char}`;
    else out += escapes[char] ?? char;
  }
  return out;
}

/** As the standard has it: a quote is doubled, a backslash is a backslash. */
export function quoteStandard(text: string): string {
  return text.replaceAll("'", "''");
}
