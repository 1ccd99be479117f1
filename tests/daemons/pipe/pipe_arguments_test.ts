import assert from "node:assert/strict";
import { pipeArguments } from "../../../daemons/pipe/pipe_arguments.ts";
import { readPipeAttributes } from "../../../lib/config/pipe_attributes.ts";
import { type DeliveryRequest } from "../../../lib/server/mailbox_agent.ts";

/** Arguments of a pipe's program, and the attributes that they stand among. */

const REQUEST = {
  queueId: "4F2A",
  nexthop: "Hop.Test",
  sender: "s x@A.test",
  envelopeId: "ENV",
  dataSize: 321,
  clientName: "client",
  clientAddress: "192.0.2.1",
  clientPort: "2525",
  protocolName: "ESMTP",
  heloName: "helo",
  saslMethod: "plain",
  saslUsername: "user",
  saslSender: "sasl@x",
  recipients: [
    { address: "User+Ext@Dom.Test", originalRecipient: "Orig@Dom.Test" },
    { address: "b c@dom.test", originalRecipient: "" },
  ],
} as unknown as DeliveryRequest;

const RULE = { recipient_delimiter: "+", owner_request_special: true, double_bounce_sender: "double-bounce" };

function argumentsOf(
  argv: string,
  flags = "",
  more: Partial<DeliveryRequest> = {},
  nullSender = "MAILER-DAEMON",
): string[] {
  return pipeArguments(argv.split(" "), { ...REQUEST, ...more }, { flags, nullSender, rule: RULE });
}

const CASES: readonly (readonly [argv: string, flags: string, expected: readonly string[]])[] = [
  ["-f ${sender} -- $recipient", "", ["-f", "s x@A.test", "--", "User+Ext@Dom.Test", "b c@dom.test"]],
  ["-f ${sender} -- $(recipient)", "q", ["-f", '"s x"@A.test', "--", "User+Ext@Dom.Test", '"b c"@dom.test']],
  ["${recipient}", "hu", ["user+ext@dom.test", "b c@dom.test"]],
  ["${recipient}", "h", ["User+Ext@dom.test", "b c@dom.test"]],
  ["${user}|${extension}", "", ["User|Ext"]],
  ["${extension}", "u", ["ext"]],
  ["${mailbox}!${domain}", "", ["User+Ext!Dom.Test", "b c!dom.test"]],
  ["${original_recipient}", "", ["Orig@Dom.Test", "b c@dom.test"]],
  ["${nexthop} ${size} ${queue_id} ${envid}", "h", ["hop.test", "321", "4F2A", "ENV"]],
  ["${client_address} ${client_helo} ${client_hostname} ${client_port} ${client_protocol}", "", [
    "192.0.2.1",
    "helo",
    "client",
    "2525",
    "ESMTP",
  ]],
  ["${sasl_method} ${sasl_username} ${sasl_sender}", "", ["plain", "user", "sasl@x"]],
  ["$$x $${user}", "", ["$x", "${user}"]],
];

for (const [argv, flags, expected] of CASES) {
  Deno.test(`argv=${argv} with flags "${flags}" gives ${JSON.stringify(expected)}`, () => {
    assert.deepEqual(argumentsOf(argv, flags), expected);
  });
}

Deno.test("The null sender is replaced; an empty replacement stays an argument of its own", () => {
  assert.deepEqual(argumentsOf("-f ${sender} x", "q", { sender: "" }), ["-f", "MAILER-DAEMON", "x"]);
  assert.deepEqual(argumentsOf("-f ${sender} x", "q", { sender: "" }, ""), ["-f", "", "x"]);
});

Deno.test("What a macro brings is not expanded again", () => {
  assert.deepEqual(argumentsOf("${sender}", "", { sender: "${recipient}$(id)@x" }), ["${recipient}$(id)@x"]);
});

Deno.test("A macro that there is not throws, and so do too many arguments", () => {
  assert.throws(() => argumentsOf("${home}"), /unknown macro "home"/);
  const recipients = Array.from({ length: 10_001 }, () => REQUEST.recipients[0]!);
  assert.throws(() => argumentsOf("$recipient $user", "", { recipients }), /more than 20000 arguments/);
});

Deno.test("The attributes of a pipe service are read as pipe(8) writes them", () => {
  const read = readPipeAttributes([
    "flags=DRX.",
    "user=vmail:mail",
    "directory=/srv",
    "eol=\\r\\n",
    "null_sender=",
    "size=1000",
    "argv=/bin/x -f ${sender}  { a b } {c}",
  ]);
  assert.deepEqual(read, {
    kind: "attributes",
    attributes: {
      flags: "DRX.",
      user: "vmail",
      group: "mail",
      directory: "/srv",
      eol: "\r\n",
      nullSender: "",
      size: 1000,
      argv: ["/bin/x", "-f", "${sender}", "a b", "c"],
    },
  });
});

Deno.test("Arguments may be given one by one behind argv", () => {
  const read = readPipeAttributes(["user=x", "argv=/bin/x", "a b", "{c", "flags=D"]);
  assert.ok(read.kind === "attributes");
  assert.deepEqual(read.attributes.argv, ["/bin/x", "a b", "{c", "flags=D"]);
  assert.deepEqual([read.attributes.eol, read.attributes.nullSender, read.attributes.size], [
    "\n",
    "MAILER-DAEMON",
    0,
  ]);
});

const WRONG: readonly (readonly [items: readonly string[], why: RegExp])[] = [
  [[], /"argv" is missing/],
  [["user=x"], /"argv" is missing/],
  [["argv=/bin/x"], /"user" is missing/],
  [["user=", "argv=/bin/x"], /"user" is missing/],
  [["user=a:b:c", "argv=/bin/x"], /"user" is missing/],
  [["user=x", "argv=x"], /not an absolute path/],
  [["user=x", "argv="], /not an absolute path/],
  [["user=x", "argv=/bin/${user}"], /cannot name a program/],
  [["user=x", "argv=/bin/a,b"], /cannot name a program/],
  [["user=x", "argv=/bin/x {a"], /brace/],
  [["user=x", "argv=/bin/x {a}b"], /brace/],
  [["chroot=/x", "user=x", "argv=/bin/x"], /no chroot/],
  [["user=x", "user=y", "argv=/bin/x"], /twice/],
  [["flag=D", "user=x", "argv=/bin/x"], /unknown attribute/],
  [["flags=DZ", "user=x", "argv=/bin/x"], /unknown flag "Z"/],
  [["size=1k", "user=x", "argv=/bin/x"], /no number/],
  [["eol=\\q", "user=x", "argv=/bin/x"], /no line end/],
  [["eol=\\777", "user=x", "argv=/bin/x"], /no line end/],
  [["eol=", "user=x", "argv=/bin/x"], /no line end/],
  [["directory=x", "user=x", "argv=/bin/x"], /not an absolute path/],
];

for (const [items, why] of WRONG) {
  Deno.test(`The attributes ${JSON.stringify(items)} are refused`, () => {
    const read = readPipeAttributes(items);
    assert.ok(read.kind === "bad");
    assert.match(read.why, why);
  });
}
