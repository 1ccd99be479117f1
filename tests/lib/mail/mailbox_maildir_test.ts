import assert from "node:assert/strict";
import { Maildir } from "../../../lib/mail/mailbox_maildir.ts";
import { MailboxSyncs } from "../../../lib/mail/mailbox_sync.ts";
import { failedDelivery, MailboxError } from "../../../lib/mail/mailbox_outcome.ts";
import { encodeText } from "../../../lib/vstring/byte_builder.ts";

const SENDER = "s@example.com";

/** Runs a test with an own directory, and a maildir path in it that does not exist yet. */
async function withPlace(work: (path: string, warnings: string[]) => Promise<void>): Promise<void> {
  const directory = Deno.makeTempDirSync();
  try {
    await work(`${directory}/box`, []);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

function maildir(path: string, sizeLimit = 0, warnings: string[] = []): Maildir {
  return new Maildir(
    { path, sizeLimit, warn: (text) => warnings.push(text) },
    "mx.example.com",
    new MailboxSyncs(),
  );
}

async function deliver(box: Maildir, ...pieces: string[]): Promise<void> {
  const delivery = await box.begin(SENDER);
  for (const piece of pieces) delivery.write(encodeText(piece));
  await delivery.finish();
}

function names(path: string): string[] {
  return Array.from(Deno.readDirSync(path), (entry) => entry.name).sort();
}

Deno.test("A Maildir delivery makes the folders, leaves one file in new and none in tmp", () =>
  withPlace(async (path) => {
    await deliver(maildir(path), "Subject: x\n", "\nbody\n");
    const [name, ...others] = names(`${path}/new`);
    assert.deepEqual(others, []);
    assert.deepEqual(names(`${path}/tmp`), []);
    assert.equal(Deno.readTextFileSync(`${path}/new/${name}`), "Subject: x\n\nbody\n");
    for (const folder of ["", "/tmp", "/new", "/cur"]) {
      assert.equal(Deno.statSync(path + folder).mode! & 0o7777, 0o700);
    }
    const stat = Deno.statSync(`${path}/new/${name}`);
    assert.equal(stat.mode! & 0o777, 0o600);
    assert.equal(stat.nlink, 1);
  }));

Deno.test("The name in new holds time, device, inode, microseconds and host", () =>
  withPlace(async (path) => {
    await deliver(maildir(path), "x\n");
    const [name = ""] = names(`${path}/new`);
    const match = /^(\d+)\.V([0-9a-f]+)I([0-9a-f]+)M(\d+)\.mx\.example\.com$/.exec(name);
    assert.ok(match, name);
    const stat = Deno.statSync(`${path}/new/${name}`);
    assert.equal(parseInt(match[2]!, 16), stat.dev);
    assert.equal(parseInt(match[3]!, 16), stat.ino);
    assert.ok(Number(match[4]) < 1_000_000);
  }));

Deno.test("A host name's slash and colon do not reach a file name", () =>
  withPlace(async (path) => {
    await deliver(new Maildir({ path, sizeLimit: 0, warn: () => {} }, "a/b:c", new MailboxSyncs()), "x\n");
    assert.match(names(`${path}/new`)[0]!, /\.a\\057b\\072c$/);
  }));

Deno.test("An aborted delivery leaves nothing", () =>
  withPlace(async (path) => {
    const delivery = await maildir(path).begin(SENDER);
    delivery.write(encodeText("half"));
    assert.equal(names(`${path}/tmp`).length, 1);
    delivery.abort();
    delivery.abort();
    assert.deepEqual([names(`${path}/tmp`), names(`${path}/new`)], [[], []]);
  }));

Deno.test("Deliveries at the same time do not meet", () =>
  withPlace(async (path) => {
    const box = maildir(path);
    await Promise.all(Array.from({ length: 100 }, (_, i) => deliver(box, `message ${i}\n`)));
    const found = names(`${path}/new`);
    assert.equal(found.length, 100);
    const texts = new Set(found.map((name) => Deno.readTextFileSync(`${path}/new/${name}`)));
    assert.equal(texts.size, 100);
    assert.deepEqual(names(`${path}/tmp`), []);
  }));

Deno.test("A message of the limit fits, one byte more is refused with 5.2.2 and leaves nothing", () =>
  withPlace(async (path) => {
    await deliver(maildir(path, 10), "12345", "67890");
    const delivery = await maildir(path, 10).begin(SENDER);
    delivery.write(encodeText("12345"));
    assert.throws(() => delivery.write(encodeText("678901")), (error) => {
      assert.deepEqual(failedDelivery(error).status, "5.2.2");
      return true;
    });
    delivery.abort();
    assert.deepEqual(names(`${path}/tmp`), []);
    assert.equal(names(`${path}/new`).length, 1);
  }));

const HOSTILE: readonly { name: string; plant: (path: string, outside: string) => void }[] = [
  { name: "the maildir is a link", plant: (path, outside) => Deno.symlinkSync(outside, path) },
  { name: "the maildir is a file", plant: (path) => Deno.writeTextFileSync(path, "") },
  ...["tmp", "new", "cur"].flatMap((folder) => [
    {
      // FSX-08
      name: `${folder} is a link to a directory elsewhere`,
      plant: (path: string, outside: string) => {
        Deno.mkdirSync(path);
        Deno.symlinkSync(outside, `${path}/${folder}`);
      },
    },
    {
      name: `${folder} is a dangling link`,
      plant: (path: string) => {
        Deno.mkdirSync(path);
        Deno.symlinkSync("/nonexistent/x", `${path}/${folder}`);
      },
    },
    {
      name: `${folder} is a FIFO`,
      plant: (path: string) => {
        Deno.mkdirSync(path);
        new Deno.Command("mkfifo", { args: [`${path}/${folder}`] }).outputSync();
      },
    },
  ]),
];

for (const { name, plant } of HOSTILE) {
  Deno.test(`A delivery is deferred when ${name}`, () =>
    withPlace(async (path) => {
      const outside = Deno.makeTempDirSync();
      try {
        plant(path, outside);
        await assert.rejects(maildir(path).begin(SENDER), (error) => {
          assert.ok(error instanceof MailboxError);
          assert.equal(failedDelivery(error).result, "deferred");
          return true;
        });
        assert.deepEqual(names(outside), []);
      } finally {
        Deno.removeSync(outside, { recursive: true });
      }
    }));
}

Deno.test("A link that takes the place of new during a delivery does not lose the message silently", () =>
  withPlace(async (path) => {
    const delivery = await maildir(path).begin(SENDER);
    delivery.write(encodeText("x\n"));
    Deno.removeSync(`${path}/new`);
    await assert.rejects(delivery.finish());
    assert.deepEqual(names(`${path}/tmp`), []);
  }));

Deno.test("The error of a delivery in a missing parent directory names the maildir", () =>
  withPlace(async (path) => {
    await assert.rejects(maildir(`${path}/a/b`).begin(SENDER), /Cannot make directory/);
  }));
