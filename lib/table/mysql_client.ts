/**
 * Sessions with MySQL and MariaDB. The only importer of `mysql2`.
 *
 * @module
 */
import mysql from "mysql2";
// Tables
import type { SqlLogin, SqlRows, SqlSession } from "./servers.ts";
import { beginSession } from "./sql_session.ts";

/** What the driver's call-backs get. */
type DriverError = (Error & { fatal?: boolean; code?: string }) | null;

/**
 * Opens a session.
 *
 * Permissions needed: net on host and port, or net, read and write on the path of the socket.
 *
 * @throws the driver's error
 */
export async function openMysql(login: SqlLogin): Promise<SqlSession> {
  const { target, tls } = login;
  const connection = mysql.createConnection({
    ...(target.kind === "unix" ? { socketPath: target.path } : { host: target.host, port: target.port }),
    user: login.user,
    password: login.password,
    database: login.database,
    charset: login.encoding,
    connectTimeout: login.timeout,
    multipleStatements: false,
    rowsAsArray: true,
    // The sandbox allows no code from strings, which the driver would make its row parsers of.
    disableEval: true,
    typeCast: (field: { string(): string | null }) => field.string(),
    // The server may not ask for files of this host.
    flags: ["-LOCAL_FILES"],
    ...(tls === undefined ? {} : {
      ssl: {
        ...(tls.ca === undefined ? {} : { ca: tls.ca }),
        ...(tls.cert === undefined ? {} : { cert: tls.cert }),
        ...(tls.key === undefined ? {} : { key: tls.key }),
        rejectUnauthorized: tls.verify,
        verifyIdentity: tls.verify,
      },
    }),
  });
  let broken = false;
  connection.on("error", () => broken = true);
  connection.on("end", () => broken = true);
  const query = (text: string) =>
    new Promise<SqlRows | undefined>((resolve, reject) => {
      connection.query(text, (error: DriverError, result: unknown) => {
        if (error === null) return resolve(firstRows(result));
        broken ||= error.fatal === true;
        reject(new Error(`${error.code ?? "error"}: ${error.message}`));
      });
    });
  const close = () => {
    broken = true;
    connection.destroy();
  };
  // Texts are written with backslashes (sql_table.ts): a server that takes these for text must be told.
  const first = "SET SESSION sql_mode = REPLACE(@@SESSION.sql_mode, 'NO_BACKSLASH_ESCAPES', '')";
  return await beginSession(first, { query, close, broken: () => broken });
}

/** The rows of a SELECT, or of the first result set of a procedure. */
function firstRows(result: unknown): SqlRows | undefined {
  if (!Array.isArray(result)) return undefined;
  const isProcedure = result.length > 0 && !Array.isArray(result.at(-1));
  if (!isProcedure) return result as SqlRows;
  const sets = result.slice(0, -1);
  if (sets.length > 1) throw new Error("multiple result sets from a stored procedure are not supported");
  return sets[0] as SqlRows | undefined;
}
