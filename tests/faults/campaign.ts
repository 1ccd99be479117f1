/**
 * The fault campaign: numbered messages go through a whole mail system while faults fall on it, and in the end every
 * single one is accounted for. docs/reliability.md says what it showed.
 *
 * `deno task faults [--kills N] [--messages N] [--minutes N] [--seed N] [--out FILE]`. It goes on until so many kills have
 * fallen and so many messages have been acknowledged, or the time is over. Exit status 0 only if nothing was lost,
 * damaged or delivered uncalled for, and every duplicate has its cause.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { until } from "../commands/mail_system.ts";
import { FlakySink } from "../support/flaky_sink.ts";
import { filesBelow, Postern } from "../support/postern.ts";
import { Random } from "../support/random.ts";
import { Driver } from "../support/smtp_driver.ts";
import { type Account, Ledger } from "./ledger.ts";
import { type Copy, letterOf, MAILBOXES, readCopy } from "./letters.ts";
import { type Kind, pause, Rain } from "./rain.ts";

/** How long, how much, and with which numbers. */
export interface Extent {
  readonly kills: number;
  readonly messages: number;
  readonly minutes: number;
  readonly seed: number;
  /** Faults that fall first, one after the other, before chance takes over. */
  readonly first?: readonly Kind[];
  /** Longest pause between two faults, milliseconds. */
  readonly pace?: number;
}

/** What a campaign came to. */
export interface Outcome {
  readonly account: Account;
  readonly kills: number;
  readonly faults: ReadonlyMap<string, number>;
  readonly sink: ReadonlyMap<string, number>;
  /** What is left in the queue when all should be over: must be empty. */
  readonly left: readonly string[];
  /** Messages that were on hold in the end, and were released. */
  readonly released: number;
  /** What the system said of what it found in the queue at its starts. */
  readonly mended: number;
  readonly seconds: number;
}

const LANES = 6;
const PACE = 700;
/** Pause of a client between two attempts, milliseconds. */
const REPEAT = 100;
/** What the last deliveries may take after the last fault, milliseconds. */
const SETTLE_LIMIT = 180_000;
/** The name of a queue file that is complete: cleanup's temporary names have a dot. */
const COMPLETE = /\/[0-9A-Za-z]+$/;

/** Retries soon: the run must not wait for Postfix's minutes. */
function settings(sink: number): Record<string, string> {
  return {
    transport_retry_time: '"1s"',
    queue_run_delay: '"1s"',
    minimal_backoff_time: '"1s"',
    maximal_backoff_time: '"2s"',
    service_throttle_time: '"1s"',
    default_transport: '"failing:5.4.4 nobody is out there"',
    relay_domains: '["remote.test"]',
    relay_transport: `"smtp:[127.0.0.1]:${sink}"`,
    smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
  };
}

/** The error agent under a name at which the SMTP server does not refuse the recipient at once. */
const FAILING = '\n[[service]]\nname = "failing"\ntype = "unix"\ncommand = "error"\n';

/** Runs a campaign from start to account. */
export async function runCampaign(extent: Extent, say: (line: string) => void = () => {}): Promise<Outcome> {
  const random = new Random(extent.seed);
  await using sink = new FlakySink(new Random(extent.seed + 1));
  await using postern = await Postern.start({
    settings: settings(sink.port),
    services: (text) => text + FAILING,
  });
  const start = Date.now();
  const campaign = new Campaign(postern, extent, random, say);
  await campaign.run(start + extent.minutes * 60_000);
  sink.bad = false;
  say(`faults are over: ${campaign.progress()}`);
  const waiting = () =>
    (["incoming", "active", "deferred", "hold"] as const)
      .flatMap((queue) => postern.queued(queue)).filter((path) => COMPLETE.test(path));
  // A message whose agents were killed again and again while they had it was put on hold: an administrator lets it go.
  const held = () => postern.queued("hold").length;
  await until(() => waiting().length === held(), SETTLE_LIMIT);
  const released = held();
  if (released > 0) await postern.run(["postsuper", "-H", "ALL"]);
  await until(() => waiting().length === 0, SETTLE_LIMIT);
  const left = waiting();
  await postern.stop();
  await postern.start();
  left.push(
    ...filesBelow(`${postern.paths.queue}/incoming`),
    ...filesBelow(`${postern.paths.queue}/corrupt`),
  );
  const unheard = new Set<Copy>();
  const copies = [...deliveredCopies(postern), ...remoteCopies(sink, unheard)];
  const account = campaign.ledger.account(copies, unheard);
  for (
    const one of [...account.lost, ...account.damaged, ...account.uncalledFor, ...account.unexplained].slice(
      0,
      5,
    )
  ) {
    say(`${one}\n${storyOf(postern, one)}`);
  }
  return {
    account,
    kills: campaign.rain.kills,
    faults: campaign.rain.counts,
    sink: sink.moods,
    left,
    released,
    mended: postern.log().match(/: (removed \(incomplete|restored from the journal)/g)?.length ?? 0,
    seconds: Math.round((Date.now() - start) / 1000),
  };
}

/** The senders and the faults of one run. */
class Campaign {
  readonly ledger = new Ledger();
  readonly rain: Rain;
  readonly #postern: Postern;
  readonly #extent: Extent;
  readonly #random: Random;
  readonly #say: (line: string) => void;
  #begun = 0;
  #accepted = 0;

  constructor(postern: Postern, extent: Extent, random: Random, say: (line: string) => void) {
    this.#postern = postern;
    this.#extent = extent;
    this.#random = random;
    this.#say = say;
    this.rain = new Rain(postern, random, this.ledger);
  }

  async run(deadline: number): Promise<void> {
    const timer = setInterval(() => this.#say(this.progress()), 30_000);
    try {
      await Promise.all([this.#rain(deadline), ...Array.from({ length: LANES }, () => this.#send(deadline))]);
    } finally {
      clearInterval(timer);
    }
  }

  progress(): string {
    return `${this.#accepted} of ${this.#begun} messages acknowledged, ${this.rain.kills} kills`;
  }

  get #enough(): boolean {
    return this.rain.kills >= this.#extent.kills && this.#accepted >= this.#extent.messages;
  }

  async #rain(deadline: number): Promise<void> {
    for (const kind of this.#extent.first ?? []) await this.rain.fall(kind);
    while (!this.#enough && Date.now() < deadline) {
      await pause(this.#random.below(this.#extent.pace ?? PACE));
      await this.rain.fall();
    }
  }

  /**
   * Sends one message after the other, each until it is acknowledged: a client that got no answer must try again
   * (RFC 5321 section 4.5.4.1).
   */
  async #send(deadline: number): Promise<void> {
    const driver = new Driver(this.#postern.port);
    while (!this.#enough && Date.now() < deadline) {
      const number = ++this.#begun;
      for (let attempt = 1;; attempt++) {
        const result = await driver.attempt(letterOf({ number, attempt }));
        this.ledger.note({ number, attempt }, result);
        if (result.accepted !== undefined) break;
        await pause(REPEAT);
      }
      this.#accepted++;
      // So many kills need their time: messages are spread over it.
      const ahead = this.#accepted / this.#extent.messages - this.rain.kills / this.#extent.kills;
      if (ahead > 0) await pause(Math.min(1000, ahead * 10_000));
    }
    driver.close();
  }
}

/** What arrived in mailboxes and came back to the sender. */
function deliveredCopies(postern: Postern): Copy[] {
  const users = [...Array.from({ length: MAILBOXES }, (_, i) => `box${i}`), "sender"];
  return users.flatMap((user) =>
    filesBelow(`${postern.paths.mail}/${user}/new`).map((path) =>
      readCopy(Deno.readTextFileSync(path), `${user}@example.test`, Deno.statSync(path).mtime!.getTime())
    )
  );
}

/** What the next system took. */
function remoteCopies(sink: FlakySink, unheard: Set<Copy>): Copy[] {
  return sink.taken.flatMap((taken) =>
    taken.recipients.map((recipient) => {
      const copy = readCopy(`${taken.text}\n`, recipient, taken.time);
      if (taken.unheard) unheard.add(copy);
      return copy;
    })
  );
}

/** What the log says of a message of which something is wrong. */
function storyOf(postern: Postern, line: string): string {
  const id = line.split(" ").at(-1)!;
  return postern.log().split("\n").filter((one) => one.includes(id)).join("\n");
}

/** What is wrong with an outcome; nothing when all promises were kept. */
export function faultsOf({ account, left }: Outcome): string[] {
  const wrong = (name: string, found: readonly string[]) =>
    found.length === 0 ? [] : [`${found.length} ${name}: ${found.slice(0, 10).join("; ")}`];
  return [
    ...wrong("lost", account.lost),
    ...wrong("damaged", account.damaged),
    ...wrong("uncalled for", account.uncalledFor),
    ...wrong("unexplained duplicates", account.unexplained),
    ...wrong("left in the queue", left),
  ];
}

/** The outcome as text. */
export function describe(outcome: Outcome, seed: number): string {
  const { account, kills, faults, sink, released, mended, seconds } = outcome;
  const rows = (counts: ReadonlyMap<string, number>) =>
    [...counts].toSorted(([a], [b]) => a < b ? -1 : 1).map(([name, count]) =>
      `  ${String(count).padStart(6)}  ${name}`
    );
  return [
    `seed ${seed}, ${seconds} s: ${account.messages} messages, ${account.attempts} transactions, ${account.accepted} acknowledged, ` +
    `${account.copies} copies, ${kills} kills`,
    `${account.lost.length} lost, ${account.damaged.length} damaged, ${account.uncalledFor.length} uncalled for, ` +
    `${mended} mended at a start, ${released} released from hold`,
    "faults:",
    ...rows(faults),
    "transactions of the next system:",
    ...rows(sink),
    "duplicates:",
    ...rows(account.duplicates),
    ...faultsOf(outcome),
  ].join("\n");
}

function count(text: string, name: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new Error(`Cannot use --${name} "${text}": it is no number`);
  }
  return value;
}

if (import.meta.main) {
  const { values } = parseArgs({
    args: Deno.args.filter((arg) => arg !== "--"),
    options: {
      kills: { type: "string", default: "1000" },
      messages: { type: "string", default: "20000" },
      minutes: { type: "string", default: "60" },
      seed: { type: "string", default: "20261123" },
      out: { type: "string" },
    },
  });
  const seed = count(values.seed, "seed");
  const outcome = await runCampaign({
    kills: count(values.kills, "kills"),
    messages: count(values.messages, "messages"),
    minutes: count(values.minutes, "minutes"),
    seed,
  }, (line) => console.log(line));
  const text = describe(outcome, seed);
  console.log(text);
  if (values.out !== undefined) Deno.writeTextFileSync(values.out, `${text}\n`);
  Deno.exit(faultsOf(outcome).length === 0 ? 0 : 1);
}
