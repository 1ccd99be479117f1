import assert from "node:assert/strict";
import { ScratchSystem } from "./command_support.ts";
import { postcat } from "./maildrop_support.ts";

const UID = Deno.uid()!;

/** The one message in maildrop/, as postcat prints it. */
function posted(system: ScratchSystem): string[] {
  const names = system.queue.names("maildrop");
  assert.equal(names.length, 1);
  return postcat(system.queue.path("maildrop", names[0]!));
}

Deno.test("sendmail posts a message while the mail system is down, says so, and ends with 0", async () => {
  using system = new ScratchSystem();
  const ran = await system.run(
    "sendmail",
    ["-f", "me@here", "-F", "Me", "you@there"],
    "Subject: x\n\nhello\n.\nnot this\n",
  );
  assert.equal(ran.status, 0, ran.err);
  assert.match(ran.err, /^sendmail: warning: mail system is not running/);
  assert.deepEqual(posted(system), [
    "named_attribute: rewrite_context=local",
    "sender_fullname: Me",
    "sender: me@here",
    "recipient: you@there",
    "Subject: x",
    "",
    "hello",
  ]);
});

Deno.test("the default sender is the login name, and NAME is the full name", async () => {
  using system = new ScratchSystem();
  const login = new TextDecoder().decode(new Deno.Command("id", { args: ["-un"] }).outputSync().stdout)
    .trim();
  assert.equal((await system.run("sendmail", ["r"], "", { NAME: "Env Name" })).status, 0);
  assert.deepEqual(posted(system).slice(1, 3), ["sender_fullname: Env Name", `sender: ${login}`]);
});

const REFUSED: {
  name: string;
  args: string[];
  input?: string;
  status: number;
  err: RegExp;
  main?: string;
}[] = [
  {
    name: "no recipients",
    args: [],
    status: 64,
    err: /^sendmail: fatal: Recipient addresses must be specified/,
  },
  {
    name: "LOC-08: -t without recipients",
    args: ["-t"],
    input: "Subject: x\n\n",
    status: 65,
    err: /No recipient addresses found in message header/,
  },
  {
    name: "LOC-04: a sender with a line feed",
    args: ["-f", "a\nb", "r"],
    status: 65,
    err: /malformed sender/,
  },
  {
    name: "a message that is too big",
    args: ["r"],
    input: "x".repeat(5000),
    status: 69,
    err: /message file too big/,
    main: "message_size_limit = 4000\n",
  },
  { name: "an unknown option", args: ["-Z"], status: 64, err: /invalid option/ },
];

for (const { name, args, input = "", status, err, main } of REFUSED) {
  Deno.test(`sendmail ends with ${status} and nothing posted: ${name}`, async () => {
    using system = new ScratchSystem(main);
    const ran = await system.run("sendmail", args, input);
    assert.equal(ran.status, status, ran.err);
    assert.match(ran.err, err);
    assert.deepEqual(system.queue.names("maildrop"), []);
  });
}

Deno.test("sendmail ends with 75 when maildrop cannot be written", async () => {
  using system = new ScratchSystem();
  Deno.removeSync(system.queue.path("maildrop", ""), { recursive: true });
  const ran = await system.run("sendmail", ["r"], "x\n");
  assert.equal(ran.status, 75);
  assert.match(ran.err, /queue file write error: No such file/);
});

/** Starts sendmail and waits until it has begun a file. */
async function begin(
  system: ScratchSystem,
): Promise<{ child: Deno.ChildProcess; writer: WritableStreamDefaultWriter }> {
  const child = system.spawn("sendmail", ["r"]);
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode("Subject: x\n"));
  while (system.queue.names("maildrop").length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  return { child, writer };
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  Deno.test(`LOC-11: ${signal} in mid-message removes what was written`, async () => {
    using system = new ScratchSystem();
    const { child, writer } = await begin(system);
    child.kill(signal);
    assert.equal((await child.output()).code, 75);
    await writer.abort().catch(() => {});
    assert.deepEqual(system.queue.names("maildrop"), []);
  });
}

Deno.test("LOC-11: SIGKILL in mid-message leaves nothing that pickup would take", async () => {
  using system = new ScratchSystem();
  const { child, writer } = await begin(system);
  child.kill("SIGKILL");
  await child.output();
  await writer.abort().catch(() => {});
  const [left] = system.queue.names("maildrop");
  assert.match(left!, /^tmp\./);
});

Deno.test("-bs passes the conversation on to the server, byte for byte", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using system = new ScratchSystem();
  const service = `[[service]]\nname = "127.0.0.1:${listener.addr.port}"\ntype = "inet"\ncommand = "smtpd"\n`;
  Deno.writeTextFileSync(`${system.config}/master.toml`, service, { append: true });
  const served = (async () => {
    const conn = await listener.accept();
    await conn.write(new TextEncoder().encode("220 hi\r\n"));
    const buffer = new Uint8Array(100);
    const count = await conn.read(buffer);
    await conn.write(new TextEncoder().encode("221 bye\r\n"));
    conn.close();
    return new TextDecoder().decode(buffer.subarray(0, count ?? 0));
  })();
  const ran = await system.run("sendmail", ["-bs"], "QUIT\r\n");
  assert.deepEqual(ran, { status: 0, out: "220 hi\r\n221 bye\r\n", err: "" });
  assert.equal(await served, "QUIT\r\n");
  listener.close();
});

Deno.test("-bs without a running server ends with 75", async () => {
  using system = new ScratchSystem();
  Deno.writeTextFileSync(
    `${system.config}/master.toml`,
    `[[service]]\nname = "127.0.0.1:1"\ntype = "inet"\ncommand = "smtpd"\n`,
    { append: true },
  );
  const ran = await system.run("sendmail", ["-bs"]);
  assert.equal(ran.status, 75);
  assert.match(ran.err, /cannot reach the mail system: Connection refused/);
});

const ORDINARY = "an ordinary user posts into a sticky maildrop that he may not list";
Deno.test(ORDINARY, { ignore: UID !== 0 }, async () => {
  using system = new ScratchSystem();
  const { root } = system.queue;
  Deno.chmodSync(root, 0o755);
  Deno.chmodSync(`${root}/maildrop`, 0o1733);
  const source = new URL("./post_as_user.ts", import.meta.url).pathname;
  const bundle = `${root}/post.js`;
  const made = await new Deno.Command(Deno.execPath(), { args: ["bundle", "-o", bundle, source] }).output();
  assert.equal(made.code, 0, new TextDecoder().decode(made.stderr));
  const program = [Deno.execPath(), "run", "-A", "--no-config", bundle, root];
  const { code, stdout, stderr } = await new Deno.Command("setpriv", {
    args: ["--reuid=65534", "--regid=65534", "--clear-groups", ...program],
    env: { DENO_DIR: "/nonexistent", HOME: "/nonexistent" },
    cwd: "/",
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  const id = new TextDecoder().decode(stdout).trim();
  const stat = Deno.statSync(system.queue.path("maildrop", id));
  assert.deepEqual([stat.uid, stat.mode! & 0o777], [65534, 0o744]);
});

Deno.test("a sender that the user may not have is refused at once, with nothing left in maildrop", async () => {
  const login = Deno.env.get("USER") ?? new TextDecoder().decode(
    new Deno.Command("id", { args: ["-un"] }).outputSync().stdout,
  ).trim();
  const main = `local_login_sender_maps = ["inline:{{${login} = me@example.test @own.test}}"]\n`;
  using system = new ScratchSystem(main);
  const message = "Subject: x\n\nText.\n";
  for (const [sender, status] of [["me@example.test", 0], ["a@own.test", 0], ["a@other.test", 77]] as const) {
    const before = system.queue.names("maildrop").length;
    const ran = await system.run("sendmail", ["-f", sender, "r@example.test"], message);
    assert.equal(ran.status, status, ran.err);
    assert.equal(system.queue.names("maildrop").length - before, status === 0 ? 1 : 0);
    if (status !== 0) assert.match(ran.err, /User \S+ is not allowed to send as <a@other\.test>/);
  }
});
