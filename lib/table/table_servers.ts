/**
 * The real ways to the servers of tables, for the processes that may go them: proxymap, and the programs that a person
 * runs. Each package is loaded when a table needs it.
 *
 * @module
 */
// Tables
import type { TableServers } from "./servers.ts";
import { connectTo } from "./stream_target.ts";

/** Connections as the sandbox allows them. */
export const TABLE_SERVERS: TableServers = {
  stream: connectTo,
  mysql: async (login) => (await import("./mysql_client.ts")).openMysql(login),
  pgsql: async (login) => (await import("./pgsql_client.ts")).openPgsql(login),
  ldap: async (login) => (await import("./ldap_client.ts")).openLdap(login),
};
