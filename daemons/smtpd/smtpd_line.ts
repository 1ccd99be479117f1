/**
 * From a line to the command that it is, by way of the words and tables of the configuration: smtpd_command_filter,
 * smtpd_noop_commands, smtpd_forbidden_commands.
 */
// Utility
import { isBlank } from "../../lib/vstring/ascii.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Access
import type { WordKind } from "../../lib/access/command_words.ts";
// This program
import { type Command, findCommand, readCommand } from "./smtpd_commands.ts";
import { unknownCommand } from "./smtpd_milter.ts";
import { REPLY } from "./smtpd_reply.ts";
import type { Session } from "./smtpd_session.ts";

/** Characters of a line that the log shows. */
const SAMPLE = 100;

/** What a line is. */
export type ReadLine =
  | { readonly kind: "badUtf8" }
  | { readonly kind: "empty" }
  | {
    readonly kind: "command";
    readonly line: Uint8Array;
    /** Undefined: there is no such command. */
    readonly command: Command | undefined;
    readonly argument: Uint8Array;
    /** It is another protocol's. */
    readonly forbidden: boolean;
  };

/** The beginning of what a client sent, for the log. */
export function sample(bytes: Uint8Array): string {
  return printable(bytes, SAMPLE);
}
/** What smtpd_noop_commands come to. */
const NOTHING: Command = {
  name: "NOOP",
  last: false,
  beforeTls: true,
  run: (session) => {
    session.errors.junk();
    return REPLY.ok;
  },
};

/** What lines get that are no command. */
export const READ_REPLIES = { badUtf8: REPLY.badUtf8, empty: REPLY.badSyntax } as const;

/** Reads a line; a promise when a table has to be asked, of undefined when that has ended the session. */
export function readLine(session: Session, line: Uint8Array): ReadLine | Promise<ReadLine | undefined> {
  if (!session.server.words.filters) return judge(session, line);
  // The line is a view of input that may be gone when the answer is there.
  return filterCommand(session, line.slice()).then((text) => text && judge(session, text));
}

function judge(session: Session, line: Uint8Array): ReadLine | Promise<ReadLine> {
  const parsed = readCommand(line);
  if (parsed.kind !== "command") return parsed;
  const known = findCommand(parsed.verb);
  const word = parsed.header && known === undefined
    ? "forbidden"
    : session.server.words.kindOf(parsed.verb, known !== undefined);
  const command = known ?? unknownCommand(session.milters, line);
  const { argument } = parsed;
  if (!(word instanceof Promise)) return toRead(line, command, argument, word);
  const [keptLine, keptArgument] = [line.slice(), argument.slice()];
  return word.then((found) => toRead(keptLine, command, keptArgument, found));
}

function toRead(
  line: Uint8Array,
  command: Command | undefined,
  argument: Uint8Array,
  word: WordKind,
): ReadLine {
  return {
    kind: "command",
    line,
    command: word === "noop" ? NOTHING : command,
    argument,
    forbidden: word === "forbidden",
  };
}

/** The line in the place of a line; undefined when the table fails, which ends the session. */
async function filterCommand(session: Session, line: Uint8Array): Promise<Uint8Array | undefined> {
  const { server, log, client } = session;
  const start = line.findIndex((byte) => !isBlank(byte));
  const text = line.subarray(Math.max(start, 0));
  const command = await server.words.replacement(text);
  if (command === "retry") {
    const reply = `421 4.3.0 ${server.settings.myhostname} Server local data error`;
    log.info(`NOQUEUE: reject: UNKNOWN from ${client}: ${reply}`);
    session.reply(reply);
    return undefined;
  }
  if (command !== undefined) {
    const [before, after] = [text, command].map((one) => printable(one, SAMPLE));
    log.info(`${client}: replacing command "${before}" with "${after}"`);
  }
  return command ?? line;
}
