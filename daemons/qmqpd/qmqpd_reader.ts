/**
 * The reader of a QMQP packet: a netstring that holds a message, a sender and recipients, each a netstring. It takes bytes
 * as they come, looks at none twice, and keeps no more than the limits say.
 */
// Utility
import { COLON, isDigit } from "../../lib/vstring/ascii.ts";
import { decodeText, isUtf8 } from "../../lib/vstring/byte_builder.ts";

/** What a client may send, bytes. */
export interface PacketLimits {
  readonly message: number;
  /** Each address. */
  readonly address: number;
  /** All recipients together. */
  readonly recipients: number;
}

/** Digits of a length; more are longer than anything here. */
const DIGITS = 10;
const COMMA = 0x2c;

/** A packet that is whole. */
export interface Packet {
  /** In the pieces in which it came. */
  readonly message: readonly Uint8Array[];
  readonly sender: string;
  readonly recipients: readonly string[];
}

/** What has been read. */
export type Reading =
  | { readonly kind: "more" }
  | { readonly kind: "packet"; readonly packet: Packet }
  | { readonly kind: "bad"; readonly why: string };

/** What is read, as the log names it; Postfix's words. */
export type Stage =
  | "receiving QMQP packet header"
  | "receiving message content"
  | "receiving sender address"
  | "receiving recipient address";

const FORMAT = "netstring format error";
const TOO_LONG = "netstring length exceeds storage limit";

/** Reads one packet. */
export class PacketReader {
  readonly #limits: PacketLimits;
  stage: Stage = "receiving QMQP packet header";
  /** A length is read, its digits until now; or the bytes that a netstring still lacks. */
  #length = 0;
  #digits = 0;
  #left = -1;
  /** Bytes that the packet still has, without its final comma. */
  #packetLeft = -1;
  readonly #message: Uint8Array[] = [];
  #text: number[] = [];
  #sender: string | undefined;
  readonly #recipients: string[] = [];
  #recipientBytes = 0;
  #why = "";

  constructor(limits: PacketLimits) {
    this.#limits = limits;
  }

  /** Bytes of message text that are kept. */
  get size(): number {
    let sum = 0;
    for (const piece of this.#message) sum += piece.length;
    return sum;
  }

  /** Takes bytes. What comes behind the packet is not looked at. */
  push(bytes: Uint8Array): Reading {
    for (let at = 0; at < bytes.length;) {
      const taken = this.#left < 0 ? this.#takeLength(bytes[at]!) : this.#takeContent(bytes, at);
      if (this.#why !== "") return { kind: "bad", why: this.#why };
      if (taken === 0) {
        const packet = { message: this.#message, sender: this.#sender ?? "", recipients: this.#recipients };
        return { kind: "packet", packet };
      }
      at += taken;
    }
    return { kind: "more" };
  }

  /** One byte of a length, or the comma that ends the packet: 0 then. */
  #takeLength(byte: number): number {
    if (this.#packetLeft === 0) {
      if (byte !== COMMA || this.#sender === undefined) this.#why = FORMAT;
      return 0;
    }
    if (this.#packetLeft > 0) this.#packetLeft--;
    if (byte === COLON && this.#digits > 0) this.#begin();
    else if (!isDigit(byte)) this.#why = FORMAT;
    else if (++this.#digits > DIGITS) this.#why = TOO_LONG;
    else this.#length = this.#length * 10 + byte - 0x30;
    return 1;
  }

  /** A length is known: what it is of begins. */
  #begin(): void {
    const length = this.#length;
    this.#length = 0;
    this.#digits = 0;
    const { message, address, recipients } = this.#limits;
    if (this.#packetLeft < 0) {
      // The parts are held to their own limits; this one is for what they can be together.
      if (length > message + address + recipients) this.#why = TOO_LONG;
      this.#packetLeft = length;
      this.stage = "receiving message content";
      return;
    }
    const isMessage = this.stage === "receiving message content";
    if (length > (isMessage ? message : address)) this.#why = TOO_LONG;
    // A part that does not fit into the packet, with its comma.
    else if (length + 1 > this.#packetLeft) this.#why = FORMAT;
    this.#left = length;
  }

  /** Bytes of a part, or the comma behind it. */
  #takeContent(bytes: Uint8Array, at: number): number {
    if (this.#left === 0) {
      this.#packetLeft--;
      if (bytes[at] === COMMA) this.#endPart();
      else this.#why = FORMAT;
      return 1;
    }
    const count = Math.min(this.#left, bytes.length - at);
    this.#left -= count;
    this.#packetLeft -= count;
    if (this.stage === "receiving message content") this.#message.push(bytes.slice(at, at + count));
    else for (let i = at; i < at + count; i++) this.#text.push(bytes[i]!);
    return count;
  }

  #endPart(): void {
    this.#left = -1;
    if (this.stage === "receiving message content") {
      this.stage = "receiving sender address";
      return;
    }
    const bytes = Uint8Array.from(this.#text);
    this.#text = [];
    if (!isUtf8(bytes)) this.#why = "address is not UTF-8";
    else if (this.#sender === undefined) this.#sender = decodeText(bytes);
    else this.#addRecipient(decodeText(bytes), bytes.length);
    this.stage = "receiving recipient address";
  }

  #addRecipient(address: string, length: number): void {
    // Each costs more than its bytes: an empty one counts as well.
    this.#recipientBytes += length + 1;
    if (this.#recipientBytes > this.#limits.recipients) this.#why = TOO_LONG;
    this.#recipients.push(address);
  }
}
