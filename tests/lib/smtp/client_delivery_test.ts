/** Deliveries against scripted servers: every step failing, softly and for good. @module */
import assert from "node:assert/strict";
import { NOTIFY } from "../../../lib/mail/notify.ts";
import type { ClientPolicy } from "../../../lib/smtp/client_policy.ts";
import type { DeliveryRequest } from "../../../lib/smtp/client_recipients.ts";
import { type Bench, type Delivered, HASTY, makeBench, POLICY, type Zone } from "./delivery_bench.ts";
import { type FakeServer, fakeServer, type Script } from "./fake_server.ts";

interface Setting {
  readonly server?: Script;
  readonly policy?: Partial<ClientPolicy>;
  readonly request?: Partial<DeliveryRequest> & { readonly to?: readonly string[] };
  readonly zone?: Zone;
  readonly lines?: readonly (string | Uint8Array)[];
  readonly finalNewline?: boolean;
}

/** Delivers once to a fake server that the configuration trusts. */
async function once(
  setting: Setting,
  look: (delivered: Delivered, server: FakeServer, bench: Bench) => void | Promise<void>,
): Promise<void> {
  const server = fakeServer(setting.server);
  const nexthop = `[127.0.0.1]:${server.port}`;
  const policy = { trusted: new Set([nexthop]), ...setting.policy };
  try {
    await using bench = makeBench(policy, setting.zone, setting.lines, setting.finalNewline);
    const delivered = await bench.deliver({ nexthop, ...setting.request });
    assert.deepEqual(delivered.errors, []);
    await look(delivered, server, bench);
  } finally {
    await server.stop();
  }
}

function text(server: FakeServer, nth = 0): string {
  return new TextDecoder().decode(server.texts[nth]);
}

Deno.test("a message is sent with pipelining and logged as Postfix logs it", async () => {
  await once({}, async (delivered, server, bench) => {
    await server.idle();
    assert.deepEqual(delivered.recipients.map((r) => [r.offset, r.result, r.status, r.action]), [
      [1000, "sent", "2.0.0", "relayed"],
    ]);
    assert.deepEqual(delivered.site, "");
    assert.deepEqual(server.commands, [
      "EHLO client.test",
      "MAIL FROM:<sender@client.test> SIZE=25 BODY=7BIT",
      "RCPT TO:<user@example.test>",
      "DATA",
      "QUIT",
    ]);
    assert.equal(text(server), "Subject: test\r\n\r\nHello.\r\n.\r\n");
    const [line = ""] = bench.lines;
    assert.ok(
      line.startsWith(
        `4ZqYkT1zzz9x: to=<user@example.test>, relay=127.0.0.1[127.0.0.1]:${server.port}, delay=`,
      ),
    );
    assert.ok(line.endsWith(", dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as TEST)"), line);
    assert.equal(bench.lines.length, 1);
  });
});

Deno.test("replies that arrive byte by byte are understood", async () => {
  await once(
    { server: { byteWise: true } },
    (delivered) => assert.equal(delivered.recipients[0]?.result, "sent"),
  );
});

const R = "user@example.test";
const TO = ["one@example.test", "two@example.test", "three@example.test"];

interface FailureCase {
  readonly name: string;
  readonly server: Script;
  readonly to?: readonly string[];
  readonly lmtp?: true;
  readonly policy?: Partial<ClientPolicy>;
  /** "result status" by recipient. */
  readonly expect: readonly string[];
  /** Part of the reason of the first recipient. */
  readonly reason?: string;
  /** Part of what throttles the destination; empty: nothing does. */
  readonly site?: string;
  readonly texts?: number;
}

const FAILURES: readonly FailureCase[] = [
  {
    name: "a greeting with 4xx defers and throttles",
    server: { greeting: "421 4.3.2 busy" },
    expect: ["deferred 4.3.2"],
    reason: "refused to talk to me: 421 4.3.2 busy",
    site: "refused to talk to me",
  },
  {
    name: "a greeting with 5xx counts as passing",
    server: { greeting: "554 5.7.1 no" },
    expect: ["deferred 4.7.1"],
    reason: "refused to talk to me: 554 5.7.1 no",
    site: "refused",
  },
  {
    name: "a greeting with 5xx returns the mail when smtp_skip_5xx_greeting is off",
    server: { greeting: "554 5.7.1 no" },
    policy: { skip5xxGreeting: false },
    expect: ["bounced 5.7.1"],
    site: "",
  },
  {
    name: "a greeting that is no reply defers",
    server: { greeting: "hello" },
    expect: ["deferred 4.4.2"],
    reason: "timed out while receiving the initial server greeting",
    site: "timed out",
  },
  {
    name: "a greeting of 999 defers",
    server: { greeting: "999 x" },
    expect: ["deferred 4.5.0"],
    site: "Protocol",
  },
  {
    name: "a greeting of 2 50 defers",
    server: { greeting: "2 50 x" },
    expect: ["deferred 4.4.2"],
    site: "timed out",
  },
  {
    name: "an endless greeting line defers",
    server: { greeting: `220 ${"a".repeat(1_000_000)}` },
    expect: ["deferred 4.5.0"],
    reason: "reply of more than 65536 bytes",
    site: "Protocol",
  },
  {
    name: "an endless reply of many lines defers",
    server: { greeting: `${"220-x\r\n".repeat(100_000)}220 x` },
    expect: ["deferred 4.5.0"],
    site: "Protocol",
  },
  {
    name: "a silent server times out at the greeting",
    server: { greeting: { silent: true } },
    expect: ["deferred 4.4.2"],
    reason: "timed out while receiving the initial server greeting",
    site: "timed out",
  },
  {
    name: "a server that hangs up at the greeting defers",
    server: { greeting: { close: true } },
    expect: ["deferred 4.4.2"],
    reason: "lost connection with 127.0.0.1[127.0.0.1] while receiving the initial server greeting",
    site: "lost connection",
  },
  {
    name: "RFC 5321 section 3.2: a server without EHLO gets HELO",
    server: { answers: { EHLO: "502 5.5.1 what" } },
    expect: ["sent 2.0.0"],
    texts: 1,
  },
  {
    name: "a server without EHLO and HELO is a site failure",
    server: { answers: { EHLO: "502 5.5.1 what", HELO: "450 4.0.1 later" } },
    expect: ["deferred 4.0.1"],
    reason: "refused to talk to me: 450 4.0.1 later",
    site: "refused to talk to me",
  },
  {
    name: "EHLO with 421 is a site failure and HELO is not tried",
    server: { answers: { EHLO: "421 4.3.2 closing" } },
    expect: ["deferred 4.3.2"],
    site: "closing",
  },
  {
    name: "MAIL refused for now defers all without throttling",
    server: { answers: { MAIL: "451 4.3.0 later" } },
    to: TO,
    expect: ["deferred 4.3.0", "deferred 4.3.0", "deferred 4.3.0"],
    reason: "said: 451 4.3.0 later (in reply to MAIL FROM command)",
    site: "",
    texts: 0,
  },
  {
    name: "MAIL refused for good returns all",
    server: { answers: { MAIL: "550 5.7.1 never" } },
    to: TO,
    expect: ["bounced 5.7.1", "bounced 5.7.1", "bounced 5.7.1"],
    site: "",
    texts: 0,
  },
  {
    name: "RFC 5321 section 4.2.1: recipients are judged one by one by the first digit",
    server: { answers: { RCPT: ["250 2.1.5 ok", "450 4.2.0 full", "550 5.1.1 unknown"] } },
    to: TO,
    expect: ["sent 2.0.0", "deferred 4.2.0", "bounced 5.1.1"],
    site: "",
    texts: 1,
  },
  {
    name: "RFC 2034 section 4: an enhanced code of another class gives way to the reply's",
    server: { answers: { RCPT: "550 4.1.1 x" } },
    expect: ["bounced 5.0.0"],
    site: "",
  },
  {
    name: "all recipients refused: no message is sent",
    server: { answers: { RCPT: "550 5.1.1 unknown", DATA: "554 5.5.1 no valid recipients" } },
    to: TO,
    expect: ["bounced 5.1.1", "bounced 5.1.1", "bounced 5.1.1"],
    texts: 0,
    site: "",
  },
  {
    name:
      "RFC 2920 section 3.1: all recipients refused and DATA accepted: a single dot is sent, and no message",
    server: { answers: { RCPT: "550 5.1.1 unknown" } },
    expect: ["bounced 5.1.1"],
    texts: 1,
    site: "",
  },
  {
    name: "MAIL refused, a recipient and DATA accepted: not even a dot is sent",
    server: { answers: { MAIL: "550 5.7.1 no" } },
    expect: ["bounced 5.7.1"],
    texts: 0,
    site: "",
  },
  {
    name: "RCPT accepted, DATA refused: nobody is marked sent",
    server: { answers: { DATA: "503 5.5.1 sequence" } },
    to: TO,
    expect: ["bounced 5.5.1", "bounced 5.5.1", "bounced 5.5.1"],
    reason: "(in reply to DATA command)",
    texts: 0,
    site: "",
  },
  {
    name: "250 in answer to DATA is against the protocol: the message is not sent",
    server: { answers: { DATA: "250 2.0.0 fine" } },
    expect: ["bounced 5.5.0"],
    texts: 0,
    site: "",
  },
  {
    name: "a reply of the 3xx family to RCPT is against the protocol",
    server: { answers: { RCPT: "354 what" } },
    expect: ["bounced 5.5.0"],
    texts: 1, // the single dot
    site: "",
  },
  {
    name: "RFC 5321 section 3.8: 421 in answer to MAIL defers",
    server: { answers: { MAIL: { close: true, say: "421 4.3.2 bye" } } },
    expect: ["deferred 4.3.2"],
    site: "",
  },
  {
    name: "421 in answer to RCPT defers",
    server: { keywords: [], answers: { RCPT: "421 4.3.2 bye" } },
    expect: ["deferred 4.3.2"],
    site: "",
  },
  {
    name: "a connection lost at RCPT defers the rest",
    server: { keywords: [], answers: { RCPT: ["550 5.1.1 unknown", { close: true }] } },
    to: TO,
    expect: ["bounced 5.1.1", "deferred 4.4.2", "deferred 4.4.2"],
    site: "lost connection",
  },
  {
    name: "a silent server at DATA times out",
    server: { answers: { DATA: { silent: true } } },
    expect: ["deferred 4.4.2"],
    reason: "timed out while sending DATA command",
    site: "timed out",
  },
  {
    name: "the end of data refused for now defers",
    server: { final: "452 4.3.1 disk full" },
    expect: ["deferred 4.3.1"],
    reason: "(in reply to end of DATA command)",
    site: "",
    texts: 1,
  },
  {
    name: "the end of data refused for good returns",
    server: { final: "554 5.6.0 spam" },
    to: TO,
    expect: ["bounced 5.6.0", "bounced 5.6.0", "bounced 5.6.0"],
    site: "",
    texts: 1,
  },
  {
    name: "no answer to the end of data defers and says what may happen",
    server: { final: { silent: true } },
    expect: ["deferred 4.4.2"],
    reason: "timed out while sending end of data -- message may be sent more than once",
    site: "timed out",
    texts: 1,
  },
  {
    name: "a connection lost before the final answer defers",
    server: { final: { close: true } },
    expect: ["deferred 4.4.2"],
    reason: "lost connection with 127.0.0.1[127.0.0.1] while sending end of data",
    site: "lost connection",
  },
  {
    name: "CLI-07: a reply with line ends and escapes becomes one harmless line",
    server: { answers: { RCPT: "553-\r\n553 \x1b[31m\x00dispatcher: local_mail" } },
    expect: ["bounced 5.0.0"],
    reason: "said: 553- 553 ?[31m?dispatcher: local_mail",
    site: "",
  },
  {
    name: "soft_bounce turns a refusal into a delay",
    server: { answers: { RCPT: "550 5.1.1 unknown" } },
    policy: { softBounce: true },
    expect: ["deferred 4.1.1"],
    site: "",
  },
  {
    name: "RFC 1870 section 6.1: a message over the server's limit is returned before MAIL",
    server: { keywords: ["SIZE 10"] },
    expect: ["bounced 5.3.4"],
    reason: "message size 25 exceeds size limit 10 of server 127.0.0.1[127.0.0.1]",
    site: "",
  },
  {
    name: "RFC 1870 section 3: SIZE 0 is no limit",
    server: { keywords: ["SIZE 0"] },
    expect: ["sent 2.0.0"],
  },
  { name: "SIZE -1 is no limit", server: { keywords: ["SIZE -1"] }, expect: ["sent 2.0.0"] },
  {
    name: "SIZE 10^30 is no limit",
    server: { keywords: [`SIZE 1${"0".repeat(30)}`] },
    expect: ["sent 2.0.0"],
  },
  {
    name: "JSX-04: keywords named as properties of objects do nothing",
    server: { keywords: ["__proto__", "constructor 1", "SIZE"] },
    expect: ["sent 2.0.0"],
  },
  {
    name: "LMTP: each recipient has its own final answer",
    server: { lmtp: true, final: ["250 2.1.5 one", "452 4.2.2 two", "550 5.2.2 three"] },
    lmtp: true,
    to: TO,
    expect: ["sent 2.1.5", "deferred 4.2.2", "bounced 5.2.2"],
    site: "",
  },
  {
    name: "LMTP: a recipient refused at RCPT gets no final answer",
    server: {
      lmtp: true,
      answers: { RCPT: ["250 ok", "550 5.1.1 no", "250 ok"] },
      final: ["250 2.1.5 a", "250 2.1.6 b"],
    },
    lmtp: true,
    to: TO,
    expect: ["sent 2.1.5", "bounced 5.1.1", "sent 2.1.6"],
    site: "",
  },
  {
    name: "LMTP: a connection lost between the final answers keeps those given",
    server: { lmtp: true, final: ["250 2.1.5 one", { close: true }] },
    lmtp: true,
    to: TO,
    expect: ["sent 2.1.5", "deferred 4.4.2", "deferred 4.4.2"],
  },
  {
    name: "LMTP: LHLO refused is not followed by HELO",
    server: { answers: { LHLO: "500 5.5.1 what" } },
    lmtp: true,
    expect: ["bounced 5.5.1"],
    site: "",
  },
];

for (const each of FAILURES) {
  Deno.test(each.name, async () => {
    const timeouts = each.site === "timed out" ? HASTY : POLICY.timeouts;
    const policy = { timeouts, ...each.policy, ...each.lmtp ? { dialect: "lmtp" as const } : {} };
    await once({ server: each.server, policy, request: { to: each.to ?? [R] } }, (delivered, server) => {
      const sorted = [...delivered.recipients].sort((a, b) => a.offset - b.offset);
      assert.deepEqual(sorted.map((r) => `${r.result} ${r.status}`), each.expect, JSON.stringify(sorted));
      if (each.reason !== undefined) assert.ok(sorted[0]!.reason.includes(each.reason), sorted[0]!.reason);
      if (each.site === "") assert.equal(delivered.site, "");
      else if (each.site !== undefined) assert.ok(delivered.site.includes(each.site), delivered.site);
      if (each.texts !== undefined) assert.equal(server.texts.length, each.texts);
    });
  });
}

Deno.test("without PIPELINING each command waits for its reply, and DATA is not sent when nobody was accepted", async () => {
  await once({ server: { keywords: [], answers: { RCPT: "550 5.1.1 no" } } }, async (delivered, server) => {
    await server.idle();
    assert.equal(delivered.recipients[0]?.result, "bounced");
    assert.deepEqual(server.commands.slice(1), ["MAIL FROM:<sender@client.test>", `RCPT TO:<${R}>`, "QUIT"]);
  });
});

Deno.test("a refusal that the server sent before it hung up during the message is believed", async () => {
  const lines = Array.from({ length: 20_000 }, () => "x".repeat(70));
  await once(
    { server: { cutDuringData: { after: 100_000, say: "552 5.3.4 too big" } }, lines },
    (delivered) => {
      assert.ok(["bounced", "deferred"].includes(delivered.recipients[0]!.result));
      assert.notEqual(delivered.recipients[0]!.result, "sent");
    },
  );
});

Deno.test("two hundred recipients are pipelined in bounded batches and all settled", async () => {
  const to = Array.from({ length: 200 }, (_, i) => `user${i}@example.test`);
  await once({ request: { to } }, (delivered, server) => {
    assert.equal(delivered.recipients.filter((r) => r.result === "sent").length, 200);
    assert.equal(server.commands.filter((line) => line.startsWith("RCPT")).length, 200);
  });
});

Deno.test("RFC 3461 section 5.2.2: DSN parameters are sent where DSN is offered, and the report is the server's", async () => {
  const request: Partial<DeliveryRequest> = {
    envelopeId: "id+1",
    ret: 2,
    recipients: [{
      offset: 7,
      address: "a@example.test",
      originalRecipient: "b@example.test",
      dsnOriginalRecipient: "rfc822;o+p@example.test",
      notify: NOTIFY.SUCCESS | NOTIFY.FAILURE,
    }],
  };
  await once({ server: { keywords: ["DSN", "PIPELINING"] }, request }, (delivered, server, bench) => {
    assert.deepEqual(server.commands.slice(1, 3), [
      "MAIL FROM:<sender@client.test> ENVID=id+2B1 RET=HDRS",
      "RCPT TO:<a@example.test> ORCPT=rfc822;o+2Bp@example.test NOTIFY=SUCCESS,FAILURE",
    ]);
    assert.equal(delivered.recipients[0]?.action, "");
    assert.ok(
      bench.lines[0]?.includes("to=<a@example.test>, orig_to=<b@example.test>, relay="),
      String(bench.lines[0]),
    );
  });
});

Deno.test("an address with a line end in it never reaches the wire", async () => {
  const to = ["a@example.test>\r\nRCPT TO:<evil@example.test", R];
  await once({ request: { to } }, (delivered, server) => {
    assert.deepEqual(delivered.recipients.map((r) => `${r.result} ${r.status}`).sort(), [
      "bounced 5.1.3",
      "sent 2.0.0",
    ]);
    assert.equal(server.commands.filter((line) => line.startsWith("RCPT")).length, 1);
  });
});

Deno.test("a sender with a line end in it returns the mail unsent", async () => {
  await once({ request: { sender: "a\r\nDATA" } }, async (delivered, server) => {
    await server.idle();
    assert.equal(delivered.recipients[0]?.status, "5.1.7");
    assert.deepEqual(server.commands, ["EHLO client.test", "QUIT"]);
  });
});

Deno.test("RFC 6531 section 3.2: SMTPUTF8 mail goes only where it is known", async () => {
  const request = { smtputf8: true, to: ["jürgen@example.test"] };
  await once({ request }, (delivered, server) => {
    assert.equal(`${delivered.recipients[0]?.result} ${delivered.recipients[0]?.status}`, "bounced 5.6.7");
    assert.equal(server.texts.length, 0);
  });
  await once({ request, server: { keywords: ["SMTPUTF8"] } }, (delivered, server) => {
    assert.equal(delivered.recipients[0]?.result, "sent");
    assert.equal(server.commands[1], "MAIL FROM:<sender@client.test> BODY=7BIT SMTPUTF8");
    assert.equal(server.commands[2], "RCPT TO:<jürgen@example.test>");
  });
});

Deno.test("RFC 6152 section 3: 8-bit mail is converted where 8BITMIME is not offered, and sent as it is where it is", async () => {
  const lines = ["Subject: x", "Content-Transfer-Encoding: 8bit", "", "Grüße.", "."];
  await once({ lines, request: { encoding: "8bit" }, server: { keywords: [] } }, (delivered, server) => {
    assert.equal(delivered.recipients[0]?.result, "sent");
    assert.equal(
      text(server),
      "Subject: x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe.\r\n..\r\n.\r\n",
    );
    assert.equal(server.commands[1], "MAIL FROM:<sender@client.test>");
  });
  await once({ lines, request: { encoding: "8bit" } }, (_, server) => {
    assert.equal(text(server), "Subject: x\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße.\r\n..\r\n.\r\n");
    assert.equal(server.commands[1], "MAIL FROM:<sender@client.test> SIZE=60 BODY=8BITMIME");
  });
});

Deno.test("dots are stuffed, stray CR and LF become spaces, long lines fold, a missing newline is added", async () => {
  const lines = [".", "..", "a\rb\n.\rc", "y".repeat(1000), "z".repeat(3000), ".last"];
  await once({ lines, finalNewline: false }, (delivered, server, bench) => {
    assert.equal(delivered.recipients[0]?.result, "sent");
    const long = ["z".repeat(998), ` ${"z".repeat(997)}`, ` ${"z".repeat(997)}`, ` ${"z".repeat(8)}`].join(
      "\r\n",
    );
    assert.equal(
      text(server),
      `..\r\n...\r\na b . c\r\n${"y".repeat(998)}\r\n ${"y".repeat(2)}\r\n${long}\r\n..last\r\n.\r\n`,
    );
    assert.ok(bench.lines.some((line) => line.endsWith("breaking line > 998 bytes with <CR><LF>SPACE")));
  });
});

Deno.test("every byte value in a message arrives as it was, or as a space for CR and LF", async () => {
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  await once({ lines: [all] }, (_, server) => {
    const expected = all.map((byte) => byte === 10 || byte === 13 ? 32 : byte);
    assert.deepEqual(server.texts[0]!.slice(0, 256), expected);
  });
});

Deno.test("a queue file that is cut off is deferred, and the server gets no end of data", async () => {
  const server = fakeServer();
  const nexthop = `[127.0.0.1]:${server.port}`;
  try {
    await using bench = makeBench({ trusted: new Set([nexthop]) });
    const path = `${bench.root}/active/4ZqYkT1zzz9x`;
    Deno.truncateSync(path, 20);
    const delivered = await bench.deliver({ nexthop });
    assert.equal(`${delivered.recipients[0]?.result} ${delivered.recipients[0]?.status}`, "deferred 4.3.0");
    assert.equal(server.texts.length, 0);
    Deno.removeSync(path);
    const missing = await bench.deliver({ nexthop });
    assert.equal(`${missing.recipients[0]?.result} ${missing.recipients[0]?.status}`, "deferred 4.3.0");
    Deno.symlinkSync("/etc/passwd", path);
    const linked = await bench.deliver({ nexthop });
    assert.equal(linked.recipients[0]?.result, "deferred");
    assert.deepEqual([...delivered.errors, ...missing.errors, ...linked.errors], []);
  } finally {
    await server.stop();
  }
});

Deno.test("a message whose file another process has locked is deferred", async () => {
  await using bench = makeBench({ trusted: new Set(["[127.0.0.1]:1"]) });
  const file = Deno.openSync(`${bench.root}/active/4ZqYkT1zzz9x`, { read: true, write: true });
  file.lockSync(true);
  const delivered = await bench.deliver({ nexthop: "[127.0.0.1]:1" });
  assert.ok(delivered.recipients[0]?.reason.includes("locked"));
  file.close();
});

Deno.test("a queue id that is a path is refused", async () => {
  await using bench = makeBench();
  for (const queueId of ["../active/4ZqYkT1zzz9x", "", "a/b"]) {
    const delivered = await bench.deliver({ queueId });
    assert.equal(delivered.recipients[0]?.status, "4.3.0");
  }
});

Deno.test("nobody listening: logged as Postfix logs it, deferred 4.4.1, destination throttled", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const port = (listener.addr as Deno.NetAddr).port;
  listener.close();
  await using bench = makeBench({ trusted: new Set([`[127.0.0.1]:${port}`]) });
  const delivered = await bench.deliver({ nexthop: `[127.0.0.1]:${port}` });
  const text = `connect to 127.0.0.1[127.0.0.1]:${port}: Connection refused`;
  assert.equal(delivered.recipients[0]?.reason, text);
  assert.equal(delivered.siteStatus, "4.4.1");
  assert.equal(delivered.site, text);
  assert.equal(bench.lines[0], text);
  assert.ok(bench.lines[1]?.includes(" relay=none, delay="), String(bench.lines[1]));
  assert.ok(bench.lines[1]?.endsWith(`, dsn=4.4.1, status=deferred (${text})`), String(bench.lines[1]));
  assert.equal(bench.lines.length, 2);
});

Deno.test("LMTP over a unix socket", async () => {
  const directory = Deno.makeTempDirSync();
  const listener = Deno.listen({ transport: "unix", path: `${directory}/lmtp` });
  const serving = (async () => {
    const connection = await listener.accept();
    const decoder = new TextDecoder();
    let input = "";
    const say = (reply: string) => connection.write(new TextEncoder().encode(reply));
    await say("220 mailbox\r\n");
    const buffer = new Uint8Array(4096);
    for (let step = 0; step < 3;) {
      const count = await connection.read(buffer);
      if (count === null) break;
      input += decoder.decode(buffer.subarray(0, count));
      if (step === 0 && input.includes("LHLO")) step = (await say("250 mailbox\r\n"), 1);
      else if (step === 1 && input.includes("DATA")) step = (await say("354 go\r\n"), 2);
      else if (step === 1) await say("250 ok\r\n");
      else if (input.includes("\r\n.\r\n")) step = (await say("250 2.1.5 delivered\r\n"), 3);
    }
    connection.close();
    return input;
  })();
  try {
    await using bench = makeBench({ dialect: "lmtp" });
    const delivered = await bench.deliver({ nexthop: `unix:${directory}/lmtp` });
    assert.equal(`${delivered.recipients[0]?.result} ${delivered.recipients[0]?.status}`, "sent 2.1.5");
    assert.ok(
      bench.lines[0]?.includes(`relay=client.test[${directory}/lmtp], delay=`),
      String(bench.lines[0]),
    );
    assert.ok((await serving).startsWith("LHLO client.test\r\nMAIL FROM:<sender@client.test>\r\n"));
  } finally {
    listener.close();
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("a cancelled delivery starts nothing new and reports nothing more", async () => {
  const server = fakeServer({ answers: { MAIL: { silent: true } } });
  const nexthop = `[127.0.0.1]:${server.port}`;
  try {
    await using bench = makeBench({ trusted: new Set([nexthop]), timeouts: HASTY });
    const delivered = await bench.deliver({ nexthop: `${nexthop}, ${nexthop}` }, 50);
    assert.deepEqual(delivered.recipients, []);
    assert.equal(delivered.site, "");
    assert.equal(server.connections, 1);
  } finally {
    await server.stop();
  }
});

Deno.test("a destination that cannot be parsed is deferred with a warning", async () => {
  await using bench = makeBench();
  for (const nexthop of ["bad:port:here", "[unclosed", "host:0", "host:65536", ":25", ""]) {
    const delivered = await bench.deliver({ nexthop });
    assert.equal(delivered.recipients[0]?.status, "4.3.5", nexthop);
  }
});

for (const probeTarget of ["rcpt", "data"] as const) {
  Deno.test(`a probe up to ${probeTarget.toUpperCase()}: the server is asked, and gets no message`, async () => {
    const to = ["one@example.test", "two@example.test"];
    const server = { answers: { "RCPT TO:<two@example.test>": "550 5.1.1 no such user" } };
    await once(
      { server, policy: { probeTarget, softBounce: true }, request: { probe: true, to } },
      async (delivered, server, bench) => {
        await server.idle();
        assert.deepEqual(delivered.recipients.map((one) => [one.offset, one.result, one.status]).sort(), [
          [1000, "sent", "2.0.0"],
          [1001, "bounced", "5.1.1"],
        ]);
        assert.ok(
          delivered.recipients.every(({ reason }) => reason.startsWith("delivery via 127.0.0.1[127.0.0.1]:")),
        );
        assert.equal(server.commands.includes("DATA"), probeTarget === "data");
        assert.equal(
          server.commands.includes("QUIT"),
          probeTarget === "rcpt",
          "DATA is taken back by hanging up",
        );
        assert.equal(server.texts.length, 0);
        const said = bench.lines.map((line) => line.slice(line.indexOf("status=")).split(" ")[0]).sort();
        assert.deepEqual(said, ["status=deliverable", "status=undeliverable"]);
      },
    );
  });
}

Deno.test("a probe of a host that cannot be reached is undeliverable, and says nothing of a relay", async () => {
  const server = fakeServer({});
  await server.stop();
  const nexthop = `[127.0.0.1]:${server.port}`;
  await using bench = makeBench({ trusted: new Set([nexthop]) });
  const { recipients } = await bench.deliver({ nexthop, probe: true });
  assert.deepEqual(recipients.map(({ result, reason }) => [result, reason]), [
    ["deferred", `connect to 127.0.0.1[127.0.0.1]:${server.port}: Connection refused`],
  ]);
  assert.match(bench.lines.at(-1)!, /relay=none, .* status=undeliverable /);
});
