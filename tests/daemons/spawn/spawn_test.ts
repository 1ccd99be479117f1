/** spawn in a whole system: programs on connections, policy servers on demand, limits. @module */
import assert from "node:assert/strict";
import { until } from "../../commands/mail_system.ts";
import { utf8 } from "../../support/bytes.ts";
import { Postern } from "../../support/postern.ts";
import { testNeeding } from "../../support/tools.ts";

const SERVICE = (name: string, argv: string, more = "") =>
  `\n[[service]]\nname = "${name}"\ntype = "unix"\ncommand = "spawn"\n` +
  `arguments = ["user=nobody", "argv=${argv}"]\n${more}`;

/** A policy server as a script: refuses one sender, and says who it is. */
const POLICY = `
import os, sys
while True:
    request = {}
    while True:
        line = sys.stdin.readline()
        if line == "":
            sys.exit(0)
        if line == "\\n":
            break
        name, value = line.rstrip("\\n").split("=", 1)
        request[name] = value
    action = "REJECT no mail from you" if request["sender"] == "bad@ext.test" else "DUNNO"
    sys.stdout.write("action=%s\\n\\n" % action)
    sys.stdout.flush()
`;

/** Connects to a service, sends, shuts the sending side and gives all that comes back. */
async function exchange(postern: Postern, service: string, bytes: Uint8Array): Promise<Uint8Array> {
  const connection = await Deno.connect({
    transport: "unix",
    path: `${postern.paths.queue}/private/${service}`,
  });
  const send = async () => {
    for (let done = 0; done < bytes.length;) done += await connection.write(bytes.subarray(done));
    await connection.closeWrite();
  };
  const sending = send();
  const answer = new Uint8Array(await new Response(connection.readable).arrayBuffer());
  await sending;
  return answer;
}

async function start(
  extra: (root: string) => string,
  settings: Readonly<Record<string, string>> = {},
): Promise<Postern> {
  const postern = await Postern.make({
    settings: {
      notify_classes: "[]",
      ...settings,
      smtpd_recipient_restrictions: '["check_policy_service unix:private/policy-script", "permit"]',
    },
  });
  const { configuration, root } = postern.paths;
  Deno.writeTextFileSync(`${root}/policy.py`, POLICY);
  const path = `${configuration}/master.toml`;
  Deno.writeTextFileSync(path, Deno.readTextFileSync(path) + extra(root));
  try {
    await postern.start();
    return postern;
  } catch (error) {
    await postern[Symbol.asyncDispose]();
    throw error;
  }
}

testNeeding(
  ["python3"],
  "spawn: a program for each connection, its limits, and policy servers on demand",
  async () => {
    await using postern = await start(
      (root) =>
        SERVICE("cat", "/bin/cat") + SERVICE("policy-script", `/usr/bin/python3 ${root}/policy.py`) +
        SERVICE("words", "/bin/echo { two words } $x") + SERVICE("fails", "/bin/false") +
        SERVICE("slow", "/bin/sh -c { sleep 300 & sleep 300 }") + SERVICE("missing", "/bin/no-such-program") +
        SERVICE("environment", "/usr/bin/env"),
      { slow_time_limit: '"1s"' },
    );
    const text = async (service: string, input = "") =>
      new TextDecoder().decode(await exchange(postern, service, utf8(input)));

    // Bytes of every value and more than any buffer holds, both ways.
    const many = new Uint8Array(3_000_000).map((_, i) => (i * 7 + (i >> 8)) & 0xff);
    assert.deepEqual(await exchange(postern, "cat", many), many);
    const together = await Promise.all(Array.from({ length: 20 }, (_, i) => text("cat", `client ${i}`)));
    assert.deepEqual(together, Array.from({ length: 20 }, (_, i) => `client ${i}`));

    assert.equal(await text("words"), "two words $x\n");
    const environment = (await text("environment")).split("\n").map((line) => line.split("=")[0]);
    assert.ok(
      environment.includes("PATH") && !environment.some((name) => name?.startsWith("DENO")),
      `${environment}`,
    );

    assert.equal(await text("fails"), "");
    await postern.untilLogged("command /bin/false exit status 1");
    assert.equal(await text("missing"), "");
    await postern.untilLogged(/no-such-program/);

    // All that the program has started is killed with it.
    assert.equal(await text("slow"), "");
    await postern.untilLogged("command /bin/sh: command time limit exceeded");
    const sleepers = () => postern.processes().filter(({ args }) => args.join(" ").includes("sleep 300"));
    assert.ok(await until(() => sleepers().length === 0), "a process is left");

    const said = await rcpt(postern, ["bad@ext.test", "good@ext.test", "bad@ext.test"]);
    assert.match(said[0]!, /^554 5\.7\.1 .*no mail from you/);
    assert.match(said[1]!, /^250 /);
    assert.match(said[2]!, /^554 5\.7\.1 .*no mail from you/);
  },
);

/** One session with several senders: the replies to RCPT. */
async function rcpt(postern: Postern, senders: readonly string[]): Promise<string[]> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: postern.port });
  const buffer = new Uint8Array(4096);
  const read = async () => new TextDecoder().decode(buffer.subarray(0, await connection.read(buffer) ?? 0));
  const ask = async (line: string) => (await connection.write(utf8(`${line}\r\n`)), await read());
  await read();
  await ask("HELO client.test");
  const replies: string[] = [];
  for (const sender of senders) {
    await ask(`MAIL FROM:<${sender}>`);
    replies.push(await ask("RCPT TO:<bob@example.test>"));
    await ask("RSET");
  }
  connection.close();
  return replies;
}

testNeeding(["policyd-spf"], "spawn: Debian's policyd-spf started on demand", async () => {
  await using postern = await start((root) =>
    SERVICE("policy-script", `/usr/bin/policyd-spf ${root}/policyd-spf.conf`)
  );
  Deno.writeTextFileSync(
    `${postern.paths.root}/policyd-spf.conf`,
    "debugLevel = 1\nTestOnly = 1\nHELO_reject = Fail\nMail_From_reject = Fail\n" +
      "PermError_reject = False\nTempError_Defer = False\nskip_addresses = 127.0.0.0/8\n",
  );
  // It says "prepend" for addresses that it does not check, and the mail comes in.
  const said = await rcpt(postern, ["a@ext.test"]);
  assert.match(said[0]!, /^250 /, postern.log());
});
