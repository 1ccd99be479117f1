/**
 * The dialogue with a client that is tested or refused: a server that knows the commands and takes no mail. What the
 * client does meanwhile that no good client does is what the tests after the greeting look for.
 */
// Utility
import { asciiUpper, isBlank } from "../../lib/vstring/ascii.ts";
import { decodeText, isUtf8 } from "../../lib/vstring/byte_builder.ts";
import { printable } from "../../lib/vstring/printable.ts";
import { InputBuffer } from "../../lib/stream/input_buffer.ts";
// Mail
import { headerNameLength } from "../../lib/mail/header.ts";
import { parsePathArgument } from "../../lib/mail/path.ts";
import { replyLines } from "../../lib/mail/reply_lines.ts";
// This program
import type { ScreenedClient } from "./postscreen_client.ts";
import { escapeBytes } from "./postscreen_text.ts";
import { DIALOGUE_TESTS } from "./postscreen_tests.ts";

/** Characters of what a client sent that the log shows. */
const SAMPLE = 100;
/** Bytes of a HELO name that the log shows. */
const HELO_LIMIT = 255;

/** A command line taken apart. */
interface Line {
  /** In capitals, and as it was sent. */
  readonly verb: string;
  readonly word: Uint8Array;
  readonly argument: Uint8Array;
  readonly header: boolean;
}

/** A command's reply; undefined when it has seen to that itself. */
type Run = (dialogue: Dialogue, argument: Uint8Array) => string | undefined;

/** The dialogue with one client. */
export class Dialogue {
  readonly client: ScreenedClient;
  readonly #input = new InputBuffer();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #commands = 0;
  /** The last command, as the log names it. */
  #where = "CONNECT";
  /** A table is asked about a line: the others wait. */
  #busy = false;
  #over = false;
  helo = "";
  esmtp = false;
  sender: string | undefined;

  constructor(client: ScreenedClient) {
    this.client = client;
    this.#watch();
  }

  /** Takes bytes from the client. */
  data(bytes: Uint8Array): void {
    if (this.#over) return;
    this.#input.push(bytes.slice());
    if (!this.#busy) this.#run();
  }

  /** The session is over. */
  end(): void {
    this.#over = true;
    clearTimeout(this.#timer);
  }

  #watch(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#log(`COMMAND TIME LIMIT from ${this.client.name} after ${this.#where}`);
      this.client.drop(`421 4.4.2 ${this.#host} Error: timeout exceeded`);
    }, this.client.screen.commandTime);
  }

  get #host(): string {
    return this.client.screen.settings.myhostname;
  }

  #log(text: string): void {
    this.client.screen.log.info(text);
  }

  #run(): void {
    const { settings } = this.client.screen;
    while (!this.#over && !this.#busy) {
      const line = this.#input.line(settings.line_length_limit);
      if (line.kind === "more") {
        if (this.#input.overlong(settings.line_length_limit)) this.#lineTooLong();
        return;
      }
      if (line.kind === "tooLong") return this.#lineTooLong();
      this.#watch();
      if (!line.crlf && this.client.isTodo("bareNewline")) {
        this.#log(`BARE NEWLINE from ${this.client.name} after ${escapeBytes(line.bytes, SAMPLE)}`);
        if (this.client.fail("bareNewline")) return;
      }
      this.#take(line.bytes);
    }
  }

  #lineTooLong(): void {
    this.#log(`COMMAND LENGTH LIMIT from ${this.client.name} after ${this.#where}`);
    this.client.drop(this.#tryLater);
  }

  get #tryLater(): string {
    return `421 ${this.#host} Service unavailable - try again later`;
  }

  /** A line: replaced where a table says so, then looked at. */
  #take(line: Uint8Array): void {
    const { words } = this.client.screen;
    if (!words.filters) return this.#look(line);
    this.#busy = true;
    const text = line.slice();
    words.replacement(text).then((command) => {
      this.#busy = false;
      if (this.#over) return;
      if (command === "retry") return this.client.drop(this.#tryLater);
      if (command !== undefined) {
        const [before, after] = [text, command].map((one) => printable(one, SAMPLE));
        this.#log(`${this.client.name}: replacing command "${before}" with "${after}"`);
      }
      this.#look(command ?? text);
      this.#run();
    }, (error) => this.#failed(error));
  }

  #failed(error: unknown): void {
    this.client.screen.services.trouble(`client ${this.client.name}`, error);
    this.client.drop(this.#tryLater);
  }

  #look(bytes: Uint8Array): void {
    const line = takeApart(bytes);
    const known = COMMANDS.has(line.verb);
    const kind = line.header && !known
      ? "forbidden"
      : line.verb === ""
      ? "plain"
      : this.client.screen.words.kindOf(line.verb, known);
    if (!(kind instanceof Promise)) return this.#judge(line, kind === "forbidden");
    this.#busy = true;
    const kept = { ...line, word: line.word.slice(), argument: line.argument.slice() };
    kind.then((word) => {
      this.#busy = false;
      if (this.#over) return;
      this.#judge(kept, word === "forbidden");
      this.#run();
    }, (error) => this.#failed(error));
  }

  #judge({ verb, word, argument }: Line, forbidden: boolean): void {
    const { name } = this.client;
    if (forbidden && this.client.isTodo("nonSmtp")) {
      const [command, text] = [word, argument].map((one) => escapeBytes(one, SAMPLE));
      this.#log(`NON-SMTP COMMAND from ${name} after ${this.#where}: ${command} ${text}`);
      if (this.client.fail("nonSmtp", "521 5.7.0 Error: I can break rules, too. Goodbye.")) return;
    }
    // RFC 2920 section 3.1: a group of commands is for those that were told of PIPELINING, which is not offered here.
    if (this.#input.length > 0 && this.client.isTodo("pipelining")) {
      const rest = escapeBytes(this.#input.view(), SAMPLE);
      this.#log(`COMMAND PIPELINING from ${name} after ${escapeBytes(word, SAMPLE)}: ${rest}`);
      if (this.client.fail("pipelining")) return;
    }
    this.#execute(verb, argument);
  }

  #execute(verb: string, argument: Uint8Array): void {
    const run = COMMANDS.get(verb);
    if (++this.#commands > this.client.screen.settings.postscreen_command_count_limit) {
      this.#log(`COMMAND COUNT LIMIT from ${this.client.name} after ${this.#where}`);
      return this.client.drop(this.#tryLater);
    }
    this.#where = run === undefined ? "UNIMPLEMENTED" : verb;
    if (
      run !== undefined && this.client.screen.tlsLevel === "encrypt" && !this.client.secure &&
      !BEFORE_TLS.has(verb)
    ) return this.client.reply("530 5.7.0 Must issue a STARTTLS command first");
    const reply = run === undefined ? "502 5.5.2 Error: command not recognized" : run(this, argument);
    if (reply !== undefined) this.client.reply(reply);
  }

  /** STARTTLS. What came behind it in the clear may be anybody's, put there to be taken for what TLS protects. */
  startTls(argument: Uint8Array): string | undefined {
    if (argument.length > 0) return "501 5.5.4 Syntax: STARTTLS";
    if (this.client.secure) return "554 5.5.1 Error: TLS already active";
    if (this.client.screen.tlsLevel === "none") return "502 5.5.1 Error: command not implemented";
    if (this.#input.length > 0) {
      this.client.drop("521 5.5.1 Protocol error");
      return undefined;
    }
    this.#busy = true;
    this.client.startTls().then(() => this.#busy = false, (error) => this.#failed(error));
    return undefined;
  }

  /** A recipient, refused: the log tells of it, and a client that has come so far without a fault has passed. */
  refuse(recipient: string): string {
    const reply = this.client.recipientReply;
    const sender = printable(this.sender ?? "");
    const protocol = this.esmtp ? "ESMTP" : "SMTP";
    this.#log(
      `NOQUEUE: reject: RCPT from ${this.client.name}: ${reply}; from=<${sender}>, to=<${
        printable(recipient)
      }>, ` +
        `proto=${protocol}, helo=<${this.helo}>`,
    );
    this.#pass();
    return reply;
  }

  /** Ends a session whose client would send a message: there is nobody to send it to. */
  refuseContent(verb: string, reply: string): undefined {
    this.#log(`${verb} without valid RCPT from ${this.client.name}`);
    this.#pass();
    this.client.drop(reply);
  }

  #pass(): void {
    for (const test of DIALOGUE_TESTS) if (this.client.isTodo(test)) this.client.pass(test);
  }
}

/** The verb in capitals and what follows it; text that is no UTF-8 has no verb. */
function takeApart(line: Uint8Array): Line {
  let start = 0;
  while (start < line.length && isBlank(line[start]!)) start++;
  let end = start;
  while (end < line.length && !isBlank(line[end]!)) end++;
  const header = end > start && headerNameLength(line, start, end) > 0;
  const word = line.subarray(start, end);
  const verb = isUtf8(word) ? asciiUpper(decodeText(word)) : "";
  while (end < line.length && isBlank(line[end]!)) end++;
  return { verb, word, argument: line.subarray(end), header };
}

/** Commands that are taken where TLS is demanded and not there yet. */
const BEFORE_TLS: ReadonlySet<string> = new Set(["HELO", "EHLO", "STARTTLS", "NOOP", "QUIT"]);

const COMMANDS: ReadonlyMap<string, Run> = new Map<string, Run>([
  ["HELO", (dialogue, argument) => greet(dialogue, argument, "HELO")],
  ["EHLO", (dialogue, argument) => greet(dialogue, argument, "EHLO")],
  ["STARTTLS", (dialogue, argument) => dialogue.startTls(argument)],
  ["MAIL", mail],
  ["RCPT", rcpt],
  ["DATA", data],
  ["BDAT", bdat],
  ["RSET", (dialogue) => {
    dialogue.sender = undefined;
    return "250 2.0.0 Ok";
  }],
  ["NOOP", () => "250 2.0.0 Ok"],
  ["VRFY", vrfy],
  ["ETRN", etrn],
  ["QUIT", (dialogue) => {
    dialogue.client.reply("221 2.0.0 Bye");
    dialogue.client.finish();
    return undefined;
  }],
]);

function greet(dialogue: Dialogue, argument: Uint8Array, verb: "HELO" | "EHLO"): string {
  if (argument.length === 0) return `501 Syntax: ${verb} hostname`;
  const { settings } = dialogue.client.screen;
  const { words: hidden, told } = dialogue.client.hidden;
  dialogue.helo = printable(argument, HELO_LIMIT);
  dialogue.esmtp = verb === "EHLO";
  dialogue.sender = undefined;
  if (verb === "HELO") return `250 ${settings.myhostname}`;
  if (told !== "") dialogue.client.screen.log.info(`discarding EHLO keywords: ${told}`);
  const keywords = [
    settings.message_size_limit > 0 ? `SIZE ${settings.message_size_limit}` : "SIZE",
    ...(settings.postscreen_disable_vrfy_command ? [] : ["VRFY"]),
    "ETRN",
    // RFC 3207 section 4.2: not offered again inside TLS.
    ...(dialogue.client.screen.tlsLevel === "none" || dialogue.client.secure ? [] : ["STARTTLS"]),
    "ENHANCEDSTATUSCODES",
    "8BITMIME",
    "DSN",
  ].filter((keyword) => !hidden.has(keyword.split(" ")[0]!));
  return replyLines("250", [settings.myhostname, ...keywords]);
}

function mail(dialogue: Dialogue, argument: Uint8Array): string {
  if (dialogue.helo === "" && dialogue.client.screen.settings.postscreen_helo_required) {
    return "503 5.5.1 Error: send HELO/EHLO first";
  }
  if (dialogue.sender !== undefined) return "503 5.5.1 Error: nested MAIL command";
  const path = parsePathArgument(argument, "from", { strict: false, utf8: true });
  if (path.kind === "bad") {
    return path.what === "path"
      ? "501 5.1.7 Bad sender address syntax"
      : "501 5.5.4 Syntax: MAIL FROM:<address>";
  }
  dialogue.sender = path.address;
  return "250 2.1.0 Ok";
}

function rcpt(dialogue: Dialogue, argument: Uint8Array): string {
  if (dialogue.sender === undefined) return "503 5.5.1 Error: need MAIL command";
  const path = parsePathArgument(argument, "to", { strict: false, utf8: true });
  if (path.kind !== "bad") return dialogue.refuse(path.address);
  return path.what === "path"
    ? "501 5.1.3 Bad recipient address syntax"
    : "501 5.5.4 Syntax: RCPT TO:<address>";
}

function data(dialogue: Dialogue, argument: Uint8Array): string | undefined {
  if (argument.length > 0) return "501 5.5.4 Syntax: DATA";
  return dialogue.refuseContent(
    "DATA",
    dialogue.sender === undefined
      ? "503 5.5.1 Error: need RCPT command"
      : "554 5.5.1 Error: no valid recipients",
  );
}

function bdat(dialogue: Dialogue, argument: Uint8Array): string | undefined {
  if (argument.length === 0) return "501 5.5.4 Syntax: BDAT count [LAST]";
  return dialogue.refuseContent(
    "BDAT",
    dialogue.sender === undefined
      ? "554 5.5.1 Error: need MAIL command"
      : "554 5.5.1 Error: no valid recipients",
  );
}

function vrfy(dialogue: Dialogue, argument: Uint8Array): string {
  if (dialogue.client.screen.settings.postscreen_disable_vrfy_command) {
    return "502 5.5.1 VRFY command is disabled";
  }
  return argument.length === 0 ? "501 5.5.4 Syntax: VRFY address" : dialogue.client.recipientReply;
}

function etrn(dialogue: Dialogue, argument: Uint8Array): string {
  if (dialogue.helo === "") return "503 Error: send HELO/EHLO first";
  return argument.length === 0 ? "500 Syntax: ETRN domain" : "458 Unable to queue messages";
}
