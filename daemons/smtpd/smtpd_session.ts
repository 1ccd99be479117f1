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
import { InputBuffer } from "../../lib/stream/input_buffer.ts";
// Access
import type { Peer } from "../../lib/access/peer.ts";
import type { ReplyText } from "../../lib/access/reply.ts";
import type { SaslFacts, TlsFacts } from "../../lib/access/session_facts.ts";
// This program
import { SessionAccess } from "./smtpd_access.ts";
import { type ClientAccount, UNLIMITED } from "./smtpd_anvil.ts";
import { type Command, COUNTED, findCommand, readCommand, runCommand } from "./smtpd_commands.ts";
import type { Answer, ClientStanding, Greeting, Inherited } from "./smtpd_client.ts";
import { CommandCounts } from "./smtpd_counts.ts";
import { Output } from "./smtpd_output.ts";
import { endsSession, isErrorReply, REPLY } from "./smtpd_reply.ts";
import type { Server } from "./smtpd_server.ts";
import { type Chunk, type ChunkState, Intake } from "./smtpd_bdat.ts";
import { recordBuffer } from "./smtpd_data.ts";
import { Transcript } from "./smtpd_transcript.ts";
import { endText, refusesBareNewline } from "./smtpd_text.ts";
import type { Transaction } from "./smtpd_transaction.ts";
import type { ForwardFacts } from "./smtpd_xforward.ts";

/** Bytes of input that wait while a command is looked at; more stops reading from the client. */
const INPUT_LIMIT = 64 * 1024;
/** Bytes of text that the log shows of what a client sent too early. */
const EARLY_SAMPLE = 100;
type Phase = "connecting" | "handshake" | "command" | "busy" | "asking" | "data" | "chunk" | "closed";

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
  readonly access: SessionAccess;
  /** The client has sent commands before it could. */
  pipelined = false;
  greeting: Greeting | undefined;
  transaction: Transaction | undefined;
  /** Where the next message comes from, as XFORWARD says. */
  forwarded: ForwardFacts | undefined;
  /** Where the message is that comes in chunks. */
  chunks: ChunkState = "none";
  #intake: Intake | undefined;
  #phase: Phase = "connecting";
  readonly #input = new InputBuffer();
  #paused = false;
  #handshake: Handshake | undefined;
  /** Who waits for the client's answer. */
  #asked: { readonly limit: number; readonly take: (answer: Answer) => void } | undefined;
  readonly #output: Output;
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
    before?: Inherited,
  ) {
    this.server = server;
    this.peer = peer;
    this.standing = standing;
    this.trusted = standing.trusted;
    this.local = standing.local;
    this.log = server.log;
    this.anvil = before?.anvil ?? (standing.unlimited ? UNLIMITED : server.openAccount(peer));
    this.#channel = channel;
    this.#done = done;
    this.#deadline = new Deadline(server.patience);
    this.access = new SessionAccess(before?.client);
    this.tls = before?.tls;
    this.#counts = before?.counts ?? new CommandCounts();
    this.#errors = before?.errors ?? 0;
    this.#junk = before?.junk ?? 0;
    this.#transcript = before?.transcript ??
      (server.keepsTranscripts ? new Transcript(server.settings) : undefined);
    this.#output = new Output(channel, this.#transcript);
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
    this.judge();
  }

  /** Asks the restrictions on clients, where they judge before the greeting. */
  judge(): void {
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

  /** Another session takes over behind the handshake: of this one nothing is left but our own counts. */
  #goOnSecurely(channel: Channel, tls: TlsFacts): void {
    if (this.#phase !== "handshake") return channel.destroy();
    const next = this.giveWay(this.peer, this.standing, tls, channel);
    if (this.#where === "CONNECT") next.judge();
  }

  /** Lets another session take over, of another client or on another channel; nothing of this one's state goes with it. */
  giveWay(
    peer: Peer,
    standing: ClientStanding,
    tls: TlsFacts | undefined,
    channel: Channel = this.#channel,
  ): Session {
    this.resetTransaction();
    this.#flush();
    this.#phase = "closed";
    const next = new Session(this.server, peer, standing, channel, this.#done, {
      // What restrictions have said of another client does not hold for this one.
      client: peer === this.peer ? this.access.client : undefined,
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
    return next;
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

  /** Nothing more can be said to the client. */
  get isOver(): boolean {
    return this.#phase === "closed";
  }

  /** Adds a reply to what is sent. */
  reply(text: ReplyText): void {
    if (this.#phase === "closed") return;
    if (endsSession(this.#output.add(this, text))) this.#phase = "closed";
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
    this.chunks = "none";
    this.forwarded = undefined;
  }

  /** As the log names it. */
  get protocol(): "ESMTP" | "SMTP" {
    return this.greeting?.esmtp === true ? "ESMTP" : "SMTP";
  }

  /** Where the records of a message are gathered, one message after the other. */
  get records(): ByteBuilder {
    return this.#records ??= recordBuffer();
  }

  /** Answers DATA, and reads message text from then on. */
  inviteText(transaction: Transaction): undefined {
    // The client may have gone while the envelope went out.
    if (this.transaction !== transaction) return;
    this.reply(REPLY.data);
    this.#phase = "data";
  }

  /** Takes the chunk that follows, or with a refusal reads over it and then refuses it. */
  takeChunk(chunk: Chunk, refusal: ReplyText | undefined): void {
    if (this.#phase === "closed") return;
    this.chunks = refusal === undefined ? "taking" : "failed";
    if (refusal === undefined) this.transaction!.reader!.dots = false;
    this.#intake = new Intake(chunk, refusal);
    this.#phase = "chunk";
  }

  /** Works through the input as far as it goes without waiting. */
  #run(): void {
    for (;;) {
      if (this.#phase === "data") {
        if (!this.#takeText()) break;
      } else if (this.#phase === "chunk") {
        if (!this.#takeChunkBytes(this.#intake!)) break;
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
    if (!line.crlf && refusesBareNewline(this, "COMMAND")) {
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
    if (this.#phase === "data" || this.#phase === "chunk") return true;
    if (this.#phase === "handshake") return false;
    const wait = this.#output.prepare(this, reply, this.#errors);
    if (wait === undefined) return this.#conclude(name, reply);
    this.#phase = "busy";
    wait.then(() => {
      if (this.#phase !== "busy") return;
      this.#phase = "command";
      if (this.#conclude(name, reply)) this.#resume();
      else this.#flush();
    });
    return false;
  }

  /** Sends a reply and sees whether the client has erred too often. */
  #conclude(name: string, reply: ReplyText | undefined): boolean {
    if (this.isOver) return false;
    const refused = reply !== undefined && isErrorReply(reply);
    if (!refused) this.#counts.accepted(name);
    if (reply !== undefined) this.reply(reply);
    if (name === "quit") {
      this.#quit = true;
      this.#phase = "closed";
    }
    if (this.isOver) return false;
    if (refused) this.#errors++;
    const { settings } = this.server;
    if (this.#errors < settings.smtpd_hard_error_limit) return true;
    this.log.info(`too many errors after ${this.#where} from ${this.client}`);
    this.#abortReason = "too many errors";
    this.reply(`421 4.7.0 ${settings.myhostname} Error: too many errors`);
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
    this.#relieve(transaction);
    return false;
  }

  /** Feeds bytes of a chunk; false when there is nothing more to do now. */
  #takeChunkBytes({ chunk, refusal }: Intake): boolean {
    const over = this.#intake!.take(this.#input, this.transaction?.reader);
    if (!over && refusal === undefined) this.#relieve(this.transaction!);
    if (!over) return false;
    this.#phase = "command";
    if (refusal === undefined && chunk.last) {
      this.chunks = "none";
      this.#endData(this.transaction!, "bdat");
      return false;
    }
    if (chunk.last) this.resetTransaction();
    return this.#finish("bdat", refusal ?? `250 2.0.0 Ok: ${chunk.size} bytes`);
  }

  /** Stops reading while much is under way to cleanup. */
  #relieve(transaction: Transaction): void {
    if (!transaction.congested) return;
    const phase = this.#phase;
    this.#pause();
    transaction.drained().then(() => {
      if (this.#phase === phase) this.#resume();
    });
  }

  #endData(transaction: Transaction, command: "data" | "bdat" = "data"): void {
    this.#phase = "busy";
    this.#where = "END-OF-MESSAGE";
    this.transaction = undefined;
    this.forwarded = undefined;
    endText(this, transaction, command).then((outcome) => {
      if (outcome.accepted) {
        this.#errors = 0;
        this.#junk = 0;
        this.#transcript?.accepted();
      }
      this.#closeData(command, outcome.reply);
    }, (error) => this.server.failed(this, error));
  }

  /** Answers a message. */
  #closeData(command: "data" | "bdat", reply: ReplyText): void {
    if (this.#phase !== "busy") return;
    this.#phase = "command";
    if (this.#finish(command, reply)) this.#resume();
    else this.#flush();
  }

  #improperPipelining(after: string, input: Uint8Array): void {
    const sample = printable(input, EARLY_SAMPLE);
    this.log.info(`improper command pipelining after ${after} from ${this.client}: ${sample}`);
    this.reply(REPLY.synchronization);
    this.#phase = "closed";
  }

  /** Sends the replies that were gathered, and closes when the session is over. */
  #flush(): void {
    this.#output.flush();
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
