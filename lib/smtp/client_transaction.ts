/**
 * One mail transaction: MAIL, RCPT, DATA, the message, and what the server says to each (postfix-map sections 6.6 to
 * 6.8). With PIPELINING (RFC 2920) the commands run ahead of the replies, by a bounded number of bytes.
 *
 * @module
 */
import { isAscii } from "../vstring/ascii.ts";
import { Deadline } from "../stream/deadline.ts";
import { BadRecordError } from "../mail/record.ts";
import { type ContentForm, type MessageContent, writeContent } from "./client_content.ts";
import { type Failure, localFailure, refusal, StreamError } from "./client_failure.ts";
import type { ClientPolicy } from "./client_policy.ts";
import type { ClientSession } from "./client_session.ts";
import { LookupTroubleError } from "./client_rewrite.ts";
import { type ForwardedClient, xforwardCommands } from "./client_xforward.ts";
import { formatMail, formatRcpt, type RcptValues } from "./command.ts";
import { MimeError } from "./mime_downgrade.ts";
import type { Reply } from "./reply.ts";

/** A message and what the envelope says of it. */
export interface ClientMessage {
  readonly sender: string;
  readonly encoding: "" | "7bit" | "8bit";
  readonly smtputf8: boolean;
  /** The sender asked for REQUIRETLS, and the policy has it for this destination. */
  readonly requireTls: boolean;
  readonly envelopeId: string;
  readonly ret: number;
  /** The server is asked, and gets no message. */
  readonly probe: boolean;
  /** Whom the message came from, for a server that wants to know (XFORWARD). */
  readonly client: ForwardedClient;
  readonly content: MessageContent;
  /** Makes what changes the text; undefined when nothing does. */
  readonly rewrite: ContentForm["rewrite"];
}

/** What became of one recipient in this session. */
export type RecipientResult =
  | { readonly kind: "sent"; readonly reply: Reply }
  | { readonly kind: "failed"; readonly failure: Failure };

/** Gets results as they are certain; `recipient` is an index into the recipients given. */
export type ReportResult = (recipient: number, result: RecipientResult) => void;

/** How one transaction went. */
export interface TransactionEnd {
  /** A failure that concerns all recipients without a result. */
  readonly failure?: Failure;
  /** The server took the message, or refused it, in an orderly way: the destination works. */
  readonly orderly: boolean;
  /** A reused connection turned out to be dead before anything was handed over: try a fresh one. */
  readonly stale?: true;
}

/** Most bytes of commands that are sent before their replies are read. */
const PIPELINE_LIMIT = 4096;
const END_OF_DATA = "sending end of data -- message may be sent more than once";
/** How long a reply is waited for that the server may have sent before it closed while we sent the message. */
const LAST_WORDS_TIMEOUT = 5_000;

/** Log lines about the message. */
export interface TransactionLog {
  readonly info: (text: string) => void;
  readonly warn: (text: string) => void;
}

/** Runs one transaction in a session. Made for one use. */
export class Transaction {
  readonly #session: ClientSession;
  readonly #policy: ClientPolicy;
  readonly #message: ClientMessage;
  readonly #recipients: readonly RcptValues[];
  readonly #report: ReportResult;
  readonly #log: TransactionLog;
  /** Recipients that the server took at RCPT, in order. */
  readonly #accepted: number[] = [];
  /** What it said to each of them, for a probe. */
  readonly #acceptances: Reply[] = [];
  #mailFailure: Failure | undefined;
  #data: Reply | undefined;
  #anyReply = false;
  #anyAccepted = false;

  constructor(
    session: ClientSession,
    policy: ClientPolicy,
    message: ClientMessage,
    recipients: readonly RcptValues[],
    report: ReportResult,
    log: TransactionLog,
  ) {
    this.#session = session;
    this.#policy = policy;
    this.#message = message;
    this.#recipients = recipients;
    this.#report = report;
    this.#log = log;
  }

  /**
   * Sends the message. Every recipient either gets a result or shares the failure that is returned.
   *
   * @param keep the connection is wanted for another delivery: QUIT is not sent behind the message
   */
  async run(keep: boolean): Promise<TransactionEnd> {
    const refused = this.#refuseBefore();
    if (refused !== undefined) return { failure: refused, orderly: true };
    const reused = this.#session.uses > 1;
    try {
      await this.#envelope();
      const data = this.#data;
      const goAhead = data !== undefined && data.code >= 300 && data.code < 400;
      const refused = this.#mailFailure ??
        (data === undefined || goAhead ? undefined : this.#dataFailure(data));
      if (goAhead && (refused !== undefined || this.#accepted.length === 0)) await this.#sendNothing();
      if (refused !== undefined) return this.#afterRefusal(refused, reused);
      if (this.#accepted.length === 0) return { orderly: true };
      return this.#message.probe ? this.#probed(data) : await this.#sendMessage(keep);
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      this.#session.close();
      // What it said of the message counts more than that it hung up afterwards.
      if (this.#mailFailure !== undefined) return { failure: this.#mailFailure, orderly: true };
      return {
        failure: error.failure,
        orderly: false,
        ...reused && !this.#anyReply ? { stale: true as const } : {},
      };
    }
  }

  /** What rules this server out for this message before anything is said. */
  #refuseBefore(): Failure | undefined {
    const { features, label, name } = this.#session;
    const { content } = this.#message;
    // RFC 1870 section 6.1: a message over the limit is not offered.
    if (features.sizeLimit > 0 && content.size > features.sizeLimit) {
      const text = `message size ${content.size} exceeds size limit ${features.sizeLimit} of server ${label}`;
      return localFailure("message", false, "5.3.4", text, name);
    }
    // RFC 6531 section 3.2: not downgraded, not sent where it is not known.
    if (this.#needsUtf8() && !features.smtputf8) {
      const text = `SMTPUTF8 is required, but was not offered by host ${label}`;
      return { ...localFailure("message", false, "5.6.7", text, name), elsewhere: true };
    }
    return undefined;
  }

  /** A probe ends where the message would begin. Only cutting the connection takes a go-ahead for DATA back. */
  #probed(data: Reply | undefined): TransactionEnd {
    if (data !== undefined) this.#session.close();
    // A go-ahead is no success of its own: its status would be 3.0.0.
    const goAhead = data === undefined ? undefined : { ...data, status: "2.0.0" };
    for (const [i, index] of this.#accepted.entries()) {
      this.#report(index, { kind: "sent", reply: goAhead ?? this.#acceptances[i]! });
    }
    return { orderly: true };
  }

  #needsUtf8(): boolean {
    return this.#message.smtputf8 || !isAscii(this.#message.sender) ||
      this.#recipients.some((recipient) => !isAscii(recipient.address));
  }

  /** Only mail that is known to be 7-bit needs no look at its parts. */
  get #downgrades(): boolean {
    return !this.#session.features.eightBitMime && this.#message.encoding !== "7bit" &&
      this.#policy.convertMime;
  }

  /**
   * DATA was accepted although there is nothing to send. RFC 2920 section 3.1: then the client sends a single dot. It
   * hangs up instead when the server has taken a recipient, who would get an empty message.
   */
  async #sendNothing(): Promise<void> {
    const session = this.#session;
    if (this.#anyAccepted) return session.close();
    session.command(".");
    await session.flush(this.#policy.timeouts.dataDone, END_OF_DATA);
    await session.reply(this.#policy.timeouts.dataDone, END_OF_DATA);
    session.dirty = false;
  }

  /** MAIL, all RCPTs and DATA, as far ahead of the replies as PIPELINING and the limit allow. */
  async #envelope(): Promise<void> {
    const steps = this.#steps();
    if (steps === undefined) return;
    const session = this.#session;
    const pipelining = session.features.pipelining;
    let sent = 0;
    let unacknowledged = 0;
    for (let done = 0; done < steps.length; done++) {
      while (sent < steps.length) {
        const step = steps[sent]!;
        const room = sent === done || (pipelining && unacknowledged + step.line.length <= PIPELINE_LIMIT);
        if (!room || !this.#worthSending(step, sent === done)) break;
        session.command(step.line);
        unacknowledged += step.line.length + 2;
        sent++;
      }
      if (sent === done) return; // what is left is not worth sending
      const step = steps[done]!;
      await session.flush(step.timeout, step.doing);
      const reply = await session.reply(step.timeout, step.doing);
      this.#anyReply = true;
      unacknowledged -= step.line.length + 2;
      step.take(reply);
      // 421 in answer to MAIL: the server is leaving, and what was sent behind it will not be answered.
      if (this.#mailFailure !== undefined && !session.sound) return;
    }
  }

  /** Behind a refused MAIL nothing new is sent; DATA only when some recipient may have been taken. */
  #worthSending(step: Step, allRepliesSeen: boolean): boolean {
    if (this.#mailFailure !== undefined) return false;
    return step.kind !== "data" || !allRepliesSeen || this.#accepted.length > 0;
  }

  /** The commands in order; undefined when the sender or every recipient cannot be written as a command. */
  #steps(): Step[] | undefined {
    const { features } = this.#session;
    const { timeouts, quoteAddresses } = this.#policy;
    const style = { quote: quoteAddresses };
    const message = this.#message;
    const mail = formatMail(
      {
        sender: message.sender,
        size: this.#downgrades ? undefined : message.content.size,
        body: this.#downgrades ? "" : message.encoding,
        smtputf8: message.smtputf8 || this.#needsUtf8(),
        requireTls: message.requireTls,
        envelopeId: message.envelopeId,
        ret: message.ret,
      },
      features,
      style,
    );
    if (mail === undefined) {
      this.#mailFailure = localFailure("message", false, "5.1.7", "bad sender address syntax");
      return undefined;
    }
    const steps: Step[] = [];
    if (this.#session.dirty) {
      const take = (reply: Reply) => this.#takeReset(reply);
      steps.push({ kind: "reset", line: "RSET", timeout: timeouts.reset, doing: "sending RSET", take });
    }
    if (this.#policy.xforward) steps.push(...this.#forwarding());
    steps.push({
      kind: "mail",
      line: this.#session.dummyAuth ? `${mail} AUTH=<>` : mail,
      timeout: timeouts.mail,
      doing: "sending MAIL FROM",
      take: (reply) => this.#takeMail(reply),
    });
    const before = steps.length;
    for (const [index, recipient] of this.#recipients.entries()) {
      const line = formatRcpt(recipient, features, style);
      if (line === undefined) {
        this.#fail(index, localFailure("recipient", false, "5.1.3", "bad address syntax"));
      } else {
        const take = (reply: Reply) => this.#takeRcpt(index, reply);
        steps.push({ kind: "rcpt", line, timeout: timeouts.rcpt, doing: "sending RCPT TO", take });
      }
    }
    if (steps.length === before) return undefined; // no recipient can be asked for
    if (message.probe && this.#policy.probeTarget === "rcpt") return steps;
    const take = (reply: Reply) => void (this.#data = reply);
    steps.push({
      kind: "data",
      line: "DATA",
      timeout: timeouts.dataInit,
      doing: "sending DATA command",
      take,
    });
    return steps;
  }

  /** A server that does not like what it is told of the client takes the message all the same. */
  #forwarding(): Step[] {
    const timeout = this.#policy.timeouts.xforward;
    return xforwardCommands(this.#message.client, this.#session.features).map(({ line, name }): Step => {
      const take = (reply: Reply) => {
        if (isPositive(reply)) return;
        this.#log.warn(`host ${this.#session.label} said: ${reply.text} (in reply to ${name} command)`);
      };
      return { kind: "xforward", line, timeout, doing: `sending ${name}`, take };
    });
  }

  #takeReset(reply: Reply): void {
    if (!isPositive(reply)) this.#mailFailure = refusal("message", this.#session, reply, "RSET command");
  }

  #takeMail(reply: Reply): void {
    if (isPositive(reply)) this.#session.dirty = true;
    else this.#mailFailure = refusal("message", this.#session, reply, "MAIL FROM command");
  }

  #takeRcpt(index: number, reply: Reply): void {
    this.#anyAccepted ||= isPositive(reply);
    if (this.#mailFailure !== undefined) return; // the refusal of the whole says more than that of each
    if (isPositive(reply)) {
      this.#accepted.push(index);
      if (this.#message.probe) this.#acceptances.push(reply);
    } else this.#fail(index, refusal("recipient", this.#session, reply, "RCPT TO command"));
  }

  #dataFailure(reply: Reply): Failure {
    // A positive reply here would be to nothing that we asked: the conversation is out of step.
    if (reply.code < 400) this.#session.sound = false;
    return refusal("message", this.#session, reply, "DATA command");
  }

  /** A server that has grown tired of a kept connection says so in answer to the next MAIL, with 421. */
  #afterRefusal(failure: Failure, reused: boolean): TransactionEnd {
    const stale = reused && !this.#session.sound && failure === this.#mailFailure && failure.soft;
    if (stale) this.#session.close();
    return { failure, orderly: true, ...stale ? { stale: true as const } : {} };
  }

  async #sendMessage(keep: boolean): Promise<TransactionEnd> {
    const session = this.#session;
    const { transfer, lineLimit } = this.#policy;
    const deadline = new Deadline(transfer);
    const { rewrite } = this.#message;
    const flush = async () => {
      const size = session.out.length;
      await session.flush(Math.max(1, deadline.left), "sending message body");
      deadline.progress(size);
    };
    const beforeEnd = session.delaysEnd
      ? async () => {
        await flush();
        await new Promise((resolve) => setTimeout(resolve, this.#policy.pix.delayMs));
        deadline.start();
      }
      : undefined;
    const form: ContentForm = { lineLimit, downgrade: this.#downgrades, rewrite, beforeEnd };
    try {
      const folded = await writeContent(this.#message.content, form, session, flush);
      if (folded) this.#log.info(`breaking line > ${lineLimit} bytes with <CR><LF>SPACE`);
      // RFC 2920 section 3.1: QUIT may follow the message at once; its reply is not waited for.
      if (!keep && session.features.pipelining && !this.#policy.awaitQuit) {
        session.command("QUIT");
        session.quitSent = true;
      }
      await flush();
    } catch (error) {
      if (error instanceof StreamError) return await this.#lastWords(error);
      return this.#unreadable(error);
    }
    return await this.#finalReplies();
  }

  /** RFC 5321 section 4.2.5 for SMTP: one reply. RFC 2033 section 4.2 for LMTP: one for each recipient taken. */
  async #finalReplies(): Promise<TransactionEnd> {
    const doing = END_OF_DATA;
    const timeout = this.#policy.timeouts.dataDone;
    const session = this.#session;
    if (this.#policy.dialect === "lmtp") {
      for (const index of this.#accepted) {
        const reply = await session.reply(timeout, doing);
        if (this.#isTaken(reply)) this.#report(index, { kind: "sent", reply });
        else this.#fail(index, this.#notTaken("recipient", reply));
      }
      session.dirty = false;
      return { orderly: true };
    }
    const reply = await session.reply(timeout, doing);
    session.dirty = false;
    if (!this.#isTaken(reply)) return { failure: this.#notTaken("message", reply), orderly: true };
    for (const index of this.#accepted) this.#report(index, { kind: "sent", reply });
    return { orderly: true };
  }

  /**
   * QUIT is under way behind the message, so its 221 may be read for an answer to the dot when the server has sent
   * something else that was none. It is no proof that the message was taken, and without proof the mail stays.
   */
  #isTaken(reply: Reply): boolean {
    return isPositive(reply) && !(reply.code === 221 && this.#session.quitSent);
  }

  #notTaken(blame: "message" | "recipient", reply: Reply): Failure {
    const failure = refusal(blame, this.#session, reply, "end of DATA command");
    return isPositive(reply) ? { ...failure, soft: true, status: "4.5.0" } : failure;
  }

  /** A server that hangs up during the message may have said why. Only a refusal is believed. */
  async #lastWords(lost: StreamError): Promise<TransactionEnd> {
    let failure = lost.failure;
    try {
      const reply = await this.#session.reply(LAST_WORDS_TIMEOUT, "sending message body");
      if (reply.code >= 500) failure = refusal("message", this.#session, reply, "end of DATA command");
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
    }
    this.#session.close();
    return { failure, orderly: failure !== lost.failure };
  }

  /** The message cannot be sent as it is. The connection is cut, so that the server throws away what it has of it. */
  #unreadable(error: unknown): TransactionEnd {
    this.#session.close();
    if (error instanceof MimeError) {
      return { failure: localFailure("message", false, "5.6.0", error.message), orderly: true };
    }
    if (error instanceof LookupTroubleError) {
      return { failure: localFailure("message", true, "4.3.0", error.message), orderly: true };
    }
    // The file stays in the queue: what is damaged is for an administrator to look at, not for us to throw away.
    if (error instanceof BadRecordError) {
      return {
        failure: localFailure("message", true, "4.3.0", `unreadable queue file: ${error.message}`),
        orderly: true,
      };
    }
    throw error;
  }

  #fail(index: number, failure: Failure): void {
    this.#report(index, { kind: "failed", failure });
  }
}

/** One command, and what to do with its reply. */
interface Step {
  readonly kind: "reset" | "xforward" | "mail" | "rcpt" | "data";
  readonly line: string;
  readonly timeout: number;
  readonly doing: string;
  readonly take: (reply: Reply) => void;
}

function isPositive(reply: Reply): boolean {
  return reply.code >= 200 && reply.code < 300;
}
