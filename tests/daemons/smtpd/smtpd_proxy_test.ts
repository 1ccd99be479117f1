/** The filter before the queue under load and in bad hands, and what smtpd's sandbox lets it reach. @module */
import assert from "node:assert/strict";
import { SmtpClient } from "../../dialogues/smtp_client.ts";
import { utf8 } from "../../support/bytes.ts";
import { Postern } from "../../support/postern.ts";
import { ScriptedFilter } from "../../support/scripted_smtp_filter.ts";
import { sendWithPython } from "../../support/smtplib.ts";

async function start(filter: string, options: Readonly<Record<string, string>> = {}): Promise<Postern> {
  return await Postern.start({
    settings: {
      notify_classes: "[]",
      message_size_limit: "50000000",
      smtpd_proxy_filter: `"${filter}"`,
      smtpd_proxy_timeout: '"3s"',
      ...options,
    },
  });
}

/** Lines of every shape: dots in front, empty ones, longer than what is sent at once. */
function bigMessage(): string[] {
  const lines = ["Subject: big", ""];
  for (let i = 0; i < 40_000; i++) {
    lines.push(i % 7 === 0 ? `.${i}` : i % 11 === 0 ? "" : `line ${i} ${"x".repeat(i % 90)}`);
  }
  lines.push("y".repeat(100_000), ".", "..", "end");
  return lines;
}

for (const options of ["[]", '["speed_adjust"]']) {
  Deno.test(`a message of megabytes reaches the filter whole, smtpd_proxy_options = ${options}`, async () => {
    await using filter = new ScriptedFilter();
    await using postern = await start(`127.0.0.1:${filter.port}`, { smtpd_proxy_options: options });
    const lines = bigMessage();
    const [posted] = await sendWithPython(postern.port, [
      { from: "a@ext.test", to: ["one@example.test"], content: utf8(`${lines.join("\r\n")}\r\n`) },
    ]);
    assert.equal(posted!.text, "2.0.0 Ok: queued as FILTERED", postern.log());
    const heard = filter.heard[0]!;
    const begin = heard.indexOf("Subject: big");
    assert.deepEqual(
      heard.slice(begin, heard.indexOf(".", begin)),
      lines.map((line) => line.startsWith(".") ? `.${line}` : line),
    );
  });
}

Deno.test("a filter that stops reading amid a message, and one that nobody runs: 451 4.3.0 in time", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const open: Deno.Conn[] = [];
  const serving = (async () => {
    for await (const connection of listener) {
      open.push(connection);
      const buffer = new Uint8Array(4096);
      await connection.write(utf8("220 stalls\r\n"));
      for (let text = ""; !text.startsWith("DATA");) {
        const count = await connection.read(buffer);
        if (count === null) break;
        text = new TextDecoder().decode(buffer.subarray(0, count));
        await connection.write(utf8(text.startsWith("DATA") ? "354 go on\r\n" : "250 ok\r\n"));
      }
    }
  })();
  await using postern = await start(`127.0.0.1:${port}`);
  const content = utf8(`Subject: x\r\n\r\n${"stalled\r\n".repeat(2_000_000)}`);
  const post = { from: "a@ext.test", to: ["one@example.test"], content };
  const [stalled] = await sendWithPython(postern.port, [post]);
  assert.equal(`${stalled!.code} ${stalled!.text}`, "451 4.3.0 Error: queue file write error");
  assert.match(postern.log(), /timeout talking to proxy 127\.0\.0\.1:\d+/);
  for (const connection of open) connection.close();
  listener.close();
  await serving;
  const [refused] = await sendWithPython(postern.port, [{ ...post, content: utf8("x\r\n") }]);
  assert.deepEqual(refused!.rcpt, [451]);
  assert.match(postern.log(), /connect to proxy filter 127\.0\.0\.1:\d+: Connection refused/);
});

Deno.test("a filter that answers amid a message: the message is not taken, whatever it said", async () => {
  await using filter = new ScriptedFilter({ replies: { body: "250 2.0.0 Ok: queued as LIE" } });
  await using postern = await start(`127.0.0.1:${filter.port}`);
  using client = await SmtpClient.connect(postern.port);
  await client.reply();
  for (const line of ["EHLO c.test", "MAIL FROM:<a@ext.test>", "RCPT TO:<one@example.test>", "DATA"]) {
    await client.send(`${line}\r\n`);
    await client.reply();
  }
  // The header that we put in front is enough for it to answer; the rest comes when it has.
  await client.send(`Subject: x\r\n\r\n${"text\r\n".repeat(10_000)}`);
  await postern.untilLogged("answered before the end of the message");
  await client.send("more\r\n.\r\n");
  assert.equal(await client.reply(), "451 4.3.0 Error: queue file write error");
  assert.ok(!filter.heard.flat().includes("."));
});

Deno.test("smtpd may reach the filter's address and no other; what is no address is refused by check", async () => {
  await using postern = await Postern.make({ settings: { smtpd_proxy_filter: '":10025"' } });
  const described = JSON.parse((await postern.run(["sandbox", "--json"])).output) as readonly {
    readonly command: string;
    readonly grants: readonly { readonly kind: string; readonly object: string }[];
  }[];
  const smtpd = described.find(({ command }) => command === "smtpd")!;
  const reached = smtpd.grants.filter(({ kind, object }) => kind === "net" && !object.startsWith("unix:"));
  assert.deepEqual(reached.map(({ object }) => object), ["127.0.0.1:10025"]);
  postern.set({ smtpd_proxy_filter: '"filter.example.com:10025"' });
  const checked = await postern.run(["check"]);
  assert.notEqual(checked.status, 0);
  assert.match(
    checked.output + checked.errors,
    /main\.toml:\d+: "smtpd_proxy_filter": "filter\.example\.com:10025" is no address/,
  );
});
