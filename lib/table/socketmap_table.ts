/**
 * socketmap:inet:host:port:name and socketmap:unix:/path:name tables, as socketmap_table(5) describes them: request
 * and reply are netstrings, `NAME KEY` and `OK VALUE`, `NOTFOUND `, `TEMP WHY`, `TIMEOUT WHY` or `PERM WHY`.
 *
 * @module
 */
// Utility
import { ByteBuilder, decodeText, encodeText } from "../vstring/byte_builder.ts";
import { asciiLower, COLON, isDigit } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
// Tables
import { ReplyError, type ReplyReader, RequestStream } from "./request_stream.ts";
import { parseTarget, type ServerTarget } from "./server_target.ts";
import type { TableServers } from "./servers.ts";
import { MISSING, type Outcome, type Table } from "./table.ts";

/** Longest reply, bytes. */
export const SOCKETMAP_REPLY_LIMIT = 100_000;
/** Longest request, bytes: longer keys are trouble, as in Postfix. */
export const SOCKETMAP_QUERY_LIMIT = 10_000;
/** Milliseconds: of a request, of idleness, of a connection's life. */
const TIMES = { request: 100_000, idle: 10_000, life: 100_000 };
const COMMA = 0x2c;

/** Where the server listens and which of its maps is asked; undefined when the text is neither form. */
export function parseSocketmap(name: string): { target: ServerTarget; map: string } | undefined {
  const colon = name.lastIndexOf(":");
  const map = name.slice(colon + 1);
  const where = name.slice(0, Math.max(colon, 0));
  if (map === "" || !(where.startsWith("inet:") || where.startsWith("unix:"))) return undefined;
  const target = parseTarget(where, undefined);
  return target === undefined ? undefined : { target, map };
}

/** Keys and values of a socketmap server. */
export class SocketmapTable implements Table {
  readonly spec: string;
  readonly partialKeys = false;
  readonly #map: string;
  readonly #stream: RequestStream;
  readonly #fold: boolean;

  constructor(spec: string, map: string, target: ServerTarget, servers: TableServers, foldKeys: boolean) {
    this.spec = spec;
    this.#map = map;
    this.#fold = foldKeys;
    this.#stream = new RequestStream(servers, target, TIMES);
  }

  async lookup(key: string): Promise<Outcome> {
    const text = encodeText(`${this.#map} ${this.#fold ? asciiLower(key) : key}`);
    if (text.length > SOCKETMAP_QUERY_LIMIT) {
      return this.#retry(`query is longer than ${SOCKETMAP_QUERY_LIMIT} bytes`);
    }
    const request = new ByteBuilder(text.length + 16);
    request.text(`${text.length}:`).bytes(text).byte(COMMA);
    try {
      return this.#outcome(decodeText(await this.#stream.ask(request.view(), readNetstring)));
    } catch (error) {
      return this.#retry(error instanceof Error ? error.message : String(error));
    }
  }

  close(): void {
    this.#stream.close();
  }

  #outcome(reply: string): Outcome {
    const space = reply.indexOf(" ");
    const word = space < 0 ? reply : reply.slice(0, space);
    const text = space < 0 ? "" : reply.slice(space + 1);
    switch (word) {
      case "OK":
        return { kind: "found", value: text };
      case "NOTFOUND":
        return MISSING;
      case "TEMP":
      case "TIMEOUT":
      // A permanent failure of the server is a fault of its configuration, and no answer about the key.
      case "PERM":
        return this.#retry(`${word.toLowerCase()} error: ${printable(text)}`);
      default:
        return this.#retry(`malformed reply: "${printable(reply)}"`);
    }
  }

  #retry(why: string): Outcome {
    return { kind: "retry", why: `table ${this.spec}: ${why}` };
  }
}

/** Reads a netstring: its length, a colon, the text, a comma. */
async function readNetstring(reader: ReplyReader): Promise<Uint8Array> {
  let length = 0;
  for (let digits = 0;; digits++) {
    const byte = (await reader.exactly(1))[0]!;
    if (byte === COLON && digits > 0) break;
    if (!isDigit(byte)) throw new ReplyError("malformed netstring length");
    length = length * 10 + byte - 0x30;
    if (length > SOCKETMAP_REPLY_LIMIT) {
      throw new ReplyError(`reply is longer than ${SOCKETMAP_REPLY_LIMIT} bytes`);
    }
  }
  const text = await reader.exactly(length);
  if ((await reader.exactly(1))[0] !== COMMA) throw new ReplyError("netstring without its comma");
  return text;
}
