import assert from "node:assert/strict";
import {
  SENDOPT_REQUIRETLS,
  SENDOPT_SMTPUTF8_HEADER,
  SENDOPT_SMTPUTF8_REQUESTED,
} from "../../../lib/mail/send_options.ts";
import { CLEANUP_FLAG, CLEANUP_STATUS } from "../../../lib/proto/protocols.ts";
import { records } from "../../commands/maildrop_support.ts";
import type { MapLookup } from "../../../lib/proto/proxymap_client.ts";
import { testNeeding } from "../../support/tools.ts";
import { PickupBench } from "./pickup_support.ts";

const UID = Deno.uid()!;
const LOCAL_ATTRIBUTES: [string, string][] = [["A", "log_message_origin=local"], [
  "A",
  "rewrite_context=local",
]];

/** A small honest file. */
const HONEST: readonly (readonly [string, string])[] = [
  ["T", "1795411906 579218"],
  ["F", "Alice"],
  ["S", "alice"],
  ["R", "bob"],
  ["M", ""],
  ["N", "Subject: x"],
  ["N", ""],
  ["N", "hello"],
  ["X", ""],
  ["E", ""],
];

/** Without its T record, whose time is the file's. */
function withoutTime(list: [string, string][]): [string, string][] {
  return list.filter(([type]) => type !== "T");
}

function spoil(change: (list: (readonly [string, string | Uint8Array])[]) => void): Uint8Array {
  const list: (readonly [string, string | Uint8Array])[] = [...HONEST];
  change(list);
  return records(...list);
}

Deno.test("RFC 5321 section 4.4: an honest file goes to cleanup with a Received header, is logged with its uid and removed", async () => {
  await using bench = await PickupBench.start();
  bench.queue.drop("ABC123", records(...HONEST));
  await bench.pickup.scan();
  assert.deepEqual(withoutTime(bench.only(UID)), [
    ["F", "Alice"],
    ["S", "alice"],
    ["R", "bob"],
    ...LOCAL_ATTRIBUTES,
    ["M", ""],
    ["N", "Subject: x"],
    ["N", ""],
    ["N", "hello"],
    ["X", ""],
    ["E", ""],
  ]);
  assert.deepEqual(bench.log, [`QID0: uid=${UID} from=<alice>`]);
  assert.deepEqual(bench.queue.names("maildrop"), []);
  const { BOUNCE, FILTER, MILTER, BCC, MAP, AUTOUTF8 } = CLEANUP_FLAG;
  assert.equal(bench.messages[0]!.flags, BOUNCE | FILTER | MILTER | BCC | MAP | AUTOUTF8);
});

Deno.test("the arrival time is that of the file, whatever its T record says", async () => {
  await using bench = await PickupBench.start();
  const path = bench.queue.drop("A1", records(["T", "99 0"], ...HONEST.slice(1)));
  Deno.utimeSync(path, 1_700_000_000, 1_700_000_000);
  await bench.pickup.scan();
  assert.deepEqual(bench.only(UID)[0], ["T", "1700000000 0"]);
});

Deno.test("recipients of sendmail -t come to cleanup in the envelope, each with its NOTIFY", async () => {
  await using bench = await PickupBench.start();
  bench.queue.drop(
    "A1",
    spoil((list) => list.splice(9, 0, ["A", "notify_flags=2"], ["R", "cc@x"], ["R", "bcc@x"])),
  );
  await bench.pickup.scan();
  assert.deepEqual(withoutTime(bench.only(UID)).slice(2), [
    ["R", "bob"],
    ...LOCAL_ATTRIBUTES,
    ["A", "notify_flags=2"],
    ["R", "cc@x"],
    ["R", "bcc@x"],
    ["M", ""],
    ["N", "Subject: x"],
    ["N", ""],
    ["N", "hello"],
    ["X", ""],
    ["E", ""],
  ]);
});

Deno.test("content that begins with white space gets an empty line first", async () => {
  await using bench = await PickupBench.start();
  bench.queue.drop("A1", spoil((list) => list[5] = ["N", "\tfolded"]));
  await bench.pickup.scan();
  const all = bench.only(UID);
  const content = all.slice(all.findIndex(([type]) => type === "M") + 1);
  assert.deepEqual(content.slice(0, 2), [["N", ""], ["N", "\tfolded"]]);
});

Deno.test("300 files go through in one scan", async () => {
  await using bench = await PickupBench.start();
  for (let i = 0; i < 300; i++) bench.queue.drop(`A${i}`, spoil((list) => list[3] = ["R", `user${i}`]));
  await bench.pickup.scan();
  assert.equal(bench.messages.length, 300);
  const recipients = bench.messages.map((one) => one.records.find(([type]) => type === "R")![1]);
  assert.equal(new Set(recipients).size, 300);
  assert.deepEqual(bench.queue.names("maildrop"), []);
});

const STATUSES: { name: string; status: number; stays: string[]; corrupt: string[] }[] = [
  { name: "a write error", status: CLEANUP_STATUS.WRITE, stays: ["A1"], corrupt: [] },
  { name: "a message that is too big", status: CLEANUP_STATUS.SIZE, stays: ["A1"], corrupt: [] },
  { name: "a temporary failure", status: CLEANUP_STATUS.DEFER, stays: ["A1"], corrupt: [] },
  { name: "a bad envelope", status: CLEANUP_STATUS.BAD, stays: [], corrupt: ["A1"] },
  { name: "no recipients", status: CLEANUP_STATUS.RECIPIENT, stays: [], corrupt: ["A1"] },
];

for (const { name, status, stays, corrupt } of STATUSES) {
  Deno.test(`cleanup reports ${name}: the file ${stays.length > 0 ? "stays" : "goes to corrupt"}`, async () => {
    await using bench = await PickupBench.start();
    bench.status = status;
    bench.queue.drop("A1", records(...HONEST));
    await bench.pickup.scan();
    assert.deepEqual(bench.queue.names("maildrop"), stays);
    assert.deepEqual(bench.queue.names("corrupt"), corrupt);
  });
}

Deno.test("a file that cleanup could not take is taken in a later scan", async () => {
  await using bench = await PickupBench.start();
  bench.status = CLEANUP_STATUS.WRITE;
  bench.queue.drop("A1", records(...HONEST));
  await bench.pickup.scan();
  bench.status = 0;
  await bench.pickup.scan();
  assert.deepEqual(bench.queue.names("maildrop"), []);
});

/** Files that are no message a local user may send: security-cases FSX-11, FSX-13. */
const HOSTILE: { name: string; bytes: Uint8Array }[] = [
  { name: "nothing", bytes: new Uint8Array(0) },
  { name: "records of type 0", bytes: spoil((list) => list.splice(1, 0, ["\0", ""])) },
  { name: "an unknown record type", bytes: spoil((list) => list.splice(1, 0, ["?", "x"])) },
  { name: "a length of 2^31", bytes: new Uint8Array([0x53, 0x80, 0x80, 0x80, 0x80, 0x08, 0x41]) },
  { name: "a length of 2^70", bytes: new Uint8Array([0x53, ...Array(10).fill(0xff), 0x7f]) },
  { name: "no sender", bytes: spoil((list) => list.splice(2, 1)) },
  { name: "two senders", bytes: spoil((list) => list.splice(3, 0, ["S", "mallory"])) },
  { name: "a recipient before the sender", bytes: spoil((list) => list.splice(1, 0, ["R", "x"])) },
  { name: "a sender behind the content", bytes: spoil((list) => list.splice(9, 0, ["S", "x"])) },
  { name: "no end", bytes: spoil((list) => list.pop()) },
  { name: "something behind the end", bytes: spoil((list) => list.push(["N", "x"])) },
  { name: "a line feed in the sender", bytes: spoil((list) => list[2] = ["S", "a\nb"]) },
  { name: "a carriage return in a recipient", bytes: spoil((list) => list[3] = ["R", "a\rb"]) },
  { name: "NUL in the full name", bytes: spoil((list) => list[1] = ["F", "a\0b"]) },
  {
    name: "a line feed in a line of the content",
    bytes: spoil((list) => list[7] = ["N", "x\n.\nMAIL FROM:<>"]),
  },
  { name: "a content filter", bytes: spoil((list) => list.splice(1, 0, ["L", "smtp:[evil]"])) },
  {
    name: "a content filter behind the content",
    bytes: spoil((list) => list.splice(9, 0, ["L", "smtp:[evil]"])),
  },
  { name: "a redirect address", bytes: spoil((list) => list.splice(9, 0, [">", "x@y"])) },
  { name: "a pointer", bytes: spoil((list) => list.splice(1, 0, ["p", "              0"])) },
  { name: "a pointer in the content", bytes: spoil((list) => list.splice(6, 0, ["p", "              5"])) },
  { name: "a recipient that is done", bytes: spoil((list) => list.splice(3, 0, ["D", "x"])) },
  { name: "an original recipient", bytes: spoil((list) => list.splice(3, 0, ["O", "x"])) },
  { name: "a forged client", bytes: spoil((list) => list.splice(1, 0, ["A", "log_client_name=trusted"])) },
  { name: "a forged login", bytes: spoil((list) => list.splice(1, 0, ["A", "sasl_username=root"])) },
  { name: "a creation time", bytes: spoil((list) => list.splice(1, 0, ["A", "create_time=1"])) },
  { name: "an attribute without a value", bytes: spoil((list) => list.splice(1, 0, ["A", "encoding"])) },
  {
    name: "an encoding that there is not",
    bytes: spoil((list) => list.splice(1, 0, ["A", "encoding=binary"])),
  },
  { name: "a NOTIFY out of range", bytes: spoil((list) => list.splice(3, 0, ["A", "notify_flags=16"])) },
  {
    name: "101 attributes",
    bytes: spoil((list) => list.splice(1, 0, ...Array(101).fill(["A", "encoding=8bit"]))),
  },
  {
    name: "an attribute of the message behind the content",
    bytes: spoil((list) => list.splice(9, 0, ["A", "encoding=8bit"])),
  },
  { name: "an empty recipient", bytes: spoil((list) => list[3] = ["R", ""]) },
  { name: "a recipient of 1025 bytes", bytes: spoil((list) => list[3] = ["R", "x".repeat(1025)]) },
  { name: "a line of 2049 bytes in one record", bytes: spoil((list) => list[7] = ["N", "x".repeat(2049)]) },
  { name: "a record of 65536 bytes", bytes: spoil((list) => list[7] = ["N", "x".repeat(65536)]) },
];

for (const { name, bytes } of HOSTILE) {
  Deno.test(`a file with ${name} goes to corrupt, and the next file is taken`, async () => {
    await using bench = await PickupBench.start();
    bench.queue.drop("A1", bytes);
    await bench.pickup.scan();
    assert.deepEqual(bench.messages, []);
    assert.deepEqual(bench.queue.names("corrupt"), ["A1"]);
    assert.match(
      bench.log.join("\n"),
      new RegExp(`warning: maildrop file A1, uid=${UID}: .*: moved to the corrupt queue`),
    );
    bench.queue.drop("A2", records(...HONEST));
    await bench.pickup.scan();
    assert.equal(bench.messages.length, 1);
  });
}

const ALLOWED: { name: string; bytes: Uint8Array }[] = [
  {
    name: "100 attributes",
    bytes: spoil((list) => list.splice(1, 0, ...Array(100).fill(["A", "encoding=8bit"]))),
  },
  { name: "a recipient of 1024 bytes", bytes: spoil((list) => list[3] = ["R", "x".repeat(1024)]) },
  { name: "a line of 2048 bytes in one record", bytes: spoil((list) => list[7] = ["N", "x".repeat(2048)]) },
  { name: "a line in pieces", bytes: spoil((list) => list.splice(7, 0, ["L", "piece"])) },
  { name: "NUL and CR in the content", bytes: spoil((list) => list[7] = ["N", "a\0b\rc"]) },
  { name: "a NOTIFY of 15", bytes: spoil((list) => list.splice(3, 0, ["A", "notify_flags=15"])) },
];

for (const { name, bytes } of ALLOWED) {
  Deno.test(`a file with ${name} is taken`, async () => {
    await using bench = await PickupBench.start();
    bench.queue.drop("A1", bytes);
    await bench.pickup.scan();
    bench.only(UID);
  });
}

Deno.test("FSX-13: a file that is cut at any byte is never taken", async () => {
  await using bench = await PickupBench.start();
  const whole = records(...HONEST);
  for (let length = 0; length < whole.length; length++) {
    bench.queue.drop(`A${length}`, whole.subarray(0, length));
  }
  await bench.pickup.scan();
  assert.deepEqual(bench.messages, []);
  assert.equal(bench.queue.names("corrupt").length, whole.length);
});

Deno.test("FSX-14: 2,000 files with random bytes changed harm nobody, and only records that stood there get out", async () => {
  await using bench = await PickupBench.start();
  let seed = 11;
  const random = (most: number) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % most;
  for (let i = 0; i < 2000; i++) {
    const bytes = records(...HONEST);
    for (let n = 0; n <= random(3); n++) bytes[random(bytes.length)] = random(256);
    bench.queue.drop(`A${i}`, bytes);
  }
  await bench.pickup.scan();
  assert.deepEqual(bench.queue.names("maildrop"), []);
  assert.equal(bench.messages.length + bench.queue.names("corrupt").length, 2000);
  for (const { records: got } of bench.messages) {
    assert.deepEqual(got.filter(([type]) => "SMXE".includes(type)).map(([type]) => type).join(""), "SMXE");
    for (const [type] of got) assert.ok("TFSRAVMNLXE".includes(type), type);
  }
});

Deno.test("names that are no queue id, unfinished files, links, FIFOs and directories stay untouched", async () => {
  await using bench = await PickupBench.start();
  const { queue } = bench;
  const outside = queue.path("public", "secret");
  Deno.writeFileSync(outside, records(...HONEST));
  Deno.chmodSync(outside, 0o744);
  queue.drop("tmp.abc", records(...HONEST));
  queue.drop("A.B", records(...HONEST));
  queue.drop("UNREADY", records(...HONEST), 0o644);
  Deno.symlinkSync(outside, queue.path("maildrop", "LINK"));
  Deno.symlinkSync("/nonexistent", queue.path("maildrop", "DANGLING"));
  Deno.linkSync(outside, queue.path("maildrop", "HARD"));
  Deno.mkdirSync(queue.path("maildrop", "DIRECTORY"));
  new Deno.Command("mkfifo", { args: ["-m", "744", queue.path("maildrop", "FIFO")] }).outputSync();
  const before = queue.names("maildrop");
  await bench.pickup.scan();
  await bench.pickup.scan();
  assert.deepEqual(queue.names("maildrop"), before);
  assert.deepEqual(bench.messages, []);
  const warnings = bench.log.filter((line) => line.includes("is not a regular file"));
  assert.deepEqual(warnings.length, 4, bench.log.join("\n"));
});

Deno.test("a file that postsuper -r put there is processed again, without what cleanup and qmgr had added", async () => {
  await using bench = await PickupBench.start();
  const size = [
    "C",
    "              1              2              3              0              4              0",
  ] as const;
  bench.queue.drop(
    "OLD1",
    records(
      size,
      ["T", "1795411906 579218"],
      ["A", "create_time=1795411906"],
      ["A", "log_client_name=client.example"],
      ["A", "rewrite_context=remote"],
      ["F", "Full"],
      ["S", "a@b"],
      ["p", "              0"],
      ["O", "gone"],
      ["D", "done@x"],
      ["A", "dsn_orig_rcpt=rfc822;list@x"],
      ["A", "notify_flags=1"],
      ["O", "orig@x"],
      ["R", "todo@x"],
      ["/", "cancelled@x"],
      ["M", ""],
      ["N", "Subject: x"],
      ["w", "padding"],
      ["N", "body"],
      ["X", ""],
      ["L", "smtp:filter"],
      [">", "redirect@x"],
      ["A", "message_id=<x>"],
      ["R", "more@x"],
      ["E", ""],
      ["N", "left over edit"],
    ),
    0o700,
  );
  await bench.pickup.scan();
  assert.deepEqual(bench.only(UID), [
    ["T", "1795411906 579218"],
    ["A", "log_client_name=client.example"],
    ["A", "rewrite_context=remote"],
    ["F", "Full"],
    ["S", "a@b"],
    ["A", "dsn_orig_rcpt=rfc822;list@x"],
    ["A", "notify_flags=1"],
    ["O", "orig@x"],
    ["R", "todo@x"],
    ["R", "more@x"],
    ["M", ""],
    ["N", "Subject: x"],
    ["N", "body"],
    ["X", ""],
    ["E", ""],
  ]);
  assert.deepEqual(bench.log, [`QID0: uid=${UID} from=<a@b> orig_id=OLD1`]);
  assert.equal(bench.messages[0]!.flags & CLEANUP_FLAG.MILTER, 0);
});

Deno.test("what a message demands of its way comes to cleanup: of a user what he may ask for, of a requeued file all", async () => {
  const size = (options: number) => ["C", `${"0 ".repeat(5)}${options}`] as const;
  const options = SENDOPT_REQUIRETLS | SENDOPT_SMTPUTF8_REQUESTED | SENDOPT_SMTPUTF8_HEADER;
  for (
    const [file, mode, expected] of [
      [
        [["T", "1 0"], size(options), ...HONEST.slice(1)],
        0o744,
        SENDOPT_REQUIRETLS | SENDOPT_SMTPUTF8_REQUESTED,
      ],
      [
        [size(options | 0x1000), ["T", "1 0"], ["S", "a"], ["R", "b"], ["M", ""], ["X", ""], ["E", ""]],
        0o700,
        options,
      ],
      [[["T", "1 0"], size(0), ...HONEST.slice(1)], 0o744, undefined],
    ] as const
  ) {
    await using bench = await PickupBench.start();
    bench.queue.drop("ABC123", records(...file), mode);
    await bench.pickup.scan();
    const found = bench.messages[0]!.records.filter(([, data]) => data.startsWith("sendopts="));
    assert.deepEqual(found, expected === undefined ? [] : [["A", `sendopts=${expected}`]]);
  }
});

Deno.test("a requeued file with edits is read through its pointers, and a loop of pointers is not", async () => {
  await using bench = await PickupBench.start();
  const head = records(["T", "1 0"], ["S", "a"], ["R", "b"], ["M", ""], ["N", "one"]);
  const pointer = (to: number) => records(["p", String(to).padStart(15)]);
  const rest = records(["N", "three"], ["X", ""], ["E", ""]);
  const edit = head.length + 17 + rest.length;
  const bytes = [...head, ...pointer(edit), ...rest, ...records(["N", "two"]), ...pointer(head.length + 17)];
  bench.queue.drop("EDITED", new Uint8Array(bytes), 0o700);
  bench.queue.drop("LOOP", new Uint8Array([...head, ...pointer(head.length)]), 0o700);
  await bench.pickup.scan();
  const lines = bench.only(UID).filter(([type]) => type === "N").map(([, text]) => text);
  assert.deepEqual(lines, ["one", "two", "three"]);
  assert.deepEqual(bench.queue.names("corrupt"), ["LOOP"]);
});

Deno.test(
  "what Debian's sendmail leaves in its maildrop is taken",
  { ignore: Deno.uid() !== 0 },
  async () => {
    await using bench = await PickupBench.start();
    const { root } = bench.queue;
    const config = `${root}/etc`;
    Deno.mkdirSync(config);
    Deno.mkdirSync(`${root}/pid`);
    Deno.writeTextFileSync(
      `${config}/main.cf`,
      `compatibility_level = 3.6\nqueue_directory = ${root}\nmyhostname = h.test\n`,
    );
    Deno.writeTextFileSync(`${config}/master.cf`, "");
    const child = new Deno.Command("/usr/sbin/sendmail", {
      args: ["-C", config, "-t", "-f", "me@here", "-N", "success", "arg@x"],
      stdin: "piped",
      stderr: "null",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode("To: to@x\nBcc: hidden@x\nSubject: s\n\nbody\n"));
    await writer.close();
    assert.equal((await child.status).code, 0);
    await bench.pickup.scan();
    assert.deepEqual(bench.only(UID).filter(([type]) => "SR".includes(type)), [
      ["S", "me@here"],
      ["R", "arg@x"],
      ["R", "to@x"],
      ["R", "hidden@x"],
    ]);
  },
);

/** A table that has one value for every key, or none. */
const having = (value: string | undefined): MapLookup => ({
  find: () =>
    Promise.resolve(value === undefined ? { kind: "missing" } : { kind: "found", value, extension: "" }),
});

Deno.test("a file whose owner may not have its sender is set aside, as anybody can write one without sendmail", async () => {
  const settings = { local_login_sender_maps: ["inline:{alice=alice}"] };
  await using bench = await PickupBench.start({ settings, login: "mallory", maps: having(undefined) });
  bench.queue.drop("ABC123", records(...HONEST));
  await bench.pickup.scan();
  assert.deepEqual(bench.messages, []);
  assert.deepEqual(bench.queue.names("maildrop"), []);
  assert.deepEqual(bench.queue.names("corrupt"), ["ABC123"]);
  const why = `User mallory(${UID}) is not allowed to send as <alice>: moved to the corrupt queue`;
  assert.deepEqual(bench.log, [`warning: maildrop file ABC123, uid=${UID}: ${why}`]);
});

Deno.test("a file whose owner may have its sender is taken", async () => {
  const settings = { local_login_sender_maps: ["inline:{alice=alice}"] };
  await using bench = await PickupBench.start({ settings, login: "alice", maps: having("alice") });
  bench.queue.drop("ABC123", records(...HONEST));
  await bench.pickup.scan();
  assert.equal(bench.messages.length, 1);
});

Deno.test("a file that a table cannot tell of now stays", async () => {
  const maps: MapLookup = { find: () => Promise.resolve({ kind: "retry", why: "table is away" }) };
  const settings = { local_login_sender_maps: ["inline:{alice=alice}"] };
  await using bench = await PickupBench.start({ settings, login: "alice", maps });
  bench.queue.drop("ABC123", records(...HONEST));
  await bench.pickup.scan();
  assert.deepEqual(bench.messages, []);
  assert.deepEqual(bench.queue.names("maildrop"), ["ABC123"]);
  assert.match(bench.log.join("\n"), /stays for a later attempt: local_login_sender_maps: table is away/);
});

testNeeding(["root"], "a user who may not post posts nothing, root always may", async () => {
  const settings = { authorized_submit_users: ["alice"] };
  await using bench = await PickupBench.start({ settings, login: "mallory", maps: having(undefined) });
  bench.queue.drop("ABC123", records(...HONEST));
  bench.queue.drop("ABC124", records(...HONEST));
  Deno.chownSync(bench.queue.path("maildrop", "ABC123"), 65534, 65534);
  await bench.pickup.scan();
  assert.equal(bench.messages.length, 1);
  assert.deepEqual(bench.queue.names("corrupt"), ["ABC123"]);
  assert.match(bench.log.join("\n"), /User mallory\(65534\) is not allowed to submit mail/);
});
