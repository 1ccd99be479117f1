/**
 * NAME
 *   discard - the delivery agent that drops mail
 *
 * DESCRIPTION
 *   Reports every recipient as delivered and does nothing with the message. The next hop is the text for the log,
 *   optionally with a status code in front: `discard:2.0.0 not wanted`.
 *
 * SECURITY
 *   Reads delivery requests of qmgr, never a message. It may touch no file and no network.
 *
 * STANDARDS
 *   RFC 3463 (status codes)
 *
 * DIAGNOSTICS
 *   "status=sent (TEXT)" for each recipient.
 *
 * PARAMETERS
 *   delay_logging_resolution_limit
 *
 * @module
 */
// Utility
import type { Handler } from "../../lib/ipc/server.ts";
// Mail
import { splitStatus } from "../../lib/mail/status_code.ts";
import { deliveryLogLine } from "../../lib/mail/delivery_log.ts";
// Server skeleton
import { DELIVERY } from "../../lib/proto/protocols.ts";
import type { Context } from "../../lib/server/context.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import { SERVICE } from "./service.ts";

/** Drops each request's message. */
function start(context: Context<typeof SERVICE>): Handler<typeof DELIVERY> {
  const style = {
    resolution: context.settings.delay_logging_resolution_limit,
    addressFormat: "external",
  } as const;
  return (exchange, request) => {
    const now = Date.now();
    const { status, text } = splitStatus(request.nexthop, "2.0.0");
    const times = { arrival: request.arrivalTime, active: request.activeTime, started: now, done: now };
    for (const { offset, address, originalRecipient } of request.recipients) {
      context.log.info(deliveryLogLine({
        queueId: request.queueId,
        recipient: address,
        originalRecipient,
        relay: "none",
        times,
        status,
        result: "sent",
        text,
      }, style));
      exchange.reply("recipient", {
        offset,
        result: "sent",
        status,
        action: "delivered",
        reason: text,
        diagnosticType: "",
        diagnosticText: "",
        remoteMta: "",
      });
    }
    exchange.reply("finished", { siteStatus: "", site: "" });
  };
}

await runIpcDaemon(SERVICE, DELIVERY, start);
