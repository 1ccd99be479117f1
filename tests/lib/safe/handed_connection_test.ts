import assert from "node:assert/strict";
import net from "node:net";
import { openHandedConnection, startProcess } from "../../../lib/safe/process.ts";

/** A child that answers on the connection that it inherited as descriptor 3, with no permission at all. */
const CHILD = `
import net from "node:net";
const socket = new net.Socket({ fd: 3, readable: true, writable: true });
socket.on("data", (bytes) => socket.write("child heard " + bytes));
socket.on("close", () => process.exit(0));
setTimeout(() => process.exit(1), 20000);
`;

/** Collects what a connection brings until it holds `text`. */
function heard(socket: net.Socket, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let all = "";
    socket.on("data", (bytes) => {
      all += bytes;
      if (all.includes(text)) resolve(all);
    });
    socket.on("close", () => reject(new Error(`closed after "${all}"`)));
  });
}

Deno.test("a connection that is handed to a child serves the child while our own copy is open", async () => {
  const directory = Deno.makeTempDirSync();
  const program = `${directory}/child.mjs`;
  Deno.writeTextFileSync(program, `import process from "node:process";\n${CHILD}`);
  const path = `${directory}/socket`;
  const arrived = Promise.withResolvers<net.Socket>();
  const server = net.createServer((socket) => arrived.resolve(socket));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    // The server's end is a new socket of this very process: it must not be taken for the client's.
    const connection = await openHandedConnection(path, "token\n");
    const socket = await arrived.promise;
    await heard(socket, "token\n");
    const child = await startProcess({
      program: Deno.execPath(),
      args: ["run", "--no-prompt", "--quiet", program],
      environment: {},
      descriptors: [connection.descriptor],
      errors: "inherit",
    });
    socket.write("ping");
    assert.equal(await heard(socket, "ping"), "child heard ping");
    socket.destroy();
    assert.deepEqual(await child.ended, { status: 0, signal: "" });
    child.closeInput();
    connection.close();
    for await (const line of child.lines) assert.equal(line, "");
  } finally {
    server.close();
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("a connection that cannot be made says to where", async () => {
  await assert.rejects(
    openHandedConnection("/nowhere/socket", ""),
    /^SystemError: Cannot connect to "\/nowhere\/socket": /,
  );
});
