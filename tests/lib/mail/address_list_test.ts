import assert from "node:assert/strict";
import { mapAddress, parseAddressList } from "../../../lib/mail/address_list.ts";
import { Postfix } from "../../support/postfix.ts";
import { Random } from "../../support/random.ts";
import { testNeeding } from "../../support/tools.ts";

/** Right-hand sides of virtual aliases, and the addresses in them, internal form. */
const VALUES: readonly (readonly [value: string, addresses: readonly string[]])[] = [
  ["b@y.test", ["b@y.test"]],
  ["b@y.test c@y.test", ["b@y.test", "c@y.test"]],
  ["b@y.test,c@y.test", ["b@y.test", "c@y.test"]],
  ["b@y.test;c@y.test", ["b@y.test", "c@y.test"]],
  ['b@y.test, "c d"@y.test e@y.test', ["b@y.test", "c d@y.test", "e@y.test"]],
  ["Bob Smith <bob@y.test>, c@y.test", ["bob@y.test", "c@y.test"]],
  ['"Smith, Bob" <bob@y.test>', ["bob@y.test"]],
  ["<b@y.test> <c@y.test>", ["b@y.test", "c@y.test"]],
  ["group: m@y.test, n@y.test;", ["m@y.test", "n@y.test"]],
  ["b@y.test(comment) c@y.test", ["b@y.test", "c@y.test"]],
  ["(a (nested) comment) b@y.test", ["b@y.test"]],
  ["b @ y.test", ["b@y.test"]],
  ["a b c", ["a", "b", "c"]],
  ["\tb@y.test \t , ,c@y.test,", ["b@y.test", "c@y.test"]],
];

/** Right-hand sides without an address. */
const NOBODY = ["", " ", ",", ";", "(only comment)", "()", "<>"];

Deno.test("an alias's value holds addresses, separated as virtual(5) has it", () => {
  for (const [value, addresses] of VALUES) assert.deepEqual(parseAddressList(value), addresses, value);
});

Deno.test("an alias's value without an address is empty", () => {
  for (const value of NOBODY) assert.deepEqual(parseAddressList(value), [], value);
});

Deno.test("no alias's value makes the reader throw or take long", () => {
  const random = new Random(41);
  const parts = ["a", "@", ".", " ", ",", ";", ":", "<", ">", '"', "\\", "(", ")", "[", "]", "\t", "\u00fc"];
  for (let round = 0; round < 3000; round++) {
    parseAddressList(Array.from({ length: random.below(30) }, () => random.pick(parts)).join(""));
  }
  const started = performance.now();
  for (const one of ["(", "<", '"', "[", "\\", "a ", "a,", ":", "((a)"]) parseAddressList(one.repeat(50_000));
  assert.ok(performance.now() - started < 5000);
});

testNeeding(
  ["root", "postfix"],
  "an alias's value means to us what it means to Postfix",
  async () => {
    await using postfix = await Postfix.start({
      settings: {
        virtual_alias_maps: "texthash:$root/virtual",
        default_transport: "discard",
        myorigin: "origin.test",
      },
    });
    const table = VALUES.map(([value], i) => `v${i}@x.test ${value.trim()}\n`).join("");
    Deno.writeTextFileSync(`${postfix.root}/virtual`, table);
    const recipients = VALUES.map((_, i) => `v${i}@x.test`);
    const sent = await postfix.run(
      "/usr/sbin/sendmail",
      ["-f", "s@z.test", ...recipients],
      "Subject: x\n\nb\n",
    );
    assert.equal(sent.status, 0, sent.errors);
    await postfix.untilLogged(/: removed/);
    const found = new Map<string, string[]>();
    for (const [, to = "", from = ""] of postfix.log().matchAll(/ to=<([^>]*)>, orig_to=<v(\d+)@x\.test>/g)) {
      const address = to.replaceAll('"', "").replace("@origin.test", "");
      found.set(from, [...found.get(from) ?? [], address]);
    }
    for (const [i, [value, addresses]] of VALUES.entries()) {
      assert.deepEqual(found.get(String(i))?.sort(), [...addresses].sort(), value);
    }
  },
);

Deno.test("a value that begins with @ stands for the same user, and an extension goes on where it should", () => {
  for (
    const [address, value, extension, propagate, expected] of [
      ["a@x.test", "b@y.test", "", true, ["b@y.test"]],
      ["a+e@x.test", "b@y.test c", "+e", true, ["b+e@y.test", "c+e"]],
      ["a+e@x.test", "b@y.test", "+e", false, ["b@y.test"]],
      ["a@x.test", "@y.test", "", true, ["a@y.test"]],
      ["a+e@x.test", "@y.test", "+e", true, ["a+e@y.test"]],
      ["a+e@x.test", "@y.test", "+e", false, ["a+e@y.test"]],
      ["a b@x.test", "@y.test, c@z.test", "", true, ["a b@y.test", "c@z.test"]],
    ] as const
  ) assert.deepEqual(mapAddress(address, value, extension, propagate), expected, `${address} ${value}`);
});
