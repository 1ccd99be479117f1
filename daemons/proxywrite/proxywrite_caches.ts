/**
 * The caches: opened when they are asked for, written now and then, cleaned up in their time.
 */
// Utility
import type { Request } from "../../lib/ipc/protocol.ts";
import type { ServerExchange } from "../../lib/ipc/server.ts";
import type { Logger } from "../../lib/log/log.ts";
import { CacheFile } from "../../lib/table/cache_file.ts";
// Protocols
import type { CACHE } from "../../lib/proto/protocols.ts";

/** The one type of table that is a cache here. */
const TYPE = "cache:";

/** A cache as the configuration has it. */
export interface CacheSpec {
  /** The parameter that names it. */
  readonly map: string;
  /** "cache:/path", or empty for none. */
  readonly table: string;
  /** Seconds between two clean-ups; 0: never. */
  readonly cleanupInterval: number;
}

/** Serves caches. */
export class Caches {
  readonly #specs: ReadonlyMap<string, CacheSpec>;
  readonly #log: Logger;
  readonly #open = new Map<string, CacheFile>();
  readonly #cleaned = new Map<string, number>();

  constructor(specs: readonly CacheSpec[], log: Logger) {
    this.#specs = new Map(specs.map((spec) => [spec.map, spec]));
    this.#log = log;
  }

  /** Handles one request. */
  handle(exchange: ServerExchange<typeof CACHE>, message: Request<typeof CACHE>): void {
    const cache = this.#cache(message.map);
    switch (message.is) {
      case "get": {
        const value = cache?.get(message.key);
        return value === undefined ? exchange.reply("missing", {}) : exchange.reply("found", { value });
      }
      case "put":
        return cache?.put(message.key, message.value, message.expires);
      default:
        return message satisfies never;
    }
  }

  /** Writes what was put, and cleans up what is due; to be called every second. */
  async keepHouse(now: number = Date.now()): Promise<void> {
    for (const [map, cache] of this.#open) {
      const { cleanupInterval, table } = this.#specs.get(map)!;
      if (cleanupInterval > 0 && now >= (this.#cleaned.get(map) ?? 0) + cleanupInterval * 1000) {
        this.#cleaned.set(map, now);
        const { retained, dropped } = cache.clean(Math.floor(now / 1000));
        this.#log.info(`cache ${table} full cleanup: retained=${retained} dropped=${dropped} entries`);
      }
      await cache.flush();
    }
  }

  #cache(map: string): CacheFile | undefined {
    const known = this.#open.get(map);
    const spec = this.#specs.get(map);
    if (known !== undefined || spec === undefined || !spec.table.startsWith(TYPE)) return known;
    const cache = new CacheFile(spec.table.slice(TYPE.length), this.#log);
    this.#open.set(map, cache);
    this.#cleaned.set(map, Date.now());
    return cache;
  }
}
