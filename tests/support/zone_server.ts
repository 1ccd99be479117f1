/**
 * A recursive resolver of a test's own, over UDP and TCP, that knows a zone and behaves as the zone says. Not a test
 * itself.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import dgram from "node:dgram";
import packet from "dns-packet";
import { freePort } from "./ports.ts";

/** What a name has: records as in a zone file ("MX 10 a.test", "CNAME b.test"), or how the server fails. */
export type ZoneEntry = readonly string[] | Misbehaviour;
export type Misbehaviour = "SERVFAIL" | "REFUSED" | "NOTIMP" | "FORMERR" | "SILENT" | "GARBAGE";
/** Names in lower case; "name TYPE" for what counts for one type only. Others do not exist. */
export type ServedZone = Readonly<Record<string, ZoneEntry>>;

const RCODES: Readonly<Record<string, number>> = {
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
};
/** Most bytes over UDP; a client that wants more asks over TCP. */
const UDP_LIMIT = 1200;
/** Longest chain of aliases that is put into one answer. */
const CHAIN_LIMIT = 40;

/** The server; `await using` stops it. */
export class ZoneServer implements AsyncDisposable {
  readonly #socket: dgram.Socket;
  readonly #listener: Deno.TcpListener;
  readonly #serving: Promise<void>;
  readonly #zone: ServedZone;
  /** "name TYPE" of each question. */
  readonly asked: string[] = [];

  private constructor(zone: ServedZone, socket: dgram.Socket, listener: Deno.TcpListener) {
    this.#zone = zone;
    this.#socket = socket;
    this.#listener = listener;
    socket.on("message", (bytes: Uint8Array, from: { port: number; address: string }) => {
      const reply = this.#answer(bytes, UDP_LIMIT);
      // A client that has gone is nobody's trouble.
      if (reply !== undefined) socket.send(reply, from.port, from.address, () => {});
    });
    this.#serving = this.#serve();
  }

  /** Starts on an address; on a free port unless one is given. */
  static async start(zone: ServedZone, address = "127.0.0.1", port = freePort()): Promise<ZoneServer> {
    const socket = dgram.createSocket("udp4");
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind(port, address, resolve);
    });
    try {
      return new ZoneServer(zone, socket, Deno.listen({ hostname: address, port }));
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  get port(): number {
    return this.#socket.address().port;
  }

  async #serve(): Promise<void> {
    for await (const connection of this.#listener) {
      await this.#overTcp(connection).catch(() => undefined);
      connection.close();
    }
  }

  async #overTcp(connection: Deno.Conn): Promise<void> {
    const bytes = new Uint8Array(4096);
    let have = 0;
    while (have < 2 || have < 2 + bytes[0]! * 256 + bytes[1]!) {
      const count = await connection.read(bytes.subarray(have));
      if (count === null) return;
      have += count;
    }
    const reply = this.#answer(bytes.subarray(2, have), 65_535);
    if (reply === undefined) return;
    const framed = new Uint8Array([reply.length >> 8, reply.length & 255, ...reply]);
    for (let done = 0; done < framed.length;) done += await connection.write(framed.subarray(done));
  }

  #answer(bytes: Uint8Array, limit: number): Uint8Array | undefined {
    const query = packet.decode(Buffer.from(bytes));
    const question = query.questions![0]!;
    this.asked.push(`${question.name} ${question.type}`);
    const found = this.#find(question.name.toLowerCase(), question.type);
    if (found === "SILENT") return undefined;
    if (found === "GARBAGE") {
      return new Uint8Array([...bytes.subarray(0, 2), 0x81, 0x80, 0xff, 0xff, 1, 2, 3]);
    }
    const reply = (more: Partial<packet.Packet>, flags = 0) =>
      packet.encode({
        id: query.id!,
        type: "response",
        flags: packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE | flags,
        questions: query.questions!,
        ...more,
      });
    if (typeof found === "string") return reply({}, RCODES[found]!);
    const whole = reply(
      { answers: found.answers, authorities: found.answers.length === 0 ? [SOA] : [] },
      found.code,
    );
    return whole.length <= limit ? whole : reply({}, packet.TRUNCATED_RESPONSE);
  }

  #find(asked: string, type: string): Misbehaviour | { answers: packet.Answer[]; code: number } {
    const answers: packet.Answer[] = [];
    let name = asked;
    for (let hops = 0; hops < CHAIN_LIMIT; hops++) {
      const entry = this.#zone[`${name} ${type}`] ?? this.#zone[name];
      if (entry === undefined) return { answers, code: RCODES["NXDOMAIN"]! };
      if (typeof entry === "string") return entry;
      const records = entry.map((text) => parseRecord(name, text));
      const wanted = records.filter((record) => record.type === type);
      if (wanted.length > 0) return { answers: [...answers, ...wanted], code: 0 };
      const alias = records.find((record) => record.type === "CNAME");
      if (alias === undefined) return { answers, code: 0 };
      answers.push(alias);
      name = (alias as packet.StringAnswer).data.toLowerCase();
    }
    return { answers, code: 0 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A question that comes meanwhile finds nobody, and no closed socket.
    this.#socket.removeAllListeners("message");
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
    this.#listener.close();
    await this.#serving;
  }
}

const SOA: packet.Answer = {
  name: "test",
  type: "SOA",
  ttl: 60,
  data: { mname: "ns.test", rname: "root.test", serial: 1, refresh: 60, retry: 60, expire: 60, minimum: 60 },
};

/** A record from its text: "A 192.0.2.1", "MX 10 host", "SRV priority weight port host", "CNAME host", "TXT text". */
function parseRecord(name: string, text: string): packet.Answer {
  const [type, ...words] = text.split(" ");
  const common = { name, ttl: 60 };
  switch (type) {
    case "MX":
      return { ...common, type, data: { preference: Number(words[0]), exchange: words[1]! } };
    case "SRV": {
      const [priority = 0, weight = 0, port = 0] = words.slice(0, 3).map(Number);
      return { ...common, type, data: { priority, weight, port, target: words[3]! } };
    }
    case "A":
    case "AAAA":
    case "CNAME":
    case "PTR":
      return { ...common, type, data: words[0]! };
    case "TXT":
      return { ...common, type, data: words.join(" ") };
    default:
      throw new Error(`Cannot make record "${text}"`);
  }
}
