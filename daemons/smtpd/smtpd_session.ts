/**
 * One client's session: bytes to commands and message text, replies back, deadlines and error counts. What a
 * command does is in smtpd_commands.ts.
 */
// Utility
import type { Logger } from "../../lib/log/log.ts";
import { asciiLower } from "../../lib/vstring/ascii.ts";
import type { ByteBuilder } from "../../lib/vstring/byte_builder.ts";
import { printable } from "../../lib/vstring/printable.ts";
import type { Channel } from "../../lib/safe/channel.ts";
import type { Handshake } from "../../lib/safe/tls_server.ts";
import { Deadline } from "../../lib/stream/deadline.ts";
import { InputBuffer, type InputLine } from "../../lib/stream/input_buffer.ts";
// Access
import type { Peer } from "../../lib/access/peer.ts";
import { type ReplyText, soften } from "../../lib/access/reply.ts";
import type { SaslFacts, TlsFacts } from "../../lib/access/session_facts.ts";
// This program
import { SessionAccess } from "./smtpd_access.ts";
import { type ClientAccount, UNLIMITED } from "./smtpd_anvil.ts";
import { type Command, COUNTED, findCommand, readCommand, runCommand } from "./smtpd_commands.ts";
import { CommandCounts } from "./smtpd_counts.ts";
import { endsSession, isErrorReply, REPLY, replyBytes } from "./smtpd_reply.ts";
import type { Server } from "./smtpd_server.ts";
import { recordBuffer } from "./smtpd_data.ts";
import { receivedLines } from "./smtpd_received.ts";
import { Transcript } from "./smtpd_transcript.ts";
import type { Transaction } from "./smtpd_transaction.ts";

/** Bytes of input that wait while a command is looked at; more stops reading from the client. */
const INPUT_LIMIT = 64 * 1024;
/** Bytes of text that the log shows of what a client sent too early. */
const EARLY_SAMPLE = 100;

type Phase = "connecting" | "handshake" | "command" | "busy" | "asking" | "data" | "closed";

/** What a session remembers besides its transaction. */
export interface Greeting {
  readonly name: string;
  readonly esmtp: boolean;
}

/** What a client answers when it is asked for something that is no command; a line is valid during the call only. */
export type Answer = InputLine | { readonly kind: "gone" };

/** What the configuration says of a client. */
export interface ClientStanding {
  /** It is in mynetworks. */
  readonly trusted: boolean;
  /** Headers of its mail are completed as those of mail from here. */
  readonly local: boolean;
  /** How much it does is neither counted nor limited. */
  readonly unlimited: boolean;
  /** AUTH is kept from it. */
  readonly noLogin: boolean;
}

/** What a session takes over from the one before the handshake: our own counts, and nothing that was said in the clear. */
interface Secured {
  readonly tls: TlsFacts;
  readonly anvil: ClientAccount;
  readonly counts: CommandCounts;
  readonly errors: number;
  readonly junk: number;
  readonly transcript: Transcript | undefined;
}

/** A session. */
export class Session {
  readonly server: Server;
  readonly peer: Peer;
  readonly trusted: boolean;
  /** Headers of the client's mail are completed as those of mail from here (local_header_rewrite_clients). */
  local: boolean;
  readonly log: Logger;
  /** What the client does is counted here. */
  readonly anvil: ClientAccount;
  /** Undefined in the clear. */
  readonly tls: TlsFacts | undefined;
  /** Undefined while nobody has logged in. */
  sasl: SaslFacts | undefined;
  readonly standing: ClientStanding;
  readonly #channel: Channel;
  readonly #done: () => void;
  /** What the restrictions have left behind so far. */
  readonly access = new SessionAccess();
  /** The client has sent commands before it could. */
  pipelined = false;
  greeting: Greeting | undefined;
  transaction: Transaction | undefined;
  #phase: Phase = "connecting";
  readonly #input = new InputBuffer();
  #paused = false;
  #handshake: Handshake | undefined;
  /** Who waits for the client's answer. */
  #asked: { readonly limit: number; readonly take: (answer: Answer) => void } | undefined;
  #out = "";
  /** Nothing more comes from the client. */
  #inputEnded = false;
  /** The client has said QUIT. */
  #quit = false;
  /** What the client did last, as the log names it. */
  #where = "CONNECT";
  #errors = 0;
  #junk = 0;
  #deadline: Deadline;
  readonly #counts: CommandCounts;
  /** For the records of one message after the other. */
  #records: ByteBuilder | undefined;
  /** Undefined unless the postmaster wants to know of errors. */
  readonly #transcript: Transcript | undefined;
  /** Why the session ended early, or empty. */
  #abortReason = "";

  constructor(
    server: Server,
    peer: Peer,
    standing: ClientStanding,
    channel: Channel,
    done: () => void,
    secured?: Secured,
  ) {
    this.server = server;
    this.peer = peer;
    this.standing = standing;
    this.trusted = standing.trusted;
    this.local = standing.local;
    this.log = server.log;
    this.anvil = secured?.anvil ?? (standing.unlimited ? UNLIMITED : server.openAccount(peer));
    this.#channel = channel;
    this.#done = done;
    this.#deadline = new Deadline(server.patience);
    this.tls = secured?.tls;
    this.#counts = secured?.counts ?? new CommandCounts();
    this.#errors = secured?.errors ?? 0;
    this.#junk = secured?.junk ?? 0;
    this.#transcript = secured?.transcript ??
      (server.keepsTranscripts ? new Transcript(server.settings) : undefined);
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
    this.#deadline.start();
    const admission = this.server.admit(this);
    if (!(admission instanceof Promise)) return this.#admitted(admission, early);
    this.#input.push(early);
    admission.then(
      (refusal) => {
        if (this.#phase !== "connecting") return;
        const sent = this.#input.view();
        this.#input.consume(sent.length);
        this.#admitted(refusal, sent);
      },
      (error) => this.server.failed(this, error),
    );
  }

  #admitted(refusal: ReplyText | undefined, early: Uint8Array): void {
    this.#phase = "command";
    const wrapper = this.server.tls?.wrapper === true;
    if (refusal !== undefined) {
      this.log.info(`NOQUEUE: reject: CONNECT from ${this.client}: ${refusal}; proto=SMTP`);
      // In wrapper mode nothing is ever said in the clear, and a client too many is not worth a handshake.
      if (wrapper) this.#phase = "closed";
      else this.reply(refusal);
      return this.#flush();
    }
    if (wrapper) return this.#beginHandshake(early);
    if (early.length > 0) this.pipelined = true;
    // RFC 5321 section 3.1 and 4.3.1: a client waits for the greeting before it sends anything.
    if (early.length > 0 && this.server.settings.smtpd_forbid_unauth_pipelining) {
      this.#improperPipelining("CONNECT", early);
      return this.#flush();
    }
    if (early.length > 0) this.#input.push(early);
    this.#judge();
  }

  /** Asks the restrictions on clients, where they judge before the greeting. */
  #judge(): void {
    if (!this.server.access.judgesClients) return this.#welcome(undefined);
    this.#phase = "busy";
    this.server.access.checkClient(this).then(
      (refused) => {
        if (this.#phase !== "busy") return;
        this.#phase = "command";
        this.#welcome(refused);
      },
      (error) => this.server.failed(this, error),
    );
  }

  /** Says the banner, or what refuses the client. */
  #welcome(refused: ReplyText | undefined): void {
    this.reply(refused ?? `220 ${this.server.settings.smtpd_banner}`);
    this.#flush();
    this.#resume();
  }

  /** Answers STARTTLS and begins the handshake. */
  startTls(): void {
    // What came behind STARTTLS in the clear may be anybody's, put there to be taken for what TLS protects.
    if (this.#input.length > 0) return this.#improperPipelining(this.#where, this.#input.view());
    this.#counts.accepted("starttls");
    this.reply(REPLY.startTls);
    this.#flush();
    this.#beginHandshake(this.#input.view());
  }

  #beginHandshake(early: Uint8Array): void {
    this.resetTransaction();
    this.#phase = "handshake";
    // One budget for all of it: a client that sends a byte now and then must not hold its place.
    const timeout = this.server.settings.smtpd_starttls_timeout * 1000;
    this.#deadline = new Deadline({ timeout, perRequest: true, minimumRate: Infinity });
    this.#handshake = this.server.tls!.accept(this.client, this.#channel, early, {
      secure: (channel, tls) => this.#goOnSecurely(channel, tls),
      failed: () => this.closed(),
    });
  }

  /** Another session takes over: of this one nothing is left but our own counts. */
  #goOnSecurely(channel: Channel, tls: TlsFacts): void {
    if (this.#phase !== "handshake") return channel.destroy();
    this.#phase = "closed";
    const next = new Session(this.server, this.peer, this.standing, channel, this.#done, {
      tls,
      anvil: this.anvil,
      counts: this.#counts,
      errors: this.#errors,
      junk: this.#junk,
      transcript: this.#transcript,
    });
    this.server.replace(this, next);
    channel.start({
      data: (bytes) => next.data(bytes),
      ended: () => next.ended(),
      closed: () => next.closed(),
    });
    next.#phase = "command";
    next.#where = this.#where;
    if (this.#where === "CONNECT") next.#judge();
  }

  /** Takes bytes from the client. */
  data(bytes: Uint8Array): void {
    if (this.#phase === "closed") return;
    this.#deadline.progress(bytes.length);
    this.#input.push(bytes);
    this.#run();
    if (this.#input.length > INPUT_LIMIT && (this.#phase === "busy" || this.#phase === "connecting")) {
      this.#pause();
    }
  }

  /** The client sends no more, and may still read: what it has sent is answered. */
  ended(): void {
    this.#inputEnded = true;
    if (this.#phase !== "busy" && this.#phase !== "connecting") this.closed();
  }

  /** The client has gone. */
  closed(): void {
    if (this.#phase === "closed") return;
    this.log.info(`lost connection after ${this.#where} from ${this.client}`);
    this.#abortReason = "lost connection";
    this.#end();
  }

  /** The client was silent for too long. */
  timeout(): void {
    if (this.#phase === "closed") return;
    if (this.#handshake !== undefined && this.#phase === "handshake") {
      this.#handshake.cancel();
      this.server.tls?.logFailure(this.client, "Connection timed out");
      return this.closed();
    }
    this.log.info(`timeout after ${this.#where} from ${this.client}`);
    this.#abortReason = "timeout";
    this.reply(`421 4.4.2 ${this.server.settings.myhostname} Error: timeout exceeded`);
    this.#flush();
  }

  /** Ends the session after a fault that is not the client's. */
  fail(): void {
    this.reply(`421 4.3.0 ${this.server.settings.myhostname} Error: internal error`);
    this.#flush();
  }

  /** Sends something that is no last reply, and waits for the client's answer to it. For a command that is under way. */
  ask(text: ReplyText, limit: number): Promise<Answer> {
    if (this.isOver) return Promise.resolve({ kind: "gone" });
    this.reply(text);
    this.#phase = "asking";
    this.#deadline.start();
    const answer = new Promise<Answer>((take) => this.#asked = { limit, take });
    this.#resume();
    return answer;
  }

  /** The client has proven who it is. */
  login(facts: SaslFacts): void {
    this.sasl = facts;
    const { local_header_rewrite_clients } = this.server.settings;
    if (local_header_rewrite_clients.includes("permit_sasl_authenticated")) this.local = true;
  }

  /** Nothing more can be said to the client. */
  get isOver(): boolean {
    return this.#isClosed();
  }

  /** Adds a reply to what is sent. */
  reply(text: ReplyText): void {
    if (this.#phase === "closed") return;
    const plain = this.#plain(text);
    const reply = this.server.footer === undefined ? plain : this.server.footer.add(this, plain);
    this.#out += `${reply}\r\n`;
    this.#transcript?.said(reply);
    if (endsSession(reply)) this.#phase = "closed";
  }

  /** Counts a command that brings no mail; too many of them are errors. */
  countJunk(): void {
    if (this.#junk++ > this.server.settings.smtpd_junk_command_limit) this.#errors++;
  }

  /** Throws the transaction away. */
  resetTransaction(): void {
    this.#transcript?.flush();
    this.transaction?.abort();
    this.transaction = undefined;
  }

  /** As the log names it. */
  get protocol(): "ESMTP" | "SMTP" {
    return this.greeting?.esmtp === true ? "ESMTP" : "SMTP";
  }

  /** Sends the envelope and reads message text from then on; undefined when that is so at once. */
  beginData(transaction: Transaction): Promise<void> | undefined {
    const { settings } = this.server;
    const { peer, local } = this;
    const { sasl } = this;
    const facts = { peer, helo: this.greeting?.name ?? "", protocol: this.protocol, local, sasl };
    const received = receivedLines({
      ...facts,
      queueId: transaction.id,
      hostName: settings.myhostname,
      mailName: settings.mail_name,
      recipients: transaction.recipients,
      hideClient: settings.smtpd_hide_client_session,
      tls: this.tls,
      showTls: settings.smtpd_tls_received_header,
      showLogin: settings.smtpd_sasl_authenticated_header,
    }, this.server.date(Date.now()));
    this.log.info(
      `${transaction.id}: client=${this.client}${loginText(sasl, transaction.options?.submitter ?? "")}`,
    );
    const limits = { line: settings.line_length_limit, size: settings.message_size_limit };
    this.#records ??= recordBuffer();
    const pending = transaction.beginData(facts, limits, received, this.#records);
    if (pending !== undefined) return pending.then(() => this.#inviteData(transaction));
    this.#inviteData(transaction);
    return undefined;
  }

  #inviteData(transaction: Transaction): void {
    // The client may have gone while the envelope went out.
    if (this.transaction !== transaction) return;
    this.reply(REPLY.data);
    this.#phase = "data";
  }

  /** Works through the input as far as it goes without waiting. */
  #run(): void {
    for (;;) {
      if (this.#phase === "data") {
        if (!this.#takeText()) break;
      } else if (this.#phase === "asking") {
        this.#takeAnswer();
        break;
      } else if (this.#phase !== "command" || !this.#takeCommand()) break;
    }
    this.#flush();
    if (this.#inputEnded && this.#phase !== "busy") this.closed();
  }

  /** Gives the client's answer to whoever asked for it. */
  #takeAnswer(): void {
    const { limit, take } = this.#asked!;
    const line = this.#input.line(limit);
    if (line.kind === "more") return;
    this.#asked = undefined;
    this.#phase = "busy";
    take(line.kind === "line" ? { ...line, bytes: line.bytes.slice() } : line);
  }

  /** Runs one command if a whole line is there; false when there is nothing more to do now. */
  #takeCommand(): boolean {
    const line = this.#input.line(this.server.settings.line_length_limit);
    if (line.kind === "more") return false;
    this.#deadline.start();
    this.#where = "UNKNOWN";
    if (line.kind === "tooLong") return this.#refuse(REPLY.lineTooLong);
    if (!line.crlf && this.#refusesBareNewline("COMMAND")) {
      this.reply(this.server.bareNewlineReply);
      this.#phase = "closed";
      return false;
    }
    return this.#runLine(line.bytes);
  }

  #runLine(line: Uint8Array): boolean {
    this.#transcript?.heard(line);
    const parsed = readCommand(line);
    if (parsed.kind === "badUtf8") return this.#refuse(REPLY.badUtf8);
    if (parsed.kind === "empty") return this.#refuse(REPLY.badSyntax);
    if (parsed.kind === "foreign") {
      this.log.warning(`non-SMTP command from ${this.client}: ${printable(line, EARLY_SAMPLE)}`);
      this.#counts.came("unknown");
      this.reply(REPLY.notSmtp);
      this.#phase = "closed";
      return false;
    }
    const command = findCommand(parsed.verb);
    this.#where = command?.name ?? "UNKNOWN";
    // RFC 2920 section 3.1: EHLO, DATA, VRFY, NOOP and QUIT are the last of a group; RFC 5321 alone allows no groups.
    const last = command?.last === true || this.greeting?.esmtp !== true;
    if (last && this.#input.length > 0 && command?.name !== "QUIT") {
      this.pipelined = true;
      if (this.server.settings.smtpd_forbid_unauth_pipelining) {
        this.#improperPipelining(this.#where, this.#input.view());
        return false;
      }
    }
    if (this.access.denied && command?.name !== "QUIT") {
      return this.#refuse(`503 5.7.0 Error: access denied for ${this.client}`);
    }
    if (command === undefined) return this.#refuse(REPLY.unknownCommand);
    if (this.server.tls?.demanded === true && this.tls === undefined && command.beforeTls !== true) {
      this.#counts.came(asciiLower(command.name));
      return this.#finish(asciiLower(command.name), REPLY.needTls);
    }
    return this.#execute(command, parsed.argument);
  }

  #execute(command: Command, argument: Uint8Array): boolean {
    const name = asciiLower(command.name);
    this.#counts.came(name);
    const result = runCommand(this, command, argument);
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

  /** Refuses what is no command. */
  #refuse(reply: ReplyText): boolean {
    this.#counts.came("unknown");
    return this.#finish("unknown", reply);
  }

  /**
   * Sends a command's reply, later when the client has erred often; false when the session must wait or is over.
   * DATA that has begun is finished by its end.
   */
  #finish(name: string, reply: ReplyText | undefined): boolean {
    if (this.#phase === "data") return true;
    if (this.#phase === "handshake") return false;
    const { smtpd_soft_error_limit, smtpd_error_sleep_time } = this.server.settings;
    const pause = this.#errors < smtpd_soft_error_limit ? 0 : smtpd_error_sleep_time;
    const footer = reply === undefined ? undefined : this.server.footer?.prepare(this.#plain(reply));
    if (pause === 0 && footer === undefined) return this.#conclude(name, reply);
    this.#phase = "busy";
    const conclude = () => {
      if (this.#phase !== "busy") return;
      this.#phase = "command";
      if (this.#conclude(name, reply)) this.#resume();
      else this.#flush();
    };
    if (pause > 0) setTimeout(() => (footer ?? Promise.resolve()).then(conclude), pause * 1000);
    else footer!.then(conclude);
    return false;
  }

  /** The reply as it is said, but for its footer. */
  #plain(text: ReplyText): ReplyText {
    return this.server.settings.soft_bounce ? soften(text) : text;
  }

  /** Sends a reply and sees whether the client has erred too often. */
  #conclude(name: string, reply: ReplyText | undefined): boolean {
    if (this.#isClosed()) return false;
    const refused = reply !== undefined && isErrorReply(reply);
    if (!refused) this.#counts.accepted(name);
    if (reply !== undefined) this.reply(reply);
    if (name === "quit") {
      this.#quit = true;
      this.#phase = "closed";
    }
    if (this.#isClosed()) return false;
    if (refused) this.#errors++;
    const { settings } = this.server;
    if (this.#errors < settings.smtpd_hard_error_limit) return true;
    this.log.info(`too many errors after ${this.#where} from ${this.client}`);
    this.#abortReason = "too many errors";
    this.reply(`421 4.7.0 ${settings.myhostname} Error: too many errors`);
    return false;
  }

  #isClosed(): boolean {
    return this.#phase === "closed";
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
    this.#where = "END-OF-MESSAGE";
    this.transaction = undefined;
    if (transaction.reader!.bareNewline && this.#refusesBareNewline("DATA")) {
      transaction.abort();
      return this.#closeData(this.server.bareNewlineReply);
    }
    if (this.server.access.endFree || transaction.reader!.tooBig) return this.#commit(transaction);
    this.server.access.checkContent(this, transaction, true).then((refused) => {
      if (refused === undefined) return this.#commit(transaction);
      transaction.abort();
      this.#closeData(refused);
    }, (error) => this.server.failed(this, error));
  }

  #commit(transaction: Transaction): void {
    transaction.commit().then((outcome) => {
      if (outcome.accepted) {
        this.#errors = 0;
        this.#junk = 0;
        this.#transcript?.accepted();
      }
      this.#closeData(outcome.reply);
    }, (error) => this.server.failed(this, error));
  }

  /** Answers a message. */
  #closeData(reply: ReplyText): void {
    if (this.#phase !== "busy") return;
    this.#phase = "command";
    if (this.#finish("data", reply)) this.#resume();
    else this.#flush();
  }

  /** True when a line that ended in LF alone is refused; it is logged also where the administrator asked for a note. */
  #refusesBareNewline(where: string): boolean {
    const verdict = this.server.bareNewline(this.peer);
    if (verdict !== "accept") this.log.info(`bare <LF> received after ${where} from ${this.client}`);
    return verdict === "reject";
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
      this.#channel.write(replyBytes(this.#out));
      this.#out = "";
    }
    if (this.#phase === "closed") this.#end();
  }

  #end(): void {
    this.#phase = "closed";
    this.#asked?.take({ kind: "gone" });
    if (!this.server.forget(this)) return;
    if (this.#transcript?.wanted === true) {
      this.server.sendTranscript(this.#transcript, this.client, this.#abortReason);
    }
    this.resetTransaction();
    // A client that has taken its leave sends no more; any other is listened to until it has seen the last reply.
    if (this.#quit && this.#input.length === 0) this.#channel.close();
    else this.#channel.finish();
    this.log.info(`disconnect from ${this.client}${this.#counts.text(COUNTED)}`);
    this.#done();
  }
}

/** What the log tells of a login with a message. */
function loginText(sasl: SaslFacts | undefined, submitter: string): string {
  if (sasl === undefined) return "";
  const sender = submitter === "" ? "" : `, sasl_sender=${submitter}`;
  return `, sasl_method=${printable(sasl.method)}, sasl_username=${printable(sasl.username)}${sender}`;
}
