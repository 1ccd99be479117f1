import assert from "node:assert/strict";
import { fromLine, FromQuoter, Mbox, type MboxPolicy } from "../../../lib/mail/mailbox_mbox.ts";
import { lockKinds } from "../../../lib/mail/mailbox_lock.ts";
import { failedDelivery } from "../../../lib/mail/mailbox_outcome.ts";
import { ByteBuilder, encodeText } from "../../../lib/vstring/byte_builder.ts";

const SENDER = "s@example.com";
const DECODER = new TextDecoder();
const LOCK = { attempts: 2, delay: 0.02, stale: 500, dotlock: true, flock: true };

/** Runs a test with the path of an mbox that does not exist yet. */
async function withMbox(work: (path: string) => Promise<void>): Promise<void> {
  const directory = Deno.makeTempDirSync();
  try {
    await work(`${directory}/mbox`);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

function mbox(path: string, more: Partial<MboxPolicy> = {}, sizeLimit = 0, warnings: string[] = []): Mbox {
  const place = { path, sizeLimit, warn: (text: string) => warnings.push(text) };
  return new Mbox(place, { lock: LOCK, owner: Deno.uid() ?? undefined, ...more });
}

async function deliver(box: Mbox, ...pieces: string[]): Promise<void> {
  const delivery = await box.begin(SENDER);
  for (const piece of pieces) delivery.write(encodeText(piece));
  await delivery.finish();
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

/** The file with each separator line cut to its sender. */
function read(path: string): string {
  return Deno.readTextFileSync(path).replaceAll(/^(From \S+) .*$/gm, "$1");
}

Deno.test("An mbox delivery appends From_ line, quoted text and a blank line, and unlocks", () =>
  withMbox(async (path) => {
    await deliver(mbox(path), "Subject: x\n\nFrom me\n>From you\nfrom\n");
    await deliver(mbox(path), "Subject: y\n\nz");
    assert.equal(
      read(path),
      `From ${SENDER}\nSubject: x\n\n>From me\n>From you\nfrom\n\nFrom ${SENDER}\nSubject: y\n\nz\n\n`,
    );
    assert.equal(exists(`${path}.lock`), false);
    assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
  }));

const FROM_LINES = [
  { sender: "a@b", expected: "From a@b  Fri Jan  5 07:08:09 2024" },
  { sender: "", expected: "From MAILER-DAEMON  Fri Jan  5 07:08:09 2024" },
  { sender: "a b\nFrom x\r\0@c", expected: 'From "a_b\\_From_x\\__"@c  Fri Jan  5 07:08:09 2024' },
];

for (const { sender, expected } of FROM_LINES) {
  Deno.test(`The separator of sender ${JSON.stringify(sender)} is one line with two blanks before the date`, () => {
    assert.equal(fromLine(sender, new Date(2024, 0, 5, 7, 8, 9).getTime()), expected);
  });
}

const QUOTED = [
  ["", ""],
  ["\n", "\n"],
  ["From ", ">From \n"],
  ["From", "From\n"],
  ["From \nFrom \n", ">From \n>From \n"],
  ["From\nFro\nF\n", "From\nFro\nF\n"],
  ["xFrom y\nFFrom z\nFrFrom \n", "xFrom y\nFFrom z\nFrFrom \n"],
  [" From x\n>From y\nfrom z\n", " From x\n>From y\nfrom z\n"],
  ["a\r\nFrom b", "a\r\n>From b\n"],
  ["\n\nFrom x\n", "\n\n>From x\n"],
  ["\rFrom x", "\rFrom x\n"],
] as const;

for (const [input, expected] of QUOTED) {
  Deno.test(`From_ quoting of ${JSON.stringify(input)} is the same however the text is cut`, () => {
    const bytes = encodeText(input);
    for (let first = 0; first <= bytes.length; first++) {
      for (let second = first; second <= bytes.length; second++) {
        const out = new ByteBuilder(1000);
        const quoter = new FromQuoter();
        quoter.quote(bytes.subarray(0, first), out);
        quoter.quote(bytes.subarray(first, second), out);
        quoter.quote(bytes.subarray(second), out);
        quoter.end(out);
        assert.equal(DECODER.decode(out.view()), expected, `cut at ${first}, ${second}`);
      }
    }
  });
}

Deno.test("From_ quoting agrees with a line-wise one on random text in random pieces", () => {
  let seed = 12345;
  const random = (most: number) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % most;
  const alphabet = ["F", "r", "o", "m", " ", "\n", "\n", "From ", "x"];
  for (let round = 0; round < 500; round++) {
    let text = "";
    for (let i = random(60); i > 0; i--) text += alphabet[random(alphabet.length)];
    const out = new ByteBuilder(10_000);
    const quoter = new FromQuoter();
    const bytes = encodeText(text);
    for (let at = 0; at < bytes.length;) {
      const size = 1 + random(7);
      quoter.quote(bytes.subarray(at, at + size), out);
      at += size;
    }
    quoter.end(out);
    const lines = text.split("\n").map((line) => line.startsWith("From ") ? ">" + line : line).join("\n");
    const expected = text === "" || text.endsWith("\n") ? lines : lines + "\n";
    assert.equal(DECODER.decode(out.view()), expected, JSON.stringify(text));
  }
});

Deno.test("A long message goes through in pieces of any size", () =>
  withMbox(async (path) => {
    const line = "From ".repeat(15) + "\n";
    const text = line.repeat(5000);
    await deliver(mbox(path), text.slice(0, 100_001), text.slice(100_001, 100_003), text.slice(100_003));
    const lines = Deno.readTextFileSync(path).split("\n");
    assert.equal(lines.length, 5003);
    assert.ok(lines.slice(1, 5001).every((found) => found === ">" + line.slice(0, -1)));
  }));

const FOREIGN = [
  { before: "From x\n\nhalf", after: "From x\n\nhalf\n\n" },
  { before: "From x\n\nhalf\n", after: "From x\n\nhalf\n\n" },
  { before: "From x\n\nwhole\n\n", after: "From x\n\nwhole\n\n" },
  { before: "\n", after: "\n" },
  { before: "x", after: "x\n\n" },
];

for (const { before, after } of FOREIGN) {
  Deno.test(`A message behind ${JSON.stringify(before)} starts behind a blank line`, () =>
    withMbox(async (path) => {
      Deno.writeTextFileSync(path, before);
      await deliver(mbox(path), "y\n");
      assert.equal(read(path), `${after}From ${SENDER}\ny\n\n`);
    }));
}

Deno.test("An aborted delivery cuts the mailbox back and unlocks", () =>
  withMbox(async (path) => {
    await deliver(mbox(path), "first\n");
    const before = Deno.readTextFileSync(path);
    const delivery = await mbox(path).begin(SENDER);
    delivery.write(new Uint8Array(200_000).fill(0x61));
    assert.ok(Deno.statSync(path).size > before.length);
    delivery.abort();
    assert.equal(Deno.readTextFileSync(path), before);
    assert.equal(exists(`${path}.lock`), false);
  }));

Deno.test("A mailbox that would pass its limit is refused with 5.2.2 and left as it was", () =>
  withMbox(async (path) => {
    await deliver(mbox(path), "first\n");
    const size = Deno.statSync(path).size;
    await deliver(mbox(path, {}, size * 2), "other\n");
    const before = Deno.readTextFileSync(path);
    assert.equal(before.length, size * 2);
    const delivery = await mbox(path, {}, size * 3).begin(SENDER);
    delivery.write(encodeText("other!\n"));
    await assert.rejects(delivery.finish(), (error) => failedDelivery(error).status === "5.2.2");
    assert.equal(Deno.readTextFileSync(path), before);
  }));

Deno.test("Deliveries of one process to one mbox take turns, also when one fails", () =>
  withMbox(async (path) => {
    const box = mbox(path);
    const results = await Promise.allSettled(Array.from({ length: 30 }, async (_, i) => {
      const delivery = await box.begin(SENDER);
      delivery.write(encodeText(`message ${i}\n`));
      if (i % 7 === 3) return delivery.abort();
      await delivery.finish();
    }));
    assert.ok(results.every((result) => result.status === "fulfilled"));
    const numbers = [...Deno.readTextFileSync(path).matchAll(/^message (\d+)\n\n/gm)].map((match) =>
      Number(match[1])
    );
    assert.deepEqual(numbers, Array.from({ length: 30 }, (_, i) => i).filter((i) => i % 7 !== 3));
  }));

const HOSTILE: readonly { name: string; plant: (path: string, other: string) => void; result: string }[] = [
  // FSX-01
  { name: "a link to a file", plant: (path, other) => Deno.symlinkSync(other, path), result: "bounced" },
  { name: "a dangling link", plant: (path) => Deno.symlinkSync("/nonexistent/x", path), result: "bounced" },
  // FSX-02
  { name: "a file with two links", plant: (path, other) => Deno.linkSync(other, path), result: "deferred" },
  { name: "a directory", plant: (path) => Deno.mkdirSync(path), result: "bounced" },
  {
    name: "a FIFO",
    plant: (path) => void new Deno.Command("mkfifo", { args: [path] }).outputSync(),
    result: "bounced",
  },
];

for (const { name, plant, result } of HOSTILE) {
  Deno.test(`A mailbox that is ${name} is refused and what it leads to stays as it was`, () =>
    withMbox(async (path) => {
      const other = `${path}.other`;
      Deno.writeTextFileSync(other, "secret");
      plant(path, other);
      await assert.rejects(mbox(path).begin(SENDER), (error) => failedDelivery(error).result === result);
      assert.equal(Deno.readTextFileSync(other), "secret");
      assert.equal(exists(`${path}.lock`), false);
    }));
}

Deno.test("A mailbox of another owner is refused under strict_mailbox_ownership only", () =>
  withMbox(async (path) => {
    // FSX-05
    Deno.writeTextFileSync(path, "");
    const stranger = (Deno.uid() ?? 0) + 1;
    await assert.rejects(mbox(path, { owner: stranger }).begin(SENDER), (error) => {
      const { result, status } = failedDelivery(error);
      assert.deepEqual([result, status], ["deferred", "4.2.0"]);
      return true;
    });
    await deliver(mbox(path, { owner: undefined }), "x\n");
  }));

const LOCKS: readonly { name: string; plant: (lock: string) => void }[] = [
  { name: "a fresh lock", plant: (lock) => Deno.writeTextFileSync(lock, "") },
  { name: "a link", plant: (lock) => Deno.symlinkSync("/nonexistent/x", lock) },
  { name: "a directory", plant: (lock) => Deno.mkdirSync(lock) },
];

for (const { name, plant } of LOCKS) {
  Deno.test(`A dotlock that is ${name} defers with 4.2.0 and stays`, () =>
    withMbox(async (path) => {
      plant(`${path}.lock`);
      await assert.rejects(mbox(path).begin(SENDER), (error) => failedDelivery(error).status === "4.2.0");
      assert.equal(exists(`${path}.lock`), true);
      assert.equal(exists(path), false);
    }));
}

Deno.test("A stale dotlock is removed, a dotlock that is given up in time is waited for", () =>
  withMbox(async (path) => {
    Deno.writeTextFileSync(`${path}.lock`, "");
    await deliver(mbox(path, { lock: { ...LOCK, stale: 0 } }), "x\n");
    Deno.writeTextFileSync(`${path}.lock`, "");
    const timer = setTimeout(() => Deno.removeSync(`${path}.lock`), 30);
    await deliver(mbox(path, { lock: { ...LOCK, attempts: 100 } }), "y\n");
    clearTimeout(timer);
    assert.match(read(path), /x\n\nFrom s@example.com\ny\n\n$/);
  }));

Deno.test("A flock of another process defers with 4.2.0, and the dotlock is given up", () =>
  withMbox(async (path) => {
    Deno.writeTextFileSync(path, "");
    const script = "echo locked; read line";
    const holder = new Deno.Command("flock", {
      args: ["-x", path, "sh", "-c", script],
      stdin: "piped",
      stdout: "piped",
    })
      .spawn();
    const reader = holder.stdout.getReader();
    await reader.read();
    await assert.rejects(mbox(path).begin(SENDER), (error) => failedDelivery(error).status === "4.2.0");
    assert.equal(exists(`${path}.lock`), false);
    await holder.stdin.close();
    await reader.cancel();
    await holder.status;
    await deliver(mbox(path), "x\n");
  }));

Deno.test("A mailbox that lost its dotlock to another program is not cut back", () =>
  withMbox(async (path) => {
    const warnings: string[] = [];
    const delivery = await mbox(path, {}, 0, warnings).begin(SENDER);
    delivery.write(new Uint8Array(70_000).fill(0x61));
    Deno.removeSync(`${path}.lock`);
    Deno.writeTextFileSync(`${path}.lock`, "theirs");
    Deno.writeTextFileSync(path, "their mail", { append: true });
    await assert.rejects(delivery.finish(), (error) => failedDelivery(error).status === "4.2.0");
    assert.equal(warnings.length, 1);
    assert.match(Deno.readTextFileSync(path), /their mail/);
    assert.equal(Deno.readTextFileSync(`${path}.lock`), "theirs");
  }));

Deno.test("A mailbox swapped with a link while deliveries go on never writes to the link's target", async () => {
  // FSX-07, with fewer tries
  await withMbox(async (path) => {
    const victim = `${path}.victim`;
    Deno.writeTextFileSync(victim, "untouched");
    const script =
      `i=0; while [ $i -lt 400 ]; do rm -f ${path}; ln -s ${victim} ${path} 2>/dev/null; rm -f ${path}; i=$((i+1)); done`;
    const swapper = new Deno.Command("sh", { args: ["-c", script] }).spawn();
    let running = true;
    const ended = swapper.status.then(() => running = false);
    while (running) await deliver(mbox(path), "x\n").catch(() => {});
    await ended;
    assert.equal(Deno.readTextFileSync(victim), "untouched");
  });
});

Deno.test("Where fcntl is asked for, flock and a dotlock stand in", () => {
  assert.deepEqual(lockKinds(["fcntl"]), { dotlock: true, flock: true });
  assert.deepEqual(lockKinds(["flock"]), { dotlock: false, flock: true });
  assert.deepEqual(lockKinds(["dotlock"]), { dotlock: true, flock: false });
  assert.deepEqual(lockKinds(["fcntl", "dotlock"]), { dotlock: true, flock: true });
});
