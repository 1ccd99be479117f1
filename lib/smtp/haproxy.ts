/**
 * The header by which a proxy in front of a server says who its client is (PROXY protocol of HAProxy, versions 1 and 2).
 * Read by scanners that look at no byte twice and never past the limit; who believes a header must know that only the
 * proxy can send it.
 *
 * @module
 */
// Utility
import { isDigit, LF, parseDecimal } from "../vstring/ascii.ts";
import { encodeText } from "../vstring/byte_builder.ts";
import { formatIpAddress, parseIpv4, parseIpv6 } from "../vstring/ip_address.ts";

/** Longest header of any version, bytes (Postfix). */
export const HEADER_LIMIT = 536;
/** Longest header of version 1, its line end included (HAProxy). */
const LINE_LIMIT = 107;
/** Version 2 begins with this, which no other protocol does. */
const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
/** Bytes of version 2 before the addresses. */
const FIXED_LENGTH = 16;
const V4_LENGTH = 4;
const V6_LENGTH = 16;

/** The two ends of a connection; addresses as they were written, IPv4 also in IPv6 form. */
export interface ProxiedEnds {
  readonly clientAddress: string;
  readonly clientPort: number;
  readonly serverAddress: string;
  readonly serverPort: number;
}

/** A header, or why there is none. `length`: the bytes that it takes. */
export type ProxyHeader =
  | { readonly kind: "proxied"; readonly length: number; readonly ends: ProxiedEnds }
  /** The proxy speaks for itself, as when it looks whether the server is there. */
  | { readonly kind: "direct"; readonly length: number }
  | { readonly kind: "more" }
  | { readonly kind: "bad"; readonly why: string };

/** Reads the header at the beginning of what has come. */
export function parseProxyHeader(bytes: Uint8Array): ProxyHeader {
  if (bytes.length === 0) return { kind: "more" };
  return bytes[0] === SIGNATURE[0] ? parseBinary(bytes) : parseLine(bytes);
}

/** The header of version 1 for a connection, to be sent before anything else. */
export function formatProxyHeader(ends: ProxiedEnds): Uint8Array {
  const family = ends.clientAddress.includes(":") ? "TCP6" : "TCP4";
  return encodeText(
    `PROXY ${family} ${ends.clientAddress} ${ends.serverAddress} ${ends.clientPort} ${ends.serverPort}\r\n`,
  );
}

function bad(why: string): ProxyHeader {
  return { kind: "bad", why };
}

/** "PROXY TCP4 client server port port" CR LF. */
function parseLine(bytes: Uint8Array): ProxyHeader {
  for (let i = 0; i < Math.min(bytes.length, PREFIX.length); i++) {
    if (bytes[i] !== PREFIX.charCodeAt(i)) return bad("unexpected protocol header");
  }
  const lf = bytes.subarray(0, LINE_LIMIT).indexOf(LF);
  if (lf < 0) return bytes.length < LINE_LIMIT ? { kind: "more" } : bad("protocol header too long");
  const text = String.fromCharCode(...bytes.subarray(0, lf + 1));
  if (!text.endsWith("\r\n")) return bad("missing protocol header terminator");
  const [, family, client, server, clientPort, serverPort, ...more] = text.slice(0, -2).split(" ");
  const length = lf + 1;
  if (family === "UNKNOWN") return { kind: "direct", length };
  const parse = family === "TCP4" ? parseIpv4 : family === "TCP6" ? parseIpv6 : undefined;
  if (parse === undefined) return bad("bad or missing protocol type");
  if (client === undefined || parse(client) === undefined) return bad("bad or missing client address");
  if (server === undefined || parse(server) === undefined) return bad("bad or missing server address");
  const from = parsePort(clientPort);
  if (from === undefined) return bad("bad or missing client port");
  const to = parsePort(serverPort);
  if (to === undefined) return bad("bad or missing server port");
  if (more.length > 0) return bad("unexpected text behind the server port");
  const ends = { clientAddress: client, clientPort: from, serverAddress: server, serverPort: to };
  return { kind: "proxied", length, ends };
}

const PREFIX = "PROXY ";

function parsePort(text: string | undefined): number | undefined {
  if (text === undefined || text.length > 5 || !isDigit(text.charCodeAt(0))) return undefined;
  return parseDecimal(text, 65_535);
}

/** Signature, version and command, family and protocol, length, addresses, ports, and what we do not look at. */
function parseBinary(bytes: Uint8Array): ProxyHeader {
  for (let i = 0; i < Math.min(bytes.length, SIGNATURE.length); i++) {
    if (bytes[i] !== SIGNATURE[i]) return bad("unexpected protocol header");
  }
  if (bytes.length < FIXED_LENGTH) return { kind: "more" };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const versionAndCommand = bytes[12]!;
  if (versionAndCommand >> 4 !== 2) return bad("unsupported protocol version");
  const length = FIXED_LENGTH + view.getUint16(14);
  if (length > HEADER_LIMIT) return bad("protocol header too long");
  const command = versionAndCommand & 15;
  if (command > 1) return bad("bad protocol command");
  const family = bytes[13]!;
  const addressLength = family === 0x11 ? V4_LENGTH : family === 0x21 ? V6_LENGTH : 0;
  const direct = command === 0 || family === 0;
  if (!direct && addressLength === 0) return bad("unsupported network protocol");
  if (!direct && length < FIXED_LENGTH + 2 * addressLength + 4) return bad("short protocol header");
  if (bytes.length < length) return { kind: "more" };
  if (direct) return { kind: "direct", length };
  const address = (at: number) => formatIpAddress(bytes.subarray(at, at + addressLength));
  const ports = FIXED_LENGTH + 2 * addressLength;
  const ends = {
    clientAddress: address(FIXED_LENGTH),
    serverAddress: address(FIXED_LENGTH + addressLength),
    clientPort: view.getUint16(ports),
    serverPort: view.getUint16(ports + 2),
  };
  return { kind: "proxied", length, ends };
}
