/** Servers that cut, stammer, drip, flood and lie: each delivery ends as Postfix would end it, and in time. @module */
import assert from "node:assert/strict";
import type { Answer, Script } from "../../lib/smtp/fake_server.ts";
import { type Attack, PATIENCE, play, playAll } from "./peer.ts";

/** How long a delivery may take beyond what its waits add up to, milliseconds: the machine has other work too. */
const SLACK = 6000;

const STEPS = ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "final"] as const;
type Step = typeof STEPS[number];

function at(step: Step, answer: Answer): Script {
  if (step === "greeting") return { greeting: answer };
  return step === "final" ? { final: answer } : { answers: { [step]: answer } };
}

const DOING: Readonly<Record<Step, string>> = {
  greeting: "receiving the initial server greeting",
  EHLO: "performing the EHLO handshake",
  MAIL: "sending MAIL FROM",
  RCPT: "sending RCPT TO",
  DATA: "sending DATA command",
  final: "sending end of data -- message may be sent more than once",
};

const PLAIN = { keywords: ["8BITMIME"] };
const PIPELINED = { keywords: ["PIPELINING", "8BITMIME"] };

for (const [name, server] of [["one by one", PLAIN], ["with PIPELINING", PIPELINED]] as const) {
  Deno.test(`replies cut at every byte, ${name}: deferred, unless the final reply has come whole`, async () => {
    const whole = await play({ name: "whole", script: server });
    assert.deepEqual(whole.results, ["sent 2.0.0"]);
    const quit = "221 bye\r\n".length;
    const final = "250 2.0.0 Ok: queued as TEST\r\n".length;
    const complete = whole.said - quit;
    const attacks = Array.from({ length: whole.said }, (_, cut) => ({
      name: `cut after ${cut} bytes`,
      script: { ...server, cutAfter: cut },
      cut,
    }));
    await playAll(attacks, ({ cut }, { results, reasons, site, texts }) => {
      if (cut >= complete) return assert.deepEqual(results, ["sent 2.0.0"]);
      assert.deepEqual(results, ["deferred 4.4.2"]);
      assert.match(reasons[0]!, /^lost connection with 127\.0\.0\.1\[127\.0\.0\.1\] while /);
      assert.notEqual(site, "");
      // Whoever got the message and lost the reply gets it again: that is better than losing it.
      assert.equal(texts, cut >= complete - final ? 1 : 0);
    });
  });
}

Deno.test("CLI-02: an endless reply at any step ends at its limit, and is deferred", async () => {
  for (const line of ["250-and more", "354-and more", "noise", "x".repeat(5000), ""]) {
    const attacks = STEPS.map((step) => ({
      name: `${step} ${line.slice(0, 12)}`,
      script: at(step, { endless: line }),
      step,
    }));
    await playAll(attacks, ({ step }, { results, reasons, took }) => {
      assert.deepEqual(results, ["deferred 4.5.0"]);
      assert.ok(
        reasons[0]!.includes(`sent reply of more than 65536 bytes while ${DOING[step]}`),
        String(reasons[0]),
      );
      assert.ok(took < PATIENCE + SLACK);
    });
  }
});

Deno.test("CLI-16: a reply that drips ends with the time for the whole of it", async () => {
  const attacks = STEPS.map((step) => ({
    name: step,
    script: { ...PLAIN, ...at(step, { drip: "250 2.0.0 a very long answer", every: 200 }) },
    step,
  }));
  await playAll(attacks, ({ step }, { results, reasons, took }) => {
    assert.deepEqual(results, ["deferred 4.4.2"]);
    assert.equal(reasons[0], `conversation with 127.0.0.1[127.0.0.1] timed out while ${DOING[step]}`);
    assert.ok(took >= PATIENCE - 50 && took < PATIENCE + SLACK, `${took}`);
  });
});

Deno.test("a server that closes, or is silent, at any step defers, and the text says at which", async () => {
  for (const answer of [{ close: true }, { silent: true }] as const) {
    const attacks = STEPS.map((step) => ({ name: step, script: { ...PLAIN, ...at(step, answer) }, step }));
    await playAll(attacks, ({ step }, { results, reasons, site }) => {
      assert.deepEqual(results, ["deferred 4.4.2"]);
      const what = "close" in answer ? "lost connection with" : "conversation with";
      assert.ok(reasons[0]!.startsWith(`${what} 127.0.0.1[127.0.0.1] `), String(reasons[0]));
      assert.ok(reasons[0]!.endsWith(`while ${DOING[step]}`), String(reasons[0]));
      assert.notEqual(site, "");
    });
  }
});

Deno.test("CLI-13: 421 at any step, with and without closing: deferred with what was said", async () => {
  const say = "421 4.3.2 closing";
  for (const answer of [say, { close: true, say } as const]) {
    await playAll(
      STEPS.map((step) => ({ name: step, script: { ...PLAIN, ...at(step, answer) } })),
      (_, outcome) => {
        assert.deepEqual(outcome.results, ["deferred 4.3.2"]);
        assert.ok(outcome.reasons[0]!.includes(say));
      },
    );
  }
});

/** What every code there is means at a step: Postfix's judgement, but for codes of no class. */
function judged(step: Step, code: number): string {
  const family = Math.floor(code / 100);
  const good = step === "DATA" ? family === 3 : family === 2;
  if (good) return "sent 2.0.0";
  // A server that does not know EHLO is greeted with HELO; one that says 421 is leaving.
  if (step === "EHLO" && code !== 421) return "sent 2.0.0";
  if (step === "greeting" && family === 5) return "deferred 4.0.0";
  if (family === 4) return "deferred 4.0.0";
  if (family === 5) return "bounced 5.0.0";
  return family === 2 || family === 3 ? "bounced 5.5.0" : "deferred 4.5.0";
}

Deno.test("CLI-05, CLI-11: any code at any step is judged by its class", async () => {
  const codes = [0, 1, 20, 99, 100, 150, 199, 200, 220, 251, 299, 300, 334, 354, 399, 400, 421, 450, 499];
  const more = [500, 502, 530, 550, 552, 555, 599, 600, 700, 888, 999];
  for (const step of STEPS) {
    const attacks = [...codes, ...more].map((code) => ({
      name: `${step} ${code}`,
      script: { ...PLAIN, ...at(step, `${String(code).padStart(3, "0")} x`) },
      code,
    }));
    await playAll(attacks, ({ code }, { results }) => assert.deepEqual(results, [judged(step, code)]));
  }
});

Deno.test("CLI-20: recipients accepted and DATA refused: nobody is counted as sent", async () => {
  const script = { answers: { DATA: "503 5.5.1 no" }, final: "250 2.0.0 later" };
  const { results, texts } = await play({ name: "", script, to: ["a@d.test", "b@d.test"] });
  assert.deepEqual(results, ["bounced 5.5.1", "bounced 5.5.1"]);
  assert.equal(texts, 0);
});

Deno.test("CLI-19: 250, 450 and 550 to recipients: sent, deferred, bounced", async () => {
  const script = { answers: { RCPT: ["250 2.1.5 ok", "450 4.2.1 later", "550 5.1.1 no"] } };
  const { results } = await play({ name: "", script, to: ["a@d.test", "b@d.test", "c@d.test"] });
  assert.deepEqual(results, ["sent 2.0.0", "deferred 4.2.1", "bounced 5.1.1"]);
});

Deno.test("CLI-07: what a server says reaches log and reports as one line without controls", async () => {
  const say = "553-5.1.3 \x1b]0;title\x07\r\n553 5.1.3 a\0b\tdispatcher: local_mail\ntype: mda";
  const { results, reasons } = await play({ name: "", script: at("RCPT", say) });
  assert.deepEqual(results, ["bounced 5.1.3"]);
  for (const char of reasons[0]!) assert.ok(char >= " " && char !== "\x7f", JSON.stringify(reasons[0]));
});

Deno.test("an EHLO reply with thousands of keywords, or one with a megabyte of arguments, does no harm", async () => {
  const many = Array.from({ length: 4000 }, (_, i) => `X${i}`);
  const attacks: Attack[] = [
    { name: "many", script: { keywords: [...many, "SIZE 10", "X"] } },
    { name: "long", script: { keywords: [`XFORWARD ${"A ".repeat(20_000)}`] } },
    {
      name: "odd",
      script: { keywords: ["SIZE 99999999999999999999999", "SIZE", "", " ", "\0", "8BITMIME=1"] },
    },
  ];
  await playAll(attacks, (_, { results }) => assert.deepEqual(results, ["sent 2.0.0"]));
});

Deno.test("LMTP: an answer for each recipient counts for that one, however the rest ends", async () => {
  const to = ["a@d.test", "b@d.test", "c@d.test"];
  const ok = "250 2.1.5 ok";
  const cases: [final: readonly Answer[], results: readonly string[]][] = [
    [[ok, "450 4.2.1 later", "550 5.2.1 no"], ["sent 2.1.5", "deferred 4.2.1", "bounced 5.2.1"]],
    [[ok, { close: true }], ["sent 2.1.5", "deferred 4.4.2", "deferred 4.4.2"]],
    [[ok, { silent: true }], ["sent 2.1.5", "deferred 4.4.2", "deferred 4.4.2"]],
    [[ok, { endless: "250-x" }], ["sent 2.1.5", "deferred 4.5.0", "deferred 4.5.0"]],
    [["550 5.2.1 no", { close: true }], ["bounced 5.2.1", "deferred 4.4.2", "deferred 4.4.2"]],
  ];
  const attacks = cases.map(([final, results]) => {
    return {
      name: JSON.stringify(final),
      script: { final, lmtp: true },
      to,
      lmtp: true as const,
      expected: results,
    };
  });
  await playAll(attacks, ({ expected }, { results }) => assert.deepEqual(results, expected));
});

Deno.test("a server that stops reading in the text does not hold the delivery for ever", async () => {
  // It has said 354 and reads nothing: the message is larger than what the system keeps for it.
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const held: Deno.Conn[] = [];
  const serving = (async () => {
    for await (const connection of listener) {
      held.push(connection);
      const encoder = new TextEncoder();
      const lines = ["220 x", "250-x\r\n250 PIPELINING", "250 ok", "250 ok", "354 go"].join("\r\n");
      await connection.write(encoder.encode(`${lines}\r\n`));
    }
  })();
  const { makeBench, POLICY } = await import("../../lib/smtp/delivery_bench.ts");
  const nexthop = `[127.0.0.1]:${port}`;
  const lines = ["Subject: big", "", ...Array.from({ length: 20_000 }, () => "x".repeat(900))];
  try {
    await using bench = makeBench(
      {
        trusted: new Set([nexthop]),
        transfer: { ...POLICY.transfer, timeout: 500 },
      },
      {},
      lines,
    );
    const started = performance.now();
    const { recipients } = await bench.deliver({ nexthop });
    assert.equal(recipients[0]?.status, "4.4.2");
    assert.ok(recipients[0]!.reason.endsWith("timed out while sending message body"), recipients[0]?.reason);
    assert.ok(performance.now() - started < 500 + 5000 + SLACK);
  } finally {
    listener.close();
    await serving;
    for (const connection of held) connection.close();
  }
});
