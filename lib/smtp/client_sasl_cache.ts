/**
 * Logins that servers refused, remembered so that a wrong password is not tried with every message until the server locks
 * the account (smtp_sasl_auth_cache_name). The entry is Postfix's: key "host;user", value "time;hash;status;text".
 *
 * @module
 */
// Safe primitives
import { digest } from "../safe/digest.ts";
// Utility
import { parseDecimal } from "../vstring/ascii.ts";
import { encodeBase64 } from "../vstring/base64.ts";
import { encodeText } from "../vstring/byte_builder.ts";
import type { CacheClient } from "../proto/cache_client.ts";
// SASL
import type { Credentials } from "../sasl/client_exchange.ts";
// This program
import { leadingStatus } from "./reply.ts";

/** What a server said. */
export interface RefusedLogin {
  readonly status: string;
  readonly text: string;
}

/** Longest text that is kept, UTF-16 units. */
const TEXT_LIMIT = 500;

/** The cache of one program. */
export class RefusedLogins {
  readonly #cache: Pick<CacheClient, "get" | "put">;
  readonly #seconds: number;
  readonly #now: () => number;

  /** @param now seconds since 1970 */
  constructor(
    cache: Pick<CacheClient, "get" | "put">,
    seconds: number,
    now: () => number = () => Math.floor(Date.now() / 1000),
  ) {
    this.#cache = cache;
    this.#seconds = seconds;
    this.#now = now;
  }

  /** What the server said to this login, with this password, not too long ago. */
  async find(host: string, credentials: Credentials): Promise<RefusedLogin | undefined> {
    const [time = "", hash = "", status = "", ...text] =
      (await this.#cache.get(keyOf(host, credentials)))?.split(";") ?? [];
    const refused = parseDecimal(time);
    if (refused === undefined || this.#now() >= refused + this.#seconds) return undefined;
    // Another password is another login.
    if (hash !== hashOf(credentials) || leadingStatus(status) === undefined) return undefined;
    return { status, text: text.join(";") };
  }

  remember(host: string, credentials: Credentials, { status, text }: RefusedLogin): void {
    const now = this.#now();
    const value = `${now};${hashOf(credentials)};${status};${text.slice(0, TEXT_LIMIT)}`;
    this.#cache.put(keyOf(host, credentials), value, now + this.#seconds);
  }
}

function keyOf(host: string, { user }: Credentials): string {
  return `${host};${user}`;
}

/** What tells whether the password is another one, and not what it is. */
function hashOf({ password }: Credentials): string {
  return encodeBase64(digest("sha1", encodeText(password)));
}
