/**
 * NAME
 *   cleanup - brings a message into canonical form and writes its queue file
 *
 * DESCRIPTION
 *   Takes messages as records from smtpd, pickup, bounce and local; completes envelope addresses, expands
 *   recipients by virtual_alias_maps, removes and adds headers, and writes the file in incoming/. It answers OK only
 *   when the file and its name are on the disk, then tells qmgr. On an error it reads to the end, removes the file
 *   and says what was wrong. It is the only program that makes queue files.
 *
 * SECURITY
 *   Reads message content from strangers, through smtpd. It may write incoming/ and nothing else, runs nothing and
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
// Safe primitives
import { SyncGate } from "../../lib/safe/sync.ts";
import { SystemError } from "../../lib/safe/error.ts";
// Utility
import { asciiLower } from "../../lib/vstring/ascii.ts";
import type { Handler } from "../../lib/ipc/server.ts";
// Mail
import { QueueDirectory } from "../../lib/mail/queue_directory.ts";
import { BadRecordError } from "../../lib/mail/record.ts";
// Server skeleton
import { CLEANUP, CLEANUP_STATUS, PROXYMAP, QMGR, REWRITE } from "../../lib/proto/protocols.ts";
import { MapClient } from "../../lib/proto/proxymap_client.ts";
import { RewriteClient } from "../../lib/proto/rewrite_client.ts";
import type { Context } from "../../lib/server/context.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import { CleanupMessage, type CleanupRules } from "./cleanup_message.ts";
import { QueueFileMaker } from "./cleanup_output.ts";
import { AddressPipeline } from "./cleanup_recipient.ts";
import { SERVICE } from "./service.ts";

type Settings = Context<typeof SERVICE>["settings"];

function rulesFrom(settings: Settings): CleanupRules {
  return {
    alwaysAddMissingHeaders: settings.always_add_missing_headers,
    duplicateFilterLimit: settings.duplicate_filter_limit,
    longIds: settings.enable_long_queue_ids,
    originalRecipient: settings.enable_original_recipient,
    headerTokenLimit: settings.header_address_token_limit,
    fromFormat: settings.header_from_format as "standard" | "obsolete",
    headerSizeLimit: settings.header_size_limit,
    hopcountLimit: settings.hopcount_limit,
    dropHeaders: new Set(settings.message_drop_headers.map((name) => asciiLower(name))),
    messageSizeLimit: settings.message_size_limit,
    hostName: settings.myhostname,
    undisclosedRecipients: settings.undisclosed_recipients_header,
  };
}

/** Serves one exchange for each message. */
function start(context: Context<typeof SERVICE>): Handler<typeof CLEANUP> {
  const { settings, log } = context;
  const queue = new QueueDirectory(
    settings.queue_directory,
    settings.hash_queue_names,
    settings.hash_queue_depth,
  );
  const maker = new QueueFileMaker(
    queue,
    new SyncGate(queue.directory("incoming")),
    settings.enable_long_queue_ids,
  );
  const maps = settings.virtual_alias_maps.length === 0
    ? undefined
    : new MapClient(context.client(PROXYMAP, "proxymap"), settings);
  const limits = {
    expansion: settings.virtual_alias_expansion_limit,
    recursion: settings.virtual_alias_recursion_limit,
    length: settings.virtual_alias_address_length_limit,
  };
  const propagate = settings.propagate_unmatched_extensions.includes("virtual");
  const rewrite = new RewriteClient(context.client(REWRITE, "rewrite"));
  const addresses = new AddressPipeline(rewrite, maps, limits, propagate);
  const qmgr = context.client(QMGR, "qmgr");
  const rules = rulesFrom(settings);

  return (exchange, message) => {
    const reply = (status: number, reason: string) => exchange.reply("status", { status, reason });
    /** The disk's trouble is the client's 4xx; a message that cannot be read is the client's fault. */
    const failed = (error: unknown) => {
      if (!(error instanceof SystemError || error instanceof BadRecordError)) throw error;
      context.trouble("cannot write message", error);
      (exchange.state as CleanupMessage | undefined)?.abandon();
      exchange.state = undefined;
      exchange.onCancel = undefined;
      reply(error instanceof SystemError ? CLEANUP_STATUS.WRITE : CLEANUP_STATUS.BAD, "");
    };
    const guard = (work: () => Promise<void> | undefined): Promise<void> | void => {
      try {
        return work()?.catch(failed);
      } catch (error) {
        failed(error);
      }
    };
    switch (message.is) {
      case "begin":
        return guard(() => {
          const made = new CleanupMessage(maker.create(), message.flags, rules, addresses, log);
          exchange.state = made;
          exchange.onCancel = () => made.abandon();
          exchange.reply("queueId", { queueId: made.queueId });
          return undefined;
        });
      case "records":
        return guard(() => {
          const made = exchange.state as CleanupMessage | undefined;
          // What was under way when the message failed: the exchange has had its answer.
          if (made === undefined) return void reply(CLEANUP_STATUS.BAD, "");
          return made.take(message.records);
        });
      case "finish":
        return guard(() => {
          const made = exchange.state as CleanupMessage | undefined;
          if (made === undefined) return void reply(CLEANUP_STATUS.BAD, "");
          // Past this point a client that goes away changes nothing: the message may be committed already.
          exchange.onCancel = undefined;
          return made.finish((status, reason) => {
            if (status === CLEANUP_STATUS.OK) qmgr.send("queued", { queueId: made.queueId });
            reply(status, reason);
          });
        });
    }
  };
}

await runIpcDaemon(SERVICE, CLEANUP, start);
