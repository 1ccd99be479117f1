/**
 * NAME
 *   qmgr - the queue manager
 *
 * DESCRIPTION
 *   Takes messages from incoming/ and deferred/ into active/, asks trivial-rewrite where each recipient leads, and
 *   hands recipients to delivery agents, a limited number to each destination at once. It records what becomes of
 *   them: done recipients are marked in the file, bounces and deferrals go to their logs. A message whose recipients
 *   are all done is removed; one that waits is tried again later, the older the less often, and returned when it is
 *   too old.
 *
 *   cleanup tells it of each new message, so nothing is scanned for; scans find what a crash left.
 *
 * SECURITY
 *   Reads queue files, which hold what strangers sent, through bounded readers. It owns the queue directories and
 *   reaches no network and no other file. An agent is believed only about recipients that it was given.
 *
 * STANDARDS
 *   RFC 5321 section 4.5.4 (retry strategy), RFC 3461 (DSN)
 *
 * DIAGNOSTICS
 *   "ID: from=<...>, size=N, nrcpt=N (queue active)", "ID: removed", "status=expired, returned to sender". A damaged
 *   file is moved to corrupt/ with a warning.
 *
 * PARAMETERS
 *   See service.ts, and <transport>_destination_concurrency_limit and its relatives.
 *
 * LIMITS
 *   Messages of one transport are served in turn by destination; Postfix's preemption by job size, rate delays and
 *   in-flow control are not there.
 *
 * @module
 */
// Utility
import { transportParameter } from "../../lib/config/transport.ts";
import type { Handler } from "../../lib/ipc/server.ts";
// Mail
import { QueueDirectory } from "../../lib/mail/queue_directory.ts";
import { toQueueId } from "../../lib/mail/queue_id.ts";
// Server skeleton
import { BOUNCE, DELIVERY, QMGR, REWRITE } from "../../lib/proto/protocols.ts";
import { RewriteClient } from "../../lib/proto/rewrite_client.ts";
import type { Context } from "../../lib/server/context.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import { JournalKeeper } from "./qmgr_journal.ts";
import { QueueManager } from "./qmgr_manager.ts";
import { type Feedback, parseFeedback } from "./qmgr_queue.ts";
import { QueueScanner, recoverActive } from "./qmgr_scan.ts";
import { Transport, type TransportRules } from "./qmgr_transport.ts";
import { SERVICE } from "./service.ts";

/** How long deliveries under way hold up the end of the process, and how often they are looked at, milliseconds. */
const RETIREMENT_WAIT = 30_000;
const RETIREMENT_STEP = 50;
/** How often the journal is looked at, seconds. */
const JOURNAL_INTERVAL = 5;

type QmgrContext = Context<typeof SERVICE>;

function rulesOf(context: QmgrContext, name: string): TransportRules {
  const { settings } = context;
  const feedback = (
    suffix: "destination_concurrency_positive_feedback" | "destination_concurrency_negative_feedback",
  ): Feedback => {
    const text = transportParameter(settings, name, suffix);
    const parsed = parseFeedback(text);
    if (parsed === undefined) context.log.warning(`${name}_${suffix}: bad value "${text}": using 1`);
    return parsed ?? (() => 1);
  };
  return {
    initial: transportParameter(settings, name, "initial_destination_concurrency"),
    limit: transportParameter(settings, name, "destination_concurrency_limit"),
    positive: feedback("destination_concurrency_positive_feedback"),
    negative: feedback("destination_concurrency_negative_feedback"),
    failedCohortLimit: transportParameter(settings, name, "destination_concurrency_failed_cohort_limit"),
    recipientLimit: transportParameter(settings, name, "destination_recipient_limit"),
  };
}

function makeManager(
  context: QmgrContext,
  queue: QueueDirectory,
  journal: JournalKeeper,
  roomMade: () => void,
): QueueManager {
  const { settings } = context;
  const senderMatters = settings.sender_dependent_relayhost_maps.length > 0 ||
    settings.sender_dependent_default_transport_maps.length > 0;
  const manager = new QueueManager({
    queue,
    rewrite: new RewriteClient(context.client(REWRITE, "rewrite"), { senderMatters }),
    bounce: context.client(BOUNCE, "bounce"),
    defer: context.client(BOUNCE, "defer"),
    trace: context.client(BOUNCE, "trace"),
    log: context.log,
    times: {
      minimalBackoff: settings.minimal_backoff_time,
      maximalBackoff: settings.maximal_backoff_time,
      lifetime: settings.maximal_queue_lifetime,
      bounceLifetime: settings.bounce_queue_lifetime,
      delayWarning: settings.delay_warning_time,
    },
    recipientLimit: settings.qmgr_message_recipient_limit,
    recipientMinimum: settings.qmgr_message_recipient_minimum,
    deferTransports: new Set(settings.defer_transports),
    gone: (id) => journal.gone(id),
    roomMade,
  });
  for (const name of context.transports) {
    const transport: Transport = new Transport(
      name,
      context.client(DELIVERY, name),
      rulesOf(context, name),
      { destination: settings.minimal_backoff_time * 1000, transport: settings.transport_retry_time * 1000 },
      {
        settled: (message, recipient, outcome) => manager.settled(message, recipient, outcome),
        unsettled: (entry, recipients, error) => manager.unsettled(transport, entry, recipients, error),
        died: (destination, entries) => manager.died(destination, entries),
      },
    );
    manager.addTransport(transport);
  }
  return manager;
}

function start(context: QmgrContext): Handler<typeof QMGR> {
  const { settings, log } = context;
  const queue = new QueueDirectory(
    settings.queue_directory,
    settings.hash_queue_names,
    settings.hash_queue_depth,
  );
  const journal = new JournalKeeper(queue, context.bootId, log);
  journal.restore();
  const manager = makeManager(context, queue, journal, () => scanner.pump());
  const scanner = new QueueScanner(
    queue,
    manager,
    settings.qmgr_message_active_limit,
    log,
    Math.max(settings.minimal_backoff_time, settings.maximal_backoff_time) * 1000,
  );
  context.onRetire(async () => {
    scanner.stop();
    manager.stop();
    // What agents have in hand is waited for: given to another agent meanwhile, it would arrive twice.
    for (let waited = 0; manager.busy > 0 && waited < RETIREMENT_WAIT; waited += RETIREMENT_STEP) {
      await new Promise((resolve) => setTimeout(resolve, RETIREMENT_STEP));
    }
  });
  recoverActive(queue);
  scanner.scanIncoming();
  scanner.scanDeferred(false);
  context.every(settings.queue_run_delay, () => scanner.scanDeferred(false));
  context.every(JOURNAL_INTERVAL, () => journal.retire());
  context.onEnd(() => journal.retire());
  context.onWakeup(() => scanner.scanIncoming());
  return (exchange, message) => {
    switch (message.is) {
      case "queued":
        return scanner.hint(message.queueId);
      case "accepted":
        // Without the key it is a hint like any other.
        return message.key === context.queueKey
          ? scanner.accept(message.queueId, message.head, message.tail)
          : scanner.hint(message.queueId);
      case "trigger": {
        // A whole set counts together, so that A and F take effect before D and I.
        const asked = new Set(message.bytes);
        if (asked.has("F")) manager.revive();
        if (asked.has("I") || asked.has("W")) scanner.scanIncoming();
        if (asked.has("D")) scanner.scanDeferred(asked.has("A"));
        return;
      }
      case "deliver": {
        const id = toQueueId(message.queueId);
        const found = id !== undefined && (manager.has(id) || manager.take(id, "deferred", { flush: true }) ||
          manager.take(id, "incoming", { flush: true }));
        return exchange.reply("done", { found });
      }
    }
  };
}

await runIpcDaemon(SERVICE, QMGR, start);
