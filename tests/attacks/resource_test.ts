/** Class RES of the security cases: clients that take time, memory, files and attention. @module */
import assert from "node:assert/strict";
import { MailHost, settled } from "../daemons/smtpd/mail_host.ts";
import { attackHost, play, type Played } from "./attack.ts";
import { caseInput, testEveryCase } from "./cases.ts";

const CHECKS: Readonly<Record<string, (played: Played) => void>> = {
  "RES-05": ({ replies, ended }) => {
    assert.deepEqual(replies, ["500 5.5.2 Error: command line too long"]);
    assert.equal(ended, false);
  },
  "RES-07": ({ replies }) => assert.deepEqual(replies, ["552 5.3.4 Message size exceeds fixed limit"]),
  "RES-08": ({ replies, queued, unfinished }) => {
    assert.deepEqual(replies, ["250 2.1.0 Ok", "552 5.3.4 Error: message file too big"]);
    assert.deepEqual(queued, []);
    assert.equal(unfinished, 0);
  },
  "RES-10": ({ replies, queued }) => {
    assert.match(replies.at(-1)!, /^250 2\.0\.0 Ok: queued/);
    assert.deepEqual(queued[0]!.recipients, ["alice@local.test"]);
  },
  "RES-11": ({ replies, ended }) => {
    assert.equal(replies.filter((reply) => reply.startsWith("550 5.1.1 ")).length, 20);
    assert.equal(replies.at(-1), "421 4.7.0 mx.test Error: too many errors");
    assert.equal(ended, true);
  },
};

/** Inputs that the cases describe in words. */
const INPUTS: Readonly<Record<string, string>> = {
  "RES-05": "{REP:A:10000000}\r\n",
  "RES-08": "{E}MAIL FROM:<a@ext.test> SIZE=10\r\n{|}{R}{D2}",
  "RES-10": "{E}{M}{REP:{R}:1000}DATA\r\n{|}{H}x{EOD}",
  "RES-11": "{E}{M}{REP:RCPT TO:<nobody@local.test>\r\n:25}",
};

const ELSEWHERE: Readonly<Record<string, string>> = {
  "RES-01": "tests/daemons/smtpd/smtpd_session_test.ts: a byte now and then",
  "RES-02": "tests/daemons/smtpd/smtpd_session_test.ts: a byte now and then",
  "RES-04": "own test: many clients",
  "RES-13": "own test: many sessions",
  "RES-14": "tests/daemons/smtpd/smtpd_process_test.ts: RES-14: a client that ends its output",
  "RES-16": "does not apply: smtpd may not look at the file system; a full disk is cleanup's 451 (RES-17)",
  "RES-17":
    "tests/faults/machine_test.ts: queue, log and mailboxes on one disk that fills up: 4xx, nothing is lost; tests/daemons/cleanup/cleanup_disk_test.ts",
  "RES-19": "tests/daemons/qmgr/qmgr_scheduler_test.ts: a message to one waits a second, not for the list",
  "RES-20": "tests/daemons/smtpd/smtpd_tls_test.ts",
  "RES-22":
    "tests/lib/smtp/haproxy_test.ts: a line of version 1 has 107 bytes at most, a header of version 2 has 536",
  "RES-23": "own test: the log",
  "RES-25": "own test: one-byte segments",
};

testEveryCase("RES", CHECKS, ELSEWHERE);

for (const [id, check] of Object.entries(CHECKS)) {
  Deno.test(`${id}: costs the client more than the server`, async () => {
    await using host = attackHost({ settings: { smtpd_recipient_limit: "2000" } });
    if (id === "RES-08") {
      const client = await host.greeted();
      const replies = [await client.say("MAIL FROM:<a@ext.test> SIZE=10")];
      await client.says("RCPT TO:<alice@local.test>", "DATA");
      for (let i = 0; i < 64; i++) client.send(`${"x".repeat(998)}\r\n`.repeat(33));
      replies.push(await client.say("."));
      await settled();
      return check({
        replies,
        ended: false,
        queued: host.messages(),
        unfinished: host.files().length,
        log: [],
        milliseconds: 0,
      });
    }
    check(await play(host, INPUTS[id] ?? caseInput(id)));
  });
}

Deno.test("RES-04: of a thousand connections of one client the first are served, and so are other clients", async () => {
  await using host = new MailHost({
    settings: { smtpd_client_connection_count_limit: "50", smtpd_session_limit: "2000" },
  });
  const clients = Array.from({ length: 1000 }, () => host.connect());
  const replies = await Promise.all(clients.map((client) => client.reply()));
  assert.equal(replies.filter((reply) => reply.startsWith("220 ")).length, 50);
  assert.equal(
    replies.filter((reply) => reply === "421 4.7.0 mx.test Error: too many connections from 198.51.100.9")
      .length,
    950,
  );
  assert.equal(await host.connect("198.51.100.10").reply(), "220 mx.test ESMTP Postern");
});

/** Files below a directory that this process has open. Other tests run beside this one in the same process. */
function openFilesBelow(directory: string): string[] {
  return [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => target(`/proc/self/fd/${name}`))
    .filter((path) => path.startsWith(`${directory}/`));
}

/** What a link says, nothing where it is gone meanwhile. */
function target(link: string): string {
  try {
    return Deno.readLinkSync(link);
  } catch {
    return "";
  }
}

Deno.test("RES-13: sessions that break off in the middle of a message leave no file and no descriptor", async () => {
  await using host = attackHost();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 20; i++) {
      const clients = await Promise.all(Array.from({ length: 25 }, () => host.sending()));
      for (const client of clients) {
        client.send("Subject: x\r\n\r\nhalf");
        client.leave();
      }
      await settled();
    }
    assert.deepEqual(host.files(), []);
    assert.equal(host.cleanupServer.busy, 0);
    assert.deepEqual(openFilesBelow(`${host.queue}/incoming`), []);
  }
});

Deno.test("RES-23: long garbage makes short log lines, one for each command", async () => {
  await using host = attackHost();
  const client = await host.greeted();
  const before = host.log.length;
  const garbage = `X${"\x1b\x07z".repeat(300_000)}`;
  for (let i = 0; i < 10; i++) {
    client.send(garbage);
    client.send("\r\n");
    assert.match(await client.reply(), /^500 /);
  }
  client.send(`${"9".repeat(2000)}\r\n`);
  await client.reply();
  await settled();
  const lines = host.log.slice(before);
  assert.ok(lines.length <= 13);
  for (const line of lines) assert.ok(line.length < 300 && /^[\x20-\x7e]*$/.test(line), line);
});

Deno.test("RES-25: the cost of a byte does not grow with the line it is in", async () => {
  await using host = attackHost({ settings: { message_size_limit: "0" } });
  const time = async (count: number) => {
    const client = await host.sending();
    const started = performance.now();
    for (let i = 0; i < count; i++) client.send("x");
    await settled();
    client.send("\r\n.\r\n");
    assert.match(await client.reply(), /^250 /);
    return performance.now() - started;
  };
  await time(10_000);
  const [short, long] = [await time(20_000), await time(160_000)];
  assert.ok(long < 8 * short * 4 + 500, `${short} ms for 20,000 and ${long} ms for 160,000`);
});
