import assert from "node:assert/strict";
import { until } from "../../commands/mail_system.ts";
import { decode, Postern, runProgram } from "../../support/postern.ts";
import { testNeeding } from "../../support/tools.ts";
import { freePort } from "../../support/ports.ts";

/** A system with a QMQP port, and that port. */
async function start(
  settings: Readonly<Record<string, string>> = {},
): Promise<{ system: Postern; port: number }> {
  const port = freePort();
  const system = await Postern.start({
    settings: {
      qmqpd_authorized_clients: '["127.0.0.0/8"]',
      qmqpd_error_delay: '"0s"',
      notify_classes: "[]",
      ...settings,
    },
    services: (text) =>
      `${text}\n[[service]]\nname = "127.0.0.1:${port}"\ntype = "inet"\nprivate = false\ncommand = "qmqpd"\n`,
  });
  return { system, port };
}

function netstring(...parts: string[]): string {
  const text = parts.join("");
  return `${new TextEncoder().encode(text).length}:${text},`;
}

/** Sends bytes and gives all that comes back; `halfClose` ends the output behind them. */
async function exchange(port: number, text: string, halfClose = false): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const bytes = new TextEncoder().encode(text);
  for (let done = 0; done < bytes.length;) {
    const count = await connection.write(bytes.subarray(done)).catch(() => bytes.length);
    done += count;
  }
  if (halfClose) await connection.closeWrite();
  return await new Response(connection.readable).text().catch(() => "");
}

const MESSAGE = "From: a@x.test\r\nSubject: x\n\ntext\n.\nlast";

Deno.test("qmqpd: a message gets to its recipients, with our header, and the client is told its id", async () => {
  const { system, port } = await start();
  await using _ = system;
  const sent = netstring(
    netstring(MESSAGE),
    netstring("a@x.test"),
    netstring("one@example.test"),
    netstring("two@example.test"),
  );
  const reply = await exchange(port, sent);
  const id = /^\d+:KOk: queued as (\w+),$/.exec(reply)?.[1];
  assert.ok(id !== undefined, reply);
  const [mail] = await system.mail("one");
  await system.mail("two");
  const text = decode(mail!);
  assert.match(
    text,
    /^Received: from localhost \(localhost \[127\.0\.0\.1\]\)\n\tby localhost \(Postern\) with QMQP\n\tid \w+; /m,
  );
  assert.ok(
    text.endsWith("From: a@x.test\nSubject: x\nMessage-Id: ".slice(0, 15)) || text.includes("Subject: x\n"),
  );
  assert.ok(text.endsWith("\n\ntext\n.\nlast\n"), text);
  for (
    const line of [
      "connect from localhost[127.0.0.1]",
      `${id}: client=localhost[127.0.0.1]`,
      "disconnect from localhost[127.0.0.1]",
    ]
  ) {
    await system.untilLogged(line);
  }
});

Deno.test("qmqpd: who is not named may send nothing", async () => {
  const { system, port } = await start({ qmqpd_authorized_clients: '["192.0.2.1"]' });
  await using _ = system;
  const text = "DError: localhost[127.0.0.1] is not authorized to use this service";
  assert.equal(await exchange(port, ""), `${text.length}:${text},`);
  assert.equal(system.queued("incoming").length, 0);
});

Deno.test("qmqpd: what is no packet is refused at once, softly where bounces are soft", async () => {
  for (const [soft, code] of [["false", "D"], ["true", "Z"]] as const) {
    const { system, port } = await start({ soft_bounce: soft });
    await using _ = system;
    const text = `${code}Error: netstring format error`;
    assert.equal(await exchange(port, "EHLO x\r\n"), `${text.length}:${text},`);
    await system.untilLogged(
      "NOQUEUE: netstring format error: localhost[127.0.0.1] while receiving QMQP packet header",
    );
  }
});

Deno.test("qmqpd: a message that is too large, or that leads nowhere, is refused", async () => {
  const { system, port } = await start({ message_size_limit: "20000", qmqpd_timeout: '"2s"' });
  await using _ = system;
  const large = netstring(
    netstring("x".repeat(20_001)),
    netstring("a@x.test"),
    netstring("one@example.test"),
  );
  assert.match(await exchange(port, large), /:DError: netstring length exceeds storage limit,$/);
  const nobody = netstring(netstring(MESSAGE), netstring("a@x.test"));
  assert.match(await exchange(port, nobody), /:DError: no recipients specified,$/);
  const loop = netstring(
    netstring(`${"Received: x\n".repeat(60)}\nx\n`),
    netstring("a@x.test"),
    netstring("one@example.test"),
  );
  assert.match(await exchange(port, loop), /:DError: too many hops,$/);
  // A client that stops in the middle leaves nothing, and does not stay.
  assert.equal(await exchange(port, netstring(netstring(MESSAGE)).slice(0, 20)), "");
  await system.untilLogged(
    "NOQUEUE: read/write timeout: localhost[127.0.0.1] while receiving message content",
  );
  assert.equal(await exchange(port, netstring(netstring(MESSAGE)).slice(0, 20), true), "");
  await system.untilLogged("NOQUEUE: lost connection: localhost[127.0.0.1] while receiving message content");
  assert.ok(await until(() => system.queued("incoming").length + system.queued("active").length === 0));
});

testNeeding(["postfix"], "qmqpd: Debian's qmqp-source gets its mail in", async () => {
  const { system, port } = await start();
  await using _ = system;
  const { status, errors } = await runProgram("/usr/sbin/qmqp-source", [
    ...["-s", "4", "-m", "20", "-l", "30000", "-f", "a@x.test", "-t", "one@example.test"],
    `127.0.0.1:${port}`,
  ]);
  assert.equal(status, 0, errors);
  const mails = await system.mail("one", 20);
  assert.ok(mails.every((mail) => mail.length > 30_000));
  assert.doesNotMatch(system.log(), /security event/);
});

testNeeding(["postfix"], "qmqpd: several recipients of qmqp-source's", async () => {
  const { system, port } = await start();
  await using _ = system;
  const { status, errors } = await runProgram("/usr/sbin/qmqp-source", [
    ...["-r", "3", "-f", "a@x.test", "-t", "one@example.test", `127.0.0.1:${port}`],
  ]);
  assert.equal(status, 0, errors);
  const boxes = () => [...Deno.readDirSync(system.paths.mail)].length;
  assert.ok(await until(() => boxes() === 3), system.log());
});
