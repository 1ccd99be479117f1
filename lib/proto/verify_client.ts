/**
 * Client of the verify daemon: smtpd asks it, qmgr tells it what probes have found.
 *
 * @module
 */
import { type IpcClient, IpcError } from "../ipc/client.ts";
import type { ReplyValues, RequestValues } from "../ipc/protocol.ts";
import { encodeText } from "../vstring/byte_builder.ts";
import { ADDRESS_LIMIT, REASON_LIMIT, type VERIFY } from "./protocols.ts";

/** What is known of an address. */
export type Verified = ReplyValues<typeof VERIFY, "result">;
/** What a probe can find. */
export type ProbeStatus = RequestValues<typeof VERIFY, "update">["status"];

/** Asks what is known of an address; undefined when nobody can be asked now. */
export async function queryAddress(
  client: Pick<IpcClient<typeof VERIFY>, "call">,
  address: string,
): Promise<Verified | undefined> {
  if (encodeText(address).length > ADDRESS_LIMIT) return undefined;
  try {
    return await client.call("query", { address });
  } catch (error) {
    if (!(error instanceof IpcError)) throw error;
    return undefined;
  }
}

/** Tells what a probe has found. A result that is lost is one that is asked for again. */
export function updateAddress(
  client: Pick<IpcClient<typeof VERIFY>, "send">,
  address: string,
  status: ProbeStatus,
  text: string,
): void {
  // A character has up to three bytes.
  const fitting = text.slice(0, Math.floor(REASON_LIMIT / 3));
  if (encodeText(address).length <= ADDRESS_LIMIT) client.send("update", { address, status, text: fitting });
}
