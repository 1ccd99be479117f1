import assert from "node:assert/strict";
import { waitFor } from "../../scripts/install_support.ts";
import { filesBelow } from "../../support/postern.ts";
import { testNeeding } from "../../support/tools.ts";
import { type PeerCase, PeerUsers, runOnPostern, runOnPostfix } from "./local_peer_support.ts";

/** Debian's delivery programs under local and pipe, each with real mail. */

const STORES: readonly PeerCase[] = [
  {
    name: "procmail delivers by mailbox_command, as its recipe says",
    to: ["bob+ext@procmail.test"],
    shell:
      'printf ":0\\n* ^Subject: c\\n$HOME_BOB/$ID.\\$1\\n" > $HOME_BOB/.procmailrc; chown $BOB $HOME_BOB/.procmailrc',
  },
  {
    name: "maildrop delivers by mailbox_command, as its filter says",
    to: ["bob@maildrop.test"],
    shell:
      'echo "to \\"$HOME_BOB/$ID.drop\\"" > $HOME_BOB/.mailfilter; chown $BOB $HOME_BOB/.mailfilter; chmod 600 $HOME_BOB/.mailfilter',
  },
  {
    name: "Dovecot's delivery agent delivers by mailbox_command",
    to: ["bob@dovecot.test"],
    shell:
      'printf "protocols =\\nmail_location = maildir:$HOME_BOB/$ID.dove\\nlog_path = /dev/stderr\\n" > $INC/dovecot.conf',
  },
  {
    name: "what Dovecot's delivery agent cannot deliver is deferred",
    to: ["carol@dovecot.test"],
    otherText: true,
  },
];

testNeeding(
  ["root", "postfix", "python3", "procmail", "maildrop", "dovecot-lda"],
  "procmail, maildrop and Dovecot's delivery agent get from Postern what Postfix gives them",
  async (t) => {
    await using users = await PeerUsers.make();
    const theirs = await runOnPostfix(users, STORES);
    const ours = await runOnPostern(users, STORES);
    for (const [index, one] of STORES.entries()) {
      await t.step(one.name, () => {
        const [mine, wanted] = [ours[index]!, theirs[index]!];
        const shown = (lines: readonly string[]) =>
          one.otherText ? lines.map((line) => line.split(" (")[0]) : lines;
        assert.deepEqual(shown(mine.lines), shown(wanted.lines));
        assert.deepEqual(contents(mine.files), contents(wanted.files));
        assert.equal(Object.keys(mine.files).length, one.otherText ? 0 : 1, JSON.stringify(mine));
      });
    }
  },
);

/** Files by what is stable of their names. */
function contents(files: Readonly<Record<string, string>>): string[] {
  return Object.entries(files).map(([name, text]) => `${name.replace(/MESSAGE.*|\/new\/.*/, "")}\n${text}`)
    .sort();
}

const FILTER = `#!/bin/sh
# The simple content filter of Postfix's documentation (FILTER_README).
INSPECT_DIR=/tmp
SENDMAIL="/usr/sbin/sendmail -G -i"
EX_TEMPFAIL=75
EX_UNAVAILABLE=69
trap "rm -f in.$$" 0 1 2 3 15
cd $INSPECT_DIR || { echo $INSPECT_DIR does not exist; exit $EX_TEMPFAIL; }
cat >in.$$ || { echo Cannot save mail to file; exit $EX_TEMPFAIL; }
grep -q VIRUS in.$$ && { echo Message content rejected; exit $EX_UNAVAILABLE; }
$SENDMAIL "$@" <in.$$
exit $?
`;

/** All files below a directory, one after the other. */
function posted(directory: string): string {
  return filesBelow(directory).map((path) => Deno.readTextFileSync(path)).join("\n");
}

const POSTING: readonly PeerCase[] = [
  {
    name: "vacation answers by .forward, through Postern's sendmail",
    forwards: { alice: '\\alice, "|/usr/bin/vacation alice"\n' },
    shell:
      'printf "From: alice@local.test\\nSubject: away\\n\\nI am away.\\n" > $HOME_ALICE/.vacation.msg; ' +
      "chown $ALICE $HOME_ALICE/.vacation.msg; su $ALICE -c 'vacation -i'",
    headers: ["To: alice@local.test"],
  },
  {
    name: "the simple filter of Postfix's documentation takes mail by pipe and posts it again",
    to: ["carol@filter.test"],
  },
  { name: "the simple filter returns what it does not like", to: ["carol@filter.test"], body: ["VIRUS"] },
  { name: "spamc posts what it was given, its server or none", to: ["carol@spam.test"] },
];

testNeeding(
  ["root", "python3", "vacation", "spamc"],
  "vacation, the simple content filter and spamc take mail and post it again",
  async (t) => {
    await using users = await PeerUsers.make();
    const senders: string[] = [];
    const pipe = (name: string, argv: string) =>
      `\n[[service]]\nname = "${name}"\ntype = "unix"\ncommand = "pipe"\narguments = ["flags=Rq", "user=alice", "null_sender=", "argv=${argv}"]\n`;
    const results = await runOnPostern(users, POSTING, {
      withSendmail: true,
      // A program that posts mail starts a runtime.
      settings: { command_time_limit: "100s" },
      master: ({ directory }) => {
        Deno.writeTextFileSync(`${directory}/filter`, FILTER);
        Deno.chmodSync(`${directory}/filter`, 0o755);
        return pipe("filter", `${directory}/filter -f \${sender} -- \${user}@local.test`) +
          pipe(
            "spam",
            "/usr/bin/spamc --connect-retries=1 -p 9 -e /usr/sbin/sendmail -i -f ${sender} -- ${user}@local.test",
          );
      },
      look: async (installation) => {
        const { directory } = installation;
        // What was posted again is mail of its own.
        await waitFor(() => posted(`${directory}/mail`).includes("I am away."), 120_000);
        const carol = () => posted(`${directory}/boxes`);
        await waitFor(() => ["c002", "c004"].every((id) => carol().includes(`\nSubject: ${id}\n`)), 120_000);
        senders.push(posted(`${directory}/mail`));
        assert.ok(!carol().includes("VIRUS"));
      },
    });
    await t.step(POSTING[0]!.name, () => {
      assert.ok(
        results[0]!.lines.some((line) => line.includes("sent (delivered to command: /usr/bin/vacation")),
        results[0]!.lines.join("\n"),
      );
      assert.ok(results[0]!.files["ROOT/boxes/alice"] !== undefined);
      assert.ok(senders[0]!.includes("Subject: away"));
    });
    await t.step(POSTING[1]!.name, () => {
      assert.ok(
        results[1]!.lines.includes("to=<carol@filter.test> 2.0.0 sent (delivered via filter service)"),
        results[1]!.lines.join("\n"),
      );
    });
    await t.step(POSTING[2]!.name, () => {
      assert.ok(
        results[2]!.lines.includes(
          "to=<carol@filter.test> 5.3.0 bounced (service unavailable. Command output: Message content rejected )",
        ),
      );
      assert.deepEqual(results[2]!.bounces, ["failed 5.3.0"]);
    });
    await t.step(POSTING[3]!.name, () => {
      assert.ok(
        results[3]!.lines.includes("to=<carol@spam.test> 2.0.0 sent (delivered via spam service)"),
        results[3]!.lines.join("\n"),
      );
    });
  },
);
