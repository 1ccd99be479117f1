import assert from "node:assert/strict";
import { type HelperRequest, type HelperTask } from "../../../lib/server/boot.ts";
import { MailboxHelperPool } from "../../../lib/server/mailbox_helper.ts";
import { encodeText } from "../../../lib/vstring/byte_builder.ts";
import { testNeeding } from "../../support/tools.ts";
import { ended, Processes } from "./helper_processes.ts";

function taskFor(path: string, format: "maildir" | "mbox"): HelperTask {
  return { kind: "mailbox", path, format, user: "alice@example.test", uid: Deno.uid()!, gid: Deno.gid()! };
}

/** A message that shows when a part of it is missing. */
function message(number: number) {
  const lines = Array.from({ length: 40 }, (_, i) => `${number} ${i} ${"x".repeat(100)}\n`);
  return {
    queueId: `Q${number}`,
    sender: "s@a",
    text: () => ({ next: shift(lines.map((line) => encodeText(line))) }),
  };
}

function shift<T>(items: T[]): () => T | undefined {
  return () => items.shift();
}

function expectedText(number: number): string {
  return Array.from({ length: 40 }, (_, i) => `${number} ${i} ${"x".repeat(100)}\n`).join("");
}

const OPTIONS = { sanitizeOps: false, sanitizeResources: false };

Deno.test(
  "The helper process writes its Maildir and its mbox under the flags of master, without a log line",
  OPTIONS,
  async () => {
    const directory = Deno.makeTempDirSync();
    try {
      await using processes = new Processes();
      const pool = new MailboxHelperPool({ start: (task) => processes.start(task), limit: 10, idle: 10 });
      const maildir = taskFor(`${directory}/box`, "maildir");
      const mbox = taskFor(`${directory}/mbox`, "mbox");
      for (
        const [task, reason] of [[maildir, "delivered to maildir"], [mbox, "delivered to mailbox"]] as const
      ) {
        assert.deepEqual(await pool.deliver(task, message(1)), { result: "sent", status: "2.0.0", reason });
      }
      const [file] = [...Deno.readDirSync(`${directory}/box/new`)];
      assert.equal(Deno.readTextFileSync(`${directory}/box/new/${file!.name}`), expectedText(1));
      assert.ok(Deno.readTextFileSync(`${directory}/mbox`).endsWith(expectedText(1) + "\n"));
      assert.equal(processes.errors, "");
    } finally {
      Deno.removeSync(directory, { recursive: true });
    }
  },
);

Deno.test(
  "A shared helper process writes the mailboxes below its directory, and follows no link out of it",
  OPTIONS,
  async () => {
    const directory = Deno.makeTempDirSync();
    const base = `${directory}/base`;
    try {
      for (const path of ["base/domain", "elsewhere/box"]) {
        Deno.mkdirSync(`${directory}/${path}`, { recursive: true });
      }
      Deno.symlinkSync(`${directory}/elsewhere`, `${base}/away`);
      Deno.symlinkSync(`${directory}/elsewhere/box`, `${base}/linked`);
      await using processes = new Processes();
      const start = (task: HelperRequest) => processes.start(task);
      const pool = new MailboxHelperPool({ start, limit: 10, idle: 10, sharedBelow: base });
      const sent = [["one", "maildir"], ["domain/two", "maildir"], ["domain/three", "mbox"]] as const;
      for (const [path, format] of sent) {
        assert.equal((await pool.deliver(taskFor(`${base}/${path}`, format), message(1))).result, "sent");
      }
      for (const path of ["one/new", "domain/two/new"]) {
        const [file] = [...Deno.readDirSync(`${base}/${path}`)];
        assert.equal(Deno.readTextFileSync(`${base}/${path}/${file!.name}`), expectedText(1));
      }
      assert.ok(Deno.readTextFileSync(`${base}/domain/three`).endsWith(expectedText(1) + "\n"));
      const refused = [["away/box", "maildir"], ["away/mbox", "mbox"], ["linked", "maildir"]] as const;
      for (const [path, format] of refused) {
        const { result, status } = await pool.deliver(taskFor(`${base}/${path}`, format), message(2));
        assert.deepEqual([result, status], ["deferred", "4.2.0"], path);
      }
      assert.deepEqual([...Deno.readDirSync(`${directory}/elsewhere`)].map(({ name }) => name), ["box"]);
      assert.deepEqual([...Deno.readDirSync(`${directory}/elsewhere/box`)], []);
      assert.equal(processes.children.length, 1);
      assert.equal(processes.errors, "");
    } finally {
      Deno.removeSync(directory, { recursive: true });
    }
  },
);

testNeeding(
  ["strace"],
  "A message is on the disk before its name in new, and that name before the answer, alone and among others",
  async () => {
    const directory = Deno.makeTempDirSync();
    const trace = `${directory}/trace`;
    try {
      await using processes = new Processes([
        "strace",
        "-f",
        "-y",
        "-s",
        "4096",
        "-o",
        trace,
        "-e",
        "fsync,link,linkat,write,writev,sendto",
      ]);
      const pool = new MailboxHelperPool({ start: (task) => processes.start(task), limit: 1, idle: 0 });
      const task = taskFor(`${directory}/box`, "maildir");
      await pool.deliver(task, message(0));
      await Promise.all(Array.from({ length: 10 }, (_, i) => pool.deliver(task, message(i + 1))));
      await new Promise((resolve) => setTimeout(resolve, 5));
      pool.endIdle();
      await ended(processes.children[0]!);
      const lines = Deno.readTextFileSync(trace).split("\n");
      let synced = 0, linked = 0, durable = 0, answers = 0;
      for (const line of lines) {
        if (/fsync\(\d+<[^>]*\/box\/tmp\//.test(line)) synced++;
        else if (/link(at)?\(.*\/box\/new\//.test(line)) assert.ok(++linked <= synced, line);
        else if (/fsync\(\d+<[^>]*\/box\/new>/.test(line)) durable = linked;
        else if (/(write|writev|sendto)\(3</.test(line)) {
          answers += line.split("delivered to").length - 1;
          assert.ok(answers <= durable, line);
        }
      }
      assert.deepEqual([synced, linked, durable, answers], [11, 11, 11, 11]);
    } finally {
      Deno.removeSync(directory, { recursive: true });
    }
  },
);

Deno.test("The helper process ends when its connection does", OPTIONS, async () => {
  const directory = Deno.makeTempDirSync();
  try {
    await using processes = new Processes();
    const pool = new MailboxHelperPool({ start: (asked) => processes.start(asked), limit: 1, idle: 0 });
    await pool.deliver(taskFor(`${directory}/box`, "maildir"), message(1));
    await new Promise((resolve) => setTimeout(resolve, 5));
    pool.endIdle();
    await ended(processes.children[0]!);
    assert.equal(processes.children[0]!.exitCode, 0);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test(
  "SIGKILL at any moment leaves no part of a message in new, and nothing that was acknowledged is missing",
  OPTIONS,
  async () => {
    const directory = Deno.makeTempDirSync();
    try {
      const task = taskFor(`${directory}/box`, "maildir");
      const acknowledged = new Set<number>();
      let number = 0;
      for (let round = 0; round < 8; round++) {
        await using processes = new Processes();
        const pool = new MailboxHelperPool({ start: (asked) => processes.start(asked), limit: 1, idle: 10 });
        // Started and proven, so that the kill meets a helper at work.
        const first = number++;
        if ((await pool.deliver(task, message(first))).result === "sent") acknowledged.add(first);
        let killed = false;
        setTimeout(() => {
          killed = true;
          processes.kill();
        }, 2 + round * 3);
        const worker = async () => {
          while (!killed) {
            const mine = number++;
            const { result } = await pool.deliver(task, message(mine));
            if (result === "sent") acknowledged.add(mine);
          }
        };
        await Promise.all(Array.from({ length: 10 }, worker));
      }
      const found = new Set<number>();
      for (const { name } of Deno.readDirSync(`${directory}/box/new`)) {
        const text = Deno.readTextFileSync(`${directory}/box/new/${name}`);
        const id = Number(text.slice(0, text.indexOf(" ")));
        assert.equal(text, expectedText(id));
        found.add(id);
      }
      assert.ok(acknowledged.size >= 8);
      for (const id of acknowledged) assert.ok(found.has(id), `message ${id} is missing`);
    } finally {
      Deno.removeSync(directory, { recursive: true });
    }
  },
);
