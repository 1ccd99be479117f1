/**
 * NAME
 *   cleanup - brings a message into canonical form and writes its queue file
 *
 * DESCRIPTION
 *   Takes messages as records from smtpd, pickup, bounce and local; completes envelope addresses, expands
 *   recipients by virtual_alias_maps, removes and adds headers, and writes the file in incoming/. It answers OK only
 *   when the message is on the disk: in the journal, which is synced once for all messages that wait, or as a file
 *   where it is long. Then it tells qmgr. An alias whose sender asked for success reports is noted as expanded in the
 *   message's trace log. On an error it reads to the end, removes the file and says what was wrong. It is the only
 *   program that makes queue files. While qmgr says that mail comes in faster than it is taken, each message waits for
 *   in_flow_delay before it is begun.
 *
 * SECURITY
 *   Reads message content from strangers, through smtpd. It may write incoming/ and journal/ and nothing else, runs nothing and
 *   reaches no network. Stray CR and LF are replaced before anything is stored; control characters in the envelope
 *   are refused. It is trusted with every message that comes in.
 *
 * STANDARDS
 *   RFC 5322 (message format), RFC 2045 (Content-Transfer-Encoding), RFC 3461 (DSN attributes)
 *
 * DIAGNOSTICS
 *   "ID: message-id=<...>" for each message; "ID: reject: ..." for one that is refused. A client that breaks the
 *   protocol is a warning. A disk that cannot be written gives status WRITE to the client, which answers 4xx.
 *
 * PARAMETERS
 *   See service.ts.
 *
 * LIMITS
 *   No canonical, masquerade, bcc or header_checks processing, no milters.
 *
 * @module
 */
// Server skeleton
import { BOUNCE, CLEANUP, PROXYMAP, QMGR, REWRITE } from "../../lib/proto/protocols.ts";
import { MapClient } from "../../lib/proto/proxymap_client.ts";
import { RewriteClient } from "../../lib/proto/rewrite_client.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import { InFlowDelay } from "./cleanup_flow.ts";
import { CleanupService } from "./cleanup_service.ts";
import { SERVICE } from "./service.ts";

await runIpcDaemon(SERVICE, CLEANUP, (context) => {
  const { settings } = context;
  const qmgr = context.client(QMGR, "qmgr");
  const service = new CleanupService({
    settings,
    log: context.log,
    rewrite: new RewriteClient(context.client(REWRITE, "rewrite")),
    maps: new MapClient(context.client(PROXYMAP, "proxymap"), settings),
    trace: context.client(BOUNCE, "trace"),
    qmgr,
    inFlow: new InFlowDelay(qmgr, settings.in_flow_delay),
    queueKey: context.queueKey,
    bootId: context.bootId,
    trouble: (what, error) => context.trouble(what, error),
  });
  return (exchange, message) => service.handle(exchange, message);
});
