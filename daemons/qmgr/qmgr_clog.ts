/**
 * What is said when mail for one destination fills the active queue (qmgr_clog_warn_time).
 */
// Utility
import { printable } from "../../lib/vstring/printable.ts";
// This program
import type { DestinationQueue } from "./qmgr_queue.ts";
import type { TransportRules } from "./qmgr_transport.ts";

/** One destination may have one part in so many of the active queue before it is said to fill it. */
export const CLOG_SHARE = 5;
/** With less than this share of the messages there is other mail that suffers. */
const ALONE = 0.9;

/** The parts of the configuration that the advice goes by. */
export interface ClogSettings {
  readonly qmgr_message_active_limit: number;
}

/** The warnings, one line each. */
export function clogWarnings(
  transport: string,
  rules: TransportRules,
  queue: DestinationQueue,
  messages: number,
  settings: ClogSettings,
): string[] {
  const entries = queue.waiting + queue.busy;
  const share = entries / Math.max(1, messages);
  const nexthop = printable(queue.nexthop);
  return [
    `mail for ${nexthop} is using up ${entries} of ${messages} active queue entries`,
    ...(share < ALONE ? ["this may slow down other mail deliveries"] : []),
    ...advice(transport, rules, queue, share, settings),
    "please avoid flushing the whole queue when you have",
    "lots of deferred mail, that is bad for performance",
    "to turn off these warnings specify: qmgr_clog_warn_time = 0",
  ];
}

function advice(
  transport: string,
  rules: TransportRules,
  queue: DestinationQueue,
  share: number,
  settings: ClogSettings,
): string[] {
  const active = settings.qmgr_message_active_limit;
  if (rules.limit > 0 && rules.limit <= queue.busy) {
    return [
      `you may need to increase the main.toml ${transport}_destination_concurrency_limit from ${rules.limit}`,
    ];
  }
  if (queue.window > active * share) {
    return [`you may need to increase the main.toml qmgr_message_active_limit from ${active}`];
  }
  if (share < ALONE) {
    return [`you may need a separate master.toml transport for ${printable(queue.nexthop)}`];
  }
  return [
    `you may need to reduce ${transport} connect and helo timeouts`,
    "so that Postern quickly skips unavailable hosts",
    "you may need to increase the main.toml minimal_backoff_time and maximal_backoff_time",
    "so that Postern wastes less time on undeliverable mail",
    `you may need to increase the main.toml ${transport}_transport_concurrency_limit from ${rules.concurrency}`,
  ];
}
