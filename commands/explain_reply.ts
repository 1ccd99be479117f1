/**
 * `postern explain --reply ID`: the story of a refusal, from the log: what was refused, which rule decided, what stands
 * there, and what the session did before and after.
 *
 * @module
 */
// Safe primitives
import { SystemError } from "../lib/safe/error.ts";
import { openLinked, readTextFile } from "../lib/safe/file.ts";
// Utility
import { decodeText } from "../lib/vstring/byte_builder.ts";
import { printable } from "../lib/vstring/printable.ts";
// Access
import { type ReadRule, readRule } from "../lib/access/refusal_log.ts";
// This program
import { CommandError } from "./command.ts";

/** Bytes of the log that are read at a time, and the longest line that is looked at. */
const CHUNK = 1024 * 1024;
const LINE_LIMIT = 16 * 1024;
/** Most sessions of which lines are kept, and lines of each. */
const SESSION_LIMIT = 10_000;
const SESSION_LINES = 200;
/** How much of the log behind the refusal is looked at for the end of its session, bytes. */
const BEHIND = 64 * 1024 * 1024;
/** Largest file of which a line is shown, bytes. */
const FILE_LIMIT = 128 * 1024 * 1024;
/** Longest line of such a file that is shown, UTF-16 units. */
const SHOWN_LIMIT = 300;

/** A line of the log of an SMTP server. */
interface SessionLine {
  /** Process and client: what lines of one session have in common. */
  readonly session: string;
  readonly client: string;
  readonly time: string;
  readonly message: string;
}

/** What the log tells of a refusal. */
export interface ReplyStory {
  readonly refusal: SessionLine;
  readonly rule: ReadRule;
  /** The session's lines, the refusal among them. */
  readonly lines: readonly SessionLine[];
  /** "disconnect from" is among them. */
  readonly complete: boolean;
}

/** Reads a line of an SMTP server, in Postfix's form or as JSON; undefined when it is another one. */
function readLine(line: string): SessionLine | undefined {
  const parts = line.startsWith("{") ? jsonParts(line) : textParts(line);
  if (parts === undefined || !parts.program.includes("smtpd")) return undefined;
  const client = clientOf(parts.message);
  return client === undefined
    ? undefined
    : { session: `${parts.program} ${client}`, client, time: parts.time, message: parts.message };
}

interface LineParts {
  readonly time: string;
  /** With the process's number. */
  readonly program: string;
  readonly message: string;
}

/** "Nov 28 16:39:08 host postfix/smtpd[123]: message". */
function textParts(line: string): LineParts | undefined {
  const end = line.indexOf("]: ");
  const open = line.lastIndexOf(" ", end);
  if (end < 0 || open < 0) return undefined;
  return { time: line.slice(0, 15), program: line.slice(open + 1, end + 1), message: line.slice(end + 3) };
}

function jsonParts(line: string): LineParts | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  const { time, program, pid, message } = value as Readonly<Record<string, unknown>>;
  if (typeof message !== "string" || typeof program !== "string") return undefined;
  return { time: String(time), program: `${program}[${String(pid)}]`, message };
}

/** "name[address]" of the client that a message is about. */
function clientOf(message: string): string | undefined {
  const from = message.indexOf(" from ");
  const start = message.startsWith("connect from ")
    ? 13
    : from < 0
    ? message.indexOf(": client=") + 9
    : from + 6;
  const close = message.indexOf("]", start);
  const client = message.slice(start, close + 1);
  return start < 9 || close < 0 || client.includes(" ") ? undefined : client;
}

/** Looks for a refusal in the lines of a log. */
export class ReplySearch {
  readonly #id: string;
  readonly #sessions = new Map<string, SessionLine[]>();
  #found:
    | { readonly refusal: SessionLine; readonly rule: ReadRule; readonly lines: SessionLine[] }
    | undefined;
  #complete = false;

  constructor(id: string) {
    this.#id = id;
  }

  /** The story so far; undefined while the refusal has not come. */
  get story(): ReplyStory | undefined {
    return this.#found === undefined ? undefined : { ...this.#found, complete: this.#complete };
  }

  /** Nothing that follows is of interest. */
  get done(): boolean {
    return this.#complete;
  }

  /** Takes the next line. */
  take(text: string): void {
    const line = readLine(text);
    if (line === undefined || this.#complete) return;
    if (this.#found !== undefined) return this.#follow(this.#found, line);
    const lines = this.#linesOf(line);
    if (lines.length < SESSION_LINES) lines.push(line);
    const rule = readRule(line.message);
    if (rule?.id === this.#id) {
      if (lines.at(-1) !== line) lines.push(line);
      this.#found = { refusal: line, rule, lines };
      this.#sessions.clear();
    } else if (line.message.startsWith("disconnect from ")) this.#sessions.delete(line.session);
  }

  #linesOf(line: SessionLine): SessionLine[] {
    const known = line.message.startsWith("connect from ") ? undefined : this.#sessions.get(line.session);
    const lines = known ?? [];
    this.#sessions.set(line.session, lines);
    if (this.#sessions.size > SESSION_LIMIT) {
      const oldest = this.#sessions.keys().next();
      if (!oldest.done) this.#sessions.delete(oldest.value);
    }
    return lines;
  }

  #follow(
    { refusal, lines }: { readonly refusal: SessionLine; readonly lines: SessionLine[] },
    line: SessionLine,
  ): void {
    if (line.session !== refusal.session) return;
    if (lines.length < 2 * SESSION_LINES) lines.push(line);
    this.#complete = line.message.startsWith("disconnect from ");
  }
}

/** Tells the story, or throws a CommandError when the log does not have it. */
export function explainReply(id: string, logFile: string): string {
  const search = new ReplySearch(id);
  try {
    readLog(logFile, search);
  } catch (error) {
    if (error instanceof SystemError) throw new CommandError(`fatal: ${error.message}`);
    throw error;
  }
  const { story } = search;
  if (story === undefined) {
    throw new CommandError(`fatal: ${logFile} has no refusal with the id ${printable(id)}`);
  }
  return storyText(story);
}

function readLog(path: string, search: ReplySearch): void {
  using file = openLinked(path);
  const buffer = new Uint8Array(CHUNK);
  let rest = "";
  let behind = 0;
  for (
    let count = file.read(buffer);
    count > 0 && !search.done && behind < BEHIND;
    count = file.read(buffer)
  ) {
    const lines = (rest + decodeText(buffer.subarray(0, count))).split("\n");
    rest = lines.pop()!.slice(0, LINE_LIMIT);
    for (const line of lines) search.take(line);
    if (search.story !== undefined) behind += count;
  }
  if (!search.done) search.take(rest);
}

function storyText({ refusal, rule, lines, complete }: ReplyStory): string {
  const out = [
    `${refusal.time}  ${printable(refusal.client)}`,
    "",
    ...lines.map((line) => lineText(line, refusal)),
  ];
  if (!complete) out.push("  (the end of the session is not in the log)");
  out.push("");
  if (rule.rule === "") out.push("No rule of the configuration is behind this refusal.");
  else {
    out.push(
      `Decided by ${printable(rule.rule)}`,
      `  in ${printable(rule.parameter)}, ${placeText(rule.place)}`,
    );
    if (rule.entry !== "") out.push(`  table entry: ${placeText(rule.entry)}`);
  }
  return `${out.join("\n")}\n`;
}

function lineText(line: SessionLine, refusal: SessionLine): string {
  const end = line.message.indexOf(" reply=");
  const text = readRule(line.message) === undefined ? line.message : line.message.slice(0, end);
  return `${line === refusal ? ">" : " "} ${line.time}  ${printable(text)}`;
}

/** A place, with what stands there now: it may have been changed since. */
function placeText(place: string): string {
  const colon = place.lastIndexOf(":");
  const number = Number(place.slice(colon + 1));
  if (colon < 0 || !Number.isSafeInteger(number) || number < 1) return printable(place);
  let text: string | undefined;
  try {
    text = readTextFile(place.slice(0, colon), FILE_LIMIT).split("\n")[number - 1];
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
  }
  return text === undefined ? printable(place) : `${printable(place)}: ${printable(text, SHOWN_LIMIT)}`;
}
