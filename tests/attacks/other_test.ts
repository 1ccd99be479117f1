/** Classes LOP, CMD and LOG of the security cases: what of them meets smtpd and cleanup, and where the rest is. @module */
import assert from "node:assert/strict";
import { attackHost, play, type Played } from "./attack.ts";
import { caseInput, testEveryCase } from "./cases.ts";

const printableLines = ({ log }: Played) => {
  for (const line of log) assert.ok(/^[\x20-\x7e]*$/.test(line), JSON.stringify(line));
};

const CHECKS: Readonly<Record<string, (played: Played) => void>> = {
  "LOP-13": ({ replies }) => assert.equal(replies.at(-1), "501 5.5.4 Error: Bad NOTIFY parameter syntax"),
  "CMD-01": ({ replies }) => assert.deepEqual(replies, ["501 5.1.7 Bad sender address syntax"]),
  "CMD-04": ({ replies }) =>
    assert.deepEqual(replies, [
      "550 5.1.1 <alice`id`@local.test>: Recipient address rejected: User unknown in local recipient table",
    ]),
  "LOG-01": printableLines,
  "LOG-02": printableLines,
};

/** Inputs that the cases describe in words. */
const INPUTS: Readonly<Record<string, string>> = {
  "LOP-13": "{E}{M}RCPT TO:<alice@local.test> NOTIFY=NEVER,FAILURE\r\n",
};

const ELSEWHERE: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  LOP: {
    "LOP-01": "bounces: tests/daemons/bounce",
    "LOP-02": "local aliases: tests/daemons/local",
    "LOP-04": "tests/daemons/cleanup/cleanup_message_test.ts: ten levels of ten",
    "LOP-05": "tests/daemons/cleanup/cleanup_message_test.ts: a chain of two thousand",
    "LOP-07": ".forward files are not read yet",
    "LOP-08": ":include: files are not read yet",
    "LOP-10": "own test: hops; Delivered-To: tests/daemons/local",
    "LOP-11": "bounces: tests/daemons/bounce",
    "LOP-14": "tests/daemons/smtpd/smtpd_restrictions_test.ts: an unknown relay recipient",
    "LOP-16": "mailboxes: tests/lib/mail",
    "LOP-17": "tests/daemons/cleanup/cleanup_peer_test.ts: copies: those who get one have NOTIFY=NEVER",
    "LOP-19": "the queue manager: tests/daemons/qmgr",
    "LOP-20": "address verification is not there yet",
  },
  CMD: {
    "CMD-02": "no command is run for a recipient yet",
    "CMD-05": "no command is run for a recipient yet",
    "CMD-07": "pipe is not there yet",
    "CMD-08": "pipe is not there yet",
    "CMD-10": "no command is run for an alias yet",
    "CMD-11": ":include: files are not read yet",
    "CMD-13": "no command is run yet",
    "CMD-14": "no command is run yet",
    "CMD-16": "no command is run yet",
    "CMD-17": "no command is run yet",
    "CMD-19": "sendmail: tests/commands",
    "CMD-20": "no command is run yet",
  },
  LOG: {
    "LOG-04": "mailq: tests/commands",
    "LOG-05": "postqueue -j: tests/commands",
    "LOG-07": "tests/daemons/smtpd/smtpd_auth_test.ts: the log does not have the password",
    "LOG-08": "tests/daemons/cleanup/cleanup_checks_test.ts: what a check logs",
    "LOG-10": "postlog: tests/commands",
  },
};

for (const [name, elsewhere] of Object.entries(ELSEWHERE)) {
  testEveryCase(
    name,
    Object.fromEntries(Object.entries(CHECKS).filter(([id]) => id.startsWith(name))),
    elsewhere,
  );
}

for (const [id, check] of Object.entries(CHECKS)) {
  Deno.test(`${id}: does nothing but get its reply`, async () => {
    await using host = attackHost();
    const played = await play(host, INPUTS[id] ?? `${caseInput(id).replace(/\r\n$/, "")}\r\n`);
    check(played);
    assert.deepEqual(played.queued, []);
  });
}

Deno.test("LOP-10: a message that has been round too often is refused", async () => {
  await using host = attackHost();
  const { replies } = await play(host, "{D}{REP:Received: from x by y; z\r\n:49}\r\nx{EOD}");
  assert.deepEqual(replies, ["554 5.4.0 Error: too many hops"]);
});
