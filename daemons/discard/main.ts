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
// Server skeleton
import { DELIVERY } from "../../lib/proto/protocols.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import { discardHandler } from "./discard_handler.ts";
import { SERVICE } from "./service.ts";

await runIpcDaemon(SERVICE, DELIVERY, (context) => discardHandler(context.settings, context.log));
