/**
 * One connection with a filter: packets out and in under a deadline, and what was agreed on it.
 *
 * @module
 */
// Safe primitives
import { NetworkError } from "../safe/connect.ts";
// Utility
import { decodeText } from "../vstring/byte_builder.ts";
// This protocol
import {
  ACTION,
  codeName,
  COMMAND,
  encodeNumbers,
  encodePacket,
  FieldReader,
  MilterFormatError,
  type Packet,
  PacketReader,
  STEP,
} from "./milter_codec.ts";
import { type AskedMacros, readAskedMacros } from "./milter_macro.ts";
import type { MilterProtocol } from "./milter_rule.ts";

/** What carries packets: a connection, or another daemon that has it. */
export interface MilterStream {
  /** From now on, whatever is under way must end within so many milliseconds, or the stream is closed. */
  deadline(milliseconds: number): void;
  /** Nothing is due any more. */
  noDeadline(): void;
  /** Reads into `buffer`: the bytes read, or null at the end. Throws a NetworkError. */
  read(buffer: Uint8Array): Promise<number | null>;
  /** Writes all. Throws a NetworkError. */
  write(bytes: Uint8Array): Promise<void>;
  /** Closes at once; what is under way fails. */
  close(): void;
}

/** What was agreed on with a filter. */
export interface Agreement {
  readonly version: number;
  /** ACTION bits: what it may change. */
  readonly actions: number;
  /** STEP bits. */
  readonly steps: number;
  /** The macros that it wants, in the place of the configuration's. */
  readonly asked: AskedMacros;
}

const READ_SIZE = 16 * 1024;

/** What the steps of each version are (milter_protocol). */
const STEPS_2 = STEP.NO_CONNECT | STEP.NO_HELO | STEP.NO_MAIL | STEP.NO_RCPT | STEP.NO_BODY |
  STEP.NO_HEADERS | STEP.NO_HEADER_END;
const STEPS_3 = STEPS_2 | STEP.NO_UNKNOWN;
const STEPS_4 = STEPS_3 | STEP.NO_DATA;
const STEPS_6 = STEPS_4 | STEP.MUTE_HEADER | STEP.SKIP | STEP.REJECTED_RCPT | STEP.MUTE_CONNECT |
  STEP.MUTE_HELO | STEP.MUTE_MAIL | STEP.MUTE_RCPT | STEP.MUTE_DATA | STEP.MUTE_UNKNOWN |
  STEP.MUTE_HEADER_END | STEP.MUTE_BODY | STEP.LEADING_SPACE;
const OFFERED_STEPS: Readonly<Record<MilterProtocol["version"], number>> = {
  2: STEPS_2,
  3: STEPS_3,
  4: STEPS_4,
  6: STEPS_6,
};
/** What a filter of versions before 6 may change, and of 6. */
const ACTIONS_2 = ACTION.ADD_HEADERS | ACTION.CHANGE_BODY | ACTION.ADD_RCPT | ACTION.DELETE_RCPT |
  ACTION.CHANGE_HEADERS | ACTION.QUARANTINE;
const ACTIONS_6 = ACTIONS_2 | ACTION.CHANGE_FROM | ACTION.ADD_RCPT_ARGS | ACTION.SET_MACRO_LIST;

/** Packets over a stream. */
export class MilterWire {
  readonly #stream: MilterStream;
  readonly #reader = new PacketReader();
  readonly #buffer = new Uint8Array(READ_SIZE);

  constructor(stream: MilterStream) {
    this.#stream = stream;
  }

  /** Until when all that follows must be done. */
  deadline(milliseconds: number): void {
    this.#stream.deadline(milliseconds);
  }

  /** Nothing is asked of the filter now. */
  rest(): void {
    this.#stream.noDeadline();
  }

  /** Sends packets in one write. */
  send(packets: readonly Uint8Array[]): Promise<void> {
    const [first, ...more] = packets;
    if (more.length === 0) return this.#stream.write(first!);
    const all = new Uint8Array(packets.reduce((sum, packet) => sum + packet.length, 0));
    let at = 0;
    for (const packet of packets) {
      all.set(packet, at);
      at += packet.length;
    }
    return this.#stream.write(all);
  }

  /** The next packet. Throws a MilterFormatError, or a NetworkError when there is none. */
  async receive(): Promise<Packet> {
    for (;;) {
      const packet = this.#reader.next();
      if (packet !== undefined) return packet;
      const count = await this.#stream.read(this.#buffer);
      if (count === null) throw new NetworkError("closed", "Connection closed by the filter");
      this.#reader.push(this.#buffer.subarray(0, count));
    }
  }

  /** Demands that the filter has sent nothing that nobody asked for: it would be taken for the next answer. */
  quiet(): void {
    if (this.#reader.pending) throw new MilterFormatError("unexpected data behind the answer");
  }

  close(): void {
    this.#stream.close();
  }

  /** Agrees with the filter on what is spoken. Throws as `receive`. */
  async negotiate(protocol: MilterProtocol): Promise<Agreement> {
    const { version } = protocol;
    const offered = {
      actions: version >= 6 ? ACTIONS_6 : ACTIONS_2,
      steps: OFFERED_STEPS[version],
    };
    const numbers = encodeNumbers(version, offered.actions, offered.steps);
    await this.send([encodePacket(COMMAND.NEGOTIATE, numbers)]);
    const packet = await this.receive();
    if (packet.code !== COMMAND.NEGOTIATE) {
      throw new MilterFormatError(`unexpected reply ${codeName(packet.code)} in initial handshake`);
    }
    const fields = new FieldReader(packet.data);
    const agreed = { version: fields.number(), actions: fields.number(), steps: fields.number() };
    if (agreed.version < 2) throw new MilterFormatError(`protocol version ${agreed.version}`);
    const asked = version >= 6 ? readAskedMacros(fields, decodeText) : {};
    this.quiet();
    return {
      version: Math.min(agreed.version, version),
      actions: agreed.actions & offered.actions,
      // What nobody offered the filter cannot have either, but for what the configuration says of it.
      steps: agreed.steps & offered.steps | (protocol.muteHeaders ? STEP.MUTE_HEADER : 0),
      asked,
    };
  }
}
