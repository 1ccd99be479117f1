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
// Server skeleton
import { DELIVERY } from "../../lib/proto/protocols.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import { errorHandler } from "./error_handler.ts";
import { SERVICE } from "./service.ts";

await runIpcDaemon(
  SERVICE,
  DELIVERY,
  (context) => errorHandler(context.serviceName, context.settings, context.log),
);
