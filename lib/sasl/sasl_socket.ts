/**
 * Connections to SASL backends on sockets.
 *
 * @module
 */
// Safe primitives
import { type Connection, connectTcp, connectUnix } from "../safe/connect.ts";
// SASL
import type { SaslTarget } from "./sasl_target.ts";

/** How long connecting and each wait for an answer may take, milliseconds (Postfix: AUTH_TIMEOUT). */
export const SASL_TIMEOUT = 10_000;

/** Connects; throws NetworkError. */
export function connectSasl(target: SaslTarget): Promise<Connection> {
  return target.kind === "unix"
    ? connectUnix(target.path, SASL_TIMEOUT)
    : connectTcp(target.address, target.port, SASL_TIMEOUT);
}
