import assert from "node:assert/strict";
import { until } from "../commands/mail_system.ts";
import { utf8 } from "../support/bytes.ts";
import { CaptureSink } from "../support/capture_sink.ts";
import { filesBelow, Postern, QUEUES, runProgram } from "../support/postern.ts";
import { Postfix } from "../support/postfix.ts";
import { queueFile } from "../support/messages.ts";
import { TemporaryDirectory } from "../support/temporary.ts";
import { testNeeding } from "../support/tools.ts";
import { arrived, digest, expected, fill, type Made, makeMessages } from "./takeover_support.ts";

/** The queue of a stopped Debian Postfix taken over by Postern, and the other way round: message for message. */

const LIMIT = 120_000;
/** The first system delivers to one domain and defers the other. */
const FIRST_POSTFIX = {
  transport_maps: "inline:{ { now.test = discard: }, { late.test = smtp:[127.0.0.1]:1 } }",
  smtpd_recipient_limit: "2000",
  default_process_limit: "10",
};
const FIRST_POSTERN = {
  transport_maps: '["inline:{ { now.test = discard: }, { late.test = smtp:[127.0.0.1]:1 } }"]',
  smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
  virtual_mailbox_domains: "[]",
};

/** The second one sends everything to the sink. */
function secondPostfix(sink: CaptureSink): Record<string, string> {
  return { relayhost: `[127.0.0.1]:${sink.port}` };
}

function secondPostern(sink: CaptureSink): Record<string, string> {
  return {
    default_transport: '"smtp:"',
    relayhost: `"[127.0.0.1]:${sink.port}"`,
    transport_maps: "[]",
    virtual_mailbox_domains: "[]",
  };
}

async function copySpool(from: string, to: string): Promise<void> {
  const done = await runProgram("cp", ["-a", from, to]);
  assert.equal(done.status, 0, done.errors);
}

/** Everything but what is on hold, then that too. */
async function deliverAll(
  sink: CaptureSink,
  messages: readonly Made[],
  commands: {
    flush: () => Promise<unknown>;
    release: () => Promise<unknown>;
    why: () => Promise<string> | string;
  },
): Promise<void> {
  const wanted = expected(messages);
  const held = expected(messages.filter(({ hold }) => hold)).length;
  await commands.flush();
  const some = () => sink.captured.length >= wanted.length - held;
  if (!await until(some, LIMIT)) {
    const there = new Set(arrived(sink.captured));
    const missing = expected(messages.filter(({ hold }) => !hold)).filter((line) => !there.has(line));
    throw new Error(
      `${missing.length} did not arrive: ${missing.slice(0, 9).join(", ")}; ${await commands.why()}`,
    );
  }
  assert.deepEqual(
    arrived(sink.captured),
    expected(messages.filter(({ hold }) => !hold)),
    "what is on hold stays there",
  );
  await commands.release();
  await commands.flush();
  const all = () => sink.captured.length >= wanted.length;
  assert.ok(await until(all, LIMIT), `${sink.captured.length} of ${wanted.length}: ${await commands.why()}`);
  assert.deepEqual(arrived(sink.captured), wanted);
}

async function deliverWithPostfix(spool: string, messages: readonly Made[]): Promise<string[]> {
  await using sink = new CaptureSink();
  await using postfix = Postfix.make({ settings: secondPostfix(sink) });
  Deno.removeSync(postfix.queue, { recursive: true });
  await copySpool(spool, postfix.queue);
  await toPostfix(postfix.queue);
  await postfix.start();
  await deliverAll(sink, messages, {
    flush: () => postfix.run("/usr/sbin/postqueue", ["-f"]),
    release: () => postfix.run("/usr/sbin/postsuper", ["-H", "ALL"]),
    why: () => postfix.log().split("\n").slice(-20).join("\n"),
  });
  const empty = () => QUEUES.every((queue) => filesBelow(`${postfix.queue}/${queue}`).length === 0);
  assert.ok(await until(empty), postfix.log().split("\n").slice(-20).join("\n"));
  return digest(sink.captured);
}

/** The owners and modes that `postfix set-permissions` gives, and the files to Postfix: docs/man/import.8.md. */
async function toPostfix(queue: string): Promise<void> {
  const script =
    'cd "$1" && for d in active bounce corrupt defer deferred flush hold incoming saved trace; do ' +
    "mkdir -p $d && chown -R postfix $d || exit 1; done && " +
    "find maildrop -type f ! -perm -004 -user root -exec chown postfix {} + && " +
    "chown postfix private && chown postfix:postdrop public maildrop && chmod 2710 public && chmod 1730 maildrop";
  const done = await runProgram("sh", ["-c", script, "sh", queue]);
  assert.equal(done.status, 0, done.errors);
}

async function deliverWithPostern(
  messages: readonly Made[],
  bring: (postern: Postern) => Promise<unknown>,
): Promise<string[]> {
  await using sink = new CaptureSink();
  await using postern = await Postern.make({ settings: secondPostern(sink) });
  await bring(postern);
  await postern.start();
  await deliverAll(sink, messages, {
    flush: () => postern.run(["postqueue", "-f"]),
    release: () => postern.run(["postsuper", "-H", "ALL"]),
    why: async () =>
      `${(await postern.run(["postqueue", "-p"])).output.slice(0, 3000)}${postern.log().slice(-3000)}`,
  });
  await postern.untilEmpty();
  return digest(sink.captured);
}

/** Messages of a listing in one order: directories have none. */
function sortedListing(listing: string): string[] {
  const blocks = listing.startsWith("{") ? listing.split("\n") : listing.split("\n\n");
  return blocks.map((block) => block.replace(/^-Queue ID-.*\n/, "")).sort();
}

/** Rows of equal counts in one order. */
function sortedRows(table: string): string[] {
  return table.split("\n").sort();
}

/** Our queue commands and Debian's on a copy of the same queue, while nothing runs. */
async function compareTools(spool: string): Promise<void> {
  await using postfix = Postfix.make();
  Deno.removeSync(postfix.queue, { recursive: true });
  await copySpool(spool, postfix.queue);
  await using postern = await Postern.make({ settings: { queue_directory: `"${postfix.queue}"` } });
  const ids = filesBelow(`${postfix.queue}/deferred`).map((path) => path.slice(path.lastIndexOf("/") + 1))
    .sort();
  const expired = await postfix.run("/usr/sbin/postsuper", ["-e", "-"], ids.slice(0, 5).join("\n"));
  assert.match(expired.errors, /Force-expired: 5 messages/);
  for (const option of ["-p", "-j"]) {
    const want = await postfix.run("/usr/sbin/postqueue", [option]);
    const got = await postern.run(["postqueue", option]);
    assert.deepEqual(sortedListing(got.output), sortedListing(want.output), `postqueue ${option}`);
    assert.equal(got.status, want.status);
    if (option === "-p") {
      assert.equal((await postern.run(["mailq"])).output, got.output);
      assert.equal((await postern.run(["sendmail", "-bp"])).output, got.output);
    }
  }
  const paths = QUEUES.flatMap((queue) => filesBelow(`${postfix.queue}/${queue}`)).filter((_, i) =>
    i % 25 === 0
  );
  for (const options of [[], ["-vo"], ["-bd"]]) {
    const want = await postfix.run("/usr/sbin/postcat", [...options, ...paths]);
    const got = await postern.run(["postcat", ...options, ...paths]);
    assert.ok(got.output === want.output, `postcat ${options.join(" ")}`);
  }
  const [want, got] = [
    await postfix.run("/usr/sbin/postcat", ["-q", ...ids.slice(0, 3)]),
    await postern.run(["postcat", "-q", ...ids.slice(0, 3)]),
  ];
  assert.equal(got.output, want.output);
  for (const options of [[], ["-s"], ["-p", "-m", "1"]]) {
    const folders = ["incoming", "active", "deferred", "hold"].map((queue) => `${postfix.queue}/${queue}`);
    const want = await runProgram("/usr/sbin/qshape", [...options, ...folders]);
    const got = await postern.run(["qshape", ...options, ...folders]);
    assert.deepEqual(sortedRows(got.output), sortedRows(want.output), `qshape ${options.join(" ")}`);
  }
}

/** The messages with the recipients that nobody has delivered to: of posted ones, all. */
function allOf(messages: readonly Made[], posted: readonly Made[]): Made[] {
  return [...messages, ...posted.map((made) => ({ ...made, waiting: made.post.to, hold: false }))];
}

testNeeding(["root", "postfix", "python3"], "500 messages in the queue of a stopped Postfix", async (t) => {
  const messages = makeMessages(41, 460);
  const posted = makeMessages(42, 40);
  const all = allOf(messages, posted);
  await using first = await Postfix.start({ settings: FIRST_POSTFIX });
  await t.step("nothing is taken from it while it runs", async () => {
    await using postern = await Postern.make();
    const done = await postern.run(["import", "--queue", first.queue]);
    assert.equal(done.status, 1);
    assert.match(done.errors, /fatal: the mail system of that queue is running: stop it first\n$/);
  });
  await fill(
    {
      port: first.port,
      queue: first.queue,
      postsuper: (args, input) => first.run("/usr/sbin/postsuper", args, input),
      sendmail: (args, input) => first.run("/usr/sbin/sendmail", args, input),
      queued: (queue) => first.queued(queue),
      untilDeferred: async (count) => {
        const there = () => first.queued("deferred").length === count && first.queued("active").length === 0;
        assert.ok(await until(there, LIMIT), first.log().split("\n").slice(-20).join("\n"));
      },
      stop: () => first.stop(),
    },
    messages,
    posted,
  );
  assert.deepEqual(
    ["incoming", "active", "maildrop"].map((queue) => first.queued(queue).length > 10),
    [true, true, true],
  );
  using spools = new TemporaryDirectory();
  Deno.chmodSync(spools.path, 0o755);
  for (const name of ["import", "as-it-is"]) await copySpool(first.queue, spools.at(name));

  await t.step(
    "postqueue, mailq, postcat and qshape print that queue as Debian's do",
    () => compareTools(first.queue),
  );
  let want: string[] = [];
  await t.step("Debian's Postfix itself delivers them", async () => {
    want = await deliverWithPostfix(first.queue, messages.concat(all.slice(messages.length)));
  });
  await t.step("Postern delivers the same after postern import --queue", async () => {
    const got = await deliverWithPostern(all, async (postern) => {
      const done = await postern.run(["import", "--queue", spools.at("import")]);
      assert.equal(done.status, 0, done.errors);
      for (const queue of ["incoming", "active", "deferred", "hold", "maildrop"]) {
        assert.deepEqual(filesBelow(`${spools.at("import")}/${queue}`), [], queue);
      }
      assert.match(done.errors, /^import: maildrop: 40 messages taken over$/m);
    });
    assert.deepEqual(got, want);
  });
  await t.step("Postern delivers the same when it is started on the queue as it is", async () => {
    const got = await deliverWithPostern(all, async (postern) => {
      Deno.removeSync(postern.paths.queue, { recursive: true });
      await copySpool(spools.at("as-it-is"), postern.paths.queue);
    });
    assert.deepEqual(got, want);
  });
});

testNeeding(["root", "postfix", "python3"], "500 messages in the queue of a stopped Postern", async (t) => {
  const messages = makeMessages(43, 480, false);
  const posted = makeMessages(44, 20);
  const all = allOf(messages, posted);
  await using first = await Postern.start({ settings: FIRST_POSTERN });
  await fill(
    {
      port: first.port,
      queue: first.paths.queue,
      postsuper: (args, input) => first.run(["postsuper", ...args], input),
      sendmail: (args, input) => first.run(["sendmail", ...args], input),
      queued: (queue) => first.queued(queue),
      untilDeferred: async (count) => {
        const there = () => first.queued("deferred").length === count && first.queued("active").length === 0;
        if (!await until(there, LIMIT)) throw first.failure("not all are deferred");
      },
      stop: () => first.stop(),
    },
    messages,
    posted,
  );
  using spools = new TemporaryDirectory();
  Deno.chmodSync(spools.path, 0o755);
  await copySpool(first.paths.queue, spools.at("queue"));

  let want: string[] = [];
  await t.step("Debian's Postfix delivers them from a copy", async () => {
    want = await deliverWithPostfix(first.paths.queue, all);
  });
  await t.step("Postern itself delivers the same", async () => {
    const got = await deliverWithPostern(all, async (postern) => {
      Deno.removeSync(postern.paths.queue, { recursive: true });
      await copySpool(spools.at("queue"), postern.paths.queue);
    });
    assert.deepEqual(got, want);
  });
});

/** As Debian's Postfix writes it. */
const BOUNCE_LOG = `<gone@far.test>: host mx.far.test[192.0.2.1] said: 550 5.1.1 no such user here (in reply
recipient=gone@far.test
offset=600
dsn_orig_rcpt=rfc822;gone@far.test
status=5.1.1
action=failed
diag_type=smtp
diag_text=550 5.1.1 no such user here
mta_type=dns
mta_mname=mx.far.test
reason=host mx.far.test[192.0.2.1] said: 550 5.1.1 no such user here (in reply to RCPT TO command)

`;

Deno.test("a bounce that the old system had not sent yet is sent by the new one, with the reason in its log", async () => {
  using source = new TemporaryDirectory();
  for (const name of ["incoming", "active", "bounce", "pid"]) Deno.mkdirSync(source.at(name));
  const message = queueFile({
    sender: "me@example.test",
    recipients: [{ address: "gone@far.test", original: "", done: true }],
    time: Date.now(),
  });
  source.write("active/42AAA100001", message, 0o700);
  source.write("bounce/42AAA100001", utf8(`\n${BOUNCE_LOG}`), 0o600);
  await using postern = await Postern.make();
  const done = await postern.run(["import", "--queue", source.path]);
  assert.equal(done.status, 0, done.errors);
  await postern.start();
  const [report] = await postern.mail("me");
  assert.match(
    new TextDecoder().decode(report),
    /550 5\.1\.1 no\s+such\s+user\s+here\s+\(in\s+reply\s+to\s+RCPT\s+TO\s+command\)/,
  );
  await postern.untilEmpty();
});
