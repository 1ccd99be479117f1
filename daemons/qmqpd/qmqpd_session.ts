/**
 * One client's session: one packet, one reply.
 */
// Safe primitives
import type { Channel } from "../../lib/safe/channel.ts";
// Utility
import type { Logger } from "../../lib/log/log.ts";
import { Deadline } from "../../lib/stream/deadline.ts";
import { encodeText } from "../../lib/vstring/byte_builder.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Internal protocols
import { type CleanupClient, type Submission, submitMessage } from "../../lib/proto/cleanup_client.ts";
import { CLEANUP_STATUS } from "../../lib/proto/protocols.ts";
// Access
import type { Peer } from "../../lib/access/peer.ts";
// This program
import { produce, readEnvelope } from "./qmqpd_message.ts";
import { type Packet, PacketReader } from "./qmqpd_reader.ts";
import type { QmqpdSettings } from "./qmqpd_settings.ts";

/** Bytes of message text that all sessions may hold together: a packet's envelope comes behind its text. */
export const BUFFER_LIMIT = 64 * 1024 * 1024;
/** Bytes of all recipients of a message. */
const RECIPIENTS_LIMIT = 16 * 1024 * 1024;
/** Bytes per second that qmqpd_timeout allows for. */
const MINIMUM_RATE = 500;

/** K: taken. Z: not now. D: never. */
type Verdict = "K" | "Z" | "D";

/** What sessions share. */
export interface QmqpdShared {
  readonly settings: QmqpdSettings;
  readonly cleanup: CleanupClient;
  readonly flags: number;
  readonly log: Logger;
  /** Bytes of text that sessions hold. */
  held: number;
  trouble(what: string, error: unknown): void;
}

/** A session. */
export class QmqpSession {
  readonly #shared: QmqpdShared;
  readonly #peer: Peer;
  readonly #channel: Channel;
  readonly #done: () => void;
  readonly #reader: PacketReader;
  readonly #deadline: Deadline;
  #held = 0;
  #queueId = "";
  /** reading, or a reply is made and sent. */
  #phase: "reading" | "answering" | "over" = "reading";

  constructor(shared: QmqpdShared, peer: Peer, channel: Channel, done: () => void) {
    const { settings } = shared;
    this.#shared = shared;
    this.#peer = peer;
    this.#channel = channel;
    this.#done = done;
    this.#reader = new PacketReader({
      message: settings.message_size_limit > 0 ? settings.message_size_limit : BUFFER_LIMIT,
      address: settings.line_length_limit,
      recipients: RECIPIENTS_LIMIT,
    });
    const timeout = settings.qmqpd_timeout * 1000;
    this.#deadline = new Deadline({ timeout, perRequest: true, minimumRate: MINIMUM_RATE });
  }

  /** Begins. Only clients that are named may send anything. */
  begin(authorized: boolean): void {
    this.#shared.log.info(`connect from ${this.#client}`);
    if (!authorized) this.#answer("D", `Error: ${this.#client} is not authorized to use this service`);
  }

  /** The client has taken too long. */
  get late(): boolean {
    return this.#phase === "reading" && this.#deadline.left <= 0;
  }

  /** Ends the session of a client that has. */
  timeout(): void {
    this.#lose("read/write timeout");
  }

  /** Takes bytes. */
  data(bytes: Uint8Array): void {
    if (this.#phase !== "reading") return;
    this.#deadline.progress(bytes.length);
    if (this.#shared.held + bytes.length > BUFFER_LIMIT) return this.#answer("Z", "Error: too much at once");
    this.#shared.held += bytes.length;
    this.#held += bytes.length;
    const reading = this.#reader.push(bytes);
    if (reading.kind === "more") return;
    if (reading.kind === "packet") return this.#take(reading.packet);
    this.#logTrouble(reading.why);
    this.#answer("D", `Error: ${reading.why}`);
  }

  /** The client has gone. */
  closed(): void {
    if (this.#phase === "reading") this.#lose("lost connection");
    else if (this.#phase === "answering") this.#end();
  }

  get #client(): string {
    const port = this.#shared.settings.qmqpd_client_port_logging ? `:${this.#peer.port}` : "";
    return `${this.#peer.name}[${this.#peer.address}]${port}`;
  }

  #logTrouble(why: string): void {
    const id = this.#queueId || "NOQUEUE";
    this.#shared.log.info(`${id}: ${why}: ${this.#client} while ${this.#reader.stage}`);
  }

  #lose(why: string): void {
    this.#logTrouble(why);
    this.#end();
    this.#channel.destroy();
  }

  #take(packet: Packet): void {
    this.#phase = "answering";
    const { settings, cleanup, flags, log } = this.#shared;
    const envelope = readEnvelope(packet, settings.verp_delimiter_filter);
    if (typeof envelope === "string") return this.#answer("D", envelope);
    const facts = { hostName: settings.myhostname, mailName: settings.mail_name };
    submitMessage(cleanup, flags, (sink) => {
      this.#queueId = sink.queueId;
      log.info(`${sink.queueId}: client=${this.#client}`);
      return produce(sink, this.#peer, envelope, packet.message, facts);
    }, { lineLimit: settings.line_length_limit }).then(
      (submission) => this.#answer(...verdictOf(submission)),
      (error) => {
        this.#shared.trouble(`session of ${this.#client}`, error);
        this.#answer("Z", "Error: internal error 1");
      },
    );
  }

  /** Says what has come of it, later when that is nothing good. */
  #answer(verdict: Verdict, text: string): void {
    if (this.#phase === "over") return;
    this.#phase = "answering";
    const { settings } = this.#shared;
    const said = verdict === "D" && settings.soft_bounce ? "Z" : verdict;
    const say = () => {
      if (this.#phase === "over") return;
      const content = encodeText(`${said}${text}`);
      const [length, comma] = [encodeText(`${content.length}:`), encodeText(",")];
      for (const part of [length, content, comma]) this.#channel.write(part);
      this.#end();
      this.#channel.finish();
    };
    if (verdict === "K" || settings.qmqpd_error_delay === 0) say();
    else setTimeout(say, settings.qmqpd_error_delay * 1000);
  }

  #end(): void {
    if (this.#phase === "over") return;
    this.#phase = "over";
    this.#shared.held -= this.#held;
    this.#shared.log.info(`disconnect from ${this.#client}`);
    this.#done();
  }
}

/** cleanup's status as a reply: the most severe first, in Postfix's order and words. */
const STATUS_REPLIES: readonly [number, Verdict, string][] = [
  [CLEANUP_STATUS.DEFER, "Z", "Error: service unavailable"],
  [CLEANUP_STATUS.BAD, "Z", "Error: internal error 1"],
  [CLEANUP_STATUS.SIZE, "D", "Error: message too large"],
  [CLEANUP_STATUS.HOPS, "D", "Error: too many hops"],
  [CLEANUP_STATUS.CONTENT, "D", "Error: message content rejected"],
  [CLEANUP_STATUS.WRITE, "Z", "Error: queue file write error"],
  [CLEANUP_STATUS.RECIPIENT, "D", "Error: no recipients specified"],
];

function verdictOf({ status, reason, queueId }: Submission): [Verdict, string] {
  if (status === CLEANUP_STATUS.OK) return ["K", `Ok: queued as ${queueId}`];
  const [bit, verdict, text] = STATUS_REPLIES.find(([bit]) => (status & bit) !== 0) ??
    [0, "Z" as const, "Error: queue file write error"];
  const told = (bit === CLEANUP_STATUS.DEFER || bit === CLEANUP_STATUS.CONTENT) && reason !== "";
  const soft = bit === CLEANUP_STATUS.CONTENT && reason.startsWith("4");
  return [soft ? "Z" : verdict, told ? `Error: ${printable(reason)}` : text];
}
