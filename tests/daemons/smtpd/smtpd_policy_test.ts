/** Debian's policy servers asked by a whole mail system. @module */
import assert from "node:assert/strict";
import { SmtpClient } from "../../dialogues/smtp_client.ts";
import { until } from "../../commands/mail_system.ts";
import { ScriptedPolicyServer } from "../../support/policy_server.ts";
import { Postern } from "../../support/postern.ts";
import { Postfix } from "../../support/postfix.ts";
import { testNeeding } from "../../support/tools.ts";
import { freePort } from "../../support/ports.ts";

const SETTINGS = {
  mynetworks: '["192.0.2.0/24"]',
  notify_classes: "[]",
  smtpd_relay_restrictions: '["reject_unauth_destination"]',
};

/** A mail system that asks a server about each recipient. */
function asking(server: string, more: Readonly<Record<string, string>> = {}): Promise<Postern> {
  return Postern.start({
    settings: { ...SETTINGS, smtpd_recipient_restrictions: `['check_policy_service ${server}']`, ...more },
  });
}

async function recipient(port: number, sender: string, to = "one@example.test"): Promise<string> {
  using client = await SmtpClient.connect(port);
  await client.reply();
  return await client.says("EHLO c.example", `MAIL FROM:<${sender}>`, `RCPT TO:<${to}>`);
}

/** A program that listens on a port; it is stopped when it is disposed of. */
async function serve(
  program: string,
  args: readonly string[],
  port: number,
  pidFile?: string,
): Promise<AsyncDisposable> {
  const child = new Deno.Command(program, { args: [...args], stdin: "null", stdout: "null", stderr: "null" })
    .spawn();
  const listens = async () => {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return true;
    } catch {
      return false;
    }
  };
  let up = false;
  await until(() => {
    listens().then((yes) => up ||= yes);
    return up;
  }, 20_000);
  return {
    [Symbol.asyncDispose]: async () => {
      // Some leave for the background, and say who they are in a file.
      if (pidFile === undefined) child.kill("SIGTERM");
      else Deno.kill(Number(Deno.readTextFileSync(pidFile)), "SIGTERM");
      await child.status;
    },
  };
}

testNeeding(["root", "postgrey"], "postgrey: a first attempt is delayed, a later one is taken", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "postgrey-" });
  const port = freePort();
  const args = [
    `--inet=127.0.0.1:${port}`,
    `--dbdir=${directory}`,
    "--user=root",
    "--group=root",
    "--delay=1",
  ];
  await using _server = await serve("postgrey", args, port);
  await using system = await asking(`inet:127.0.0.1:${port}`);
  assert.match(await recipient(system.port, "a@sender.example"), /^450 4\.2\.0 .*[Gg]reylisted/);
  await new Promise((resolve) => setTimeout(resolve, 2500));
  assert.equal(await recipient(system.port, "a@sender.example"), "250 2.1.5 Ok");
  const line = system.log().split("\n").find((one) => one.includes("reject: RCPT")) ?? "";
  assert.match(
    line,
    / rule="check_policy_service inet:127\.0\.0\.1:[0-9]+" in=smtpd_recipient_restrictions at=.*main\.toml:[0-9]+/,
  );
  assert.doesNotMatch(system.log(), /security event|panic|fatal/);
  Deno.removeSync(directory, { recursive: true });
});

testNeeding(["root", "postfwd"], "postfwd: its rules decide", async () => {
  const file = Deno.makeTempFileSync({ prefix: "postfwd-" });
  Deno.writeTextFileSync(
    file,
    "id=R1; sender==bad@sender.example; action=REJECT by postfwd\nid=R2; action=DUNNO\n",
  );
  const port = freePort();
  const pidFile = `${file}.pid`;
  const words = `-d -f ${file} -i 127.0.0.1 -p ${port} --nodns -u root -g root --pidfile=${pidFile}`;
  await using _server = await serve("postfwd1", words.split(" "), port, pidFile);
  await using system = await asking(`inet:127.0.0.1:${port}`);
  assert.match(
    await recipient(system.port, "bad@sender.example"),
    /^554 5\.7\.1 .*: Recipient address rejected: by postfwd/,
  );
  assert.equal(await recipient(system.port, "good@sender.example"), "250 2.1.5 Ok");
  Deno.removeSync(file);
});

testNeeding(["root", "policyd-spf"], "policyd-spf: its header goes in front of the message", async () => {
  // It speaks on standard input and output, as spawn(8) runs it.
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const children: Deno.ChildProcess[] = [];
  const accepting = (async () => {
    for await (const connection of listener) {
      const child = new Deno.Command("policyd-spf", { stdin: "piped", stdout: "piped", stderr: "null" })
        .spawn();
      children.push(child);
      connection.readable.pipeTo(child.stdin).catch(() => {});
      child.stdout.pipeTo(connection.writable).catch(() => {});
    }
  })();
  {
    await using system = await asking(`inet:127.0.0.1:${listener.addr.port}`);
    using client = await SmtpClient.connect(system.port);
    await client.reply();
    await client.says("EHLO c.example", "MAIL FROM:<a@sender.invalid>", "RCPT TO:<one@example.test>", "DATA");
    assert.match(await client.say("Subject: x\r\n\r\nx\r\n."), /^250 2\.0\.0 Ok: queued/);
    await system.untilEmpty();
    const [message] = await system.mail("one");
    const text = new TextDecoder().decode(message);
    assert.match(text, /^(Return-Path|Delivered-To|X-Original-To).*\r?\n/);
    assert.match(text, /\n(Received-SPF|X-Comment): .*\n(?:.*\n)*?Received: from c\.example/);
  }
  listener.close();
  await accepting;
  for (const child of children) {
    try {
      child.kill("SIGTERM");
    } catch {
      // It has ended with its connection.
    }
    await child.status;
  }
});

testNeeding(
  ["root", "postfix"],
  "a policy server hears from Postern what it hears from Postfix",
  async () => {
    await using server = new ScriptedPolicyServer(() => "action=DUNNO\n\n");
    const where = `inet:127.0.0.1:${server.port}`;
    const talk = async (port: number) => {
      using client = await SmtpClient.connect(port);
      await client.reply();
      await client.says(
        "EHLO c.example",
        "MAIL FROM:<a@sender.example> SIZE=100",
        "RCPT TO:<one@example.test>",
      );
      await client.says("RCPT TO:<two@example.test>", "DATA", "Subject: x\r\n\r\nx\r\n.", "QUIT");
    };
    const words = `check_policy_service ${where}`;
    {
      await using postfix = await Postfix.start({
        settings: {
          mydestination: "",
          mynetworks: "192.0.2.0/24",
          relay_domains: "example.test",
          relay_transport: "discard",
          smtpd_relay_restrictions: "reject_unauth_destination",
          smtpd_recipient_restrictions: words,
          smtpd_data_restrictions: words,
          smtpd_end_of_data_restrictions: words,
        },
      });
      await talk(postfix.port);
    }
    const theirs = server.requests.splice(0);
    await using system = await asking(where, {
      smtpd_data_restrictions: `['${words}']`,
      smtpd_end_of_data_restrictions: `['${words}']`,
    });
    await talk(system.port);
    const ours = server.requests.splice(0);
    assert.equal(ours.length, 4);
    assert.equal(theirs.length, 4);
    // What belongs to the one or the other connection and message, and what Postfix shows of a name in DNS.
    const own = new Set(["client_port", "server_port", "instance", "queue_id"]);
    for (const [i, request] of theirs.entries()) {
      assert.deepEqual([...ours[i]!.keys()].sort(), [...request.keys()].sort());
      for (const [name, value] of request) {
        if (own.has(name)) assert.equal(ours[i]!.get(name) === "", value === "", `${name} of request ${i}`);
        else assert.equal(ours[i]!.get(name), value, `${name} of request ${i}`);
      }
    }
    assert.equal(new Set(ours.map((request) => request.get("instance"))).size, 1);
  },
);
