import assert from "node:assert/strict";
import type { DestinationQueue } from "../../../daemons/qmgr/qmgr_queue.ts";
import { ReadyQueues } from "../../../daemons/qmgr/qmgr_ready.ts";
import { Simulation } from "./simulation.ts";

/** The order of deliveries (postfix-map section 3.4), against the numbers of Postfix's SCHEDULER_README. */

/** One delivery at a time, each recipient a delivery of its own and to a destination of its own. */
const ONE_BY_ONE = { concurrency: 1, recipientLimit: 1, minimumSlots: 1 } as const;

/** Each message has its own destinations. */
const apart = (id: string) => (n: number) => `d${n}.${id}.test`;

function sequence(rules: object, messages: readonly (readonly [string, number])[]): string {
  const simulation = new Simulation({ rules: { ...ONE_BY_ONE, ...rules } });
  for (const [id, recipients] of messages) simulation.post({ id, recipients, to: apart(id) });
  simulation.clock.run();
  return simulation.order.join("");
}

for (
  const [name, rules, messages, expected] of [
    [
      "without preemption, first come, first served",
      { slotCost: 0 },
      [["1", 10], ["2", 2], ["3", 2]],
      "11111111112233",
    ],
    ["slot cost 1 turns preemption off too", { slotCost: 1 }, [["1", 4], ["2", 1]], "11112"],
    [
      "slot cost 2: the slots are earned first",
      { slotCost: 2, slotLoan: 0, slotDiscount: 0 },
      [["1", 10], ["2", 2], ["3", 2]],
      "11112211113311",
    ],
    [
      "a discount of 50%: half of them are earned later",
      { slotCost: 2, slotLoan: 0, slotDiscount: 50 },
      [["1", 10], ["2", 2], ["3", 2]],
      "11221111331111",
    ],
    [
      "every other slot is free for short messages",
      { slotCost: 2, slotLoan: 0, slotDiscount: 0 },
      [["1", 8], ["2", 1], ["3", 1], ["4", 1], ["5", 1]],
      "112113114115",
    ],
    [
      "slot cost 5 with a loan of 3: at once, then once in five",
      { slotCost: 5, slotLoan: 3, slotDiscount: 50 },
      [["1", 15], ["2", 1], ["3", 1], ["4", 1]],
      "121111131111141111",
    ],
    [
      "a message that cannot earn minimum_delivery_slots is not passed",
      { slotCost: 5, minimumSlots: 3 },
      [["1", 14], ["2", 1]],
      `${"1".repeat(14)}2`,
    ],
    [
      "nor one that cannot earn what the other needs",
      { slotCost: 5, slotLoan: 3, slotDiscount: 50 },
      [["1", 15], ["2", 4]],
      `${"1".repeat(15)}2222`,
    ],
    [
      "of those that fit, the one with the fewest recipients passes first",
      { slotCost: 2, slotLoan: 0, slotDiscount: 0 },
      [["1", 12], ["2", 3], ["3", 1]],
      "11311111122211" + "11",
    ],
  ] as const
) {
  Deno.test(`order: ${name}`, () => assert.equal(sequence(rules, messages), expected));
}

Deno.test("preemption within preemption: the short message passes the one that passed", () => {
  const simulation = new Simulation({
    rules: { ...ONE_BY_ONE, slotCost: 2, slotLoan: 0, slotDiscount: 0 },
  });
  simulation.post({ id: "1", recipients: 30, to: apart("1") });
  simulation.post({ id: "2", recipients: 6, to: apart("2") });
  simulation.postAt(13.5, { id: "3", recipients: 1, to: apart("3") });
  simulation.clock.run();
  const order = simulation.order.join("");
  assert.equal(order.indexOf("2"), 12, "twelve entries earn six deliveries");
  assert.match(order, /^1{12}22+32+1+$/);
});

Deno.test("what an older message waits for counts: two recipients pass before the latest with one", () => {
  const simulation = new Simulation({ rules: { ...ONE_BY_ONE, slotCost: 2, slotLoan: 0, slotDiscount: 0 } });
  simulation.post({ id: "1", recipients: 100, to: apart("1") });
  simulation.post({ id: "2", recipients: 2, to: apart("2") });
  // Its last delivery ends when the searches of that second were made: the next one is for both.
  simulation.postAt(2.5, { id: "3", recipients: 1, to: apart("3") });
  simulation.clock.run();
  assert.ok(simulation.order.indexOf("2") < simulation.order.indexOf("3"));
});

Deno.test("a stream of short messages makes a list's delivery no longer than k/(k-1)", () => {
  for (const [slotCost, recipientLimit] of [[5, 1], [2, 1], [5, 50]] as const) {
    const simulation = new Simulation({
      rules: { concurrency: 1, slotCost, recipientLimit, limit: 0 },
      duration: () => 100,
    });
    const entries = 1000;
    simulation.post({
      id: "list",
      recipients: entries * recipientLimit,
      to: (n) => `d${Math.floor(n / recipientLimit)}.test`,
    });
    for (let i = 0; i < 2 * entries; i++) {
      simulation.post({
        id: `s${i}`,
        recipients: 1,
        to: () => `e${i}.test`,
      });
    }
    simulation.clock.run();
    const last = simulation.order.lastIndexOf("list") + 1;
    assert.ok(last > entries * 1.1, "short messages passed");
    assert.ok(last <= entries * slotCost / (slotCost - 1) + 5, `${last} slots for ${entries} entries`);
  }
});

Deno.test("round robin: a job's destinations are served in turn", () => {
  const simulation = new Simulation({ rules: { ...ONE_BY_ONE, recipientLimit: 2 } });
  simulation.post({ id: "1", recipients: 30, to: (n) => `d${Math.floor(n / 10)}.test` });
  simulation.clock.run();
  const turns = simulation.destinations.join(" ");
  assert.equal(turns, Array(5).fill("d0.test d1.test d2.test").join(" "));
});

Deno.test("jobs whose destinations are full are passed over and come first again when there is room", () => {
  const simulation = new Simulation({
    rules: { concurrency: 4, initial: 1, limit: 1, slotCost: 0 },
    duration: ({ nexthop }) => nexthop === "slow.test" ? 10_000 : 1000,
  });
  for (let i = 0; i < 3; i++) simulation.post({ id: `s${i}`, recipients: 1, to: () => "slow.test" });
  for (let i = 0; i < 8; i++) simulation.post({ id: `f${i}`, recipients: 1, to: () => `f${i}.test` });
  simulation.clock.run();
  assert.deepEqual(simulation.order, ["s0", "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "s1", "s2"]);
  assert.equal(simulation.mostInHand, 4);
});

Deno.test("a transport never has more deliveries in hand than its limit", () => {
  const simulation = new Simulation({ rules: { concurrency: 7 } });
  simulation.post({ id: "1", recipients: 100, to: apart("1") });
  simulation.clock.run();
  assert.equal(simulation.mostInHand, 7);
  assert.equal(simulation.order.length, 100);
});

/** A list of 100,000 recipients, and a message to one recipient that comes after so many seconds. */
function listAndOne(rules: object, at: number, to: (n: number) => string, one: string): Simulation {
  const simulation = new Simulation({ rules });
  simulation.post({ id: "list", recipients: 100_000, to });
  simulation.postAt(at, { id: "one", recipients: 1, to: () => one });
  simulation.clock.run();
  return simulation;
}

for (
  const [name, rules, to, one] of [
    ["one destination, that of the list", {}, () => "big.test", "big.test"],
    [
      "5,000 destinations, all that the transport may have at once",
      { concurrency: 100 },
      (n: number) => `d${n % 5000}.test`,
      "other.test",
    ],
  ] as const
) {
  Deno.test(`100,000 recipients, ${name}: a message to one waits a second, not for the list`, () => {
    for (const at of [0.2, 10.3, 42.7]) {
      const simulation = listAndOne(rules, at, to, one);
      const delay = simulation.delay("one");
      // A search is good for a second, five entries earn a delivery, and that takes a second.
      assert.ok(delay <= 3, `${delay} s`);
      assert.equal(simulation.stories.get("list")!.deliveries.length >= 2000, true);
      const alone = listAndOne({ ...rules, slotCost: 0 }, at, to, one);
      assert.ok(alone.delay("one") > 20, `${alone.delay("one")} s without preemption`);
      assert.ok(
        simulation.delay("list") <= alone.delay("list") + 1,
        "one message more makes no difference to the list",
      );
    }
  });
}

for (
  const [name, post] of [
    [
      "one list",
      (simulation: Simulation) =>
        simulation.post({ id: "list", recipients: 100_000, to: (n) => `d${n % 97}.test` }),
    ],
    ["messages to a destination that is full", (simulation: Simulation) => {
      for (let i = 0; i < 20_000; i++) simulation.post({ id: `m${i}`, recipients: 1 });
    }],
    ["messages behind a list", (simulation: Simulation) => {
      simulation.post({ id: "list", recipients: 20_000, to: (n) => `d${n % 97}.test` });
      for (let i = 0; i < 20_000; i++) {
        simulation.post({
          id: `m${i}`,
          recipients: 1,
          to: () => `d${i % 97}.test`,
        });
      }
    }],
    ["messages that are too long to pass one another", (simulation: Simulation) => {
      for (let i = 0; i < 1000; i++) simulation.post({ id: `m${i}`, recipients: 200 });
    }],
    ["messages behind a list, all to one destination", (simulation: Simulation) => {
      simulation.post({ id: "list", recipients: 20_000 });
      for (let i = 0; i < 20_000; i++) simulation.post({ id: `m${i}`, recipients: 1 });
    }],
  ] as const
) {
  Deno.test(`100,000 entries cost no more each than a few: ${name}`, () => {
    const simulation = new Simulation({
      rules: { recipientLimit: 2, concurrency: 100, pool: 1_000_000 },
      duration: () => 10,
    });
    post(simulation);
    simulation.looks = 0;
    simulation.clock.run();
    const each = simulation.looks / simulation.order.length;
    assert.ok(each < 25, `${each} looks at a message for each delivery`);
  });
}

Deno.test("100,000 recipients in memory: never more than the pool and what a message may have beyond it", () => {
  const simulation = new Simulation({ rules: { pool: 1000 }, firstBatch: 500 });
  simulation.post({ id: "list", recipients: 100_000, to: (n) => `d${n % 10}.test` });
  simulation.clock.run();
  assert.equal(simulation.mostInCore, 1010);
  assert.ok(
    simulation.refills.slice(0, -1).every((count) => count >= 100),
    "read a hundred at a time, or more",
  );
  assert.equal(simulation.stories.get("list")!.done !== undefined, true);
});

Deno.test("room for one recipient is used after recipient_refill_delay", () => {
  const simulation = new Simulation({
    rules: { pool: 40, recipientLimit: 1, refillLimit: 1000, refillDelay: 5000, initial: 1, limit: 1 },
    firstBatch: 50,
    duration: ({ nexthop }) => nexthop === "slow.test" ? 60_000 : 1000,
  });
  simulation.post({ id: "list", recipients: 200, to: (n) => n === 0 ? "slow.test" : `d${n}.test` });
  simulation.clock.run(4.9);
  assert.deepEqual(simulation.refills, []);
  simulation.clock.run(20);
  assert.ok(simulation.refills.length === 0, "nothing ended since");
  simulation.clock.run();
  assert.equal(simulation.stories.get("list")!.deliveries.length, 200);
});

Deno.test("the first list has the pool; the next one gets it when the first was read to the end", () => {
  const simulation = new Simulation({
    rules: { pool: 300, recipientLimit: 1, concurrency: 10, slotCost: 0 },
    firstBatch: 100,
    duration: () => 100,
  });
  simulation.post({ id: "a", recipients: 1000, to: apart("a") });
  simulation.post({ id: "b", recipients: 1000, to: apart("b") });
  simulation.clock.run();
  // What b has beyond the pool are its first hundred.
  assert.ok(simulation.mostInCore <= 410, String(simulation.mostInCore));
  assert.ok(simulation.mostInCore >= 390, String(simulation.mostInCore));
  assert.equal(simulation.order.lastIndexOf("a") < simulation.order.indexOf("b") + 10, true);
  assert.ok(simulation.delay("b") < 205);
});

Deno.test("a preempting list that was not read to the end gets half of the pool and of the extra slots", () => {
  const simulation = new Simulation({
    rules: { pool: 5000, extraPool: 1000, recipientLimit: 1, concurrency: 1, slotLoan: 3, slotDiscount: 100 },
    firstBatch: 10,
    duration: () => 100,
  });
  simulation.post({ id: "big", recipients: 100_000, to: apart("big") });
  simulation.clock.run(1);
  simulation.post({ id: "small", recipients: 700, to: apart("small") });
  simulation.clock.run(3);
  // The pool is full with the big one's: half of the extra ones are left, and the ten beyond.
  assert.equal(simulation.refills.at(-1), 500);
  simulation.clock.run(80);
  assert.ok(
    simulation.stories.get("small")!.deliveries.length === 700,
    "served to its end before the big one",
  );
});

Deno.test("destination_rate_delay: one delivery at a time to a destination, and a rest after each", () => {
  const simulation = new Simulation({ rules: { rateDelay: 3000, recipientLimit: 1 } });
  for (let i = 0; i < 4; i++) simulation.post({ id: `a${i}`, recipients: 1, to: () => "a.test" });
  simulation.post({ id: "b", recipients: 1, to: () => "b.test" });
  simulation.clock.run();
  const times = (id: string) => simulation.stories.get(id)!.deliveries[0];
  // Each takes a second, and then the rest.
  assert.deepEqual(["a0", "a1", "a2", "a3", "b"].map(times), [0, 4, 8, 12, 0]);
  // Also when nothing waited in between.
  const later = new Simulation({ rules: { rateDelay: 3000 } });
  later.post({ id: "a", recipients: 1 });
  later.postAt(2, { id: "b", recipients: 1 });
  later.clock.run();
  assert.deepEqual(later.stories.get("b")!.deliveries, [4]);
});

Deno.test("transport_rate_delay: deliveries begin that far apart, whatever their destinations", () => {
  const simulation = new Simulation({ rules: { transportRateDelay: 20_000 } });
  for (let i = 0; i < 4; i++) simulation.post({ id: `m${i}`, recipients: 1, to: () => `d${i}.test` });
  simulation.clock.run();
  assert.deepEqual([...simulation.stories.values()].map(({ deliveries }) => deliveries[0]), [0, 20, 40, 60]);
});

Deno.test("a destination in trouble dies after a cohort, and what waits for it leaves at once; others go on", () => {
  const simulation = new Simulation({
    site: ({ nexthop }) => nexthop === "bad.test" ? "connection refused" : "",
  });
  for (let i = 0; i < 30; i++) simulation.post({ id: `b${i}`, recipients: 1, to: () => "bad.test" });
  simulation.post({ id: "list", recipients: 200, to: (n) => n % 2 === 0 ? "bad.test" : "good.test" });
  simulation.clock.run();
  assert.deepEqual(simulation.died.map(({ nexthop }) => nexthop), ["bad.test"]);
  // Five at first; the third failure of them is the last that counts.
  assert.equal(simulation.destinations.filter((one) => one === "bad.test").length, 5);
  assert.equal(simulation.destinations.filter((one) => one === "good.test").length, 2);
  assert.ok([...simulation.stories.values()].every(({ done }) => done !== undefined));
});

Deno.test("mail that fills the queue for one destination is warned of once per qmgr_clog_warn_time", () => {
  const simulation = new Simulation({ rules: { clogLimit: 10, clogPause: 300_000, initial: 1, limit: 1 } });
  for (let i = 0; i < 400; i++) simulation.post({ id: `m${i}`, recipients: 1 });
  simulation.clock.run(250);
  assert.deepEqual(simulation.clogged, ["example.test"]);
  simulation.clock.run();
  assert.deepEqual(simulation.clogged, ["example.test", "example.test"]);
});

Deno.test("the next destination is that of the first job, and of its destinations the one served longest ago", () => {
  let state = 99;
  const random = (most: number) => (state = (state * 1103515245 + 12345) % 2147483648) % most;
  const jobs = Array.from({ length: 20 }, (_, order) => ({ order }));
  const queues = Array.from({ length: 200 }, (_, turn) => ({
    place: -1,
    first: { job: jobs[random(20)]!, turn },
  }));
  const ready = new ReadyQueues();
  const inside = new Set<(typeof queues)[number]>();
  for (let step = 0; step < 5000; step++) {
    const queue = queues[random(200)]!;
    if (random(3) === 0) {
      ready.remove(queue as unknown as DestinationQueue);
      inside.delete(queue);
    } else {
      queue.first = { job: jobs[random(20)]!, turn: 200 + step };
      ready.put(queue as unknown as DestinationQueue);
      inside.add(queue);
    }
    const expected = [...inside].sort((a, b) =>
      a.first.job.order - b.first.job.order || a.first.turn - b.first.turn
    )[0];
    assert.equal(ready.first, expected);
    assert.equal(ready.size, inside.size);
  }
});

Deno.test("without preemption each entry is the one that a walk through the jobs in their order finds", () => {
  let state = 777;
  const random = (most: number) => (state = (state * 1103515245 + 12345) % 2147483648) % most;
  const window = 2;
  for (let round = 0; round < 20; round++) {
    // What waits, as a walk would see it: for each message in order its recipients by destination.
    const waiting = new Map<string, Map<string, number>>();
    const busy = new Map<string, number>();
    let seen = 0;
    const simulation = new Simulation({
      rules: {
        concurrency: 1 + random(12),
        recipientLimit: 1,
        slotCost: 0,
        initial: window,
        limit: window,
        positive: () => 0,
      },
      duration: () => 1 + random(2000),
      watch: ({ queueId, nexthop }, what) => {
        const under = busy.get(nexthop) ?? 0;
        busy.set(nexthop, what === "begins" ? under + 1 : under - 1);
        if (what === "ends") return;
        seen++;
        for (const [id, destinations] of waiting) {
          if (id === queueId) break;
          for (const [destination, count] of destinations) {
            assert.ok(count === 0 || (busy.get(destination) ?? 0) >= window, `${queueId} before ${id}`);
          }
        }
        assert.ok(under < window);
        const mine = waiting.get(queueId)!;
        mine.set(nexthop, mine.get(nexthop)! - 1);
      },
    });
    let posted = 0;
    for (let i = 0; i < 50; i++) {
      const recipients = 1 + random(i % 7 === 0 ? 60 : 4);
      const spread = 1 + random(12);
      const to = (n: number) => `d${n % spread}.test`;
      posted += recipients;
      simulation.clock.later(i * random(300), () => {
        const destinations = new Map<string, number>();
        for (let n = 0; n < recipients; n++) destinations.set(to(n), (destinations.get(to(n)) ?? 0) + 1);
        waiting.set(`m${i}`, destinations);
        simulation.post({ id: `m${i}`, recipients, to });
      });
    }
    simulation.clock.run();
    assert.equal(seen, posted);
  }
});

Deno.test("every recipient is delivered once, whatever comes in between", () => {
  let state = 12345;
  const random = (most: number) => (state = (state * 1103515245 + 12345) % 2147483648) % most;
  for (let round = 0; round < 30; round++) {
    const simulation = new Simulation({
      rules: {
        concurrency: 1 + random(30),
        recipientLimit: random(4),
        slotCost: random(6),
        slotLoan: random(4),
        slotDiscount: random(101),
        minimumSlots: random(3),
        pool: 1 + random(200),
        extraPool: random(50),
        refillLimit: 1 + random(20),
        limit: random(5),
        initial: 1 + random(3),
      },
      firstBatch: 1 + random(40),
      duration: () => 1 + random(3000),
    });
    const counts = new Map<string, number>();
    for (let i = 0; i < 60; i++) {
      const id = `m${i}`;
      const recipients = 1 + (random(5) === 0 ? random(500) : random(3));
      counts.set(id, recipients);
      const spread = 1 + random(40);
      simulation.postAt(random(40), { id, recipients, to: (n) => `d${n % spread}.test` });
    }
    simulation.clock.run();
    for (const [id, count] of counts) {
      const { done, recipients } = simulation.stories.get(id)!;
      assert.notEqual(done, undefined, id);
      assert.deepEqual(recipients.toSorted((a, b) => a - b), Array.from({ length: count }, (_, n) => n));
    }
    assert.equal(simulation.inCore, 0);
    assert.equal(simulation.transport.busy, 0);
  }
});
