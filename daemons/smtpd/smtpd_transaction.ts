/**
 * One mail transaction: sender, recipients, and the message on its way to cleanup. It is replaced whole, never reset
 * field by field: what must not outlive a transaction has nowhere else to stand.
 */
// Utility
import { ByteBuilder } from "../../lib/vstring/byte_builder.ts";
// Mail
import { quoteAddress } from "../../lib/mail/address.ts";
import { encodeXtext } from "../../lib/mail/xtext.ts";
import { appendAttribute, formatTime } from "../../lib/mail/queue_file.ts";
import { appendRecord, RECORD } from "../../lib/mail/record.ts";
// Server skeleton
import type { ClientExchange, IpcClient } from "../../lib/ipc/client.ts";
import { type CLEANUP, CLEANUP_EXTERNAL, CLEANUP_STATUS } from "../../lib/proto/protocols.ts";
// This program
import { DataReader } from "./smtpd_data.ts";
import type { Peer } from "./smtpd_peer.ts";
import { REPLY, type ReplyText } from "./smtpd_reply.ts";

/** Room for the envelope's records, bytes: a thousand recipients of the longest kind. */
const ENVELOPE_LIMIT = 4 * 1024 * 1024;
/** Records that go out in one chunk, bytes. */
const CHUNK = 48 * 1024;

/** What the log and the queue file say of the session. */
export interface SessionFacts {
  readonly peer: Peer;
  readonly helo: string;
  readonly protocol: string;
}

/** A message's final fate. */
export interface Outcome {
  readonly reply: ReplyText;
  readonly accepted: boolean;
}

/** A transaction from MAIL to the final reply. */
export class Transaction {
  readonly sender: string;
  /** BODY=8BITMIME was said. */
  readonly eightBit: boolean;
  readonly recipients: string[] = [];
  /** Recipients that were refused because there were too many. */
  overshoot = 0;
  readonly #time = Date.now();
  #exchange: ClientExchange<typeof CLEANUP> | undefined;
  #queueId: Promise<string> | undefined;
  #outcome: Promise<Outcome> | undefined;
  #over = false;
  reader: DataReader | undefined;

  constructor(sender: string, eightBit: boolean) {
    this.sender = sender;
    this.eightBit = eightBit;
  }

  /** When MAIL came, milliseconds since 1970. */
  get time(): number {
    return this.#time;
  }

  /** Asks cleanup for a queue file, so that its id is there by the time of DATA. */
  open(cleanup: IpcClient<typeof CLEANUP>): void {
    if (this.#exchange !== undefined) return;
    let gotId: (id: string) => void = () => {};
    let settle: (outcome: Outcome) => void = () => {};
    this.#queueId = new Promise((resolve) => gotId = resolve);
    this.#outcome = new Promise((resolve) => settle = resolve);
    let id = "";
    const end = (outcome: Outcome) => {
      this.#over = true;
      gotId("");
      settle(outcome);
    };
    this.#exchange = cleanup.open(
      (reply) => {
        if (reply.is === "queueId") gotId(id = reply.queueId);
        else end(toOutcome(reply.status, reply.reason, id));
      },
      () => end({ reply: REPLY.queueFileError, accepted: false }),
    );
    this.#exchange.send("begin", { flags: CLEANUP_EXTERNAL });
  }

  /** The queue id, or an empty string when cleanup could not make a file. */
  queueId(): Promise<string> {
    return this.#queueId ?? Promise.resolve("");
  }

  /**
   * Sends the envelope and begins the content.
   *
   * @param received lines of the Received header
   */
  beginData(facts: SessionFacts, lineLimit: number, received: readonly string[]): DataReader {
    const envelope = new ByteBuilder(ENVELOPE_LIMIT, 1024);
    this.#putEnvelope(envelope, facts);
    // The first chunk holds the envelope as far as it is short, the header and the beginning of the text.
    const reader = new DataReader(lineLimit, (records) => this.#exchange?.send("records", { records }));
    this.reader = reader;
    if (envelope.length < CHUNK) reader.records.bytes(envelope.view());
    else this.#sendPieces(envelope);
    for (const line of received) appendRecord(reader.records, RECORD.NORMAL, line);
    return reader;
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
  commit(): Promise<Outcome> {
    const reader = this.reader!;
    appendRecord(reader.records, RECORD.EXTRACTED, "");
    appendRecord(reader.records, RECORD.END, "");
    reader.flush();
    this.#exchange!.send("finish", {});
    return this.#outcome!;
  }

  /** Breaks off: nothing of the message stays. */
  abort(): void {
    if (this.#over) return;
    this.#over = true;
    this.#exchange?.cancel();
  }

  #putEnvelope(out: ByteBuilder, facts: SessionFacts): void {
    const { peer, helo, protocol } = facts;
    appendRecord(out, RECORD.TIME, formatTime(this.#time));
    appendAttribute(out, "rewrite_context", peer.local ? "local" : "remote");
    appendRecord(out, RECORD.FROM, this.sender);
    const pairs: [string, string][] = [
      ["log_client_name", peer.name],
      ["log_client_address", peer.address],
      ["log_client_port", String(peer.port)],
      ["log_message_origin", `${peer.name}[${peer.address}]`],
      ["log_helo_name", helo],
      ["log_protocol_name", protocol],
      ["client_name", peer.name],
      ["reverse_client_name", peer.reverseName],
      ["client_address", peer.address],
      ["client_port", String(peer.port)],
      ["server_address", peer.serverAddress],
      ["server_port", String(peer.serverPort)],
      ["helo_name", helo],
      ["protocol_name", protocol],
    ];
    if (this.eightBit) pairs.push(["encoding", "8bit"]);
    for (const [name, value] of pairs) if (value !== "") appendAttribute(out, name, value);
    for (const recipient of this.recipients) {
      appendAttribute(out, "dsn_orig_rcpt", `rfc822;${encodeXtext(quoteAddress(recipient))}`);
      appendRecord(out, RECORD.RECIPIENT, recipient);
    }
    appendRecord(out, RECORD.MESSAGE, "");
  }

  /** Sends a long envelope in chunks of whole records. */
  #sendPieces(envelope: ByteBuilder): void {
    const bytes = envelope.view();
    let start = 0;
    let end = 0;
    while (end < bytes.length) {
      const next = recordEnd(bytes, end);
      if (next - start > CHUNK) {
        this.#exchange?.send("records", { records: bytes.subarray(start, end) });
        start = end;
      }
      end = next;
    }
    this.#exchange?.send("records", { records: bytes.subarray(start, end) });
  }
}

/** Where the record at an offset of our own making ends. */
function recordEnd(bytes: Uint8Array, at: number): number {
  let length = 0;
  let shift = 0;
  let position = at + 1;
  for (;;) {
    const digit = bytes[position++]!;
    length |= (digit & 0x7f) << shift;
    if (digit < 0x80) return position + length;
    shift += 7;
  }
}

/** cleanup's status as a reply: the first that fits, in Postfix's order. */
const STATUS_REPLIES: readonly [number, ReplyText][] = [
  [CLEANUP_STATUS.DEFER, "451 4.7.1 Error: service unavailable"],
  [CLEANUP_STATUS.PROXY, "451 4.3.0 Error: queue file write error"],
  [CLEANUP_STATUS.BAD, "451 4.3.0 Error: internal error 1"],
  [CLEANUP_STATUS.WRITE, REPLY.queueFileError],
  [CLEANUP_STATUS.RECIPIENT, "550 5.1.0 Error: no recipients specified"],
  [CLEANUP_STATUS.SIZE, "552 5.3.4 Error: message file too big"],
  [CLEANUP_STATUS.HOPS, "554 5.4.0 Error: too many hops"],
  [CLEANUP_STATUS.CONTENT, "550 5.7.1 Error: message content rejected"],
  [CLEANUP_STATUS.NOPERM, "550 5.7.1 Error: insufficient authorization"],
];

function toOutcome(status: number, reason: string, queueId: string): Outcome {
  if (status === CLEANUP_STATUS.OK) return { reply: `250 2.0.0 Ok: queued as ${queueId}`, accepted: true };
  const row = STATUS_REPLIES.find(([bit]) => (status & bit) !== 0);
  const reply = (status & CLEANUP_STATUS.CONTENT) !== 0 && reason !== "" ? `550 ${reason}` : row?.[1];
  return { reply: reply ?? REPLY.queueFileError, accepted: false };
}
