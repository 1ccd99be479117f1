import assert from "node:assert/strict";
import { readSendmailOptions } from "../../commands/sendmail_options.ts";
import { postMessage } from "../../commands/sendmail_submit.ts";
import { MessageTooBigError } from "../../commands/maildrop_file.ts";
import { SendmailError } from "../../commands/sendmail_error.ts";
import { parseSizeRecord } from "../../lib/mail/queue_file.ts";
import { RECORD, RecordCursor } from "../../lib/mail/record.ts";
import { SENDOPT_REQUIRETLS, SENDOPT_SMTPUTF8_REQUESTED } from "../../lib/mail/send_options.ts";
import { postcat, ScratchQueue } from "./maildrop_support.ts";

const POSTER = { login: "alice", fullName: "Alice A" };

async function* chunks(text: string | Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
}

/** Posts a message and returns postcat's lines of it. */
async function post(args: string[], text: string | Uint8Array, size = 65536, more = {}): Promise<string[]> {
  using queue = new ScratchQueue();
  const settings = { ...queue.settings, ...more };
  const plan = readSendmailOptions(args);
  const id = await postMessage(plan, POSTER, chunks(text, size), settings, () => {});
  assert.deepEqual(queue.names("maildrop"), [id]);
  const path = queue.path("maildrop", id);
  const stat = Deno.statSync(path);
  assert.equal(stat.mode! & 0o7777, 0o744);
  assert.equal(parseInt(id.slice(5), 16), stat.ino, "the id holds the inode");
  return postcat(path);
}

const HEAD = ["named_attribute: rewrite_context=local", "sender_fullname: Alice A", "sender: alice"];

Deno.test("a message from the command line reads in postcat as one of Debian's sendmail", async () => {
  assert.deepEqual(await post(["bob", "alice@x.y, <c@d>"], "Subject: x\n\nhello\r\n.\nafter\n"), [
    ...HEAD,
    "recipient: bob",
    "recipient: alice@x.y",
    "recipient: c@d",
    "Subject: x",
    "",
    "hello",
  ]);
});

const HEADER_CASES: {
  name: string;
  args?: string[];
  message: string;
  recipients: string[];
  lines: string[];
}[] = [
  {
    name: "To, Cc and Bcc with groups, names and comments",
    message:
      'To: x@y, "q, r" <z@w>, Group: a@b, c@d;\ncc: e@f (comment, more)\nBcc: sec@ret\nSubject: x\n\nhi\n',
    recipients: ["x@y", "z@w", "a@b", "c@d", "e@f", "sec@ret"],
    lines: ['To: x@y, "q, r" <z@w>, Group: a@b, c@d;', "cc: e@f (comment, more)", "Subject: x", "", "hi"],
  },
  {
    name: "RFC 5322 section 3.6.3: Bcc gives recipients and is not revealed",
    message: "To: x@y\nBCC: a@b,\n\tc@d\nBcc : e@f\nSubject: x\nbcc:\n\nBcc: body\n",
    recipients: ["x@y", "a@b", "c@d", "e@f"],
    lines: ["To: x@y", "Subject: x", "", "Bcc: body"],
  },
  {
    name: "recipients of the command line count too",
    args: ["extra@arg"],
    message: "To: x@y\n\n",
    recipients: ["extra@arg", "x@y"],
    lines: ["To: x@y", ""],
  },
  {
    name: "folded lines, blanks before the colon, several headers of a name",
    message: "To: a@b,\n\tc@d,\n  undisclosed-recipients:;\nTO : e@f\nto:g@h\n\nbody\n",
    recipients: ["a@b", "c@d", "e@f", "g@h"],
    lines: ["To: a@b,", "\tc@d,", "  undisclosed-recipients:;", "TO : e@f", "to:g@h", "", "body"],
  },
  {
    name: "RFC 5322 section 3.6.6: Resent headers replace the others",
    message: "To: x@y\nResent-To: r@r\nBcc: b@b\nResent-Bcc: rb@x,\n rc@x\nResent-Cc: q@q\n\nhi\n",
    recipients: ["r@r", "rb@x", "rc@x", "q@q"],
    lines: ["To: x@y", "Resent-To: r@r", "Resent-Cc: q@q", "", "hi"],
  },
  {
    name: "a header in the body is no header",
    message: "To: x@y\n\nTo: z@w\nBcc: v@u\n",
    recipients: ["x@y"],
    lines: ["To: x@y", "", "To: z@w", "Bcc: v@u"],
  },
  {
    name: "a line that is no header ends the headers",
    message: "To: x@y\nnonsense\nBcc: v@u\n\n",
    recipients: ["x@y"],
    lines: ["To: x@y", "nonsense", "Bcc: v@u", ""],
  },
  {
    name: "quoted local parts, literals, routes",
    message: 'To: "a b"@c, u@[127.0.0.1], v@[IPv6:::1], <@a,@b:c@d>\n\n',
    recipients: ["a b@c", "u@[127.0.0.1]", "v@[IPv6:::1]", "@a,@b:c@d"],
    lines: ['To: "a b"@c, u@[127.0.0.1], v@[IPv6:::1], <@a,@b:c@d>', ""],
  },
  {
    name: "lines of a mailbox file in front",
    message: "From x Mon\n>From y\nTo: x@y\n\nFrom hello\n",
    recipients: ["x@y"],
    lines: ["To: x@y", "", "From hello"],
  },
];

for (const { name, args = [], message, recipients, lines } of HEADER_CASES) {
  Deno.test(`-t: ${name}`, async () => {
    const inEnvelope = args.map((one) => `recipient: ${one}`);
    const extracted = recipients.slice(args.length).map((one) => `recipient: ${one}`);
    for (const size of [65536, 1]) {
      assert.deepEqual(await post(["-t", ...args], message, size), [
        ...HEAD,
        ...inEnvelope,
        ...lines,
        ...extracted,
      ]);
    }
  });
}

Deno.test("a long recipient header is read whole, however it is folded", async () => {
  const all = Array.from({ length: 3000 }, (_, i) => `user${i}@example.test`);
  const lines = await post(["-t"], `To: ${all.join(",")}\nCc: ${all.join(",\n ")}\n\n`);
  assert.deepEqual(
    lines.filter((line) => line.startsWith("recipient: ")),
    [...all, ...all].map((one) => `recipient: ${one}`),
  );
});

const REFUSED: { name: string; args: string[]; message?: string; status: number; text: RegExp }[] = [
  { name: "no recipient", args: [], status: 64, text: /Recipient addresses must be specified/ },
  {
    name: "-t and no header with a recipient",
    args: ["-t"],
    message: "Subject: x\n\nTo: a@b\n",
    status: 65,
    text: /No recipient addresses found in message header/,
  },
  { name: "a sender with a line feed", args: ["-f", "a\nb", "r"], status: 65, text: /malformed sender/ },
  { name: "a sender with NUL", args: ["-f", "a\0b", "r"], status: 65, text: /malformed sender/ },
  { name: "two senders", args: ["-f", "a@b, c@d", "r"], status: 64, text: /malformed sender/ },
  { name: "an empty recipient", args: [""], status: 65, text: /malformed recipient/ },
  { name: "the null recipient", args: ["<>"], status: 65, text: /malformed recipient/ },
  { name: "a recipient with a line feed", args: ["a\nb"], status: 65, text: /malformed recipient/ },
  { name: "a quoted recipient with a line feed", args: ['"a\nb'], status: 65, text: /malformed recipient/ },
  {
    name: "a recipient that is too long",
    args: [`${"a".repeat(2000)}@b`],
    status: 65,
    text: /malformed recipient/,
  },
  {
    name: "words in a header that are no address",
    args: ["-t"],
    message: "To: joe smith, a@b\n\n",
    status: 65,
    text: /malformed recipient in header To address: joe smith/,
  },
  { name: "a full name with a line feed", args: ["-F", "a\nb", "r"], status: 64, text: /bad full name/ },
];

for (const { name, args, message = "x: y\n\n", status, text } of REFUSED) {
  Deno.test(`sendmail refuses ${name} and leaves nothing behind`, async () => {
    using queue = new ScratchQueue();
    const plan = readSendmailOptions(args);
    await assert.rejects(
      postMessage(plan, POSTER, chunks(message, 65536), queue.settings, () => {}),
      (error) => error instanceof SendmailError && error.status === status && text.test(error.message),
    );
    assert.deepEqual(queue.names("maildrop"), []);
  });
}

Deno.test("an endless line stops at message_size_limit and leaves nothing behind", async () => {
  using queue = new ScratchQueue();
  async function* zeros(): AsyncGenerator<Uint8Array> {
    for (;;) yield new Uint8Array(4096);
  }
  const settings = { ...queue.settings, message_size_limit: 100_000 };
  await assert.rejects(
    postMessage(readSendmailOptions(["r"]), POSTER, zeros(), settings, () => {}),
    (error) => error instanceof MessageTooBigError,
  );
  assert.deepEqual(queue.names("maildrop"), []);
});

Deno.test("the size limit holds at n and not at n - 1", async () => {
  const text = "x: y\n\n" + "z".repeat(500) + "\n";
  let size = 0;
  {
    using queue = new ScratchQueue();
    const id = await postMessage(
      readSendmailOptions(["r"]),
      POSTER,
      chunks(text, 9),
      queue.settings,
      () => {},
    );
    size = Deno.statSync(queue.path("maildrop", id)).size;
  }
  await post(["r"], text, 100, { message_size_limit: size });
  await assert.rejects(post(["r"], text, 100, { message_size_limit: size - 1 }), MessageTooBigError);
});

Deno.test("input that fails half-way leaves nothing behind", async () => {
  using queue = new ScratchQueue();
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield new TextEncoder().encode("To: a@b\n");
    throw new Error("input is gone");
  }
  await assert.rejects(
    postMessage(readSendmailOptions(["-t"]), POSTER, broken(), queue.settings, () => {}),
    /input is gone/,
  );
  assert.deepEqual(queue.names("maildrop"), []);
});

Deno.test("while it is written a message has no queue id for a name and is for nobody else", async () => {
  using queue = new ScratchQueue();
  let seen = "";
  async function* slow(): AsyncGenerator<Uint8Array> {
    yield new TextEncoder().encode("x: y\n");
    seen = queue.names("maildrop").join();
    assert.equal(Deno.statSync(queue.path("maildrop", seen)).mode! & 0o7777, 0o600);
  }
  await postMessage(readSendmailOptions(["r"]), POSTER, slow(), queue.settings, () => {});
  assert.match(seen, /^tmp\.[0-9a-f]{24}$/);
});

Deno.test("DSN options, body type and gateway mode become the attributes that Debian's sendmail writes", async () => {
  const args = [
    "-N",
    "success,delay",
    "-R",
    "hdrs",
    "-V",
    "env1",
    "-B",
    "8BITMIME",
    "-G",
    "-f",
    "<>",
    "-F",
    "",
    "a",
  ];
  assert.deepEqual(await post(args, ""), [
    "named_attribute: envelope_id=env1",
    "named_attribute: ret_flags=2",
    "named_attribute: rewrite_context=remote",
    "sender_fullname: ",
    "sender: ",
    "named_attribute: encoding=8bit",
    "named_attribute: notify_flags=10",
    "recipient: a",
  ]);
});

Deno.test("-O requiretls=yes and -O smtputf8=yes go into a size record, as Postfix's sendmail has it", async () => {
  const optionsOf = async (...args: string[]) => {
    using queue = new ScratchQueue();
    await postMessage(
      readSendmailOptions([...args, "r"]),
      POSTER,
      chunks("x\n", 10),
      queue.settings,
      () => {},
    );
    const bytes = Deno.readFileSync(queue.path("maildrop", queue.names("maildrop")[0]!));
    const cursor = new RecordCursor(bytes);
    while (cursor.next()) if (cursor.type === RECORD.SIZE) return parseSizeRecord(cursor.data).sendOptions;
    return undefined;
  };
  assert.equal(await optionsOf("-O", "requiretls=yes"), SENDOPT_REQUIRETLS);
  assert.equal(
    await optionsOf("-ORequireTLS=Yes", "-Osmtputf8=yes"),
    SENDOPT_REQUIRETLS | SENDOPT_SMTPUTF8_REQUESTED,
  );
  assert.equal(await optionsOf("-Orequiretls=yes", "-Orequiretls=no"), undefined);
  assert.equal(await optionsOf("-O", "QueueDirectory=/tmp"), undefined);
  assert.throws(() => readSendmailOptions(["-Orequiretls=perhaps", "r"]), SendmailError);
});

Deno.test("-XV and -v go into the envelope as Debian's sendmail writes them", async () => {
  const head = ["named_attribute: rewrite_context=local", "sender_fullname: Alice A"];
  assert.deepEqual((await post(["-XV", "-f", "l@x", "a"], "")).slice(0, 4), [
    ...head,
    "sender: l@x",
    "verp_delimiters: +=",
  ]);
  const own = await post(["-XV-=", "-f", "l@x", "a"], "");
  assert.ok(own.includes("verp_delimiters: -="));
  const reported = await post(["-v", "a"], "");
  assert.ok(reported.includes("named_attribute: trace_flags=1024"));
});

for (
  const [args, text] of [[["-XVab", "a"], /two characters from -=\+/], [
    ["-XV", "-f", "<>", "a"],
    /non-null sender/,
  ]] as const
) {
  Deno.test(`sendmail ${args.join(" ")} is refused`, async () => {
    await assert.rejects(post([...args], ""), (error) => error instanceof Error && text.test(error.message));
  });
}

Deno.test("-bv posts a probe as Debian's sendmail writes it, and reads nothing", async () => {
  assert.deepEqual(await post(["-bv", "-f", "s@x", "a@y", "b@z"], "Subject: not read\n\ntext\n"), [
    "named_attribute: rewrite_context=local",
    "sender_fullname: Alice A",
    "named_attribute: trace_flags=512",
    "sender: s@x",
    "recipient: a@y",
    "recipient: b@z",
    "From: s@x",
    "Subject: probe",
    "To:\ta@y,",
    "\tb@z",
  ]);
});
