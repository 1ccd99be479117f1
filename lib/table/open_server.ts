/**
 * Openers of the tables that are on a server, or in an SQLite file.
 *
 * @module
 */
// Tables
import { ConfiguredTable } from "./configured_table.ts";
import type { ConfigReading } from "./database_config.ts";
import { readLdapConfig } from "./ldap_config.ts";
import { LdapTable } from "./ldap_table.ts";
import { MemcacheTable, readMemcacheConfig } from "./memcache_table.ts";
import { filePath, type Opening } from "./opening.ts";
import { parseTarget } from "./server_target.ts";
import type { ServerTls, TableServers } from "./servers.ts";
import { parseSocketmap, SocketmapTable } from "./socketmap_table.ts";
import { readSqliteConfig, readSqlServerConfig, type SqlServerType } from "./sql_config.ts";
import { SqlServers, SqlTable } from "./sql_table.ts";
import { SqliteRunner } from "./sqlite_file.ts";
import { refuse, type Table, TableError } from "./table.ts";
import { TcpTable } from "./tcp_table.ts";

/** Nobody is connected to while a table is opened. */
const NO_SERVERS: TableServers = {
  stream: () => Promise.reject(new Error("no servers")),
  mysql: () => Promise.reject(new Error("no servers")),
  pgsql: () => Promise.reject(new Error("no servers")),
  ldap: () => Promise.reject(new Error("no servers")),
};

/** The configuration of a table, read when the table is opened. */
function reading(opening: Opening): ConfigReading {
  const { spec, files, warn, open } = opening;
  return { spec, path: filePath(opening), files, warn, open };
}

/** Opens a mysql: or pgsql: table. */
export function openSqlServer(type: SqlServerType, opening: Opening): Table {
  return onServers(opening, true, (servers) => {
    return new ConfiguredTable(opening, () => {
      const config = readSqlServerConfig(type, reading(opening));
      const tls = config.tls === undefined ? undefined : readPem(opening, config.tls);
      const runner = new SqlServers(
        config,
        (login) => servers[type](login),
        tls,
        opening.how.log,
        () => opening.files.now(),
      );
      return new SqlTable(config, runner, opening.fold);
    });
  });
}

/** Opens an ldap: table. */
export function openLdap(opening: Opening): Table {
  return onServers(opening, true, (servers) => {
    return new ConfiguredTable(opening, () => {
      const config = readLdapConfig(reading(opening));
      const tls = readPem(opening, config.tls);
      return new LdapTable(config, (login) => servers.ldap(login), tls, opening.fold, opening.how.log);
    });
  });
}

/** Opens a memcache: table, with its backup. */
export function openMemcache(opening: Opening): Table {
  refuseIfParanoid(opening);
  return onServers(opening, true, (servers) => {
    return new ConfiguredTable(opening, () => {
      const config = readMemcacheConfig(reading(opening));
      const backup = config.backup === "" ? undefined : opening.open(config.backup);
      return new MemcacheTable(config, servers, backup, opening.fold, opening.how.log);
    });
  });
}

/** Opens a tcp: table. */
export function openTcp(opening: Opening): Table {
  refuseIfParanoid(opening);
  const target = parseTarget(opening.name, undefined);
  if (target?.kind !== "inet" || opening.name.startsWith("inet:")) {
    refuse(opening.place, 'expected the form "tcp:host:port"');
  }
  return onServers(opening, false, (servers) => new TcpTable(opening.spec, target, servers, opening.fold));
}

/** Opens a socketmap: table. */
export function openSocketmap(opening: Opening): Table {
  refuseIfParanoid(opening);
  const parsed = parseSocketmap(opening.name);
  if (parsed === undefined) {
    refuse(opening.place, 'expected the form "socketmap:inet:host:port:name" or "socketmap:unix:/path:name"');
  }
  return onServers(opening, false, (servers) => {
    return new SocketmapTable(opening.spec, parsed.map, parsed.target, servers, opening.fold);
  });
}

/** Opens an sqlite: table. Its file is opened now, so that a wrong path is said at once. */
export function openSqlite(opening: Opening): Table {
  filePath(opening);
  return new ConfiguredTable(opening, () => {
    const config = readSqliteConfig(reading(opening));
    const runner = new SqliteRunner(config.path);
    try {
      runner.open();
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      throw new TableError(opening.spec, { file: config.path, line: 0, text }, { cause: error });
    }
    return new SqlTable(config, runner, opening.fold);
  });
}

/** The table, or in a process that may reach no server one that says so. */
function onServers(opening: Opening, partialKeys: boolean, make: (servers: TableServers) => Table): Table {
  const { spec, how } = opening;
  // Without the ways to servers the configuration is still read, for what is wrong with it.
  if (how.servers !== undefined) return make(how.servers);
  if (!(how.soft ?? false)) make(NO_SERVERS);
  const why = `table ${spec} is on a server, which only proxymap may reach`;
  return { spec, partialKeys, lookup: () => ({ kind: "retry", why }) };
}

/** Anybody who reaches such a server, or stands between, could write what it answers. */
function refuseIfParanoid(opening: Opening): void {
  if (!opening.how.paranoid) return;
  refuse(
    opening.place,
    "this type of table is not allowed for security-sensitive data: the server is not authenticated",
  );
}

/** The PEM texts of a server's TLS. */
function readPem(
  opening: Opening,
  paths: { readonly ca: string; readonly cert: string; readonly key: string; readonly verify: boolean },
): ServerTls {
  const read = (path: string) => path === "" ? undefined : opening.files.read(path);
  return { ca: read(paths.ca), cert: read(paths.cert), key: read(paths.key), verify: paths.verify };
}
