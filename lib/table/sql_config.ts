/**
 * The configuration of mysql:, pgsql: and sqlite: tables, in the syntax of mysql_table(5), pgsql_table(5) and
 * sqlite_table(5).
 *
 * @module
 */
// Tables
import {
  COMMON_PARAMETERS,
  type CommonConfig,
  commonConfig,
  type ConfigReading,
  readParameterFile,
  targets,
  template,
  templateText,
} from "./database_config.ts";
import type { ParameterFile } from "./parameter_file.ts";
import type { QueryTemplate } from "./query_template.ts";
import type { ServerTarget } from "./server_target.ts";
import { refuse } from "./table.ts";

/** The types that speak SQL with a server. */
export type SqlServerType = "mysql" | "pgsql";

/** What all SQL tables have. */
export interface SqlConfig extends CommonConfig {
  readonly query: QueryTemplate;
  /** False: a query without a result set found nothing; true: it is an error. */
  readonly requireResultSet: boolean;
  /** Only the first column of each row counts. */
  readonly firstColumn: boolean;
}

/** A table on a server. */
export interface SqlServerConfig extends SqlConfig {
  readonly type: SqlServerType;
  readonly targets: readonly ServerTarget[];
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly encoding: string;
  /** Seconds after which an idle session is closed, and for which a failed server is left out. */
  readonly idleInterval: number;
  readonly retryInterval: number;
  readonly tls: SqlTlsFiles | undefined;
}

/** Paths of PEM files. */
export interface SqlTlsFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly verify: boolean;
}

/** A table in an SQLite file. */
export interface SqliteConfig extends SqlConfig {
  readonly path: string;
}

const QUERY_PARAMETERS = ["query", "select_field", "table", "where_field", "additional_conditions"];
const SERVER_PARAMETERS = ["hosts", "user", "password", "dbname", "idle_interval", "retry_interval"];
const TLS_PARAMETERS = ["tls_cert_file", "tls_key_file", "tls_CAfile", "tls_verify_cert"];

const KNOWN: Readonly<Record<SqlServerType | "sqlite", readonly string[]>> = {
  mysql: [
    ...COMMON_PARAMETERS,
    ...QUERY_PARAMETERS,
    ...SERVER_PARAMETERS,
    ...TLS_PARAMETERS,
    "charset",
    "require_result_set",
  ],
  pgsql: [...COMMON_PARAMETERS, ...QUERY_PARAMETERS, ...SERVER_PARAMETERS, "encoding", "select_function"],
  sqlite: [...COMMON_PARAMETERS, ...QUERY_PARAMETERS, "dbpath"],
};

/** Where the client libraries look for a server on this machine: Debian's paths. */
const LOCAL_SOCKETS: Readonly<Record<SqlServerType, string>> = {
  mysql: "/run/mysqld/mysqld.sock",
  pgsql: "/run/postgresql/.s.PGSQL.5432",
};
const PORTS: Readonly<Record<SqlServerType, number>> = { mysql: 3306, pgsql: 5432 };

/** Reads the configuration of a table on a server. Throws a TableError. */
export function readSqlServerConfig(type: SqlServerType, reading: ConfigReading): SqlServerConfig {
  const file = readParameterFile(reading, KNOWN[type]);
  return {
    ...sqlConfig(reading, file),
    type,
    targets: sqlTargets(type, file),
    user: file.text("user"),
    password: file.text("password"),
    database: file.required("dbname"),
    encoding: type === "mysql" ? file.text("charset", "utf8mb4") : file.text("encoding", "UTF8"),
    idleInterval: file.number("idle_interval", 60, 1),
    retryInterval: file.number("retry_interval", 60, 1),
    tls: type === "mysql" ? tlsFiles(file) : undefined,
  };
}

/** Reads the configuration of a table in an SQLite file. Throws a TableError. */
export function readSqliteConfig(reading: ConfigReading): SqliteConfig {
  const file = readParameterFile(reading, KNOWN.sqlite);
  const path = file.required("dbpath");
  if (!path.startsWith("/")) refuse(file.place("dbpath"), `"${path}" is not an absolute path`);
  return { ...sqlConfig(reading, file), firstColumn: true, path };
}

function sqlConfig(reading: ConfigReading, file: ParameterFile): SqlConfig {
  return {
    ...commonConfig(reading, file),
    query: file.has("query") ? template(file, "query", "") : legacyQuery(file),
    requireResultSet: file.flag("require_result_set", true),
    firstColumn: false,
  };
}

/** The query that Postfix's older parameters stand for. */
function legacyQuery(file: ParameterFile): QueryTemplate {
  if (file.has("select_function")) {
    return templateText(file, "select_function", `SELECT ${file.text("select_function")}('%s')`);
  }
  if (!file.has("select_field")) return template(file, "query", file.required("query"));
  const [select, table, where] = ["select_field", "table", "where_field"].map((name) => file.required(name));
  const text = `SELECT ${select} FROM ${table} WHERE ${where} = '%s' ${file.text("additional_conditions")}`;
  return templateText(file, "select_field", text);
}

/** The servers of `hosts`. As for the client libraries, localhost (MySQL) and no host stand for the local socket. */
function sqlTargets(type: SqlServerType, file: ParameterFile): ServerTarget[] {
  const local: ServerTarget = { kind: "unix", path: LOCAL_SOCKETS[type] };
  const words = file.words("hosts");
  if (words.length === 0) return [local];
  return words.flatMap((word): ServerTarget[] => {
    if (type === "mysql" && (word === "localhost" || word === "inet:localhost")) return [local];
    if (type === "pgsql" && (word.startsWith("postgresql:") || word.startsWith("postgres:"))) {
      refuse(
        file.place("hosts"),
        `"${word}" is not supported: write host:port, and user, password and dbname`,
      );
    }
    return targets(file, "hosts", [word], PORTS[type]).map((target) => pgsqlSocket(type, target));
  });
}

/** PostgreSQL names the directory of its socket. */
function pgsqlSocket(type: SqlServerType, target: ServerTarget): ServerTarget {
  if (type !== "pgsql" || target.kind !== "unix" || target.path.includes("/.s.PGSQL.")) return target;
  return { kind: "unix", path: `${target.path}/.s.PGSQL.${PORTS.pgsql}` };
}

function tlsFiles(file: ParameterFile): SqlTlsFiles | undefined {
  if (!TLS_PARAMETERS.some((name) => file.has(name))) return undefined;
  return {
    ca: file.text("tls_CAfile"),
    cert: file.text("tls_cert_file"),
    key: file.text("tls_key_file"),
    verify: file.flag("tls_verify_cert", false),
  };
}
