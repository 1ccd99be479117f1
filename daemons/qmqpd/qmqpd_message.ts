/**
 * A packet as a message: its envelope, our header, and its lines as records for cleanup.
 */
// Utility
import { CR, isBlank, LF } from "../../lib/vstring/ascii.ts";
import { encodeText } from "../../lib/vstring/byte_builder.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { envelopeText, quoteAddress } from "../../lib/mail/address.ts";
import { formatMailDate } from "../../lib/mail/date.ts";
import { formatTime } from "../../lib/mail/queue_file.ts";
import { RECORD } from "../../lib/mail/record.ts";
import { areVerpDelimiters } from "../../lib/mail/verp.ts";
// Internal protocols
import type { RecordSink } from "../../lib/proto/cleanup_client.ts";
import { ADDRESS_LIMIT } from "../../lib/proto/protocols.ts";
// Access
import type { Peer } from "../../lib/access/peer.ts";
// This program
import type { Packet } from "./qmqpd_reader.ts";

/** What ends a sender that asks for a return path for each recipient. */
const VERP_SUFFIX = "-@[]";

/** An envelope that can be used. */
export interface QmqpEnvelope {
  readonly sender: string;
  /** VERP delimiters, or empty. */
  readonly verp: string;
  readonly recipients: readonly string[];
}

/** The envelope of a packet, or what is wrong with it. */
export function readEnvelope(packet: Packet, delimiterFilter: string): QmqpEnvelope | string {
  const unusable = [packet.sender, ...packet.recipients].some((address) =>
    envelopeText(address) === undefined || encodeText(address).length > ADDRESS_LIMIT
  );
  if (unusable) return "Error: bad address";
  if (packet.recipients.length === 0 || packet.recipients.includes("")) {
    return "Error: no recipients specified";
  }
  const { recipients } = packet;
  if (!packet.sender.endsWith(VERP_SUFFIX)) return { sender: packet.sender, verp: "", recipients };
  // prefix-x@site-@[]: copies have the senders prefix-user=domain@site, with x where the minus sign is.
  const plain = packet.sender.slice(0, -VERP_SUFFIX.length);
  const at = plain.lastIndexOf("@");
  const verp = `${plain.slice(0, Math.max(at, 0)).slice(-1)}=`;
  if (at < 1 || !areVerpDelimiters(verp, delimiterFilter)) {
    return `Invalid VERP delimiters: "${printable(verp)}". Need two characters from "${delimiterFilter}"`;
  }
  return { sender: plain.slice(0, at - 1) + plain.slice(at), verp, recipients };
}

/** What our header tells. */
export interface HeaderFacts {
  readonly hostName: string;
  readonly mailName: string;
}

/** Sends a message to cleanup. */
export async function produce(
  sink: RecordSink,
  peer: Peer,
  envelope: QmqpEnvelope,
  message: readonly Uint8Array[],
  facts: HeaderFacts,
): Promise<void> {
  const now = Date.now();
  await sink.record(RECORD.TIME, formatTime(now));
  for (const [name, value] of attributes(peer)) await sink.record(RECORD.ATTRIBUTE, `${name}=${value}`);
  await sink.record(RECORD.FROM, envelope.sender);
  if (envelope.verp !== "") await sink.record(RECORD.VERP, envelope.verp);
  for (const recipient of envelope.recipients) await sink.record(RECORD.RECIPIENT, recipient);
  await sink.record(RECORD.MESSAGE, "");
  for (const line of receivedLines(peer, envelope, facts, sink.queueId, now)) await sink.line(line);
  await new LineWriter(sink).write(message);
  await sink.record(RECORD.EXTRACTED, "");
  await sink.record(RECORD.END, "");
}

/** What the queue file says of the client: as for any other, but that there is no HELO. */
function attributes(peer: Peer): [string, string][] {
  return [
    // Who may use QMQP is trusted with mail: its headers are completed as those of mail from here.
    ["rewrite_context", "local"],
    ["log_client_name", peer.name],
    ["log_client_address", peer.address],
    ["log_client_port", String(peer.port)],
    ["log_message_origin", `${peer.name}[${peer.address}]`],
    ["log_protocol_name", "QMQP"],
    ["client_name", peer.name],
    ["reverse_client_name", peer.reverseName],
    ["client_address", peer.address],
    ["client_port", String(peer.port)],
    ["server_address", peer.serverAddress],
    ["server_port", String(peer.serverPort)],
    ["protocol_name", "QMQP"],
  ];
}

function receivedLines(
  peer: Peer,
  { recipients }: QmqpEnvelope,
  { hostName, mailName }: HeaderFacts,
  queueId: string,
  now: number,
): string[] {
  const address = peer.address.includes(":") ? `IPv6:${peer.address}` : peer.address;
  const first = `Received: from ${peer.name} (${peer.name} [${address}])`;
  const date = formatMailDate(now);
  if (recipients.length !== 1) {
    return [first, `\tby ${hostName} (${mailName}) with QMQP`, `\tid ${queueId}; ${date}`];
  }
  const only = printable(quoteAddress(recipients[0]!));
  return [first, `\tby ${hostName} (${mailName}) with QMQP id ${queueId}`, `\tfor <${only}>; ${date}`];
}

/** Lines of a text that comes in pieces. A line ends in LF or CR LF; the last one need not end. */
class LineWriter {
  readonly #sink: RecordSink;
  #first = true;

  constructor(sink: RecordSink) {
    this.#sink = sink;
  }

  async write(pieces: readonly Uint8Array[]): Promise<void> {
    let kept: Uint8Array = new Uint8Array(0);
    for (const piece of pieces) {
      let start = 0;
      for (let end = piece.indexOf(LF); end >= 0; end = piece.indexOf(LF, start)) {
        await this.#line(join(kept, piece.subarray(start, end)));
        kept = kept.subarray(0, 0);
        start = end + 1;
      }
      kept = join(kept, piece.subarray(start));
    }
    if (kept.length > 0) await this.#line(kept);
  }

  async #line(text: Uint8Array): Promise<void> {
    const line = text.at(-1) === CR ? text.subarray(0, -1) : text;
    if (this.#first) {
      this.#first = false;
      if (isEnvelopeLine(line)) return await this.#sink.line(join(encodeText("X-Mailbox-Line: "), line));
      // A first line that is no header's begin would continue ours.
      if (line.length > 0 && isBlank(line[0]!)) await this.#sink.line("");
    }
    await this.#sink.line(line);
  }
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0) return b;
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

const GREATER = 0x3e;

/** "From " of a mailbox file, with or without `>` in front. */
function isEnvelopeLine(line: Uint8Array): boolean {
  let at = 0;
  while (line[at] === GREATER) at++;
  return [0x46, 0x72, 0x6f, 0x6d, 0x20].every((byte, i) => line[at + i] === byte);
}
