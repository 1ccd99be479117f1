/**
 * Sessions with PostgreSQL. The only importer of `postgres`.
 *
 * @module
 */
import postgres from "postgres";
// Utility
import { decodeText } from "../vstring/byte_builder.ts";
// Tables
import type { SqlLogin, SqlRows, SqlSession } from "./servers.ts";
import { beginSession } from "./sql_session.ts";

/**
 * Opens a session.
 *
 * Permissions needed: net on host and port, or net, read and write on the path of the socket.
 *
 * @throws the driver's error
 */
export async function openPgsql(login: SqlLogin): Promise<SqlSession> {
  const { target } = login;
  let broken = false;
  const sql = postgres({
    ...(target.kind === "unix" ? { path: target.path } : { host: target.host, port: target.port }),
    user: login.user,
    password: login.password,
    database: login.database,
    max: 1,
    max_lifetime: null,
    idle_timeout: 0,
    connect_timeout: login.timeout / 1000,
    fetch_types: false,
    ssl: false,
    connection: {
      application_name: "postfix",
      client_encoding: login.encoding,
      // Texts are written with doubled quotes (sql_table.ts): a backslash must be a backslash.
      standard_conforming_strings: "on",
    },
    onnotice: () => {},
    onclose: () => broken = true,
  });
  const run = async (text: string) => {
    try {
      // With the extended protocol, which takes one statement only.
      return await sql.unsafe(text, [], { prepare: false, simple: false } as object).raw();
    } catch (error) {
      // All but the server's answer to the query ends the session: the package would connect again, and wait for it.
      broken ||= !(error instanceof postgres.PostgresError) || error.severity === "FATAL";
      throw error;
    }
  };
  const query = async (text: string): Promise<SqlRows | undefined> => {
    const result = await run(text);
    return result.columns.length === 0
      ? undefined
      : result.map((row) => row.map((value) => value === null ? null : decodeText(value)));
  };
  const close = () => {
    broken = true;
    sql.end({ timeout: 0 }).catch(() => {});
  };
  return await beginSession("SELECT 1", { query, close, broken: () => broken });
}
