/**
 * How tables reach servers. A process whose sandbox cannot reach them opens tables without this, and such a table
 * then says so instead of trying.
 *
 * @module
 */
// Safe primitives
import type { Connection } from "../safe/connect.ts";
// Tables
import type { ServerTarget } from "./server_target.ts";

/** Rows of texts; null where the database has NULL. Undefined: the query gave no result set. */
export type SqlRows = readonly (readonly (string | null)[])[];

/** One session with a database. */
export interface SqlSession {
  /** Runs a query. Rejects with the reason; `broken` says whether the session can be used again. */
  query(text: string): Promise<SqlRows | undefined>;
  readonly broken: boolean;
  /** Ends the session, also while a query is under way. */
  close(): void;
}

/** What a session with a database needs. */
export interface SqlLogin {
  readonly target: ServerTarget;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** Character set (MySQL) or client_encoding (PostgreSQL). */
  readonly encoding: string;
  readonly tls: ServerTls | undefined;
  /** Milliseconds for connecting. */
  readonly timeout: number;
}

/** TLS with a server: PEM texts. */
export interface ServerTls {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  /** The server's certificate must be valid and for its name. */
  readonly verify: boolean;
}

/** A search in a directory. */
export interface LdapSearch {
  readonly base: string;
  readonly scope: "sub" | "base" | "one";
  readonly filter: string;
  readonly attributes: readonly string[];
  /** Most entries; 0: as the server likes. */
  readonly sizeLimit: number;
  readonly dereference: 0 | 1 | 2 | 3;
}

/** An entry of a directory: values by attribute, names in small letters. */
export interface LdapEntry {
  readonly dn: string;
  readonly attributes: ReadonlyMap<string, readonly string[]>;
}

/** One session with a directory. */
export interface LdapSession {
  /** Entries; "missing" when the base does not exist. Rejects with the reason. */
  search(search: LdapSearch): Promise<readonly LdapEntry[] | "missing">;
  readonly broken: boolean;
  close(): void;
}

/** What a session with a directory needs. */
export interface LdapLogin {
  readonly target: ServerTarget;
  /** plain; ldaps: TLS from the start; starttls. */
  readonly security: "plain" | "ldaps" | "starttls";
  /** A simple bind, or none. */
  readonly bind: { readonly dn: string; readonly password: string } | undefined;
  readonly tls: ServerTls;
  /** Milliseconds for connecting and for each search. */
  readonly timeout: number;
}

/** The ways to the servers. */
export interface TableServers {
  stream(target: ServerTarget, timeoutMs: number): Promise<Connection>;
  mysql(login: SqlLogin): Promise<SqlSession>;
  pgsql(login: SqlLogin): Promise<SqlSession>;
  ldap(login: LdapLogin): Promise<LdapSession>;
}
