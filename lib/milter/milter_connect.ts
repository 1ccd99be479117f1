/**
 * Connections with filters, as the sandbox allows them. Permission: net on the filter's host and port, or net, read and
 * write on its socket.
 *
 * @module
 */
// Safe primitives
import { connectTcp, connectUnix } from "../safe/connect.ts";
// This protocol
import type { MilterConnect } from "./milter.ts";

/** Connects to a filter. */
export const connectMilter: MilterConnect = ({ target, connectTimeout }) =>
  target.kind === "unix"
    ? connectUnix(target.path, connectTimeout)
    : connectTcp(target.host, target.port, connectTimeout);
