/**
 * The client side of proxywrite: one cache.
 *
 * @module
 */
import { type IpcClient, IpcError } from "../ipc/client.ts";
import { encodeText } from "../vstring/byte_builder.ts";
import { CACHE, CACHE_KEY_LIMIT, CACHE_VALUE_LIMIT } from "./protocols.ts";

/** What is needed of a connection to proxywrite. */
export type CacheConnection = Pick<IpcClient<typeof CACHE>, "call" | "send">;

/** A cache that outlives the process. Without its daemon nothing is known, and nothing is kept. */
export class CacheClient {
  readonly #client: CacheConnection;
  readonly #map: string;

  /** @param map the parameter that says where it is */
  constructor(client: CacheConnection, map: string) {
    this.#client = client;
    this.#map = map;
  }

  /** The value that was put last, unless it has been forgotten. */
  async get(key: string): Promise<string | undefined> {
    if (!fits(key, CACHE_KEY_LIMIT)) return undefined;
    try {
      const reply = await this.#client.call("get", { map: this.#map, key });
      return reply.is === "found" ? reply.value : undefined;
    } catch (error) {
      if (!(error instanceof IpcError)) throw error;
      return undefined;
    }
  }

  /** @param expires when it may be forgotten, seconds since 1970 */
  put(key: string, value: string, expires: number): void {
    if (!fits(key, CACHE_KEY_LIMIT) || !fits(value, CACHE_VALUE_LIMIT)) return;
    this.#client.send("put", { map: this.#map, key, value, expires });
  }
}

function fits(text: string, limit: number): boolean {
  return text.length <= limit && encodeText(text).length <= limit;
}
