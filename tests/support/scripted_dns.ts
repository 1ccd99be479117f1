/**
 * A name server that answers from a script: over UDP for programs that ask the system's resolver, and as the dns daemon's
 * client for what runs in the test. Not a test itself.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import dgram from "node:dgram";
import packet, { type Answer } from "dns-packet";
import type { DnsAnswer, DnsLookup } from "../../lib/proto/dns_client.ts";

/**
 * Records by "name TYPE": `"ext.test MX": ["10 mx.ext.test"]`, `"ext.test A": ["192.0.2.1"]`, or "servfail" for a name that
 * nobody can tell of. A name without records of a type has none; one without any does not exist.
 */
export type Zone = Readonly<Record<string, readonly string[] | "servfail">>;

/** What the zone has. */
function ask(
  zone: Zone,
  name: string,
  type: string,
): Pick<DnsAnswer, "rcode"> & { readonly values: readonly string[] } {
  const found = zone[`${name} ${type}`];
  if (found === "servfail") return { rcode: "servfail", values: [] };
  if (found !== undefined) return { rcode: "ok", values: found };
  const exists = Object.keys(zone).some((key) =>
    key.startsWith(`${name} `) || key.split(" ")[0]!.endsWith(`.${name}`)
  );
  return { rcode: exists ? "ok" : "nxdomain", values: [] };
}

/** The zone as the dns daemon would tell of it. */
export function zoneLookup(zone: Zone): DnsLookup {
  return {
    query: (name, type) => {
      const { rcode, values } = ask(zone, name.toLowerCase(), type);
      const records = values.map((text) => {
        const [priority, host] = type === "MX" ? text.split(" ") : ["0", text];
        return { priority: Number(priority), weight: 0, port: 0, value: host!, data: new Uint8Array() };
      });
      return Promise.resolve({ rcode, authenticated: false, ttl: 60, canonicalName: name, records });
    },
  };
}

/** A server on port 53 of a loopback address of its own. */
export class ScriptedDns implements AsyncDisposable {
  readonly address: string;
  readonly #socket: dgram.Socket;

  private constructor(address: string, socket: dgram.Socket) {
    this.address = address;
    this.#socket = socket;
  }

  /** Starts one; it needs root, as the port is one of the system's. */
  static async start(zone: Zone): Promise<ScriptedDns> {
    const part = () => 1 + Math.floor(Math.random() * 250);
    const address = `127.${part()}.${part()}.${part()}`;
    const socket = dgram.createSocket("udp4");
    socket.on("message", (message, from) => {
      // A client that has gone, and a server that was closed meanwhile, are nobody's trouble.
      socket.send(reply(zone, packet.decode(message)), from.port, from.address, () => {});
    });
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind(53, address, resolve);
    });
    return new ScriptedDns(address, socket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A question that comes meanwhile finds nobody, and no closed socket.
    this.#socket.removeAllListeners("message");
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
  }
}

function reply(zone: Zone, query: packet.Packet): Uint8Array {
  const question = query.questions![0]!;
  const { name, type } = question;
  const { rcode, values } = ask(zone, name.toLowerCase(), type);
  const code = rcode === "servfail" ? 2 : rcode === "nxdomain" ? 3 : 0;
  return packet.encode({
    type: "response",
    id: query.id!,
    flags: packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE | code,
    questions: [question],
    answers: values.map((value) => answer(name, type, value)),
  });
}

function answer(name: string, type: string, value: string): Answer {
  const head = { name, ttl: 60, class: "IN" as const };
  if (type === "MX") {
    const [preference, exchange] = value.split(" ");
    return { ...head, type, data: { preference: Number(preference), exchange: exchange! } };
  }
  if (type === "TXT") return { ...head, type, data: [Buffer.from(value)] };
  return { ...head, type: type as "A", data: value };
}
