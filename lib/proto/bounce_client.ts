/**
 * The client side of bounce, defer and trace.
 *
 * @module
 */
import { type IpcClient, IpcError } from "../ipc/client.ts";
import type { RequestValues } from "../ipc/protocol.ts";
import type { BOUNCE } from "./protocols.ts";

/** What is needed of a connection to one of the services. */
export type BounceClient = Pick<IpcClient<typeof BOUNCE>, "call">;
/** One recipient's outcome for a log. */
export type AppendValues = RequestValues<typeof BOUNCE, "append">;
/** One recipient's failure for somebody else than the sender. */
export type ReturnValues = RequestValues<typeof BOUNCE, "returnOne">;
/** What a report is made for. */
export type FlushValues = RequestValues<typeof BOUNCE, "flush">;

/** Done means synced (append), queued (returnOne, flush) or gone (drop); on failure the caller keeps the recipient. */
export type BounceResult = { readonly kind: "done" } | { readonly kind: "failed"; readonly why: string };

/** Writes one recipient's outcome to the message's log. */
export function appendOutcome(client: BounceClient, values: AppendValues): Promise<BounceResult> {
  return ask(client, "append", values);
}

/** Reports one recipient's failure to the sender that is given. */
export function returnOne(client: BounceClient, values: ReturnValues): Promise<BounceResult> {
  return ask(client, "returnOne", values);
}

/** Sends the report that a message's log calls for. */
export function sendReport(client: BounceClient, values: FlushValues): Promise<BounceResult> {
  return ask(client, "flush", values);
}

/** Removes a message's log. */
export function dropLog(client: BounceClient, queueId: string): Promise<BounceResult> {
  return ask(client, "drop", { queueId });
}

/** A service that is away or slow is a failure like another: the recipient stays in the queue. */
async function ask<K extends "append" | "returnOne" | "flush" | "drop">(
  client: BounceClient,
  type: K,
  values: RequestValues<typeof BOUNCE, K>,
): Promise<BounceResult> {
  try {
    const reply = await client.call(type, values);
    switch (reply.is) {
      case "done":
        return { kind: "done" };
      case "failed":
        return { kind: "failed", why: reply.reason };
      default:
        return reply satisfies never;
    }
  } catch (error) {
    if (!(error instanceof IpcError)) throw error;
    return { kind: "failed", why: error.message };
  }
}
