/**
 * tcp:host:port tables, as tcp_table(5) describes them: `get KEY`, answered by `200 VALUE`, `500 TEXT` (not there) or
 * `400 TEXT` (try again), texts with `%XX` for what may not stand there.
 *
 * @module
 */
// Utility
import { ByteBuilder, decodeText, encodeText } from "../vstring/byte_builder.ts";
import { asciiLower, LF } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
// Tables
import { type ReplyReader, RequestStream } from "./request_stream.ts";
import type { ServerTarget } from "./server_target.ts";
import type { TableServers } from "./servers.ts";
import { MISSING, type Outcome, type Table } from "./table.ts";

/** Longest reply with its LF, bytes. */
export const TCP_REPLY_LIMIT = 4096;
/** Milliseconds for a request and its reply. */
const TIMEOUT = 100_000;
const PERCENT = 0x25;

/** Keys and values of a server that speaks the tcp_table protocol. */
export class TcpTable implements Table {
  readonly spec: string;
  readonly partialKeys = false;
  readonly #stream: RequestStream;
  readonly #fold: boolean;

  constructor(spec: string, target: ServerTarget, servers: TableServers, foldKeys: boolean) {
    this.spec = spec;
    this.#fold = foldKeys;
    this.#stream = new RequestStream(servers, target, { request: TIMEOUT, idle: 0, life: 0 });
  }

  async lookup(key: string): Promise<Outcome> {
    const request = new ByteBuilder(key.length * 9 + 16);
    request.text("get ").bytes(encodeTcp(encodeText(this.#fold ? asciiLower(key) : key))).byte(LF);
    try {
      return await this.#stream.ask(request.view(), (reader) => this.#reply(reader));
    } catch (error) {
      return this.#retry(error instanceof Error ? error.message : String(error));
    }
  }

  close(): void {
    this.#stream.close();
  }

  async #reply(reader: ReplyReader): Promise<Outcome> {
    const line = await reader.line(TCP_REPLY_LIMIT);
    const code = decodeText(line.subarray(0, 4));
    const text = decodeTcp(line.subarray(4));
    if (text === undefined) return this.#retry(`bad encoding in reply: "${printable(decodeText(line))}"`);
    switch (code) {
      case "200 ":
        return { kind: "found", value: text };
      case "500 ":
        return MISSING;
      case "400 ":
        return this.#retry(`error reply: ${printable(text)}`);
      default:
        return this.#retry(`malformed reply: "${printable(decodeText(line))}"`);
    }
  }

  #retry(why: string): Outcome {
    return { kind: "retry", why: `table ${this.spec}: ${why}` };
  }
}

/** The text with `%XX` for `%`, white space and what does not print. */
export function encodeTcp(text: Uint8Array): Uint8Array {
  const out = new ByteBuilder(text.length * 3 + 1);
  for (const byte of text) {
    if (byte > 0x20 && byte < 0x7f && byte !== PERCENT) out.byte(byte);
    else out.text(`%${byte.toString(16).padStart(2, "0")}`);
  }
  return out.view();
}

/** The text that `%XX` stands in, or undefined when one is malformed. */
export function decodeTcp(bytes: Uint8Array): string | undefined {
  const out = new ByteBuilder(bytes.length);
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at] !== PERCENT) {
      out.byte(bytes[at]!);
      continue;
    }
    const value = hexValue(bytes[at + 1]) * 16 + hexValue(bytes[at + 2]);
    if (Number.isNaN(value)) return undefined;
    out.byte(value);
    at += 2;
  }
  return decodeText(out.view());
}

/** The value of a hexadecimal digit, or NaN. */
function hexValue(byte: number | undefined): number {
  if (byte === undefined) return NaN;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : NaN;
}
