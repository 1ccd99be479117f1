import assert from "node:assert/strict";
import { SmtpClient } from "../../dialogues/smtp_client.ts";
import { Postfix } from "../../support/postfix.ts";
import { testNeeding } from "../../support/tools.ts";
import { ListServer, screened, screenLog } from "./postscreen_support.ts";

/** The same clients at Debian's postscreen and at ours: what they are told, and what the log says of them. */

/** What a client says, and whether before it is greeted. */
interface Script {
  readonly name: string;
  readonly early?: string;
  readonly lines: readonly string[];
}

const SETTINGS: Readonly<Record<string, string>> = {
  postscreen_greet_wait: "1s",
  postscreen_greet_action: "enforce",
  postscreen_pipelining_enable: "yes",
  postscreen_non_smtp_command_enable: "yes",
  postscreen_bare_newline_enable: "yes",
  postscreen_bare_newline_action: "enforce",
  postscreen_command_count_limit: "8",
  smtpd_banner: "mx.test ESMTP x",
  myhostname: "mx.test",
  smtputf8_enable: "no",
};
const MAIL = "MAIL FROM:<a@x.test>\r\n";
const RCPT = "RCPT TO:<one@example.test>\r\n";

const SCRIPTS: readonly Script[] = [
  { name: "talks too early", early: "EHLO x\r\n", lines: ["EHLO x\r\n", MAIL, RCPT, "QUIT\r\n"] },
  { name: "speaks another protocol", lines: ["EHLO x\r\n", "GET / HTTP/1.0\r\n"] },
  { name: "sends a header", lines: ["EHLO x\r\n", "Subject: x\r\n"] },
  { name: "sends a group", lines: ["EHLO x\r\n", MAIL + RCPT, "", RCPT, "QUIT\r\n"] },
  { name: "has bare newlines", lines: ["EHLO x\n", MAIL, RCPT, "QUIT\r\n"] },
  { name: "says too much", lines: ["EHLO x\r\n", ...Array(9).fill("NOOP\r\n")] },
  {
    name: "makes mistakes",
    lines: ["HELO\r\n", "EHLO x\r\n", "MAIL\r\n", RCPT, "XX\r\n", "DATA\r\n", "ETRN\r\n", "QUIT\r\n"],
  },
  { name: "passes", lines: ["HELO x\r\n", MAIL, RCPT, "DATA\r\n", "RSET\r\n", "QUIT\r\n"] },
];

/** Replies to a script, each on a line; the end of the session is an empty one. */
async function play(port: number, { early, lines }: Script): Promise<string[]> {
  using client = await SmtpClient.connect(port);
  if (early !== undefined) await client.send(early);
  const replies = [await client.reply()];
  for (const line of lines) {
    await client.send(line);
    replies.push(await client.reply());
  }
  return replies;
}

/** A log without what differs from one run to the next. */
function plain(lines: readonly string[]): string[] {
  return lines.map((line) =>
    line.replaceAll(/\[127\.0\.0\.1\]:\d+/g, "[client]").replaceAll(/after [0-9.]+ from/g, "after N from")
  ).filter((line) => !/starting|refreshing|cache |statistics/.test(line));
}

testNeeding(["postfix", "root"], "postscreen says and logs what Debian's does", async (t) => {
  await using lists = new ListServer({});
  await using postfix = Postfix.make({
    settings: {
      ...SETTINGS,
      mynetworks: "192.0.2.0/24",
      virtual_mailbox_domains: "example.test",
      virtual_mailbox_maps: "static:x",
    },
  });
  const path = `${postfix.root}/etc/master.cf`;
  const services = Deno.readTextFileSync(path).replace("n - - smtpd\n", "n - 1 postscreen\n");
  Deno.writeTextFileSync(path, `${services}smtpd pass - - n - - smtpd\ndnsblog unix - - n - 0 dnsblog\n`);
  await postfix.start();
  const toml = Object.fromEntries(
    Object.entries(SETTINGS).filter(([name]) => name !== "smtputf8_enable").map(([name, value]) =>
      [name, /^\d+$/.test(value) ? value : value === "yes" ? "true" : `"${value}"`] as const
    ),
  );
  await using system = await screened({ ...toml, resolver: `"127.0.0.1:${await lists.port}"` });
  for (const script of SCRIPTS) {
    await t.step(`a client that ${script.name}`, async () => {
      const [theirs, ours] = [screenLog(postfix).length, screenLog(system).length];
      const expected = await play(postfix.port, script);
      const found = await play(system.port, script);
      const size = (reply: string) => reply.replace(/250-CHUNKING\n|250-PIPELINING\n/g, "");
      assert.deepEqual(
        found.map(size),
        expected.map(size).map((reply) => reply.replace(/250-DSN\n250 CHUNKING/, "250 DSN")),
      );
      await postfix.untilLogged(/DISCONNECT/);
      await new Promise((resolve) => setTimeout(resolve, 500));
      assert.deepEqual(plain(screenLog(system).slice(ours)), plain(screenLog(postfix).slice(theirs)));
    });
  }
});
