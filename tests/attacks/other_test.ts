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
    "LOP-01": "tests/daemons/bounce/bounce_service_test.ts: LOP-01: a bounce that bounces is dropped",
    "LOP-02": "tests/daemons/local/local_expansion_test.ts: two aliases that name each other end",
    "LOP-04": "tests/daemons/cleanup/cleanup_message_test.ts: ten levels of ten",
    "LOP-05": "tests/daemons/cleanup/cleanup_message_test.ts: a chain of two thousand",
    "LOP-07": "tests/daemons/local/local_expansion_test.ts: the own address in a .forward is the mailbox",
    "LOP-08":
      "tests/daemons/local/local_hostile_test.ts: LOP-08: lists that include one another for ever; tests/daemons/local/local_expansion_test.ts: lists that include themselves and one another end",
    "LOP-10": "own test: hops",
    "LOP-11": "tests/daemons/bounce/bounce_service_test.ts",
    "LOP-14": "tests/daemons/smtpd/smtpd_restrictions_test.ts: an unknown relay recipient",
    "LOP-16": "tests/lib/mail/mailbox_outcome_test.ts: EDQUOT; tests/lib/mail/mailbox_full_disk_test.ts",
    "LOP-17": "tests/daemons/cleanup/cleanup_peer_cases.ts: copies",
    "LOP-19":
      "tests/daemons/qmgr/qmgr_scheduler_test.ts: a destination in trouble dies after a cohort, and what waits for it leaves at once; others go on",
    "LOP-20": "tests/daemons/verify/verify_system_test.ts: probes have routes and a sender of their own",
  },
  CMD: {
    "CMD-02":
      "tests/daemons/local/local_delivery_test.ts: A command gets the message behind a From line, and what mail brings in the environment, made harmless",
    "CMD-05":
      "tests/daemons/local/local_delivery_test.ts: A command gets the message behind a From line, and what mail brings in the environment, made harmless",
    "CMD-07":
      "tests/daemons/pipe/pipe_arguments_test.ts: What a macro brings is not expanded again; tests/daemons/program/program_process_test.ts: Arguments reach the program as they are",
    "CMD-08": "tests/daemons/trivial-rewrite/rewrite_postfix_test.ts",
    "CMD-10": "tests/daemons/master/master_request_test.ts: What no alias and no file names is refused",
    "CMD-11":
      "tests/daemons/local/local_expansion_test.ts: the members of a list get the message anew, its commands are refused; tests/daemons/local/local_hostile_test.ts: a command of another's file is that file's, not the reader's",
    "CMD-13":
      "tests/daemons/program/program_process_test.ts: A program that takes too long is killed, and its group is named to master",
    "CMD-14":
      "tests/daemons/program/program_process_test.ts: The first 4096 bytes of output are kept; tests/daemons/local/local_hostile_test.ts: a command that writes without end",
    "CMD-16": "tests/daemons/local/local_peer_cases.ts: output that is open in the background",
    "CMD-17":
      "tests/daemons/program/program_process_test.ts: A program gets the text, its directory and its environment, and nothing else",
    "CMD-19": "tests/commands/sendmail_options_test.ts",
    "CMD-20":
      "tests/daemons/master/master_request_test.ts: A command that an alias of root's names runs as default_privs; root has no mailbox",
  },
  LOG: {
    "LOG-04": "tests/commands/postqueue_print_test.ts: what strangers sent cannot steer the terminal",
    "LOG-05":
      "tests/commands/postqueue_print_test.ts: one JSON object per line, as Debian's postqueue -j prints it",
    "LOG-07": "tests/daemons/smtpd/smtpd_auth_test.ts",
    "LOG-08": "tests/daemons/cleanup/cleanup_checks_test.ts",
    "LOG-10":
      "tests/commands/postlog_test.ts: text with line feeds and escapes stays one printable line; tests/lib/log/log_test.ts: no text makes a second line, an escape sequence or a line without end",
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

Deno.test("DNS-34: what a list of the DNS says of its client stays one line of bounded length", async () => {
  const name = "9.100.51.198.dnsbl.test";
  const record = (value: string) => ({ priority: 0, weight: 0, port: 0, value, data: new Uint8Array() });
  const text = `\x1b[2J\r\n250 2.0.0 Ok\u009b\0${"x".repeat(10_000)}`;
  await using host = attackHost({
    settings: { smtpd_client_restrictions: '["reject_rbl_client dnsbl.test"]' },
    dns: { [`${name} A`]: { records: [record("127.0.0.2")] }, [`${name} TXT`]: { records: [record(text)] } },
  });
  const { replies, log } = await play(host, "{E}{M}RCPT TO:<alice@local.test>\r\n{|}NOOP\r\n");
  assert.equal(replies.length, 2);
  assert.match(
    replies[0]!,
    /^554 5\.7\.1 Service unavailable; Client host \[198\.51\.100\.9\] blocked using dnsbl\.test; [^\p{Cc}]+$/u,
  );
  assert.ok(replies[0]!.length < 2048, String(replies[0]!.length));
  assert.equal(replies[1], "250 2.0.0 Ok");
  for (const line of log) assert.ok(/^[^\p{Cc}]*$/u.test(line), line);
});

Deno.test("LOP-10: a message that has been round too often is refused", async () => {
  await using host = attackHost();
  const { replies } = await play(host, "{D}{REP:Received: from x by y; z\r\n:49}\r\nx{EOD}");
  assert.deepEqual(replies, ["554 5.4.0 Error: too many hops"]);
});
