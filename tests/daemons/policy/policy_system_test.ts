/** The policy daemon in a whole system: asked by smtpd, killed, and spoken to in ways that smtpd does not. @module */
import assert from "node:assert/strict";
import { until } from "../../commands/mail_system.ts";
import { utf8 } from "../../support/bytes.ts";
import { killProcess, Postern } from "../../support/postern.ts";
import { ScriptedDns } from "../../support/scripted_dns.ts";

const SERVICE = '\n[[service]]\nname = "policy"\ntype = "unix"\ncommand = "policy"\n';

/** One request over a connection of its own: all that comes back. */
async function ask(postern: Postern, text: string): Promise<string> {
  const connection = await Deno.connect({ transport: "unix", path: `${postern.paths.queue}/private/policy` });
  await connection.write(utf8(text));
  await connection.closeWrite();
  return await new Response(connection.readable).text();
}

/** A request of smtpd's. */
function request(address: string, sender: string, recipient: string, more = ""): string {
  return "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n" +
    `client_address=${address}\nclient_name=unknown\nhelo_name=client.test\nsender=${sender}\n` +
    `recipient=${recipient}\n${more}\n`;
}

async function start(settings: Readonly<Record<string, string>>): Promise<Postern> {
  return await Postern.start({
    settings: {
      notify_classes: "[]",
      policy_exempt_clients: '["192.0.2.99"]',
      smtpd_recipient_restrictions: '["check_policy_service unix:private/policy", "permit"]',
      ...settings,
    },
    services: (text) => text + SERVICE,
  });
}

Deno.test("policy: smtpd asks it; who comes again passes, also after a kill", async () => {
  await using postern = await start({ policy_spf_enable: "false", policy_greylist_delay: '"2s"' });
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: postern.port });
  const buffer = new Uint8Array(4096);
  const read = async () => new TextDecoder().decode(buffer.subarray(0, await connection.read(buffer) ?? 0));
  const say = async (line: string) => (await connection.write(utf8(`${line}\r\n`)), await read());
  await read();
  await say("EHLO client.test");
  await say("MAIL FROM:<a@ext.test>");
  assert.match(await say("RCPT TO:<bob@example.test>"), /^450 4\.7\.1 .*Greylisted, try again in 2 seconds/);
  connection.close();
  await postern.untilLogged(/policy\[\d+\]: greylist: wait 2s: client=127\.0\.0\.1, from=<a@ext\.test>/);
  const state = `${postern.paths.queue}/policy/greylist`;
  const written = () => {
    try {
      return Deno.readTextFileSync(state).includes("bob@example.test");
    } catch {
      return false;
    }
  };
  assert.ok(await until(written), "nothing was written");
  const [pid] = postern.pids("policy");
  killProcess(pid!);
  assert.ok(await until(() => postern.pids("policy").some((other) => other !== pid)));
  const again = async () =>
    (await ask(postern, request("127.0.0.1", "a@ext.test", "bob@example.test"))).trim();
  const deadline = Date.now() + 20_000;
  let answer = "";
  while (answer !== "action=DUNNO" && Date.now() < deadline) {
    answer = await again().catch(() => "");
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  assert.equal(answer, "action=DUNNO");
});

Deno.test("policy: SPF results become refusals and headers", async () => {
  if (Deno.uid() !== 0) return;
  await using dns = await ScriptedDns.start({
    "good.test TXT": ["v=spf1 ip4:192.0.2.1 -all"],
    "soft.test TXT": ["v=spf1 ~all"],
    "told.test TXT": ["v=spf1 -all exp=why.told.test"],
    "why.told.test TXT": ["%{i} may not send for %{d}"],
    "broken.test TXT": ["v=spf1 ipv4:192.0.2.1"],
    "later.test TXT": "servfail",
    "client.test TXT": [],
    "evil.test TXT": ["v=spf1 -all"],
  });
  await using postern = await start({
    resolver: `"${dns.address}:53"`,
    policy_greylist_enable: "false",
    policy_spf_defer_temperror: "true",
  });
  const answer = async (sender: string, more = "", address = "192.0.2.1") =>
    (await ask(postern, request(address, sender, "bob@example.test", more))).trim();
  assert.equal(
    await answer("a@good.test"),
    'action=PREPEND Received-SPF: pass (good.test: permitted sender) receiver="localhost"; identity="mailfrom"; ' +
      'client-ip="192.0.2.1"; envelope-from="a@good.test"; helo="client.test"; mechanism="ip4:192.0.2.1"',
  );
  assert.match(
    await answer("a@good.test", "", "192.0.2.2"),
    /^action=550 5\.7\.23 SPF fail \(mailfrom\) for good\.test/,
  );
  assert.match(
    await answer("a@told.test"),
    /^action=550 5\.7\.23 .*: 192\.0\.2\.1 may not send for told\.test$/,
  );
  assert.match(await answer("a@soft.test"), /^action=PREPEND Received-SPF: softfail /);
  assert.match(await answer("a@broken.test"), /^action=PREPEND Received-SPF: permerror /);
  assert.match(await answer("a@none.test"), /^action=PREPEND Received-SPF: none /);
  assert.match(await answer("a@later.test"), /^action=451 4\.7\.24 /);
  // The HELO name alone proves a forgery.
  assert.match(
    await answer("a@good.test", "helo_name=evil.test\n"),
    /^action=550 5\.7\.23 SPF fail \(helo\) for evil\.test/,
  );
  assert.equal(await answer("a@told.test", "", "192.0.2.99"), "action=DUNNO");
  assert.equal(await answer("a@told.test", "sasl_username=bob\n"), "action=DUNNO");
  assert.equal(await answer("a@told.test", "protocol_state=DATA\n"), "action=DUNNO");
  // What a client says may end neither the answer nor a quoted value.
  const tricky = await answer('a"\\b@none.test', "helo_name=x\ty\n");
  assert.match(
    tricky,
    /^action=PREPEND Received-SPF: none [^\n]*envelope-from="a\?\?b@none\.test"; helo="x\?y"$/,
  );
});

Deno.test("policy: what is no request is not answered, and others are", async () => {
  await using postern = await start({ policy_spf_enable: "false", policy_greylist_enable: "false" });
  const good = request("192.0.2.1", "a@ext.test", "b@example.test");
  assert.equal(await ask(postern, good + good), "action=DUNNO\n\naction=DUNNO\n\n");
  for (
    const bad of [
      "request=other\n\n",
      "nonsense\n\n",
      "\n",
      "=x\n\n",
      `${"a=b\n".repeat(201)}\n`,
      `a=${"x".repeat(9000)}\n\n`,
    ]
  ) {
    assert.equal(await ask(postern, bad).catch(() => ""), "", bad.slice(0, 30));
  }
  for (let length = 0; length < good.length; length += 7) {
    assert.equal(await ask(postern, good.slice(0, length)), "");
  }
  assert.equal(await ask(postern, good), "action=DUNNO\n\n");
});
