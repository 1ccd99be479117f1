/**
 * NAME
 *   error, retry - the delivery agents that bounce or defer
 *
 * DESCRIPTION
 *   Settles every recipient with the next hop as the reason, optionally with a status code in front: "5.1.1 User
 *   unknown". As service `error` it bounces (default 5.0.0), as service `retry` it defers (default 4.0.0). qmgr keeps
 *   the record and returns the mail.
 *
 * SECURITY
 *   Reads delivery requests of qmgr, never a message. It may touch no file and no network.
 *
 * STANDARDS
 *   RFC 3463 (status codes)
 *
 * DIAGNOSTICS
 *   "status=bounced (REASON)" or "status=deferred (REASON)" for each recipient; "status=SOFTBOUNCE" where
 *   soft_bounce turns the one into the other.
 *
 * PARAMETERS
 *   delay_logging_resolution_limit, soft_bounce
 *
 * @module
 */
// Utility
import type { Handler } from "../../lib/ipc/server.ts";
// Mail
import { splitStatus, withClass } from "../../lib/mail/status_code.ts";
import { deliveryLogLine } from "../../lib/mail/delivery_log.ts";
// Server skeleton
import { DELIVERY } from "../../lib/proto/protocols.ts";
import type { Context } from "../../lib/server/context.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import { SERVICE } from "./service.ts";

/** Text when the transport table gives none. */
const DEFAULT_REASON = "Address is undeliverable";

/** Bounces or defers each request's recipients. */
function start(context: Context<typeof SERVICE>): Handler<typeof DELIVERY> {
  const retry = context.serviceName === "retry";
  const softened = !retry && context.settings.soft_bounce;
  const style = {
    resolution: context.settings.delay_logging_resolution_limit,
    addressFormat: "external",
  } as const;
  const result = retry || softened ? "deferred" : "bounced";
  return (exchange, request) => {
    const now = Date.now();
    const split = splitStatus(request.nexthop, retry ? "4.0.0" : "5.0.0");
    const status = withClass(split.status, result === "deferred" ? "4" : "5");
    const reason = split.text || DEFAULT_REASON;
    const times = { arrival: request.arrivalTime, active: request.activeTime, started: now, done: now };
    for (const { offset, address, originalRecipient } of request.recipients) {
      context.log.info(deliveryLogLine({
        queueId: request.queueId,
        recipient: address,
        originalRecipient,
        relay: "none",
        times,
        status,
        result: softened ? "SOFTBOUNCE" : result,
        text: reason,
      }, style));
      exchange.reply("recipient", {
        offset,
        result,
        status,
        action: result === "deferred" ? "delayed" : "failed",
        reason,
        diagnosticType: "",
        diagnosticText: "",
        remoteMta: "",
      });
    }
    exchange.reply("finished", { siteStatus: "", site: "" });
  };
}

await runIpcDaemon(SERVICE, DELIVERY, start);
