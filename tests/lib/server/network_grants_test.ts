import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";

/** Runs a program text in the runtime with one permission on the network; its output. */
function runWith(grants: string, program: string): string {
  const directory = Deno.makeTempDirSync();
  try {
    Deno.writeTextFileSync(`${directory}/program.ts`, program);
    const config = new URL("../../../deno.json", import.meta.url).pathname;
    const args = ["run", "--no-prompt", "--quiet", `--config=${config}`, `--allow-net=${grants}`];
    const done = new Deno.Command(Deno.execPath(), { args: [...args, `${directory}/program.ts`] })
      .outputSync();
    return new TextDecoder().decode(done.stdout).trim();
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

/** An address of ours that is not loopback: what is sent to it does not leave the machine. */
function ownAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return all.find((one) => one.family === "IPv4" && !one.internal)?.address;
}

Deno.test({
  name: "one port of every IPv4 host is granted as 0.0.0.0/0:port; :port is loopback only (smtp_reach.ts)",
  ignore: ownAddress() === undefined,
  fn: () => {
    const listener = Deno.listen({ hostname: "0.0.0.0", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    const program = `try { (await Deno.connect({ hostname: "${ownAddress()}", port: ${port} })).close();
      console.log("connected"); } catch (error) { console.log(error.name); }`;
    try {
      assert.equal(runWith(`0.0.0.0/0:${port}`, program), "connected");
      assert.equal(runWith(`:${port}`, program), "NotCapable");
    } finally {
      listener.close();
    }
  },
});

Deno.test("a datagram socket takes a grant for its local end as well (sandbox.ts: resolver)", () => {
  const connect = new URL("../../../lib/safe/connect.ts", import.meta.url).href;
  const program = `import { openDatagram } from "${connect}";
    globalThis.addEventListener("error", (event) => { event.preventDefault(); console.log("refused"); });
    const socket = await openDatagram("127.0.0.1", 9, { message: () => {}, failed: () => {} });
    console.log("open"); socket.close();`;
  assert.equal(runWith("127.0.0.1:9,0.0.0.0:0", program), "open");
  assert.equal(runWith("127.0.0.1:9", program), "refused");
});
