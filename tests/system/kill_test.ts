import assert from "node:assert/strict";
import { until } from "../commands/mail_system.ts";
import { filesBelow, killProcess, Postern } from "../support/postern.ts";
import { Random } from "../support/random.ts";
import { Driver, type Letter } from "../support/smtp_driver.ts";

/** SIGKILL for every daemon in turn while 2,000 numbered messages are on their way (DESIGN section 3, promises 1 to 4). */

const SEED = Number(Deno.env.get("POSTERN_SEED") ?? 20261123);
const MESSAGES = 2000;
const LANES = 8;
const MAILBOXES = 8;
/** Every so many messages goes where mail bounces. */
const BOUNCING = 25;
/** In this order, this many times over. */
const VICTIMS = [
  "smtpd",
  "cleanup",
  "virtual",
  "qmgr",
  "trivial-rewrite",
  "mailbox",
  "proxymap",
  "bounce",
  "error",
] as const;
const ROUNDS = 2;
/** What the whole run may take, milliseconds. */
const RUN_LIMIT = 120_000;
/** The name of a queue file that is complete: cleanup's temporary names have a dot. */
const COMPLETE = /\/[0-9A-F]+$/;

/** Retries soon: the run must not wait for Postfix's minutes. */
const SETTINGS = {
  transport_retry_time: '"1s"',
  queue_run_delay: '"1s"',
  minimal_backoff_time: '"1s"',
  maximal_backoff_time: '"2s"',
  default_transport: '"failing:5.4.4 nobody is out there"',
  smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
};

const HEADER = "From: sender@example.test\nTo: you@example.test\n";

/** The error agent under a name at which the SMTP server does not refuse the recipient at once. */
const FAILING = '\n[[service]]\nname = "failing"\ntype = "unix"\ncommand = "error"\n';

function letter(number: number): Letter {
  const bounces = number % BOUNCING === 0;
  return {
    from: "sender@example.test",
    to: bounces ? `number${number}@elsewhere.test` : `box${number % MAILBOXES}@example.test`,
    content: `${HEADER}Subject: number ${number}\n\n${body(number)}`.replaceAll("\n", "\r\n"),
  };
}

function body(number: number): string {
  return `number ${number}\n${`${number} `.repeat(number % 700)}\nend of ${number}\n`;
}

/** Sends numbered messages over several connections at once, each until it gets its 250. */
class Senders {
  readonly #postern: Postern;
  readonly #count: number;
  readonly #drivers: readonly Driver[];
  readonly #replies = new Map<number, string>();
  /** The next number: how many were begun. */
  next = 1;

  constructor(postern: Postern, count: number) {
    this.#postern = postern;
    this.#count = count;
    this.#drivers = Array.from({ length: LANES }, () => new Driver(postern.port));
  }

  async run(deadline: number): Promise<void> {
    await Promise.all(this.#drivers.map(async (driver) => {
      while (this.next <= this.#count) {
        const number = this.next++;
        this.#replies.set(number, await driver.send(letter(number), deadline));
      }
      driver.close();
    }));
    assert.equal(this.#replies.size, this.#count);
    assert.equal(new Set([...this.#replies.values()].map(queueId)).size, this.#count, "queue ids");
  }

  /** Demands that each message arrived; reports how many came more than once. */
  check(seed: number): void {
    const arrived = countArrived(this.#postern);
    const missing = [...this.#replies.keys()].filter((number) => !arrived.has(number));
    const stories = missing.map((number) => story(this.#postern, queueId(this.#replies.get(number)!)));
    assert.deepEqual(missing, [], stories.join("\n\n"));
    const copies = [...arrived.values()].reduce((sum, count) => sum + count, 0);
    const attempts = this.#drivers.reduce((sum, driver) => sum + driver.attempts, 0);
    // RFC 5321 section 4.5.4.1: a client that got no answer must try again, so a message may come twice.
    console.info(
      `seed ${seed}: ${this.#count} messages, ${attempts} attempts, ${copies - this.#count} duplicates`,
    );
  }
}

/** Kills one daemon after another, each when a certain number of messages has been begun. */
class Killer {
  readonly killed = new Map<string, number>();
  readonly #postern: Postern;
  readonly #random: Random;
  readonly #senders: Senders;

  constructor(postern: Postern, random: Random, senders: Senders) {
    this.#postern = postern;
    this.#random = random;
    this.#senders = senders;
  }

  async run(deadline: number): Promise<void> {
    const turns = VICTIMS.length * ROUNDS;
    const stretch = Math.floor((MESSAGES * 0.9) / turns);
    for (let turn = 0; turn < turns; turn++) {
      const victim = VICTIMS[turn % VICTIMS.length]!;
      const moment = turn * stretch + this.#random.below(stretch);
      await until(() => this.#senders.next >= moment, deadline - Date.now());
      // One that starts on demand may not be there at this moment: the next that is started dies.
      let pids: number[] = [];
      await until(() => (pids = this.#postern.pids(victim)).length > 0, 5000);
      if (pids.length === 0) continue;
      killProcess(this.#random.pick(pids));
      this.killed.set(victim, (this.killed.get(victim) ?? 0) + 1);
    }
  }
}

Deno.test("SIGKILL for each daemon during 2,000 messages: nothing that got its 250 is lost", async (t) => {
  await using postern = await Postern.start({ settings: SETTINGS, services: (text) => text + FAILING });
  const deadline = Date.now() + RUN_LIMIT;
  const senders = new Senders(postern, MESSAGES);
  const killer = new Killer(postern, new Random(SEED), senders);
  await Promise.all([killer.run(deadline), senders.run(deadline)]);

  await t.step("every daemon was killed", () => {
    const expected = Object.fromEntries(VICTIMS.map((victim) => [victim, ROUNDS]));
    assert.deepEqual(Object.fromEntries(killer.killed), expected);
  });
  await t.step(
    "the run completes: no complete message is left in the queue",
    () => untilDone(postern, deadline),
  );
  await t.step("every message arrived whole, and each failed one was reported", () => senders.check(SEED));
  await t.step("what got no 250 is gone after a restart", async () => {
    await postern.stop();
    await postern.start();
    assert.deepEqual(filesBelow(`${postern.paths.queue}/incoming`), []);
    assert.deepEqual(filesBelow(`${postern.paths.queue}/corrupt`), []);
  });
});

const CUTS = 3;
const CUT_MESSAGES = 600;

Deno.test("all processes are killed at one moment, three times: nothing that got its 250 is lost", async () => {
  await using postern = await Postern.start({ settings: SETTINGS, services: (text) => text + FAILING });
  const deadline = Date.now() + RUN_LIMIT;
  const senders = new Senders(postern, CUT_MESSAGES);
  const random = new Random(SEED);
  const cut = async () => {
    const stretch = Math.floor(CUT_MESSAGES / CUTS);
    for (let i = 0; i < CUTS; i++) {
      const moment = i * stretch + random.below(stretch);
      assert.ok(await until(() => senders.next >= moment, deadline - Date.now()));
      await postern.cut();
      await postern.start();
    }
  };
  await Promise.all([cut(), senders.run(deadline)]);
  await untilDone(postern, deadline);
  senders.check(SEED);
  assert.deepEqual(filesBelow(`${postern.paths.queue}/corrupt`), []);
});

async function untilDone(postern: Postern, deadline: number): Promise<void> {
  if (await until(() => waiting(postern).length === 0, deadline - Date.now())) return;
  throw postern.failure(`left in the queue: ${waiting(postern).join(" ")}`);
}

function queueId(reply: string): string {
  const id = /^250 2\.0\.0 Ok: queued as ([0-9A-Za-z]+)$/.exec(reply)?.[1];
  assert.ok(id !== undefined, reply);
  return id;
}

/** What the log says of a message and of the messages that it caused. */
function story(postern: Postern, id: string): string {
  const lines = postern.log().split("\n");
  const caused = lines.flatMap((line) =>
    /sender [a-z -]+: ([0-9A-Za-z]+)$/.exec(line.includes(id) ? line : "")?.[1] ?? []
  );
  return lines.filter((line) => [id, ...caused].some((one) => line.includes(one))).join("\n");
}

/** Complete messages in the queue. */
function waiting(postern: Postern): string[] {
  return (["incoming", "active", "deferred", "hold"] as const).flatMap((queue) => postern.queued(queue))
    .filter((path) => COMPLETE.test(path));
}

/** How often each number arrived: in its mailbox, or in a report to its sender. Throws for one that is not whole. */
function countArrived(postern: Postern): Map<number, number> {
  const counts = new Map<number, number>();
  const users = [...Array.from({ length: MAILBOXES }, (_, i) => `box${i}`), "sender"];
  for (const message of users.flatMap((user) => postern.mailbox(user))) {
    const text = new TextDecoder().decode(message);
    const number = Number(/\nSubject: number ([0-9]+)\n/.exec(text)?.[1]);
    const whole = `\n\n${body(number)}`;
    assert.ok(number % BOUNCING === 0 ? text.includes(whole) : text.endsWith(whole), text.slice(0, 2000));
    counts.set(number, (counts.get(number) ?? 0) + 1);
  }
  return counts;
}
