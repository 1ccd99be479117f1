import assert from "node:assert/strict";
import { Maildir } from "../../../lib/mail/mailbox_maildir.ts";
import { MailboxSyncs } from "../../../lib/mail/mailbox_sync.ts";
import { Mbox } from "../../../lib/mail/mailbox_mbox.ts";
import { failedDelivery } from "../../../lib/mail/mailbox_outcome.ts";
import { type Mailbox } from "../../../lib/mail/mailbox_writer.ts";
import { encodeText } from "../../../lib/vstring/byte_builder.ts";

/** A file system of 256 KiB at a new place, or undefined where this process may not mount one. */
function mountSmall(): string | undefined {
  if (Deno.uid() !== 0) return undefined;
  const path = Deno.makeTempDirSync();
  const args = ["-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", path];
  if (new Deno.Command("mount", { args, stderr: "null" }).outputSync().success) return path;
  Deno.removeSync(path);
  return undefined;
}

function unmount(path: string): void {
  new Deno.Command("umount", { args: [path] }).outputSync();
  Deno.removeSync(path);
}

const place = mountSmall();
if (place !== undefined) unmount(place);
const OPTIONS = { ignore: place === undefined };

async function deliver(box: Mailbox, size: number): Promise<string> {
  try {
    const delivery = await box.begin("s@a");
    try {
      for (let written = 0; written < size; written += 1000) {
        delivery.write(encodeText("x".repeat(999) + "\n"));
      }
      await delivery.finish();
    } catch (error) {
      delivery.abort();
      throw error;
    }
    return "sent";
  } catch (error) {
    const { result, status } = failedDelivery(error);
    return `${result} ${status}`;
  }
}

const LOCK = { attempts: 1, delay: 1, stale: 500, dotlock: true, flock: true };

Deno.test(
  "A full disk defers with 4.3.0, leaves a Maildir without a part of the message, and mail goes on later",
  OPTIONS,
  async () => {
    const root = mountSmall()!;
    try {
      const path = `${root}/box`;
      const box = new Maildir({ path, sizeLimit: 0, warn: () => {} }, "host", new MailboxSyncs());
      assert.equal(await deliver(box, 50_000), "sent");
      assert.equal(await deliver(box, 500_000), "deferred 4.3.0");
      assert.deepEqual([...Deno.readDirSync(`${path}/tmp`)], []);
      assert.equal([...Deno.readDirSync(`${path}/new`)].length, 1);
      assert.equal(await deliver(box, 50_000), "sent");
    } finally {
      unmount(root);
    }
  },
);

Deno.test(
  "A full disk defers with 4.3.0, leaves an mbox as it was and unlocked, and mail goes on later",
  OPTIONS,
  async () => {
    const root = mountSmall()!;
    try {
      const path = `${root}/mbox`;
      const box = new Mbox({ path, sizeLimit: 0, warn: () => {} }, { lock: LOCK, owner: 0 });
      assert.equal(await deliver(box, 50_000), "sent");
      const before = Deno.readTextFileSync(path);
      assert.equal(await deliver(box, 500_000), "deferred 4.3.0");
      assert.equal(Deno.readTextFileSync(path), before);
      assert.deepEqual([...Deno.readDirSync(root)].map(({ name }) => name), ["mbox"]);
      assert.equal(await deliver(box, 50_000), "sent");
    } finally {
      unmount(root);
    }
  },
);

Deno.test("A file system without room for a name defers with 4.3.0", OPTIONS, async () => {
  const root = mountSmall()!;
  try {
    new Deno.Command("mount", { args: ["-o", "remount,nr_inodes=4", root] }).outputSync();
    const box = new Maildir(
      { path: `${root}/box`, sizeLimit: 0, warn: () => {} },
      "host",
      new MailboxSyncs(),
    );
    assert.equal(await deliver(box, 10), "deferred 4.3.0");
  } finally {
    unmount(root);
  }
});

Deno.test("A read-only file system defers with 4.3.0", OPTIONS, async () => {
  const root = mountSmall()!;
  try {
    new Deno.Command("mount", { args: ["-o", "remount,ro", root] }).outputSync();
    const box = new Mbox({ path: `${root}/mbox`, sizeLimit: 0, warn: () => {} }, { lock: LOCK, owner: 0 });
    assert.equal(await deliver(box, 10), "deferred 4.3.0");
  } finally {
    unmount(root);
  }
});
