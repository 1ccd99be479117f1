/** Filters of one's own in the whole mail system, each in its sandbox. @module */
import assert from "node:assert/strict";
import { ROOT } from "../structure/source_files.ts";
import { until } from "../commands/mail_system.ts";
import { Dialogue } from "../support/dialogue.ts";
import { decode, Postern } from "../support/postern.ts";

const EXAMPLES = `${ROOT}conf/filters`;

/** A mail system with filters as services, asked in this order. */
async function system(
  filters: Readonly<Record<string, string>>,
  settings: Readonly<Record<string, string>> = {},
): Promise<Postern> {
  const services = Object.entries(filters).map(([name, file]) =>
    `\n[[service]]\nname = "${name}"\ntype = "unix"\ncommand = "filter"\nparameters = { filter_file = "${file}" }\n`
  );
  return await Postern.start({
    settings: {
      notify_classes: "[]",
      milter_default_action: '"tempfail"',
      smtpd_milters: JSON.stringify(Object.keys(filters).map((name) => `filter:${name}`)),
      ...settings,
    },
    services: (text) => text + services.join(""),
  });
}

async function send(port: number, sender: string, lines: readonly string[]): Promise<string> {
  using dialogue = await Dialogue.open(port);
  await dialogue.reply();
  for (const command of ["EHLO c.test", `MAIL FROM:<${sender}>`, "RCPT TO:<bob@example.test>", "DATA"]) {
    const reply = await dialogue.say(command);
    if (!/^[23]/.test(reply)) return reply;
  }
  const reply = await dialogue.say([...lines, "."].join("\r\n"));
  await dialogue.say("QUIT");
  return reply;
}

/** A filter's file in a folder that only we may change. */
function fileOf(directory: string, name: string, may: string, code: string): string {
  const path = `${directory}/${name}.ts`;
  Deno.writeTextFileSync(
    path,
    `export const may = ${may};\nexport async function filter(message) {\n${code}\n}\n`,
  );
  return path;
}

const SMALL = "{ reads: [], net: [], time: 2, memory: 64 }";

Deno.test("the examples do what they say: a footer for ours, no programs for anybody", async () => {
  await using postern = await system({
    attachments: `${EXAMPLES}/refuse_attachments.ts`,
    footer: `${EXAMPLES}/footer.ts`,
  });
  assert.match(await send(postern.port, "alice@example.test", ["Subject: x", "", "Hello"]), /^250/);
  const [message] = await postern.mail("bob");
  assert.ok(
    decode(message!).endsWith("\n\nHello\n-- \nExample Ltd. This mail is for whom it was sent to.\n"),
  );
  const parts = [
    'Content-Type: multipart/mixed; boundary="b"',
    "",
    "--b",
    "Content-Type: application/octet-stream",
    'Content-Disposition: attachment; filename="invoice.pdf.EXE"',
    "",
    "MZ",
    "--b--",
  ];
  assert.match(
    await send(postern.port, "mallory@other.test", parts),
    /^550 5\.7\.1 attachments of this kind/,
  );
  const harmless = parts.map((line) => line.replace(".EXE", ""));
  assert.match(await send(postern.port, "carol@other.test", harmless), /^250/);
  const both = (await postern.mail("bob", 2)).map(decode);
  assert.equal(both.filter((text) => text.includes("Example Ltd")).length, 1);
});

Deno.test("a filter reaches what its file declares and nothing else, and its death costs one verdict", async () => {
  const directory = Deno.makeTempDirSync({ dir: ROOT, prefix: ".filters-" });
  try {
    Deno.writeTextFileSync(`${directory}/allowed`, "allowed text");
    const tries = `
    const results = [];
    const attempt = async (name, work) => {
      try { results.push(name + "=" + await work()); } catch (error) { results.push(name + "=" + error.name); }
    };
    await attempt("allowed", () => Deno.readTextFile("${directory}/allowed"));
    await attempt("passwd", () => Deno.readTextFile("/etc/passwd"));
    await attempt("net", () => Deno.connect({ hostname: "127.0.0.1", port: 9 }));
    await attempt("run", () => new Deno.Command("/bin/true").output());
    await attempt("env", () => Deno.env.get("HOME"));
    await attempt("eval", () => new Function("return 1")());
    const subject = message.header("subject");
    if (subject === "die") Deno.exit(1);
    if (subject === "throw") throw new Error("on purpose");
    if (subject === "hang") await new Promise(() => {});
    return { verdict: "pass", edits: [{ edit: "addHeader", name: "X-Tried", value: results.join(" ") }] };`;
    const may = `{ reads: ["${directory}/allowed"], net: [], time: 2, memory: 64 }`;
    const file = fileOf(directory, "tries", may, tries);
    await using postern = await system({ tries: file });
    const master = postern.master;
    assert.match(await send(postern.port, "a@x.test", ["Subject: x", "", "Hello"]), /^250/);
    const [message] = await postern.mail("bob");
    assert.match(
      decode(message!),
      /^X-Tried: allowed=allowed text passwd=NotCapable net=NotCapable run=NotCapable env=NotCapable eval=EvalError$/m,
    );
    for (const subject of ["throw", "hang", "die"]) {
      const reply = await send(postern.port, "a@x.test", [`Subject: ${subject}`, "", "Hello"]);
      assert.match(reply, /^451 4\.7\.1 Service unavailable - try again later/, subject);
      // The next message is served, by the same process or by another.
      await until(() => postern.pids("filter").length > 0);
      let next = "";
      for (let attempt = 0; attempt < 100 && !next.startsWith("250"); attempt++) {
        if (attempt > 0) await new Promise((resolve) => setTimeout(resolve, 100));
        next = await send(postern.port, "a@x.test", ["Subject: x", "", "Hello"]);
      }
      assert.match(next, /^250/, `after ${subject}`);
    }
    assert.equal(postern.master, master);
    assert.match(postern.log(), /filter failed: .*on purpose/);
    assert.match(postern.log(), /filter failed: it took longer than 2 seconds/);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("master starts no filter whose file others may change, or that does not say what it may touch", async () => {
  const directory = Deno.makeTempDirSync({ dir: ROOT, prefix: ".filters-" });
  try {
    const good = fileOf(directory, "good", SMALL, 'return { verdict: "pass" };');
    const open = fileOf(directory, "open", SMALL, 'return { verdict: "pass" };');
    Deno.chmodSync(open, 0o666);
    const silent = fileOf(directory, "silent", "everything()", 'return { verdict: "pass" };');
    for (
      const [file, why] of [[open, /others may write to/], [
        silent,
        /does not say what it may touch/,
      ]] as const
    ) {
      await assert.rejects(async () => await stop(await system({ bad: file })), why);
    }
    await assert.rejects(
      async () => await stop(await system({ good }, { smtpd_milters: '["filter:other"]' })),
      /no service "other" with command "filter"/,
    );
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

/** Ends a system that should not have started. */
async function stop(postern: Postern): Promise<void> {
  await postern[Symbol.asyncDispose]();
}

Deno.test("postern filter runs one filter on one message in its sandbox and shows what it does", async () => {
  const directory = Deno.makeTempDirSync({ dir: ROOT, prefix: ".filters-" });
  const postern = await Postern.make();
  try {
    const message = "From: a@example.test\nSubject: one\n two\n\nhello\n";
    const footer = await postern.run(["filter", "-f", "a@example.test", `${EXAMPLES}/footer.ts`], message);
    assert.deepEqual([footer.errors, footer.status], ["", 0]);
    assert.equal(
      footer.output,
      "verdict: pass\n+ body, which follows\nhello\r\n-- \r\nExample Ltd. This mail is for whom it was sent to.\r\n",
    );
    const code = `return { verdict: "pass", edits: [
      { edit: "addHeader", name: "X-To", value: message.recipients.join() + " " + message.header("subject") },
      { edit: "removeHeader", name: "From" }, { edit: "hold" }] };`;
    const edits = await postern.run([
      "filter",
      "-r",
      "b@y.test",
      "-r",
      "c@y.test",
      fileOf(directory, "e", SMALL, code),
    ], message);
    assert.equal(
      edits.output,
      "verdict: pass\n+ X-To: b@y.test,c@y.test one? two\n- From (header 1 of that name)\n+ on hold\n",
    );
    const reads = fileOf(
      directory,
      "r",
      SMALL,
      'await Deno.readTextFile("/etc/passwd"); return { verdict: "pass" };',
    );
    const refused = await postern.run(["filter", reads], message);
    assert.equal(refused.status, 1);
    assert.match(refused.errors, /Requires read access to "\/etc\/passwd"/);
    const broken = `${directory}/broken.ts`;
    Deno.writeTextFileSync(broken, `export const may = ${SMALL};\nexport const filter = 5;\n`);
    assert.match((await postern.run(["filter", broken], message)).errors, /exports no function "filter"/);
  } finally {
    await postern[Symbol.asyncDispose]();
    Deno.removeSync(directory, { recursive: true });
  }
});
