/**
 * Serves the queue's listing in pages.
 *
 * @module
 */
// Utility
import type { Settings } from "../../lib/config/parameters.ts";
import type { ReplyValues } from "../../lib/ipc/protocol.ts";
import type { Handler, ServerExchange } from "../../lib/ipc/server.ts";
import type { Logger } from "../../lib/log/log.ts";
import { decodeText, encodeText } from "../../lib/vstring/byte_builder.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { QueueDirectory } from "../../lib/mail/queue_directory.ts";
import { type ListedMessage, listQueues } from "../../lib/mail/queue_listing.ts";
// Protocols
import { ADDRESS_LIMIT, REASON_LIMIT, type SHOWQ } from "../../lib/proto/protocols.ts";
// This program
import type { SERVICE } from "./service.ts";

/** Replies in one page: the process does nothing else while it reads this many files. */
const PAGE = 50;

type Exchange = ServerExchange<typeof SHOWQ>;
type Listing = Generator<ListedMessage, void>;
type MessageReply = ReplyValues<typeof SHOWQ, "message">;

/** Makes the handler. */
export function showqHandler(
  settings: Settings<typeof SERVICE["parameters"][number]>,
  log: Logger,
): Handler<typeof SHOWQ> {
  const directory = new QueueDirectory(
    settings.queue_directory,
    settings.hash_queue_names,
    settings.hash_queue_depth,
  );
  const options = {
    duplicateLimit: settings.duplicate_filter_limit,
    warn: (text: string) => log.warning(printable(text)),
  };
  return (exchange, message) => {
    switch (message.is) {
      case "list": {
        if (exchange.state !== undefined) return endListing(exchange);
        const listing = listQueues(directory, options);
        exchange.state = listing;
        exchange.onCancel = () => void listing.return();
        return sendPage(exchange, listing);
      }
      case "more":
        if (exchange.state === undefined) return endListing(exchange);
        return sendPage(exchange, exchange.state as Listing);
      default:
        return message satisfies never;
    }
  };
}

function sendPage(exchange: Exchange, listing: Listing): void {
  for (let sent = 0; sent < PAGE; sent++) {
    const next = listing.next();
    if (next.done === true) return endListing(exchange);
    exchange.reply("message", toReply(next.value));
  }
  exchange.reply("page", {});
}

/** Ends the exchange; a request that makes no sense gets the same answer, and the files that are open are closed. */
function endListing(exchange: Exchange): void {
  (exchange.state as Listing | undefined)?.return();
  exchange.reply("end", {});
}

/** A file of another system's making may hold longer texts than the protocol carries: they are cut. */
function toReply(message: ListedMessage): MessageReply {
  return {
    ...message,
    sender: cut(message.sender, ADDRESS_LIMIT),
    recipients: message.recipients.map((recipient) => ({
      address: cut(recipient.address, ADDRESS_LIMIT),
      originalRecipient: cut(recipient.originalRecipient, ADDRESS_LIMIT),
      delayReason: cut(recipient.delayReason, REASON_LIMIT),
      bounceReason: cut(recipient.bounceReason, REASON_LIMIT),
    })),
  };
}

/** The text, or its first `most` bytes. */
function cut(text: string, most: number): string {
  if (text.length * 3 <= most) return text;
  const bytes = encodeText(text);
  return bytes.length <= most ? text : decodeText(bytes.subarray(0, most));
}
