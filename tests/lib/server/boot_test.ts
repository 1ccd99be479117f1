import assert from "node:assert/strict";
import {
  type Control,
  formatLine,
  parseControl,
  parseStatus,
  type Status,
} from "../../../lib/server/boot.ts";
import { Random } from "../../support/random.ts";

const CONTROLS: readonly Control[] = [
  { word: "retire" },
  { word: "wakeup" },
  { word: "helper", token: "7", why: "" },
];

const TASK = {
  kind: "mailbox",
  path: "/home/joe/Mail\ndir",
  format: "maildir",
  user: "joe",
  uid: 1,
  gid: 2,
} as const;

const STATUSES: readonly Status[] = [
  { word: "ready" },
  { word: "alive", busy: 2, used: 30 },
  { word: "retiring" },
  { word: "security", text: "two\nlines" },
  { word: "helper", token: "7", task: TASK },
];

Deno.test("control and status lines come back as they were, each on one line", () => {
  for (const message of CONTROLS) {
    const line = formatLine(message);
    assert.equal(line.indexOf("\n"), line.length - 1);
    assert.deepEqual(parseControl(line.slice(0, -1)), message);
  }
  for (const message of STATUSES) {
    const line = formatLine(message);
    assert.equal(line.indexOf("\n"), line.length - 1);
    assert.deepEqual(parseStatus(line.slice(0, -1)), message);
  }
});

const NO_LINES = [
  "",
  " ",
  "retire",
  "null",
  "1",
  '"ready"',
  "[]",
  "{}",
  '{"word":"stop"}',
  '{"word":1}',
  '{"word":null}',
  '{"word":["ready"]}',
  "{",
  "\0",
  '{"word":"ready"}}',
  "[".repeat(10_000),
];

Deno.test("what is no control or status line is undefined, never an error", () => {
  for (const line of NO_LINES) {
    assert.equal(parseControl(line), undefined, line.slice(0, 20));
    assert.equal(parseStatus(line), undefined, line.slice(0, 20));
  }
  assert.equal(parseControl('{"word":"ready"}'), undefined, "a status is no control word");
  assert.equal(parseStatus('{"word":"retire"}'), undefined);
});

Deno.test("a line cut at any byte, or damaged, is another line or none", () => {
  const line = formatLine(STATUSES[4]!).slice(0, -1);
  for (let cut = 0; cut < line.length; cut++) assert.equal(parseStatus(line.slice(0, cut)), undefined);
  const random = new Random(15);
  const bytes = new TextEncoder().encode(line);
  for (let round = 0; round < 2000; round++) {
    const parsed = parseStatus(new TextDecoder().decode(random.damage(bytes)));
    assert.ok(
      parsed === undefined || ["ready", "alive", "retiring", "security", "helper"].includes(parsed.word),
    );
  }
});
