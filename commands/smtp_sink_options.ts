/**
 * The command line of smtp-sink.
 *
 * @module
 */
// Utility
import { asciiUpper, parseDecimal, splitBlanks } from "../lib/vstring/ascii.ts";
import { readCEscape } from "../lib/vstring/c_escape.ts";
// This program
import { CommandError } from "./command.ts";
import { parseOptions } from "./options.ts";
import { parseTarget, type ToolTarget } from "./smtp_tool_target.ts";

/** Commands that options may name. CONNECT is the greeting, `.` the end of a message. */
export const SINK_COMMANDS = [
  "CONNECT",
  "HELO",
  "EHLO",
  "LHLO",
  "XCLIENT",
  "XFORWARD",
  "AUTH",
  "MAIL",
  "RCPT",
  "DATA",
  ".",
  "RSET",
  "NOOP",
  "VRFY",
  "QUIT",
] as const;

/** One of the commands that smtp-sink can be told to treat in a special way. */
export type SinkCommand = typeof SINK_COMMANDS[number];

/** How long a command's reply is held back. */
export interface SinkDelay {
  readonly seconds: number;
  /** Percentage: how likely each further repetition of the delay is; 0: one delay always. */
  readonly odds: number;
}

/** What smtp-sink is asked to do. */
export interface SinkPlan {
  readonly target: ToolTarget;
  readonly backlog: number;
  readonly hostName: string;
  readonly lmtp: boolean;
  /** -c */
  readonly counters: boolean;
  /** -v */
  readonly verbose: boolean;
  /** -P: the greeting of a Cisco PIX. */
  readonly pix: boolean;
  /** Extensions that EHLO does not announce. */
  readonly hidden: ReadonlySet<string>;
  /** -e */
  readonly noEsmtp: boolean;
  /** -f, -r, -q, -Q */
  readonly hardReject: ReadonlySet<SinkCommand>;
  readonly softReject: ReadonlySet<SinkCommand>;
  readonly disconnect: ReadonlySet<SinkCommand>;
  readonly close421: ReadonlySet<SinkCommand>;
  /** -s */
  readonly logged: ReadonlySet<SinkCommand>;
  readonly hardReply: string;
  readonly softReply: string;
  /** -w, -W */
  readonly delays: ReadonlyMap<SinkCommand, SinkDelay>;
  /** -A: seconds after which a message is broken off with 550; undefined: never. */
  readonly abortDelay: number | undefined;
  /** -H: seconds before reading goes on after DATA. */
  readonly readDelay: number;
  /** -m: connections at once. */
  readonly concurrency: number;
  /** -M, -n: messages and sessions after which the program ends; 0: never. */
  readonly messages: number;
  readonly sessions: number;
  /** -t: seconds that a client may be silent. */
  readonly timeout: number;
  /** -d, -D */
  readonly dump: { readonly template: string; readonly many: boolean } | undefined;
  /** -S: in front of each dumped message. */
  readonly dumpStart: string;
  /** -u */
  readonly user: string | undefined;
}

const USAGE =
  "usage: smtp-sink [-468acCeEFLNpPv] [-A abort_delay] [-b soft_bounce_reply] [-B hard_bounce_reply] " +
  "[-d dump-template] [-D dump-template] [-f commands] [-h hostname] [-H read_delay] [-m max_concurrency] " +
  "[-M message_quit_count] [-n quit_count] [-q commands] [-Q commands] [-r commands] [-s commands] " +
  "[-S start-string] [-t timeout] [-T windowsize] [-u user] [-w delay] [-W command:delay[:odds]] " +
  "[inet:][host]:port|unix:path backlog";

const LETTERS = "468aA:b:B:cCd:D:eEf:Fh:H:Lm:M:n:NpPq:Q:r:R:s:S:t:T:u:vw:W:";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Draft = Mutable<Omit<SinkPlan, "target" | "backlog" | "hidden" | "delays">> & {
  family: 0 | 4 | 6;
  readonly hidden: Set<string>;
  readonly delays: Map<SinkCommand, SinkDelay>;
};

/** Reads a command line; throws `CommandError`. */
export function readSinkOptions(args: readonly string[]): SinkPlan {
  const parsed = parseOptions(args, LETTERS);
  if (parsed.kind === "invalid") throw new CommandError(`fatal: ${parsed.why}\n${USAGE}`);
  const draft = makeDraft();
  for (const { letter, value } of parsed.options) APPLY.get(letter)!(draft, value);
  const [endpoint, backlog, ...rest] = parsed.operands;
  if (endpoint === undefined || backlog === undefined || rest.length > 0) {
    throw new CommandError(`fatal: ${USAGE}`);
  }
  const { family, ...plan } = draft;
  const target = parseTarget(endpoint, family);
  if (target.kind === "invalid") throw new CommandError(`fatal: ${target.why}`);
  return { ...plan, target: target.target, backlog: count(backlog, "backlog", 1) };
}

function makeDraft(): Draft {
  return {
    family: 0,
    hostName: "smtp-sink",
    lmtp: false,
    counters: false,
    verbose: false,
    pix: false,
    hidden: new Set(),
    noEsmtp: false,
    hardReject: new Set(),
    softReject: new Set(),
    disconnect: new Set(),
    close421: new Set(),
    logged: new Set(),
    hardReply: "500 5.3.0 Error: command failed",
    softReply: "450 4.3.0 Error: command failed",
    delays: new Map(),
    abortDelay: undefined,
    readDelay: 0,
    concurrency: 256,
    messages: 0,
    sessions: 0,
    timeout: 100,
    dump: undefined,
    dumpStart: "",
    user: undefined,
  };
}

type Apply = (draft: Draft, value: string) => void;

/** What each option does. */
const APPLY: ReadonlyMap<string, Apply> = new Map<string, Apply>([
  ["4", (draft) => draft.family = 4],
  ["6", (draft) => draft.family = 6],
  ["8", (draft) => draft.hidden.add("8BITMIME")],
  ["a", (draft) => draft.hidden.add("AUTH")],
  ["A", (draft, value) => draft.abortDelay = count(value, "abort delay", 0)],
  ["b", (draft, value) => draft.softReply = reply(value, "4")],
  ["B", (draft, value) => draft.hardReply = reply(value, "5")],
  ["c", (draft) => draft.counters = true],
  ["C", (draft) => draft.hidden.add("XCLIENT")],
  ["d", (draft, value) => draft.dump = { template: value, many: false }],
  ["D", (draft, value) => draft.dump = { template: value, many: true }],
  ["e", (draft) => draft.noEsmtp = true],
  ["E", (draft) => draft.hidden.add("ENHANCEDSTATUSCODES")],
  ["f", (draft, value) => {
    draft.hardReject = commands(value);
    draft.hidden.add("PIPELINING");
  }],
  ["F", (draft) => draft.hidden.add("XFORWARD")],
  ["h", (draft, value) => draft.hostName = value],
  ["H", (draft, value) => draft.readDelay = count(value, "read delay", 0)],
  ["L", (draft) => draft.lmtp = true],
  ["m", (draft, value) => draft.concurrency = count(value, "concurrency limit", 1)],
  ["M", (draft, value) => draft.messages = count(value, "message quit count", 1)],
  ["n", (draft, value) => draft.sessions = count(value, "session quit count", 1)],
  ["N", (draft) => draft.hidden.add("DSN")],
  ["p", (draft) => draft.hidden.add("PIPELINING")],
  ["P", (draft) => draft.pix = draft.noEsmtp = true],
  ["q", (draft, value) => draft.disconnect = commands(value)],
  ["Q", (draft, value) => draft.close421 = commands(value)],
  ["r", (draft, value) => {
    draft.softReject = commands(value);
    draft.hidden.add("PIPELINING");
  }],
  ["R", () => {
    throw new CommandError("fatal: -R (chroot) is not supported: use -u, or a sandbox of the system");
  }],
  ["s", (draft, value) => draft.logged = commands(value)],
  ["S", (draft, value) => draft.dumpStart = unescapeText(value)],
  ["t", (draft, value) => draft.timeout = count(value, "time limit", 1)],
  // Checked and of no effect: the runtime does not set the size of the window.
  ["T", (_draft, value) => void count(value, "TCP window size", 1)],
  ["u", (draft, value) => draft.user = value],
  ["v", (draft) => draft.verbose = true],
  ["w", (draft, value) => draft.delays.set("DATA", { seconds: count(value, "DATA delay", 1), odds: 0 })],
  ["W", (draft, value) => draft.delays.set(...readDelay(value))],
]);

function readDelay(value: string): [SinkCommand, SinkDelay] {
  const [name = "", seconds = "", odds = "0", ...rest] = value.split(":");
  if (rest.length > 0) throw new CommandError(`fatal: bad -W option value: ${value}`);
  const chance = count(odds, "-W odds", 0);
  if (chance > 99) throw new CommandError(`fatal: bad -W odds: ${odds}`);
  return [command(name), { seconds: count(seconds, "-W delay", 0), odds: chance }];
}

function commands(value: string): ReadonlySet<SinkCommand> {
  return new Set(splitBlanks(value, true).map(command));
}

function command(name: string): SinkCommand {
  const known = SINK_COMMANDS.find((one) => one === asciiUpper(name));
  if (known === undefined) throw new CommandError(`fatal: unknown command: ${name}`);
  return known;
}

function reply(value: string, first: string): string {
  if (!value.startsWith(first) || value.length < 4) {
    throw new CommandError(`fatal: bad reply: ${value}: it must begin with ${first}xx`);
  }
  return value;
}

function count(value: string, what: string, least: number): number {
  const number = parseDecimal(value, 1_000_000_000);
  if (number === undefined || number < least) throw new CommandError(`fatal: bad ${what}: ${value}`);
  return number;
}

/** Text with C escapes (\n, \t, \ddd ...) replaced. */
export function unescapeText(value: string): string {
  let out = "";
  for (let i = 0; i < value.length; i++) {
    if (value[i] !== "\\") {
      out += value[i];
      continue;
    }
    const { code, length } = readCEscape(value, i);
    out += code === undefined ? value[i + 1] ?? "" : String.fromCharCode(code & 0xff);
    i += length;
  }
  return out;
}
