/** Rules of RFCs that bounce keeps. @module */
import assert from "node:assert/strict";
import { BounceBench } from "./bounce_support.ts";

Deno.test("RFC 5321 section 4.4: a report begins with the trace of the system that made it", async () => {
  await using bench = await BounceBench.start();
  bench.message({ lines: ["Received: from client.test", "", "Hello"] });
  await bench.append();
  assert.equal(await bench.flush(), "");
  const [received, id, date] = bench.sent.lines;
  assert.match(received!, /^Received: by \S+ \(\S+\)$/);
  const traced = /^\tid NEW1; (.+)$/.exec(id!);
  assert.equal(date, `Date: ${traced?.[1]}`);
});
