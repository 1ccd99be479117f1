import assert from "node:assert/strict";
import { echo, pause, SampleService } from "./ipc_support.ts";

Deno.test("a client that is closed before the greeting gets its answers, and leaves no connection", async () => {
  await using service = await SampleService.start(echo);
  const client = service.client();
  const answer = client.call("ask", { word: "x", delay: 20 });
  client.close();
  const reply = await answer;
  assert.equal(reply.is === "answer" && reply.word, "x");
  for (let i = 0; i < 100 && service.server.connections > 0; i++) await pause(10);
  assert.equal(service.server.connections, 0);
});

Deno.test("a client that is closed before its first request is connected fails later ones", async () => {
  await using service = await SampleService.start(echo);
  const client = service.client();
  client.send("hint", { word: "x" });
  client.close();
  for (let i = 0; i < 100 && service.server.used === 0; i++) await pause(10);
  assert.equal(service.server.used, 1);
  for (let i = 0; i < 100 && service.server.connections > 0; i++) await pause(10);
  assert.equal(service.server.connections, 0);
  await assert.rejects(client.call("ask", { word: "y", delay: 0 }), /client is closed/);
});
