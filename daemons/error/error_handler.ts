/**
 * One request to bounce or to defer.
 */
// Utility
import type { Settings } from "../../lib/config/parameters.ts";
import type { Handler } from "../../lib/ipc/server.ts";
import type { Logger } from "../../lib/log/log.ts";
// Mail
import { splitStatus, withClass } from "../../lib/mail/status_code.ts";
import { deliveryLogLine } from "../../lib/mail/delivery_log.ts";
// Server skeleton
import type { DELIVERY } from "../../lib/proto/protocols.ts";
// This program
import type { SERVICE } from "./service.ts";

/** Text when the transport table gives none. */
const DEFAULT_REASON = "Address is undeliverable";

/** The parameters that the agents are told. */
export type ErrorSettings = Settings<(typeof SERVICE)["parameters"][number]>;

/**
 * Bounces or defers each request's recipients.
 *
 * @param service name in master.toml: "retry" defers, anything else bounces
 */
export function errorHandler(
  service: string,
  settings: ErrorSettings,
  log: Logger,
): Handler<typeof DELIVERY> {
  const retry = service === "retry";
  const style = {
    resolution: settings.delay_logging_resolution_limit,
    addressFormat: "external",
  } as const;
  return (exchange, request) => {
    const now = Date.now();
    // A probe keeps no mail: what would become of it is said as it is.
    const softened = !retry && settings.soft_bounce && !request.probe;
    const result = retry || softened ? "deferred" : "bounced";
    const split = splitStatus(request.nexthop, retry ? "4.0.0" : "5.0.0");
    const status = withClass(split.status, result === "deferred" ? "4" : "5");
    const reason = split.text || DEFAULT_REASON;
    const times = { arrival: request.arrivalTime, active: request.activeTime, started: now, done: now };
    for (const { offset, address, originalRecipient } of request.recipients) {
      log.info(deliveryLogLine({
        queueId: request.queueId,
        recipient: address,
        originalRecipient,
        relay: "none",
        times,
        status,
        result: request.probe ? "undeliverable" : softened ? "SOFTBOUNCE" : result,
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
