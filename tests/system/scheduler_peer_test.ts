import assert from "node:assert/strict";
import { until } from "../commands/mail_system.ts";
import { type FakeServer, fakeServer } from "../lib/smtp/fake_server.ts";
import { utf8 } from "../support/bytes.ts";
import { Postern } from "../support/postern.ts";
import { Postfix } from "../support/postfix.ts";
import { sendWithPython } from "../support/smtplib.ts";
import { testNeeding } from "../support/tools.ts";

/** Debian's Postfix and Postern with the same mail for the same slow server: the same order of deliveries. */

/** A list of twenty deliveries, and five messages to one recipient each. */
const LIST = Array.from({ length: 40 }, (_, i) => `r${i}@slow.test`);
const SHORT = 5;
/** Milliseconds for one delivery. */
const PAUSE = 300;

/** Posts the list, waits until it is under way, posts the short messages, and waits for the end. */
async function play(port: number, server: FakeServer): Promise<string> {
  const content = utf8("Subject: test\r\n\r\nhello\r\n");
  const senders = () =>
    server.commands.filter((line) => line.startsWith("MAIL FROM:")).map((line) => line.split(/[<@]/)[1]!);
  await sendWithPython(port, [{ from: "L@example.test", to: LIST, content }]);
  assert.ok(await until(() => senders().length > 0), "the list is under way");
  const short = Array.from(
    { length: SHORT },
    () => ({ from: "s@example.test", to: ["one@slow.test"], content }),
  );
  await sendWithPython(port, short);
  assert.ok(await until(() => senders().length >= LIST.length / 2 + SHORT), senders().join(""));
  return senders().join("");
}

/** Deliveries of the list between two short messages. */
function gaps(order: string): number[] {
  return order.split("s").slice(1, -1).map((part) => part.length);
}

/** What the log says of concurrency feedback, without the port. */
function told(log: string): string[] {
  const lines = log.split("\n").filter((line) => line.includes(" qmgr_queue_"));
  return [...new Set(lines.map((line) => line.replace(/^.*?: /, "").replace(/:\d+:/, ":25:")))];
}

testNeeding(["root", "postfix", "python3"], "short messages pass a list as in Debian's Postfix", async () => {
  const servers = [fakeServer({ pause: PAUSE, keywords: [] }), fakeServer({ pause: PAUSE, keywords: [] })];
  try {
    await using postfix = await Postfix.start({
      settings: {
        relayhost: `[127.0.0.1]:${servers[0]!.port}`,
        smtp_destination_recipient_limit: "2",
        smtp_destination_concurrency_limit: "1",
        destination_concurrency_feedback_debug: "yes",
      },
    });
    await using postern = await Postern.start({
      settings: {
        default_transport: '"smtp:"',
        relayhost: `"[127.0.0.1]:${servers[1]!.port}"`,
        smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
        smtp_destination_recipient_limit: "2",
        smtp_destination_concurrency_limit: "1",
        destination_concurrency_feedback_debug: "true",
      },
    });
    const orders = await Promise.all([play(postfix.port, servers[0]!), play(postern.port, servers[1]!)]);
    for (const order of orders) {
      // When the first passes depends on the second in which the scheduler looks; what the others must wait for does not.
      assert.ok(order.indexOf("s") <= 8, order);
      assert.equal(order.replaceAll("s", "").length, 20, order);
    }
    assert.deepEqual(gaps(orders[1]!).slice(-2), gaps(orders[0]!).slice(-2), orders.join(" and "));
    assert.ok(told(postfix.log()).length > 0);
    assert.deepEqual(told(postern.log()), told(postfix.log()));
  } finally {
    for (const server of servers) await server.stop();
  }
});

/** Milliseconds between the beginnings of deliveries, of messages that came together. */
async function pauses(port: number, server: FakeServer, count: number): Promise<number[]> {
  const content = utf8("Subject: test\r\n\r\nhello\r\n");
  const begun: number[] = [];
  const posts = Array.from(
    { length: count },
    () => ({ from: "a@example.test", to: ["b@slow.test"], content }),
  );
  await sendWithPython(port, posts);
  const seen = await until(() => {
    const deliveries = server.commands.filter((line) => line.startsWith("MAIL FROM:")).length;
    while (begun.length < deliveries) begun.push(performance.now());
    return begun.length === count;
  }, 30_000);
  assert.ok(seen, `${begun.length} deliveries`);
  return begun.slice(1).map((time, i) => time - begun[i]!);
}

for (const name of ["smtp_destination_rate_delay", "smtp_transport_rate_delay"]) {
  testNeeding(
    ["root", "postfix", "python3"],
    `${name}: deliveries are a second apart, as in Debian's Postfix`,
    async () => {
      const servers = [fakeServer(), fakeServer()];
      try {
        await using postfix = await Postfix.start({
          settings: { relayhost: `[127.0.0.1]:${servers[0]!.port}`, [name]: "1s" },
        });
        await using postern = await Postern.start({
          settings: {
            default_transport: '"smtp:"',
            relayhost: `"[127.0.0.1]:${servers[1]!.port}"`,
            smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
            [name]: '"1s"',
          },
        });
        for (
          const seen of await Promise.all([
            pauses(postfix.port, servers[0]!, 4),
            pauses(postern.port, servers[1]!, 4),
          ])
        ) {
          // Three pauses, less what the first delivery was noticed late.
          assert.ok(seen.reduce((sum, pause) => sum + pause, 0) > 1500, seen.join(" "));
        }
      } finally {
        for (const server of servers) await server.stop();
      }
    },
  );
}
