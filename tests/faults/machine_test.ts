import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { sendMessage } from "../dialogues/smtp_client.ts";
import { until } from "../commands/mail_system.ts";
import { queueFile } from "../support/messages.ts";
import { decode, Postern, QUEUES } from "../support/postern.ts";
import { Random } from "../support/random.ts";
import { TinyFileSystem } from "../support/temporary.ts";
import { testNeeding } from "../support/tools.ts";

/** A whole mail system on a machine that is not as it should be. */

const QUEUED = /^250 2\.0\.0 Ok: queued as ([0-9A-F]+)$/;
const SOON = {
  queue_run_delay: '"1s"',
  minimal_backoff_time: '"1s"',
  maximal_backoff_time: '"2s"',
  service_throttle_time: '"1s"',
  transport_retry_time: '"1s"',
};

function run(program: string, ...args: string[]): void {
  const { success, stderr } = new Deno.Command(program, { args }).outputSync();
  assert.ok(success, `${program} ${args.join(" ")}: ${decode(stderr)}`);
}

/** Sends to `someone` until so many were answered; the replies. */
async function sendMany(postern: Postern, count: number, text: string): Promise<string[]> {
  const replies: string[] = [];
  for (let i = 0; i < count; i++) {
    const reply = await sendMessage(postern.port, {
      recipients: ["someone@example.test"],
      text: `Subject: ${i}\r\n\r\n${text}`,
    })
      .catch((error) => `lost: ${error instanceof Error ? error.message : error}`);
    replies.push(reply);
  }
  return replies;
}

function accepted(replies: readonly string[]): number {
  return replies.filter((reply) => QUEUED.test(reply)).length;
}

/** Each reply is a 250, a refusal for now, or a connection that was lost. */
function demandPassing(replies: readonly string[]): void {
  for (const reply of replies) assert.match(reply, /^(250|4|lost: )/);
}

testNeeding(
  ["root"],
  "queue, log and mailboxes on one disk that fills up: 4xx, nothing is lost, and it goes on by itself",
  async () => {
    using disk = TinyFileSystem.mount(8192);
    assert.ok(disk !== undefined, "this root may not mount");
    await using postern = await Postern.start({ below: disk.path, settings: SOON });
    const first = await sendMany(postern, 3, "before");
    assert.equal(accepted(first), 3);
    const ballast = `${disk.path}/ballast`;
    const file = Deno.openSync(ballast, { createNew: true, write: true });
    try {
      for (;;) if (file.writeSync(new Uint8Array(4096)) === 0) break;
    } catch {
      // It is full now.
    }
    file.close();
    const during = await sendMany(postern, 5, "during\r\n".repeat(2000));
    demandPassing(during);
    assert.ok(accepted(during) < 5, during.join("\n"));
    Deno.removeSync(ballast);
    const all = async () =>
      accepted(first) + accepted(during) + accepted(await sendMany(postern, 3, "after"));
    assert.ok(await until(() => postern.processes().length > 3));
    const count = await all();
    assert.ok(count >= 6, `${count} of 11`);
    await postern.mail("someone", count);
    await postern.untilEmpty();
    assert.deepEqual(postern.queued("corrupt"), []);
  },
);

testNeeding(
  ["root"],
  "daemons that run out of descriptors answer 4xx, lose nothing and recover",
  async () => {
    await using postern = await Postern.start({ settings: SOON });
    assert.equal(accepted(await sendMany(postern, 1, "before")), 1);
    await postern.mail("someone", 1);
    let count = 1;
    for (const daemon of ["cleanup", "qmgr", "virtual"]) {
      const [pid] = postern.pids(daemon);
      assert.ok(pid !== undefined, daemon);
      const open = [...Deno.readDirSync(`/proc/${pid}/fd`)].length;
      run("prlimit", "--pid", String(pid), `--nofile=${open}:4096`);
      const replies = await sendMany(postern, 3, daemon);
      demandPassing(replies);
      // The runtime itself panics when it has no descriptor for its first signal handler: then another took its place.
      if (postern.pids(daemon).includes(pid)) run("prlimit", "--pid", String(pid), "--nofile=4096:4096");
      const after = await sendMany(postern, 1, `after ${daemon}`);
      demandPassing(after);
      count += accepted(replies) + accepted(after);
      await postern.mail("someone", count);
    }
    const left = () => QUEUES.flatMap((queue) => postern.queued(queue)).filter((path) => !isOfDead(path));
    assert.ok(await until(() => left().length === 0), left().join(" "));
  },
);

/** True for what a process was writing that has ended: its temporary name has its number, and the next start removes it. */
function isOfDead(path: string): boolean {
  const pid = /\/\d+\.(\d+)$/.exec(path)?.[1];
  return pid !== undefined && !existsSync(`/proc/${pid}`);
}

testNeeding(["root"], "daemons that run out of memory are replaced, and nothing is lost", async () => {
  await using postern = await Postern.start({ settings: SOON });
  assert.equal(accepted(await sendMany(postern, 1, "before")), 1);
  await postern.mail("someone", 1);
  let count = 1;
  const big = `${"x".repeat(70)}\r\n`.repeat(40_000);
  for (const daemon of ["cleanup", "qmgr"]) {
    const [pid] = postern.pids(daemon);
    assert.ok(pid !== undefined, daemon);
    // No more memory than it has: the next piece that it needs ends it.
    run("prlimit", "--pid", String(pid), "--data=1");
    const deadline = Date.now() + 20_000;
    while (postern.pids(daemon).includes(pid) && Date.now() < deadline) {
      const replies = await sendMany(postern, 2, big);
      demandPassing(replies);
      count += accepted(replies);
    }
    const after = await sendMany(postern, 1, "after");
    demandPassing(after);
    count += accepted(after);
  }
  await until(() => postern.mailbox("someone").length >= count);
  assert.ok(postern.mailbox("someone").length >= count, postern.log().slice(-3000));
});

Deno.test("a queue manager that runs out of heap is replaced, nothing is lost, and with room all is delivered", async () => {
  const MESSAGES = 12;
  const RECIPIENTS = 1000;
  await using postern = await Postern.start({
    settings: {
      ...SOON,
      notify_classes: "[]",
      default_transport: '"discard:"',
      // What has come stays in memory.
      default_destination_rate_delay: '"600s"',
      daemon_heap_limit: "20",
    },
  });
  await postern.stop();
  for (let i = 0; i < MESSAGES; i++) {
    const recipients = Array.from({ length: RECIPIENTS }, (_, n) => `${"x".repeat(60)}${n}@far.test`);
    const path = `${postern.paths.queue}/incoming/B${i.toString(16).toUpperCase().padStart(8, "0")}`;
    Deno.writeFileSync(path, queueFile({ recipients, lines: [`Subject: ${i}`, "", "to many"] }));
    Deno.chmodSync(path, 0o700);
  }
  await postern.start();
  const deaths = () =>
    postern.log().match(/warning: process qmgr pid \d+ killed by signal SIGTRAP/g)?.length ?? 0;
  assert.ok(await until(() => deaths() > 1), postern.log().slice(-2000));
  assert.match(postern.log(), /JavaScript out of memory/);
  await postern.stop();
  postern.set({ daemon_heap_limit: "512", default_destination_rate_delay: '"0s"' });
  await postern.start();
  await postern.untilEmpty();
  const sent = postern.log().match(/(\w+: to=<x+\d+@far\.test>), .*status=sent/g) ?? [];
  assert.ok(new Set(sent.map((line) => line.slice(0, line.indexOf(">")))).size === MESSAGES * RECIPIENTS);
});

testNeeding(
  ["root"],
  "a queue that became read-only: the start says so, and once it can be written all is delivered",
  async () => {
    using disk = TinyFileSystem.mount(8192);
    assert.ok(disk !== undefined, "this root may not mount");
    await using postern = await Postern.start({
      below: disk.path,
      settings: { ...SOON, transport_maps: '["inline:{ {example.test = retry:4.0.0 later} }"]' },
    });
    assert.equal(accepted(await sendMany(postern, 3, "before")), 3);
    assert.ok(await until(() => postern.queued("deferred").length === 3));
    await postern.stop();
    postern.set({ transport_maps: "[]" });
    run("mount", "-o", "remount,ro", disk.path);
    try {
      const { status, errors } = await postern.run(["start"]);
      assert.notEqual(status, 0);
      assert.match(errors, /Read-only file system/);
    } finally {
      run("mount", "-o", "remount,rw", disk.path);
    }
    assert.equal(postern.queued("deferred").length, 3);
    await postern.start();
    await postern.mail("someone", 3);
    await postern.untilEmpty();
  },
);

Deno.test("a log that is moved away stops nothing, and a port that is taken meanwhile stops the start with its name", async () => {
  await using postern = await Postern.start({ settings: SOON });
  Deno.renameSync(postern.paths.log, `${postern.paths.log}.old`);
  assert.equal(accepted(await sendMany(postern, 2, "without a log")), 2);
  await postern.mail("someone", 2);
  await postern.stop();
  {
    using _taken = Deno.listen({ hostname: "127.0.0.1", port: postern.port });
    await assert.rejects(postern.start(), /Address already in use/);
  }
  await postern.start();
  assert.equal(accepted(await sendMany(postern, 1, "after")), 1);
  await postern.mail("someone", 3);
});

testNeeding(
  ["root"],
  "a spool full of torn, foreign and hostile files: they harm nobody, and whole mail is delivered",
  async () => {
    const random = new Random(Number(Deno.env.get("POSTERN_SEED") ?? 20261123));
    await using postern = await Postern.start({ settings: SOON });
    await postern.stop();
    const put = (queue: string, name: string, bytes: Uint8Array) => {
      Deno.writeFileSync(`${postern.paths.queue}/${queue}/${name}`, bytes);
      Deno.chmodSync(`${postern.paths.queue}/${queue}/${name}`, 0o700);
    };
    const whole = queueFile({
      time: Date.now(),
      recipients: ["someone@example.test"],
      lines: ["Subject: whole", "", "text"],
    });
    const id = (kind: string, number: number) =>
      `${kind}${number.toString(16).toUpperCase().padStart(6, "0")}`;
    let torn = 0;
    for (let cut = 0; cut < whole.length; cut++) put("incoming", id("A", torn++), whole.slice(0, cut));
    for (let i = 0; i < 200; i++) {
      const flipped = whole.slice();
      flipped[random.below(flipped.length)]! ^= 1 << random.below(8);
      put(random.pick(["incoming", "active", "hold"]), id("B", i), flipped);
    }
    for (let i = 0; i < 5; i++) put(["incoming", "active"][i % 2]!, id("C", i), whole);
    for (const queue of ["incoming", "active", "deferred", "hold", "maildrop"]) {
      hostile(
        `${postern.paths.queue}/${queue}`,
      );
    }
    await postern.start();
    assert.equal(accepted(await sendMany(postern, 1, "new")), 1);
    const subjects = () =>
      postern.mailbox("someone").map((mail) => /^Subject: (.*)$/m.exec(decode(mail))?.[1]);
    const arrived = (subject: string) => subjects().filter((one) => one === subject).length;
    assert.ok(
      await until(() => arrived("whole") >= 5 && arrived("0") === 1),
      postern.log().slice(-3000),
    );
    assert.ok(
      await until(() => postern.queued("corrupt").length >= torn - 2),
      `${postern.queued("corrupt").length} of ${torn}`,
    );
    for (const mail of postern.mailbox("someone")) {
      assert.ok(
        !decode(mail).includes("root:"),
        "a file outside was read",
      );
    }
    assert.ok(Deno.readTextFileSync("/etc/passwd").includes("root:"));
  },
);

/** Names that are no message: what a local attacker or a broken disk may leave. */
function hostile(queue: string): void {
  Deno.symlinkSync("/etc/passwd", `${queue}/D000001`);
  Deno.symlinkSync("/etc", `${queue}/D000002`);
  run("mkfifo", "-m", "700", `${queue}/D000003`);
  Deno.mkdirSync(`${queue}/D000004`, { mode: 0o700 });
  Deno.writeTextFileSync(`${queue}/D000005`, "no records\n");
  Deno.chmodSync(`${queue}/D000005`, 0o6700);
  Deno.linkSync(`${queue}/D000005`, `${queue}/D000006`);
  Deno.writeTextFileSync(`${queue}/..foreign name`, "");
}
