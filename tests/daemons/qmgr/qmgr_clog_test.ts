import assert from "node:assert/strict";
import { clogWarnings } from "../../../daemons/qmgr/qmgr_clog.ts";
import { DestinationQueue } from "../../../daemons/qmgr/qmgr_queue.ts";
import { DEFAULT_RULES } from "./qmgr_support.ts";

/** Postfix's texts (qmgr_clog_warn_time), with our files and limits in them. */

for (
  const [name, { window, busy, waiting, messages }, advice] of [
    ["all deliveries that it may have at once", { window: 20, busy: 20, waiting: 5980, messages: 20_000 }, [
      "this may slow down other mail deliveries",
      "you may need to increase the main.toml smtp_destination_concurrency_limit from 20",
    ]],
    ["a part of the queue", { window: 3, busy: 3, waiting: 5997, messages: 20_000 }, [
      "this may slow down other mail deliveries",
      "you may need a separate master.toml transport for example.test",
    ]],
    ["nearly all of the queue", { window: 3, busy: 3, waiting: 5997, messages: 6001 }, [
      "you may need to reduce smtp connect and helo timeouts",
      "so that Postern quickly skips unavailable hosts",
      "you may need to increase the main.toml minimal_backoff_time and maximal_backoff_time",
      "so that Postern wastes less time on undeliverable mail",
      "you may need to increase the main.toml smtp_transport_concurrency_limit from 400",
    ]],
    ["a window that is wider than its share", { window: 7000, busy: 19, waiting: 5981, messages: 20_000 }, [
      "this may slow down other mail deliveries",
      "you may need to increase the main.toml qmgr_message_active_limit from 20000",
    ]],
  ] as const
) {
  Deno.test(`a destination that fills the queue and has ${name}`, () => {
    const queue = new DestinationQueue("example.test", "example.test", DEFAULT_RULES);
    Object.assign(queue, { window, busy, waiting });
    assert.deepEqual(
      clogWarnings("smtp", DEFAULT_RULES, queue, messages, { qmgr_message_active_limit: 20_000 }),
      [
        `mail for example.test is using up 6000 of ${messages} active queue entries`,
        ...advice,
        "please avoid flushing the whole queue when you have",
        "lots of deferred mail, that is bad for performance",
        "to turn off these warnings specify: qmgr_clog_warn_time = 0",
      ],
    );
  });
}

Deno.test("a next hop is shown in printable form", () => {
  const queue = new DestinationQueue("\x1b[2J", "\x1b[2J", DEFAULT_RULES);
  const [line] = clogWarnings("smtp", DEFAULT_RULES, queue, 1, { qmgr_message_active_limit: 1 });
  assert.ok(!line!.includes("\x1b"));
});
