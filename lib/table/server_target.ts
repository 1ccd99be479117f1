/**
 * Servers that tables ask: where they listen, and which of several is asked next.
 *
 * @module
 */
// Utility
import { parseDecimal } from "../vstring/ascii.ts";

/** Where a server listens: a host with a port, or the path of a socket. */
export type ServerTarget =
  | { readonly kind: "inet"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/**
 * Reads `host`, `host:port`, `[address]:port`, each with or without `inet:`, or `unix:/path`; undefined when it is
 * none of these. A name of a port is not looked up.
 */
export function parseTarget(text: string, defaultPort: number | undefined): ServerTarget | undefined {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    return path.startsWith("/") ? { kind: "unix", path } : undefined;
  }
  const rest = text.startsWith("inet:") ? text.slice("inet:".length) : text;
  const close = rest.startsWith("[") ? rest.indexOf("]") : -1;
  if (rest.startsWith("[") && close < 0) return undefined;
  const colon = rest.indexOf(":", close + 1);
  const host = close >= 0 ? rest.slice(1, close) : colon < 0 ? rest : rest.slice(0, colon);
  const behind = close >= 0 ? rest.slice(close + 1) : colon < 0 ? "" : rest.slice(colon);
  if (behind !== "" && !behind.startsWith(":")) return undefined;
  const port = behind === "" ? defaultPort : parseDecimal(behind.slice(1), 65535);
  return host === "" || port === undefined || port === 0 ? undefined : { kind: "inet", host, port };
}

/** The target as logs and grants write it. */
export function targetText(target: ServerTarget): string {
  if (target.kind === "unix") return `unix:${target.path}`;
  return target.host.includes(":") ? `[${target.host}]:${target.port}` : `${target.host}:${target.port}`;
}

/**
 * The servers of one table: asked in random order, those on this machine's sockets first; one that failed is left out
 * for a while, unless it is the only one.
 */
export class ServerPool {
  readonly #targets: readonly ServerTarget[];
  readonly #retryInterval: number;
  readonly #now: () => number;
  readonly #downUntil = new Map<ServerTarget, number>();

  /** @param retryInterval seconds that a failed server is left out */
  constructor(targets: readonly ServerTarget[], retryInterval: number, now: () => number) {
    this.#targets = targets;
    this.#retryInterval = retryInterval;
    this.#now = now;
  }

  /** The servers to ask, in order. */
  order(): ServerTarget[] {
    const up = this.#targets.filter((target) => (this.#downUntil.get(target) ?? 0) <= this.#now());
    return up.map((target) => ({ target, rank: (target.kind === "unix" ? 0 : 1) + Math.random() }))
      .sort((a, b) => a.rank - b.rank).map(({ target }) => target);
  }

  /** Leaves a server out for a while. */
  failed(target: ServerTarget): void {
    // A single server is asked again at once: nothing else could answer.
    if (this.#targets.length > 1) this.#downUntil.set(target, this.#now() + this.#retryInterval * 1000);
  }

  /** A server has answered. */
  answered(target: ServerTarget): void {
    this.#downUntil.delete(target);
  }
}
