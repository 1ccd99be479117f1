import assert from "node:assert/strict";
import { Postern } from "../../support/postern.ts";
import { Trace } from "../../support/strace.ts";
import { TinyFileSystem } from "../../support/temporary.ts";
import { testNeeding } from "../../support/tools.ts";
import { sendMessage, SmtpClient } from "../../dialogues/smtp_client.ts";
import { until } from "../../commands/mail_system.ts";
import { CLEANUP_STATUS } from "../../../lib/proto/protocols.ts";
import { ACCEPTED, CleanupHost, submit } from "./cleanup_support.ts";

const QUEUED = /^250 2\.0\.0 Ok: queued as ([0-9A-F]+)$/;

testNeeding(
  ["root"],
  "cleanup: on a full disk a message gets WRITE and leaves nothing; when there is room it goes on",
  async () => {
    using disk = TinyFileSystem.mount(256);
    assert.ok(disk !== undefined, "this root may not mount");
    using host = new CleanupHost({ queue: disk.path });
    const big = { lines: ["", ...Array.from({ length: 400 }, () => "x".repeat(1000))] };
    for (let round = 0; round < 3; round++) {
      assert.deepEqual(await submit(host, big), { status: CLEANUP_STATUS.WRITE, reason: "" });
      assert.deepEqual(host.files(), []);
    }
    assert.equal(host.hints.length, 0);
    assert.deepEqual(await submit(host), ACCEPTED);
    // Full to the last byte: not even a small one, and it says so.
    Deno.removeSync(host.files()[0]![0]);
    Deno.writeFileSync(`${disk.path}/ballast`, new Uint8Array(128 * 1024));
    const ballast = Deno.openSync(`${disk.path}/ballast`, { append: true });
    try {
      for (;;) if (ballast.writeSync(new Uint8Array(4096)) === 0) break;
    } catch {
      // It is full now.
    }
    ballast.close();
    assert.equal((await submit(host)).status, CLEANUP_STATUS.WRITE);
    Deno.removeSync(`${disk.path}/ballast`);
    assert.deepEqual(await submit(host), ACCEPTED);
  },
);

const DISCARD = {
  // No notices to the postmaster: they would count as messages.
  notify_classes: "[]",
  default_transport: '"discard:"',
  virtual_mailbox_domains: "[]",
  mydestination: "[]",
  mynetworks: '["127.0.0.0/8"]',
  smtpd_relay_restrictions: '["permit_mynetworks", "reject"]',
};

testNeeding(
  ["root", "strace"],
  "cleanup: each message that got 250 was in the journal before that, and the journal was synced behind it",
  async () => {
    await using system = await Postern.start({ settings: DISCARD });
    assert.match(await sendMessage(system.port), QUEUED);
    await using trace = await Trace.attach(
      system.pids("cleanup")[0]!,
      "write,fsync,fdatasync",
      "-s",
      "1000000",
    );
    const acknowledged: [id: string, time: number][] = [];
    await Promise.all(Array.from({ length: 8 }, async () => {
      for (let i = 0; i < 6; i++) {
        const reply = await sendMessage(system.port);
        acknowledged.push([QUEUED.exec(reply)![1]!, Date.now()]);
      }
    }));
    const calls = trace.calls().filter(({ text }) => text.includes("/journal/"));
    assert.equal(acknowledged.length, 48);
    for (const [id, time] of acknowledged) {
      const written = calls.find(({ text }) => text.startsWith("write(") && text.includes(id));
      assert.ok(written !== undefined, `${id} was not written`);
      const synced = calls.find((call) => call.time > written.time && /^f(data)?sync\(/.test(call.text));
      assert.ok(synced !== undefined && synced.time < time, `${id} was not synced before its 250`);
      assert.equal(segmentOf(synced.text), segmentOf(written.text));
    }
  },
);

/** The journal's file that a call is about. */
function segmentOf(call: string): string | undefined {
  return /<([^>]*\/journal\/[^>]*)>/.exec(call)?.[1];
}

testNeeding(
  ["root", "strace"],
  "cleanup: a message that is too long for the journal has its file synced before its 250, and its name after it",
  async () => {
    await using system = await Postern.start({ settings: DISCARD });
    assert.match(await sendMessage(system.port), QUEUED);
    await using trace = await Trace.attach(
      system.pids("cleanup")[0]!,
      "fsync,fdatasync,rename,renameat,renameat2",
    );
    const text = `Subject: long\r\n\r\n${"x".repeat(70)}\r\n`.repeat(3000);
    const id = QUEUED.exec(await sendMessage(system.port, { text }))![1]!;
    const acknowledged = Date.now();
    const calls = trace.calls();
    const file = calls.find(({ text }) => /sync\(.*\/incoming\/\d+\.\d+>/.test(text));
    const name = calls.find(({ text }) => text.startsWith("rename") && text.includes(`/incoming/${id}"`));
    const directory = calls.find(({ time, text }) => time > (name?.time ?? 0) && /\/incoming>/.test(text));
    assert.ok(file !== undefined && name !== undefined && directory !== undefined, JSON.stringify(calls));
    assert.ok(file.time < name.time && name.time < directory.time && directory.time < acknowledged);
  },
);

testNeeding(
  ["root", "strace"],
  "cleanup: a sync that fails is the client's 451, nothing is queued, and the next message goes through",
  async () => {
    await using system = await Postern.start({ settings: DISCARD });
    assert.match(await sendMessage(system.port), QUEUED);
    await system.untilEmpty();
    {
      await using _ = await Trace.attach(
        system.pids("cleanup")[0]!,
        "fsync,fdatasync",
        "-e",
        "inject=fsync,fdatasync:error=EIO",
      );
      for (let i = 0; i < 5; i++) {
        assert.equal(
          await sendMessage(system.port),
          "451 4.3.0 Error: queue file write error",
        );
      }
    }
    const last = QUEUED.exec(await sendMessage(system.port))![1]!;
    await system.untilEmpty();
    await system.untilLogged(`${last}: removed`);
    assert.equal([...system.log().matchAll(/: removed\n/g)].length, 2);
  },
);

/** Where the process is killed: at which system call, whether the message may be complete by then, and on which file. */
const CRASHES: readonly (readonly [name: string, calls: string, complete: boolean, journal?: true])[] = [
  ["before the file is written", "write", false],
  ["before the journal is written", "write", false, true],
  ["before the journal is synced", "fsync,fdatasync", false, true],
  ["before the name is given", "rename,renameat,renameat2", true],
  ["while the answer is sent", "sendto", true],
];

for (const [name, calls, complete, journal] of CRASHES) {
  testNeeding(
    ["root", "strace"],
    `cleanup: killed ${name}, it loses nothing that was acknowledged and keeps nothing incomplete`,
    async () => {
      await using system = await Postern.start({ settings: { ...DISCARD, max_idle: '"1000s"' } });
      const before = QUEUED.exec(await sendMessage(system.port))![1]!;
      const [pid] = system.pids("cleanup");
      let reply: string;
      {
        const segment = [...Deno.readDirSync(`${system.paths.queue}/journal`)][0]!.name;
        const only = journal === undefined ? [] : ["-P", `${system.paths.queue}/journal/${segment}`];
        await using trace = await Trace.attach(pid!, calls, "-e", `inject=${calls}:signal=KILL`, ...only);
        const killed = trace.letGoWhenKilled();
        reply = await sendMessage(system.port, { text: "Subject: killed\r\n\r\nx" });
        await killed;
      }
      // The call in which the process is killed may still do its work.
      const answered = QUEUED.test(reply);
      assert.ok(answered ? calls === "sendto" : reply.startsWith("4"), reply);
      assert.ok(await until(() => !system.pids("cleanup").includes(pid!)));
      await system.stop();
      await system.start();
      const after = QUEUED.exec(await sendMessage(system.port))![1]!;
      await system.untilEmpty();
      for (const id of [before, after]) await system.untilLogged(`${id}: removed`);
      // An unacknowledged message may be delivered only when it was complete: its client may send it twice.
      const removed = [...system.log().matchAll(/: removed\n/g)].length;
      const allowed = answered ? [3] : complete ? [2, 3] : [2];
      assert.ok(allowed.includes(removed), `${removed} messages were delivered`);
      assert.equal(system.queued("incoming").length, 0);
      assert.equal(system.queued("corrupt").length, 0);
    },
  );
}

testNeeding(
  ["root"],
  "cleanup: killed in the middle of a message it leaves nothing, and the client hears 451",
  async () => {
    await using system = await Postern.start({ settings: DISCARD });
    assert.match(await sendMessage(system.port), QUEUED);
    using client = await SmtpClient.connect(system.port);
    await client.reply();
    assert.match(
      await client.says("EHLO x", "MAIL FROM:<a@example.com>", "RCPT TO:<one@example.test>", "DATA"),
      /^354/,
    );
    await client.send(`Subject: half\r\n\r\n${"x".repeat(70_000)}\r\n`);
    await until(() => system.queued("incoming").length === 1);
    Deno.kill(system.pids("cleanup")[0]!, "SIGKILL");
    await until(() => system.log().includes("killed by signal SIGKILL"));
    await client.send("more\r\n");
    assert.equal(await client.say("."), "451 4.3.0 Error: queue file write error");
    // The session goes on with the next process.
    assert.match(
      await client.says(
        "MAIL FROM:<a@example.com>",
        "RCPT TO:<one@example.test>",
        "DATA",
        "Subject: whole\r\n\r\nx\r\n.",
      ),
      QUEUED,
    );
    await system.stop();
    await system.start();
    await system.untilEmpty();
    assert.match(system.log(), /: removed \(incomplete message of an earlier run\)/);
  },
);
