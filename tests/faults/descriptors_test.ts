import assert from "node:assert/strict";
import { MAIN, until } from "../commands/mail_system.ts";
import { sendMessage } from "../dialogues/smtp_client.ts";
import { Postern, runProgram } from "../support/postern.ts";

/** FLT-49: what the parent of master left open, or closed. */

/** What a process has open, by descriptor. */
function descriptors(pid: number): Map<number, string> {
  const found = new Map<number, string>();
  for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
    try {
      found.set(Number(name), Deno.readLinkSync(`/proc/${pid}/fd/${name}`));
    } catch {
      // It was closed in between.
    }
  }
  return found;
}

Deno.test("descriptors that master's parent left open reach no daemon", async () => {
  const secret = Deno.makeTempFileSync();
  try {
    await using postern = await Postern.start({ redirections: `9<${secret}` });
    assert.equal(descriptors(postern.master).get(9), secret);
    await sendMessage(postern.port, { recipients: ["someone@example.test"] });
    await postern.mail("someone", 1);
    const daemons = postern.processes().filter(({ pid }) => pid !== postern.master);
    assert.ok(daemons.length > 4);
    for (const { pid, args } of daemons) {
      const open = [...descriptors(pid).values()];
      assert.ok(!open.includes(secret), `${args.at(-1)} has ${secret} open`);
    }
  } finally {
    Deno.removeSync(secret);
  }
});

Deno.test("started without standard descriptors, no process has a file of the queue in their place", async () => {
  await using postern = await Postern.make();
  const start = ["run", "-A", MAIN, "-c", postern.paths.configuration, "start"];
  const { status } = await runProgram("sh", [
    "-c",
    'exec "$@" 0<&- 1>&- 2>&-',
    "sh",
    Deno.execPath(),
    ...start,
  ]);
  assert.equal(status, 0);
  try {
    assert.match(await sendMessage(postern.port, { recipients: ["someone@example.test"] }), /^250 /);
    await postern.mail("someone", 1);
    const all = postern.processes();
    assert.ok(all.length > 5);
    for (const { pid, args } of all) {
      const open = descriptors(pid);
      for (const number of [0, 1, 2]) {
        const target = open.get(number) ?? "";
        assert.match(
          target,
          /^(\/dev\/null|pipe:|socket:|.*\/mail\.log$)/,
          `${args.at(-1)} ${number} ${target}`,
        );
      }
    }
  } finally {
    await postern.run(["stop"]);
    await until(() => postern.processes().length === 0);
  }
});
