/**
 * NAME
 *   cleanup - brings a message into canonical form and writes its queue file
 *
 * DESCRIPTION
 *   Takes messages as records from smtpd, pickup, bounce and local; completes the addresses of envelope and header,
 *   replaces them by the canonical maps and masquerades them, expands recipients by virtual_alias_maps, adds those who
 *   get copies, removes and adds headers, does what header_checks, mime_header_checks, nested_header_checks and
 *   body_checks say, and writes the file in incoming/, or in hold/ where a check says so. It answers OK only
 *   when the message is on the disk: in the journal, which is synced once for all messages that wait, or as a file
 *   where it is long. Then it tells qmgr. An alias whose sender asked for success reports is noted as expanded in the
 *   message's trace log. On an error it reads to the end, removes the file and says what was wrong. It is the only
 *   program that makes queue files. While qmgr says that mail comes in faster than it is taken, each message waits for
 *   in_flow_delay before it is begun.
 *
 *   REQUIRETLS stands in the size record, and with requiretls_esmtp_header in a header, Require-TLS-ESMTP: yes: a message that
 *   comes back from a filter with that header is one that came with REQUIRETLS. TLS-Required: no in the header is noted too.
 *
 *   When a message is whole, filters (milters) are told its content: those of the SMTP session, whose connections smtpd
 *   lends for that, or those of non_smtpd_milters, for which cleanup makes up a session. Each filter sees what the one
 *   before it has left. What it changes is done when it has ended, all of it or nothing, and the queue file is put
 *   together anew before it is committed; a message that does not fit into memory is written twice for that.
 *
 *   The body of a message is passed through as it came and looked at by nobody, unless there is a table of checks or a
 *   strict_* rule. Then all lines of a chunk are looked up at once, through proxymap.
 *
 * SECURITY
 *   Reads message content from strangers, through smtpd. It may write incoming/, hold/ and journal/ and nothing else,
 *   runs nothing and reaches no network but the address and port of each filter that non_smtpd_milters names; tables are with proxymap, which matches patterns in linear time and a moment
 *   at a time. Stray CR and LF are replaced before anything is stored; control characters in the envelope
 *   are refused. It is trusted with every message that comes in.
 *
 * STANDARDS
 *   RFC 5322 (message format), RFC 2045 (Content-Transfer-Encoding), RFC 3461 (DSN attributes), RFC 8689 (REQUIRETLS, TLS-Required)
 *
 * DIAGNOSTICS
 *   "ID: message-id=<...>" for each message; "ID: reject: ..." for one that is refused; "ID: ACTION: header ..." or
 *   "body ..." for what a check did, in Postfix's form. A mistake in a table of checks is a warning, and the text stays.
 *   A table that cannot be asked is a warning, and the client keeps its mail. A client that breaks the
 *   protocol is a warning. A disk that cannot be written gives status WRITE to the client, which answers 4xx.
 *
 * PARAMETERS
 *   See service.ts.
 *
 * LIMITS
 *   The action DELAY, which Postfix has in its source and not in its programs, does not exist. Content is
 *   not converted (force_mime_input_conversion), and no characters are stripped or refused in it.
 *
 * @module
 */
// Server skeleton
import { BOUNCE, CLEANUP, PROXYMAP, QMGR, REWRITE } from "../../lib/proto/protocols.ts";
import { MapClient } from "../../lib/proto/proxymap_client.ts";
import { RewriteClient } from "../../lib/proto/rewrite_client.ts";
import { milterConnector } from "../../lib/milter/milter_connect.ts";
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
    connect: milterConnector((name) => context.socketOf(name)),
    trouble: (what, error) => context.trouble(what, error),
  });
  return (exchange, message) => service.handle(exchange, message);
});
