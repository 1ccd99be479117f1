import assert from "node:assert/strict";
import { MailboxSyncs } from "../../../lib/mail/mailbox_sync.ts";
import { type SafeFile } from "../../../lib/safe/file.ts";

/** A file on a disk on which a sync takes far longer than a thread hop; says how it was synced. */
function slowFile(): { readonly file: SafeFile; readonly how: string[] } {
  const how: string[] = [];
  const file = {
    syncNow() {
      how.push("blocking");
      for (const end = performance.now() + 30; performance.now() < end;);
    },
    sync() {
      how.push("awaited");
      return Promise.resolve();
    },
  };
  return { file: file as unknown as SafeFile, how };
}

Deno.test("A delivery that is alone blocks in its syncs, among others it waits once they are known to be slow", async () => {
  const directory = Deno.makeTempDirSync();
  try {
    const syncs = new MailboxSyncs();
    const { file, how } = slowFile();
    const names = syncs.directory(directory);
    syncs.begin();
    for (let i = 0; i < 3; i++) assert.equal(syncs.file(file), undefined);
    assert.equal(names.sync(), undefined);
    syncs.begin();
    // Nothing is known yet of what a sync costs beside others.
    assert.equal(syncs.file(file), undefined);
    for (let i = 0; i < 3; i++) await Promise.all([syncs.file(file)!, names.sync()!]);
    syncs.end();
    assert.equal(syncs.file(file), undefined);
    assert.equal(names.sync(), undefined);
    const [b, a] = ["blocking", "awaited"];
    assert.deepEqual(how, [b, b, b, b, a, a, a, b]);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("A directory that cannot be synced is an error either way", () => {
  const syncs = new MailboxSyncs();
  syncs.begin();
  assert.throws(() => syncs.directory("/nowhere/new").sync(), /"\/nowhere\/new"/);
});
