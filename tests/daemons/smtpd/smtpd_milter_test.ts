/** Filters beside the real smtpd and cleanup: every fault, and what is left of the message. @module */
import assert from "node:assert/strict";
import { encodeNumbers, encodePacket, STEP } from "../../../lib/milter/milter_codec.ts";
import { concat, utf8 } from "../../support/bytes.ts";
import { type Act, atEnd, EDIT, RawFilter, type RawOptions, VERDICT } from "../../support/raw_filter.ts";
import { MailHost, settled, type TestClient } from "./mail_host.ts";

const TEXT = "Subject: one\r\nX-A: 1\r\n\r\nbody\r\n.\r\n";

interface Run {
  readonly replies: string[];
  readonly host: MailHost;
}

/** One message through one filter; `work` sees what is left of it. */
async function through(
  filter: RawFilter,
  setting: string,
  work: (run: Run) => void | Promise<void>,
  settings: Readonly<Record<string, string>> = {},
): Promise<void> {
  await using host = new MailHost({
    settings: { smtpd_milters: JSON.stringify([`{ ${filter.name} ${setting} }`]), ...settings },
  });
  const client = host.connect("127.0.0.1");
  await work({ replies: await session(client), host });
  client.leave();
  await settled();
}

async function session(client: TestClient): Promise<string[]> {
  const replies = [await client.reply()];
  for (const line of ["EHLO c.test", "MAIL FROM:<a@ext.test>", "RCPT TO:<alice@local.test>", "DATA"]) {
    const reply = await client.say(line);
    replies.push(reply.startsWith("250-") ? "250 ..." : reply);
    if (reply === "") return replies;
  }
  if (!replies.at(-1)!.startsWith("354")) return replies;
  client.send(TEXT);
  replies.push(await client.reply());
  return replies;
}

/** What the filter does badly, and at which command it does it. */
const FAULTS: readonly (readonly [string, string, Act, RawOptions?])[] = [];
const fault = (name: string, letter: string, act: Act, options?: RawOptions) =>
  (FAULTS as unknown[]).push([name, letter, act, options]);

for (const letter of ["O", "C", "H", "M", "R", "T", "L", "N", "B", "E"]) {
  fault(`closes at ${letter}`, letter, (_, at) => at === letter ? "close" : undefined);
  fault(`is silent at ${letter}`, letter, (_, at) => at === letter ? "hang" : undefined);
  fault(
    `sends garbage at ${letter}`,
    letter,
    (_, at) => at === letter ? [utf8("HTTP/1.0 400 Bad\r\n")] : undefined,
  );
  fault(
    `sends half a packet at ${letter}`,
    letter,
    (_, at) => at === letter ? [new Uint8Array([0, 0, 0, 9, 0x79])] : undefined,
  );
  fault(
    `sends a packet without data at ${letter}`,
    letter,
    (_, at) => at === letter ? [new Uint8Array(4)] : undefined,
  );
  fault(
    `sends an unknown answer at ${letter}`,
    letter,
    (_, at) => at === letter ? [encodePacket(0x7a)] : undefined,
  );
  fault(
    `reports a connection failure at ${letter}`,
    letter,
    (_, at) => at === letter ? [VERDICT.connectionFailure] : undefined,
  );
  if (letter !== "O") {
    fault(
      `answers twice at ${letter}`,
      letter,
      (_, at) => at === letter ? [concat(VERDICT.continue, VERDICT.continue)] : undefined,
    );
    fault(
      `sends a malformed reply at ${letter}`,
      letter,
      (_, at) => at === letter ? [encodePacket(0x79, utf8("250 fine\0"))] : undefined,
    );
  }
  if (!"OE".includes(letter)) {
    fault(
      `changes the message at ${letter}`,
      letter,
      (_, at) => at === letter ? [EDIT.addHeader("X", "y")] : undefined,
    );
  }
}
fault("negotiates version 1", "O", () => undefined, { version: 1 });
fault("discards a connection", "C", (_, at) => at === "C" ? [VERDICT.discard] : undefined);
for (
  const [name, ...edits] of [
    ["dies after an edit", EDIT.addHeader("X-New", "half")],
    ["dies in the middle of a new body", EDIT.addHeader("X-New", "half"), EDIT.body("half a bo")],
    ["dies after it has removed the recipient", EDIT.deleteRecipient("<alice@local.test>")],
  ] as const
) {
  const bytes = edits as readonly Uint8Array[];
  fault(
    name,
    "E",
    (_, at) => at === "Q" ? "close" : at === "E" ? [...bytes, new Uint8Array([0, 0])] : undefined,
  );
}
fault("changes what it has not asked to change", "E", atEnd(EDIT.addHeader("X", "y"), VERDICT.continue), {
  actions: 0,
});
fault(
  "asks for more time for ever",
  "E",
  (_, at) => at === "E" ? Array.from({ length: 1001 }, () => EDIT.progress) : undefined,
);
fault(
  "makes too many changes",
  "E",
  (_, at) => at === "E" ? Array.from({ length: 10_001 }, () => EDIT.addHeader("X", "y")) : undefined,
);
fault(
  "makes changes that are too long",
  "E",
  (_, at) =>
    at === "E" ? Array.from({ length: 5 }, () => EDIT.addHeader("X", "y".repeat(1_000_000))) : undefined,
);
fault(
  "sends a packet that is too long",
  "E",
  (_, at) => at === "E" ? [encodeNumbers(2_000_000), utf8("b")] : undefined,
);

for (const [name, letter, act, options] of FAULTS) {
  Deno.test(`${name.startsWith("dies") ? "FLT-44: " : ""}a filter that ${name} costs what default_action says, and nothing of it is in the message`, async () => {
    const timeouts = "connect_timeout=1s command_timeout=1s content_timeout=1s";
    await using filter = new RawFilter(act, options);
    await through(filter, `default_action=accept ${timeouts}`, ({ replies, host }) => {
      assert.match(replies.at(-1)!, /^250 2\.0\.0 Ok: queued/);
      const [message] = host.messages();
      assert.ok(
        message!.text.includes("\nSubject: one\n") && message!.text.endsWith("\nbody\n"),
        message!.text,
      );
      assert.ok(!message!.text.includes("X-New") && !message!.text.includes("half"));
      assert.deepEqual(message!.recipients, ["alice@local.test"]);
      assert.match(host.log.join("\n"), /milter inet:127\.0\.0\.1:\d+: /);
    });
    assert.ok(filter.letters.includes(letter));
  });
}

/** The replies of each default action where a filter dies at the connection, and where it dies at the end of a message. */
const ACTIONS: readonly (readonly [string, RegExp, RegExp])[] = [
  [
    "tempfail",
    /^220 .*\|250 .*\|451 4\.7\.1 Service unavailable/,
    /\|354 .*\|451 4\.7\.1 Service unavailable - try again later$/,
  ],
  [
    "reject",
    /^554 .* not accepting connections\|250 .*\|550 5\.5\.0 Service unavailable/,
    /\|354 .*\|550 5\.5\.0 Service unavailable$/,
  ],
  [
    "shutdown",
    /^421 mx\.test Service unavailable - try again later/,
    /\|354 .*\|421 4\.7\.0 Server closing connection$/,
  ],
  ["quarantine", /\|354 .*\|250 2\.0\.0 Ok/, /\|354 .*\|250 2\.0\.0 Ok/],
];

for (const [action, early, late] of ACTIONS) {
  Deno.test(`default_action=${action} is what a dead filter gets, early and late`, async () => {
    for (const [letter, expected] of [["C", early], ["E", late]] as const) {
      await using filter = new RawFilter((_, at) => at === letter ? "close" : undefined);
      await through(filter, `default_action=${action}`, ({ replies, host }) => {
        assert.match(replies.join("|").replaceAll("\n", " "), expected);
        assert.equal(host.messages().length, 0);
        const held = [...Deno.readDirSync(`${host.queue}/hold`)].length;
        assert.equal(held, action === "quarantine" ? 1 : 0);
        assert.equal(host.files().length, 0, "no file is left in incoming/");
      });
    }
  });
}

Deno.test("a filter that is not there costs what default_action says", async () => {
  const gone = new RawFilter();
  const name = gone.name;
  await gone[Symbol.asyncDispose]();
  await using host = new MailHost({ settings: { smtpd_milters: `"{ ${name} default_action=accept }"` } });
  const replies = await session(host.connect("127.0.0.1"));
  assert.match(replies.at(-1)!, /^250 2\.0\.0 Ok: queued/);
  assert.match(host.log.join("\n"), /milter .*: SMFIC_OPTNEG: Connection refused/);
});

Deno.test("the client goes away while a filter thinks: nothing of the message stays", async () => {
  await using filter = new RawFilter((_, at) => at === "E" ? "hang" : undefined);
  await using host = new MailHost({ settings: { smtpd_milters: JSON.stringify(filter.name) } });
  const client = host.connect("127.0.0.1");
  await client.reply();
  await client.says("EHLO c.test", "MAIL FROM:<a@ext.test>", "RCPT TO:<alice@local.test>", "DATA");
  client.send(TEXT);
  while (!filter.letters.includes("E")) await settled();
  client.leave();
  while (host.files().length > 0) await settled();
  assert.equal(host.messages().length, 0);
});

Deno.test("a message that does not fit into memory is edited like any other", async () => {
  const lines = Array.from({ length: 5000 }, (_, i) => `line ${i} ${"x".repeat(90)}`);
  await using filter = new RawFilter(
    atEnd(
      EDIT.addHeader("X-New", "value"),
      EDIT.changeHeader(1, "Subject", "two"),
      EDIT.addRecipient("<bob@local.test>"),
      EDIT.deleteRecipient("<alice@local.test>"),
      VERDICT.continue,
    ),
  );
  await using host = new MailHost({ settings: { smtpd_milters: JSON.stringify(filter.name) } });
  const client = await host.sending("127.0.0.1");
  client.send(`Subject: one\r\n\r\n${lines.join("\r\n")}\r\n.\r\n`);
  assert.match(await client.reply(), /^250/);
  const [message] = host.messages();
  assert.ok(
    message!.text.includes("\nSubject: two\nX-New: value\n") || message!.text.includes("X-New: value\n"),
  );
  assert.ok(message!.text.endsWith(`\n\n${lines.join("\n")}\n`));
  assert.deepEqual(message!.recipients, ["bob@local.test"]);
  assert.equal(host.files().length, 1, "the file beside it is gone");
  const told = filter.packets.filter(({ code }) => code === 0x42).map(({ data }) => data.length);
  assert.ok(told.length > 1 && told.slice(0, -1).every((length) => length > 65_000), String(told));
});

Deno.test("a new body may be longer than memory, and one that is longer than message_size_limit is refused", async () => {
  const piece = "y".repeat(998) + "\r\n";
  for (const [pieces, reply] of [[600, /^250/], [1100, /^552 5\.3\.4/]] as const) {
    const body = Array.from({ length: pieces / 50 }, () => EDIT.body(piece.repeat(50)));
    await using filter = new RawFilter(atEnd(...body, VERDICT.continue));
    await through(filter, "", ({ replies, host }) => {
      assert.match(replies.at(-1)!, reply);
      const [message] = host.messages();
      assert.equal(message?.body, pieces === 600 ? `${"y".repeat(998)}\n`.repeat(600) : undefined);
      assert.equal(host.files().length, pieces === 600 ? 1 : 0);
    });
  }
});

Deno.test("filters are told in their order, and each sees what the one before it has left", async () => {
  await using first = new RawFilter(
    atEnd(EDIT.addHeader("X-One", "1"), EDIT.body("from one\r\n"), VERDICT.continue),
  );
  await using second = new RawFilter(atEnd(EDIT.changeHeader(1, "X-One", "2"), VERDICT.continue));
  await using host = new MailHost({
    settings: { smtpd_milters: JSON.stringify([first.name, second.name]) },
  });
  const replies = await session(host.connect("127.0.0.1"));
  assert.match(replies.at(-1)!, /^250/);
  const headers = second.packets.filter(({ code }) => code === 0x4c).map(({ data }) =>
    new TextDecoder().decode(data)
  );
  assert.ok(headers.includes("X-One\x001\x00"), headers.join());
  assert.ok(
    second.packets.some(({ code, data }) =>
      code === 0x42 && new TextDecoder().decode(data) === "from one\r\n"
    ),
  );
  assert.ok(host.messages()[0]!.text.includes("\nX-One: 2\n\nfrom one\n"));
});

Deno.test("the first filter that refuses decides, and those behind it are not told of the command", async () => {
  await using first = new RawFilter((_, at) => at === "R" ? [VERDICT.reject] : undefined);
  await using second = new RawFilter();
  await using host = new MailHost({
    settings: { smtpd_milters: JSON.stringify([first.name, second.name]) },
  });
  const replies = await session(host.connect("127.0.0.1"));
  assert.match(replies.join("|"), /\|550 5\.7\.1 Command rejected\|554 5\.5\.1/);
  assert.ok(!second.letters.includes("R"), second.letters);
});

Deno.test("steps that a filter does not want are not told it, and those it does not answer are not waited for", async () => {
  const steps = STEP.NO_CONNECT | STEP.NO_HELO | STEP.MUTE_MAIL | STEP.MUTE_RCPT | STEP.NO_DATA |
    STEP.MUTE_HEADER |
    STEP.NO_HEADER_END | STEP.MUTE_BODY;
  const silent: Act = (_, at) => "MRLB".includes(at) ? "hang" : undefined;
  await using filter = new RawFilter(silent, { steps });
  await through(filter, "", ({ replies }) => assert.match(replies.at(-1)!, /^250/));
  assert.match(filter.letters.replaceAll("D", ""), /^OMRL+BE/);
});

for (const version of [2, 3, 4, 6] as const) {
  Deno.test(`version ${version} has its events`, async () => {
    await using filter = new RawFilter(() => undefined, { version });
    await through(filter, `protocol=${version}`, ({ replies }) => assert.match(replies.at(-1)!, /^250/));
    assert.equal(filter.offered[0], version);
    assert.equal(filter.letters.includes("T"), version >= 4);
    assert.equal((filter.offered[1]! & 0x100) !== 0, version === 6);
    assert.equal((filter.offered[2]! & STEP.LEADING_SPACE) !== 0, version === 6);
  });
}

Deno.test("macros are those that the filter has asked for, or the configuration's", async () => {
  await using filter = new RawFilter(() => undefined, {
    macros: { 0: "{client_addr} {made_up} j", 5: "i {mail_addr}" },
  });
  await through(filter, "", ({ host }) => {
    const macros = filter.packets.filter(({ code }) => code === 0x44)
      .map(({ data }) => new TextDecoder().decode(data).split("\0").slice(0, -1));
    const of = (letter: string) => macros.find(([first]) => first!.startsWith(letter));
    assert.deepEqual(of("C"), ["C{client_addr}", "127.0.0.1", "{made_up}", "x", "j", "mx.test"]);
    const id = host.messages()[0]!.id;
    assert.deepEqual(of("E"), ["Ei", id, "{mail_addr}", "a@ext.test"]);
    assert.deepEqual(of("M")!.slice(0, 2), ["M{mail_addr}", "a@ext.test"]);
  }, { milter_macro_defaults: '["made_up=x"]' });
});

Deno.test("milter_header_checks has a say in headers that filters make", async () => {
  await using filter = new RawFilter(
    atEnd(
      EDIT.addHeader("X-Drop", "1"),
      EDIT.addHeader("X-Keep", "1"),
      EDIT.addHeader("X-Hold", "1"),
      VERDICT.continue,
    ),
  );
  const table = `${Deno.makeTempDirSync()}/checks`;
  Deno.writeTextFileSync(
    table,
    "/^X-Drop:/ IGNORE\n/^X-Hold:/ HOLD\n/^X-Keep: (.*)/ REPLACE X-Kept: $1\n/^Subject/ REJECT never\n",
  );
  await through(filter, "", ({ replies, host }) => {
    assert.match(replies.at(-1)!, /^250/);
    const [held] = [...Deno.readDirSync(`${host.queue}/hold`)];
    const text = new TextDecoder().decode(Deno.readFileSync(`${host.queue}/hold/${held!.name}`));
    assert.ok(text.includes("X-Kept: 1") && !text.includes("X-Drop") && text.includes("X-Hold: 1"));
    assert.match(host.log.join("\n"), /milter-header-hold: header X-Hold: 1 from localhost\[127\.0\.0\.1\];/);
  }, { milter_header_checks: JSON.stringify([`regexp:${table}`]) });
});

Deno.test("smtpd_milter_maps names the filters of a client, or none", async () => {
  await using filter = new RawFilter();
  await using host = new MailHost({
    settings: {
      smtpd_milter_maps: JSON.stringify([`inline:{{127.0.0.1=${filter.name}}, {198.51.100.9=DISABLE}}`]),
      smtpd_milters: '"inet:127.0.0.1:1"',
    },
  });
  assert.match((await session(host.connect("127.0.0.1"))).at(-1)!, /^250/);
  assert.ok(filter.letters.includes("E"));
  assert.match((await session(host.connect("198.51.100.9"))).at(-1)!, /^250/);
  assert.match(
    (await session(host.connect("198.51.100.8")))[0]!,
    /^421/,
    "the filter of all others is not there",
  );
});

Deno.test("receive_override_options = no_milters asks no filter", async () => {
  await using filter = new RawFilter();
  await through(filter, "", ({ replies }) => assert.match(replies.at(-1)!, /^250/), {
    receive_override_options: '["no_milters"]',
  });
  assert.equal(filter.letters, "");
});

Deno.test("nobody is left to get the message: it is accepted and thrown away", async () => {
  await using filter = new RawFilter(atEnd(EDIT.deleteRecipient("<alice@local.test>"), VERDICT.continue));
  await through(filter, "", ({ replies, host }) => {
    assert.match(replies.at(-1)!, /^250/);
    assert.equal(host.files().length, 0);
  });
});
