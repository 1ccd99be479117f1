import assert from "node:assert/strict";
import { makeText, stuffText } from "../../commands/smtp_source_message.ts";
import { readSourceOptions } from "../../commands/smtp_source_options.ts";
import { debians, ours, type Ran, ScriptedServer } from "./smtp_tool_support.ts";

type Runner = (args: readonly string[]) => Promise<Ran>;
const OURS: Runner = (args) => ours("smtp-source", args);
const DEBIANS: Runner = (args) => debians("smtp-source", args);

interface Outcome extends Ran {
  readonly received: string[];
}

async function against(
  replies: Record<string, string>,
  runner: Runner,
  args: readonly string[],
): Promise<Outcome> {
  await using server = new ScriptedServer(replies);
  const ran = await runner([...args, "-M", "my.host", `127.0.0.1:${server.port}`]);
  const received = server.received.map((line) => {
    if (line.startsWith("Date: ")) return "Date: *";
    return line.startsWith("Message-Id: <") ? `Message-Id: <*${line.slice(line.indexOf("@"))}` : line;
  });
  return { ...ran, received };
}

/** Ours and Debian's do the same, on the wire, in status and in words. */
const PARITY: { name: string; args: string[]; replies?: Record<string, string> }[] = [
  { name: "one message", args: [] },
  { name: "a subject and a length", args: ["-l", "200", "-S", "a subject"] },
  { name: "length 1", args: ["-l", "1"] },
  { name: "length 80", args: ["-l", "80"] },
  { name: "length 81", args: ["-l", "81"] },
  { name: "length 1000", args: ["-l", "1000"] },
  { name: "three messages in one session", args: ["-d", "-m", "3", "-l", "5"] },
  { name: "three messages in three sessions", args: ["-m", "3", "-l", "5"] },
  { name: "three recipients", args: ["-r", "3", "-t", "x@y", "-l", "5"] },
  { name: "numbered recipients", args: ["-N", "-d", "-m", "2", "-r", "2", "-t", "x@y", "-l", "5"] },
  { name: "old mode", args: ["-o", "-l", "5"] },
  { name: "LMTP with one recipient", args: ["-L", "-l", "5"] },
  { name: "a sender", args: ["-f", "a@b", "-l", "5"] },
  { name: "the null sender", args: ["-f", "", "-l", "5"] },
  { name: "a counter", args: ["-c", "-m", "2", "-l", "5"] },
  { name: "a bad greeting", args: ["-l", "5"], replies: { CONNECT: "550 no way" } },
  { name: "a bad greeting with -A", args: ["-A", "-l", "5"], replies: { CONNECT: "550 no way" } },
  { name: "a rejected sender", args: ["-l", "5"], replies: { MAIL: "450 later" } },
  { name: "a rejected sender with -A", args: ["-A", "-l", "5"], replies: { MAIL: "450 later" } },
  { name: "a rejected recipient", args: ["-l", "5"], replies: { RCPT: "550 no way" } },
  { name: "a rejected recipient with -A", args: ["-A", "-l", "5"], replies: { RCPT: "550 no way" } },
  { name: "rejected DATA with -A", args: ["-A", "-l", "5"], replies: { DATA: "550 no way" } },
  { name: "a rejected message", args: ["-l", "5"], replies: { ".": "550 no way" } },
  {
    name: "rejected messages with -A",
    args: ["-A", "-d", "-m", "2", "-l", "5"],
    replies: { ".": "550 no way" },
  },
  { name: "a connection lost at HELO", args: ["-l", "5"], replies: { HELO: "close" } },
  { name: "a connection lost at DATA", args: ["-l", "5"], replies: { DATA: "close" } },
];

for (const { name, args, replies = {} } of PARITY) {
  Deno.test(`smtp-source does as Debian's: ${name}`, async () => {
    assert.deepEqual(await against(replies, OURS, args), await against(replies, DEBIANS, args));
  });
}

const WRONG: { name: string; args: string[] }[] = [
  { name: "a length of 0", args: ["-l", "0", "127.0.0.1:1"] },
  { name: "no sessions", args: ["-s", "0", "127.0.0.1:1"] },
  { name: "a message count that is no number", args: ["-m", "x", "127.0.0.1:1"] },
  { name: "nobody listening", args: ["127.0.0.1:1"] },
  { name: "nobody listening, two attempts", args: ["-C", "2", "127.0.0.1:1"] },
  { name: "no unix socket", args: ["unix:/nonexistent"] },
  { name: "a service that is no port", args: ["127.0.0.1:foo"] },
];

for (const { name, args } of WRONG) {
  Deno.test(`smtp-source complains as Debian's does: ${name}`, async () => {
    assert.deepEqual(await OURS(args), await DEBIANS(args));
  });
}

Deno.test("smtp-source sends a file with dots stuffed and CR LF at its line ends", async () => {
  const path = Deno.makeTempFileSync();
  try {
    Deno.writeTextFileSync(path, "A: b\n\n.x\r\n..\nend");
    const { received, status } = await against({}, OURS, ["-F", path]);
    assert.equal(status, 0);
    assert.deepEqual(received.slice(4, -1), ["A: b", "", "..x", "...", "end", "."]);
  } finally {
    Deno.removeSync(path);
  }
});

Deno.test("over LMTP there is a reply for each recipient before the session goes on", async () => {
  const { received, status } = await against({ ".": "250 a\r\n250 b\r\n250 c" }, OURS, [
    "-L",
    "-r",
    "3",
    "-d",
    "-m",
    "2",
    "-l",
    "5",
  ]);
  assert.equal(status, 0);
  assert.equal(received.filter((line) => line === ".").length, 2);
  assert.equal(received.at(-1), "QUIT");
});

Deno.test("20 sessions share the messages and send each once", async () => {
  await using server = new ScriptedServer({});
  const ran = await OURS(["-s", "20", "-m", "100", "-d", "-N", "-l", "10", `127.0.0.1:${server.port}`]);
  assert.equal(ran.status, 0);
  const recipients = server.received.filter((line) => line.startsWith("RCPT"));
  assert.equal(new Set(recipients).size, 100);
});

Deno.test("a fixed pause keeps messages of a session apart", async () => {
  await using server = new ScriptedServer({});
  const start = performance.now();
  assert.equal((await OURS(["-d", "-m", "2", "-w", "1", "-l", "5", `127.0.0.1:${server.port}`])).status, 0);
  assert.ok(performance.now() - start >= 990);
});

Deno.test("text of a length has exactly that many bytes in lines of 80 and a last line end", () => {
  for (const length of [1, 79, 80, 81, 160, 161, 1024]) assert.equal(makeText(length).length, length + 2);
});

Deno.test("an empty file is an empty text", () => {
  assert.equal(stuffText(new Uint8Array(0)).length, 0);
});

const ENDPOINTS: { text: string; target: ReturnType<typeof readSourceOptions>["target"] }[] = [
  { text: "localhost", target: { kind: "inet", host: "localhost", port: 25, family: 0 } },
  { text: "inet:localhost:2525", target: { kind: "inet", host: "localhost", port: 2525, family: 0 } },
  { text: "localhost:smtp", target: { kind: "inet", host: "localhost", port: 25, family: 0 } },
  { text: "[::1]:2525", target: { kind: "inet", host: "::1", port: 2525, family: 0 } },
  { text: "[::1]", target: { kind: "inet", host: "::1", port: 25, family: 0 } },
  { text: "unix:/a:b", target: { kind: "unix", path: "/a:b" } },
];

for (const { text, target } of ENDPOINTS) {
  Deno.test(`endpoint ${text}`, () => assert.deepEqual(readSourceOptions([text]).target, target));
}

for (const text of ["", ":25", "[]:25", "[::1", "[::1]25", "::1", "a:65536", "a:-1", "a:0x10", "unix:"]) {
  Deno.test(`"${text}" is no endpoint`, () => {
    assert.throws(() => readSourceOptions([text]), /fatal/);
  });
}
