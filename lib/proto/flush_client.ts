/**
 * The client side of flush.
 *
 * @module
 */
import { type IpcClient, IpcError } from "../ipc/client.ts";
import type { ReplyValues } from "../ipc/protocol.ts";
import type { FLUSH } from "./protocols.ts";

/** What is needed of a connection to flush. */
export type FlushConnection = Pick<IpcClient<typeof FLUSH>, "call">;

/** ok: the messages were asked for. denied: no list is kept for the site. bad: no name of a site. fail: trouble. */
export type FlushStatus = ReplyValues<typeof FLUSH, "done">["status"];

/** Asks for the delivery of what waits for a site. */
export async function sendSite(client: FlushConnection, site: string): Promise<FlushStatus> {
  try {
    return (await client.call("sendSite", { site })).status;
  } catch (error) {
    if (!(error instanceof IpcError)) throw error;
    return "fail";
  }
}
