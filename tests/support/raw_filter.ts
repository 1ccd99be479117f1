/**
 * A filter that speaks the milter protocol itself, byte by byte, so that it can speak it badly: slow, dead, lying, cut off.
 * What it answers otherwise is what Debian's libmilter answers (tests/system/milter_peer_test.ts). Not a test itself.
 *
 * @module
 */
import {
  encodeNumbers,
  encodePacket,
  encodeStrings,
  FieldReader,
  type Packet,
  PacketReader,
} from "../../lib/milter/milter_codec.ts";
import { utf8 } from "./bytes.ts";

/** What a filter does with a packet: bytes to send; undefined: the usual answer; "close", "hang". */
export type Act = (packet: Packet, letter: string) => readonly Uint8Array[] | "close" | "hang" | undefined;

/** How the filter negotiates. */
export interface RawOptions {
  readonly version?: number;
  readonly actions?: number;
  readonly steps?: number;
  /** Requests of macros, by stage number. */
  readonly macros?: Readonly<Record<number, string>>;
}

const CONTINUE = encodePacket(0x63);
/** Commands that have no answer. */
const SILENT = "DAQK";

/** A filter on a port of loopback. */
export class RawFilter implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #connections = new Set<Deno.Conn>();
  readonly #done: Promise<void>;
  readonly #act: Act;
  readonly #options: RawOptions;
  /** Letters of the commands that came, and the packets. */
  letters = "";
  readonly packets: Packet[] = [];
  /** What was offered: version, actions, steps. */
  offered: readonly number[] = [];

  constructor(act: Act = () => undefined, options: RawOptions = {}) {
    this.#act = act;
    this.#options = options;
    this.#done = this.#accept();
  }

  /** As smtpd_milters names it. */
  get name(): string {
    return `inet:127.0.0.1:${(this.#listener.addr as Deno.NetAddr).port}`;
  }

  async #accept(): Promise<void> {
    const sessions: Promise<void>[] = [];
    try {
      for await (const connection of this.#listener) sessions.push(this.#serve(connection));
    } catch {
      // It was closed.
    }
    await Promise.all(sessions);
  }

  async #serve(connection: Deno.Conn): Promise<void> {
    this.#connections.add(connection);
    const reader = new PacketReader();
    const buffer = new Uint8Array(65_536);
    try {
      for (;;) {
        const count = await connection.read(buffer);
        if (count === null) break;
        reader.push(buffer.subarray(0, count));
        for (let packet = reader.next(); packet !== undefined; packet = reader.next()) {
          if (!await this.#take(connection, packet)) return;
        }
      }
    } catch {
      // The peer went away, or we did.
    } finally {
      if (this.#connections.delete(connection)) connection.close();
    }
  }

  async #take(connection: Deno.Conn, packet: Packet): Promise<boolean> {
    const letter = String.fromCharCode(packet.code);
    this.letters += letter;
    this.packets.push(packet);
    const answer = this.#act(packet, letter) ?? this.#usual(packet, letter);
    if (answer === "close") {
      this.#connections.delete(connection);
      connection.close();
      return false;
    }
    if (answer === "hang") return true;
    for (const bytes of answer) {
      for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
    }
    return true;
  }

  #usual(packet: Packet, letter: string): readonly Uint8Array[] {
    if (letter !== "O") return SILENT.includes(letter) ? [] : [CONTINUE];
    const fields = new FieldReader(packet.data);
    this.offered = [fields.number(), fields.number(), fields.number()];
    const { version = 6, actions = this.offered[1]!, steps = 0, macros = {} } = this.#options;
    const lists = Object.entries(macros).flatMap(([stage, names]) => [
      encodeNumbers(Number(stage)),
      encodeStrings(utf8(names)),
    ]);
    return [encodePacket(0x4f, encodeNumbers(version, actions, steps), ...lists)];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.#connections) {
      this.#connections.delete(connection);
      connection.close();
    }
    await this.#done;
  }
}

/** Answers to the end of the message: some edits, then a verdict (default: continue). */
export function atEnd(...edits: readonly Uint8Array[]): Act {
  return (_, letter) => letter === "E" ? edits : undefined;
}

/** An edit as a packet. */
export const EDIT = {
  addHeader: (name: string, value: string) => encodePacket(0x68, encodeStrings(utf8(name), utf8(value))),
  changeHeader: (index: number, name: string, value: string) =>
    encodePacket(0x6d, encodeNumbers(index), encodeStrings(utf8(name), utf8(value))),
  insertHeader: (index: number, name: string, value: string) =>
    encodePacket(0x69, encodeNumbers(index), encodeStrings(utf8(name), utf8(value))),
  body: (text: string) => encodePacket(0x62, utf8(text)),
  addRecipient: (address: string) => encodePacket(0x2b, encodeStrings(utf8(address))),
  deleteRecipient: (address: string) => encodePacket(0x2d, encodeStrings(utf8(address))),
  changeFrom: (address: string) => encodePacket(0x65, encodeStrings(utf8(address))),
  quarantine: () => encodePacket(0x71, encodeStrings(utf8("why"))),
  progress: encodePacket(0x70),
} as const;

/** Verdicts as packets. */
export const VERDICT = {
  continue: CONTINUE,
  accept: encodePacket(0x61),
  reject: encodePacket(0x72),
  tempfail: encodePacket(0x74),
  discard: encodePacket(0x64),
  shutdown: encodePacket(0x34),
  connectionFailure: encodePacket(0x66),
  skip: encodePacket(0x73),
} as const;
