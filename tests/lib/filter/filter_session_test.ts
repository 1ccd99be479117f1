/** A filter of our own behind the milter protocol, asked by our own client of that. @module */
import assert from "node:assert/strict";
import type { Filter, FilterResult } from "../../../lib/filter/filter.ts";
import { FilterSession } from "../../../lib/filter/filter_session.ts";
import { Milter } from "../../../lib/milter/milter.ts";
import { MilterContent, type MilterOutcome, type MilterSource } from "../../../lib/milter/milter_content.ts";
import { NO_MACROS } from "../../../lib/milter/milter_macro.ts";
import type { MilterStream } from "../../../lib/milter/milter_wire.ts";
import { utf8 } from "../../support/bytes.ts";

/** The two ends in one process. */
class Loop implements MilterStream {
  #waiting: Uint8Array[] = [];
  #wake: () => void = () => {};
  #closed = false;
  session!: FilterSession;

  deadline(): void {}
  noDeadline(): void {}

  arrive(bytes: Uint8Array): void {
    this.#waiting.push(bytes.slice());
    this.#wake();
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    while (this.#waiting.length === 0) {
      if (this.#closed) return null;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    const first = this.#waiting[0]!;
    const count = Math.min(buffer.length, first.length);
    buffer.set(first.subarray(0, count));
    if (count === first.length) this.#waiting.shift();
    else this.#waiting[0] = first.subarray(count);
    return count;
  }

  write(bytes: Uint8Array): Promise<void> {
    this.session.data(bytes);
    return Promise.resolve();
  }

  close(): void {
    this.#closed = true;
    this.session.closed();
    this.#wake();
  }
}

interface Asked {
  readonly outcome: MilterOutcome;
  readonly body: string | undefined;
  readonly log: readonly string[];
}

const BODY = ["first piece\r\n", "second piece\r\n", "x".repeat(60_000), "\r\n"];

async function ask(filter: Filter, time = 5): Promise<Asked> {
  const loop = new Loop();
  const log: string[] = [];
  const note = (text: string) => void log.push(text);
  const channel = {
    write: (bytes: Uint8Array) => (loop.arrive(bytes), Promise.resolve()),
    close: () => loop.close(),
  };
  loop.session = new FilterSession({ filter, time, log: { info: note, warning: note } }, channel);
  const rule = {
    name: "test",
    target: { kind: "service", name: "test" },
    connectTimeout: 1000,
    commandTimeout: 1000,
    contentTimeout: 10_000,
    defaultAction: "tempfail",
    protocol: { version: 6, muteHeaders: false },
  } as const;
  const parts = {
    connect: () => Promise.resolve(loop),
    macros: NO_MACROS,
    defaults: new Map(),
    log: { warning: note },
  };
  const milter = new Milter(rule, parts);
  const nothing = () => undefined;
  assert.equal(
    (await milter.connected({ name: "c.test", address: "2001:db8::1", port: 7 }, nothing)).kind,
    "continue",
  );
  await milter.helo("h.test", nothing);
  await milter.mail(["<a@x.test>"], nothing);
  await milter.rcpt(["<b@y.test>"], nothing);
  await milter.rcpt(["<c@y.test>"], nothing);
  let made: string | undefined;
  const source: MilterSource = {
    // deno-lint-ignore require-await
    headers: async function* () {
      yield { name: utf8("Subject"), value: utf8(" one\n\ttwo") };
      yield { name: utf8("X-A"), value: utf8(" ä") };
    },
    // deno-lint-ignore require-await
    body: async function* () {
      for (const piece of BODY) yield utf8(piece);
    },
    replaceBody: (piece) => void (made = (made ?? "") + new TextDecoder().decode(piece)),
  };
  const { agreement, stream } = milter.content!;
  const told = { headerMacros: ["i"], endMacros: [], log: { warning: note }, queueId: "ID" };
  const outcome = await new MilterContent(rule, agreement, stream, told)
    .run(source, (name) => name === "i" ? "ID" : undefined);
  if (!outcome.failed) await milter.quit();
  return { outcome, body: made, log };
}

Deno.test("a filter sees the message, and its body as it comes", async () => {
  let seen: unknown;
  let body = "";
  await ask(async (message) => {
    const { queueId, client, helo, sender, recipients, headers } = message;
    seen = { queueId, client, helo, sender, recipients, headers, subject: message.header("SUBJECT") };
    for await (const piece of message.body()) body += new TextDecoder().decode(piece);
    return { verdict: "pass" };
  });
  assert.deepEqual(seen, {
    queueId: "ID",
    client: { name: "c.test", address: "2001:db8::1" },
    helo: "h.test",
    sender: "a@x.test",
    recipients: ["b@y.test", "c@y.test"],
    headers: [{ name: "Subject", value: "one\n\ttwo" }, { name: "X-A", value: "ä" }],
    subject: "one\n\ttwo",
  });
  assert.equal(body, BODY.join(""));
});

Deno.test("a filter that does not look at the body need not take it", async () => {
  const { outcome, log } = await ask(() => ({ verdict: "pass" }));
  assert.deepEqual([outcome.verdict, outcome.edits, outcome.failed], [{ kind: "continue" }, [], false]);
  assert.ok(log.includes("ID: filter: pass"));
});

Deno.test("a filter may stop in the middle of the body", async () => {
  const { outcome } = await ask(async (message) => {
    for await (const piece of message.body()) if (piece.length > 0) break;
    return { verdict: "defer", text: "later, 100% sure" };
  });
  assert.deepEqual(outcome.verdict, { kind: "reply", text: "451 4.7.1 later, 100% sure" });
});

Deno.test("each edit becomes what the protocol has for it", async () => {
  const body = new Blob(["new\r\n", "y".repeat(130_000)]).stream();
  const { outcome, body: made } = await ask(() => ({
    verdict: "pass",
    edits: [
      { edit: "addHeader", name: "X-New", value: "ö" },
      { edit: "insertHeader", index: 1, name: "X-First", value: "1" },
      { edit: "changeHeader", name: "Subject", value: "three" },
      { edit: "removeHeader", name: "X-A", index: 2 },
      { edit: "changeSender", address: "" },
      { edit: "addRecipient", address: "d@y.test" },
      { edit: "removeRecipient", address: "b@y.test" },
      { edit: "hold" },
      { edit: "replaceBody", body },
    ],
  }));
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const plain = outcome.edits.map((edit) =>
    Object.values(edit).map((value) => value instanceof Uint8Array ? text(value) : value).join(" ").trim()
  );
  assert.deepEqual(plain, [
    "addHeader X-New ö",
    "insertHeader 1 X-First 1",
    "changeHeader 1 Subject three",
    "changeHeader 2 X-A",
    "changeFrom <>",
    "addRecipient <d@y.test>",
    "deleteRecipient <b@y.test>",
    "quarantine filter",
    "replaceBody",
  ]);
  assert.equal(made, `new\r\n${"y".repeat(130_000)}`);
});

Deno.test("reject and discard are verdicts", async () => {
  const rejected = await ask(() => ({ verdict: "reject", text: "no" }));
  assert.deepEqual(rejected.outcome.verdict, { kind: "reply", text: "550 5.7.1 no" });
  assert.deepEqual((await ask(() => ({ verdict: "discard" }))).outcome.verdict, { kind: "discard" });
});

const BAD: readonly (readonly [string, unknown, RegExp])[] = [
  ["nothing", undefined, /no object/],
  ["no verdict", {}, /no verdict "undefined"/],
  ["another verdict", { verdict: "maybe" }, /no verdict "maybe"/],
  ["a refusal without a text", { verdict: "reject" }, /one line of ASCII/],
  ["a refusal of two lines", { verdict: "reject", text: "a\r\n250 ok" }, /one line of ASCII/],
  ["edits that are no list", { verdict: "pass", edits: {} }, /must be a list/],
  ["an edit that does not exist", { verdict: "pass", edits: [{ edit: "toString" }] }, /no edit "toString"/],
  [
    "a header with a colon",
    { verdict: "pass", edits: [{ edit: "addHeader", name: "a:b", value: "" }] },
    /"name"/,
  ],
  ["a header without a value", { verdict: "pass", edits: [{ edit: "addHeader", name: "a" }] }, /"value"/],
  [
    "an address with a bracket",
    { verdict: "pass", edits: [{ edit: "addRecipient", address: "a>" }] },
    /"address"/,
  ],
  ["a body that is a text", { verdict: "pass", edits: [{ edit: "replaceBody", body: "x" }] }, /"body"/],
];

for (const [name, result, why] of BAD) {
  Deno.test(`a filter that gives back ${name} has failed, and nothing of its result counts`, async () => {
    const { outcome, log } = await ask(() => result as FilterResult);
    assert.deepEqual([outcome.failed, outcome.edits], [true, []]);
    assert.match(log.join("\n"), why);
  });
}

Deno.test("a filter that throws has failed", async () => {
  const { outcome, log } = await ask(() => {
    throw new Error("mistake in line 7");
  });
  assert.equal(outcome.failed, true);
  assert.match(log.join("\n"), /ID: filter failed: .*mistake in line 7/);
});

Deno.test("a filter that does not come to an end has failed when its time is over", async () => {
  const { outcome, log } = await ask(() => new Promise<FilterResult>(() => {}), 0.05);
  assert.equal(outcome.failed, true);
  assert.match(log.join("\n"), /took longer than/);
});
