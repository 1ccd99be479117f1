import assert from "node:assert/strict";
import { sendTrigger } from "../../commands/trigger.ts";
import { IpcServer } from "../../lib/ipc/server.ts";
import { PICKUP, QMGR } from "../../lib/proto/protocols.ts";
import { listenStream } from "../../lib/safe/tcp_server.ts";
import { ScratchSystem } from "./command_support.ts";

Deno.test("postkick and sendTrigger wake a service that listens", async () => {
  using system = new ScratchSystem();
  const path = system.queue.path("public", "qmgr");
  const got: string[] = [];
  const server = new IpcServer(QMGR, (_exchange, message) => {
    if (message.is === "trigger") got.push(message.bytes);
  }, { trouble: (why) => got.push(why) });
  const listening = await listenStream(
    { kind: "unix", path },
    5,
    (channel) => server.accept(channel),
    () => {},
  );
  assert.equal(listening.kind, "listening");
  assert.deepEqual(await sendTrigger(QMGR, path, "trigger", { bytes: "W" }, 5), { kind: "sent" });
  assert.deepEqual(await system.run("postkick", ["public", "qmgr", "DF"]), { status: 0, out: "", err: "" });
  assert.deepEqual(got, ["W", "DF"]);
  if (listening.kind === "listening") listening.server.close();
});

Deno.test("a service that is away or never greets is an answer, not an error", async () => {
  using system = new ScratchSystem();
  const path = system.queue.path("public", "pickup");
  assert.equal((await sendTrigger(PICKUP, path, "trigger", {}, 1)).kind, "failed");
  const listening = await listenStream(
    { kind: "unix", path },
    5,
    (channel) => channel.start({ data() {}, closed() {} }),
    () => {},
  );
  assert.deepEqual(await sendTrigger(PICKUP, path, "trigger", {}, 0.05), {
    kind: "failed",
    why: "no greeting in time",
  });
  if (listening.kind === "listening") listening.server.close();
});

const WRONG: { args: string[]; status: number; text: RegExp }[] = [
  { args: [], status: 64, text: /usage/ },
  { args: ["public", "qmgr"], status: 64, text: /usage/ },
  { args: ["secret", "qmgr", "W"], status: 64, text: /unknown class/ },
  { args: ["public", "../../etc", "W"], status: 64, text: /takes no requests/ },
  { args: ["public", "qmgr", "X"], status: 64, text: /knows requests of the letters/ },
  { args: ["public", "pickup", "W"], status: 1, text: /cannot reach/ },
];

for (const { args, status, text } of WRONG) {
  Deno.test(`postkick ${args.join(" ")} fails with status ${status}`, async () => {
    using system = new ScratchSystem();
    const ran = await system.run("postkick", args);
    assert.equal(ran.status, status, ran.err);
    assert.match(ran.err, text);
  });
}
