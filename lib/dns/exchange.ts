/**
 * One question to one server: over UDP, and over TCP when the answer does not fit.
 *
 * @module
 */
import { Connection, connectTcp, type DatagramSocket, NetworkError, openDatagram } from "../safe/connect.ts";
import {
  decodeMessage,
  type DnsMessage,
  encodeQuery,
  MalformedMessageError,
  peekId,
  type QueryType,
  RECORD_TYPE,
} from "./message.ts";

/** Address and port of a DNS server. */
export interface DnsServer {
  readonly address: string;
  readonly port: number;
}

/** A resolver's reply, or why there is none. */
export type Exchanged =
  | { readonly kind: "message"; readonly message: DnsMessage }
  /** The server did not answer in time, or could not be reached. */
  | { readonly kind: "silent"; readonly why: string }
  /** It answered, with something that is no DNS message. */
  | { readonly kind: "malformed"; readonly why: string };

/** Longest message over TCP: what its length prefix can say. */
const TCP_LIMIT = 65_535;

/** Asks `server`; the question goes over UDP first, from a port of its own. */
export async function askServer(
  server: DnsServer,
  name: string,
  type: QueryType,
  edns: boolean,
  timeoutMs: number,
): Promise<Exchanged> {
  // RFC 5452 section 9: id and port are unpredictable, and the question is compared.
  const id = crypto.getRandomValues(new Uint16Array(1))[0]!;
  const query = encodeQuery(id, name, type, edns);
  const matches = (bytes: Uint8Array) => readReply(bytes, id, name, type);
  const first = await overUdp(server, query, matches, timeoutMs);
  // RFC 7766 section 5: a truncated answer is asked for again over TCP; its content is not used, come what may.
  return first.kind === "message" && first.message.truncated
    ? await overTcp(server, query, matches, timeoutMs)
    : first;
}

/** What a datagram is: undefined when it does not belong to the question and is to be ignored. */
function readReply(bytes: Uint8Array, id: number, name: string, type: QueryType): Exchanged | undefined {
  if (peekId(bytes) !== id) return undefined;
  let message: DnsMessage;
  try {
    message = decodeMessage(bytes);
  } catch (error) {
    if (!(error instanceof MalformedMessageError)) throw error;
    return { kind: "malformed", why: error.message };
  }
  if (!message.isResponse) return undefined;
  const asked = message.question;
  // A server that understands nothing of the query (FORMERR) may leave the question out.
  if (asked === undefined) return message.rcode === 0 ? undefined : { kind: "message", message };
  const same = asked.name === name && asked.type === RECORD_TYPE[type] && asked.class === 1;
  return same ? { kind: "message", message } : undefined;
}

async function overUdp(
  server: DnsServer,
  query: Uint8Array,
  matches: (bytes: Uint8Array) => Exchanged | undefined,
  timeoutMs: number,
): Promise<Exchanged> {
  let settle: (result: Exchanged) => void = () => {};
  const settled = new Promise<Exchanged>((resolve) => settle = resolve);
  let socket: DatagramSocket;
  try {
    socket = await openDatagram(server.address, server.port, {
      message: (bytes) => {
        const result = matches(bytes);
        if (result !== undefined) settle(result);
      },
      failed: (error) => settle({ kind: "silent", why: error.reason }),
    });
  } catch (error) {
    return silent(error);
  }
  const timer = setTimeout(() => settle({ kind: "silent", why: "Connection timed out" }), timeoutMs);
  try {
    socket.send(query);
    return await settled;
  } finally {
    clearTimeout(timer);
    socket.close();
  }
}

async function overTcp(
  server: DnsServer,
  query: Uint8Array,
  matches: (bytes: Uint8Array) => Exchanged | undefined,
  timeoutMs: number,
): Promise<Exchanged> {
  try {
    using connection = await connectTcp(server.address, server.port, timeoutMs);
    connection.deadline(timeoutMs);
    const framed = new Uint8Array(query.length + 2);
    framed.set([query.length >> 8, query.length & 0xff]);
    framed.set(query, 2);
    await connection.write(framed);
    const head = await readExactly(connection, 2);
    const length = (head[0]! << 8) | head[1]!;
    const result = matches(await readExactly(connection, length));
    if (result === undefined) return { kind: "malformed", why: "answer to another question over TCP" };
    if (result.kind === "message" && result.message.truncated) {
      return { kind: "malformed", why: "truncated answer over TCP" };
    }
    return result;
  } catch (error) {
    return silent(error);
  }
}

async function readExactly(connection: Connection, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(Math.min(length, TCP_LIMIT));
  for (let done = 0; done < bytes.length;) {
    const count = await connection.read(bytes.subarray(done));
    if (count === null) throw new NetworkError("closed", "Connection closed by server");
    done += count;
  }
  return bytes;
}

function silent(error: unknown): Exchanged {
  if (error instanceof NetworkError) return { kind: "silent", why: error.reason };
  throw error;
}
