/**
 * # proxymap
 *
 * Looks tables up for daemons that may open no file and reach no database.
 *
 * ## Description
 * Serves the `proxymap` protocol of lib/proto/protocols.ts. A client names a parameter, never a file: the parameter's
 * tables are opened once and searched the way that the request asks for, in Postfix's orders:
 *
 * - *key*: the key as it is.
 * - *address*: `user+ext@domain`, `user@domain`, for local domains `user+ext` and `user`, `@domain`.
 * - *access*: `user+ext@domain`, `user@domain`, domain and parents, `user+ext@`, `user@`.
 * - *domain*: a name and its parents.
 * - *transport*: `user+ext@domain`, `user@domain`, domain and parents, `*`.
 * - *client*: host name and parents, then the address and the networks around it.
 * - *list*: as the parameter's own kind of list matches (names, domains, clients).
 *
 * Files are looked at again at most every five seconds while look-ups arrive; one that has changed is read as a
 * whole and swapped in. A file that has become bad leaves the content that was read before in place.
 *
 * Databases (mysql, pgsql, ldap, memcache) and servers (tcp, socketmap) are asked by this process alone. It keeps one
 * connection to each while it is used; of several hosts one is chosen at random, and one that fails is left out for
 * `retry_interval`. A table that is named with `proxy:` must be in `proxy_read_maps`, where that is set.
 *
 * ## Security
 * Talks to daemons of this mail system only; reads keys that strangers chose (addresses, host names). It may read the
 * files that the configuration's tables name, and nothing else; it writes nothing, and reaches the hosts and ports, or
 * the sockets, that the tables' configuration names (`postern sandbox` shows them). What it puts into a query is
 * quoted for that database. A client
 * can ask for the parameters that service.ts lists and for tables that these name, so that a broken smtpd can read
 * answers and not files. Patterns are matched in linear time (RE2): no subject can stall the process. Local and virtual
 * open tables that decide about files, commands and users themselves; those on a server they ask for here, as they may
 * reach none. In all of these no `$1` may come from a sender.
 *
 * ## Standards
 * None.
 *
 * ## Diagnostics
 * Errors: tables that cannot be opened; they answer "retry", so that mail waits, and are tried again. Warnings:
 * doubtful lines of tables, look-ups that failed, requests that were refused. A reload of a changed file is logged.
 *
 * ## Parameters
 * The tables and lists that service.ts names; proxy_read_maps; alias_database, double_bounce_sender, inet_interfaces, myorigin,
 * owner_request_special, parent_domain_matches_subdomains, proxy_interfaces, recipient_delimiter.
 *
 * ## Known limits
 * Case is folded for ASCII letters only. Addresses of inet_interfaces are those at start. unix:passwd.byname reads
 * /etc/passwd and asks no directory service.
 *
 * @module
 */
// Safe primitives
import { systemAddresses } from "../../lib/safe/process.ts";
// Tables
import { TABLE_SERVERS } from "../../lib/table/table_servers.ts";
// Maps
import { addressSet } from "../../lib/maps/proxymap_local.ts";
import { MapService, proxymapHandler } from "../../lib/maps/proxymap_service.ts";
import { ProxymapTables, searchedParameters } from "../../lib/maps/proxymap_tables.ts";
// Server skeleton
import { PROXYMAP } from "../../lib/proto/protocols.ts";
import type { Context } from "../../lib/server/context.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import { SERVICE } from "./service.ts";

/** Opens the tables and serves them. */
function start(context: Context<typeof SERVICE>): ReturnType<typeof proxymapHandler> {
  const { settings, log } = context;
  const tables = new ProxymapTables(settings, log, searchedParameters(SERVICE.reads), {
    refused: (error) => context.trouble("table", error),
    servers: TABLE_SERVERS,
  });
  tables.openAll();
  const addresses = addressSet([...settings.inet_interfaces, ...settings.proxy_interfaces], systemAddresses);
  return proxymapHandler(new MapService(settings, tables, addresses, log));
}

await runIpcDaemon(SERVICE, PROXYMAP, start);
