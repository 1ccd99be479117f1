/**
 * One client's session: bytes to commands and message text, replies back, deadlines and error counts. What a
 * command does is in smtpd_commands.ts.
 */
// Utility
import type { Logger } from "../../lib/log/log.ts";
import { asciiLower } from "../../lib/vstring/ascii.ts";
import type { ByteBuilder } from "../../lib/vstring/byte_builder.ts";
import type { Channel } from "../../lib/safe/channel.ts";
import type { Handshake } from "../../lib/safe/tls_server.ts";
import { Deadline } from "../../lib/stream/deadline.ts";
import { InputBuffer } from "../../lib/stream/input_buffer.ts";
// Access
import type { Peer } from "../../lib/access/peer.ts";
import { isErrorReply, type ReplyText } from "../../lib/access/reply.ts";
import type { SaslFacts, TlsFacts } from "../../lib/access/session_facts.ts";
// This program
import { SessionAccess } from "./smtpd_access.ts";
import { type ClientAccount, UNLIMITED } from "./smtpd_anvil.ts";
import type { Answer } from "./smtpd_auth.ts";
import { type Command, COUNTED, runCommand } from "./smtpd_commands.ts";
import type { ClientStanding, Greeting, Inherited } from "./smtpd_client.ts";
import { ClientErrors } from "./smtpd_errors.ts";
import { CommandCounts } from "./smtpd_counts.ts";
import { READ_REPLIES, type ReadLine, readLine, sample } from "./smtpd_line.ts";
import type { SessionMilters } from "./smtpd_milter.ts";
import { openingOf } from "./smtpd_opening.ts";
import { Output } from "./smtpd_output.ts";
import { endsSession, REPLY } from "./smtpd_reply.ts";
import type { Server } from "./smtpd_server.ts";
import { type Chunk, type ChunkState, Intake } from "./smtpd_bdat.ts";
import { Transcript } from "./smtpd_transcript.ts";
import { endText, refusesBareNewline } from "./smtpd_text.ts";
import { channelEvents, handshakeRule } from "./smtpd_tls.ts";
import type { Transaction } from "./smtpd_transaction.ts";
import type { ForwardFacts } from "./smtpd_xforward.ts";

/** Bytes of input that wait while a command is looked at; more stops reading from the client. */
const INPUT_LIMIT = 64 * 1024;

type Phase = "connecting" | "handshake" | "command" | "busy" | "asking" | "data" | "chunk" | "closed";

/** A session. */
export class Session {
  readonly server: Server;
  readonly peer: Peer;
  /** "host[address]", as all logs name the client. */
  readonly client: string;
  readonly trusted: boolean;
  /** Headers of the client's mail are completed as those of mail from here (local_header_rewrite_clients). */
  local: boolean;
  readonly log: Logger;
  /** What the client does is counted here. */
  anvil: ClientAccount;
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
  /** Undefined: nobody filters this client's mail. */
  milters: SessionMilters | undefined;
  /** Where the next message comes from, as XFORWARD says. */
  forwarded: ForwardFacts | undefined;
  /** Where the message is that comes in chunks. */
  chunks: ChunkState = "none";
  #intake: Intake | undefined;
  #phase: Phase = "connecting";
  /** Counts what is waited for: an answer that let text in does nothing when the text is over before it is heard. */
  #waits = 0;
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
  /** How often the client has erred. */
  readonly errors: ClientErrors;
  #deadline: Deadline;
  readonly #counts: CommandCounts;
  /** For the records of one message after the other. */
  records: ByteBuilder | undefined;
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
    this.client = server.nameOf(peer);
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
    this.milters = before?.milters?.serve(this);
    this.#counts = before?.counts ?? new CommandCounts();
    this.errors = before?.errors ?? new ClientErrors(server);
    this.#transcript = before?.transcript ??
      (server.keepsTranscripts ? new Transcript(server.settings) : undefined);
    this.#output = new Output(channel, this.#transcript);
  }

  /** True when the client has taken too long for what it is to send. */
  get late(): boolean {
    return this.#phase !== "busy" && this.#deadline.left <= 0;
  }

  /** Greets the client; what it sent before that is held against it, unless postscreen has looked already. */
  begin(early: Uint8Array): void {
    this.log.info(`connect from ${this.client}`);
    this.#deadline.start();
    const admission = this.server.admit(this);
    if (!(admission instanceof Promise)) return this.#admitted(admission, early);
    this.#input.push(early);
    admission.then((refusal) => {
      if (this.#phase === "connecting") this.#admitted(refusal, this.#input.take());
    }).catch((error) => this.server.failed(this, error));
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
    if (early.length > 0 && this.server.settings.smtpd_forbid_unauth_pipelining && !this.server.passed) {
      this.#improperPipelining("CONNECT", early);
      return this.#flush();
    }
    if (early.length > 0) this.#input.push(early);
    this.judge();
  }

  /** Says the banner, or what restrictions and filters say of the client instead. */
  judge(): void {
    const opening = openingOf(this);
    if (opening === undefined) return this.#greet(undefined);
    this.#phase = "busy";
    opening.then(async (reply) => {
      await this.#output.prepare(this, reply);
      if (this.isOver) this.milters?.quit();
      else this.#greet(reply);
    }).catch((error) => this.server.failed(this, error));
  }

  #greet(refused: ReplyText | undefined): void {
    this.#phase = "command";
    this.say(refused ?? `220 ${this.server.settings.smtpd_banner}`);
    this.#resume();
  }

  /** Answers STARTTLS and begins the handshake. */
  startTls(): undefined {
    // What came behind STARTTLS in the clear may be anybody's, put there to be taken for what TLS protects.
    if (this.#input.length > 0) return void this.#improperPipelining(this.#where, this.#input.view());
    this.#counts.accepted("starttls");
    this.say(REPLY.startTls);
    this.#beginHandshake(this.#input.view());
  }

  #beginHandshake(early: Uint8Array): void {
    this.resetTransaction();
    this.#phase = "handshake";
    this.#deadline = new Deadline(handshakeRule(this.server.settings));
    this.#handshake = this.server.tls!.accept(this.client, this.#channel, early, {
      secure: (channel, tls, resumed) => this.#goOnSecurely(channel, tls, resumed),
      failed: () => this.closed(),
    });
  }

  /** Another session takes over behind the handshake: of this one nothing is left but our own counts. */
  #goOnSecurely(channel: Channel, tls: TlsFacts, resumed: boolean): void {
    if (this.#phase !== "handshake") return channel.destroy();
    const next = this.giveWay(this.peer, this.standing, tls, channel);
    // What costs is the handshake that a ticket spares.
    const refused = resumed ? undefined : this.anvil.countTls();
    if (!(refused instanceof Promise)) return next.#goOn(refused);
    refused.then((reply) => next.#goOn(reply), (error) => this.server.failed(next, error));
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
      client: peer === this.peer ? this.access.client : undefined,
      tls,
      anvil: this.anvil,
      counts: this.#counts,
      errors: this.errors,
      transcript: this.#transcript,
      milters: this.milters?.handOver(peer),
    });
    this.server.replace(this, next);
    channel.start(channelEvents(next));
    next.#phase = "busy";
    next.#where = this.#where;
    return next;
  }

  /** TLS stands: the greeting in wrapper mode, commands elsewhere. */
  #goOn(refused: ReplyText | undefined): void {
    if (this.isOver) return;
    this.#phase = "command";
    if (refused !== undefined) this.reply(refused);
    else if (this.#where === "CONNECT") return this.judge();
    if (this.isOver) this.#flush();
    else this.#resume();
  }

  /** Takes bytes from the client. Text is passed on before this is done; of all else a part may be held beyond it. */
  data(bytes: Uint8Array): void {
    if (this.#phase === "closed") return;
    this.#deadline.progress(bytes.length);
    const passes = this.#phase === "data" && this.#input.length === 0;
    this.#input.push(passes ? bytes : bytes.slice());
    this.#run();
    if (passes) this.#input.keep();
    const waits = this.#phase === "busy" || this.#phase === "connecting";
    if (waits && this.#input.length > INPUT_LIMIT) this.#pause();
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
    this.say(`421 4.4.2 ${this.server.settings.myhostname} Error: timeout exceeded`);
  }

  /** Ends the session after a fault that is not the client's. */
  fail(): void {
    this.say(`421 4.3.0 ${this.server.settings.myhostname} Error: internal error`);
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

  /** Throws the transaction away. */
  resetTransaction(): void {
    this.#transcript?.flush();
    if (this.transaction !== undefined) this.milters?.abort();
    this.transaction?.abort();
    this.transaction = undefined;
    this.chunks = "none";
    this.forwarded = undefined;
  }

  /** As the log names it. */
  get protocol(): "ESMTP" | "SMTP" {
    return this.greeting?.esmtp === true ? "ESMTP" : "SMTP";
  }

  /** Says something at once. */
  say(text: ReplyText): void {
    this.reply(text);
    this.#flush();
  }

  /** Reads message text from now on. */
  takeText(transaction: Transaction): void {
    // The client may have gone while the envelope went out.
    if (this.transaction === transaction) this.#phase = "data";
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
    const read = readLine(this, line);
    if (!(read instanceof Promise)) return this.#runRead(read);
    this.#await(read, (found) => found !== undefined && this.#runRead(found));
    return false;
  }

  /** Waits for an answer about what the client has sent, and goes on with it. */
  #await<T>(answer: Promise<T>, then: (value: T) => boolean): void {
    this.#phase = "busy";
    const wait = ++this.#waits;
    answer.then((value) => {
      if (wait !== this.#waits) return;
      if (this.#phase === "busy") this.#phase = "command";
      if (!this.isOver && then(value)) this.#resume();
      else this.#flush();
    }, (error) => this.server.failed(this, error));
  }

  #runRead(read: ReadLine): boolean {
    if (read.kind !== "command") return this.#refuse(READ_REPLIES[read.kind]);
    const { line, command, argument, forbidden } = read;
    if (forbidden) {
      this.log.warning(`non-SMTP command from ${this.client}: ${sample(line)}`);
      this.#counts.came("unknown");
      this.reply(REPLY.notSmtp);
      this.#phase = "closed";
      return false;
    }
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
    return this.#execute(command, argument);
  }

  #execute(command: Command, argument: Uint8Array): boolean {
    const name = asciiLower(command.name);
    this.#counts.came(name);
    const result = runCommand(this, command, argument);
    if (!(result instanceof Promise)) return this.#finish(name, result);
    this.#await(result, (reply) => this.#finish(name, reply));
    return false;
  }

  /** Refuses what is no command. */
  #refuse(reply: ReplyText): boolean {
    this.#counts.came("unknown");
    return this.#finish("unknown", reply);
  }

  /** Sends a command's reply, later when the client has erred often; false when the session must wait or is over. */
  #finish(name: string, reply: ReplyText | undefined): boolean {
    // DATA that has begun is finished by its end.
    if (this.#phase === "data" || this.#phase === "chunk") return true;
    if (this.#phase === "handshake") return false;
    const { delay } = this.errors;
    const wording = this.#output.prepare(this, reply);
    if (delay === 0 && wording === undefined) return this.#conclude(name, reply);
    this.#phase = "busy";
    this.#waits++;
    const conclude = () => {
      if (this.#phase !== "busy") return;
      this.#phase = "command";
      if (this.#conclude(name, reply)) this.#resume();
      else this.#flush();
    };
    if (delay > 0) setTimeout(() => (wording ?? Promise.resolve()).then(conclude), delay);
    else wording!.then(conclude);
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
    if (refused) this.errors.refused();
    if (!this.errors.tooMany) return true;
    this.log.info(`too many errors after ${this.#where} from ${this.client}`);
    this.#abortReason = "too many errors";
    this.reply(`421 4.7.0 ${this.server.settings.myhostname} Error: too many errors`);
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
    this.#relieve(transaction);
    return false;
  }

  /** Feeds bytes of a chunk; false when there is nothing more to do now. */
  #takeChunkBytes({ chunk, refusal }: Intake): boolean {
    const over = this.#intake!.take(this.#input, this.transaction?.reader);
    if (!over && refusal === undefined) this.#relieve(this.transaction!);
    if (!over) return false;
    this.#phase = "command";
    this.#waits++;
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
    this.#where = "END-OF-MESSAGE";
    this.transaction = undefined;
    this.forwarded = undefined;
    this.#await(endText(this, transaction, command), ({ accepted, reply }) => {
      if (accepted) {
        this.errors.forgive();
        this.#transcript?.accepted();
      }
      return this.#finish(command, reply);
    });
  }

  #improperPipelining(after: string, input: Uint8Array): void {
    this.log.info(`improper command pipelining after ${after} from ${this.client}: ${sample(input)}`);
    this.reply(REPLY.synchronization);
    this.#phase = "closed";
  }

  /** Sends the replies that were gathered, and closes when the session is over. */
  #flush(): void {
    this.#output.flush(this.server.crowded);
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
    this.milters?.quit();
    // A client that has taken its leave sends no more; any other is listened to until it has seen the last reply.
    if (this.#quit && this.#input.length === 0) this.#channel.close();
    else this.#channel.finish();
    this.log.info(`disconnect from ${this.client}${this.#counts.text(COUNTED)}`);
    this.#done();
  }
}
