/** Classes FSX and LOC of the security cases: files and programs that local users have in their hands. @module */
import assert from "node:assert/strict";
import { MaildropFile } from "../../commands/maildrop_file.ts";
import { run as runPostcat } from "../../commands/postcat.ts";
import { run as runPostqueue } from "../../commands/postqueue.ts";
import { run as runPostsuper } from "../../commands/postsuper.ts";
import { Maildir } from "../../lib/mail/mailbox_maildir.ts";
import { failedDelivery } from "../../lib/mail/mailbox_outcome.ts";
import { MailboxSyncs } from "../../lib/mail/mailbox_sync.ts";
import { makeQueueId, toQueueId } from "../../lib/mail/queue_id.ts";
import { encodeText } from "../../lib/vstring/byte_builder.ts";
import { ScratchQueue } from "../commands/maildrop_support.ts";
import { QueueBench } from "../commands/queue_support.ts";
import { SmtpClient } from "../dialogues/smtp_client.ts";
import { frameBytes } from "../lib/ipc/raw_frames.ts";
import { concat } from "../support/bytes.ts";
import { Postern } from "../support/postern.ts";
import { Random } from "../support/random.ts";
import { testNeeding } from "../support/tools.ts";
import { testEveryCase } from "./cases.ts";

const HOMES = "tests/daemons/local/local_hostile_test.ts";

testEveryCase("FSX", {}, {
  "FSX-01": `${HOMES}: FSX-01: ; tests/lib/mail/mailbox_mbox_test.ts: a link to a file`,
  "FSX-02": `${HOMES}: FSX-02: ; tests/lib/mail/mailbox_mbox_test.ts: a file with two links`,
  "FSX-04": "own test: no name leads through a link, whoever made it",
  "FSX-05": `${HOMES}: FSX-05: ; tests/lib/mail/mailbox_mbox_test.ts: A mailbox of another owner is refused`,
  "FSX-07": "tests/lib/mail/mailbox_mbox_test.ts: A mailbox swapped with a link while deliveries go on",
  "FSX-08": `${HOMES}: FSX-08: ; tests/lib/mail/mailbox_maildir_test.ts: is a link to a directory elsewhere`,
  "FSX-10": `${HOMES}: FSX-10: `,
  "FSX-11":
    "tests/daemons/pickup/pickup_service_test.ts: an unknown record type; a length of 2^31; no end; " +
    "tests/daemons/showq/showq_service_test.ts: files that are none of ours are left out",
  "FSX-13": "tests/daemons/pickup/pickup_service_test.ts: FSX-13: ; " +
    "tests/lib/mail/queue_file_test.ts: a file cut at any byte is a BadRecordError; " +
    "tests/faults/machine_test.ts: a spool full of torn, foreign and hostile files",
  "FSX-14": "tests/daemons/pickup/pickup_service_test.ts: FSX-14: ; " +
    "tests/lib/mail/queue_file_test.ts: random damage gives a message or a BadRecordError",
  "FSX-16": "own test: names that are no queue id",
  "FSX-17": "own test: an id of the past",
  "FSX-19": "tests/lib/server/check_configuration_test.ts: files that others may change are told",
  "FSX-20": "own test: names of files that are being written",
  "FSX-22": "own test: a mailbox across file systems",
});

testEveryCase("LOC", {}, {
  "LOC-01": "tests/commands/sendmail_submit_test.ts: an endless line stops at message_size_limit",
  "LOC-02": "own test: every socket of a system that runs",
  "LOC-04": "tests/commands/sendmail_test.ts: LOC-04: a sender with a line feed",
  "LOC-05":
    "tests/commands/sendmail_test.ts: an ordinary user posts into a sticky maildrop that he may not list",
  "LOC-07": "tests/commands/sendmail_test.ts: not this; tests/commands/sendmail_options_test.ts: -oi",
  "LOC-08": "tests/commands/sendmail_test.ts: LOC-08: -t without recipients",
  "LOC-10": "own test: only ALL is all",
  "LOC-11":
    "tests/commands/sendmail_test.ts: LOC-11: SIGKILL in mid-message leaves nothing that pickup would take",
});

/** What is no queue id, whatever it may look like to a shell or a file system. */
const NO_IDS = [
  "..",
  ".",
  "a/b",
  "../../etc/passwd",
  "",
  "A.B",
  "A B",
  "A\nB",
  "A\0B",
  "\u00e9",
  "A".repeat(300),
];

Deno.test("FSX-16: what is no queue id reaches no file in any tool", async () => {
  for (const id of NO_IDS) assert.equal(toQueueId(id), undefined, id);
  using bench = new QueueBench();
  Deno.writeTextFileSync(bench.path("secret"), "do not read");
  bench.put("hold/4F2A01");
  const before = bench.files(".");
  for (const id of [...NO_IDS, "../secret", "hold/../secret", "A"]) {
    for (const option of ["-d", "-h", "-H", "-r", "-e", "-f"]) {
      const { out, err } = await bench.run("postsuper", runPostsuper, [option, id]);
      assert.doesNotMatch(out + err, /: [1-9]\d* message/, `${option} ${id}`);
    }
    const shown = await bench.run("postcat", runPostcat, ["-q", id]);
    assert.notEqual(shown.status, 0, id);
    assert.ok(!shown.out.includes("do not read"), id);
    if (id !== "A") assert.notEqual((await bench.run("postqueue", runPostqueue, ["-i", id])).status, 0, id);
  }
  assert.deepEqual(bench.files("."), before);
});

Deno.test("FSX-17: an id that another message's file has had names nobody any more", async () => {
  using bench = new QueueBench("enable_long_queue_ids = true\n");
  const inode = bench.put("hold/new");
  const time = 1_790_000_000_000_000;
  // The same file number, at every distance of time from a microsecond to years.
  const ids = [0, 1, 999_999, 1_000_000, 86_400_000_000, 1_000_000 * 2 ** 20, 1_000_000 * 2 ** 30].map((
    later,
  ) => makeQueueId(time + later, inode, true));
  assert.equal(new Set(ids).size, ids.length);
  const now = ids.at(-1)!;
  Deno.renameSync(bench.path("hold/new"), bench.path(`hold/${now}`));
  for (const old of ids.slice(0, -1)) {
    const { err } = await bench.run("postsuper", runPostsuper, ["-d", old]);
    assert.equal(err, "postsuper: Deleted: 0 messages\n");
  }
  assert.deepEqual(bench.files("hold"), [`hold/${now}`]);
});

Deno.test("FSX-04: no name leads through a link, whoever made it and however many names it has", async () => {
  using bench = new QueueBench();
  const target = bench.path("target");
  Deno.writeTextFileSync(target, "as it was");
  // A second name of a link is a link: POSIX lets link(2) make one, and nobody owns it but the maker of the first.
  Deno.symlinkSync(target, bench.path("first"));
  new Deno.Command("ln", { args: ["-P", bench.path("first"), bench.path("hold/4F2A01")] }).outputSync();
  assert.equal(Deno.lstatSync(bench.path("hold/4F2A01")).isSymlink, true);
  for (const option of ["-d", "-h", "-H", "-r", "-e", "-f"]) {
    await bench.run("postsuper", runPostsuper, [option, "4F2A01"]);
  }
  assert.notEqual((await bench.run("postcat", runPostcat, ["-q", "4F2A01"])).status, 0);
  assert.equal(Deno.readTextFileSync(target), "as it was");
  const box = bench.path("box");
  for (const folder of ["tmp", "new", "cur"]) Deno.mkdirSync(`${box}/${folder}`, { recursive: true });
  Deno.removeSync(`${box}/new`);
  new Deno.Command("ln", { args: ["-P", bench.path("first"), `${box}/new`] }).outputSync();
  const { result } = await deliver(box);
  assert.notEqual(result, "sent");
  assert.equal(Deno.readTextFileSync(target), "as it was");
});

Deno.test("FSX-20: the name of a file that is being written cannot be guessed, and the file is its writer's alone", () => {
  using queue = new ScratchQueue();
  const seen = new Set<string>();
  for (let i = 0; i < 20; i++) {
    const file = new MaildropFile(queue.settings);
    const [name] = queue.names("maildrop");
    assert.match(name!, /^tmp\.[0-9a-f]{24}$/);
    assert.equal(Deno.statSync(queue.path("maildrop", name!)).mode! & 0o777, 0o600);
    seen.add(name!);
    file.abandon();
  }
  assert.equal(seen.size, 20);
});

/** What becomes of one message to a Maildir. */
async function deliver(path: string) {
  const box = new Maildir({ path, sizeLimit: 0, warn: () => {} }, "host", new MailboxSyncs());
  try {
    const delivery = await box.begin("s@ext.test");
    try {
      delivery.write(encodeText("Subject: x\n\nx\n"));
      await delivery.finish();
    } catch (error) {
      delivery.abort();
      throw error;
    }
    return { result: "sent", status: "2.0.0" };
  } catch (error) {
    return failedDelivery(error);
  }
}

testNeeding(
  ["root"],
  "FSX-22: a Maildir whose folders are on two file systems defers and keeps nothing",
  async () => {
    const path = Deno.makeTempDirSync();
    for (const folder of ["tmp", "new", "cur"]) Deno.mkdirSync(`${path}/${folder}`);
    const mount = new Deno.Command("mount", { args: ["-t", "tmpfs", "tmpfs", `${path}/new`] }).outputSync();
    assert.ok(mount.success, new TextDecoder().decode(mount.stderr));
    try {
      const { result, status } = await deliver(path);
      assert.deepEqual([result, status], ["deferred", "4.2.0"]);
      assert.deepEqual([[...Deno.readDirSync(`${path}/tmp`)], [...Deno.readDirSync(`${path}/new`)]], [
        [],
        [],
      ]);
    } finally {
      new Deno.Command("umount", { args: [`${path}/new`] }).outputSync();
    }
    assert.equal((await deliver(path)).result, "sent");
    Deno.removeSync(path, { recursive: true });
  },
);

Deno.test("LOC-10: only ALL in capitals is all", async () => {
  using bench = new QueueBench();
  bench.put("hold/4F2A01");
  for (const word of ["all", "All", "ALL ", "aLL", "*", "-"]) {
    const { err } = await bench.run("postsuper", runPostsuper, ["-d", word], "all\n*\n");
    assert.ok(err.endsWith("postsuper: Deleted: 0 messages\n"), `${word}: ${err}`);
  }
  assert.deepEqual(bench.files("hold"), ["hold/4F2A01"]);
});

/** Every unix socket of a system. */
function sockets(system: Postern): string[] {
  return ["public", "private"].flatMap((name) =>
    [...Deno.readDirSync(`${system.paths.queue}/${name}`)].filter(({ isFile, isDirectory }) =>
      !isFile && !isDirectory
    ).map((entry) => `${system.paths.queue}/${name}/${entry.name}`)
  );
}

Deno.test("LOC-02: garbage, half a frame and a length of a gigabyte on every socket end that connection alone", async () => {
  await using system = await Postern.start({ settings: { notify_classes: "[]" } });
  const random = new Random(2);
  // Helpers' sockets are those of an agent that runs; nobody answers there before.
  const paths = sockets(system).filter((path) => !path.endsWith(".helpers"));
  assert.ok(paths.length > 10, paths.join());
  const huge = new Uint8Array(9);
  new DataView(huge.buffer).setUint32(0, 2 ** 30);
  const inputs: readonly Uint8Array<ArrayBuffer>[] = [
    random.bytes(500),
    encodeText("GET / HTTP/1.1\r\n\r\n"),
    huge,
    new Uint8Array(9).fill(0xff),
    frameBytes(16, 1, random.bytes(60)).slice(0, 20),
    concat(frameBytes(255, 7, ""), frameBytes(1, 2 ** 32 - 1, ""), frameBytes(16, 0, random.bytes(12))),
  ];
  const open: string[] = [];
  for (const path of paths) {
    await Promise.all(inputs.map(async (input) => {
      const connection = await Deno.connect({ transport: "unix", path });
      await connection.write(input).catch(() => {});
      await connection.closeWrite().catch(() => {});
      if (!await ends(connection)) open.push(path.slice(path.lastIndexOf("/") + 1));
      else connection.close();
    }));
  }
  assert.deepEqual(open, []);
  using client = await SmtpClient.connect(system.port);
  await client.reply();
  await client.says("EHLO x", "MAIL FROM:<a@ext.test>", "RCPT TO:<one@example.test>", "DATA");
  assert.match(await client.say("Subject: x\r\n\r\nx\r\n."), /^250 2\.0\.0 Ok: queued/);
  await system.mail("one");
  assert.doesNotMatch(system.log(), /panic|fatal|killed by signal|exit status/);
});

/** Whether the other side ends the connection in time. */
async function ends(connection: Deno.Conn): Promise<boolean> {
  const buffer = new Uint8Array(4096);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    connection.close();
  }, 3000);
  try {
    while (await connection.read(buffer) !== null) continue;
  } catch {
    // Reset: it has ended.
  } finally {
    clearTimeout(timer);
  }
  return !late;
}
