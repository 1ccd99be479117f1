/**
 * One client's session: bytes to commands and message text, replies back, deadlines and error counts. What a
 * command does is in smtpd_commands.ts.
 */
// Utility
import type { Logger } from "../../lib/log/log.ts";
import { encodeText } from "../../lib/vstring/byte_builder.ts";
import { printable } from "../../lib/vstring/printable.ts";
import type { Channel } from "../../lib/safe/channel.ts";
import { Deadline } from "../../lib/stream/deadline.ts";
import { InputBuffer } from "../../lib/stream/input_buffer.ts";
// This program
import { type Command, findCommand, readCommand, runCommand } from "./smtpd_commands.ts";
import type { Peer } from "./smtpd_peer.ts";
import { endsSession, isErrorReply, REPLY, type ReplyText, soften } from "./smtpd_reply.ts";
import type { Server } from "./smtpd_server.ts";
import { receivedLines } from "./smtpd_received.ts";
import type { Transaction } from "./smtpd_transaction.ts";

/** Bytes of input that wait while a command is looked at; more stops reading from the client. */
const INPUT_LIMIT = 64 * 1024;
/** Bytes of text that the log shows of what a client sent too early. */
const EARLY_SAMPLE = 100;

type Phase = "connecting" | "command" | "busy" | "data" | "closed";

/** What a session remembers besides its transaction. */
export interface Greeting {
  readonly name: string;
  readonly esmtp: boolean;
}

/** A session. */
export class Session {
  readonly server: Server;
  readonly peer: Peer;
  readonly trusted: boolean;
  readonly log: Logger;
  readonly #channel: Channel;
  readonly #done: () => void;
  greeting: Greeting | undefined;
  transaction: Transaction | undefined;
  #phase: Phase = "connecting";
  readonly #input = new InputBuffer();
  #paused = false;
  #out = "";
  #errors = 0;
  #junk = 0;
  readonly #deadline: Deadline;
  /** Commands by name: accepted and all. */
  readonly #counts = new Map<string, [number, number]>();

  constructor(server: Server, peer: Peer, trusted: boolean, channel: Channel, done: () => void) {
    this.server = server;
    this.peer = peer;
    this.trusted = trusted;
    this.log = server.log;
    this.#channel = channel;
    this.#done = done;
    this.#deadline = new Deadline(server.patience);
  }

  /** "host[address]", as all logs name the client. */
  get client(): string {
    return `${this.peer.name}[${this.peer.address}]`;
  }

  /** True when the client has taken too long for what it is to send. */
  get late(): boolean {
    return this.#phase !== "busy" && this.#deadline.left <= 0;
  }

  /** Greets the client; what it sent before that is held against it. */
  begin(early: Uint8Array): void {
    this.log.info(`connect from ${this.client}`);
    this.#phase = "command";
    this.#deadline.start();
    const refusal = this.server.admit(this);
    if (refusal !== undefined) {
      this.log.info(`NOQUEUE: reject: CONNECT from ${this.client}: ${refusal}; proto=SMTP`);
      this.reply(refusal);
      return this.#flush();
    }
    // RFC 5321 section 3.1 and 4.3.1: a client waits for the greeting before it sends anything.
    if (early.length > 0 && this.server.settings.smtpd_forbid_unauth_pipelining) {
      this.#improperPipelining("CONNECT", early);
      return this.#flush();
    }
    this.reply(`220 ${this.server.settings.smtpd_banner}`);
    this.#flush();
    if (early.length > 0) this.data(early);
  }

  /** Takes bytes from the client. */
  data(bytes: Uint8Array): void {
    if (this.#phase === "closed") return;
    this.#deadline.progress(bytes.length);
    this.#input.push(bytes);
    this.#run();
    if (this.#input.length > INPUT_LIMIT && this.#phase === "busy") this.#pause();
  }

  /** The client has gone. */
  closed(): void {
    if (this.#phase === "closed") return;
    const where = this.transaction === undefined ? "" : ` after ${this.#phase === "data" ? "DATA" : "RCPT"}`;
    if (this.greeting !== undefined && !this.#counts.has("quit")) {
      this.log.info(`lost connection${where || " after CONNECT"} from ${this.client}`);
    }
    this.#end();
  }

  /** The client was silent for too long. */
  timeout(): void {
    if (this.#phase === "closed") return;
    this.log.info(`timeout after ${this.#phase === "data" ? "DATA" : "COMMAND"} from ${this.client}`);
    this.reply(`421 4.4.2 ${this.server.settings.myhostname} Error: timeout exceeded`);
    this.#flush();
  }

  /** Ends the session with a word: the process is about to end. */
  shutdown(): void {
    this.reply(`421 4.3.2 ${this.server.settings.myhostname} Service shutting down`);
    this.#flush();
  }

  /** Adds a reply to what is sent. */
  reply(text: ReplyText): void {
    if (this.#phase === "closed") return;
    const reply = this.server.settings.soft_bounce ? soften(text) : text;
    this.#out += `${reply}\r\n`;
    if (endsSession(reply)) this.#phase = "closed";
  }

  /** Adds a reply of several lines. */
  replyLines(code: string, lines: readonly string[]): void {
    lines.forEach((line, i) => this.#out += `${code}${i < lines.length - 1 ? "-" : " "}${line}\r\n`);
  }

  /** Counts a command that brings no mail; too many of them are errors. */
  countJunk(): void {
    if (++this.#junk > this.server.settings.smtpd_junk_command_limit) this.#errors++;
  }

  /** Throws the transaction away. */
  resetTransaction(): void {
    this.transaction?.abort();
    this.transaction = undefined;
  }

  /** Logs a refusal as Postfix does. */
  logReject(stage: string, reply: ReplyText, recipient?: string): void {
    const sender = this.transaction === undefined ? "" : ` from=<${printable(this.transaction.sender)}>`;
    const to = recipient === undefined ? "" : ` to=<${printable(recipient)}>`;
    const helo = this.greeting === undefined ? "" : ` helo=<${printable(this.greeting.name)}>`;
    const proto = this.greeting?.esmtp === true ? "ESMTP" : "SMTP";
    this.log.info(
      `NOQUEUE: reject: ${stage} from ${this.client}: ${reply};${sender}${to} proto=${proto}${helo}`,
    );
  }

  /** Reads message text from now on. */
  beginData(queueId: string): void {
    const { settings } = this.server;
    const transaction = this.transaction!;
    const facts = {
      peer: this.peer,
      helo: this.greeting?.name ?? "",
      protocol: this.greeting?.esmtp ? "ESMTP" : "SMTP",
    };
    const received = receivedLines({
      ...facts,
      queueId,
      hostName: settings.myhostname,
      mailName: settings.mail_name,
      recipients: transaction.recipients,
      hideClient: settings.smtpd_hide_client_session,
    }, this.server.date(Date.now()));
    transaction.beginData(facts, settings.line_length_limit, received);
    this.log.info(`${queueId}: client=${this.client}`);
    this.reply(REPLY.data);
    this.#phase = "data";
  }

  /** Works through the input as far as it goes without waiting. */
  #run(): void {
    for (;;) {
      if (this.#phase === "data") {
        if (!this.#takeText()) break;
      } else if (this.#phase !== "command" || !this.#takeCommand()) break;
    }
    this.#flush();
  }

  /** Runs one command if a whole line is there; false when there is nothing more to do now. */
  #takeCommand(): boolean {
    const line = this.#input.line(this.server.settings.line_length_limit);
    if (line.kind === "more") return false;
    if (line.kind === "tooLong") return this.#finish("unknown", REPLY.lineTooLong);
    if (!line.crlf && this.server.refusesBareNewline(this.peer)) {
      this.log.info(`bare <LF> received after COMMAND from ${this.client}`);
      this.reply(`521 5.5.2 ${this.server.settings.myhostname} Error: bare <LF> received`);
      return false;
    }
    return this.#runLine(line.bytes);
  }

  #runLine(line: Uint8Array): boolean {
    const parsed = readCommand(line);
    if (parsed.kind === "foreign") {
      this.log.warning(`non-SMTP command from ${this.client}: ${printable(line, EARLY_SAMPLE)}`);
      this.reply(REPLY.notSmtp);
      this.#phase = "closed";
      return false;
    }
    const command = findCommand(parsed.verb);
    // RFC 2920 section 3.1: EHLO, DATA, VRFY, NOOP and QUIT are the last of a group; RFC 5321 alone allows no groups.
    const last = command?.last === true || this.greeting?.esmtp !== true;
    if (
      last && this.#input.length > 0 && command?.name !== "QUIT" &&
      this.server.settings.smtpd_forbid_unauth_pipelining
    ) {
      this.#improperPipelining(command?.name ?? "UNKNOWN", this.#input.view());
      return false;
    }
    if (parsed.kind === "badUtf8") return this.#finish("unknown", REPLY.badUtf8);
    if (command === undefined) return this.#finish("unknown", REPLY.unknownCommand);
    return this.#execute(command, parsed.argument);
  }

  #execute(command: Command, argument: Uint8Array): boolean {
    const result = runCommand(this, command, argument);
    const name = command.name.toLowerCase();
    if (!(result instanceof Promise)) return this.#finish(name, result);
    this.#phase = "busy";
    result.then(
      (reply) => {
        if (this.#phase === "busy") this.#phase = "command";
        if (this.#finish(name, reply)) this.#resume();
        else this.#flush();
      },
      (error) => this.server.failed(this, error),
    );
    return false;
  }

  /** Counts a command and sends its reply; false when the session must wait or is over. */
  #finish(name: string, reply: ReplyText | undefined): boolean {
    const refused = reply !== undefined && isErrorReply(reply);
    const count = this.#counts.get(name) ?? [0, 0];
    this.#counts.set(name, [count[0] + (refused ? 0 : 1), count[1] + 1]);
    return this.#conclude(name, reply, refused);
  }

  /** Sends a reply and sees whether the client has erred too often. */
  #conclude(name: string, reply: ReplyText | undefined, refused: boolean): boolean {
    if (reply !== undefined) this.reply(reply);
    if (this.#isClosed()) return false;
    if (name === "quit") {
      this.#phase = "closed";
      return false;
    }
    if (!refused) return true;
    this.#errors++;
    const { settings } = this.server;
    if (this.#errors > settings.smtpd_hard_error_limit) {
      this.log.info(`too many errors after ${name.toUpperCase()} from ${this.client}`);
      this.reply(`421 4.7.0 ${settings.myhostname} Error: too many errors`);
      return false;
    }
    if (this.#errors > settings.smtpd_soft_error_limit) return this.#sleep(settings.smtpd_error_sleep_time);
    return true;
  }

  #isClosed(): boolean {
    return this.#phase === "closed";
  }

  /** Makes a client that errs wait for its reply. */
  #sleep(seconds: number): boolean {
    if (seconds === 0) return true;
    this.#phase = "busy";
    setTimeout(() => {
      if (this.#phase !== "busy") return;
      this.#phase = "command";
      this.#resume();
    }, seconds * 1000);
    return false;
  }

  #resume(): void {
    this.#deadline.start();
    if (this.#paused) {
      this.#paused = false;
      this.#channel.resume();
    }
    this.#run();
  }

  #pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#channel.pause();
  }

  /** Feeds message text; false when there is nothing more to do now. */
  #takeText(): boolean {
    if (this.#input.length === 0) return false;
    const transaction = this.transaction!;
    const used = transaction.reader!.push(this.#input.view());
    if (used >= 0) {
      this.#input.consume(used);
      this.#endData(transaction);
      return false;
    }
    this.#input.consume(this.#input.length);
    if (transaction.congested) {
      this.#pause();
      transaction.drained().then(() => {
        if (this.#phase === "data") this.#resume();
      });
    }
    return false;
  }

  #endData(transaction: Transaction): void {
    this.#phase = "busy";
    const { settings } = this.server;
    this.transaction = undefined;
    if (transaction.reader!.bareNewline && this.server.refusesBareNewline(this.peer)) {
      transaction.abort();
      this.log.info(`bare <LF> received after DATA from ${this.client}`);
      const reply =
        `${settings.smtpd_forbid_bare_newline_reject_code} 5.5.2 ${settings.myhostname} Error: bare <LF> received`;
      this.#phase = "command";
      if (this.#conclude("data", reply, true)) this.#resume();
      else this.#flush();
      return;
    }
    transaction.commit().then((outcome) => {
      if (this.#phase !== "busy") return;
      this.#phase = "command";
      if (outcome.accepted) {
        this.#errors = 0;
        this.#junk = 0;
      }
      if (this.#conclude("data", outcome.reply, !outcome.accepted)) this.#resume();
      else this.#flush();
    }, (error) => this.server.failed(this, error));
  }

  #improperPipelining(after: string, input: Uint8Array): void {
    this.log.info(
      `improper command pipelining after ${after} from ${this.client}: ${printable(input, EARLY_SAMPLE)}`,
    );
    this.reply(REPLY.synchronization);
    this.#phase = "closed";
  }

  /** Sends the replies that were gathered, and closes when the session is over. */
  #flush(): void {
    if (this.#out !== "") {
      this.#channel.write(encodeText(this.#out));
      this.#out = "";
    }
    if (this.#phase === "closed") {
      this.#channel.finish();
      this.#end();
    }
  }

  #end(): void {
    this.#phase = "closed";
    if (!this.server.forget(this)) return;
    this.resetTransaction();
    this.log.info(`disconnect from ${this.client}${this.#countText()}`);
    this.#done();
  }

  /** " ehlo=1 mail=1 rcpt=0/1 ... commands=3": accepted and all, as Postfix. */
  #countText(): string {
    let text = "";
    let accepted = 0;
    let all = 0;
    for (const [name, [ok, total]] of this.#counts) {
      text += ` ${name}=${ok === total ? total : `${ok}/${total}`}`;
      accepted += ok;
      all += total;
    }
    return `${text} commands=${accepted === all ? all : `${accepted}/${all}`}`;
  }
}
