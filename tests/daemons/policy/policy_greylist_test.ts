/** Greylisting: who waits, who passes, what is remembered for how long. @module */
import assert from "node:assert/strict";
import {
  formatSeen,
  Greylist,
  type GreylistRules,
  parseSeen,
  type Seen,
} from "../../../daemons/policy/policy_greylist.ts";

const RULES: GreylistRules = {
  delay: 300,
  window: 10_000,
  maxAge: 50_000,
  autoAllow: 3,
  bits4: 24,
  bits6: 64,
};
const START = 1_000_000;

/** Attempts as "time address sender recipient", and what comes of each: milliseconds to wait, or "pass". */
const STORIES: Readonly<Record<string, readonly (readonly [string, number | "pass"])[]>> = {
  "the first attempt waits, a second within the delay waits for the rest, one behind it passes": [
    ["0 192.0.2.1 a@x.test b@y.test", 300],
    ["299 192.0.2.1 a@x.test b@y.test", 1],
    ["300 192.0.2.1 a@x.test b@y.test", "pass"],
    ["301 192.0.2.1 a@x.test b@y.test", "pass"],
  ],
  "another server of the network counts as the same": [
    ["0 192.0.2.1 a@x.test b@y.test", 300],
    ["400 192.0.2.255 a@x.test b@y.test", "pass"],
    ["500 192.0.3.1 a@x.test b@y.test", 300],
  ],
  "in IPv6 too, and an IPv4 address in IPv6 form is the IPv4 address": [
    ["0 2001:db8::1 a@x.test b@y.test", 300],
    ["400 2001:db8::ffff a@x.test b@y.test", "pass"],
    ["400 2001:db8:0:1::1 a@x.test b@y.test", 300],
    ["0 ::ffff:192.0.2.1 a@x.test b@y.test", 300],
    ["400 192.0.2.1 a@x.test b@y.test", "pass"],
  ],
  "case does not matter, another sender or recipient does": [
    ["0 192.0.2.1 A@X.test b@Y.test", 300],
    ["400 192.0.2.1 a@x.test B@y.test", "pass"],
    ["400 192.0.2.1 a2@x.test b@y.test", 300],
    ["400 192.0.2.1 a@x.test b2@y.test", 300],
  ],
  "who comes again too late begins anew": [
    ["0 192.0.2.1 a@x.test b@y.test", 300],
    ["10001 192.0.2.1 a@x.test b@y.test", 300],
    ["10301 192.0.2.1 a@x.test b@y.test", "pass"],
  ],
  "who has passed is remembered as long as mail comes, and forgotten without": [
    ["0 192.0.2.1 a@x.test b@y.test", 300],
    ["400 192.0.2.1 a@x.test b@y.test", "pass"],
    ["50400 192.0.2.1 a@x.test b@y.test", "pass"],
    ["100400 192.0.2.1 a@x.test b@y.test", "pass"],
    ["150401 192.0.2.1 a@x.test b@y.test", 300],
  ],
  "a network that has come again three times waits no more": [
    ["0 192.0.2.1 a@x.test b1@y.test", 300],
    ["0 192.0.2.1 a@x.test b2@y.test", 300],
    ["0 192.0.2.1 a@x.test b3@y.test", 300],
    ["400 192.0.2.1 a@x.test b1@y.test", "pass"],
    ["400 192.0.2.1 a@x.test b2@y.test", "pass"],
    ["400 192.0.2.1 a@x.test b4@y.test", 300],
    ["400 192.0.2.1 a@x.test b3@y.test", "pass"],
    ["401 192.0.2.1 a@x.test b5@y.test", "pass"],
    ["401 192.0.3.1 a@x.test b5@y.test", 300],
  ],
  "a clock that is set back makes nobody wait for ever": [
    ["5000 192.0.2.1 a@x.test b@y.test", 300],
    ["0 192.0.2.1 a@x.test b@y.test", 300],
    ["300 192.0.2.1 a@x.test b@y.test", "pass"],
  ],
};

for (const [name, steps] of Object.entries(STORIES)) {
  Deno.test(`greylist: ${name}`, () => {
    let list = new Greylist(RULES);
    for (const [step, expected] of steps) {
      const [time, address, sender, recipient] = step.split(" ");
      // Before each attempt the list is written and read, as after a kill.
      const lines = Array.from(list.entries(), ([key, seen]) => formatSeen(key, seen));
      list = new Greylist(RULES);
      for (const line of lines) list.load(...parseSeen(line)!);
      const verdict = list.judge(
        { address: address!, sender: sender!, recipient: recipient! },
        START + Number(time),
      );
      assert.equal(verdict.kind === "wait" ? verdict.left : "pass", expected, step);
    }
  });
}

Deno.test("greylist: what is remembered is bounded, and the least recently seen goes first", () => {
  const changes = new Map<string, Seen | undefined>();
  const list = new Greylist(RULES, (key, seen) => changes.set(key, seen), 3);
  const attempt = (n: number) =>
    list.judge({ address: "192.0.2.1", sender: "", recipient: `r${n}` }, START + n);
  for (const n of [1, 2, 3]) attempt(n);
  assert.equal(list.size, 3);
  attempt(1);
  attempt(4);
  assert.equal(list.size, 3);
  const forgotten = [...changes].filter(([, seen]) => seen === undefined).map(([key]) => key);
  assert.deepEqual(forgotten, ["192.0.2.0/24  r1"]);
});

Deno.test("greylist: what is over is forgotten", () => {
  const list = new Greylist(RULES);
  list.judge({ address: "192.0.2.1", sender: "s", recipient: "r" }, START);
  list.clean(START + 10_000);
  assert.equal(list.size, 1);
  list.clean(START + 10_001);
  assert.equal(list.size, 0);
});

Deno.test("greylist: a line of the file cut at any byte is left out or whole", () => {
  const line = formatSeen("192.0.2.0/24 a b", { first: 1, last: 2, passed: 0 });
  assert.deepEqual(parseSeen(line), ["192.0.2.0/24 a b", { first: 1, last: 2, passed: 0 }]);
  for (let length = 0; length < line.length - 1; length++) {
    assert.equal(parseSeen(line.slice(0, length)), undefined, line.slice(0, length));
  }
  for (const bad of ['["k","1",2,0]', '["k",1,2]', '["k",1,2,0.5]', "{}", "[1]"]) {
    assert.equal(parseSeen(bad), undefined, bad);
  }
});
