/** What the runtime does for the packages that speak with databases. */
import assert from "node:assert/strict";
import { runProgram } from "./platform_support.ts";

Deno.test("--ignore-env hides the environment: what is asked for is not there, and nothing is refused", async () => {
  const program = `
    await tell(() => Deno.env.get("DENO_DIR"));
    await tell(() => Object.keys(Deno.env.toObject()).length);
    const process = (await import("node:process")).default;
    await tell(() => process.env.DENO_NO_UPDATE_CHECK);`;
  assert.equal((await runProgram(program, ["--ignore-env"])).output, "undefined\n0\nundefined");
  assert.equal((await runProgram(program)).output, "NotCapable\nNotCapable\nNotCapable");
});

Deno.test("a grant for a host by its name lets node:net connect to what it resolves to, on that port alone", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepting = listener.accept().then((conn) => conn.close());
  const { port } = listener.addr;
  const program = `
    import net from "node:net";
    const connect = (host: string, port: number) => new Promise((resolve, reject) => {
      const socket = net.connect({ host, port, family: 4 });
      socket.once("connect", () => { socket.destroy(); resolve("connected"); });
      socket.once("error", reject);
    });
    await tell(() => connect("localhost", ${port}));
    await tell(() => connect("127.0.0.1", ${port}));
    await tell(() => connect("localhost", ${port === 65535 ? 1 : port + 1}));`;
  const { output } = await runProgram(program, [`--allow-net=localhost:${port}`]);
  assert.equal(output, "connected\nNotCapable\ngetaddrinfo EPERM localhost");
  await accepting;
  listener.close();
});
