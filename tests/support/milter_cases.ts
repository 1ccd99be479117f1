/**
 * Dialogues with a mail system that has the filter of scripted_filter.py: what the client says, and what the filter does. For the
 * comparison with Postfix. Not a test itself.
 *
 * @module
 */

/** What the filter does; see scripted_filter.py. */
export type Script = Readonly<Record<string, unknown>>;

/** One session. */
export interface MilterCase {
  readonly name: string;
  /** Default: EHLO, which is the script's key too. */
  readonly commands?: readonly string[];
  readonly lines?: readonly string[];
  readonly script?: Script;
  /** At the connection, before anything is said. */
  readonly connect?: Script;
  /** Parameters, in main.cf's form. */
  readonly settings?: Readonly<Record<string, string>>;
}

const LINES = ["From: <a@x.test>", "To: b@y.test", "Subject: one", "X-A: 1", "X-A: 2", "", "body", ""];

/** Edits at the end of the message, each alone and together. */
const EDITS: readonly (readonly [name: string, ...edits: readonly (readonly unknown[])[]])[] = [
  ["a header is added", ["addheader", "X-New", "value"]],
  ["a header is added with several lines", ["addheader", "X-New", "one\n\ttwo\n three"]],
  ["a header is added whose second line does not begin with a blank", [
    "addheader",
    "X-New",
    "one\nX-Evil: two",
  ]],
  ["a header is added with line ends of SMTP", ["addheader", "X-New", "one\r\n\ttwo"]],
  ["a header without a value is added", ["addheader", "X-New", ""]],
  ["a header is put at the very beginning", ["addheader", "X-New", "value", 0]],
  ["a header is put behind our own", ["addheader", "X-New", "value", 1]],
  ["a header is put in the middle", ["addheader", "X-New", "value", 3]],
  ["a header is put far behind the end", ["addheader", "X-New", "value", 99]],
  ["a header is changed", ["chgheader", "Subject", 1, "two"]],
  ["a header is changed by a name in capitals", ["chgheader", "SUBJECT", 1, "two"]],
  ["the second of two headers is changed", ["chgheader", "X-A", 2, "two"]],
  ["the third of two headers is changed", ["chgheader", "X-A", 3, "three"]],
  ["the third of two headers is removed", ["chgheader", "X-A", 3, ""]],
  ["a header is removed", ["chgheader", "X-A", 1, ""]],
  ["both headers are removed, one after the other", ["chgheader", "X-A", 1, ""], ["chgheader", "X-A", 1, ""]],
  ["Received is changed, which is not ours", ["chgheader", "Received", 1, "changed"]],
  ["a header is made longer", ["chgheader", "Subject", 1, "long ".repeat(100)]],
  ["what was added is changed", ["addheader", "X-New", "value"], ["chgheader", "X-New", 1, "other"]],
  ["the body is replaced", ["replacebody", "new\r\nbody\r\n"]],
  ["the body is replaced by pieces", ["replacebody", "new bo"], ["replacebody", "dy\r\nin pieces\r\n"]],
  ["the body is replaced by a line without end", ["replacebody", "no end"]],
  ["the body is replaced by LF lines", ["replacebody", "one\ntwo\n"]],
  ["the body is replaced by nothing", ["replacebody", ""]],
  ["the body is replaced by long lines", ["replacebody", `${"long ".repeat(1000)}\r\n`]],
  ["the sender is changed", ["chgfrom", "<c@z.test>"]],
  ["the sender is changed without brackets", ["chgfrom", "c@z.test"]],
  ["the sender is changed to one without a domain", ["chgfrom", "<c>"]],
  ["the sender is changed to nobody", ["chgfrom", "<>"]],
  ["the sender is changed with parameters", ["chgfrom", "<c@z.test>", "RET=HDRS ENVID=abc+2B"]],
  ["a recipient is added", ["addrcpt", "<d@z.test>"]],
  ["a recipient is added without brackets", ["addrcpt", "d@z.test"]],
  ["a recipient is added without a domain", ["addrcpt", "<d>"]],
  ["a recipient is added with parameters", [
    "addrcpt",
    "<d@z.test>",
    "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;e@z.test",
  ]],
  ["a recipient is added who is there", ["addrcpt", "<b@y.test>"]],
  ["a recipient is added who stands for others", ["addrcpt", "<list@y.test>"]],
  ["a recipient is removed", ["addrcpt", "<d@z.test>"], ["delrcpt", "<b@y.test>"]],
  ["a recipient is removed without brackets", ["addrcpt", "<d@z.test>"], ["delrcpt", "b@y.test"]],
  ["a recipient is removed who is not there", ["delrcpt", "<nobody@y.test>"]],
  ["a recipient is removed and added again", ["delrcpt", "<b@y.test>"], ["addrcpt", "<b@y.test>"]],
  [
    "all at once",
    ["addheader", "X-New", "value"],
    ["chgheader", "Subject", 1, "two"],
    ["chgfrom", "<c@z.test>"],
    [
      "addrcpt",
      "<d@z.test>",
    ],
    ["delrcpt", "<b@y.test>"],
    ["replacebody", "new\r\n"],
  ],
  ["the message is put on hold", ["quarantine", "why"]],
  ["more time is asked for", ["progress"], ["addheader", "X-New", "late"]],
];

/** Verdicts by event. */
const WORDS = ["accept", "reject", "tempfail", "discard"] as const;

const verdicts: MilterCase[] = ["helo", "mail", "rcpt", "data", "header", "eoh", "body", "eom"].flatMap((
  event,
) => [
  ...WORDS.filter((word) => event !== "helo" || word !== "discard").map((word) => ({
    name: `${event}: ${word}`,
    script: { [event]: word },
  })),
  { name: `${event}: a reply`, script: { [event]: ["reply", "550", "5.7.9", "no thanks 100%%"] } },
  {
    name: `${event}: a reply of several lines`,
    script: { [event]: ["reply", "451", "4.7.9", "one", "two"] },
  },
  { name: `${event}: 421`, script: { [event]: ["reply", "421", "4.7.0", "go away"] } },
]);

const connections: MilterCase[] = [
  { name: "connect: accept", connect: { connect: "accept" } },
  { name: "connect: reject", connect: { connect: "reject" } },
  { name: "connect: tempfail", connect: { connect: "tempfail" } },
  { name: "connect: a reply", connect: { connect: ["reply", "554", "5.7.1", "not you"] } },
  { name: "connect: 421", connect: { connect: ["reply", "421", "4.7.0", "go away"] } },
];

export const MILTER_CASES: readonly MilterCase[] = [
  { name: "nothing is done" },
  ...EDITS.map(([name, ...edits]) => ({ name, script: { edits } })),
  ...verdicts,
  ...connections,
  { name: "body: skip", script: { body: "skip" } },
  { name: "header: skip", script: { header: "skip" } },
  {
    name: "two messages in one session",
    commands: [
      "EHLO c.test",
      "MAIL FROM:<KEY@x.test>",
      "RCPT TO:<b@y.test>",
      "DATA",
      ".",
      "MAIL FROM:<KEY@x.test>",
      "RCPT TO:<b@y.test>",
      "DATA",
      ".",
      "QUIT",
    ],
  },
  {
    name: "a message that is given up",
    commands: ["EHLO c.test", "MAIL FROM:<KEY@x.test>", "RCPT TO:<b@y.test>", "RSET", "QUIT"],
  },
  {
    name: "one recipient is refused by the filter",
    script: { "rcpt no": "reject" },
    commands: [
      "EHLO c.test",
      "MAIL FROM:<KEY@x.test>",
      "RCPT TO:<no@y.test>",
      "RCPT TO:<b@y.test>",
      "DATA",
      ".",
      "QUIT",
    ],
  },
  {
    name: "a recipient is refused by us",
    commands: [
      "EHLO c.test",
      "MAIL FROM:<KEY@x.test>",
      "RCPT TO:<refused@y.test>",
      "RCPT TO:<b@y.test>",
      "DATA",
      ".",
      "QUIT",
    ],
  },
  {
    name: "HELO",
    commands: ["HELO c.test", "MAIL FROM:<KEY@x.test>", "RCPT TO:<b@y.test>", "DATA", ".", "QUIT"],
  },
  { name: "EHLO twice", commands: ["EHLO c.test", "EHLO d.test", "MAIL FROM:<KEY@x.test>", "QUIT"] },
  {
    name: "unknown commands",
    commands: ["EHLO c.test", "FOO bar  baz", "MAIL FROM:<KEY@x.test>", "BAR", "QUIT"],
  },
  {
    name: "parameters of MAIL and RCPT",
    commands: [
      "EHLO c.test",
      "MAIL FROM:<KEY@x.test> SIZE=100 BODY=8BITMIME",
      "RCPT TO:<b@y.test> NOTIFY=NEVER",
      "DATA",
      ".",
      "QUIT",
    ],
  },
  {
    name: "addresses that are quoted or lack a domain",
    commands: [
      "EHLO c.test",
      'MAIL FROM:<"KEY"@x.test>',
      'RCPT TO:<"b c"@y.test>',
      "RCPT TO:<local>",
      "DATA",
      ".",
      "QUIT",
    ],
  },
  {
    name: "a header with odd blanks",
    lines: ["X-Sp:   three", "X-No:none", "X-Tab:\ttab", "X-Empty:", "X-Fold: a", "\tb", "  c", "", "b"],
  },
  { name: "a message without a header", lines: ["", "body"] },
  { name: "a message without a body", lines: ["Subject: x"] },
  { name: "a body that begins at once", lines: ["no header here", "more"] },
  { name: "dots and long lines", lines: ["Subject: x", "", "..", "l".repeat(5000), "e"] },
  {
    name: "a message with parts",
    lines: [
      "Content-Type: multipart/mixed; boundary=x",
      "",
      "pre",
      "--x",
      "Content-Type: text/plain",
      "",
      "text",
      "--x--",
    ],
  },
];

/** What the client says of a case. `KEY` stands for the case's own name. */
export function commandsOf(test: MilterCase): readonly string[] {
  return test.commands ??
    ["EHLO c.test", "MAIL FROM:<KEY@x.test>", "RCPT TO:<b@y.test>", "DATA", ".", "QUIT"];
}

/** The text of the message. */
export function linesOf(test: MilterCase): readonly string[] {
  return test.lines ?? LINES;
}
