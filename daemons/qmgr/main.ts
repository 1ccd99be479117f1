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
 *   Within a transport messages are served in the order in which they came, except that short ones pass long ones that
 *   have earned it for them (*_delivery_slot_cost and its relatives). Each destination has as many deliveries at once as
 *   it has shown that it can take; one that fails is left alone for minimal_backoff_time. Of a long list only as many
 *   recipients are in memory as *_recipient_limit allows.
 *   A message that asked for VERP goes to each recipient by itself, from an address that names the recipient.
 *
 *   cleanup tells it of each new message, so nothing is scanned for; scans find what a crash left. When more than
 *   default_process_limit new messages wait for room in the active queue, it has cleanup hold each message back for
 *   in_flow_delay. The flush daemon is told of deferred mail where fast_flush_domains names destinations.
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
 *   file is moved to corrupt/ with a warning. "mail for NEXTHOP is using up N of M active queue entries": mail for one
 *   destination is more than a fifth of qmgr_message_active_limit. "delivery took longer than daemon_timeout": the agent
 *   still has it, and may deliver it yet; here it is put off.
 *
 * PARAMETERS
 *   See service.ts, and <transport>_destination_concurrency_limit and its relatives.
 *
 * LIMITS
 *   qmgr_daemon_timeout and qmgr_ipc_timeout are not there:
 *   master watches over daemons that are silent, and a request that is not answered has a deadline of its own. The
 *   state of rate delays, concurrency and dead destinations does not outlive the process.
 *
 * @module
 */
// Utility
import { transportParameter } from "../../lib/config/transport.ts";
import type { Handler } from "../../lib/ipc/server.ts";
// Mail
import { QueueDirectory } from "../../lib/mail/queue_directory.ts";
// Server skeleton
import { BOUNCE, DELIVERY, FLUSH, QMGR, REWRITE, VERIFY } from "../../lib/proto/protocols.ts";
import { RewriteClient } from "../../lib/proto/rewrite_client.ts";
import type { Context } from "../../lib/server/context.ts";
import { runIpcDaemon } from "../../lib/server/daemon.ts";
// This program
import { CLOG_SHARE, clogWarnings } from "./qmgr_clog.ts";
import { InFlow } from "./qmgr_flow.ts";
import { SWEEPS } from "./qmgr_hand.ts";
import { JournalKeeper } from "./qmgr_journal.ts";
import { type FlushClient, QueueManager } from "./qmgr_manager.ts";
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
    concurrency: transportParameter(settings, name, "transport_concurrency_limit"),
    positive: feedback("destination_concurrency_positive_feedback"),
    negative: feedback("destination_concurrency_negative_feedback"),
    failedCohortLimit: transportParameter(settings, name, "destination_concurrency_failed_cohort_limit"),
    debug: settings.destination_concurrency_feedback_debug && name !== "error" && name !== "retry"
      ? (text) => context.log.info(text)
      : undefined,
    recipientLimit: transportParameter(settings, name, "destination_recipient_limit"),
    slotCost: transportParameter(settings, name, "delivery_slot_cost"),
    slotLoan: transportParameter(settings, name, "delivery_slot_loan"),
    slotDiscount: transportParameter(settings, name, "delivery_slot_discount"),
    minimumSlots: transportParameter(settings, name, "minimum_delivery_slots"),
    pool: transportParameter(settings, name, "recipient_limit"),
    extraPool: transportParameter(settings, name, "extra_recipient_limit"),
    refillLimit: transportParameter(settings, name, "recipient_refill_limit"),
    refillDelay: transportParameter(settings, name, "recipient_refill_delay") * 1000,
    recipientMinimum: settings.qmgr_message_recipient_minimum,
    rateDelay: transportParameter(settings, name, "destination_rate_delay") * 1000,
    transportRateDelay: transportParameter(settings, name, "transport_rate_delay") * 1000,
    clogLimit: settings.helpful_warnings && settings.qmgr_clog_warn_time > 0
      ? settings.qmgr_message_active_limit / CLOG_SHARE
      : Infinity,
    clogPause: settings.qmgr_clog_warn_time * 1000,
  };
}

/** Who keeps lists of deferred mail, where there are destinations with lists. */
function flushClient(context: QmgrContext): FlushClient | undefined {
  const wanted = context.settings.fast_flush_domains.length > 0 && context.reaches("flush");
  return wanted ? context.client(FLUSH, "flush") : undefined;
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
  const localpartMatters = settings.transport_maps.length > 0 || settings.relocated_maps.length > 0;
  const manager = new QueueManager({
    queue,
    rewrite: new RewriteClient(context.client(REWRITE, "rewrite"), { senderMatters, localpartMatters }),
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
    notices: {
      confirmDelayCleared: settings.confirm_delay_cleared,
      disableVerpBounces: settings.disable_verp_bounces,
    },
    recipientLimit: settings.qmgr_message_recipient_limit,
    recipientMinimum: settings.qmgr_message_recipient_minimum,
    deferTransports: new Set(settings.defer_transports),
    filterNexthop: settings.default_filter_nexthop,
    flush: flushClient(context),
    verify: context.reaches("verify") ? context.client(VERIFY, "verify") : undefined,
    extension: settings,
    gone: (id) => journal.gone(id),
    roomMade,
  });
  for (const name of context.transports) {
    const rules = rulesOf(context, name);
    const transport: Transport = new Transport(
      name,
      context.client(DELIVERY, name),
      rules,
      { destination: settings.minimal_backoff_time * 1000, transport: settings.transport_retry_time * 1000 },
      {
        settled: (message, recipient, outcome) => manager.settled(message, recipient, outcome),
        unsettled: (entry, recipients, error) => manager.unsettled(transport, entry, recipients, error),
        died: (destination, entries) => manager.died(destination, entries),
        givenUp: ({ message }) =>
          context.log.warning(`${message.id}: ${name}: delivery took longer than daemon_timeout: given up`),
        refill: (message, most) => manager.refill(message, most),
        clogged: (destination) => {
          for (const line of clogWarnings(name, rules, destination, manager.size, settings)) {
            context.log.warning(line);
          }
        },
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
  const flow = new InFlow(settings.default_process_limit);
  const manager = makeManager(context, queue, journal, () => scanner.pump());
  const scanner = new QueueScanner(
    queue,
    manager,
    settings.qmgr_message_active_limit,
    log,
    Math.max(settings.minimal_backoff_time, settings.maximal_backoff_time) * 1000,
    flow,
  );
  context.onRetire(async () => {
    scanner.stop();
    manager.stop();
    flow.end();
    // What agents have in hand is waited for: given to another agent meanwhile, it would arrive twice.
    for (let waited = 0; manager.busy > 0 && waited < RETIREMENT_WAIT; waited += RETIREMENT_STEP) {
      await new Promise((resolve) => setTimeout(resolve, RETIREMENT_STEP));
    }
  });
  recoverActive(queue);
  scanner.scanIncoming();
  scanner.scanDeferred(false);
  context.every(settings.queue_run_delay, () => scanner.scanDeferred(false));
  context.every(settings.daemon_timeout / SWEEPS, () => manager.sweep());
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
      case "deliver":
        return exchange.reply("done", { found: scanner.deliver(message.queueId, message.unthrottle) });
      case "watch":
        return flow.watch(exchange);
      default:
        return message satisfies never;
    }
  };
}

await runIpcDaemon(SERVICE, QMGR, start);
