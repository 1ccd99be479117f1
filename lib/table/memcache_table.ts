/**
 * memcache: tables, as memcache_table(5) describes them: what the cache does not hold, its backup table is asked for,
 * and that answer is put into the cache.
 *
 * @module
 */
// Utility
import { ByteBuilder, decodeText, encodeText } from "../vstring/byte_builder.ts";
import { asciiLower, parseDecimal, splitBlanks } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
import type { Logger } from "../log/log.ts";
// Tables
import { commonConfig, type ConfigReading, readParameterFile, targets, template } from "./database_config.ts";
import { filterKey } from "./key_filter.ts";
import type { MatchList } from "./match_list.ts";
import { expandQuery, type QueryTemplate } from "./query_template.ts";
import { ReplyError, type ReplyReader, RequestStream } from "./request_stream.ts";
import type { ServerTarget } from "./server_target.ts";
import type { TableServers } from "./servers.ts";
import { MISSING, type Outcome, type Table } from "./table.ts";

/** Longest key that memcached takes, bytes. */
const KEY_LIMIT = 250;

/** A memcache table's configuration. */
export interface MemcacheConfig {
  readonly spec: string;
  readonly target: ServerTarget;
  /** Another table, `type:name`; empty: none. */
  readonly backup: string;
  readonly flags: number;
  readonly ttl: number;
  readonly keyFormat: QueryTemplate;
  readonly domains: MatchList | undefined;
  readonly dataLimit: number;
  readonly lineLimit: number;
  readonly maxTry: number;
  /** Milliseconds. */
  readonly retryPause: number;
  readonly timeout: number;
}

const KNOWN = [
  ..."memcache backup flags ttl key_format domain data_size_limit line_size_limit max_try".split(" "),
  ...["retry_pause", "timeout"],
];

/** Reads the configuration. Throws a TableError. */
export function readMemcacheConfig(reading: ConfigReading): MemcacheConfig {
  const file = readParameterFile(reading, KNOWN);
  const server = file.text("memcache", "inet:localhost:11211");
  return {
    spec: reading.spec,
    target: targets(file, "memcache", [server], 11211)[0]!,
    backup: file.text("backup"),
    flags: file.number("flags", 0),
    ttl: file.number("ttl", 3600),
    keyFormat: template(file, "key_format", "%s"),
    domains: commonConfig(reading, file).domains,
    dataLimit: file.number("data_size_limit", 10240, 1),
    lineLimit: file.number("line_size_limit", 1024, 1),
    maxTry: file.number("max_try", 2, 1, 100),
    retryPause: file.number("retry_pause", 1) * 1000,
    timeout: file.number("timeout", 2, 1) * 1000,
  };
}

/** A cache with, or without, a table behind it. */
export class MemcacheTable implements Table {
  readonly spec: string;
  readonly partialKeys = true;
  readonly #config: MemcacheConfig;
  readonly #stream: RequestStream;
  readonly #backup: Table | undefined;
  readonly #fold: boolean;
  readonly #log: Pick<Logger, "warning"> | undefined;

  constructor(
    config: MemcacheConfig,
    servers: TableServers,
    backup: Table | undefined,
    foldKeys: boolean,
    log: Pick<Logger, "warning"> | undefined,
  ) {
    this.spec = config.spec;
    this.#config = config;
    this.#backup = backup;
    this.#fold = foldKeys;
    this.#log = log;
    this.#stream = new RequestStream(servers, config.target, { request: config.timeout, idle: 0, life: 0 });
  }

  async lookup(text: string): Promise<Outcome> {
    const { domains, keyFormat } = this.#config;
    const key = this.#fold ? asciiLower(text) : text;
    const allowed = await filterKey(domains, key);
    if (allowed.kind !== "found") return allowed;
    const name = expandQuery(keyFormat, key, key, (part) => part);
    if (name === undefined) return MISSING;
    // A key with a blank or a line end would be a command of its own.
    const fits = isCacheKey(encodeText(name));
    const cached = fits ? await this.#get(name) : MISSING;
    if (cached.kind === "found" || this.#backup === undefined) return cached;
    const outcome = await this.#backup.lookup(key);
    if (outcome.kind === "found" && fits && cached.kind === "missing") await this.#set(name, outcome.value);
    return outcome;
  }

  close(): void {
    this.#stream.close();
    this.#backup?.close?.();
  }

  async #get(name: string): Promise<Outcome> {
    try {
      return await this.#try(encodeText(`get ${name}\r\n`), (reader) => this.#getReply(reader, name));
    } catch (error) {
      return { kind: "retry", why: `table ${this.spec}: ${messageOf(error)}` };
    }
  }

  /** Puts a value into the cache; its failure is only told. */
  async #set(name: string, value: string): Promise<void> {
    const { flags, ttl, dataLimit } = this.#config;
    const data = encodeText(value);
    if (data.length > dataLimit) return;
    const request = new ByteBuilder(data.length + name.length * 3 + 64);
    request.text(`set ${name} ${flags} ${ttl} ${data.length}\r\n`).bytes(data).text("\r\n");
    try {
      await this.#try(request.view(), async (reader) => {
        const line = await this.#line(reader);
        if (line !== "STORED") throw new ReplyError(`update failed: "${printable(line)}"`);
      });
    } catch (error) {
      this.#log?.warning(`table ${this.spec}: ${messageOf(error)}`);
    }
  }

  /** Makes a request up to max_try times; not again where no connection can be had. */
  async #try<T>(request: Uint8Array, reply: (reader: ReplyReader) => Promise<T>): Promise<T> {
    const { maxTry, retryPause } = this.#config;
    for (let count = 1;; count++) {
      try {
        return await this.#stream.ask(request, reply);
      } catch (error) {
        if (count >= maxTry || !(error instanceof ReplyError)) throw error;
        await new Promise((resolve) => setTimeout(resolve, retryPause));
      }
    }
  }

  async #getReply(reader: ReplyReader, name: string): Promise<Outcome> {
    const line = await this.#line(reader);
    if (line === "END") return MISSING;
    const [word, key, , length] = splitBlanks(line);
    const size = length === undefined ? undefined : parseDecimal(length);
    if (word !== "VALUE" || key !== name || size === undefined) {
      throw new ReplyError(`unexpected reply: "${printable(line)}"`);
    }
    if (size > this.#config.dataLimit) {
      throw new ReplyError(`value is longer than ${this.#config.dataLimit} bytes`);
    }
    const value = decodeText(await reader.exactly(size));
    const rest = [await this.#line(reader), await this.#line(reader)];
    if (rest[0] !== "" || rest[1] !== "END") throw new ReplyError("reply has no proper end");
    return { kind: "found", value };
  }

  async #line(reader: ReplyReader): Promise<string> {
    const line = decodeText(await reader.line(this.#config.lineLimit));
    return line.endsWith("\r") ? line.slice(0, -1) : line;
  }
}

/** memcached's protocol: a key has no blanks and no control characters. */
function isCacheKey(key: Uint8Array): boolean {
  return key.length > 0 && key.length <= KEY_LIMIT && key.every((byte) => byte > 0x20 && byte !== 0x7f);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
