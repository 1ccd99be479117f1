/**
 * The anvil protocol on the counts: an exchange is a connection of a client.
 *
 * @module
 */
// Utility
import { CodecError } from "../../lib/ipc/codec.ts";
import type { Request } from "../../lib/ipc/protocol.ts";
import type { ServerExchange } from "../../lib/ipc/server.ts";
// Protocols
import type { ANVIL } from "../../lib/proto/protocols.ts";
// This program
import type { AnvilCounts, ClientCounts } from "./anvil_counts.ts";

/** Handles one message of a server. A server that goes away takes its clients' connections with it. */
export function handleAnvil(
  counts: AnvilCounts,
  exchange: ServerExchange<typeof ANVIL>,
  message: Request<typeof ANVIL>,
): void {
  const client = exchange.state as ClientCounts | undefined;
  if ((message.is === "connect") !== (client === undefined)) {
    throw new CodecError(`Cannot handle "${message.is}": an exchange begins with "connect", once`);
  }
  switch (message.is) {
    case "connect": {
      const made = counts.connect(message.service, message.client);
      exchange.state = made.client;
      exchange.onCancel = () => counts.disconnect(made.client);
      return exchange.reply("connected", { count: made.client.connections, rate: made.rate });
    }
    case "count":
      return exchange.reply("rate", { rate: counts.count(client!, message.event) });
    case "look":
      return exchange.reply("rate", { rate: counts.rate(client!, message.event) });
    default:
      return message satisfies never;
  }
}
