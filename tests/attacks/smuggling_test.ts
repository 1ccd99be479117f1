/** Class SMG of the security cases: every input whole, byte by byte, and cut at every place, under two settings. @module */
import assert from "node:assert/strict";
import { attackHost, type Cut, play, playAll, type Played, WHOLE } from "./attack.ts";
import { caseInput, testEveryCase } from "./cases.ts";
import { parseScript } from "./script.ts";

const MODES = { normalize: '"normalize"', reject: '"reject"' } as const;
type Mode = keyof typeof MODES;

const QUEUED = /^250 2\.0\.0 Ok: queued as /;
const BARE = "550 5.5.2 mx.test Error: bare <LF> received";
const SYNC = "554 5.5.0 Error: SMTP protocol synchronization";

/** One message of alice's, whatever commands it seems to hold. */
function oneMessage({ replies, queued, unfinished, ended }: Played, where: string): void {
  assert.equal(replies.length, 1, `${where}: ${replies.join(" | ")}`);
  assert.match(replies[0]!, QUEUED, where);
  assert.equal(queued.length, 1, where);
  assert.deepEqual(queued[0]!.recipients, ["alice@local.test"], where);
  assert.equal(queued[0]!.sender, "a@ext.test");
  assert.equal(unfinished, 0);
  assert.equal(ended, false);
  assert.ok(!queued[0]!.text.includes("\r"), `${where}: a CR is stored`);
}

/** One refusal behind the real end, nothing queued. */
function refused({ replies, queued, unfinished }: Played, where: string): void {
  assert.deepEqual(replies, [BARE], where);
  assert.equal(queued.length, 0, where);
  assert.equal(unfinished, 0);
}

type Check = (played: Played, where: string, mode: Mode) => void;

/** Text with a bare LF is one message where that is normalised, and none where it is refused. */
const bare: Check = (played, where, mode) =>
  mode === "normalize" ? oneMessage(played, where) : refused(played, where);
const single: Check = oneMessage;
const body = (expected: string): Check => (played, where) => {
  oneMessage(played, where);
  assert.equal(played.queued[0]!.body, expected, where);
};

/** What each case must come to. */
const CHECKS: Readonly<Record<string, Check>> = {
  "SMG-01": bare,
  "SMG-02": bare,
  "SMG-04": single,
  "SMG-05": single,
  "SMG-07": bare,
  "SMG-08": bare,
  "SMG-10": single,
  "SMG-11": single,
  "SMG-13": single,
  "SMG-14": single,
  "SMG-16": single,
  "SMG-17": single,
  "SMG-19": body("a\n.\nb\n"),
  "SMG-20": body("a\n.b\nc\n..\n"),
  "SMG-22": bare,
  "SMG-25": body(`${"a".repeat(2049)}\n`),
  "SMG-26": body(`${"a".repeat(2047)}\n`),
  "SMG-28": bare,
  "SMG-29": bare,
  "SMG-31": (played, where) => {
    oneMessage(played, where);
    assert.ok(played.queued[0]!.text.includes("\nSubject: a X-Inj: 1\n\nb\n"), where);
  },
  "SMG-32": (played, where, mode) => {
    if (mode === "reject") return refused(played, where);
    oneMessage(played, where);
    // Decided once, by the empty line.
    assert.ok(played.queued[0]!.text.endsWith("\nSubject: a\nX-A: 1\n\nX-B: 2\n\nbody\n"), where);
  },
  "SMG-38": ({ replies, queued }, where) => {
    assert.deepEqual(replies, ["501 5.1.7 Bad sender address syntax"], where);
    assert.equal(queued.length, 0);
  },
  "SMG-41": (played, where) => {
    oneMessage(played, where);
    assert.match(
      played.queued[0]!.text,
      /; [^\n]*\nx\nFrom: a@ext\.test\n|; [^\n]*\n\nx\nFrom: a@ext\.test\n/,
      where,
    );
  },
};

/** Cases that have a test of their own below, or that are not smtpd's, and why. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  "SMG-23": "own test: the place of the buffer's edge is varied",
  "SMG-34": "tests/lib/smtp/dot_stuffing_test.ts: RFC 5321 section 2.3.8: stray CR and LF become spaces",
  "SMG-35":
    "tests/lib/smtp/dot_stuffing_test.ts: a lone dot; no input whatever makes an end of data before the end",
  "SMG-37": "own test: what is read depends on the segments",
  "SMG-40": "own test: the input goes on behind the message",
};

testEveryCase("SMG", CHECKS, ELSEWHERE);

for (const mode of Object.keys(MODES) as Mode[]) {
  for (const [id, check] of Object.entries(CHECKS)) {
    Deno.test(`${id}: whole, byte by byte and cut at every place (${mode})`, async () => {
      await using host = attackHost({ settings: { smtpd_forbid_bare_newline: MODES[mode] } });
      const input = caseInput(id);
      const longest = Math.max(
        ...parseScript(input).map((step) => step.kind === "send" ? step.bytes.length : 0),
      );
      const stride = longest > 1000 ? 97 : 1;
      const cuts: Cut[] = [WHOLE, { kind: "bytes" }];
      for (let offset = 1; offset < longest; offset += stride) cuts.push({ kind: "at", offset });
      for (let offset = Math.max(1, longest - 8); offset < longest; offset++) {
        cuts.push({ kind: "at", offset });
      }
      for (let from = 0; from < cuts.length; from += 100) {
        const some = cuts.slice(from, from + 100);
        const played = await playAll(host, input, some);
        played.forEach((one, i) => check(one, `${id} ${JSON.stringify(some[i])}`, mode));
      }
    });
  }
}

Deno.test("SMG-23: the end of data is seen wherever it falls near 64 KiB", async () => {
  await using host = attackHost();
  for (let size = 65_530; size <= 65_540; size++) {
    const input = caseInput("SMG-23").replace("{PADTO:65535}", `{PADTO:${size}}`);
    const cuts: Cut[] = [
      WHOLE,
      ...Array.from({ length: 6 }, (_, i): Cut => ({ kind: "at", offset: size + i })),
    ];
    for (const played of await playAll(host, input, cuts)) oneMessage(played, `${size}`);
  }
});

Deno.test("SMG-25: the end of data is seen behind a line of about the limit", async () => {
  await using host = attackHost();
  for (const length of [2046, 2047, 2048, 2049, 2050, 4095, 4096, 4097]) {
    const input = caseInput("SMG-25").replace("{REP:a:2049}", `{REP:a:${length}}`);
    const played = await play(host, input);
    oneMessage(played, `${length}`);
    assert.equal(played.queued[0]!.body, `${"a".repeat(length)}\n`);
  }
});

Deno.test("SMG-37: commands that end in LF alone are commands where that is normalised, and end the session where not", async () => {
  const lines = ["EHLO c.test\n", "MAIL FROM:<a@ext.test>\n", "QUIT\n"];
  assert.equal(caseInput("SMG-37"), lines.join(""));
  await using normal = attackHost({ settings: { smtpd_forbid_bare_newline: MODES.normalize } });
  const separate = await play(normal, lines.join("{|}"));
  assert.equal(separate.replies.length, 3);
  assert.deepEqual(separate.replies.slice(1), ["250 2.1.0 Ok", "221 2.0.0 Bye"]);
  // In one piece they are a group, which EHLO must not begin.
  assert.deepEqual((await play(normal, lines.join(""))).replies, [SYNC]);
  await using strict = attackHost({ settings: { smtpd_forbid_bare_newline: MODES.reject } });
  for (const cut of [WHOLE, { kind: "bytes" } as const]) {
    const played = await play(strict, lines.join(""), cut);
    assert.deepEqual(played.replies, [BARE]);
    assert.equal(played.ended, true);
  }
});

Deno.test("SMG-40: what stands behind the end of data is a command, never text", async () => {
  await using host = attackHost();
  assert.equal(caseInput("SMG-40"), "{D}.\r\n hidden");
  const played = await play(host, `${caseInput("SMG-40")}\r\n`);
  assert.match(played.replies[0]!, QUEUED);
  assert.deepEqual(played.replies.slice(1), ["500 5.5.2 Error: command not recognized"]);
  assert.equal(played.queued[0]!.body, "");
  assert.ok(!played.queued[0]!.text.includes("hidden"));
});
