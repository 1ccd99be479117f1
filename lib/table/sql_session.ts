/**
 * The beginning of a session with a database, whichever driver speaks with it.
 *
 * @module
 */
// Tables
import type { SqlSession } from "./servers.ts";

/** What a driver has for a session that is open. */
export interface SqlDriver extends Pick<SqlSession, "query" | "close"> {
  broken(): boolean;
}

/**
 * The session, once the server has taken a first query.
 *
 * @throws the driver's error; the session is closed then
 */
export async function beginSession(first: string, driver: SqlDriver): Promise<SqlSession> {
  const { query, close } = driver;
  try {
    await query(first);
  } catch (error) {
    close();
    throw error;
  }
  return {
    query,
    close,
    get broken() {
      return driver.broken();
    },
  };
}
