/**
 * One request to drop a message.
 */
// Utility
import type { Settings } from "../../lib/config/parameters.ts";
import type { Handler } from "../../lib/ipc/server.ts";
import type { Logger } from "../../lib/log/log.ts";
// Mail
import { splitStatus } from "../../lib/mail/status_code.ts";
import { deliveryLogLine } from "../../lib/mail/delivery_log.ts";
// Server skeleton
import type { DELIVERY } from "../../lib/proto/protocols.ts";
// This program
import type { SERVICE } from "./service.ts";

/** The parameters that the agent is told. */
export type DiscardSettings = Settings<(typeof SERVICE)["parameters"][number]>;

/** Drops each request's message. */
export function discardHandler(settings: DiscardSettings, log: Logger): Handler<typeof DELIVERY> {
  const style = {
    resolution: settings.delay_logging_resolution_limit,
    addressFormat: "external",
  } as const;
  return (exchange, request) => {
    const now = Date.now();
    const { status, text } = splitStatus(request.nexthop, "2.0.0");
    const times = { arrival: request.arrivalTime, active: request.activeTime, started: now, done: now };
    for (const { offset, address, originalRecipient } of request.recipients) {
      log.info(deliveryLogLine({
        queueId: request.queueId,
        recipient: address,
        originalRecipient,
        relay: "none",
        times,
        status,
        result: request.probe ? "deliverable" : "sent",
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
