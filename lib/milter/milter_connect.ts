/**
 * Connections with filters, as the sandbox allows them. Permission: net on the filter's host and port, or net, read and
 * write on its socket.
 *
 * @module
 */
// Safe primitives
import { connectTcp, connectUnix, NetworkError } from "../safe/connect.ts";
// This protocol
import type { MilterConnect } from "./milter.ts";

/**
 * What connects to filters.
 *
 * @param socketOf the path of a service's socket; undefined when there is no such service
 */
export function milterConnector(socketOf: (service: string) => string | undefined): MilterConnect {
  return async ({ target, connectTimeout }) => {
    if (target.kind === "inet") return await connectTcp(target.host, target.port, connectTimeout);
    const path = target.kind === "unix" ? target.path : socketOf(target.name);
    if (path === undefined) throw new NetworkError("failed", "there is no such service");
    return await connectUnix(path, connectTimeout);
  };
}
