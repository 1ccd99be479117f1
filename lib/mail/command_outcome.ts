/**
 * What the end of a command means for the mail that it was given: exit codes as sysexits.h names them, and what the
 * command says of itself (postfix-map section 9.4).
 *
 * @module
 */
import { trimBlanks } from "../vstring/ascii.ts";
import { decodeText } from "../vstring/byte_builder.ts";
import { type MailboxOutcome, outcomeOf } from "./mailbox_outcome.ts";
import { statusLength } from "./status_code.ts";

/** How a command ended. */
export interface CommandEnd {
  readonly how: "exit" | "signal" | "timeout" | "failed";
  /** Exit status, or number of the signal. */
  readonly code: number;
  /** The beginning of what it wrote to its standard output and standard error. */
  readonly output: Uint8Array;
}

/** Characters of the output of a command that did well, for the log. */
const SUCCESS_OUTPUT = 100;

/** Status and text of each exit code that has a meaning. */
const EXIT_CODES: ReadonlyMap<number, readonly [status: string, text: string]> = new Map([
  [64, ["5.3.0", "command line usage error"]],
  [65, ["5.6.0", "data format error"]],
  [66, ["5.3.0", "cannot open input"]],
  [67, ["5.1.1", "user unknown"]],
  [68, ["5.1.2", "host name unknown"]],
  [69, ["5.3.0", "service unavailable"]],
  [70, ["5.3.0", "internal software error"]],
  [71, ["4.3.0", "system resource problem"]],
  [72, ["5.3.0", "critical OS file missing"]],
  [73, ["5.2.0", "can't create user output file"]],
  [74, ["5.3.0", "input/output error"]],
  [75, ["4.3.0", "temporary failure"]],
  [76, ["5.5.0", "remote error in protocol"]],
  [77, ["5.7.0", "permission denied"]],
  [78, ["5.3.5", "local configuration error"]],
]);

/**
 * The outcome of a command's end; the reason of a success is the beginning of what the command said.
 *
 * @param command how it is named in reports
 */
export function commandOutcome(end: CommandEnd, command: string): MailboxOutcome {
  const output = plainOutput(end.output);
  const said = output === "" ? "" : `. Command output: ${output}`;
  switch (end.how) {
    case "timeout":
      return outcomeOf("5.3.0", `Command time limit exceeded: "${command}"${said}`);
    case "signal":
      return outcomeOf("4.3.0", `Command died with signal ${end.code}: "${command}"${said}`);
    case "failed":
      return outcomeOf("4.3.0", `temporary failure${said}`);
    case "exit":
      return exitOutcome(end.code, output, said, command);
    default:
      return end.how satisfies never;
  }
}

function exitOutcome(code: number, output: string, said: string, command: string): MailboxOutcome {
  if (code === 0) return outcomeOf("2.0.0", trimBlanks(output).slice(0, SUCCESS_OUTPUT));
  // RFC 3463: what the command itself says of the reason goes before its exit code.
  if (statusLength(output) > 0 && output[0] !== "2") {
    const length = statusLength(output);
    return outcomeOf(output.slice(0, length), withoutLeading(output.slice(length)));
  }
  const [status, text] = EXIT_CODES.get(code) ?? ["5.3.0", `Command died with status ${code}: "${command}"`];
  return outcomeOf(status, text + said);
}

/** The outcome with the reason of a success, which is what the command said, put in words. */
export function deliveredTo(outcome: MailboxOutcome, delivered: string): MailboxOutcome {
  if (outcome.result !== "sent") return outcome;
  return { ...outcome, reason: outcome.reason === "" ? delivered : `${delivered} (${outcome.reason})` };
}

/** Blanks at the end stay, as Postfix leaves them. */
function withoutLeading(text: string): string {
  let start = 0;
  while (text[start] === " ") start++;
  return text.slice(start);
}

/** The output as one line of printable text. */
function plainOutput(bytes: Uint8Array): string {
  const text = decodeText(bytes);
  let out = "";
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    out += unit === 0x09 || unit === 0x0a ? " " : unit < 0x20 || unit === 0x7f ? "_" : text[i];
  }
  return out;
}
