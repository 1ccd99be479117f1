import assert from "node:assert/strict";
import {
  isForeignSegment,
  JOURNAL_ENTRY_LIMIT,
  JournalReader,
  JournalWriter,
} from "../../../lib/mail/queue_journal.ts";
import { toQueueId } from "../../../lib/mail/queue_id.ts";
import { SystemError } from "../../../lib/safe/error.ts";
import { openOwn, SafeFile } from "../../../lib/safe/file.ts";
import { Random } from "../../support/random.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";

const BOOT = "boot-1";
const id = (text: string) => toQueueId(text)!;

/** Adds messages and waits until all are answered; the answers in order. */
function add(
  journal: JournalWriter,
  messages: readonly (readonly [string, Uint8Array])[],
): Promise<(Error | undefined)[]> {
  return Promise.all(
    messages.map(([name, content]) =>
      new Promise<Error | undefined>((resolve) => journal.add(id(name), content, resolve))
    ),
  );
}

function segments(directory: TemporaryDirectory): string[] {
  return [...Deno.readDirSync(directory.path)].map(({ name }) => name).sort();
}

/** The whole entries of a segment. */
function read(bytes: Uint8Array): [string, Uint8Array][] {
  const reader = new JournalReader((buffer, offset) => {
    const part = bytes.subarray(offset, offset + Math.min(buffer.length, 7000));
    buffer.set(part);
    return part.length;
  });
  const found: [string, Uint8Array][] = [];
  while (reader.next()) found.push([reader.id, reader.content.slice()]);
  return found;
}

Deno.test("what was added is read back in its order, from one segment, and its name tells the boot", async () => {
  using directory = new TemporaryDirectory();
  using journal = new JournalWriter(directory.path, BOOT);
  const random = new Random(1);
  const messages = [0, 1, 1000, JOURNAL_ENTRY_LIMIT].map((size, i) => [`A${i}`, random.bytes(size)] as const);
  assert.deepEqual(await add(journal, messages), [undefined, undefined, undefined, undefined]);
  assert.deepEqual(await add(journal, [["B1", random.bytes(10)]]), [undefined]);
  const [name, ...more] = segments(directory);
  assert.deepEqual(more, []);
  assert.equal(isForeignSegment(name!, BOOT), false);
  assert.equal(isForeignSegment(name!, "boot-2"), true);
  assert.equal(isForeignSegment(name!, "boot"), true);
  const found = read(Deno.readFileSync(directory.at(name!)));
  assert.deepEqual(found.slice(0, 4), messages);
  assert.equal(found[4]![0], "B1");
});

Deno.test("a segment that is cut at any byte gives its whole entries and nothing else", async () => {
  using directory = new TemporaryDirectory();
  using journal = new JournalWriter(directory.path, BOOT);
  const random = new Random(2);
  const messages = Array.from({ length: 5 }, (_, i) => [`C${i}`, random.bytes(20 + i)] as const);
  await add(journal, messages);
  const bytes = Deno.readFileSync(directory.at(segments(directory)[0]!));
  let entries = 0;
  for (let cut = 0; cut <= bytes.length; cut++) {
    const found = read(bytes.subarray(0, cut));
    assert.ok(found.length >= entries && found.length <= entries + 1, `${cut}`);
    entries = found.length;
    assert.deepEqual(found, messages.slice(0, entries));
  }
  assert.equal(entries, 5);
});

Deno.test("a flipped bit ends the reading at its entry", async () => {
  using directory = new TemporaryDirectory();
  using journal = new JournalWriter(directory.path, BOOT);
  const random = new Random(3);
  const messages = Array.from({ length: 3 }, (_, i) => [`D${i}`, random.bytes(30)] as const);
  await add(journal, messages);
  const bytes = Deno.readFileSync(directory.at(segments(directory)[0]!));
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = bytes.slice();
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    const found = read(flipped);
    assert.ok(found.length < 3, `bit ${bit}`);
    assert.deepEqual(found, messages.slice(0, found.length));
  }
});

Deno.test("all that one turn of the event loop brings shares a sync, and so does what comes while one runs", async () => {
  using directory = new TemporaryDirectory();
  using journal = new JournalWriter(directory.path, BOOT);
  const { sync, syncNow } = SafeFile.prototype;
  let syncs = 0;
  const slow = () => {
    const end = performance.now() + 10;
    while (performance.now() < end);
  };
  try {
    SafeFile.prototype.syncNow = () => (syncs++, slow());
    const many = (name: string) =>
      Array.from({ length: 50 }, (_, i) => [`${name}${i}`, new Uint8Array(9)] as const);
    await add(journal, many("E"));
    assert.equal(syncs, 1);
    SafeFile.prototype.sync = async () => {
      syncs++;
      await new Promise((resolve) => setTimeout(resolve, 5));
    };
    for (let i = 0; i < 20; i++) await add(journal, [[`F${i}`, new Uint8Array(9)]]);
    // By now syncs are waited for.
    syncs = 0;
    const first = add(journal, [["G", new Uint8Array(9)]]);
    await new Promise((resolve) => setTimeout(resolve, 0));
    await Promise.all([first, add(journal, many("H"))]);
    assert.equal(syncs, 2);
  } finally {
    Object.assign(SafeFile.prototype, { sync, syncNow });
  }
});

Deno.test("a sync that fails is told to those who waited for it; what comes later goes to another segment", async () => {
  using directory = new TemporaryDirectory();
  using journal = new JournalWriter(directory.path, BOOT);
  assert.deepEqual(await add(journal, [["J0", new Uint8Array(5)]]), [undefined]);
  const { sync, syncNow } = SafeFile.prototype;
  try {
    // Which of the two is called depends on how fast the disk was.
    const broken = new SystemError("sync", "segment", new Error("disk broke"));
    SafeFile.prototype.sync = () => Promise.reject(broken);
    SafeFile.prototype.syncNow = () => {
      throw broken;
    };
    const [failure] = await add(journal, [["J1", new Uint8Array(5)]]);
    assert.ok(failure instanceof Error);
  } finally {
    SafeFile.prototype.sync = sync;
    SafeFile.prototype.syncNow = syncNow;
  }
  assert.deepEqual(await add(journal, [["J2", new Uint8Array(5)]]), [undefined]);
  const found = segments(directory).map((name) =>
    read(Deno.readFileSync(directory.at(name))).map(([one]) => one)
  );
  assert.deepEqual(found, [["J0"], ["J2"]], "what was refused is cut off");
});

Deno.test("a segment is locked while its writer adds to it, and free when it is closed", async () => {
  using directory = new TemporaryDirectory();
  const journal = new JournalWriter(directory.path, BOOT);
  await add(journal, [["K0", new Uint8Array(5)]]);
  const opened = openOwn(directory.at(segments(directory)[0]!), "read");
  assert.ok(opened.kind === "opened");
  using file = opened.file;
  assert.equal(file.tryLock("exclusive"), false);
  journal[Symbol.dispose]();
  assert.equal(file.tryLock("exclusive"), true);
});

Deno.test("a segment that qmgr drops before it is locked is not written to", async () => {
  for (const removed of [false, true]) {
    using directory = new TemporaryDirectory();
    using journal = new JournalWriter(directory.path, BOOT);
    const { tryLock } = SafeFile.prototype;
    let first = true;
    try {
      SafeFile.prototype.tryLock = function (kind) {
        if (!first) return tryLock.call(this, kind);
        first = false;
        // Either it has the lock still, or it has come and gone.
        Deno.removeSync(this.path);
        return removed;
      };
      assert.deepEqual(await add(journal, [["M0", new Uint8Array(5)]]), [undefined]);
    } finally {
      SafeFile.prototype.tryLock = tryLock;
    }
    const found = segments(directory).map((name) => read(Deno.readFileSync(directory.at(name))));
    assert.deepEqual(found, [[["M0", new Uint8Array(5)]]]);
  }
});

Deno.test("a segment that is full is followed by another one", async () => {
  using directory = new TemporaryDirectory();
  using journal = new JournalWriter(directory.path, BOOT);
  const content = new Uint8Array(JOURNAL_ENTRY_LIMIT);
  for (let i = 0; i < 130; i++) assert.deepEqual(await add(journal, [[`L${i}`, content]]), [undefined]);
  const names = segments(directory);
  assert.equal(names.length, 3);
  const found = names.flatMap((name) => read(Deno.readFileSync(directory.at(name))));
  assert.deepEqual(found.map(([one]) => one).sort(), Array.from({ length: 130 }, (_, i) => `L${i}`).sort());
});

Deno.test("a file that is no segment has no entries", () => {
  assert.deepEqual(read(new Uint8Array(0)), []);
  assert.deepEqual(read(new TextEncoder().encode("something else altogether, and long enough")), []);
});
