/** What Deno does with sockets and network permissions: the ground that the daemons stand on (PLATFORM.md). @module */
import assert from "node:assert/strict";
import { bindUnix, openHandedConnection } from "../../lib/safe/process.ts";
import { TemporaryDirectory } from "../support/temporary.ts";
import { HARDENING, runProgram } from "./platform_support.ts";

/** The descriptors of our open sockets. */
function sockets(): Set<number> {
  const found = new Set<number>();
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    try {
      if (Deno.readLinkSync(`/proc/self/fd/${name}`).startsWith("socket:")) found.add(Number(name));
    } catch {
      continue; // the directory's own descriptor
    }
  }
  return found;
}

/** What a client reads until the server closes. */
async function readAll(connection: Deno.Conn): Promise<string> {
  const chunks: Uint8Array[] = [];
  const buffer = new Uint8Array(1000);
  for (let count = await connection.read(buffer); count !== null; count = await connection.read(buffer)) {
    chunks.push(buffer.slice(0, count));
  }
  return chunks.map((chunk) => new TextDecoder().decode(chunk)).join("");
}

const ACCEPT_ONE = `import net from "node:net";
const server = net.createServer((socket) => { socket.end("hello from " + Deno.pid); server.close(); });
server.listen({ fd: 3 });`;

Deno.test("an inherited TCP listener accepts with no permission at all", async () => {
  const before = sockets();
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const [descriptor] = [...sockets()].filter((one) => !before.has(one));
  const running = runProgram(ACCEPT_ONE, [], { descriptors: [descriptor!] });
  const client = await Deno.connect({ hostname: "127.0.0.1", port: (listener.addr as Deno.NetAddr).port });
  assert.match(await readAll(client), /^hello from [0-9]+$/);
  client.close();
  const { status, errors } = await running;
  listener.close();
  assert.equal(errors, "");
  assert.equal(status, 0);
});

Deno.test("an inherited unix listener accepts with no permission at all", async () => {
  using directory = new TemporaryDirectory();
  const listener = bindUnix(directory.at("socket"), 0o600);
  const running = runProgram(ACCEPT_ONE, [], { descriptors: [listener.descriptor] });
  const client = await Deno.connect({ transport: "unix", path: directory.at("socket") });
  assert.match(await readAll(client), /^hello from/);
  client.close();
  assert.equal((await running).errors, "");
  listener.close();
});

Deno.test("an inherited connected socket is used with no permission, by new net.Socket({ fd })", async () => {
  using directory = new TemporaryDirectory();
  const server = Deno.listen({ transport: "unix", path: directory.at("socket") });
  const connection = await openHandedConnection(directory.at("socket"), "first\n");
  const peer = await server.accept();
  const running = runProgram(
    `import net from "node:net";
     const socket = new net.Socket({ fd: 3, readable: true, writable: true });
     socket.on("data", (bytes) => { socket.end("got " + bytes.toString()); });`,
    [],
    { descriptors: [connection.descriptor] },
  );
  assert.equal(await readSome(peer), "first\n");
  await peer.write(new TextEncoder().encode("ping"));
  assert.equal(await readSome(peer), "got ping");
  peer.close();
  const { status, errors } = await running;
  assert.deepEqual([status, errors], [0, ""]);
  connection.close();
  server.close();
});

async function readSome(connection: Deno.Conn): Promise<string> {
  const buffer = new Uint8Array(100);
  const count = await connection.read(buffer);
  return new TextDecoder().decode(buffer.subarray(0, count ?? 0));
}

Deno.test("without permission nothing listens, connects or resolves", async () => {
  const { output } = await runProgram(
    `await tell(() => Deno.listen({ hostname: "127.0.0.1", port: 0 }));
     await tell(() => Deno.connect({ hostname: "127.0.0.1", port: 9 }));
     await tell(() => Deno.resolveDns("localhost", "A"));
     await tell(() => fetch("http://127.0.0.1:9/"));
     await tell(() => Deno.listen({ transport: "unix", path: "/tmp/postern-none" }));`,
  );
  // fetch says TypeError for any failure.
  assert.deepEqual(output.split("\n"), ["NotCapable", "NotCapable", "NotCapable", "TypeError", "NotCapable"]);
});

Deno.test("a unix socket takes three grants on its exact path, and each of them is needed", async () => {
  using directory = new TemporaryDirectory();
  const path = directory.at("socket");
  const listener = Deno.listen({ transport: "unix", path });
  const program =
    `await tell(async () => { (await Deno.connect({ transport: "unix", path: "${path}" })).close(); return "connected"; });`;
  const grants = [`--allow-net=unix:${path}`, `--allow-read=${path}`, `--allow-write=${path}`];
  assert.equal((await runProgram(program, grants)).output, "connected");
  for (const missing of grants) {
    assert.equal(
      (await runProgram(program, grants.filter((one) => one !== missing))).output,
      "NotCapable",
      missing,
    );
  }
  listener.close();
});

Deno.test("deny-net of loopback leaks by 0.0.0.0: that network must be denied as well", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const program = (host: string) =>
    `await tell(async () => { (await Deno.connect({ hostname: "${host}", port: ${port} })).close(); return "connected"; });`;
  const allow = `--allow-net=0.0.0.0/0:${port}`;
  assert.equal(
    (await runProgram(program("127.0.0.1"), [allow, "--deny-net=127.0.0.0/8"])).output,
    "NotCapable",
  );
  assert.equal((await runProgram(program("0.0.0.0"), [allow, "--deny-net=127.0.0.0/8"])).output, "connected");
  assert.equal(
    (await runProgram(program("0.0.0.0"), [allow, "--deny-net=127.0.0.0/8,0.0.0.0/8"])).output,
    "NotCapable",
  );
  // What stands for the whole of IPv4 also stands for IPv4 in IPv6's clothing, which no denial of a network covers:
  // there the client's own check (lib/smtp/address_policy.ts) is the only fence.
  const denied = [allow, "--deny-net=127.0.0.0/8,0.0.0.0/8"];
  for (const host of ["::ffff:127.0.0.1", "::ffff:0.0.0.0"]) {
    assert.equal((await runProgram(program(host), denied)).output, "connected", host);
  }
  for (const host of ["0", "127.1", "2130706433", "localhost", "::1", "::"]) {
    assert.equal((await runProgram(program(host), denied)).output, "NotCapable", host);
  }
  listener.close();
});

/** Names that the runtime would load without any permission, were it not for our flags. */
const ESCAPES = [
  "https://esm.sh/preact",
  "https://deno.land/std/version.ts",
  "https://jsr.io/@std/path/1.0.0/mod.ts",
  "npm:chalk@5",
  "jsr:@std/path@1",
];

Deno.test("under the hardening flags no module is loaded from outside, by any kind of name", async () => {
  const { output, status } = await runProgram(
    `for (const name of ${JSON.stringify(ESCAPES)}) {
      try { await import(name); console.log("loaded"); }
      catch (error) { console.log("refused: " + (error as Error).message.split("\\n")[0]); }
    }`,
  );
  assert.equal(status, 0);
  const lines = output.split("\n");
  assert.equal(lines.length, ESCAPES.length, output);
  for (const line of lines) {
    assert.match(line, /^refused: .*(import access|remote|npm|cache|dependency|resolve)/i);
  }
});

Deno.test("under the hardening flags a Worker from outside is refused too", async () => {
  const { output } = await runProgram(
    `const worker = new Worker("https://esm.sh/preact", { type: "module" });
     worker.onerror = (event) => { event.preventDefault(); console.log("refused"); worker.terminate(); };
     worker.onmessage = () => console.log("loaded");`,
  );
  assert.match(output, /refused/);
});

Deno.test("code from strings is refused by the engine's flag, and a regular expression that explodes is not slow", async () => {
  assert.ok(HARDENING.some((flag) => flag.startsWith("--v8-flags=")));
  const { output } = await runProgram(
    `await tell(() => (0, eval)("1 + 1"));
     await tell(() => new Function("return 1")());
     const start = performance.now(); /^(a+)+$/.test("a".repeat(40) + "!");
     console.log(performance.now() - start < 5000 ? "quick" : "slow");`,
  );
  assert.deepEqual(output.split("\n"), ["EvalError", "EvalError", "quick"]);
});

Deno.test("a refused permission is not asked for on a terminal, and can be given up for good", async () => {
  const { output } = await runProgram(
    `await tell(() => Deno.permissions.requestSync({ name: "run" }).state);
     await tell(() => Deno.permissions.revokeSync({ name: "net", host: "127.0.0.1:9" }).state !== "granted");
     await tell(() => Deno.connect({ hostname: "127.0.0.1", port: 9 }));`,
    ["--allow-net=127.0.0.1:9"],
  );
  assert.deepEqual(output.split("\n"), ["denied", "true", "NotCapable"]);
});

Deno.test("end-of-file on standard input is seen when the parent closes it", async () => {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-config", "for await (const x of Deno.stdin.readable) void x; console.log('over');"],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  await child.stdin.close();
  assert.equal(new TextDecoder().decode((await child.output()).stdout), "over\n");
});
