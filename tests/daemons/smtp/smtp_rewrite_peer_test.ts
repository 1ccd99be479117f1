/** What the smtp client changes in mail on its way out, beside Debian's client with the same tables. @module */
import assert from "node:assert/strict";
import { until } from "../../commands/mail_system.ts";
import { utf8 } from "../../support/bytes.ts";
import { CaptureSink } from "../../support/capture_sink.ts";
import { Postern } from "../../support/postern.ts";
import { Postfix } from "../../support/postfix.ts";
import { sendWithPython } from "../../support/smtplib.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";
import { testNeeding } from "../../support/tools.ts";
import { latin1 } from "../smtpd/queued_message.ts";

const GENERIC = `his@local.test hisaccount@isp.test
@hidden.test @public.test
whole@x.test "quoted name"@isp.test
two@x.test one@isp.test, other@isp.test
`;
const CHECKS = `/^Subject: warn/ WARN seen
/^Subject: info/ INFO
/^Subject: gone/ IGNORE
/^Subject: strip/ STRIP
/^Subject: replace (.*)/ REPLACE Subject: new $1
/^Subject: prepend/ PREPEND X-Before: it
/^Subject: bad/ REPLACE no header
/^Subject: reject/ REJECT
/^X-Long/ WARN long
/^Received:.*/ IGNORE
`;
const BODY = `/^replace (.*)/ REPLACE new $1
/^drop/ IGNORE
/^before/ PREPEND .dot
/^strip/ STRIP
/^hold/ HOLD
`;
const MIME = "/^Content-Disposition: (.*)/ REPLACE Content-Disposition: inline; was=$1\n";
const NESTED = "/^X-Inner/ IGNORE\n";
const TABLES = { generic: GENERIC, checks: CHECKS, body: BODY, mime: MIME, nested: NESTED };

/** Messages by number: sender, recipients, lines behind the headers that all have. */
const MESSAGES: readonly {
  readonly from?: string;
  readonly to?: readonly string[];
  readonly lines: readonly string[];
}[] = [
  { from: "his@local.test", to: ["his@local.test", "any@hidden.test"], lines: ["", "text"] },
  { from: "his+ext@local.test", to: ["u+e@hidden.test"], lines: ["", "text"] },
  { from: "whole@x.test", lines: ["", "text"] },
  { from: "", lines: ["", "text"] },
  {
    lines: [
      "From: Some Body <his@local.test>",
      'To: a@hidden.test, "B, C" <whole@x.test>, other@y.test',
      "Reply-To: his+ext@local.test",
      "X-Other: his@local.test",
      "",
      "his@local.test",
    ],
  },
  ...["warn", "info", "gone", "strip", "replace this", "prepend", "bad", "reject"].map((text) => ({
    lines: [`Subject: ${text}`, "", "text"],
  })),
  { lines: [`X-Long: ${"x".repeat(300)}`, "", "text"] },
  { lines: ["", "a", "replace me", "drop me", "before me", "strip me", "hold me", ".", "z"] },
  {
    lines: [
      "MIME-Version: 1.0",
      'Content-Type: multipart/mixed; boundary="b"',
      "",
      "--b",
      "Content-Disposition: attachment",
      "Subject: gone",
      "",
      "drop me",
      "--b",
      "Content-Type: message/rfc822",
      "",
      "X-Inner: y",
      "Subject: gone",
      "From: his@local.test",
      "",
      "x",
      "--b--",
    ],
  },
];

/** What a sink took, by message. */
function byMessage(sink: CaptureSink): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const { sender, recipient, content } of sink.captured) {
    const text = latin1(content).replace(/^Received: [^\r]*\r\n(?:[\t ][^\r]*\r\n)*/gm, "")
      .replace(/^Message-Id: <\d{14}[^\r]*\r\n/m, "").replace(/^Date: [^\r]*\r\n/m, "");
    const number = /X-Number: (\d+)/.exec(text)![1]!;
    found.set(number, [...found.get(number) ?? [], `${sender} -> ${recipient}\n${text}`].sort());
  }
  return found;
}

function actions(log: string): string[] {
  return [...log.matchAll(/\w+: ((?:warning|info|replace|prepend|strip): (?:header|body) .*)/g)].map((
    [, text],
  ) => text!)
    .sort();
}

testNeeding(["root", "postfix", "python3"], "the smtp client changes mail as Debian's does", async () => {
  using directory = new TemporaryDirectory();
  Deno.chmodSync(directory.path, 0o755);
  for (const [name, text] of Object.entries(TABLES)) directory.write(name, text);
  await using theirs = new CaptureSink();
  await using ours = new CaptureSink();
  const tables: [string, string][] = [
    ["smtp_generic_maps", `texthash:${directory.at("generic")}`],
    ["smtp_header_checks", `regexp:${directory.at("checks")}`],
    ["smtp_body_checks", `regexp:${directory.at("body")}`],
    ["smtp_mime_header_checks", `regexp:${directory.at("mime")}`],
    ["smtp_nested_header_checks", `regexp:${directory.at("nested")}`],
  ];
  await using postfix = await Postfix.start({
    settings: {
      relayhost: `[127.0.0.1]:${theirs.port}`,
      recipient_delimiter: "+",
      local_header_rewrite_clients: "",
      propagate_unmatched_extensions: "generic",
      ...Object.fromEntries(tables),
    },
  });
  await using postern = await Postern.start({
    settings: {
      relayhost: `"[127.0.0.1]:${ours.port}"`,
      mydestination: "[]",
      default_transport: '"smtp"',
      mynetworks: '["127.0.0.0/8"]',
      smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
      local_header_rewrite_clients: "[]",
      recipient_delimiter: '"+"',
      propagate_unmatched_extensions: '["generic"]',
      ...Object.fromEntries(tables.map(([name, table]) => [name, JSON.stringify([table])])),
    },
  });
  const posts = MESSAGES.map(({ from, to, lines }, i) => ({
    from: from ?? "a@x.test",
    to: to ?? ["b@y.test"],
    content: utf8([`X-Number: ${i}`, ...lines, ""].join("\r\n")),
  }));
  for (const { port } of [postfix, postern]) {
    for (const { code, text } of await sendWithPython(port, posts)) assert.equal(code, 250, text);
  }
  const count = posts.reduce((sum, { to }) => sum + to.length, 0);
  const arrived = () => theirs.captured.length >= count && ours.captured.length >= count;
  assert.ok(
    await until(arrived),
    `${theirs.captured.length} and ${ours.captured.length}: ${postern.log()}`,
  );
  const [expected, found] = [byMessage(theirs), byMessage(ours)];
  for (const number of expected.keys()) {
    assert.deepEqual(found.get(number), expected.get(number), `message ${number}`);
  }
  assert.deepEqual(actions(postern.log()), actions(postfix.log()));
});
