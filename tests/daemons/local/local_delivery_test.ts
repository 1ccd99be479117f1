import assert from "node:assert/strict";
import { deliverLocally } from "../../../daemons/local/local_delivery.ts";
import { type Submit } from "../../../daemons/local/local_forward.ts";
import { type LocalSettings } from "../../../daemons/local/local_settings.ts";
import { type LocalSources } from "../../../lib/server/local_sources.ts";
import { type ServerExchange } from "../../../lib/ipc/server.ts";
import { type Logger } from "../../../lib/log/log.ts";
import { type MailboxOutcome, outcomeOf } from "../../../lib/mail/mailbox_outcome.ts";
import { NOTIFY } from "../../../lib/mail/notify.ts";
import { appendRecord, RECORD } from "../../../lib/mail/record.ts";
import { CLEANUP_STATUS, type DELIVERY } from "../../../lib/proto/protocols.ts";
import { type HelperRequest } from "../../../lib/server/boot.ts";
import { type DeliveryRequest, type MailboxAgent, serveDelivery } from "../../../lib/server/mailbox_agent.ts";
import {
  type HelperMessage,
  type PlaceRequest,
  type ProgramEnd,
  type ProgramMessage,
} from "../../../lib/server/mailbox_helper.ts";
import { ByteBuilder } from "../../../lib/vstring/byte_builder.ts";

import { LOCAL_SETTINGS } from "./local_support.ts";

const DECODER = new TextDecoder();

/** One scripted world: what is in the tables, what helpers and cleanup answer, and what they got. */
class World {
  readonly directory = Deno.makeTempDirSync();
  readonly lines: string[] = [];
  readonly mailboxes: Record<string, string> = {};
  readonly submitted: string[][] = [];
  readonly replies: string[] = [];
  troubles = 0;
  readonly outcomes: Record<string, MailboxOutcome> = {};
  /** What commands get and how they end. */
  readonly runs: { request: HelperRequest; message: ProgramMessage; text: string }[] = [];
  end: ProgramEnd = { how: "exit", code: 0, output: new Uint8Array(0) };
  /** .forward files and lists by the request that reads them. */
  files: Record<string, string> = {};
  aliases: Record<string, string> = {};
  settings: Partial<LocalSettings> = {};
  submission = { status: CLEANUP_STATUS.OK as number, reason: "", queueId: "NEW1" };
  content = ["Delivered-To: looped@example.com", "Subject: x", "", "From me", "body\r"];

  #settings(): LocalSettings {
    return {
      ...LOCAL_SETTINGS,
      home_mailbox: "Maildir/",
      propagate_unmatched_extensions: [],
      queue_directory: this.directory,
      ...this.settings,
    };
  }

  /** Delivers to the recipients and collects everything that came of it. */
  async deliver(recipients: readonly string[], more: Partial<DeliveryRequest> = {}): Promise<void> {
    const dataOffset = this.#queueFile();
    const request: DeliveryRequest = {
      queueId: "4F2A",
      queueName: "active",
      dataOffset,
      dataSize: 0,
      nexthop: "mx.example.com",
      encoding: "8bit",
      smtputf8: false,
      sender: "s@a",
      envelopeId: "ENV1",
      ret: 1,
      arrivalTime: 0,
      activeTime: 0,
      clientName: "client",
      clientAddress: "192.0.2.1",
      clientPort: "25",
      protocolName: "ESMTP",
      heloName: "helo",
      saslMethod: "",
      saslUsername: "",
      saslSender: "",
      logIdent: "",
      rewriteContext: "remote",
      probe: false,
      recipients: recipients.map((address, i) => ({
        offset: i + 1,
        address,
        originalRecipient: `orig-${address}`,
        dsnOriginalRecipient: "rfc822;x",
        notify: 6,
      })),
      ...more,
    };
    const settings = this.#settings();
    const exchange = {
      reply: (type: string, fields: Record<string, unknown>) =>
        void this.replies.push(
          type === "finished"
            ? type
            : `${fields["offset"]} ${fields["result"]} ${fields["status"]} ${fields["action"]} ${
              fields["reason"]
            }${type === "ownedRecipient" ? ` -> ${fields["owner"]}` : ""}`,
        ),
    } as unknown as ServerExchange<typeof DELIVERY>;
    await serveDelivery(this.#agent(settings), exchange, request, (job, recipient) => {
      const wasDeliveredTo = (address: string) => job.source.wasDeliveredTo(address);
      return deliverLocally(
        {
          settings,
          sources: { ...this.#sources(), wasDeliveredTo },
          submit: this.#submit,
          transports: () => undefined,
        },
        job,
        recipient,
      );
    });
  }

  #agent(settings: LocalSettings): MailboxAgent {
    const log: Logger = {
      info: (text) => void this.lines.push(text.replaceAll(/delay=\S+ delays=\S+ /g, "")),
      warning: (text) => void this.lines.push(`warning: ${text}`),
      error: () => {},
      debug: () => {},
      flush: () => {},
    };
    const run = (request: HelperRequest, message: ProgramMessage): Promise<ProgramEnd> => {
      this.runs.push({ request, message, text: textOf(message) });
      return Promise.resolve(this.end);
    };
    const deliver = (task: PlaceRequest, message: HelperMessage) => {
      const outcome = this.outcomes[task.path] ?? outcomeOf("2.0.0", "delivered to maildir");
      const all = textOf(message);
      if (outcome.result === "sent") this.mailboxes[task.path] = (this.mailboxes[task.path] ?? "") + all;
      return Promise.resolve(outcome);
    };
    return {
      settings,
      log,
      serviceName: "local",
      helpers: { deliver, run },
      trouble: () => void this.troubles++,
    };
  }

  #sources(): Omit<LocalSources, "wasDeliveredTo"> {
    const rewrite = (address: string) => address.includes("@") ? address : `${address}@example.com`;
    return {
      alias: (name) => {
        const value = this.aliases[name];
        return Promise.resolve(
          value === undefined ? { kind: "missing" } : { kind: "found", value, extension: "" },
        );
      },
      forUser: () => Promise.resolve({ kind: "missing" }),
      read: (request) => {
        const text = this.files[fileKey(request)];
        if (text === undefined) return Promise.resolve({ kind: "missing" });
        return Promise.resolve({ kind: "read", index: 0, content: new TextEncoder().encode(text) });
      },
      passwd: (user) =>
        Promise.resolve(
          user.startsWith("no")
            ? { kind: "missing" }
            : { kind: "found", value: `${user}:x:1000:100::/home/${user}:/bin/sh`, extension: "" },
        ),
      resolve: (_sender, address) => {
        const recipient = rewrite(address);
        const transport = recipient.endsWith("@example.com") ? "local" : "smtp";
        return Promise.resolve({ kind: "resolved", transport, recipient });
      },
      rewrite: (address) => Promise.resolve(rewrite(address)),
      warn: (text) => void this.lines.push(`warning: ${text}`),
    };
  }

  readonly #submit: Submit = async (_flags, produce) => {
    const records: string[] = [];
    const put = (type: number, data: Uint8Array | string) => {
      records.push(String.fromCharCode(type) + (typeof data === "string" ? data : DECODER.decode(data)));
      return undefined;
    };
    await produce({ queueId: "NEW1", record: put, line: (data) => put(RECORD.NORMAL, data) });
    this.submitted.push(records);
    return this.submission;
  };

  #queueFile(): number {
    const out = new ByteBuilder(100_000);
    appendRecord(out, RECORD.FROM, "s@a");
    appendRecord(out, RECORD.MESSAGE, "");
    const dataOffset = out.length;
    for (const line of this.content) appendRecord(out, RECORD.NORMAL, line);
    appendRecord(out, RECORD.EXTRACTED, "");
    appendRecord(out, RECORD.END, "");
    Deno.mkdirSync(`${this.directory}/active`, { recursive: true });
    Deno.writeFileSync(`${this.directory}/active/4F2A`, out.copy());
    return dataOffset;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}

function textOf(message: HelperMessage): string {
  const text = message.text();
  let all = "";
  for (let piece = text.next(); piece !== undefined; piece = text.next()) all += DECODER.decode(piece);
  return all;
}

/** `.forward of USER`, or the path of a list. */
function fileKey(request: HelperRequest): string {
  if (request.kind === "include") return request.path;
  if (request.kind === "mailbox") return `.forward of ${request.user}`;
  return request.kind === "forward" ? `.forward of ${request.recipient}` : "";
}

Deno.test("A message for a user gets its headers, one log line and one reply", async () => {
  using world = new World();
  await world.deliver(["alice+x@example.com"]);
  assert.equal(
    world.mailboxes["/home/alice/Maildir"],
    "Return-Path: <s@a>\nX-Original-To: orig-alice+x@example.com\nDelivered-To: alice+x@example.com\n" +
      "Delivered-To: looped@example.com\nSubject: x\n\nFrom me\nbody\n",
  );
  assert.deepEqual(world.lines, [
    "4F2A: to=<alice+x@example.com>, orig_to=<orig-alice+x@example.com>, relay=local, dsn=2.0.0, status=sent (delivered to maildir)",
  ]);
  assert.deepEqual(world.replies, [
    "1 sent 2.0.0 delivered delivery via local: delivered to maildir",
    "finished",
  ]);
});

Deno.test("Without enable_original_recipient and the word file, those headers are left out", async () => {
  using world = new World();
  world.settings = { enable_original_recipient: false, prepend_delivered_header: ["forward"] };
  await world.deliver(["alice@example.com"], { sender: "" });
  assert.match(world.mailboxes["/home/alice/Maildir"]!, /^Return-Path: <>\nDelivered-To: looped/);
});

Deno.test("Every recipient of a request is reported, whatever becomes of it", async () => {
  using world = new World();
  await world.deliver(["alice@example.com", "nobody@example.com", "looped@example.com"]);
  assert.deepEqual(world.replies.sort(), [
    "1 sent 2.0.0 delivered delivery via local: delivered to maildir",
    '2 bounced 5.1.1 failed unknown user: "nobody"',
    "3 bounced 5.4.6 failed mail forwarding loop for looped@example.com",
    "finished",
  ]);
  assert.ok(world.lines.some((line) => line.endsWith('dsn=5.1.1, status=bounced (unknown user: "nobody")')));
});

Deno.test("soft_bounce turns a bounce into a delay, in the log too", async () => {
  using world = new World();
  world.settings = { soft_bounce: true };
  await world.deliver(["nobody@example.com"]);
  assert.deepEqual(world.replies, ['1 deferred 4.1.1 delayed unknown user: "nobody"', "finished"]);
  assert.match(world.lines[0]!, /dsn=4\.1\.1, status=SOFTBOUNCE/);
});

Deno.test("An alias's local members are delivered, the others forwarded in one new message", async () => {
  using world = new World();
  world.aliases = { list: "alice, x@other.org, y@other.org" };
  await world.deliver(["List@example.com"]);
  assert.deepEqual(Object.keys(world.mailboxes), ["/home/alice/Maildir"]);
  assert.match(world.mailboxes["/home/alice/Maildir"]!, /^Delivered-To: List@example\.com$/m);
  const [records] = world.submitted;
  const envelope = records!.slice(1, records!.indexOf("M"));
  assert.deepEqual(envelope, [
    "Arewrite_context=remote",
    "Aencoding=8bit",
    "Alog_client_name=client",
    "Alog_client_address=192.0.2.1",
    "Alog_client_port=25",
    "Alog_protocol_name=ESMTP",
    "Alog_helo_name=helo",
    "Aenvelope_id=ENV1",
    "Aret_flags=1",
    "Ss@a",
    "Adsn_orig_rcpt=rfc822;x",
    "Anotify_flags=4",
    "Oorig-List@example.com",
    "Rx@other.org",
    "Adsn_orig_rcpt=rfc822;x",
    "Anotify_flags=4",
    "Oorig-List@example.com",
    "Ry@other.org",
  ]);
  const content = records!.slice(records!.indexOf("M") + 1);
  assert.equal(content[0], "NReceived: by mx.example.com (Postern)");
  assert.match(content[1]!, /^N\tid NEW1; /);
  assert.deepEqual(content.slice(2), [
    "NDelivered-To: list@example.com",
    "NDelivered-To: looped@example.com",
    "NSubject: x",
    "N",
    "NFrom me",
    "Nbody\r",
    "X",
    "E",
  ]);
  assert.deepEqual(world.replies, [
    "1 sent 2.0.0 expanded delivery via local: delivered to maildir",
    "finished",
  ]);
  assert.deepEqual(world.lines.map((line) => line.slice(line.indexOf("to=<"))), [
    "to=<alice@example.com>, orig_to=<orig-List@example.com>, relay=local, dsn=2.0.0, status=sent (delivered to maildir)",
    "to=<List@example.com>, orig_to=<orig-List@example.com>, relay=local, dsn=2.0.0, status=sent (forwarded as NEW1)",
  ]);
});

Deno.test("A list's new message has an envelope of its own", async () => {
  using world = new World();
  world.aliases = { list: "alice", "owner-list": "bob" };
  await world.deliver(["list@example.com"]);
  assert.deepEqual(world.mailboxes, {});
  const envelope = world.submitted[0]!.slice(0, world.submitted[0]!.indexOf("M"));
  assert.ok(envelope.includes("Sowner-list@example.com"));
  assert.ok(
    !envelope.some((record) =>
      record.startsWith("Aenvelope_id") || record.startsWith("Anotify") || record.startsWith("O")
    ),
  );
});

const OWNED_FAILURES: readonly {
  readonly name: string;
  readonly aliases: Readonly<Record<string, string>>;
  readonly settings?: Partial<LocalSettings>;
  readonly request?: Partial<DeliveryRequest>;
  readonly to?: string;
  readonly code?: number;
  readonly reply: RegExp;
}[] = [
  {
    name: "of its command is told to the owner",
    aliases: { list: '"|cmd"', "owner-list": "bob" },
    reply: /^1 bounced 5\.1\.1 failed .* -> owner-list@example\.com$/,
  },
  {
    name: "of its file is told to the owner, with an extension, too",
    aliases: { list: "/file", "owner-list": "bob" },
    settings: { recipient_delimiter: "+" },
    to: "List+x@example.com",
    reply: /^1 bounced 5\.2\.0 failed .* -> owner-list@example\.com$/,
  },
  {
    name: "is told to whom the owner expands to",
    aliases: { list: '"|cmd"', "owner-list": "bob@z.org" },
    settings: { expand_owner_alias: true },
    reply: /-> bob@z\.org$/,
  },
  {
    name: "of mail that comes back is told to the owner",
    aliases: { looped: "alice", "owner-looped": "bob" },
    to: "looped@example.com",
    reply: /^1 bounced 5\.4\.6 failed mail forwarding loop .* -> owner-looped@example\.com$/,
  },
  {
    name: "of a list in it is told to the owner of that list alone",
    aliases: { list: "inner", inner: '"|cmd"', "owner-list": "bob" },
    reply: /^1 bounced 5\.1\.1 failed .*user unknown$/,
  },
  {
    name: "without an owner is told to the sender",
    aliases: { list: '"|cmd"' },
    reply: /^1 bounced 5\.1\.1 failed .*user unknown$/,
  },
  {
    name: "is told to the sender where owners are not asked for",
    aliases: { list: '"|cmd"', "owner-list": "bob" },
    settings: { owner_request_special: false },
    reply: /^1 bounced 5\.1\.1 failed .*user unknown$/,
  },
  {
    name: "that may pass is told to nobody",
    aliases: { list: '"|cmd"', "owner-list": "bob" },
    code: 75,
    reply: /^1 deferred 4\.3\.0 delayed .*temporary failure$/,
  },
  {
    name: "of a report is told to no owner",
    aliases: { list: '"|cmd"', "owner-list": "list" },
    request: { sender: "" },
    reply: /^1 bounced 5\.1\.1 failed .*user unknown$/,
  },
  {
    name: "that soft_bounce puts off is told to nobody",
    aliases: { list: '"|cmd"', "owner-list": "bob" },
    settings: { soft_bounce: true },
    reply: /^1 deferred 4\.1\.1 delayed .*user unknown$/,
  },
];

for (
  const { name, aliases, settings, request, to = "list@example.com", code = 67, reply } of OWNED_FAILURES
) {
  Deno.test(`A failure of a list ${name}`, async () => {
    using world = new World();
    world.aliases = aliases;
    world.settings = settings ?? {};
    world.end = { how: "exit", code, output: new Uint8Array(0) };
    world.outcomes["/file"] = outcomeOf("5.2.0", "cannot append message to file /file");
    await world.deliver([to], request);
    assert.match(world.replies[0]!, reply);
  });
}

Deno.test("What a list with an owner delivers has the owner for its sender, and nothing of the one who wrote to it", async () => {
  for (const owner of [false, true]) {
    using world = new World();
    world.aliases = { list: '"|cmd", /file', ...(owner ? { "owner-list": "bob" } : {}) };
    await world.deliver(["list@example.com"]);
    const sender = owner ? "owner-list@example.com" : "s@a";
    const { text, message } = world.runs[0]!;
    for (const copy of [text, world.mailboxes["/file"]!]) {
      assert.ok(copy.includes(`Return-Path: <${sender}>\n`), copy);
      assert.equal(copy.includes("X-Original-To:"), !owner, copy);
    }
    const names = message.environment.map((one) => one.name);
    assert.equal(message.environment.find((one) => one.name === "SENDER")?.value, sender);
    assert.equal(names.includes("ORIGINAL_RECIPIENT"), !owner);
    assert.equal(names.includes("ENVID"), !owner);
  }
});

Deno.test("RFC 3461 section 5.2.7.1: an alias's members keep NOTIFY without SUCCESS, a list's start anew", async () => {
  const { NEVER, SUCCESS, FAILURE, DELAY } = NOTIFY;
  const cases: readonly (readonly [asked: number, alias: readonly string[]])[] = [
    [0, []],
    [NEVER, [`Anotify_flags=${NEVER}`]],
    [SUCCESS, []],
    [SUCCESS | FAILURE, [`Anotify_flags=${FAILURE}`]],
    [SUCCESS | FAILURE | DELAY, [`Anotify_flags=${FAILURE | DELAY}`]],
  ];
  for (const [notify, expected] of cases) {
    for (const owner of [false, true]) {
      using world = new World();
      world.aliases = { list: "x@other.org", ...(owner ? { "owner-list": "bob" } : {}) };
      const address = "list@example.com";
      const recipient = { offset: 1, address, originalRecipient: "", dsnOriginalRecipient: "", notify };
      await world.deliver([], { recipients: [recipient] });
      const sent = world.submitted[0]!.filter((record) => record.startsWith("Anotify_flags"));
      assert.deepEqual(sent, owner ? [] : expected, `${notify} ${owner}`);
    }
  }
});

Deno.test("A target that cannot be served postpones the whole recipient before any copy is made", async () => {
  using world = new World();
  world.aliases = { list: 'alice, x@other.org, ":fail: x", "|cmd"' };
  await world.deliver(["list@example.com"]);
  assert.deepEqual([world.mailboxes, world.submitted, world.runs], [{}, [], []]);
  assert.match(world.replies[0]!, /^1 deferred 4\.3\.5 delayed /);
  assert.equal(world.lines.filter((line) => line.startsWith("warning:")).length, 1);
});

Deno.test("A command gets the message behind a From line, and what mail brings in the environment, made harmless", async () => {
  using world = new World();
  world.aliases = { list: '"|cmd $X"' };
  world.settings = { command_execution_directory: "/dir/$user" };
  await world.deliver(["List+e|x@example.com"], { sender: "a;b@c" });
  const [run] = world.runs;
  assert.deepEqual(run!.request, {
    kind: "command",
    command: "cmd $X",
    author: { kind: "alias", name: "list" },
  });
  assert.match(
    run!.text,
    /^From "a;b"@c {2}.*\nReturn-Path: <"a;b"@c>\nX-Original-To: orig-List\+e\|x@example.com\nDelivered-To: List/,
  );
  assert.ok(run!.text.endsWith("\n\nFrom me\nbody\n"), "no line is quoted, none added");
  assert.equal(run!.message.directory, "/dir/list");
  const variables = Object.fromEntries(run!.message.environment.map(({ name, value }) => [name, value]));
  assert.deepEqual(variables, {
    LOGNAME: "list",
    USER: "list",
    SENDER: "a_b@c",
    RECIPIENT: "List+e_x@example.com",
    LOCAL: "list+e_x",
    DOMAIN: "example.com",
    EXTENSION: "e_x",
    ORIGINAL_RECIPIENT: "orig-List+e_x@example.com",
    CLIENT_HOSTNAME: "client",
    CLIENT_ADDRESS: "192.0.2.1",
    CLIENT_HELO: "helo",
    CLIENT_PROTOCOL: "ESMTP",
    ENVID: "ENV1",
  });
  assert.deepEqual(world.replies, [
    "1 sent 2.0.0 expanded delivery via local: delivered to command: cmd $X",
    "finished",
  ]);
});

Deno.test("A command that nothing is known of defers, one that fails bounces", async () => {
  using world = new World();
  world.aliases = { list: '"|cmd"' };
  world.end = { how: "unknown", why: "helper is gone" };
  await world.deliver(["list@example.com"]);
  world.end = { how: "exit", code: 67, output: new TextEncoder().encode("nobody\n") };
  await world.deliver(["list@example.com"]);
  assert.deepEqual(world.replies.filter((reply) => reply !== "finished"), [
    "1 deferred 4.3.0 delayed helper is gone",
    "1 bounced 5.1.1 failed user unknown. Command output: nobody ",
  ]);
});

Deno.test("A line of a .forward that is deferred holds up what stands behind it, and nothing of its own line", async () => {
  using world = new World();
  world.files = { ".forward of alice": '/first\n"|cmd", /same\n/behind\nx@other.org\n' };
  world.end = { how: "exit", code: 75, output: new Uint8Array(0) };
  await world.deliver(["alice@example.com"]);
  assert.deepEqual(Object.keys(world.mailboxes).sort(), ["/first", "/same"]);
  assert.equal(world.submitted.length, 0);
  assert.match(world.replies[0]!, /^1 deferred 4\.3\.0 delayed temporary failure/);
});

Deno.test("Mail for /dev/null is delivered without a helper", async () => {
  using world = new World();
  world.aliases = { list: "/dev/null" };
  await world.deliver(["list@example.com"]);
  assert.deepEqual(world.mailboxes, {});
  assert.equal(world.replies[0], "1 sent 2.0.0 expanded delivery via local: delivered to file: /dev/null");
});

Deno.test("A transport that master.toml does not have defers", async () => {
  using world = new World();
  world.settings = { mailbox_transport: "gone:x" };
  await world.deliver(["alice@example.com"]);
  assert.equal(world.replies[0], '1 deferred 4.3.0 delayed mail transport "gone" is not available');
});

Deno.test("A member that bounces is reported in the name of the list, the others are served", async () => {
  using world = new World();
  world.aliases = { list: "alice, nobody" };
  await world.deliver(["list@example.com"]);
  assert.deepEqual(Object.keys(world.mailboxes), ["/home/alice/Maildir"]);
  assert.deepEqual(world.replies, [
    '1 bounced 5.1.1 failed <nobody@example.com>: unknown user: "nobody"',
    "finished",
  ]);
});

Deno.test("A mailbox that cannot be written now defers the recipient and keeps forwarded mail back", async () => {
  using world = new World();
  world.aliases = { list: "alice, x@other.org" };
  world.outcomes["/home/alice/Maildir"] = outcomeOf("4.3.0", "disk full");
  await world.deliver(["list@example.com"]);
  assert.equal(world.submitted.length, 0);
  assert.equal(world.replies[0], "1 deferred 4.3.0 delayed <alice@example.com>: disk full");
});

const REFUSALS: readonly (readonly [status: number, expected: string])[] = [
  [CLEANUP_STATUS.WRITE, "1 deferred 4.3.0 delayed unable to forward message: why"],
  [CLEANUP_STATUS.DEFER, "1 deferred 4.3.0 delayed unable to forward message: why"],
  [CLEANUP_STATUS.HOPS, "1 bounced 5.4.6 failed too many hops: why"],
  [CLEANUP_STATUS.SIZE, "1 bounced 5.3.4 failed message too big: why"],
  [CLEANUP_STATUS.CONTENT, "1 bounced 5.7.1 failed message content rejected: why"],
];

for (const [status, expected] of REFUSALS) {
  Deno.test(`Cleanup's status ${status} for forwarded mail gives "${expected.slice(2, 22)}"`, async () => {
    using world = new World();
    world.aliases = { list: "x@other.org" };
    world.submission = { status, reason: "why", queueId: "" };
    await world.deliver(["list@example.com"]);
    assert.equal(world.replies[0], expected);
  });
}

Deno.test("A queue file that is damaged, missing or elsewhere defers every recipient", async () => {
  using world = new World();
  await world.deliver(["alice@example.com", "bob@example.com"], { queueId: "NONE" });
  await world.deliver(["alice@example.com"], { queueId: "../active/4F2A" });
  await world.deliver(["alice@example.com"], { queueName: "incoming" });
  await world.deliver(["alice@example.com"], { dataOffset: 3 });
  const results = world.replies.filter((reply) => reply !== "finished").map((reply) =>
    reply.split(" ").slice(1, 3).join(" ")
  );
  assert.deepEqual(results, Array(5).fill("deferred 4.3.0"));
  assert.equal(world.replies.filter((reply) => reply === "finished").length, 4);
  assert.deepEqual([world.mailboxes, world.troubles], [{}, 4]);
});

Deno.test("A probe says where mail would go: nothing is written, forwarded or expanded", async () => {
  using world = new World();
  world.aliases = { list: "alice, else@where.test" };
  world.settings = { soft_bounce: true };
  await world.deliver(["alice@example.com", "list@example.com", "nobody@example.com"], { probe: true });
  assert.deepEqual(world.mailboxes, {});
  assert.deepEqual(world.submitted, []);
  assert.deepEqual(world.replies.sort(), [
    "1 sent 2.0.0 delivered delivery via local: delivers to maildir",
    "2 sent 2.0.0 expanded delivery via local: aliased to alice, else@where.test",
    '3 bounced 5.1.1 failed delivery via local: unknown user: "nobody"',
    "finished",
  ]);
  const said = world.lines.map((line) => line.slice(line.indexOf("dsn="))).sort();
  assert.deepEqual(said, [
    "dsn=2.0.0, status=deliverable (aliased to alice, else@where.test)",
    "dsn=2.0.0, status=deliverable (delivers to maildir)",
    'dsn=5.1.1, status=undeliverable (unknown user: "nobody")',
  ]);
});

Deno.test("A probe of a user whom luser_relay takes says so; one in an mbox file is a mailbox", async () => {
  using world = new World();
  world.settings = { luser_relay: "catch@all.test", home_mailbox: "mbox" };
  await world.deliver(["alice@example.com", "nobody@example.com"], { probe: true });
  assert.deepEqual(world.submitted, []);
  assert.deepEqual(world.replies.sort(), [
    "1 sent 2.0.0 delivered delivery via local: delivers to mailbox",
    "2 sent 2.0.0 delivered delivery via local: forwards to catch@all.test",
    "finished",
  ]);
});
