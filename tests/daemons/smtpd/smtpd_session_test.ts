import assert from "node:assert/strict";
import { MailHost, settled } from "./mail_host.ts";

/** Commands, one after the other, and their replies. */
type Talk = readonly (readonly [line: string, reply: string])[];

const QUEUED = /^250 2\.0\.0 Ok: queued as ([0-9A-F]+)$/;
const MAIL = "MAIL FROM:<a@ext.test>";
const RCPT = "RCPT TO:<alice@local.test>";
const OK = "250 2.0.0 Ok";
const MAIL_OK = "250 2.1.0 Ok";
const RCPT_OK = "250 2.1.5 Ok";
const GO = "354 End data with <CR><LF>.<CR><LF>";
const NESTED = "503 5.5.1 Error: nested MAIL command";
const NEED_MAIL = "503 5.5.1 Error: need MAIL command";
const NEED_RCPT = "503 5.5.1 Error: need RCPT command";
const NO_RCPT = "554 5.5.1 Error: no valid recipients";
const UNKNOWN_USER =
  "550 5.1.1 <nobody@local.test>: Recipient address rejected: User unknown in local recipient table";
const RELAY = "554 5.7.1 <victim@evil.test>: Relay access denied";
const SYNC = "554 5.5.0 Error: SMTP protocol synchronization";
const HELLO = [
  "250-mx.test",
  "250-PIPELINING",
  "250-SIZE 1048576",
  "250-VRFY",
  "250-ETRN",
  "250-ENHANCEDSTATUSCODES",
  "250-8BITMIME",
  "250-DSN",
  "250-SMTPUTF8",
  "250 CHUNKING",
].join("\n");

/** What a client that has said EHLO says, and hears. */
const TALKS: Readonly<Record<string, Talk>> = {
  "commands in order": [[MAIL, MAIL_OK], [RCPT, RCPT_OK], ["DATA", GO], ["S: x\r\n\r\nb\r\n.", "queued"], [
    "QUIT",
    "221 2.0.0 Bye",
  ]],
  "verbs in any case": [["mAiL fRoM:<a@ext.test>", MAIL_OK], ["rcpt to:<alice@local.test>", RCPT_OK], [
    "rset",
    OK,
  ]],
  "blanks around a command": [["  NOOP  ", OK], ["MAIL   FROM:<a@ext.test>  ", MAIL_OK]],
  "RCPT before MAIL": [[RCPT, NEED_MAIL]],
  "DATA before MAIL": [["DATA", NEED_RCPT]],
  "DATA before RCPT": [[MAIL, MAIL_OK], ["DATA", NO_RCPT]],
  "DATA behind refused recipients": [[MAIL, MAIL_OK], ["RCPT TO:<nobody@local.test>", UNKNOWN_USER], [
    "DATA",
    NO_RCPT,
  ]],
  "DATA with an argument": [[MAIL, MAIL_OK], [RCPT, RCPT_OK], ["DATA x", "501 5.5.4 Syntax: DATA"], [
    "DATA",
    GO,
  ]],
  "RFC 5321 section 4.1.4: nested MAIL": [[MAIL, MAIL_OK], ["MAIL FROM:<b@ext.test>", NESTED], [
    RCPT,
    RCPT_OK,
  ], ["DATA", GO]],
  "RFC 5321 section 4.1.1.5: RSET ends a transaction": [
    [MAIL, MAIL_OK],
    [RCPT, RCPT_OK],
    ["RSET", OK],
    ["DATA", NEED_RCPT],
    [RCPT, NEED_MAIL],
    [MAIL, MAIL_OK],
  ],
  "RFC 5321 section 4.1.4: EHLO ends a transaction": [
    [MAIL, MAIL_OK],
    [RCPT, RCPT_OK],
    ["EHLO again", HELLO],
    ["DATA", NEED_RCPT],
    [RCPT, NEED_MAIL],
  ],
  "HELO ends a transaction": [[MAIL, MAIL_OK], [RCPT, RCPT_OK], ["HELO again", "250 mx.test"], [
    "DATA",
    NEED_RCPT,
  ]],
  "a refused EHLO ends none": [[MAIL, MAIL_OK], ["EHLO", "501 Syntax: EHLO hostname"], [RCPT, RCPT_OK]],
  "RFC 5321 section 4.5.1: an unknown command": [["FOO bar", "500 5.5.2 Error: command not recognized"], [
    "NOOP",
    OK,
  ]],
  "RFC 5321 section 4.1.1.9: NOOP with any argument": [["NOOP whatever", OK]],
  "an empty line": [["", "500 5.5.2 Error: bad syntax"], ["  ", "500 5.5.2 Error: bad syntax"]],
  "HELO without a name": [["HELO", "501 Syntax: HELO hostname"]],
  "MAIL without FROM": [
    ["MAIL", "501 5.5.4 Syntax: MAIL FROM:<address>"],
    ["MAIL <a@ext.test>", "501 5.5.4 Syntax: MAIL FROM:<address>"],
    ["MAIL TO:<a@ext.test>", "501 5.5.4 Syntax: MAIL FROM:<address>"],
  ],
  "MAIL with a bad address": [
    ["MAIL FROM:<a@>", "501 5.1.7 Bad sender address syntax"],
    ["MAIL FROM:<a@b", "501 5.1.7 Bad sender address syntax"],
    ["MAIL FROM:<@>", "501 5.1.7 Bad sender address syntax"],
    ["MAIL FROM:<\u00fc@ext.test>", "553 5.6.7 Must declare SMTPUTF8 to send unicode address"],
    [MAIL, MAIL_OK],
  ],
  "the null sender": [["MAIL FROM:<>", MAIL_OK], [RCPT, RCPT_OK]],
  "RCPT with a bad address": [
    [MAIL, MAIL_OK],
    ["RCPT", "501 5.5.4 Syntax: RCPT TO:<address>"],
    ["RCPT FROM:<alice@local.test>", "501 5.5.4 Syntax: RCPT TO:<address>"],
    ["RCPT TO:<>", "501 5.1.3 Bad recipient address syntax"],
    ["RCPT TO:<a b@local.test>", "501 5.1.3 Bad recipient address syntax"],
    ["RCPT TO:<alice@local.test>x", "501 5.1.3 Bad recipient address syntax"],
    ["RCPT TO:<\u00fc@local.test>", "553 5.6.7 Must declare SMTPUTF8 to send unicode address"],
    ["DATA", NO_RCPT],
  ],
  "parameters that are not offered": [
    ["MAIL FROM:<a@ext.test> FOO=BAR", "555 5.5.4 Unsupported option: FOO=BAR"],
    ["MAIL FROM:<a@ext.test> SMTPUTF8=x", "555 5.5.4 Unsupported option: SMTPUTF8=x"],
    [MAIL, MAIL_OK],
    ["RCPT TO:<alice@local.test> RRVS=x", "555 5.5.4 Unsupported option: RRVS=x"],
    ["DATA", NO_RCPT],
  ],
  "RFC 1870 section 6.1: a size over the limit": [
    ["MAIL FROM:<a@ext.test> SIZE=1048577", "552 5.3.4 Message size exceeds fixed limit"],
    ["MAIL FROM:<a@ext.test> SIZE=1048576", MAIL_OK],
  ],
  "sizes that are none": [
    ["MAIL FROM:<a@ext.test> SIZE=-1", "501 5.5.4 Bad message size syntax"],
    ["MAIL FROM:<a@ext.test> SIZE=1e9", "501 5.5.4 Bad message size syntax"],
    ["MAIL FROM:<a@ext.test> SIZE=0x10", "501 5.5.4 Bad message size syntax"],
    ["MAIL FROM:<a@ext.test> SIZE", "501 5.5.4 Bad message size syntax"],
    ["MAIL FROM:<a@ext.test> SIZE=99999999999999999999", "501 5.5.4 Bad message size syntax"],
  ],
  "RFC 6152 section 2: BODY": [
    ["MAIL FROM:<a@ext.test> BODY=9BIT", "501 5.5.4 Error: unknown BODY type"],
    ["MAIL FROM:<a@ext.test> BODY=BINARYMIME", "501 5.5.4 Error: unknown BODY type"],
    ["MAIL FROM:<a@ext.test> body=8bitmime size=100", MAIL_OK],
    ["RSET", OK],
    ["MAIL FROM:<a@ext.test> BODY=7BIT", MAIL_OK],
  ],
  "relaying for strangers": [[MAIL, MAIL_OK], ["RCPT TO:<victim@evil.test>", RELAY], [
    "RCPT TO:<x@relay.test>",
    RCPT_OK,
  ]],
  "RFC 5321 section 4.5.1: postmaster without a domain": [
    [MAIL, MAIL_OK],
    ["RCPT TO:<postmaster>", RCPT_OK],
    ["RCPT TO:<PostMaster>", RCPT_OK],
  ],
  "VRFY answers and touches nothing": [
    [MAIL, MAIL_OK],
    [RCPT, RCPT_OK],
    ["VRFY alice@local.test", "252 2.0.0 alice@local.test"],
    ["VRFY <bob@local.test>", "252 2.0.0 <bob@local.test>"],
    ["VRFY nobody@local.test", UNKNOWN_USER],
    ["VRFY victim@evil.test", RELAY],
    ["VRFY", "501 5.5.4 Syntax: VRFY address"],
    ["VRFY a b", "501 5.1.3 Bad recipient address syntax"],
    ["VRFY \u00fcser@local.test", "553 5.6.7 Must declare SMTPUTF8 to send unicode address"],
    ["DATA", GO],
    ["x\r\n.", "queued"],
    [RCPT, NEED_MAIL],
  ],
  "a second message in the session": [
    [MAIL, MAIL_OK],
    [RCPT, RCPT_OK],
    ["DATA", GO],
    ["x\r\n.", "queued"],
    [RCPT, NEED_MAIL],
    ["DATA", NEED_RCPT],
    ["MAIL FROM:<>", MAIL_OK],
    [RCPT, RCPT_OK],
    ["DATA", GO],
    ["y\r\n.", "queued"],
  ],
  "UTF-8 that is none": [["NOOP \udcff", "500 5.5.2 Error: bad UTF-8 syntax"], ["NOOP", OK]],
  "commands that are not here": [
    ["EXPN list", "500 5.5.2 Error: command not recognized"],
    ["AUTH PLAIN AGEAYg==", "503 5.5.1 Error: authentication not enabled"],
    ["STARTTLS", "502 5.5.1 Error: command not implemented"],
    ["XCLIENT ADDR=127.0.0.1", "550 5.7.0 Error: insufficient authorization"],
  ],
};

for (const [name, talk] of Object.entries(TALKS)) {
  Deno.test(`session: ${name}`, async () => {
    await using host = new MailHost({ settings: { strict_smtputf8: "true" } });
    const client = host.connect();
    assert.equal(await client.reply(), "220 mx.test ESMTP Postern");
    assert.equal(await client.say("EHLO c.test"), HELLO);
    for (const [line, expected] of talk) {
      client.send(bytesOf(`${line}\r\n`));
      const reply = await client.reply();
      if (expected === "queued") assert.match(reply, QUEUED, line);
      else assert.equal(reply, expected, line);
    }
  });
}

/** UTF-8, with U+DC80 to U+DCFF for single bytes. */
function bytesOf(text: string): Uint8Array {
  const parts = Array.from(text, (character) => {
    const code = character.charCodeAt(0);
    return code >= 0xdc80 && code <= 0xdcff && character.length === 1
      ? [code - 0xdc00]
      : [...new TextEncoder().encode(character)];
  });
  return Uint8Array.from(parts.flat());
}

Deno.test("RFC 5321 section 4.1.1.1: a client may send mail after HELO, without extensions", async () => {
  await using host = new MailHost();
  const client = host.connect();
  await client.reply();
  assert.deepEqual(
    await client.says("HELO c.test", "MAIL FROM:<a@ext.test> SIZE=10", RCPT, "DATA"),
    ["250 mx.test", MAIL_OK, RCPT_OK, GO],
  );
  assert.match(await client.say("S: x\r\n\r\nb\r\n."), QUEUED);
  const [message] = host.messages();
  assert.match(
    message!.text,
    /^Received: from c\.test \(unknown \[198\.51\.100\.9\]\)\n\tby mx\.test \(Postern\) with SMTP id /,
  );
  assert.equal(message!.attributes.get("protocol_name"), "SMTP");
});

Deno.test("session: the queue file holds what the session knows", async () => {
  await using host = new MailHost();
  const client = await host.greeted();
  await client.says("MAIL FROM:<a@ext.test> BODY=8BITMIME", RCPT, "RCPT TO:<bob@local.test>", "DATA");
  const reply = await client.say("Subject: x\r\n\r\nb\r\n.");
  const [message] = host.messages();
  const port = message!.attributes.get("client_port")!;
  assert.equal(reply, `250 2.0.0 Ok: queued as ${message!.id}`);
  assert.deepEqual(message!.recipients, ["alice@local.test", "bob@local.test"]);
  assert.equal(message!.sender, "a@ext.test");
  assert.deepEqual(Object.fromEntries(message!.attributes), {
    rewrite_context: "remote",
    log_client_name: "unknown",
    log_client_address: "198.51.100.9",
    log_client_port: port,
    log_message_origin: "unknown[198.51.100.9]",
    log_helo_name: "c.test",
    log_protocol_name: "ESMTP",
    client_name: "unknown",
    reverse_client_name: "unknown",
    client_address: "198.51.100.9",
    client_port: port,
    server_address: "192.0.2.1",
    server_port: "25",
    helo_name: "c.test",
    protocol_name: "ESMTP",
    encoding: "8bit",
  });
  // With several recipients none is shown (RFC 5321 section 4.4 and 7.2).
  assert.match(
    message!.text,
    /^Received: from c\.test \(unknown \[198\.51\.100\.9\]\)\n\tby mx\.test \(Postern\) with ESMTP id [0-9A-F]+; .*\nSubject: x\n\nb\n$/,
  );
  assert.deepEqual(host.hints, [message!.id]);
});

Deno.test("session: a HELO name cannot break a log line or a header", async () => {
  await using host = new MailHost();
  const client = host.connect();
  await client.reply();
  await client.say('EHLO \x1b[2J\x1b]0;x\x07 <a>(b)"c"\\;@\u561a\u0085\u00fc\x7f');
  await client.says(MAIL, RCPT, "DATA");
  await client.say("x\r\n.");
  const [message] = host.messages();
  const helo = message!.attributes.get("helo_name")!;
  assert.match(helo, /^\?\[2J\?\]0\?x\?\?\?a\?\?b\?\?c[?]+$/);
  assert.ok(message!.text.startsWith(`Received: from ${helo} (unknown`));
  for (const line of host.log) assert.match(line, /^[\x20-\x7e]*$/);
});

Deno.test("session: a HELO name is cut where every reader of it can hold it", async () => {
  await using host = new MailHost();
  const client = host.connect();
  await client.reply();
  await client.say(`EHLO ${"\u561a".repeat(300)}`);
  await client.says(MAIL, RCPT, "DATA");
  assert.match(await client.say("x\r\n."), QUEUED);
  assert.equal(host.messages()[0]!.attributes.get("helo_name"), "?".repeat(255));
});

/** Ends of a message that fails, each leaving a client that may go on. */
const FAILED_ENDS: Readonly<
  Record<string, { settings?: Record<string, string>; send: string; reply: RegExp }>
> = {
  "too many hops": {
    settings: { hopcount_limit: "2" },
    send: "Received: a\r\n\r\nb\r\n.",
    reply: /^554 5\.4\.0 Error: too many hops$/,
  },
  "too big": {
    settings: { message_size_limit: "100" },
    send: `${"x".repeat(200)}\r\n.`,
    reply: /^552 5\.3\.4 Error: message file too big$/,
  },
  "a bare newline": { send: "a\nb\r\n.", reply: /^550 5\.5\.2 mx\.test Error: bare <LF> received$/ },
};

for (const [name, { settings, send, reply }] of Object.entries(FAILED_ENDS)) {
  Deno.test(`session: after a message that failed (${name}) the transaction is as fresh, and nothing is queued`, async () => {
    await using host = new MailHost(settings === undefined ? {} : { settings });
    const client = await host.sending();
    assert.match(await client.say(send), reply);
    assert.equal(host.files().length, 0);
    assert.equal(host.cleanupServer.busy, 0);
    assert.deepEqual(await client.says("DATA", RCPT), [NEED_RCPT, NEED_MAIL]);
    assert.deepEqual(await client.says("MAIL FROM:<>", RCPT, "DATA"), [MAIL_OK, RCPT_OK, GO]);
    assert.match(await client.say("short\r\n."), QUEUED);
    const [message] = host.messages();
    assert.equal(message!.sender, "");
    assert.deepEqual(message!.recipients, ["alice@local.test"]);
  });
}

Deno.test("session: cleanup's answers become Postfix's replies", async () => {
  const table: readonly (readonly [number, string, string])[] = [
    [512, "", "451 4.7.1 Error: service unavailable"],
    [512, "4.6.0 Alias expansion error", "451 4.6.0 Alias expansion error"],
    [1, "", "451 4.3.0 Error: internal error 1"],
    [2, "", "451 4.3.0 Error: queue file write error"],
    [2 | 4, "", "451 4.3.0 Error: queue file write error"],
    [4, "", "552 5.3.4 Error: message file too big"],
    [8, "", "550 5.7.1 Error: message content rejected"],
    [8, "5.7.1 no \x1b", "550 5.7.1 no ?"],
    [16, "", "554 5.4.0 Error: too many hops"],
    [64, "", "550 5.1.0 Error: no recipients specified"],
    [128, "", "451 4.3.0 Error: queue file write error"],
    [1024, "", "550 5.7.1 Error: insufficient authorization"],
    [32768, "", "451 4.3.0 Error: queue file write error"],
  ];
  for (const [status, reason, expected] of table) {
    await using host = new MailHost({
      cleanup: (exchange, message) => {
        if (message.is === "begin") exchange.reply("queueId", { queueId: "ABC" });
        if (message.is === "finish") exchange.reply("status", { status, reason });
      },
    });
    const client = await host.sending();
    assert.equal(await client.say("x\r\n."), expected);
    assert.equal(await client.say("DATA"), NEED_RCPT);
  }
});

Deno.test("session: cleanup that cannot make a file refuses DATA softly, and the transaction is over", async () => {
  await using host = new MailHost({
    cleanup: (exchange, message) => {
      if (message.is === "begin") exchange.reply("status", { status: 2, reason: "" });
    },
  });
  const client = await host.greeted();
  assert.deepEqual(await client.says(MAIL, RCPT, "DATA"), [
    MAIL_OK,
    RCPT_OK,
    "451 4.3.0 Error: queue file write error",
  ]);
  assert.deepEqual(await client.says("DATA", RCPT), [NEED_RCPT, NEED_MAIL]);
});

Deno.test("session: cleanup that fails in the middle of a message is told at its end", async () => {
  await using host = new MailHost({
    cleanup: (exchange, message) => {
      if (message.is === "begin") exchange.reply("queueId", { queueId: "ABC" });
      if (message.is === "records") exchange.reply("status", { status: 2, reason: "" });
    },
  });
  const client = await host.sending();
  for (let i = 0; i < 20; i++) {
    client.send(`${"x".repeat(1000)}\r\n`.repeat(50));
    await settled();
  }
  assert.deepEqual(await client.rest(), []);
  assert.equal(await client.say("."), "451 4.3.0 Error: queue file write error");
});

Deno.test("session: a client that goes away leaves nothing behind, wherever it goes", async () => {
  const steps = ["", "EHLO c.test\r\n", `${MAIL}\r\n`, `${RCPT}\r\n`, "DATA\r\n", "Subject: x\r\n\r\nhalf"];
  for (let count = 0; count <= steps.length; count++) {
    await using host = new MailHost();
    const client = host.connect();
    await client.reply();
    for (const step of steps.slice(0, count)) {
      client.send(step);
      await settled();
    }
    client.leave();
    await settled();
    assert.equal(client.done, 1);
    assert.equal(host.cleanupServer.busy, 0, `after ${steps[count - 1]}`);
    assert.equal(host.files().length, 0);
    const where = ["CONNECT", "CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "DATA"][count];
    assert.ok(
      host.log.includes(`lost connection after ${where} from unknown[198.51.100.9]`),
      host.log.join("\n"),
    );
  }
});

Deno.test("session: a client that leaves before it hears of the commit loses nothing", async () => {
  await using host = new MailHost();
  const client = await host.sending();
  client.send("x\r\n.\r\n");
  client.leave();
  await settled();
  assert.equal(host.messages().length, 1);
  assert.equal(client.done, 1);
});

Deno.test("session: who ends its input is answered all the same", async () => {
  await using host = new MailHost();
  const client = await host.sending();
  client.send("x\r\n.\r\n");
  await Promise.resolve();
  client.session.ended();
  assert.match(await client.reply(), QUEUED);
  await settled();
  assert.equal(client.closed, true);
  assert.equal(host.messages().length, 1);
  assert.equal(client.done, 1);
});

Deno.test("session: RSET, EHLO and QUIT close the exchange with cleanup", async () => {
  for (
    const [line, expected] of [["RSET", OK], ["EHLO x", HELLO], ["HELO x", "250 mx.test"], [
      "QUIT",
      "221 2.0.0 Bye",
    ]]
  ) {
    await using host = new MailHost();
    const client = await host.greeted();
    await client.says(MAIL, RCPT);
    await settled();
    assert.equal(host.cleanupServer.busy, 1);
    assert.equal(host.files().length, 1);
    assert.equal(await client.say(line!), expected);
    await settled();
    assert.equal(host.cleanupServer.busy, 0);
    assert.equal(host.files().length, 0);
  }
});

Deno.test("RFC 2920 section 3.1: a group of commands is answered in order", async () => {
  await using host = new MailHost();
  const client = await host.greeted();
  client.send(`${MAIL}\r\nRCPT TO:<nobody@local.test>\r\n${RCPT}\r\nRCPT TO:<victim@evil.test>\r\nDATA\r\n`);
  const replies = [];
  for (let i = 0; i < 5; i++) replies.push(await client.reply());
  assert.deepEqual(replies, [MAIL_OK, UNKNOWN_USER, RCPT_OK, RELAY, GO]);
  client.send(`x\r\n.\r\nRSET\r\nMAIL FROM:<>\r\n${RCPT}\r\nQUIT\r\n`);
  assert.match(await client.reply(), QUEUED);
  assert.deepEqual(await client.rest(), [OK, MAIL_OK, RCPT_OK, "221 2.0.0 Bye"]);
  assert.equal(host.messages().length, 1);
});

Deno.test("RFC 2920 section 3.1: a group cut at any byte is answered as the whole", async () => {
  const group = new TextEncoder().encode(
    `${MAIL}\r\n${RCPT}\r\nRSET\r\n${MAIL}\r\nRCPT TO:<nobody@local.test>\r\nQUIT\r\n`,
  );
  const expected = [MAIL_OK, RCPT_OK, OK, MAIL_OK, UNKNOWN_USER, "221 2.0.0 Bye"];
  await using host = new MailHost();
  for (let at = 1; at < group.length; at++) {
    const client = await host.greeted();
    client.send(group.subarray(0, at));
    client.send(group.subarray(at));
    const replies = [];
    for (let reply = await client.reply(); reply !== ""; reply = await client.reply()) replies.push(reply);
    assert.deepEqual(replies, expected, `cut at ${at}`);
  }
});

/** Input that comes where none may, what was said before, and where the log sees it. */
const IMPROPER: readonly (readonly [before: readonly string[], input: string, after: string])[] = [
  [[], "EHLO c\r\nNOOP\r\n", "EHLO"],
  [[], "HELO c\r\nMAIL FROM:<a@ext.test>\r\n", "HELO"],
  [["HELO c"], "MAIL FROM:<a@ext.test>\r\nRCPT TO:<alice@local.test>\r\n", "MAIL"],
  [[], "FOO\r\nBAR\r\n", "UNKNOWN"],
  [["EHLO c"], "NOOP\r\nNOOP\r\n", "NOOP"],
  [["EHLO c"], "VRFY alice@local.test\r\nNOOP\r\n", "VRFY"],
  [["EHLO c", MAIL, RCPT], "DATA\r\nSubject: x\r\n\r\nhi\r\n.\r\n", "DATA"],
];

for (const [before, input, after] of IMPROPER) {
  Deno.test(`session: input behind ${after} in the same piece ends the session${before.length === 0 ? " of one who has not said EHLO" : ""}`, async () => {
    await using host = new MailHost();
    const client = host.connect();
    await client.reply();
    await client.says(...before);
    client.send(input);
    assert.equal(await client.reply(), SYNC);
    assert.equal(await client.reply(), "");
    assert.equal(host.files().length, 0);
    assert.ok(
      host.log.some((line) =>
        line.startsWith(`improper command pipelining after ${after} from unknown[198.51.100.9]: `)
      ),
    );
  });
}

Deno.test("session: improper pipelining is allowed where the configuration allows it", async () => {
  await using host = new MailHost({ settings: { smtpd_forbid_unauth_pipelining: "false" } });
  const client = host.connect("198.51.100.9", "EHLO c\r\n");
  assert.equal(await client.reply(), "220 mx.test ESMTP Postern");
  assert.equal(await client.reply(), HELLO);
  client.send(`NOOP\r\n${MAIL}\r\n${RCPT}\r\nDATA\r\nx\r\n.\r\nQUIT\r\n`);
  const replies = [];
  for (let i = 0; i < 6; i++) replies.push(await client.reply());
  assert.deepEqual(replies.slice(0, 4), [OK, MAIL_OK, RCPT_OK, GO]);
  assert.match(replies[4]!, QUEUED);
  assert.equal(replies[5], "221 2.0.0 Bye");
});

Deno.test("RFC 5321 section 3.1: who talks before the greeting is not greeted", async () => {
  await using host = new MailHost();
  const client = host.connect("198.51.100.9", "EHLO c.test\r\n");
  assert.equal(await client.reply(), SYNC);
  assert.equal(await client.reply(), "");
  assert.equal(client.done, 1);
});

Deno.test("session: another protocol's client is sent away", async () => {
  for (
    const line of [
      "GET / HTTP/1.1",
      "POST /x HTTP/1.0",
      "CONNECT a:25",
      "get /",
      "Subject: x",
      "From:<a@b>",
      "X-A:b",
      "1234",
      "\x16\x03\x01",
      ".",
      "<x>",
    ]
  ) {
    await using host = new MailHost();
    const client = host.connect();
    await client.reply();
    assert.equal(await client.say(line), "221 2.7.0 Error: I can break rules, too. Goodbye.", line);
    assert.equal(await client.reply(), "");
    assert.match(host.log.join("\n"), /^warning: non-SMTP command from unknown\[198\.51\.100\.9\]: /m);
  }
});

Deno.test("session: a command line of the limit is read, a longer one is passed over to its end", async () => {
  await using host = new MailHost();
  const client = await host.greeted();
  const limit = 2048;
  assert.equal(await client.say("NOOP ".padEnd(limit, "x")), OK);
  assert.equal(await client.say("NOOP ".padEnd(limit + 1, "x")), "500 5.5.2 Error: command line too long");
  for (const length of [limit + 2, limit + 3, 3 * limit, 100_000]) {
    const line = "NOOP ".padEnd(length, "x");
    client.send(line.slice(0, limit));
    client.send(line.slice(limit));
    await settled();
    assert.equal(await client.say(""), "500 5.5.2 Error: command line too long", `${length}`);
  }
  assert.equal(await client.say("NOOP"), OK);
});

Deno.test("session: ten megabytes without a line end are not kept", async () => {
  await using host = new MailHost();
  const client = await host.greeted();
  const piece = "A".repeat(65_536);
  for (let i = 0; i < 160; i++) client.send(piece);
  assert.equal(await client.say(""), "500 5.5.2 Error: command line too long");
  assert.equal(await client.say("NOOP"), OK);
});

Deno.test("session: errors beyond the hard limit end the session right behind the reply", async () => {
  await using host = new MailHost({
    settings: { smtpd_hard_error_limit: "3", smtpd_soft_error_limit: "100" },
  });
  const client = await host.greeted();
  await client.says(MAIL);
  for (let i = 0; i < 3; i++) assert.equal(await client.say("RCPT TO:<nobody@local.test>"), UNKNOWN_USER);
  assert.equal(await client.reply(), "421 4.7.0 mx.test Error: too many errors");
  assert.equal(await client.reply(), "");
  assert.ok(host.log.includes("too many errors after RCPT from unknown[198.51.100.9]"));
  assert.equal(client.done, 1);
});

Deno.test("session: a message that is taken in pays for the errors before it", async () => {
  await using host = new MailHost({ settings: { smtpd_hard_error_limit: "3" } });
  const client = await host.greeted();
  await client.says("FOO", "FOO", MAIL, RCPT, "DATA");
  assert.match(await client.say("x\r\n."), QUEUED);
  assert.deepEqual((await client.says("FOO", "FOO", "NOOP")).at(-1), OK);
});

Deno.test("session: replies wait once the soft limit is reached, also good ones", async () => {
  await using host = new MailHost({
    settings: { smtpd_soft_error_limit: "2", smtpd_error_sleep_time: '"1s"' },
  });
  const client = await host.greeted();
  const started = performance.now();
  await client.says("FOO", "FOO");
  assert.ok(performance.now() - started < 900);
  for (const line of ["FOO", "NOOP", MAIL]) {
    const before = performance.now();
    client.send(`${line}\r\n`);
    await settled();
    assert.deepEqual(await client.rest(), []);
    await client.reply();
    assert.ok(performance.now() - before >= 950, line);
  }
  // Leaving while a reply waits is no trouble.
  client.send("NOOP\r\n");
  await settled();
  client.leave();
  await settled();
  assert.equal(client.done, 1);
  await new Promise((resolve) => setTimeout(resolve, 1100));
});

Deno.test("session: commands that bring no mail are errors beyond the junk limit", async () => {
  const settings = {
    smtpd_junk_command_limit: "5",
    smtpd_hard_error_limit: "3",
    smtpd_soft_error_limit: "100",
  };
  for (const line of ["NOOP", "RSET", "VRFY alice@local.test", "EHLO x", "HELO x"]) {
    await using host = new MailHost({ settings });
    const client = await host.greeted(); // its EHLO is one of them
    for (let i = 0; i < 7; i++) assert.ok((await client.say(line)).startsWith("25"), `${line} ${i}`);
    // The limit is passed by the seventh of all: two errors so far.
    assert.ok((await client.say(line)).startsWith("25"));
    assert.equal(await client.reply(), "421 4.7.0 mx.test Error: too many errors", line);
    assert.equal(await client.reply(), "");
  }
});

Deno.test("RFC 5321 section 4.5.3.1.10: recipients beyond the limit are refused softly, a number of them without being errors", async () => {
  const settings = {
    smtpd_recipient_limit: "3",
    smtpd_recipient_overshoot_limit: "4",
    smtpd_hard_error_limit: "2",
  };
  await using host = new MailHost({ settings });
  const client = await host.greeted();
  await client.say(MAIL);
  const relay = (i: number) => `RCPT TO:<u${i}@relay.test>`;
  for (let i = 0; i < 3; i++) assert.equal(await client.say(relay(i)), RCPT_OK);
  for (let i = 0; i < 5; i++) {
    assert.equal(await client.say(relay(i)), "452 4.5.3 Error: too many recipients");
  }
  await client.say("DATA");
  assert.match(await client.say("x\r\n."), QUEUED);
  assert.equal(host.messages()[0]!.recipients.length, 3);
  await client.say(MAIL);
  for (let i = 0; i < 9; i++) await client.say(relay(i));
  assert.equal(await client.reply(), "421 4.7.0 mx.test Error: too many errors");
});

Deno.test("session: a thousand of the longest recipients reach cleanup without breaking its window", async () => {
  await using host = new MailHost();
  const client = await host.greeted("203.0.113.5");
  await client.say(MAIL);
  const domain = `${`${"d".repeat(60)}.`.repeat(4)}test`;
  const recipient = (i: number) => `${String(i).padStart(4, "0")}${"+=".repeat(100)}@${domain}`;
  for (let i = 0; i < 1000; i++) assert.equal(await client.say(`RCPT TO:<${recipient(i)}>`), RCPT_OK);
  assert.equal(await client.say("DATA"), GO);
  assert.match(await client.say("x\r\n."), QUEUED);
  const [message] = host.messages();
  assert.deepEqual(message!.recipients, Array.from({ length: 1000 }, (_, i) => recipient(i)));
  assert.equal(message!.body, "x\n");
});

Deno.test("session: 354 does not wait for the envelope, and text that comes before it is gone waits", async () => {
  let gate: () => void = () => {};
  const opened = new Promise<void>((resolve) => gate = resolve);
  const domain = `${"d".repeat(60)}.${"e".repeat(60)}.test`;
  let recipients = 0;
  let text = "";
  await using host = new MailHost({
    cleanup: async (exchange, message) => {
      if (message.is === "begin") exchange.reply("queueId", { queueId: "ABC" });
      if (message.is === "records") {
        const records = message.records.slice();
        await opened;
        const read = new TextDecoder().decode(records);
        recipients += read.split(domain).length - 1;
        text = read.slice(-20);
      }
      if (message.is === "finish") exchange.reply("status", { status: 0, reason: "" });
    },
  });
  const client = await host.greeted("203.0.113.5");
  await client.say(MAIL);
  // More than may be under way to cleanup.
  const most = 900;
  for (let i = 0; i < most; i++) {
    assert.equal(await client.say(`RCPT TO:<${i}${"r".repeat(50)}@${domain}>`), RCPT_OK);
  }
  assert.equal(await client.say("DATA"), GO);
  client.send("the text\r\n.\r\n");
  await settled();
  assert.deepEqual(await client.rest(), []);
  gate();
  assert.match(await client.reply(), QUEUED_AS_ABC);
  // Each stands there twice, as it is and as dsn_orig_rcpt.
  assert.equal(recipients, 2 * most);
  assert.match(text, /the text/);
});

Deno.test("session: a client is slowed down while cleanup is slow, and its message arrives whole", async () => {
  let gate: () => void = () => {};
  const opened = new Promise<void>((resolve) => gate = resolve);
  let bytes = 0;
  await using host = new MailHost({
    cleanup: async (exchange, message) => {
      if (message.is === "begin") exchange.reply("queueId", { queueId: "ABC" });
      if (message.is === "records") {
        await opened;
        bytes += message.records.length;
      }
      if (message.is === "finish") exchange.reply("status", { status: 0, reason: "" });
    },
  });
  const client = await host.sending();
  const piece = `${"y".repeat(998)}\r\n`.repeat(32);
  for (let i = 0; i < 25; i++) client.send(piece);
  await settled();
  assert.ok(bytes === 0);
  client.send(".\r\n");
  await settled();
  assert.deepEqual(await client.rest(), []);
  gate();
  assert.match(await client.reply(), QUEUED_AS_ABC);
  assert.ok(bytes > 800_000);
});

const QUEUED_AS_ABC = /^250 2\.0\.0 Ok: queued as ABC$/;

Deno.test("session: soft_bounce turns every refusal into a delay, its status code too", async () => {
  await using host = new MailHost({ settings: { soft_bounce: "true" } });
  const client = await host.greeted();
  await client.say(MAIL);
  assert.equal(
    await client.say("RCPT TO:<nobody@local.test>"),
    UNKNOWN_USER.replace("550 5.1.1", "450 4.1.1"),
  );
  assert.equal(await client.say("RCPT TO:<victim@evil.test>"), RELAY.replace("554 5.7.1", "454 4.7.1"));
  assert.equal(await client.say("FOO"), "400 4.5.2 Error: command not recognized");
  assert.equal(await client.say("DATA x"), "401 4.5.4 Syntax: DATA");
});

Deno.test("session: HELO is demanded where it is required", async () => {
  await using host = new MailHost({ settings: { smtpd_helo_required: "true" } });
  const client = host.connect();
  await client.reply();
  assert.equal(await client.say(MAIL), "503 5.5.1 Error: send HELO/EHLO first");
  assert.deepEqual(await client.says("HELO x", MAIL), ["250 mx.test", MAIL_OK]);
});

Deno.test("session: without HELO mail is taken where it is not required", async () => {
  await using host = new MailHost();
  const client = host.connect();
  await client.reply();
  assert.deepEqual(await client.says(MAIL, RCPT, "DATA"), [MAIL_OK, RCPT_OK, GO]);
  assert.match(await client.say("x\r\n."), QUEUED);
  assert.match(host.messages()[0]!.text, /^Received: from unknown \(unknown \[198\.51\.100\.9\]\)\n/);
});

Deno.test("session: EHLO keywords can be hidden", async () => {
  await using host = new MailHost({
    settings: { smtpd_discard_ehlo_keywords: '["pipelining", "size", "etrn"]', disable_vrfy_command: "true" },
  });
  const client = host.connect();
  await client.reply();
  assert.equal(
    await client.say("EHLO x"),
    "250-mx.test\n250-ENHANCEDSTATUSCODES\n250-8BITMIME\n250-DSN\n250-SMTPUTF8\n250 CHUNKING",
  );
  assert.equal(await client.say("VRFY alice@local.test"), "502 5.5.1 VRFY command is disabled");
});

Deno.test("session: a silent client is told and sent away", async () => {
  await using host = new MailHost({ settings: { smtpd_timeout: '"1s"' } });
  const silent = await host.greeted();
  const half = await host.sending();
  half.send("half a message");
  await new Promise((resolve) => setTimeout(resolve, 1050));
  host.server.checkDeadlines();
  for (const client of [silent, half]) {
    assert.equal(await client.reply(), "421 4.4.2 mx.test Error: timeout exceeded");
    assert.equal(await client.reply(), "");
    assert.equal(client.done, 1);
  }
  await settled();
  assert.equal(host.files().length, 0);
  assert.ok(host.log.includes("timeout after EHLO from unknown[198.51.100.9]"));
  assert.ok(host.log.includes("timeout after DATA from unknown[198.51.100.9]"));
});

Deno.test("session: a client that sends a byte now and then has no more time for it", async () => {
  await using host = new MailHost({ settings: { smtpd_timeout: '"1s"', smtpd_min_data_rate: "500" } });
  const command = await host.greeted();
  const message = await host.sending();
  for (let i = 0; i < 6; i++) {
    command.send("N");
    message.send("x");
    await new Promise((resolve) => setTimeout(resolve, 200));
    host.server.checkDeadlines();
  }
  assert.equal(await command.reply(), "421 4.4.2 mx.test Error: timeout exceeded");
  assert.equal(await message.reply(), "421 4.4.2 mx.test Error: timeout exceeded");
});

Deno.test("session: each command has the whole time, whatever the one before it took", async () => {
  await using host = new MailHost({ settings: { smtpd_timeout: '"1s"' } });
  const client = await host.greeted();
  for (let i = 0; i < 4; i++) {
    await new Promise((resolve) => setTimeout(resolve, 600));
    host.server.checkDeadlines();
    assert.equal(await client.say("NOOP"), OK);
  }
});

Deno.test("session: connections of one client are counted, those of mynetworks are not", async () => {
  await using host = new MailHost({ settings: { smtpd_client_connection_count_limit: "2" } });
  const first = host.connect();
  const second = host.connect();
  const third = host.connect();
  assert.deepEqual(
    [await first.reply(), await second.reply(), await third.reply()],
    [
      "220 mx.test ESMTP Postern",
      "220 mx.test ESMTP Postern",
      "421 4.7.0 mx.test Error: too many connections from 198.51.100.9",
    ],
  );
  assert.equal(await third.reply(), "");
  assert.equal(await host.connect("198.51.100.10").reply(), "220 mx.test ESMTP Postern");
  first.leave();
  await settled();
  assert.equal(await host.connect().reply(), "220 mx.test ESMTP Postern");
  for (let i = 0; i < 5; i++) {
    assert.equal(await host.connect("203.0.113.7").reply(), "220 mx.test ESMTP Postern");
  }
  assert.ok(
    host.log.includes(
      "warning: Connection concurrency limit exceeded: 3 from unknown[198.51.100.9] for service smtp",
    ),
  );
});

Deno.test("session: replies to many clients wait for the end of the turn, those to few do not", async () => {
  await using host = new MailHost();
  const clients = [host.connect(), host.connect(), host.connect()];
  for (const client of clients) assert.equal(await client.reply(), "220 mx.test ESMTP Postern");
  assert.deepEqual(clients.map(({ server }) => server.lateWrites), [0, 0, 0]);
  clients.push(host.connect());
  await clients[3]!.reply();
  for (const client of clients) assert.equal(await client.say("NOOP"), OK);
  assert.deepEqual(clients.map(({ server }) => server.lateWrites), [1, 1, 1, 2]);
  clients[0]!.leave();
  await settled();
  assert.equal(await clients[1]!.say("NOOP"), OK);
  assert.equal(clients[1]!.server.lateWrites, 1);
});

Deno.test("session: beyond the sessions of one process a client is told to come back", async () => {
  await using host = new MailHost({ settings: { smtpd_session_limit: "2" } });
  const clients = [host.connect("198.51.100.1"), host.connect("198.51.100.2"), host.connect("198.51.100.3")];
  await clients[0]!.reply();
  await clients[1]!.reply();
  assert.equal(await clients[2]!.reply(), "421 4.3.2 mx.test Error: all server ports are busy");
  assert.equal(await clients[2]!.reply(), "");
  clients[0]!.leave();
  await settled();
  assert.equal(await host.connect("198.51.100.4").reply(), "220 mx.test ESMTP Postern");
});

Deno.test("session: its end logs how many commands it had, accepted and all, in Postfix's order", async () => {
  await using host = new MailHost();
  const client = await host.greeted();
  await client.says("FOO", MAIL, "RCPT TO:<nobody@local.test>", RCPT, RCPT, "DATA x", "DATA");
  await client.say("x\r\n.");
  await client.says("NOOP", "RSET", "MAIL FROM:<>", RCPT, "DATA");
  await client.say("a\nb\r\n.");
  await client.say("QUIT");
  await settled();
  assert.equal(
    host.log.at(-1),
    "disconnect from unknown[198.51.100.9] ehlo=1 mail=2 rcpt=3/4 data=1/3 rset=1 noop=1 quit=1 unknown=0/1 commands=10/14",
  );
});

Deno.test("session: a refusal is logged with what is known, by queue id once there is one", async () => {
  await using host = new MailHost();
  const client = await host.greeted();
  await client.says(MAIL, "RCPT TO:<nobody@local.test>", RCPT);
  await settled();
  await client.say("RCPT TO:<victim@evil.test>");
  await client.says("DATA");
  const queued = await client.say("Subject: x\r\n\r\nx\r\n.");
  const id = queued.slice("250 2.0.0 Ok: queued as ".length);
  const has = (line: string) => host.log.some((one) => one.startsWith(`${line} reply=`));
  assert.ok(has(
    `NOQUEUE: reject: RCPT from unknown[198.51.100.9]: ${UNKNOWN_USER}; from=<a@ext.test> to=<nobody@local.test> proto=ESMTP helo=<c.test>`,
  ));
  assert.ok(has(
    `${id}: reject: RCPT from unknown[198.51.100.9]: ${RELAY}; from=<a@ext.test> to=<victim@evil.test> proto=ESMTP helo=<c.test>`,
  ));
});

Deno.test("session: for a client of mynetworks the queue file is made at MAIL, for a stranger at the first recipient that is taken", async () => {
  await using host = new MailHost();
  for (const [address, early] of [["203.0.113.5", 1], [undefined, 0]] as const) {
    const client = host.connect(address);
    await client.reply();
    await client.says("EHLO c.test", MAIL);
    await settled();
    assert.equal(host.files().length, early);
    await client.say("RCPT TO:<nobody@local.test>");
    assert.ok(host.log.some((line) => line.startsWith("NOQUEUE: reject: RCPT")), "it has no queue id yet");
    assert.equal(host.files().length, early);
    await client.say(RCPT);
    await settled();
    assert.equal(host.files().length, 1);
    await client.say("RSET");
    await settled();
    assert.equal(host.files().length, 0);
    host.log.length = 0;
    await client.say("QUIT");
  }
});

Deno.test("session: bare newlines are normalised for mynetworks and where the configuration says so", async () => {
  for (
    const [settings, address] of [
      [{}, "203.0.113.5"],
      [{ smtpd_forbid_bare_newline: '"normalize"' }, undefined],
      [{ smtpd_forbid_bare_newline: '"note"' }, undefined],
    ] as const
  ) {
    await using host = new MailHost({ settings });
    const client = host.connect(address);
    await client.reply();
    client.send("EHLO c.test\n");
    assert.equal(await client.reply(), HELLO);
    for (const line of [MAIL, RCPT, "DATA"]) {
      client.send(`${line}\n`);
      await client.reply();
    }
    client.send("a\n.\nb\n.\r\nc\r\n.\r\n");
    assert.match(await client.reply(), QUEUED);
    assert.match(host.messages()[0]!.text, /\na\nb\nc\n$/);
    const noted = host.log.filter((line) => line.startsWith("bare <LF> received after"));
    assert.equal(
      noted.length,
      settings === undefined || !("smtpd_forbid_bare_newline" in settings) ||
        settings.smtpd_forbid_bare_newline !== '"note"'
        ? 0
        : 5,
    );
  }
});

Deno.test("session: a stranger's command that ends in LF alone ends the session", async () => {
  await using host = new MailHost();
  const client = host.connect();
  await client.reply();
  client.send("EHLO c.test\nMAIL FROM:<a@ext.test>\nQUIT\n");
  assert.equal(await client.reply(), "550 5.5.2 mx.test Error: bare <LF> received");
  assert.equal(await client.reply(), "");
});

Deno.test("session: a fault of ours ends one session with a word, and the others go on", async () => {
  await using host = new MailHost({
    cleanup: (exchange, message) => {
      if (message.is === "begin") exchange.reply("queueId", { queueId: "ABC" });
    },
  });
  const client = await host.greeted();
  const other = await host.greeted();
  client.session.server.failed(client.session, new Error("made by the test"));
  assert.equal(await client.reply(), "421 4.3.0 mx.test Error: internal error");
  assert.equal(await client.reply(), "");
  assert.equal(client.done, 1);
  assert.equal(await other.say("NOOP"), OK);
});
