import assert from "node:assert/strict";
import { BlockLists, parseSite, type Site } from "../../../daemons/postscreen/postscreen_dnsbl.ts";
import { TestRecord, type TestRule } from "../../../daemons/postscreen/postscreen_tests.ts";
import { escapeBytes } from "../../../daemons/postscreen/postscreen_text.ts";
import { utf8 } from "../../support/bytes.ts";
import { Random } from "../../support/random.ts";

Deno.test("dnsbl sites: domain, pattern, weight", () => {
  const site = (text: string) => parseSite(text) as Site;
  assert.deepEqual(site("BL.example"), { domain: "bl.example", filter: undefined, weight: 1 });
  assert.deepEqual(site("bl.example*3").weight, 3);
  assert.deepEqual(site("bl.example*-4").weight, -4);
  assert.deepEqual(site("bl.example=127.0.0.2*2").filter, [[[127, 127]], [[0, 0]], [[0, 0]], [[2, 2]]]);
  for (
    const [text, why] of [
      ["bl.example*x", 'bad DNSBL weight factor "x" in "bl.example*x"'],
      ["bl.example*", 'bad DNSBL weight factor "" in "bl.example*"'],
      ["*2", 'bad DNSBL domain name or filter syntax: "*2"'],
      ["b l.example", 'bad DNSBL domain name or filter syntax: "b l.example"'],
      ["bl.example=127.0.0", 'bad DNSBL domain name or filter syntax: "bl.example=127.0.0"'],
    ] as const
  ) assert.equal(parseSite(text), why);
});

/** What lists say, by domain. */
async function scored(sites: readonly string[], answers: Readonly<Record<string, readonly string[]>>) {
  const asked: string[] = [];
  const lists = new BlockLists(
    sites.map((text) => parseSite(text) as Site),
    {
      call: (_type, fields) => {
        const { domain } = fields as { domain: string };
        asked.push(domain);
        const addresses = (answers[domain] ?? []).map((address) => ({ address }));
        return Promise.resolve({ is: "listed", addresses, ttl: domain.length, failed: domain === "failing" });
      },
    },
    10,
    { warning: () => {} },
  );
  const score = await new Promise<ReturnType<BlockLists["ask"]>>((resolve) => {
    const made = lists.ask("192.0.2.1", () => resolve(made));
  });
  return { value: score.value, ttl: score.ttl, domain: score.domain, asked };
}

Deno.test("dnsbl: each item of a list counts once, and each list is asked once", async () => {
  const sites = ["a.test=127.0.0.[2..3]*2", "a.test=127.0.0.4*3", "b.test*5", "white.test*-4"];
  assert.deepEqual(
    await scored(sites, { "a.test": ["127.0.0.2", "127.0.0.3", "127.0.0.4"], "white.test": ["127.0.0.1"] }),
    { value: 1, ttl: 6, domain: "a.test", asked: ["a.test", "b.test", "white.test"] },
  );
});

Deno.test("dnsbl: the list that weighs most is the one that is named, and a failing one says nothing", async () => {
  const sites = ["little*1", "large*7", "failing*9"];
  const answers = { little: ["127.0.0.2"], large: ["127.0.0.2"], failing: ["127.0.0.2"] };
  const { value, domain } = await scored(sites, answers);
  assert.deepEqual([value, domain], [8, "large"]);
});

const RULE: TestRule = { enabled: true, action: "enforce", ttl: 10 };
const RULES = {
  pregreet: RULE,
  dnsbl: RULE,
  pipelining: { ...RULE, enabled: false },
  nonSmtp: RULE,
  bareNewline: RULE,
};

Deno.test("records in the cache are Postfix's: five times in a row, and marks for what was not tested", () => {
  const record = TestRecord.empty(RULES);
  assert.equal(String(record), "0;0;1;0;0");
  record.pass("pregreet", 1000);
  record.pass("nonSmtp", 3000);
  assert.equal(String(record), "1000;0;1;3000;0");
  const read = TestRecord.parse("1000;0;1;3000;0")!;
  assert.equal(String(read), String(record));
  assert.deepEqual([read.isNew, record.isNew, read.expires], [true, true, 3000]);
  assert.equal(TestRecord.parse("1000;1;1;3000;2000")!.isNew, false);
  assert.deepEqual([read.counts("pregreet", 999), read.counts("pregreet", 1000)], [true, false]);
  for (const text of ["", "1;2;3;4", "1;2;3;4;5;6", "1;2;3;4;x", "1;2;3;4;-5"]) {
    assert.equal(TestRecord.parse(text), undefined, text);
  }
});

Deno.test("what clients sent is logged in the C form", () => {
  assert.equal(escapeBytes(utf8("EHLO x\r\n\t\\\0\u00e9~"), 100), "EHLO x\\r\\n\\t\\\\\\000\\303\\251~");
  assert.equal(escapeBytes(utf8("abc"), 2), "ab");
  const random = new Random(8);
  for (let i = 0; i < 1000; i++) {
    const text = escapeBytes(random.bytes(random.below(200)), 100);
    assert.ok(text.length <= 100 && [...text].every((char) => char >= " " && char <= "~"), text);
  }
});
