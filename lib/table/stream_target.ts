/**
 * Connections to servers that speak over a plain stream.
 *
 * @module
 */
// Safe primitives
import { type Connection, connectTcp, connectUnix } from "../safe/connect.ts";
// Tables
import type { ServerTarget } from "./server_target.ts";

/** Connects to a server as the sandbox allows it. */
export function connectTo(target: ServerTarget, timeoutMs: number): Promise<Connection> {
  return target.kind === "unix"
    ? connectUnix(target.path, timeoutMs)
    : connectTcp(target.host, target.port, timeoutMs);
}
