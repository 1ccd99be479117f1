/** A mail system that starts, and takes a new configuration, only when its rules decide as they must. @module */
import assert from "node:assert/strict";
import { SmtpClient } from "../dialogues/smtp_client.ts";
import { Postern } from "../support/postern.ts";

const ELSEWHERE = "victim@elsewhere.test";

/** What a client of this machine hears for a recipient elsewhere. */
async function relayReply(system: Postern): Promise<string> {
  using client = await SmtpClient.connect(system.port);
  await client.reply();
  await client.say("HELO client.test");
  await client.say("MAIL FROM:<a@client.test>");
  return await client.say(`RCPT TO:<${ELSEWHERE}>`);
}

/** The port on every address, so that strangers can come to it. */
const everywhere = (system: Postern) => (text: string) =>
  text.replace(`127.0.0.1:${system.port}`, `0.0.0.0:${system.port}`);

function rewrite(system: Postern, name: string, change: (text: string) => string): void {
  const path = `${system.paths.configuration}/${name}`;
  Deno.writeTextFileSync(path, change(Deno.readTextFileSync(path)));
}

Deno.test("master does not start as an open relay, unless a parameter says so by name", async () => {
  await using system = await Postern.make({
    settings: {
      default_transport: '"discard"',
      mynetworks: '["0.0.0.0/0"]',
      smtpd_relay_restrictions: '["permit_mynetworks", "reject"]',
    },
  });
  rewrite(system, "master.toml", everywhere(system));
  await assert.rejects(
    system.start(),
    /would relay for strangers: mail\.stranger\.example\[203\.0\.113\.251\]/,
  );
  const refused = await system.run(["start"]);
  assert.equal(refused.status, 1);
  assert.match(refused.errors, /start: error: .*main\.toml:\d+: service ".*" would relay for strangers/);
  assert.doesNotMatch(system.log(), /daemon started/);
  system.set({ smtpd_open_relay: "true" });
  await system.start();
  assert.match(await relayReply(system), /^250 /);
});

Deno.test("a reload that breaks an expectation is refused, and the old rules stay", async () => {
  await using system = await Postern.make({
    settings: {
      default_transport: '"discard"',
      smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
      mynetworks: "[]",
    },
  });
  const expect = `${system.paths.configuration}/expect.toml`;
  Deno.writeTextFileSync(expect, '[[expect]]\nclient = "127.0.0.1"\nrelay = true\n');
  await assert.rejects(system.start(), /expect\.toml:1: expectation is not met/);
  Deno.writeTextFileSync(expect, '[[expect]]\nclient = "127.0.0.1"\nrelay = false\n');
  await system.start();
  assert.match(await relayReply(system), /^554 5\.7\.1 /);
  // The command asks first.
  system.set({ mynetworks: '["127.0.0.0/8"]' });
  const reload = await system.run(["reload"]);
  assert.equal(reload.status, 1);
  assert.match(
    reload.errors,
    /reload: error: .*expect\.toml:1: expectation is not met: .*expected relay false, got true/,
  );
  // A signal to master is no way round it.
  Deno.kill(system.master, "SIGHUP");
  await system.untilLogged("the new configuration is not used: the old one stays");
  await system.untilLogged(/expect\.toml:1: expectation is not met/);
  assert.match(await relayReply(system), /^554 5\.7\.1 /);
  // The expectation goes, the rule comes.
  Deno.removeSync(expect);
  const taken = await system.run(["reload"]);
  assert.equal(taken.status, 0, taken.errors);
  await system.untilLogged("reload -- configuration");
  const deadline = Date.now() + 20_000;
  while (!(await relayReply(system)).startsWith("250")) assert.ok(Date.now() < deadline, system.log());
});
