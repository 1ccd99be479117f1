/**
 * Debian's mail filters with the whole mail system: each does its work on real mail.
 *
 * @module
 */
import assert from "node:assert/strict";
import { sendLines } from "../support/dialogue.ts";
import { MilterPrograms } from "../support/milter_programs.ts";
import { decode, Postern } from "../support/postern.ts";
import { testNeeding } from "../support/tools.ts";

/** The test message that SpamAssassin and rspamd know (GTUBE). */
const GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

/** A mail system with filters; its own users are at example.test. */
function system(settings: Readonly<Record<string, string>>): Promise<Postern> {
  return Postern.start({
    settings: {
      notify_classes: "[]",
      myhostname: '"mx.test"',
      milter_default_action: '"tempfail"',
      ...settings,
    },
  });
}

const LINES = [
  "From: Alice <alice@example.test>",
  "To: Bob <bob@example.test>",
  "Subject: a test",
  "Message-Id: <1@example.test>",
  "Date: Sat, 28 Nov 2026 12:00:00 +0000",
  "",
  "Hello Bob,",
  "",
  "this is a message with a few lines.",
];

testNeeding(
  ["opendkim", "openssl"],
  "opendkim signs a message, and its verifier behind it finds the signature good",
  async () => {
    await using programs = new MilterPrograms();
    const signer = await programs.dkimSigner("example.test");
    const verifier = await programs.dkimVerifier("mx.test");
    await using postern = await system({ smtpd_milters: JSON.stringify([signer, verifier]) });
    assert.match(await sendLines(postern.port, "alice@example.test", "bob@example.test", LINES), /^250/);
    const [message] = await postern.mail("bob");
    const text = decode(message!);
    assert.match(text, /^DKIM-Signature: v=1; a=rsa-sha256; c=simple\/simple; d=example\.test;/m);
    assert.match(text, /^Authentication-Results: mx\.test;\n\tdkim=pass /m);
    // What was delivered is what was signed: sent once more, it verifies again.
    const content = text.split("\n").slice(
      text.split("\n").findIndex((line) => line.startsWith("DKIM-Signature:")),
      -1,
    );
    await using other = await system({ smtpd_milters: JSON.stringify([verifier]) });
    assert.match(await sendLines(other.port, "alice@example.test", "bob@example.test", content), /^250/);
    assert.match(decode((await other.mail("bob"))[0]!), /dkim=pass /);
    const broken = content.map((line) => line.replace("a few lines", "other lines"));
    assert.match(await sendLines(other.port, "alice@example.test", "carol@example.test", broken), /^250/);
    assert.match(decode((await other.mail("carol"))[0]!), /dkim=fail /);
  },
);

testNeeding(
  ["opendkim", "openssl"],
  "opendkim signs mail that local programs post, as a filter of mail that does not come by SMTP",
  async () => {
    await using programs = new MilterPrograms();
    const signer = await programs.dkimSigner("example.test");
    await using postern = await system({ non_smtpd_milters: JSON.stringify([signer]) });
    const posted = await postern.run(
      ["sendmail", "-f", "alice@example.test", "bob@example.test"],
      LINES.join("\n") + "\n",
    );
    assert.deepEqual([posted.status, posted.errors], [0, ""]);
    assert.match(decode((await postern.mail("bob"))[0]!), /^DKIM-Signature: v=1; a=rsa-sha256;/m);
  },
);

testNeeding(
  ["root", "opendkim", "opendmarc", "openssl"],
  "opendmarc refuses what claims to be of a domain and is not signed by it, and passes what is",
  async () => {
    await using programs = new MilterPrograms();
    const signer = await programs.dkimSigner("example.test");
    const checks = [
      await programs.dkimVerifier("mx.test"),
      await programs.dmarc("mx.test", { "_dmarc.example.test": "v=DMARC1; p=reject" }),
    ];
    await using postern = await system({ smtpd_milters: JSON.stringify(checks) });
    assert.match(
      await sendLines(postern.port, "alice@example.test", "bob@example.test", LINES),
      /^550 5\.7\.1 rejected by DMARC policy for example\.test/,
    );
    await using other = await system({ smtpd_milters: JSON.stringify([signer, ...checks]) });
    assert.match(await sendLines(other.port, "alice@example.test", "bob@example.test", LINES), /^250/);
    assert.match(
      decode((await other.mail("bob"))[0]!),
      /^Authentication-Results: mx\.test;\s+dmarc=pass .*header\.from=example\.test/m,
    );
  },
);

testNeeding(["rspamd"], "rspamd refuses spam and lets other mail through", async () => {
  await using programs = new MilterPrograms();
  const filter = await programs.rspamd();
  await using postern = await system({ smtpd_milters: JSON.stringify([filter]) });
  assert.match(await sendLines(postern.port, "alice@example.test", "bob@example.test", LINES), /^250/);
  await postern.mail("bob");
  assert.match(
    await sendLines(postern.port, "alice@example.test", "bob@example.test", [...LINES, GTUBE]),
    /^554 5\.7\.1 /,
  );
  await postern.untilLogged(
    /cleanup\[\d+\]: \w+: milter-reject: END-OF-MESSAGE from localhost\[127\.0\.0\.1\]: 5\.7\.1 /,
  );
});

testNeeding(
  ["spamassassin"],
  "spamass-milter adds SpamAssassin's headers and refuses what it finds to be spam",
  async () => {
    await using programs = new MilterPrograms();
    const filter = await programs.spamAssassin();
    await using postern = await system({ smtpd_milters: JSON.stringify([filter]) });
    assert.match(await sendLines(postern.port, "alice@example.test", "bob@example.test", LINES), /^250/);
    assert.match(decode((await postern.mail("bob"))[0]!), /^X-Spam-Checker-Version: SpamAssassin /m);
    assert.match(
      await sendLines(postern.port, "alice@example.test", "bob@example.test", [...LINES, GTUBE]),
      /^550 5\.7\.1 Blocked by SpamAssassin/,
    );
  },
);

testNeeding(
  ["clamav"],
  "clamav-milter refuses what clamd has a signature for, and marks other mail",
  async () => {
    await using programs = new MilterPrograms();
    const filter = await programs.clamAv("Postern-Virus-Test");
    await using postern = await system({ smtpd_milters: JSON.stringify([filter]) });
    assert.match(await sendLines(postern.port, "alice@example.test", "bob@example.test", LINES), /^250/);
    assert.match(decode((await postern.mail("bob"))[0]!), /^X-Virus-Status: Clean$/m);
    const infected = [...LINES, "Postern-Virus-Test"];
    assert.match(
      await sendLines(postern.port, "alice@example.test", "bob@example.test", infected),
      /^550 5\.7\.1 infected with Test\.Postern/,
    );
  },
);
