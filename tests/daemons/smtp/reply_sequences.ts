/**
 * What servers may answer, step by step: the table behind reply_sequences_test.ts, which gives each sequence to
 * Debian's client and to ours. Most rows are made from a list of replies and a list of steps. Not a test itself.
 *
 * @module
 */
import type { Answer, Script } from "../../lib/smtp/fake_server.ts";

/** One server and the message that it gets. */
export interface Sequence {
  readonly name: string;
  readonly server: Script;
  /** Transport with settings of its own; smtp or lmtp by default. */
  readonly transport?: keyof typeof TRANSPORTS;
  /** Recipients; 1 by default. */
  readonly recipients?: number;
  /** Lines of the message behind its first header. */
  readonly lines?: readonly string[];
  /** The message is announced as 8-bit. */
  readonly eightBit?: true;
  /** The message is offered with SMTPUTF8. */
  readonly utf8?: true;
  readonly from?: string;
  /** Ours is another result on purpose (docs/differences.md): what it begins with, for each recipient in turn. */
  readonly meant?: readonly string[];
}

/** Transports by name: what they have that the others have not. */
export const TRANSPORTS = {
  soft: { soft_bounce: true },
  strict: { smtp_skip_5xx_greeting: false },
  plain: { smtp_never_send_ehlo: true },
  forward: { smtp_send_xforward_command: true },
  careful: { smtp_discard_ehlo_keywords: ["PIPELINING", "SIZE"] },
  bare: { smtp_quote_rfc821_envelope: false, smtp_line_length_limit: 100 },
} as const;

const CLOSE: Answer = { close: true };
const SILENT: Answer = { silent: true };

/** Replies as they are tried at every step. */
const REPLIES: readonly (readonly [name: string, answer: Answer])[] = [
  ["2xx", "250 2.0.0 ok"],
  ["1xx", "150 1.0.0 wait"],
  ["3xx", "354 go"],
  ["421", "421 4.3.2 closing"],
  ["421 and gone", { close: true, say: "421 4.3.2 closing" }],
  ["450", "450 4.2.0 later"],
  ["452 without a status", "452 no room"],
  ["500", "500 5.5.2 what"],
  ["502", "502 5.5.1 not here"],
  ["550", "550 5.1.1 no"],
  ["552 without a status", "552 too much"],
  ["555", "555 5.5.4 what"],
  ["5xx and gone", { close: true, say: "554 5.7.1 go away" }],
  ["a status of another class", "550 4.1.1 no"],
  ["a status of another class, passing", "450 5.1.1 no"],
  ["a status that is none", "550 5.1 no"],
  ["6xx", "650 6.0.0 what"],
  ["0xx", "020 what"],
  ["no text", "550"],
  ["several lines", "550-5.1.1 one\r\n550-5.1.1 two\r\n550 5.1.1 three"],
  ["several codes", "250-one\r\n450-4.2.0 two\r\n550 5.1.1 three"],
  ["bare newlines", "550-5.1.1 one\n550 5.1.1 two"],
  ["controls and 8-bit", "550 5.1.1 a\u0007b\u001b[1m\tcéd"],
  ["a long line", `550 5.1.1 ${"x".repeat(3000)}`],
  ["words", "hello"],
  ["a code that goes on", "2500 ok"],
  ["a code with letters", "250x ok"],
  ["a short code", "25 ok"],
  ["an empty line", ""],
  ["nothing", SILENT],
  ["gone", CLOSE],
];

const STEPS = ["greeting", "EHLO", "HELO", "MAIL", "RCPT", "DATA", "final"] as const;

/** The server that answers so at that step and well otherwise. */
function at(step: typeof STEPS[number], answer: Answer): Script {
  switch (step) {
    case "greeting":
      return { greeting: answer };
    case "final":
      return { final: answer };
    case "HELO":
      return { answers: { EHLO: "502 5.5.1 no", HELO: answer } };
    default:
      return { answers: { [step]: answer } };
  }
}

/** Codes of no class, which Postfix takes for a final refusal. */
const CLASSLESS = ["1xx", "6xx", "0xx"];
/** What is no reply: Postfix then takes the answer to the QUIT behind the message for the one to the message. */
export const NOISE: readonly string[] = [
  "words",
  "a code that goes on",
  "a code with letters",
  "a short code",
  "an empty line",
];
const PROTOCOL_ERROR = "4.5.0 deferred (Protocol error: host ";

/** What is meant to differ, for so many recipients. */
function meant(step: string, name: string, recipients: number): Pick<Sequence, "meant"> {
  const passed = CLASSLESS.includes(name) && step !== "EHLO";
  const guessed = NOISE.includes(name) && step === "final";
  return passed || guessed ? { meant: Array(recipients).fill(PROTOCOL_ERROR) } : {};
}

const EVERY_STEP: readonly Sequence[] = STEPS.flatMap((step) =>
  REPLIES.map(([name, answer]) => ({
    name: `${step}: ${name}`,
    server: at(step, answer),
    ...meant(step, name, 1),
  }))
);

const PLAIN = ["8BITMIME", "SIZE 0"];

/** Without PIPELINING each command waits for its answer. */
const ONE_BY_ONE: readonly Sequence[] = (["MAIL", "RCPT", "DATA", "final"] as const).flatMap((step) =>
  REPLIES.filter(([name]) =>
    ["1xx", "3xx", "421", "421 and gone", "450", "550", "words", "gone"].includes(name)
  ).map(([name, answer]) => ({
    name: `one by one, ${step}: ${name}`,
    server: { ...at(step, answer), keywords: PLAIN },
    recipients: 2,
    // Without PIPELINING nothing is under way that could answer.
    ...meant(step, CLASSLESS.includes(name) ? name : "", 2),
  }))
);

const OK = "250 2.1.5 ok";
const NO = "550 5.1.1 no";
const LATER = "450 4.2.1 later";
const FULL = "552 5.2.2 full";

const SOME: readonly Sequence[] = [
  [OK, LATER, NO],
  [NO, NO, NO],
  [LATER, LATER, LATER],
  [NO, LATER, OK],
  [LATER, NO, LATER],
  [FULL, OK, FULL],
  ["354 go", OK, NO],
  [OK, "421 4.3.2 closing", OK],
  [OK, { close: true, say: "421 4.3.2 closing" }, OK],
  [OK, CLOSE, OK],
  [NO, CLOSE, OK],
].flatMap((rcpt, i): Sequence[] =>
  [["PIPELINING", ...PLAIN], PLAIN].flatMap((keywords) =>
    ["250 2.0.0 ok", "451 4.3.0 later", "554 5.6.0 no"].map((final) => ({
      name: `recipients ${i} with ${keywords[0]}, then ${final}`,
      server: { answers: { RCPT: rcpt as Answer[] }, keywords, final },
      recipients: 3,
    }))
  )
);

const OTHERS: readonly Sequence[] = [
  { name: "no recipient, DATA refused", server: { answers: { RCPT: NO, DATA: "554 5.5.1 none" } } },
  { name: "no recipient, DATA accepted", server: { answers: { RCPT: NO } } },
  {
    name: "MAIL refused, the rest too",
    server: { answers: { MAIL: NO, RCPT: "503 5.5.1 no", DATA: "503 5.5.1 no" } },
  },
  { name: "MAIL refused, RCPT and DATA accepted", server: { answers: { MAIL: NO } } },
  {
    name: "MAIL deferred, RCPT refused",
    server: { answers: { MAIL: LATER, RCPT: NO, DATA: "503 5.5.1 no" } },
  },
  { name: "a limit that the message passes", server: { keywords: ["SIZE 10"] } },
  { name: "a limit of zero", server: { keywords: ["SIZE 0"] } },
  { name: "a limit that is no number", server: { keywords: ["SIZE many"] } },
  { name: "a negative limit", server: { keywords: ["SIZE -1"] } },
  { name: "a limit without end", server: { keywords: [`SIZE ${"9".repeat(30)}`] } },
  { name: "hung up in the text", server: { cutDuringData: { after: 0, say: "" } } },
  { name: "refused in the text", server: { cutDuringData: { after: 0, say: "554 5.7.1 spam" } } },
  { name: "deferred in the text", server: { cutDuringData: { after: 0, say: "451 4.7.1 later" } } },
  { name: "taken in the text", server: { cutDuringData: { after: 0, say: "250 2.0.0 ok" } } },
  { name: "its own name in EHLO", server: { answers: { EHLO: "250 client.example.test" } } },
  { name: "EHLO without keywords", server: { answers: { EHLO: "250 peer.test" } } },
  { name: "lower case keywords", server: { keywords: ["pipelining", "8bitmime", "size 10"] } },
  { name: "DSN", server: { keywords: ["DSN", "PIPELINING"] } },
  { name: "neither EHLO nor HELO", server: { answers: { EHLO: "500 5.5.2 no", HELO: "550 5.7.1 no" } } },
  { name: "EHLO passing, then HELO", server: { answers: { EHLO: "450 4.0.0 no" } } },
  {
    name: "8-bit text for a 7-bit server",
    server: { keywords: [] },
    lines: [
      "MIME-Version: 1.0",
      "Content-Type: text/plain; charset=utf-8",
      "Content-Transfer-Encoding: 8bit",
      "",
      "Grüße",
    ],
    eightBit: true,
  },
  {
    name: "8-bit text in a broken message for a 7-bit server",
    server: { keywords: [] },
    lines: [
      "MIME-Version: 1.0",
      "Content-Type: multipart/mixed; boundary=b",
      "Content-Transfer-Encoding: base64",
      "",
      "Grüße",
    ],
    eightBit: true,
  },
  { name: "a long line and dots", server: {}, lines: ["", ".", "..", "x".repeat(2500), "."] },
];

const REFUSALS = REPLIES.filter(([name]) => ["421", "450", "550", "gone"].includes(name));

const SETTINGS: readonly Sequence[] = (["soft", "strict"] as const).flatMap((transport) =>
  STEPS.flatMap((step) =>
    REFUSALS.map(([name, answer]) => ({
      name: `${transport}, ${step}: ${name}`,
      server: at(step, answer),
      transport,
    }))
  )
);

const OTHER_SETTINGS: readonly Sequence[] = [
  { name: "never EHLO", server: {}, transport: "plain" },
  {
    name: "XFORWARD",
    server: { keywords: ["XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"] },
    transport: "forward",
  },
  {
    name: "XFORWARD refused",
    server: { keywords: ["XFORWARD ADDR SOURCE"], answers: { XFORWARD: "550 5.7.0 no" } },
    transport: "forward",
  },
  { name: "no XFORWARD", server: {}, transport: "forward" },
  {
    name: "keywords that are not believed",
    server: { keywords: ["PIPELINING", "SIZE 5", "8BITMIME"] },
    transport: "careful",
  },
  { name: "short lines", server: {}, lines: ["", "x".repeat(250)], transport: "bare" },
];

const WITH_UTF8 = { keywords: ["PIPELINING", "8BITMIME", "SMTPUTF8", "DSN"] };

const UTF8: readonly Sequence[] = [
  { name: "a sender outside ASCII", server: WITH_UTF8, utf8: true, from: "jürgen@sender.test" },
  {
    name: "a sender outside ASCII, a server without SMTPUTF8",
    server: {},
    utf8: true,
    from: "jürgen@sender.test",
  },
  { name: "a header outside ASCII", server: WITH_UTF8, utf8: true, lines: ["X-Name: Jürgen", "", "text"] },
  {
    name: "a header outside ASCII, a server without SMTPUTF8",
    server: {},
    utf8: true,
    lines: ["X-Name: Jürgen", "", "text"],
  },
  { name: "SMTPUTF8 for nothing, a server without", server: {}, utf8: true },
  // Postfix says SMTPUTF8 although nothing needs it.
  { name: "SMTPUTF8 for nothing", server: WITH_UTF8, utf8: true, meant: ["2.0.0 sent"] },
];

/** What a server of the SMTP transport does. */
export const SMTP_SEQUENCES: readonly Sequence[] = [
  ...EVERY_STEP,
  ...ONE_BY_ONE,
  ...SOME,
  ...OTHERS,
  ...SETTINGS,
  ...OTHER_SETTINGS,
  ...UTF8,
];

const LMTP_FINALS: readonly (readonly Answer[])[] = [
  [OK, LATER, NO],
  [NO, NO, NO],
  [LATER, OK, LATER],
  [OK, CLOSE, OK],
  [OK, { close: true, say: "421 4.3.2 closing" }, OK],
  [OK, "354 go", OK],
  [OK, "words", OK],
  [OK, SILENT, OK],
  [NO, OK, "552 5.2.2 full"],
];

const LMTP_STEPS: readonly Sequence[] = REPLIES.filter(([name]) =>
  ["1xx", "421", "450", "550", "502", "words", "gone"].includes(name)
).flatMap(([name, answer]) =>
  ["greeting", "LHLO", "MAIL", "RCPT", "DATA"].map((step) => ({
    name: `LMTP ${step}: ${name}`,
    server: { ...step === "greeting" ? { greeting: answer } : { answers: { [step]: answer } }, lmtp: true },
    recipients: 2,
    ...meant(step, name, 2),
  }))
);

/** What a server of the LMTP transport does. */
export const LMTP_SEQUENCES: readonly Sequence[] = [
  ...LMTP_STEPS,
  ...LMTP_FINALS.map((final, i) => ({
    name: `LMTP final replies ${i}`,
    server: { final, lmtp: true },
    recipients: 3,
    ...final[1] === "words" ? { meant: ["2.1.5 sent", "2.1.5 sent", "4.4.2 deferred"] } : {},
  })),
  {
    name: "LMTP recipients refused and answers to the others",
    server: { answers: { RCPT: [NO, OK, OK] }, final: [OK, LATER], lmtp: true },
    recipients: 3,
  },
];
