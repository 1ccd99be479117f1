import assert from "node:assert/strict";
import { AnvilCounts, CLIENT_LIMIT, EVENTS } from "../../../daemons/anvil/anvil_counts.ts";

/** Counts with a unit of a minute on a clock of the test. */
class Counted {
  now = 1_000_000;
  readonly counts = new AnvilCounts(60, () => this.now, () => this.now);

  /** The report, with times as seconds after the beginning. */
  report(): string[] {
    return this.counts.report((time) => String((time - 1_000_000) / 1000));
  }
}

Deno.test("anvil: connections of a client are counted while they last, those of one service alone", () => {
  const { counts } = new Counted();
  const first = counts.connect("smtp", "192.0.2.1");
  assert.equal(counts.connect("smtp", "192.0.2.1").client.connections, 2);
  assert.equal(counts.connect("submission", "192.0.2.1").client.connections, 1);
  assert.equal(counts.connect("smtp", "192.0.2.2").client.connections, 1);
  counts.disconnect(first.client);
  assert.equal(counts.connect("smtp", "192.0.2.1").client.connections, 2);
});

Deno.test("anvil: a unit of time is a fixed window that begins with the first event after the last one's end", () => {
  const counted = new Counted();
  const { counts } = counted;
  const { client, rate } = counts.connect("smtp", "192.0.2.1");
  assert.equal(rate, 1);
  counted.now += 59_000;
  assert.equal(counts.count(client, "message"), 1);
  assert.equal(counts.count(client, "message"), 2);
  counted.now += 1000;
  assert.equal(counts.rate(client, "message"), 2);
  counted.now += 1;
  assert.equal(counts.rate(client, "message"), 0);
  assert.equal(counts.count(client, "message"), 1);
  // The new window began for all rates.
  assert.equal(counts.connect("smtp", "192.0.2.1").rate, 1);
  counted.now += 60_000;
  assert.equal(counts.count(client, "message"), 2);
});

Deno.test("anvil: events of different kinds have rates of their own", () => {
  const { counts } = new Counted();
  const { client } = counts.connect("smtp", "192.0.2.1");
  EVENTS.forEach((event, i) => {
    for (let n = 0; n < i; n++) counts.count(client, event);
  });
  assert.deepEqual(EVENTS.map((event) => counts.rate(client, event)), [1, 1, 2, 3, 4]);
});

Deno.test("anvil: a client that is away is remembered for one unit of time and then forgotten", () => {
  const counted = new Counted();
  const { counts } = counted;
  counts.disconnect(counts.connect("smtp", "192.0.2.1").client);
  counted.now += 60_000;
  assert.equal(counts.connect("smtp", "192.0.2.2").rate, 1);
  assert.equal(counts.size, 2);
  counted.now += 1;
  counts.connect("smtp", "192.0.2.3");
  assert.equal(counts.size, 2);
  assert.equal(counts.connect("smtp", "192.0.2.1").rate, 1);
});

Deno.test("anvil: past the limit of clients those go first that are away for longest", () => {
  const { counts } = new Counted();
  const here = counts.connect("smtp", "here").client;
  for (let i = 0; i < CLIENT_LIMIT + 10; i++) counts.disconnect(counts.connect("smtp", `c${i}`).client);
  assert.ok(counts.size <= CLIENT_LIMIT, String(counts.size));
  assert.equal(counts.connect("smtp", "c0").rate, 1);
  assert.equal(counts.connect("smtp", `c${CLIENT_LIMIT + 9}`).rate, 2);
  assert.equal(here.connections, 1);
  assert.equal(counts.connect("smtp", "here").client.connections, 2);
});

Deno.test("anvil: the statistics are Postfix's lines, with the greatest values since the last ones", () => {
  const counted = new Counted();
  const { counts } = counted;
  assert.deepEqual(counted.report(), []);
  const one = counts.connect("smtp", "192.0.2.1");
  counted.now += 1000;
  const two = counts.connect("smtp", "192.0.2.1");
  counts.count(two.client, "message");
  counts.count(two.client, "recipient");
  counts.count(two.client, "newtls");
  counts.count(two.client, "auth");
  counted.now += 1000;
  counts.disconnect(one.client);
  counts.connect("smtp", "2001:db8::/84");
  assert.deepEqual(counted.report(), [
    "statistics: max connection rate 2/60s for (smtp:192.0.2.1) at 1",
    "statistics: max connection count 2 for (smtp:192.0.2.1) at 1",
    "statistics: max message rate 1/60s for (smtp:192.0.2.1) at 1",
    "statistics: max recipient rate 1/60s for (smtp:192.0.2.1) at 1",
    "statistics: max newtls rate 1/60s for (smtp:192.0.2.1) at 1",
    "statistics: max auth rate 1/60s for (smtp:192.0.2.1) at 1",
    "statistics: max cache size 2 at 2",
  ]);
  assert.deepEqual(counted.report(), []);
});
