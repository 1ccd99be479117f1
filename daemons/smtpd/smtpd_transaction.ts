/**
 * One mail transaction: sender, recipients, and the message on its way to cleanup. It is replaced whole, never reset
 * field by field: what must not outlive a transaction has nowhere else to stand.
 */
// Utility
import type { ByteBuilder } from "../../lib/vstring/byte_builder.ts";
import { parseDecimal } from "../../lib/vstring/ascii.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { quoteAddress } from "../../lib/mail/address.ts";
import { appendAttribute, formatTime } from "../../lib/mail/queue_file.ts";
import { appendRecord, RECORD } from "../../lib/mail/record.ts";
// Server skeleton
import type { ClientExchange, IpcClient } from "../../lib/ipc/client.ts";
import { type CLEANUP, CLEANUP_FLAG, CLEANUP_STATUS } from "../../lib/proto/protocols.ts";
// Access
import type { Peer } from "../../lib/access/peer.ts";
import { Standing } from "../../lib/access/policy.ts";
import type { SaslFacts } from "../../lib/access/session_facts.ts";
import type { ReplyText } from "../../lib/access/reply.ts";
// This program
import type { ForwardFacts } from "./smtpd_xforward.ts";
import { DataReader } from "./smtpd_data.ts";
import { type MailOptions, ORCPT_LIMIT, type RecipientOptions } from "./smtpd_dsn.ts";
import { appendEffects, prependedLines } from "./smtpd_effects.ts";
import type { SessionMilters } from "./smtpd_milter.ts";
import { MilterRelay } from "./smtpd_milter_relay.ts";
import { REPLY } from "./smtpd_reply.ts";

/** Records that go out in one chunk, bytes. */
const CHUNK = 32 * 1024;

/** Who makes queue files: cleanup's client. */
export type CleanupService = Pick<IpcClient<typeof CLEANUP>, "open">;

/** What the log and the queue file say of the session. */
export interface SessionFacts {
  readonly peer: Peer;
  readonly helo: string;
  readonly protocol: string;
  /** Headers of the client's mail are completed as those of mail from here. */
  readonly local: boolean;
  readonly sasl: SaslFacts | undefined;
  /** Where the message was before, as XFORWARD says. */
  readonly forwarded: ForwardFacts | undefined;
  /** content_filter; empty: none. */
  readonly filter: string;
}

/** A message's final fate. */
export interface Outcome {
  readonly reply: ReplyText;
  readonly accepted: boolean;
}

/** A transaction from MAIL to the final reply. */
export class Transaction {
  readonly sender: string;
  /** What MAIL said beside; undefined: nothing. */
  readonly options: Readonly<MailOptions> | undefined;
  readonly recipients: string[] = [];
  /** What RCPT said beside, by the recipient's index; most say nothing. */
  readonly #notices = new Map<number, Readonly<RecipientOptions>>();
  /** What the restrictions have left behind so far, for those that follow and for the message. */
  standing = Standing.fresh();
  /** Tells this transaction from others; empty until somebody asks. */
  instance = "";
  /** Effects of restrictions that are in the envelope already. */
  #effectsSent = 0;
  /** Recipients that were refused because there were too many. */
  overshoot = 0;
  readonly #time = Date.now();
  #exchange: ClientExchange<typeof CLEANUP> | undefined;
  #id = "";
  #queueId: Promise<string> | undefined;
  #outcome: Promise<Outcome> | undefined;
  #over = false;
  /** The filters' connections, while cleanup tells them the content. */
  #relay: MilterRelay | undefined;
  reader: DataReader | undefined;

  constructor(sender: string, options?: Readonly<MailOptions>) {
    this.sender = sender;
    this.options = options;
  }

  /** Takes a recipient. */
  add(recipient: string, options?: Readonly<RecipientOptions>): void {
    if (options !== undefined) this.#notices.set(this.recipients.length, options);
    this.recipients.push(recipient);
  }

  /** The queue id, or an empty string while cleanup has not told it. */
  get id(): string {
    return this.#id;
  }

  /**
   * Asks cleanup for a queue file, so that its id is there by the time of DATA.
   *
   * @param flags CLEANUP_FLAG bits
   */
  open(cleanup: CleanupService, flags: number): void {
    if (this.#exchange !== undefined) return;
    let gotId: (id: string) => void = () => {};
    let settle: (outcome: Outcome) => void = () => {};
    this.#queueId = new Promise((resolve) => gotId = resolve);
    this.#outcome = new Promise((resolve) => settle = resolve);
    const end = (outcome: Outcome, whole: boolean) => {
      this.#over = true;
      this.#relay?.end(whole);
      gotId("");
      settle(outcome);
    };
    this.#exchange = cleanup.open(
      (reply) => {
        if (reply.is === "queueId") gotId(this.#id = reply.queueId);
        else if (reply.is === "status") end(toOutcome(reply.status, reply.reason, this.#id), true);
        else this.#relay?.take(reply);
      },
      () => end({ reply: REPLY.queueFileError, accepted: false }, false),
    );
    const utf8 = this.options?.utf8 === true ? CLEANUP_FLAG.SMTPUTF8 : 0;
    const requireTls = this.options?.requireTls === true ? CLEANUP_FLAG.REQUIRETLS : 0;
    this.#exchange.send("begin", { flags: flags | utf8 | requireTls });
  }

  /** The message goes to a filter and not to cleanup. */
  get relayed(): boolean {
    return false;
  }

  /**
   * Offers a recipient that the restrictions take to whoever else has a say; the reply that refuses it.
   *
   * @param argument of RCPT, as the client said it
   */
  offerRecipient?(argument: string): Promise<ReplyText | undefined>;

  /** Asks the same whether the text may come. */
  offerText?(): Promise<ReplyText | undefined>;

  /** The queue id, or an empty string when cleanup could not make a file. */
  queueId(): Promise<string> {
    return this.#queueId ?? Promise.resolve("");
  }

  /**
   * Sends the envelope and begins the content. Undefined when that is done at once; a promise when there are so many
   * recipients that cleanup has to take some first.
   *
   * @param received lines of the Received header
   * @param buffer for the records, free until the message is over
   */
  beginData(
    facts: SessionFacts,
    limits: { readonly line: number; readonly size: number },
    received: readonly string[],
    buffer?: ByteBuilder,
  ): Promise<void> | undefined {
    // The first chunk holds the envelope as far as it is short, the header and the beginning of the text.
    const emit = (records: Uint8Array) => this.#exchange!.send("records", { records });
    const reader = new DataReader(limits.line, limits.size, emit, buffer?.clear());
    this.reader = reader;
    this.#putEnvelope(reader.records, facts);
    return this.#putRecipients(reader, 0, received);
  }

  /** True while so much is under way to cleanup that the client should be slowed down. */
  get congested(): boolean {
    return this.#exchange !== undefined && !this.#exchange.ready();
  }

  /** Resolves when `congested` is over. */
  drained(): Promise<void> {
    return this.#exchange?.drained() ?? Promise.resolve();
  }

  /** Ends the message and waits for cleanup's word: after an accepting one the message is on the disk. */
  commit(milters?: SessionMilters): Promise<Outcome> {
    const reader = this.reader!;
    if (reader.tooBig) {
      this.abort();
      return Promise.resolve({ reply: REPLY.tooBig, accepted: false });
    }
    appendRecord(reader.records, RECORD.EXTRACTED, "");
    appendEffects(reader.records, this.standing.effects.slice(this.#effectsSent));
    appendRecord(reader.records, RECORD.END, "");
    reader.flush();
    if (milters !== undefined && !this.#over) {
      this.#relay = new MilterRelay(milters, this.#exchange!);
      this.#relay.offer();
    }
    this.#exchange!.send("finish", {});
    return this.#outcome!;
  }

  /** Breaks off: nothing of the message stays. */
  abort(): void {
    if (this.#over) return;
    this.#over = true;
    this.#relay?.end(false);
    this.#exchange?.cancel();
  }

  #putEnvelope(out: ByteBuilder, facts: SessionFacts): void {
    const { peer, helo, protocol, local, sasl } = facts;
    const here = {
      name: peer.name,
      address: peer.address,
      port: String(peer.port),
      helo,
      protocol,
      ident: "",
    };
    const logged = facts.forwarded ?? here;
    appendRecord(out, RECORD.TIME, formatTime(this.#time));
    if (facts.filter !== "") appendRecord(out, RECORD.FILTER, facts.filter);
    appendAttribute(out, "rewrite_context", local ? "local" : "remote");
    appendRecord(out, RECORD.FROM, this.sender);
    const { options } = this;
    if (options !== undefined && options.verp !== "") appendRecord(out, RECORD.VERP, options.verp);
    const pairs: [string, string][] = [
      ["log_client_name", logged.name],
      ["log_client_address", logged.address],
      ["log_client_port", logged.port],
      ["log_message_origin", `${logged.name}[${logged.address}]`],
      ["log_helo_name", logged.helo],
      ["log_protocol_name", logged.protocol],
      ["log_ident", logged.ident],
      ["client_name", peer.name],
      ["reverse_client_name", peer.reverseName],
      ["client_address", peer.address],
      ["client_port", String(peer.port)],
      ["server_address", peer.serverAddress],
      ["server_port", String(peer.serverPort)],
      ["helo_name", helo],
      ["protocol_name", protocol],
    ];
    if (sasl !== undefined) {
      pairs.push(["sasl_method", sasl.method], ["sasl_username", sasl.username]);
      pairs.push(["sasl_sender", options?.submitter ?? ""]);
    }
    if (options !== undefined) {
      if (options.eightBit) pairs.push(["encoding", "8bit"]);
      pairs.push(["envelope_id", options.envelopeId]);
      if (options.ret !== 0) pairs.push(["ret_flags", String(options.ret)]);
    }
    for (const [name, value] of pairs) if (value !== "") appendAttribute(out, name, value);
  }

  /** Puts the recipients from one on, a chunk at a time, then the end of the envelope and our header. */
  #putRecipients(reader: DataReader, from: number, received: readonly string[]): Promise<void> | undefined {
    const out = reader.records;
    for (let i = from; i < this.recipients.length; i++) {
      const recipient = this.recipients[i]!;
      const notice = this.#notices.get(i);
      const original = notice?.original || `rfc822;${quoteAddress(recipient)}`;
      if (original.length <= ORCPT_LIMIT) appendAttribute(out, "dsn_orig_rcpt", original);
      if (notice !== undefined && notice.notify !== 0) {
        appendAttribute(out, "notify_flags", String(notice.notify));
      }
      appendRecord(out, RECORD.RECIPIENT, recipient);
      if (out.length < CHUNK) continue;
      reader.flush();
      if (this.congested) return this.drained().then(() => this.#putRecipients(reader, i + 1, received));
    }
    const { effects } = this.standing;
    this.#effectsSent = effects.length;
    appendEffects(out, effects);
    appendRecord(out, RECORD.MESSAGE, "");
    for (const line of prependedLines(effects)) appendRecord(out, RECORD.NORMAL, line);
    for (const line of received) appendRecord(out, RECORD.NORMAL, line);
    return undefined;
  }
}

/** cleanup's status as a reply: the first that fits, in Postfix's order. */
const STATUS_REPLIES: readonly [number, ReplyText][] = [
  [CLEANUP_STATUS.DEFER, "451 4.7.1 Error: service unavailable"],
  [CLEANUP_STATUS.PROXY, "451 4.3.0 Error: queue file write error"],
  [CLEANUP_STATUS.BAD, "451 4.3.0 Error: internal error 1"],
  [CLEANUP_STATUS.WRITE, REPLY.queueFileError],
  [CLEANUP_STATUS.RECIPIENT, "550 5.1.0 Error: no recipients specified"],
  [CLEANUP_STATUS.SIZE, REPLY.tooBig],
  [CLEANUP_STATUS.HOPS, "554 5.4.0 Error: too many hops"],
  [CLEANUP_STATUS.CONTENT, "550 5.7.1 Error: message content rejected"],
  [CLEANUP_STATUS.NOPERM, "550 5.7.1 Error: insufficient authorization"],
];

function toOutcome(status: number, reason: string, queueId: string): Outcome {
  if (status === CLEANUP_STATUS.OK) return { reply: `250 2.0.0 Ok: queued as ${queueId}`, accepted: true };
  const [bit, reply] = STATUS_REPLIES.find(([bit]) => (status & bit) !== 0) ?? [0, REPLY.queueFileError];
  if (isSmtpReply(reason)) return { reply: reason, accepted: false };
  // For these two cleanup says itself what is wrong, with a status code in front.
  const told = (bit === CLEANUP_STATUS.CONTENT || bit === CLEANUP_STATUS.DEFER) && reason !== "";
  return { reply: told ? `${reply.slice(0, 3)} ${printable(reason)}` : reply, accepted: false };
}

/** A filter's own words, which cleanup has made safe: a reply code in the place of a status code. */
function isSmtpReply(reason: string): boolean {
  return parseDecimal(reason.slice(0, 3)) !== undefined && (reason[3] === " " || reason[3] === "-");
}
