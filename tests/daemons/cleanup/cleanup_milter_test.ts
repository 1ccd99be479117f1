/** Filters of mail that does not come by SMTP: the session that cleanup makes up for them. @module */
import assert from "node:assert/strict";
import { CLEANUP_EXTERNAL, CLEANUP_FLAG, CLEANUP_STATUS } from "../../../lib/proto/protocols.ts";
import { atEnd, EDIT, RawFilter, VERDICT } from "../../support/raw_filter.ts";
import { ACCEPTED, CleanupHost, type Draft, submit } from "./cleanup_support.ts";

const LOCAL: Draft = {
  sender: "a@mx.test",
  recipients: ["b@y.test", "c@y.test"],
  local: true,
  lines: ["Subject: one", "", "body"],
};
/** As pickup submits: a message that is refused comes back to its sender. */
const PICKUP = CLEANUP_EXTERNAL | CLEANUP_FLAG.BOUNCE;

function host(filter: RawFilter, setting = "default_action=tempfail"): CleanupHost {
  return new CleanupHost({
    settings: { non_smtpd_milters: JSON.stringify([`{ ${filter.name} ${setting} }`]) },
  });
}

function strings(data: Uint8Array): string[] {
  return new TextDecoder("latin1").decode(data).split("\0").slice(0, -1);
}

Deno.test("a filter is told of a client, a greeting, sender, recipients and content, then taken leave of", async () => {
  await using filter = new RawFilter(atEnd(EDIT.addHeader("X-New", "value"), VERDICT.continue));
  using cleanup = host(filter);
  assert.deepEqual(await submit(cleanup, LOCAL, PICKUP), ACCEPTED);
  assert.match(filter.letters.replaceAll("D", ""), /^OCHMRRTL+NBEA?Q?$/);
  const data = (letter: string) =>
    filter.packets.filter(({ code }) => code === letter.charCodeAt(0)).map(({ data }) => data);
  // The port, two bytes of zero, looks like an empty string.
  assert.deepEqual(strings(data("C")[0]!), ["localhost", "4", "", "127.0.0.1"]);
  assert.deepEqual(strings(data("M")[0]!), ["<a@mx.test>"]);
  assert.deepEqual(data("R").flatMap(strings), ["<b@y.test>", "<c@y.test>"]);
  const macros = new Map(data("D").map((one) => [String.fromCharCode(one[0]!), strings(one.subarray(1))]));
  assert.deepEqual(macros.get("C"), [
    "j",
    "mx.test",
    "{daemon_name}",
    "mx.test",
    "v",
    "Postern",
    "_",
    "localhost [127.0.0.1]",
  ]);
  assert.equal(macros.get("E")![0], "i");
  assert.ok(cleanup.message().text.includes("\nX-New: value\n\nbody\n"));
});

Deno.test("mail for which no filters are asked, and mail of smtpd without filters, is told to none", async () => {
  await using filter = new RawFilter();
  using cleanup = host(filter);
  assert.deepEqual(await submit(cleanup, LOCAL, CLEANUP_EXTERNAL & ~CLEANUP_FLAG.MILTER), ACCEPTED);
  assert.equal(filter.letters, "");
});

for (const letter of ["C", "H", "M", "T", "L", "E"]) {
  Deno.test(`a message that a filter refuses at ${letter} comes back to its sender`, async () => {
    await using filter = new RawFilter((_, at) => at === letter ? [VERDICT.reject] : undefined);
    using cleanup = host(filter);
    assert.deepEqual(await submit(cleanup, LOCAL, PICKUP), ACCEPTED);
    assert.equal(cleanup.message().envelope.filter, "error:5.7.1 Command rejected");
    assert.match(
      cleanup.log.join("\n"),
      /milter-reject: \S+ from local: 5\.7\.1 Command rejected; from=<a@mx\.test>/,
    );
  });

  Deno.test(`a message that a filter puts off at ${letter} stays with its client`, async () => {
    await using filter = new RawFilter((_, at) => at === letter ? [VERDICT.tempfail] : undefined);
    using cleanup = host(filter);
    assert.deepEqual(await submit(cleanup, LOCAL, PICKUP), {
      status: CLEANUP_STATUS.DEFER,
      reason: "4.7.1 Service unavailable - try again later",
    });
    assert.deepEqual(cleanup.files(), []);
  });

  Deno.test(`a filter that dies at ${letter} is passed over where that is its default action`, async () => {
    await using filter = new RawFilter((_, at) => at === letter ? "close" : undefined);
    using cleanup = host(filter, "default_action=accept");
    assert.deepEqual(await submit(cleanup, LOCAL, PICKUP), ACCEPTED);
    assert.ok(cleanup.message().text.endsWith("\n\nbody\n"));
  });
}

Deno.test("a recipient that a filter refuses is a mistake of the configuration: the message waits", async () => {
  await using filter = new RawFilter((_, at) => at === "R" ? [VERDICT.reject] : undefined);
  using cleanup = host(filter);
  assert.equal((await submit(cleanup, LOCAL, PICKUP)).status, CLEANUP_STATUS.DEFER);
  assert.match(
    cleanup.log.join("\n"),
    /milter configuration error: can't reject recipient in non-smtpd\(8\) submission/,
  );
});

Deno.test("discard and quarantine are what they are for other mail", async () => {
  await using discards = new RawFilter((_, at) => at === "M" ? [VERDICT.discard] : undefined);
  using one = host(discards);
  assert.deepEqual(await submit(one, LOCAL, PICKUP), ACCEPTED);
  assert.deepEqual(one.files(), []);
  await using holds = new RawFilter(atEnd(EDIT.quarantine(), VERDICT.continue));
  using other = host(holds);
  assert.deepEqual(await submit(other, LOCAL, PICKUP), ACCEPTED);
  assert.equal([...Deno.readDirSync(`${other.queue}/hold`)].length, 1);
});

Deno.test("mail that was queued before shows the client that it came from", async () => {
  await using filter = new RawFilter();
  using cleanup = host(filter);
  const attributes = [["client_name", "c.test"], ["client_address", "192.0.2.7"], [
    "helo_name",
    "h.test",
  ]] as const;
  assert.deepEqual(await submit(cleanup, { ...LOCAL, attributes }, PICKUP), ACCEPTED);
  const of = (letter: string) => filter.packets.find(({ code }) => code === letter.charCodeAt(0))!.data;
  assert.deepEqual(strings(of("C")), ["c.test", "4", "", "192.0.2.7"]);
  assert.deepEqual(strings(of("H")), ["h.test"]);
});
