/**
 * The command line of smtp-source.
 *
 * @module
 */
// Utility
import { parseDecimal } from "../lib/vstring/ascii.ts";
// This program
import { CommandError } from "./command.ts";
import { parseOptions } from "./options.ts";
import { parseTarget, type ToolTarget } from "./smtp_tool_target.ts";

/** What smtp-source is asked to send, and how. */
export interface SourcePlan {
  readonly target: ToolTarget;
  /** -s: sessions at once. */
  readonly sessions: number;
  /** -m: messages in all. */
  readonly messages: number;
  /** -r: recipients of each message. */
  readonly recipients: number;
  /** -l: bytes of text; undefined: a few short lines. */
  readonly length: number | undefined;
  /** -F: file with header and text. */
  readonly file: string | undefined;
  /** -d: keep the session for further messages. */
  readonly keepOpen: boolean;
  /** -c: show a counter. */
  readonly counter: boolean;
  /** -C: attempts to connect. */
  readonly attempts: number;
  /** -f, -t; undefined: foo@HOST. */
  readonly sender: string | undefined;
  readonly recipient: string | undefined;
  /** -M */
  readonly hostName: string | undefined;
  /** -N: no two recipients are the same. */
  readonly numbered: boolean;
  /** -o: no HELO, no headers. */
  readonly old: boolean;
  /** -L */
  readonly lmtp: boolean;
  /** -S */
  readonly subject: string | undefined;
  /** -A: go on after a reply that is not the expected one. */
  readonly tolerant: boolean;
  /** -v: show the conversation. */
  readonly verbose: boolean;
  /** -w, -R: seconds between messages of a session, and whether it is the most of a random time. */
  readonly pause: number;
  readonly randomPause: boolean;
}

const USAGE = "usage: smtp-source [-46AcdLNov] [-C count] [-f from] [-F file] [-l length] [-m messages] " +
  "[-M myhostname] [-r recipients] [-R delay] [-s sessions] [-S subject] [-t to] [-T windowsize] [-w delay] " +
  "[inet:]host[:port] | unix:path";

const LETTERS = "46AcC:df:F:l:Lm:M:Nor:R:s:S:t:T:vw:";
const SMTP_PORT = 25;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Draft = Mutable<Omit<SourcePlan, "target">> & { family: 0 | 4 | 6 };

/** Reads a command line; throws `CommandError`. */
export function readSourceOptions(args: readonly string[]): SourcePlan {
  const parsed = parseOptions(args, LETTERS);
  if (parsed.kind === "invalid") throw new CommandError(`fatal: ${parsed.why}\n${USAGE}`);
  const { family, ...draft } = parsed.options.reduce(applyOption, DEFAULTS);
  const [endpoint, ...rest] = parsed.operands;
  if (endpoint === undefined || rest.length > 0) throw new CommandError(`fatal: ${USAGE}`);
  const target = parseTarget(endpoint, family, SMTP_PORT);
  if (target.kind === "invalid") throw new CommandError(`fatal: ${target.why}`);
  return { ...draft, target: target.target };
}

const DEFAULTS: Draft = {
  family: 0,
  sessions: 1,
  messages: 1,
  recipients: 1,
  length: undefined,
  file: undefined,
  keepOpen: false,
  counter: false,
  attempts: 1,
  sender: undefined,
  recipient: undefined,
  hostName: undefined,
  numbered: false,
  old: false,
  lmtp: false,
  subject: undefined,
  tolerant: false,
  verbose: false,
  pause: 0,
  randomPause: false,
};

function applyOption(
  draft: Draft,
  { letter, value }: { readonly letter: string; readonly value: string },
): Draft {
  switch (letter) {
    case "4":
    case "6":
      return { ...draft, family: letter === "4" ? 4 : 6 };
    case "A":
      return { ...draft, tolerant: true };
    case "c":
      return { ...draft, counter: true };
    case "C":
      return { ...draft, attempts: count(value, "connection count") };
    case "d":
      return { ...draft, keepOpen: true };
    case "f":
      return { ...draft, sender: value };
    case "F":
      return { ...draft, file: value };
    case "l":
      return { ...draft, length: count(value, "message length") };
    case "L":
      return { ...draft, lmtp: true };
    case "m":
      return { ...draft, messages: count(value, "message count") };
    case "M":
      return { ...draft, hostName: value };
    case "N":
      return { ...draft, numbered: true };
    case "o":
      return { ...draft, old: true };
    case "r":
      return { ...draft, recipients: count(value, "recipient count") };
    case "R":
      return { ...draft, pause: count(value, "random delay"), randomPause: true };
    case "s":
      return { ...draft, sessions: count(value, "session count") };
    case "S":
      return { ...draft, subject: value };
    case "t":
      return { ...draft, recipient: value };
    case "T":
      // Checked and of no effect: the runtime does not set the size of the window.
      count(value, "TCP window size", 65535);
      return draft;
    case "v":
      return { ...draft, verbose: true };
    default:
      return { ...draft, pause: count(value, "fixed delay"), randomPause: false };
  }
}

function count(value: string, what: string, most = 1_000_000_000): number {
  const number = parseDecimal(value, most);
  if (number === undefined || number < 1) throw new CommandError(`fatal: bad ${what}: ${value}`);
  return number;
}
