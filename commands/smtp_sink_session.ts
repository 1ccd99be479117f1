/**
 * One session of smtp-sink.
 *
 * @module
 */
// Safe primitives
import type { Channel } from "../lib/safe/channel.ts";
// Utility
import { asciiUpper, CR, isBlank, LF, trimBlanks } from "../lib/vstring/ascii.ts";
import { type ByteBuilder, decodeText, encodeText } from "../lib/vstring/byte_builder.ts";
import { printable } from "../lib/vstring/printable.ts";
// This program
import { DataScanner } from "./smtp_sink_data.ts";
import { DUMP_LIMIT, makeDumpId, startDump, type Transaction, writeDump } from "./smtp_sink_dump.ts";
import type { SinkCommand, SinkDelay, SinkPlan } from "./smtp_sink_options.ts";
import { LineSplitter } from "./smtp_tool_lines.ts";

/** Recipients of one message that are remembered for a dump. */
const RECIPIENT_LIMIT = 100_000;

/** What a session tells the program. */
export interface SinkEvents {
  /** A message came to its end. */
  message(): void;
  quit(): void;
  /** The session is over. */
  over(): void;
  /** Shows a line of the conversation. */
  show(text: string): void;
}

/** Extensions in the order in which they are announced. */
const EXTENSIONS: readonly { readonly name: string; readonly line: string }[] = [
  { name: "PIPELINING", line: "PIPELINING" },
  { name: "8BITMIME", line: "8BITMIME" },
  { name: "AUTH", line: "AUTH PLAIN LOGIN" },
  { name: "XCLIENT", line: "XCLIENT NAME HELO" },
  { name: "XFORWARD", line: "XFORWARD NAME ADDR PROTO HELO" },
  { name: "ENHANCEDSTATUSCODES", line: "ENHANCEDSTATUSCODES" },
  { name: "DSN", line: "DSN" },
];

/** A command: when it is known, and what it does. */
interface CommandRow {
  readonly name: SinkCommand;
  readonly known: (plan: SinkPlan) => boolean;
  /** What is wrong with the order of commands, or undefined. */
  readonly objection?: (session: SinkSession) => string | undefined;
  readonly run: (session: SinkSession, argument: string) => void;
}

const always = () => true;
const NEED_MAIL = "503 5.5.1 Error: need MAIL command";
const NEED_RCPT = "503 5.5.1 Error: need RCPT command";
const NESTED_MAIL = "503 5.5.1 Error: nested MAIL command";

const COMMANDS: readonly CommandRow[] = [
  { name: "HELO", known: (plan) => !plan.lmtp, run: (session, argument) => session.helo(argument, false) },
  {
    name: "EHLO",
    known: (plan) => !plan.lmtp && !plan.noEsmtp,
    run: (session, argument) => session.helo(argument, true),
  },
  { name: "LHLO", known: (plan) => plan.lmtp, run: (session, argument) => session.helo(argument, true) },
  {
    name: "XCLIENT",
    known: (plan) => !plan.hidden.has("XCLIENT"),
    run: (session) => session.ok("250 2.0.0 Ok"),
  },
  {
    name: "XFORWARD",
    known: (plan) => !plan.hidden.has("XFORWARD"),
    run: (session) => session.ok("250 2.0.0 Ok"),
  },
  { name: "AUTH", known: always, run: (session) => session.ok("250 2.0.0 Ok") },
  {
    name: "MAIL",
    known: always,
    objection: (session) => session.inMail ? NESTED_MAIL : undefined,
    run: (session, argument) => session.mail(argument),
  },
  {
    name: "RCPT",
    known: always,
    objection: (session) => session.inMail ? undefined : NEED_MAIL,
    run: (session, argument) => session.rcpt(argument),
  },
  {
    name: "DATA",
    known: always,
    objection: (session) => session.recipientCount > 0 ? undefined : NEED_RCPT,
    run: (session) => session.data(),
  },
  { name: "RSET", known: always, run: (session) => session.rset() },
  { name: "NOOP", known: always, run: (session) => session.ok("250 2.0.0 Ok") },
  { name: "VRFY", known: always, run: (session) => session.ok("250 2.0.0 Ok") },
  { name: "QUIT", known: always, run: (session) => session.quit() },
];

/** A client's session. Input that comes while a reply is held back waits. */
export class SinkSession {
  readonly #channel: Channel;
  readonly #plan: SinkPlan;
  readonly #events: SinkEvents;
  readonly #clientAddress: string;
  readonly #lines = new LineSplitter();
  #waiting: Uint8Array[] = [];
  /** A reply is held back, or reading is. */
  #held = false;
  #over = false;
  #out = "";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lastInput = Date.now();
  readonly #watch: ReturnType<typeof setInterval>;
  // The transaction.
  #heloName: string | undefined;
  #esmtp = false;
  #mailArgument: string | undefined;
  #recipients: string[] = [];
  recipientCount = 0;
  #scanner: DataScanner | undefined;
  #dump: { readonly id: string; readonly content: ByteBuilder } | undefined;

  constructor(channel: Channel, plan: SinkPlan, events: SinkEvents) {
    this.#channel = channel;
    this.#plan = plan;
    this.#events = events;
    const mapped = "::ffff:";
    const address = channel.remoteAddress === "" ? "127.0.0.1" : channel.remoteAddress;
    this.#clientAddress = address.startsWith(mapped) ? address.slice(mapped.length) : address;
    this.#watch = setInterval(() => this.#checkTime(), 1000);
  }

  get inMail(): boolean {
    return this.#mailArgument !== undefined;
  }

  /** Greets and serves. */
  start(): void {
    this.#channel.start({ data: (bytes) => this.#input(bytes), closed: () => this.#end() });
    const { hostName, pix, noEsmtp } = this.#plan;
    const greeting = pix ? "220 ********" : `220 ${hostName}${noEsmtp ? "" : " ESMTP"}`;
    this.#answer("CONNECT", () => this.ok(greeting));
    this.#flush();
  }

  helo(name: string, extended: boolean): void {
    this.#heloName = name;
    this.#esmtp = extended;
    const { hostName, hidden } = this.#plan;
    if (!extended) return this.ok(`250 ${hostName}`);
    const lines = EXTENSIONS.filter((one) => !hidden.has(one.name)).map((one) => `250-${one.line}\r\n`);
    // The last line is empty as with the original, so that any extension may be left out.
    this.ok(`250-${hostName}\r\n${lines.join("")}250 `);
  }

  mail(argument: string): void {
    this.#mailArgument = withoutWord(argument, "FROM:");
    this.ok("250 2.1.0 Ok");
  }

  rcpt(argument: string): void {
    this.recipientCount++;
    if (this.#plan.dump !== undefined && this.#recipients.length < RECIPIENT_LIMIT) {
      this.#recipients.push(withoutWord(argument, "TO:"));
    }
    this.ok("250 2.1.5 Ok");
  }

  data(): void {
    const { dump, abortDelay, readDelay } = this.#plan;
    if (dump !== undefined) {
      const id = makeDumpId();
      this.#dump = { id, content: startDump(this.#plan, this.#transaction(), id, Date.now()) };
    }
    this.#scanner = new DataScanner(this.#dump?.content);
    this.ok("354 End data with <CR><LF>.<CR><LF>");
    if (abortDelay !== undefined) this.#hold(abortDelay, () => this.#close("550 This violates SMTP"));
    else if (readDelay > 0) this.#hold(readDelay, () => {});
  }

  rset(): void {
    this.#resetMail();
    this.ok("250 2.1.0 Ok");
  }

  quit(): void {
    this.#events.quit();
    this.#close("221 Bye");
  }

  /** Sends a reply. */
  ok(reply: string): void {
    this.#out += `${reply}\r\n`;
  }

  #transaction(): Transaction {
    const protocol = this.#plan.lmtp ? "LMTP" : this.#esmtp ? "ESMTP" : "SMTP";
    return {
      clientAddress: this.#clientAddress,
      protocol,
      helo: this.#heloName,
      mail: this.#mailArgument ?? "",
      recipients: this.#recipients,
    };
  }

  #input(bytes: Uint8Array): void {
    this.#lastInput = Date.now();
    if (this.#held) this.#waiting.push(bytes.slice());
    else this.#process(bytes);
    this.#flush();
  }

  #process(bytes: Uint8Array): void {
    let rest = bytes;
    while (rest.length > 0 && !this.#over) {
      if (this.#held) {
        this.#waiting.push(rest.slice());
        return;
      }
      if (this.#scanner === undefined) rest = this.#lines.push(rest, (line) => this.#takeCommand(line));
      else rest = this.#takeData(this.#scanner, rest);
    }
  }

  #takeData(scanner: DataScanner, bytes: Uint8Array): Uint8Array {
    if (this.#dump !== undefined && bytes.length + 2 > this.#dump.content.room) {
      this.#close(`552 5.3.4 Error: message is longer than ${DUMP_LIMIT} bytes`);
      return bytes.subarray(bytes.length);
    }
    const end = scanner.push(bytes);
    if (end < 0) return bytes.subarray(bytes.length);
    this.#scanner = undefined;
    this.#show(".", ".");
    this.#answer(".", () => this.#endMessage());
    return bytes.subarray(end);
  }

  #endMessage(): void {
    const { lmtp } = this.#plan;
    const replies = lmtp ? this.recipientCount : 1;
    for (let i = 0; i < replies; i++) this.ok(lmtp ? "250 2.2.0 Ok" : "250 2.0.0 Ok");
    this.#finishMessage();
  }

  /** Keeps the message if it is to be kept, counts it and is ready for the next. */
  #finishMessage(): void {
    if (this.#dump !== undefined) writeDump(this.#plan, this.#dump.content, this.#dump.id, Date.now());
    this.#resetMail();
    this.#flush();
    this.#events.message();
  }

  #resetMail(): void {
    this.#mailArgument = undefined;
    this.#recipients = [];
    this.recipientCount = 0;
    this.#dump = undefined;
  }

  /** Takes a command; false when what follows is not to be read as a command now. */
  #takeCommand(line: Uint8Array): boolean {
    const text = decodeText(line);
    const word = firstWord(text);
    const name = asciiUpper(word);
    const row = COMMANDS.find((one) => one.name === name && one.known(this.#plan));
    this.#show(row?.name, text);
    if (row === undefined) {
      this.ok(`500 ${word === "" ? "5.5.2" : "5.5.1"} Error: unknown command`);
      return true;
    }
    const objection = row.objection?.(this);
    // What the options want done with a command is done out of order too.
    if (objection !== undefined && !this.#isSpecial(row.name)) this.ok(objection);
    else this.#answer(row.name, () => row.run(this, trimBlanks(text.slice(word.length))));
    return !this.#held && !this.#over && this.#scanner === undefined;
  }

  #isSpecial(name: SinkCommand): boolean {
    const { disconnect, close421, hardReject, softReject } = this.#plan;
    return [disconnect, close421, hardReject, softReject].some((names) => names.has(name));
  }

  /** Answers a command as the options want it: at once or later, with its own reply or another, or not at all. */
  #answer(name: SinkCommand, run: () => void): void {
    const delay = this.#plan.delays.get(name);
    if (delay === undefined) this.#answerNow(name, run);
    else this.#hold(delaySeconds(delay), () => this.#answerNow(name, run));
  }

  #answerNow(name: SinkCommand, run: () => void): void {
    const { disconnect, close421, hardReject, softReject, hardReply, softReply, lmtp } = this.#plan;
    if (disconnect.has(name)) return this.#close(undefined);
    if (close421.has(name)) return this.#close("421 4.0.0 Server closing connection");
    if (!hardReject.has(name) && !softReject.has(name)) return run();
    const reply = hardReject.has(name) ? hardReply : softReply;
    // RFC 2033 section 4.2: LMTP answers the final dot once for each recipient.
    const replies = name === "." && lmtp ? this.recipientCount : 1;
    for (let i = 0; i < replies; i++) this.ok(reply);
    if (name === "QUIT") this.#close(undefined);
    if (name === ".") this.#finishMessage();
  }

  /** Reads nothing more for some time, then does something and goes on. */
  #hold(seconds: number, then: () => void): void {
    this.#held = true;
    this.#flush();
    this.#channel.pause();
    this.#timer = setTimeout(() => {
      if (this.#over) return;
      this.#held = false;
      then();
      this.#channel.resume();
      const waiting = this.#waiting;
      this.#waiting = [];
      this.#lastInput = Date.now();
      for (const bytes of waiting) this.#process(bytes);
      this.#flush();
    }, seconds * 1000);
  }

  #flush(): void {
    if (this.#out === "") return;
    const bytes = encodeText(this.#out);
    this.#out = "";
    if (!this.#over) this.#channel.write(bytes);
  }

  /** Ends the session, with a last reply or without. */
  #close(reply: string | undefined): void {
    if (this.#over) return;
    if (reply !== undefined) this.ok(reply);
    this.#flush();
    this.#channel.finish();
    this.#end();
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    if (this.#plan.verbose) this.#events.show("disconnect");
    this.#events.over();
  }

  #checkTime(): void {
    if (this.#held || Date.now() - this.#lastInput <= this.#plan.timeout * 1000) return;
    if (this.#plan.verbose) this.#events.show("timeout");
    this.#channel.destroy();
    this.#end();
  }

  #show(name: SinkCommand | undefined, line: string): void {
    const { verbose, logged } = this.#plan;
    if (verbose || (name !== undefined && logged.has(name))) this.#events.show(printable(line));
  }
}

/** The delay, with odds as often as the dice say. */
function delaySeconds(delay: SinkDelay): number {
  let times = 1;
  if (delay.odds > 0) { for (times = 0; Math.random() * 100 < delay.odds;) times++; }
  return delay.seconds * times;
}

function firstWord(line: string): string {
  let end = 0;
  while (end < line.length && !isBlank(line.charCodeAt(end))) end++;
  return line.slice(0, end);
}

/** The argument behind `FROM:` or `TO:`, on one line. */
function withoutWord(argument: string, word: string): string {
  const rest = asciiUpper(argument.slice(0, word.length)) === word ? argument.slice(word.length) : argument;
  let out = "";
  for (const letter of trimBlanks(rest)) {
    const unit = letter.charCodeAt(0);
    out += unit === CR || unit === LF ? " " : letter;
  }
  return out;
}
