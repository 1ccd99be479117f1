/**
 * The command line of sendmail: a program of forty years whose callers use every option there ever was.
 *
 * @module
 */
// Utility
import { asciiLower, isAlpha, parseDecimal, splitBlanks, trimBlanks } from "../lib/vstring/ascii.ts";
import { printable } from "../lib/vstring/printable.ts";
// Mail
import { parseNotify, parseRet } from "../lib/mail/notify.ts";
import { SENDOPT_REQUIRETLS, SENDOPT_SMTPUTF8_REQUESTED } from "../lib/mail/send_options.ts";
import { areVerpDelimiters } from "../lib/mail/verp.ts";
// This program
import { parseOptions } from "./options.ts";
import { SendmailError } from "./sendmail_error.ts";
import { EX } from "./sysexits.ts";

/** What sendmail is asked to do. */
export type SendmailMode =
  | { readonly kind: "deliver" }
  /** -bs */
  | { readonly kind: "smtp" }
  /** -bp */
  | { readonly kind: "list" }
  /** -q, -qIid, -qRsite: options of postqueue */
  | { readonly kind: "queue"; readonly options: readonly string[] }
  /** -I, -bi */
  | { readonly kind: "aliases"; readonly database: string }
  /** Options that mean nothing here and end the program with success. */
  | { readonly kind: "nothing" };

/** A command line, read. */
export interface SendmailPlan {
  readonly mode: SendmailMode;
  readonly recipients: readonly string[];
  /** -t */
  readonly fromHeaders: boolean;
  /** -f, -r; undefined: the login name. */
  readonly sender: string | undefined;
  /** -F; undefined: NAME of the environment, or the password file. */
  readonly fullName: string | undefined;
  /** A lone dot ends the message (no -i, -oi). */
  readonly dotEnds: boolean;
  /** -G */
  readonly gateway: boolean;
  /** -B: 7bit, 8bit or empty. */
  readonly encoding: string;
  /** -N: NOTIFY bits; 0: not given. */
  readonly notify: number;
  /** -R: 1 full, 2 headers; 0: not given. */
  readonly ret: number;
  /** -V; empty: not given. */
  readonly envelopeId: string;
  /** -O requiretls=yes, -O smtputf8=yes: SENDOPT bits. */
  readonly sendOptions: number;
  /** -XV: VERP delimiters, empty for those of the site; undefined: no VERP. */
  readonly verp: string | undefined;
  /** -v: a report of the first attempt is mailed to the sender. */
  readonly reported: boolean;
  /** -bv: nothing is delivered; what would become of it is reported. */
  readonly verified: boolean;
  /** -C: directory of the configuration. */
  readonly configDirectory: string | undefined;
  /** What the user should know, though it goes on. */
  readonly warnings: readonly string[];
}

/** Every option that is known, in getopt's notation. */
const LETTERS = "A:B:C:F:GIL:N:O:R:UV:X:ab:ce:f:h:imno:p:r:q:tvx";
/** Longest envelope id (RFC 3461 section 4.4). */
const ENVELOPE_ID_LIMIT = 100;

/** Delimiters by which the old form of -XV is known, whatever the site allows. */
const OLD_VERP_DELIMITERS = "-=+";

const SEND_OPTIONS: ReadonlyMap<string, number> = new Map([
  ["requiretls", SENDOPT_REQUIRETLS],
  ["smtputf8", SENDOPT_SMTPUTF8_REQUESTED],
]);

const BODY_TYPES: ReadonlyMap<string, string> = new Map([["7bit", "7bit"], ["8bitmime", "8bit"]]);

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * Reads a command line.
 *
 * @throws SendmailError with EX_USAGE
 */
export function readSendmailOptions(args: readonly string[]): SendmailPlan {
  const warnings: string[] = [];
  const end = args.includes("--") ? args.indexOf("--") : args.length;
  const spelled = args.map((word, i) => {
    return i < end && isOldVerp(word, args[i + 1]) ? spellVerp(word, warnings) : spellOut(word);
  });
  const parsed = parseOptions(spelled, LETTERS);
  if (parsed.kind === "invalid") throw usage(`${parsed.why}; usage: sendmail [options] [recipient ...]`);
  const plan: Mutable<SendmailPlan> = {
    mode: { kind: "deliver" },
    recipients: parsed.operands,
    fromHeaders: false,
    sender: undefined,
    fullName: undefined,
    dotEnds: true,
    gateway: false,
    encoding: "",
    notify: 0,
    ret: 0,
    envelopeId: "",
    sendOptions: 0,
    verp: undefined,
    reported: false,
    verified: false,
    configDirectory: undefined,
    warnings,
  };
  for (const { letter, value } of parsed.options) {
    APPLY.get(letter)?.(plan, value, (text) => void warnings.push(text));
  }
  if (plan.verified) refuseBesideVerify(plan);
  if (plan.fromHeaders && plan.mode.kind !== "deliver") throw usage("-t can be used only in delivery mode");
  return plan;
}

/** `-q` alone flushes the queue: its value is not in the next word, as an option's value would be. */
function spellOut(word: string): string {
  return word === "-q" ? "-q0" : word;
}

/** `-V` and `-V+=` asked for VERP before -V named the envelope id. */
function isOldVerp(word: string, next: string | undefined): boolean {
  if (!word.startsWith("-V")) return false;
  return word === "-V"
    ? next?.startsWith("-") === true
    : areVerpDelimiters(word.slice(2), OLD_VERP_DELIMITERS);
}

function spellVerp(word: string, warnings: string[]): string {
  warnings.push("option -V is deprecated with Postfix 2.3; specify -XV instead");
  return `-X${word.slice(1)}`;
}

type Apply = (plan: Mutable<SendmailPlan>, value: string, warn: (text: string) => void) => void;

/** What each option does. One that is not here is taken and means nothing. */
const APPLY: ReadonlyMap<string, Apply> = new Map<string, Apply>([
  ["B", (plan, value) => plan.encoding = readBodyType(value)],
  ["C", (plan, value) => plan.configDirectory = value],
  ["F", (plan, value) => plan.fullName = value],
  ["G", (plan) => plan.gateway = true],
  ["I", (plan) => plan.mode = { kind: "aliases", database: "" }],
  ["N", (plan, value, warn) => {
    const notify = readNotify(value);
    if (notify === undefined) warn("bad -N option value -- ignored");
    else plan.notify = notify;
  }],
  ["O", (plan, value) => applySendOption(plan, value)],
  ["R", (plan, value, warn) => {
    const ret = parseRet(value);
    if (ret === undefined) warn("bad -R option value -- ignored");
    else plan.ret = ret;
  }],
  ["V", (plan, value, warn) => {
    if (isEnvelopeId(value)) plan.envelopeId = value;
    else warn("bad syntax in -V option value -- ignored");
  }],
  ["X", (plan, value) => {
    if (value.startsWith("V")) plan.verp = value.slice(1);
  }],
  ["b", (plan, value) => {
    plan.verified = value === "v";
    plan.mode = plan.verified ? { kind: "deliver" } : readMode(value);
  }],
  ["f", (plan, value) => plan.sender = value],
  ["i", (plan) => plan.dotEnds = false],
  ["n", () => {
    throw usage("-n option not supported");
  }],
  ["o", applyOldOption],
  ["q", (plan, value) => plan.mode = readQueueRun(value)],
  ["r", (plan, value) => plan.sender = value],
  ["v", (plan) => plan.reported = true],
  ["t", (plan) => plan.fromHeaders = true],
]);

/** A probe has no text to take recipients from, and one report of its own. */
function refuseBesideVerify({ fromHeaders, notify, ret, reported }: SendmailPlan): void {
  const given: readonly (readonly [string, boolean])[] = [
    ["-t", fromHeaders],
    ["-N", notify !== 0],
    ["-R", ret !== 0],
    ["-v", reported],
  ];
  for (const [option, isGiven] of given) {
    if (isGiven) throw usage(`${option} option cannot be used with -bv`);
  }
}

function applyOldOption(plan: Mutable<SendmailPlan>, value: string): void {
  if (value === "i") plan.dotEnds = false;
  else if (value.startsWith("A")) plan.mode = { kind: "aliases", database: value.slice(1) };
}

/** What the message demands of its way; other options of that form were Sendmail's, and mean nothing. */
function applySendOption(plan: Mutable<SendmailPlan>, text: string): void {
  const equals = text.indexOf("=");
  const bit = SEND_OPTIONS.get(asciiLower(text.slice(0, Math.max(0, equals))));
  if (bit === undefined) return;
  const value = asciiLower(text.slice(equals + 1));
  if (value !== "yes" && value !== "no") throw usage(`-O ${printable(text, 40)}: neither yes nor no`);
  plan.sendOptions = value === "yes" ? plan.sendOptions | bit : plan.sendOptions & ~bit;
}

function readMode(value: string): SendmailMode {
  switch (value) {
    case "m":
      return { kind: "deliver" };
    case "s":
      return { kind: "smtp" };
    case "p":
      return { kind: "list" };
    case "i":
      return { kind: "aliases", database: "" };
    case "h":
    case "H":
      return { kind: "nothing" };
    default:
      throw usage(`unsupported: -b${printable(value, 20)}`);
  }
}

function readQueueRun(value: string): SendmailMode {
  if (value === "0") return { kind: "queue", options: ["-f"] };
  const rest = value.slice(1);
  if (value.startsWith("I") && rest !== "") return { kind: "queue", options: ["-i", rest] };
  if (value.startsWith("R") && rest !== "") return { kind: "queue", options: ["-s", rest] };
  // An interval was for a daemon of its own.
  const digits = isAlpha(value.charCodeAt(value.length - 1)) ? value.slice(0, -1) : value;
  if (parseDecimal(digits) !== undefined) return { kind: "nothing" };
  throw usage(`-q${printable(value, 20)} is not implemented`);
}

function readBodyType(value: string): string {
  const encoding = BODY_TYPES.get(asciiLower(value));
  if (encoding === undefined) throw usage("-B option needs 8BITMIME or 7BIT");
  return encoding;
}

function readNotify(value: string): number | undefined {
  return parseNotify(splitBlanks(trimBlanks(value), true));
}

function isEnvelopeId(value: string): boolean {
  // RFC 3461 section 4.4: printable ASCII, at most 100 characters.
  if (value.length === 0 || value.length > ENVELOPE_ID_LIMIT) return false;
  for (let i = 0; i < value.length; i++) {
    const unit = value.charCodeAt(i);
    if (unit <= 0x20 || unit >= 0x7f) return false;
  }
  return true;
}

function usage(text: string): SendmailError {
  return new SendmailError(EX.USAGE, text);
}
