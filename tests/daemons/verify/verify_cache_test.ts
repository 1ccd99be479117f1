/** How long what is known of addresses counts, and how it is kept. @module */
import assert from "node:assert/strict";
import { type Answer, CACHE_LIMIT, type Known, VerifyCache } from "../../../daemons/verify/verify_cache.ts";
import { formatEntry, parseEntry, VerifyJournal } from "../../../daemons/verify/verify_journal.ts";

const DAY = 86_400_000;
const HOUR = 3_600_000;
const TIMES = {
  positiveExpire: 31 * DAY,
  positiveRefresh: 7 * DAY,
  negativeExpire: 3 * DAY,
  negativeRefresh: 3 * HOUR,
};
const START = 1_700_000_000_000;
const A = "a@x.test";

const said = ({ status, probe }: Answer) => `${status}${probe ? " probe" : ""}`;

/** What happens, and what a question at that time is answered; times in hours. */
const STORIES: Readonly<
  Record<string, readonly (readonly [hours: number, what: string, answer?: string])[]>
> = {
  "an address that nobody knows is probed once": [[0, "", "unknown probe"], [0.1, "", "unknown"], [
    0.3,
    "",
    "unknown probe",
  ]],
  "a good result counts, and is looked at again after a week": [
    [0, "", "unknown probe"],
    [0, "ok"],
    [1, "", "ok"],
    [7 * 24 - 1, "", "ok"],
    [7 * 24 + 1, "", "ok probe"],
    [7 * 24 + 1.1, "", "ok"],
  ],
  "a good result expires after a month": [[0, "ok"], [31 * 24 + 1, "", "unknown probe"]],
  "a bad result is looked at again after hours": [[0, "undeliverable"], [2.9, "", "undeliverable"], [
    3.1,
    "",
    "undeliverable probe",
  ]],
  "a bad result expires after days": [[0, "undeliverable"], [73, "", "unknown probe"]],
  "one failed probe does not make a good address bad": [
    [0, "ok"],
    [7 * 24 + 1, "", "ok probe"],
    [7 * 24 + 2, "undeliverable"],
    [7 * 24 + 2, "", "ok probe"],
  ],
  "a good result takes the place of a bad one": [[0, "undeliverable"], [1, "ok"], [2, "", "ok"]],
  "trouble counts like a bad result": [[0, "deferred"], [1, "", "deferred"], [4, "", "deferred probe"]],
  "a clock that was set back probes again": [[10, "", "unknown probe"], [0, "", "unknown probe"]],
};

for (const [name, steps] of Object.entries(STORIES)) {
  Deno.test(`verify: ${name}`, () => {
    const cache = new VerifyCache(TIMES, true);
    for (const [hours, what, answer] of steps) {
      const now = START + hours * HOUR;
      if (what !== "") cache.update(A, what as "ok", "2.1.5 text", now);
      if (answer !== undefined) assert.equal(said(cache.ask(A, now)), answer, `after ${hours} hours`);
    }
  });
}

Deno.test("verify: without a negative cache failures are forgotten", () => {
  const cache = new VerifyCache(TIMES, false);
  cache.ask(A, START);
  cache.update(A, "undeliverable", "5.1.1 no", START);
  assert.equal(said(cache.ask(A, START)), "unknown probe");
  cache.update(A, "ok", "", START);
  assert.equal(said(cache.ask(A, START)), "ok");
});

Deno.test("verify: what has expired is cleaned away, and the cache is bounded", () => {
  const changes: string[] = [];
  const cache = new VerifyCache(TIMES, true, (address, known) => changes.push(`${address} ${known?.status}`));
  cache.update(A, "ok", "", START);
  cache.update("b@x.test", "undeliverable", "", START);
  cache.clean(START + 4 * DAY);
  assert.equal(cache.size, 1);
  assert.equal(changes.at(-1), "b@x.test undefined");
  for (let i = 0; i < CACHE_LIMIT; i++) cache.update(`${i}@y.test`, "ok", "", START);
  assert.equal(cache.size, CACHE_LIMIT);
  assert.equal(said(cache.ask(A, START)), "unknown probe");
});

Deno.test("verify: entries are read as they were written, and nothing else is", () => {
  const known: Known = { status: "ok", probed: 0, updated: START, text: '2.1.5 "ok"\tänd\n' };
  assert.deepEqual(parseEntry(formatEntry(A, known)), [A, known]);
  assert.deepEqual(parseEntry(formatEntry(A, undefined)), [A, undefined]);
  const line = formatEntry(A, known).trimEnd();
  for (let end = 0; end < line.length; end++) assert.equal(parseEntry(line.slice(0, end)), undefined);
  for (const bad of ["{}", "[]", "[1]", '["a","good",0,0,"x"]', '["a","ok",0.5,0,"x"]', '["a","ok",0,0]']) {
    assert.equal(parseEntry(bad), undefined, bad);
  }
});

Deno.test("verify: the file holds what was learned, also when its last line is cut", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "verify-" });
  const path = `${directory}/cache`;
  const warnings: string[] = [];
  const journal = () => new VerifyJournal(path, { warning: (text) => warnings.push(text) });
  const load = () => {
    const cache = new VerifyCache(TIMES, true);
    journal().read((address, known) => cache.load(address, known));
    return cache;
  };
  assert.equal(load().size, 0);
  const first = journal();
  const cache = new VerifyCache(TIMES, true, (address, known) => first.note(address, known));
  cache.update(A, "ok", "2.1.5 fine", START);
  await first.write(() => cache.entries());
  cache.update("b@x.test", "undeliverable", "5.1.1 no", START);
  await first.write(() => cache.entries());
  assert.deepEqual([...load().entries()], [...cache.entries()]);
  Deno.writeTextFileSync(path, '["c@x.test","ok",0,17', { append: true });
  assert.deepEqual([...load().entries()], [...cache.entries()]);
  const second = journal();
  second.read(() => {});
  second.note(A, undefined);
  await second.write(() => []);
  assert.equal(Deno.readTextFileSync(path), "", "it is written anew after it was read");
  assert.deepEqual(warnings, []);
  assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
  Deno.removeSync(directory, { recursive: true });
});
