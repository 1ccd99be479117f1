import assert from "node:assert/strict";
import { DataScanner } from "../../commands/smtp_sink_data.ts";
import { expandTime } from "../../commands/smtp_sink_dump.ts";
import { readSinkOptions, unescapeText } from "../../commands/smtp_sink_options.ts";
import { ByteBuilder } from "../../lib/vstring/byte_builder.ts";
import { ScratchSystem } from "./command_support.ts";
import { converse, debians, ours, userOption } from "./smtp_tool_support.ts";
import { freePort } from "../support/ports.ts";

const MESSAGE = [
  "MAIL FROM:<a@b> BODY=8BITMIME",
  "RCPT TO:<c@d> NOTIFY=NEVER",
  "RCPT TO:<e@f>",
  "DATA",
  "Subject: x\r\n\r\n..hi\r\nend\r\n.",
];
const EVERYTHING = [
  "EHLO a b",
  "HELO x",
  "HELO",
  "MAIL FROM:<a@b> SIZE=3",
  "MAIL FROM:<c@d>",
  "MAIL",
  "RCPT TO:<q>",
  "RCPT",
  "RSET",
  "RCPT TO:<a>",
  "DATA",
  "MAIL FROM:<>",
  "DATA",
  "RCPT TO:<>",
  "NOOP",
  "VRFY a",
  "XCLIENT NAME=a",
  "XFORWARD A=b",
  "AUTH PLAIN aaa",
  "FOO",
  "HELP",
  "ETRN a",
  "",
  "LHLO a",
  "data",
  ".",
  " ",
  "QUIT x",
];

/** What ours and Debian's answer to the same words. */
const PARITY: { name: string; args: string[]; says: string[] }[] = [
  { name: "every command, in and out of order", args: [], says: EVERYTHING },
  { name: "two messages", args: [], says: ["EHLO me", ...MESSAGE, ...MESSAGE, "QUIT"] },
  { name: "a client that just goes", args: [], says: ["EHLO me", "MAIL FROM:<>"] },
  { name: "another name", args: ["-h", "mx.test"], says: ["EHLO me", "HELO me", "QUIT"] },
  { name: "no ESMTP", args: ["-e"], says: ["EHLO me", "HELO me", "QUIT"] },
  { name: "a PIX", args: ["-P"], says: ["EHLO me", "HELO me", "QUIT"] },
  {
    name: "no extensions",
    args: ["-E", "-a", "-C", "-F", "-N", "-8", "-p"],
    says: ["EHLO me", "XCLIENT a", "AUTH x", "QUIT"],
  },
  {
    name: "hard rejects",
    args: ["-f", "MAIL, RCPT"],
    says: ["EHLO x", "MAIL FROM:<a>", "RCPT TO:<b>", "DATA", "QUIT"],
  },
  {
    name: "soft rejects of greeting and message",
    args: ["-r", ".,CONNECT"],
    says: ["HELO x", ...MESSAGE, "QUIT"],
  },
  { name: "a hard reject of the greeting", args: ["-f", "connect"], says: ["EHLO x", "QUIT"] },
  {
    name: "own reject texts",
    args: ["-b", "451 foo", "-B", "555 xx", "-r", "RCPT", "-f", "DATA"],
    says: ["HELO x", "MAIL FROM:<>", "RCPT TO:<a>", "DATA", "QUIT"],
  },
  {
    name: "disconnect after RCPT",
    args: ["-q", "RCPT"],
    says: ["HELO x", "MAIL FROM:<>", "RCPT TO:<a>", "DATA"],
  },
  { name: "disconnect at once", args: ["-q", "CONNECT"], says: ["HELO x"] },
  { name: "421 after RCPT", args: ["-Q", "RCPT"], says: ["HELO x", "MAIL FROM:<>", "RCPT TO:<a>", "DATA"] },
  { name: "421 at once", args: ["-Q", "CONNECT"], says: ["HELO x"] },
  { name: "421 after a command out of order", args: ["-Q", "DATA"], says: ["HELO x", "DATA", "NOOP"] },
  {
    name: "a message broken off",
    args: ["-A", "1"],
    says: ["HELO x", "MAIL FROM:<>", "RCPT TO:<a>", "DATA", "more"],
  },
  { name: "a delay", args: ["-W", "MAIL:1"], says: ["HELO x", "MAIL FROM:<>", "QUIT"] },
];

async function session(program: "ours" | "debians", args: string[], says: string[]) {
  const port = freePort();
  const all = [...args, "-c"];
  const end = [`127.0.0.1:${port}`, "10"];
  if (program === "ours") {
    const running = ours("smtp-sink", [...all, "-n", "1", ...end]);
    const said = await converse(port, says);
    const { out, err } = await running;
    return { said, out, err };
  }
  // Debian's -n counts QUITs: a session without one would leave it running.
  const child = new Deno.Command("/usr/sbin/smtp-sink", {
    args: [...userOption(), ...all, ...end],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const said = await converse(port, says);
  await new Promise((resolve) => setTimeout(resolve, 100));
  child.kill("SIGTERM");
  const { stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { said, out: text(stdout), err: text(stderr) };
}

for (const { name, args, says } of PARITY) {
  Deno.test(`smtp-sink answers as Debian's: ${name}`, async () => {
    const [mine, theirs] = await Promise.all([session("ours", args, says), session("debians", args, says)]);
    assert.deepEqual(mine, theirs);
  });
}

Deno.test("RFC 2033 section 4.2: over LMTP the final dot is answered for each recipient, as Debian's does", async () => {
  for (const args of [["-L"], ["-L", "-r", "."]]) {
    const says = ["LHLO x", "HELO x", ...MESSAGE, "NOOP", "NOOP"];
    const [mine, theirs] = await Promise.all([session("ours", args, says), session("debians", args, says)]);
    assert.deepEqual(mine, theirs);
  }
});

/** A dump with its ids and dates masked. */
function masked(text: string): string {
  return text.split("\n").map((line) => {
    if (line.startsWith("\tby ")) return line.replace(/ id [0-9a-f]{8};/, " id *;");
    return /^\t\w{3}, /.test(line) ? "\t*" : line;
  }).join("\n");
}

const DUMPS: { name: string; args: string[]; says: string[] }[] = [
  { name: "ESMTP", args: ["-h", "mx.test"], says: ["EHLO me", ...MESSAGE, ...MESSAGE, "QUIT"] },
  { name: "SMTP without HELO", args: [], says: [...MESSAGE, "QUIT"] },
  { name: "LMTP", args: ["-L"], says: ["LHLO me", ...MESSAGE, "NOOP", "QUIT"] },
  { name: "a start string", args: ["-S", "From x\\tq\\012"], says: ["HELO me", ...MESSAGE, "QUIT"] },
];

for (const { name, args, says } of DUMPS) {
  Deno.test(`a dump reads as Debian's: ${name}`, async () => {
    const root = Deno.makeTempDirSync();
    Deno.chmodSync(root, 0o777);
    try {
      const texts = await Promise.all((["ours", "debians"] as const).map(async (program) => {
        const many = ["-D", `${root}/${program}-many`, ...args];
        await session(program, many, says);
        return masked(Deno.readTextFileSync(`${root}/${program}-many`));
      }));
      assert.equal(texts[0], texts[1]);
      await session("ours", ["-d", `${root}/%Y/one.`, ...args], says);
      const names = Array.from(
        Deno.readDirSync(`${root}/${new Date().getFullYear()}`),
        (entry) => entry.name,
      );
      assert.equal(names.length, texts[0]!.split("X-Mail-Args").length - 1);
      for (const one of names) assert.match(one, /^one\.[0-9a-f]{8}$/);
    } finally {
      Deno.removeSync(root, { recursive: true });
    }
  });
}

Deno.test("Debian's smtp-source sends 500 messages in 20 sessions into our sink, and each is kept once", async () => {
  const root = Deno.makeTempDirSync();
  try {
    const port = freePort();
    const sink = ours("smtp-sink", ["-c", "-M", "500", "-D", `${root}/all`, `127.0.0.1:${port}`, "100"]);
    await converse(port, ["QUIT"]);
    const args = ["-A", "-s", "20", "-m", "500", "-N", "-t", "x@y", "-l", "2000", `127.0.0.1:${port}`];
    await debians("smtp-source", args);
    const { status, out } = await sink;
    assert.equal(status, 0);
    assert.match(out, /mesg=500\r/);
    const text = Deno.readTextFileSync(`${root}/all`);
    const recipients = text.split("\n").filter((line) => line.startsWith("X-Rcpt-Args: "));
    assert.equal(new Set(recipients).size, 500);
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
});

Deno.test("our smtp-source sends 500 messages in 20 sessions into Debian's sink", async () => {
  const port = freePort();
  const sink = debians("smtp-sink", [...userOption(), "-c", "-n", "21", `127.0.0.1:${port}`, "100"]);
  await converse(port, ["QUIT"]);
  const ran = await ours("smtp-source", ["-s", "20", "-m", "500", "-d", "-l", "2000", `127.0.0.1:${port}`]);
  assert.deepEqual(ran, { status: 0, out: "", err: "" });
  assert.match((await sink).out, /sess=21 quit=21 mesg=500\r$/);
});

Deno.test("ours into ours over a unix socket, LMTP, 2 MB messages, byte for byte", async () => {
  const root = Deno.makeTempDirSync();
  try {
    const path = `${root}/socket`;
    const text = Array.from(
      { length: 20_000 },
      (_, i) => `${i % 3 === 0 ? "." : ""}line ${i} ${"y".repeat(80)}`,
    ).join("\n");
    Deno.writeTextFileSync(`${root}/message`, `Subject: x\n\n${text}\n`);
    const sink = ours("smtp-sink", ["-L", "-M", "2", "-d", `${root}/kept.`, `unix:${path}`, "10"]);
    while (!Array.from(Deno.readDirSync(root)).some((entry) => entry.name === "socket")) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const args = ["-L", "-m", "2", "-s", "2", "-r", "2", "-F", `${root}/message`, `unix:${path}`];
    assert.deepEqual(await ours("smtp-source", args), { status: 0, out: "", err: "" });
    assert.equal((await sink).status, 0);
    const kept = Array.from(Deno.readDirSync(root)).filter((entry) => entry.name.startsWith("kept."));
    assert.equal(kept.length, 2);
    for (const { name } of kept) {
      const dumped = Deno.readTextFileSync(`${root}/${name}`);
      assert.equal(dumped.slice(dumped.indexOf("Subject: x")), `Subject: x\n\n${text}\n\n`);
    }
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
});

Deno.test("sessions beyond -m wait for their turn", async () => {
  const port = freePort();
  const sink = ours("smtp-sink", ["-c", "-m", "1", "-n", "11", `127.0.0.1:${port}`, "100"]);
  await converse(port, ["QUIT"]);
  const args = ["-s", "10", "-m", "10", `127.0.0.1:${port}`];
  assert.equal((await ours("smtp-source", args)).status, 0);
  assert.match((await sink).out, /sess=11 quit=11 mesg=10\r$/);
});

Deno.test("-u gives root's rights up before anything is read", { ignore: Deno.uid() !== 0 }, async () => {
  using system = new ScratchSystem();
  const { root } = system.queue;
  Deno.chmodSync(root, 0o777);
  const port = freePort();
  const args = ["-u", "nobody", "-n", "1", "-d", `${root}/kept.`, `127.0.0.1:${port}`, "5"];
  const sink = system.run("smtp_sink", args);
  await converse(port, ["HELO x", ...MESSAGE, "QUIT"]);
  assert.deepEqual(await sink, { status: 0, out: "", err: "" });
  const kept = Array.from(Deno.readDirSync(root)).find((entry) => entry.name.startsWith("kept."));
  const nobody = new Deno.Command("id", { args: ["-u", "nobody"] }).outputSync().stdout;
  assert.equal(Deno.statSync(`${root}/${kept!.name}`).uid, Number(new TextDecoder().decode(nobody)));
});

/** Text on the wire, what of it is the message, and what follows. */
const TEXTS: { name: string; wire: string; text: string | undefined; rest?: string }[] = [
  { name: "nothing", wire: ".\r\n", text: "" },
  { name: "a line", wire: "a\r\n.\r\nQUIT", text: "a\n", rest: "QUIT" },
  { name: "stuffed dots", wire: "..\r\n.a\r\n...b\r\n.\r\n", text: ".\na\n..b\n" },
  { name: "a dot between bare line feeds is text", wire: "a\n.\nb\r\n.\r\n", text: "a\n.\nb\n" },
  { name: "a dot between CR LF and LF is text", wire: "a\r\n.\nb\r\n.\r\n", text: "a\n\nb\n" },
  { name: "a dot between LF and CR LF is text", wire: "a\n.\r\nb\r\n.\r\n", text: "a\n.\nb\n" },
  { name: "a dot between CRs is text", wire: "a\r.\rb\r\n.\r\n", text: "a\r.\rb\n" },
  { name: "CR CR LF", wire: "a\r\r\n.\r\n", text: "a\r\n" },
  { name: "dot CR CR LF is text", wire: ".\r\r\n.\r\n", text: "\r\n" },
  { name: "no end", wire: "a\r\n.\r", text: undefined },
];

for (const { name, wire, text, rest = "" } of TEXTS) {
  Deno.test(`RFC 5321 section 4.1.1.4: the end of a message: ${name}`, () => {
    const bytes = new TextEncoder().encode(wire);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const out = new ByteBuilder(1000);
      const scanner = new DataScanner(out);
      let end = scanner.push(bytes.subarray(0, cut));
      if (end < 0 && cut < bytes.length) {
        const second = scanner.push(bytes.subarray(cut));
        end = second < 0 ? -1 : cut + second;
      }
      assert.equal(end < 0 ? undefined : new TextDecoder().decode(out.view()), text, `cut at ${cut}`);
      if (end >= 0) assert.equal(new TextDecoder().decode(bytes.subarray(end)), rest);
    }
  });
}

Deno.test("a template's conversions are those of strftime", () => {
  const now = new Date();
  const template = "%Y%m%d %H:%M:%S %y %a %A %b %B %d %e %F %I %j %p %R %s %T %z %% x";
  const date = new Deno.Command("date", {
    args: ["-d", now.toISOString(), `+${template}`],
    env: { LC_ALL: "C" },
  }).outputSync();
  assert.equal(`${expandTime(template, now)}\n`, new TextDecoder().decode(date.stdout));
  assert.equal(expandTime("100%", now), "100%");
});

Deno.test("a start string's escapes are those of C", () => {
  assert.equal(unescapeText("\\a\\b\\f\\n\\r\\t\\v\\\\\\101\\7x\\0610\\q\\"), "\x07\b\f\n\r\t\v\\A\x07x10q");
});

const WRONG: { name: string; args: string[]; text: RegExp }[] = [
  { name: "no backlog", args: ["127.0.0.1:25"], text: /usage/ },
  { name: "an unknown option", args: ["-Z", "127.0.0.1:25", "1"], text: /invalid option -- 'Z'/ },
  { name: "an unknown command", args: ["-f", "BOGUS", "127.0.0.1:25", "1"], text: /unknown command: BOGUS/ },
  { name: "a delay that is no number", args: ["-w", "x", "127.0.0.1:25", "1"], text: /bad DATA delay: x/ },
  { name: "odds of 100", args: ["-W", "MAIL:1:100", "127.0.0.1:25", "1"], text: /bad -W odds/ },
  { name: "a soft reply that is hard", args: ["-b", "550 x", "127.0.0.1:25", "1"], text: /bad reply/ },
  { name: "a chroot", args: ["-R", "/", "127.0.0.1:25", "1"], text: /not supported/ },
];

for (const { name, args, text } of WRONG) {
  Deno.test(`smtp-sink refuses ${name}`, () => assert.throws(() => readSinkOptions(args), text));
}
