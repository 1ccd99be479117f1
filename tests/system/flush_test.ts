import assert from "node:assert/strict";
import { until } from "../commands/mail_system.ts";
import { SmtpClient } from "../dialogues/smtp_client.ts";
import { utf8 } from "../support/bytes.ts";
import { Postern } from "../support/postern.ts";
import { sendWithPython } from "../support/smtplib.ts";
import { freePort } from "../support/ports.ts";

/** What waits for one destination goes out when somebody asks for it: postqueue -s, sendmail -qR, ETRN. */

const TEXT = "From: me@example.test\r\nTo: you@far.test\r\nSubject: waiting\r\n\r\ntext\r\n";

function settings(port: number): Record<string, string> {
  return {
    myhostname: '"postern.test"',
    default_transport: '"smtp:"',
    relayhost: `"[127.0.0.1]:${port}"`,
    fast_flush_domains: '["far.test", "static.test"]',
    smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
  };
}

/** The ids in the list of a destination, each once. */
function listed(postern: Postern, file: string): string[] {
  try {
    const lines = Deno.readTextFileSync(`${postern.paths.queue}/flush/${file}`).split("\n");
    return [...new Set(lines.filter((line) => line !== ""))].sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** How often a recipient was deferred. */
function attempts(postern: Postern, recipient: string): number {
  return postern.log().split("\n").filter((line) =>
    line.includes(` to=<${recipient}>`) && line.includes("status=deferred")
  ).length;
}

async function etrn(postern: Postern, domain: string): Promise<string> {
  using client = await SmtpClient.connect(postern.port);
  await client.reply();
  await client.send("EHLO c.test\r\n");
  await client.reply();
  await client.send(`ETRN ${domain}\r\n`);
  return await client.reply();
}

Deno.test("postqueue -s, sendmail -qR and ETRN try what waits for a destination, and nothing else", async () => {
  await using postern = await Postern.start({ settings: settings(freePort()) });
  const letters = [["a@far.test", "b@far.test"], ["c@FAR.test"], ["d@else.test"]];
  await sendWithPython(
    postern.port,
    letters.map((to) => ({ from: "me@example.test", to, content: utf8(TEXT) })),
  );
  assert.ok(await until(() => postern.queued("deferred").length === 3), postern.log());
  const waiting = () => listed(postern, "far_test");
  assert.ok(await until(() => waiting().length === 2), "a list of two messages");
  const ids = postern.queued("deferred").map((path) => path.split("/").at(-1)!);
  assert.ok(waiting().every((id) => ids.includes(id)));
  assert.deepEqual(listed(postern, "else_test"), []);
  // The destination is known to be dead by now: it is tried all the same.
  const ways = [
    () =>
      postern.run(["postqueue", "-s", "far.test"]).then(({ status, errors }) =>
        assert.equal(status, 0, errors)
      ),
    () =>
      postern.run(["sendmail", "-qRfar.test"]).then(({ status, errors }) => assert.equal(status, 0, errors)),
    () => etrn(postern, "far.test").then((reply) => assert.equal(reply, "250 Queuing started")),
  ];
  for (const [done, way] of ways.entries()) {
    const others = attempts(postern, "d@else.test");
    await way();
    for (const recipient of ["a@far.test", "b@far.test", "c@FAR.test"]) {
      assert.ok(
        await until(() => attempts(postern, recipient) >= done + 2),
        `${done} ${recipient}\n${postern.log()}`,
      );
    }
    // Deferred again, it is on the list again.
    assert.ok(await until(() => waiting().length === 2), `${done}`);
    assert.equal(attempts(postern, "d@else.test"), others);
  }
  const refused = await postern.run(["postqueue", "-s", "else.test"]);
  assert.equal(refused.status, 69);
  assert.equal(
    refused.errors,
    'postqueue: fatal: Flush service is not configured for destination "else.test"\n',
  );
  assert.equal(await etrn(postern, "else.test"), "459 <else.test>: service unavailable");
  const warned = /smtpd\[[0-9]+\]: warning: reject: ETRN else\.test\.\.\. from localhost\[127\.0\.0\.1\]/;
  assert.ok(await until(() => warned.test(postern.log())), postern.log());
  assert.doesNotMatch(postern.log(), /panic|fatal:|security event/);
});

Deno.test("a system without a flush service says that it cannot", async () => {
  const services = (text: string) => text.replace(/\[\[service\]\]\nname = "flush"[^[]*/, "");
  await using postern = await Postern.start({ settings: settings(freePort()), services });
  assert.equal(await etrn(postern, "far.test"), "458 Unable to queue messages");
  const done = await postern.run(["postqueue", "-s", "far.test"]);
  assert.equal(done.status, 69);
  assert.equal(done.errors, "postqueue: fatal: Cannot flush mail queue - mail system is down\n");
});
