import assert from "node:assert/strict";
import { until } from "../../commands/mail_system.ts";
import { SmtpClient } from "../../dialogues/smtp_client.ts";
import { Postern, runProgram } from "../../support/postern.ts";
import { testNeeding } from "../../support/tools.ts";
import { freePort } from "../../support/ports.ts";

const SETTINGS = {
  smtpd_upstream_proxy_protocol: '"haproxy"',
  mynetworks: '["192.0.2.0/24"]',
  default_transport: '"discard:"',
  smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
  notify_classes: "[]",
};
const V1 = "PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n";
const BAD_HEADER = "421 4.3.0 localhost Server local error";

Deno.test("haproxy: a client is who the header says, for what it may do and in the log", async () => {
  await using system = await Postern.start({ settings: SETTINGS });
  for (
    const [header, client, reply] of [
      [V1, "unknown[192.0.2.7]", "250 2.1.5 Ok"],
      [V1.replace("192.0.2.7", "192.0.3.7"), "unknown[192.0.3.7]", /^554 5\.7\.1 .*Relay access denied/],
      ["PROXY TCP6 2001:db8::7 ::1 1 25\r\n", "unknown[2001:db8::7]", /^554 5\.7\.1 /],
      ["PROXY TCP6 ::ffff:192.0.2.9 ::1 1 25\r\n", "unknown[192.0.2.9]", "250 2.1.5 Ok"],
      ["PROXY UNKNOWN\r\n", "localhost[127.0.0.1]", /^554 5\.7\.1 /],
    ] as const
  ) {
    using smtp = await SmtpClient.connect(system.port);
    await smtp.send(header);
    assert.match(await smtp.reply(), /^220 /, header);
    await smtp.says("EHLO x", "MAIL FROM:<a@example.com>");
    const said = await smtp.say("RCPT TO:<b@elsewhere.example>");
    if (typeof reply === "string") assert.equal(said, reply, header);
    else assert.match(said, reply, header);
    await system.untilLogged(`connect from ${client}`);
  }
});

Deno.test("haproxy: what is no header gets 421 and nothing else; a header that does not end is not waited for", async () => {
  await using system = await Postern.start({
    settings: { ...SETTINGS, smtpd_upstream_proxy_timeout: '"1s"' },
  });
  for (const header of ["EHLO x\r\n", V1.slice(0, 20), `${V1.slice(0, -2)}\n`, "\r\n\r\n\0\r\nQUIX\n"]) {
    using smtp = await SmtpClient.connect(system.port);
    await smtp.send(header);
    assert.equal(await smtp.reply(), BAD_HEADER, JSON.stringify(header));
    assert.equal(await smtp.reply(), "");
  }
  await system.untilLogged("warning: proxy header from [127.0.0.1]: unexpected protocol header");
  await system.untilLogged("warning: proxy header from [127.0.0.1]: timeout");
  using smtp = await SmtpClient.connect(system.port);
  await smtp.send(V1);
  assert.match(await smtp.reply(), /^220 /);
});

Deno.test("haproxy: commands in one piece with the header are commands before the greeting", async () => {
  await using system = await Postern.start({ settings: SETTINGS });
  using smtp = await SmtpClient.connect(system.port);
  await smtp.send(`${V1}EHLO hasty.example\r\n`);
  assert.equal(await smtp.reply(), "554 5.5.0 Error: SMTP protocol synchronization");
});

Deno.test("haproxy: without the parameter a header is another protocol's command", async () => {
  await using system = await Postern.start({ settings: { notify_classes: "[]" } });
  using smtp = await SmtpClient.connect(system.port);
  assert.match(await smtp.reply(), /^220 /);
  assert.equal(await smtp.say(V1.slice(0, -2)), "500 5.5.2 Error: command not recognized");
});

testNeeding(["swaks"], "haproxy: swaks, which speaks both versions, gets its mail in", async () => {
  await using system = await Postern.start({ settings: SETTINGS });
  for (const version of ["1", "2"]) {
    const family = version === "1" ? "TCP4" : "AF_INET";
    const { status, output } = await runProgram("swaks", [
      ...["--server", `127.0.0.1:${system.port}`, "--from", "a@example.com", "--to", "b@example.com"],
      ...["--proxy-version", version, "--proxy-family", family],
      ...["--proxy-source", `192.0.2.${version}`, "--proxy-source-port", "1234"],
      ...["--proxy-dest", "198.51.100.1", "--proxy-dest-port", "25"],
    ]);
    assert.equal(status, 0, output);
    await system.untilLogged(`: client=unknown[192.0.2.${version}]`);
  }
});

/** Debian's haproxy in front of a port. */
class HaProxy implements AsyncDisposable {
  readonly port = freePort();
  readonly #directory = Deno.makeTempDirSync({ prefix: "haproxy-" });
  readonly #child: Deno.ChildProcess;

  constructor(backend: number, how: string) {
    const path = `${this.#directory}/haproxy.cfg`;
    Deno.writeTextFileSync(
      path,
      `defaults
  mode tcp
  timeout connect 10s
  timeout client 60s
  timeout server 60s
frontend smtp
  bind 127.0.0.1:${this.port}
  default_backend postern
backend postern
  server one 127.0.0.1:${backend} ${how}
`,
    );
    this.#child = new Deno.Command("/usr/sbin/haproxy", {
      args: ["-db", "-f", path],
      stdout: "null",
      stderr: "null",
    }).spawn();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#child.status;
    Deno.removeSync(this.#directory, { recursive: true });
  }
}

for (const how of ["send-proxy", "send-proxy-v2"]) {
  testNeeding(["haproxy"], `haproxy: Debian's, with ${how} and its own health check`, async () => {
    await using system = await Postern.start({ settings: { ...SETTINGS, mynetworks: '["127.0.0.0/8"]' } });
    await using proxy = new HaProxy(system.port, `${how} check check-send-proxy`);
    const connect = async () => {
      for (let i = 0; i < 100; i++) {
        const client = await SmtpClient.connect(proxy.port).catch(() => undefined);
        if (client !== undefined) return client;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      throw new Error("haproxy does not listen");
    };
    using smtp = await connect();
    assert.match(await smtp.reply(), /^220 /);
    await smtp.says("EHLO x", "MAIL FROM:<a@example.com>");
    assert.equal(await smtp.say("RCPT TO:<b@elsewhere.example>"), "250 2.1.5 Ok");
    assert.ok(await until(() => system.log().includes("connect from localhost[127.0.0.1]")));
    assert.doesNotMatch(system.log(), /proxy header from/);
  });
}
