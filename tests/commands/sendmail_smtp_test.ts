import assert from "node:assert/strict";
import { findServer, SmtpRelay } from "../../commands/sendmail_smtp.ts";
import { connectStream } from "../../lib/safe/tcp_client.ts";

type Services = Parameters<typeof findServer>[0]["services"];

function find(...entries: Record<string, unknown>[]) {
  return findServer({ services: entries as unknown as Services, settings: { queue_directory: "/q" } });
}

Deno.test("-bs speaks to the unix socket of an smtpd before a port of one", () => {
  const inet = { name: "25", type: "inet", command: "smtpd", private: false, listen: { port: 25 } };
  const unix = { name: "smtpd", type: "unix", command: "smtpd", private: true };
  assert.deepEqual(find(inet, unix), { kind: "unix", path: "/q/private/smtpd" });
  assert.deepEqual(find(inet), { kind: "inet", host: "127.0.0.1", port: 25, family: 0 });
  assert.deepEqual(find({ ...inet, listen: { host: "192.0.2.1", port: 2525 } }), {
    kind: "inet",
    host: "192.0.2.1",
    port: 2525,
    family: 0,
  });
  assert.equal(find({ name: "cleanup", type: "unix", command: "cleanup", private: false }), undefined);
});

/** A server that notes when a client speaks before it was answered; replies to DATA as told. */
async function converse(
  input: string,
  size: number,
  dataReply = "354 go",
): Promise<{ heard: string; early: number }> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let heard = "", early = 0;
  const serving = (async () => {
    const conn = await listener.accept();
    const say = (text: string) => conn.write(new TextEncoder().encode(text));
    await new Promise((resolve) => setTimeout(resolve, 20));
    await say("220-two\r\n220 lines\r\n");
    const buffer = new Uint8Array(65536);
    let line = "", inText = false;
    for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
      const piece = new TextDecoder().decode(buffer.subarray(0, count));
      heard += piece;
      line += piece;
      if (inText ? !("\r\n" + line).endsWith("\r\n.\r\n") : !line.endsWith("\r\n")) continue;
      if (!inText && line.split("\r\n").length > 2) early++;
      const isData = line === "DATA\r\n";
      inText = isData && dataReply.startsWith("3");
      const quit = line === "QUIT\r\n";
      line = "";
      await say(isData ? `${dataReply}\r\n` : quit ? "221 bye\r\n" : "250-a\r\n250 b\r\n");
      if (quit) break;
    }
    conn.close();
  })();
  const made = await connectStream({ kind: "inet", host: "127.0.0.1", port: listener.addr.port, family: 4 });
  if (made.kind !== "connected") throw new Error(made.why);
  const relay = new SmtpRelay(made.channel, () => {});
  async function* chunks(): AsyncGenerator<Uint8Array> {
    const bytes = new TextEncoder().encode(input);
    for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
  }
  await relay.passOn(chunks());
  await relay.over;
  await serving;
  listener.close();
  return { heard, early };
}

const MAIL = "EHLO x\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n";

const TALKS: { name: string; input: string; dataReply?: string; heard?: string }[] = [
  { name: "a message", input: `${MAIL}S: x\r\n\r\n..hi\r\n.\r\nNOOP\r\nQUIT\r\n` },
  { name: "two messages", input: `${MAIL}a\r\n.\r\n${MAIL}b\r\n.\r\nQUIT\r\n` },
  { name: "commands in the text", input: `${MAIL}QUIT\r\nDATA\r\n.\r\nQUIT\r\n` },
  { name: "a refused DATA", input: `${MAIL}RSET\r\nQUIT\r\n`, dataReply: "503 no" },
  {
    name: "lines that LF alone ends",
    input: "EHLO x\nDATA\na\n\nb\r\n.\nQUIT\n",
    heard: "EHLO x\r\nDATA\r\na\r\n\r\nb\r\n.\r\nQUIT\r\n",
  },
  { name: "input that ends in the middle", input: `${MAIL}text\r\n` },
];

for (const { name, input, dataReply, heard = input } of TALKS) {
  Deno.test(`-bs says nothing before its turn, however the input comes: ${name}`, async () => {
    for (const size of [65536, 1, 3]) {
      assert.deepEqual(await converse(input, size, dataReply), { heard, early: 0 });
    }
  });
}
