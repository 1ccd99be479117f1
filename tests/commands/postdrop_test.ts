import assert from "node:assert/strict";
import { copyRecords } from "../../commands/postdrop_records.ts";
import { BadRecordError } from "../../lib/mail/record.ts";
import { ScratchSystem } from "./command_support.ts";
import { postcat, records } from "./maildrop_support.ts";

const HONEST: readonly (readonly [string, string])[] = [
  ["F", "Alice"],
  ["S", "alice"],
  ["A", "notify_flags=2"],
  ["R", "bob"],
  ["M", ""],
  ["N", "Subject: x"],
  ["L", "piece"],
  ["N", ""],
  ["X", ""],
  ["R", "cc"],
  ["E", ""],
];

async function copy(bytes: Uint8Array, size: number): Promise<string[]> {
  const got: string[] = [];
  async function* input(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
  }
  const record = (type: number, data: Uint8Array | string) =>
    void got.push(
      String.fromCharCode(type) + (typeof data === "string" ? data : new TextDecoder().decode(data)),
    );
  await copyRecords(input(), { record }, 2048);
  return got.filter((one) => !one.startsWith("T"));
}

Deno.test("records come through whole, however the input is cut", async () => {
  const list = [...HONEST.slice(0, 5), ["N", "x".repeat(2048)] as const, ...HONEST.slice(5)];
  const wanted = list.map(([type, data]) => type + data);
  for (const size of [1, 2, 3, 7, 100, 65536]) assert.deepEqual(await copy(records(...list), size), wanted);
});

Deno.test("input that ends at any byte before the end is refused", async () => {
  const whole = records(...HONEST);
  for (let length = 0; length < whole.length; length++) {
    await assert.rejects(copy(whole.subarray(0, length), 5), BadRecordError);
  }
});

Deno.test("what follows the end record is not read", async () => {
  assert.equal((await copy(records(...HONEST, ["N", "more"]), 65536)).length, HONEST.length);
});

const FORBIDDEN: { name: string; at: number; record: [string, string | Uint8Array] }[] = [
  { name: "type 0", at: 0, record: ["\0", ""] },
  { name: "an arrival time", at: 0, record: ["T", "1 0"] },
  { name: "a content filter", at: 0, record: ["L", "smtp:x"] },
  { name: "an original recipient", at: 3, record: ["O", "x"] },
  { name: "a pointer", at: 6, record: ["p", "              0"] },
  { name: "padding", at: 6, record: ["w", ""] },
  { name: "a sender behind the content", at: 9, record: ["S", "x"] },
  { name: "a redirect address", at: 9, record: [">", "x"] },
  { name: "an end in the envelope", at: 3, record: ["E", ""] },
  { name: "a record of 2049 bytes", at: 6, record: ["N", "x".repeat(2049)] },
  { name: "a record of a megabyte", at: 6, record: ["N", "x".repeat(1_000_000)] },
];

for (const { name, at, record } of FORBIDDEN) {
  Deno.test(`postdrop refuses ${name}`, async () => {
    const list = [...HONEST.slice(0, at), record, ...HONEST.slice(at)];
    for (const size of [1, 65536]) await assert.rejects(copy(records(...list), size), BadRecordError);
  });
}

Deno.test("random bytes never come through", async () => {
  let seed = 5;
  const random = (most: number) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % most;
  for (let round = 0; round < 500; round++) {
    const bytes = Uint8Array.from({ length: random(80) }, () => random(256));
    await assert.rejects(copy(bytes, 1 + random(9)), BadRecordError);
  }
});

Deno.test("the program speaks Postfix's protocol and leaves a file that postcat reads", async () => {
  using system = new ScratchSystem();
  const { status, out } = await system.run("postdrop", ["-r"], records(...HONEST));
  assert.equal(status, 0);
  const parts = out.split("\0");
  assert.deepEqual([...parts.slice(0, 3), ...parts.slice(4)], [
    "protocol",
    "postdrop_protocol",
    "queue_id",
    "",
    "status",
    "0",
    "reason",
    "",
    "",
    "",
  ]);
  const [name] = system.queue.names("maildrop");
  assert.deepEqual(postcat(system.queue.path("maildrop", name!)), [
    "sender_fullname: Alice",
    "sender: alice",
    "named_attribute: notify_flags=2",
    "recipient: bob",
    "Subject: x",
    "piece",
    "recipient: cc",
  ]);
});

Deno.test("the program leaves nothing behind when its input is no message", async () => {
  using system = new ScratchSystem();
  const { status, out } = await system.run("postdrop", [], records(...HONEST.slice(0, 5)));
  assert.equal(status, 75);
  const parts = out.split("\0");
  assert.deepEqual(parts.slice(5, 7), ["status", "1"]);
  assert.match(parts[8]!, /^Cannot post message: the input ends/);
  assert.deepEqual(system.queue.names("maildrop"), []);
});

Deno.test("Debian's sendmail posts through our postdrop", { ignore: Deno.uid() !== 0 }, async () => {
  using system = new ScratchSystem();
  const { root } = system.queue;
  const commands = `${root}/commands`;
  for (const name of ["commands", "postfix"]) Deno.mkdirSync(`${root}/${name}`);
  const runner = new URL("./run_command.ts", import.meta.url).pathname;
  Deno.writeTextFileSync(
    `${commands}/postdrop`,
    `#!/bin/sh\nexec ${Deno.execPath()} run -A --no-check ${runner} ${system.config} postdrop "$@"\n`,
  );
  Deno.chmodSync(`${commands}/postdrop`, 0o755);
  Deno.writeTextFileSync(
    `${root}/postfix/main.cf`,
    `compatibility_level = 3.6\nqueue_directory = ${root}\nmyhostname = h.test\ncommand_directory = ${commands}\n`,
  );
  Deno.writeTextFileSync(`${root}/postfix/master.cf`, "");
  const child = new Deno.Command("/usr/sbin/sendmail", {
    args: ["-C", `${root}/postfix`, "-f", "me@here", "to@x"],
    env: { HOME: "/root" },
    stdin: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode("Subject: s\n\nbody\n"));
  await writer.close();
  const { code, stderr } = await child.output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  const [name] = system.queue.names("maildrop");
  assert.deepEqual(postcat(system.queue.path("maildrop", name!)).slice(-5), [
    "sender: me@here",
    "recipient: to@x",
    "Subject: s",
    "",
    "body",
  ]);
});
