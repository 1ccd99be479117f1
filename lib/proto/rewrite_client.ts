/**
 * Client of the trivial-rewrite daemon, for all who need an address in its standard form or its destination.
 *
 * @module
 */
import { type IpcClient, IpcError } from "../ipc/client.ts";
import type { ReplyValues } from "../ipc/protocol.ts";
import { lastUnquotedAt, quoteAddress, unquoteAddress } from "../mail/address.ts";
import { AT, DOT, isAlnum } from "../vstring/ascii.ts";
import { encodeText } from "../vstring/byte_builder.ts";
import { ADDRESS_LIMIT, type REWRITE } from "./protocols.ts";
import { ReplyCache } from "./reply_cache.ts";

/** Replies remembered, of each kind. */
const CACHE_LIMIT = 1000;
/** Seconds that a reply is remembered: how long a changed table may take to be noticed. */
const CACHE_LIFETIME = 10;

const HYPHEN = 0x2d;
const UNDERSCORE = 0x5f;

/** Where a recipient leads. */
export interface Resolved extends ReplyValues<typeof REWRITE, "resolved"> {
  readonly kind: "resolved";
}

/** The service, or a table behind it, is in trouble that may pass: answer 4xx or defer. */
export interface RewriteRetry {
  readonly kind: "retry";
  readonly why: string;
}

/** Where an address leads, or why nobody can tell now. */
export type ResolveOutcome = Resolved | RewriteRetry;
/** An address in standard form, or why nobody can tell now. */
export type RewriteOutcome = { readonly kind: "rewritten"; readonly address: string } | RewriteRetry;
/** Whose address it is: local ones are completed with our own domain. */
export type RewriteContext = "local" | "remote";

/** How the client behaves. */
export interface RewriteClientOptions {
  /**
   * False when the configuration has no sender_dependent_* maps: then all senders share what is remembered of a
   * recipient. Default true.
   */
  readonly senderMatters?: boolean;
  /**
   * False when the configuration has no table that is asked for a whole address (transport_maps, relocated_maps): then
   * all plain addresses of a domain share what is remembered of one. Default true.
   */
  readonly localpartMatters?: boolean;
  /** A clock for the cache, milliseconds; default: the monotonic one. */
  readonly now?: () => number;
}

/** Asks the rewrite service and remembers what it said. */
export class RewriteClient {
  readonly #client: Pick<IpcClient<typeof REWRITE>, "call">;
  readonly #senderMatters: boolean;
  readonly #localpartMatters: boolean;
  readonly #rewritten: ReplyCache<RewriteOutcome>;
  readonly #resolved: ReplyCache<ResolveOutcome>;

  constructor(client: Pick<IpcClient<typeof REWRITE>, "call">, options: RewriteClientOptions = {}) {
    this.#client = client;
    this.#senderMatters = options.senderMatters ?? true;
    this.#localpartMatters = options.localpartMatters ?? true;
    this.#rewritten = new ReplyCache(CACHE_LIMIT, CACHE_LIFETIME, options.now);
    this.#resolved = new ReplyCache(CACHE_LIMIT, CACHE_LIFETIME, options.now);
  }

  /** The standard form of an address in external form (as in a header), in external form. */
  async rewrite(context: RewriteContext, address: string): Promise<RewriteOutcome> {
    if (isStandard(address, lastUnquotedAt(address)) || !fits(address)) return { kind: "rewritten", address };
    const ask = () => this.#askRewrite(context, address);
    return await this.#rewritten.ask(rewriteKey(context, address), ask, isAnswer);
  }

  /** The standard form of an address in internal form (as in an envelope), in internal form. */
  async rewriteInternal(context: RewriteContext, address: string): Promise<RewriteOutcome> {
    if (isStandardInternal(address)) return { kind: "rewritten", address };
    const outcome = await this.rewrite(context, quoteAddress(address));
    return outcome.kind === "retry"
      ? outcome
      : { kind: "rewritten", address: unquoteAddress(outcome.address) };
  }

  /**
   * What `rewriteInternal` would say, when that is known at once: for hot paths, which should not pay a promise
   * for an address that is in its standard form already.
   */
  cachedRewrite(context: RewriteContext, address: string): string | undefined {
    if (isStandardInternal(address)) return address;
    const known = this.#rewritten.get(rewriteKey(context, quoteAddress(address)));
    return known?.kind === "rewritten" ? unquoteAddress(known.address) : undefined;
  }

  /** What `rewrite` would say, when that is known at once. */
  cachedHeaderRewrite(context: RewriteContext, address: string): string | undefined {
    if (isStandard(address, lastUnquotedAt(address)) || !fits(address)) return address;
    const known = this.#rewritten.get(rewriteKey(context, address));
    return known?.kind === "rewritten" ? known.address : undefined;
  }

  /** Class, transport and next hop of a recipient. Both addresses in internal form. */
  async resolve(sender: string, address: string): Promise<ResolveOutcome> {
    if (!fits(address)) return tooLong(address);
    const from = this.#senderMatters && fits(sender) ? sender : "";
    const ask = () => this.#askResolve(from, address);
    const shared = this.#sharedKey(from, address);
    if (shared === undefined) return await this.#resolved.ask(resolveKey(from, address), ask, isAnswer);
    const known = this.#resolved.get(shared);
    if (known?.kind === "resolved") return { ...known, recipient: address };
    // Each asks for itself: an answer that is about this address alone must not be given to others who wait.
    const outcome = await ask();
    const share = outcome.kind === "resolved" && outcome.recipient === address && !outcome.bad &&
      !outcome.routed;
    if (share) this.#resolved.put(shared, outcome);
    return outcome;
  }

  /** The same for a probe; they are few, and nothing is remembered. */
  async resolveProbe(sender: string, address: string): Promise<ResolveOutcome> {
    return fits(address)
      ? await this.#askResolve(fits(sender) ? sender : "", address, "resolveProbe")
      : tooLong(address);
  }

  /** The key of what all plain addresses of a domain have in common. */
  #sharedKey(sender: string, address: string): string | undefined {
    if (this.#localpartMatters) return undefined;
    const at = address.lastIndexOf("@");
    return isStandard(address, at) && isPlain(address, at)
      ? resolveKey(sender, address.slice(at))
      : undefined;
  }

  /** What `resolve` would say, when it is remembered. */
  cachedResolve(sender: string, address: string): Resolved | undefined {
    const from = this.#senderMatters && fits(sender) ? sender : "";
    const shared = this.#sharedKey(from, address);
    const known = this.#resolved.get(shared ?? resolveKey(from, address));
    if (known?.kind !== "resolved") return undefined;
    return shared === undefined ? known : { ...known, recipient: address };
  }

  async #askRewrite(context: RewriteContext, address: string): Promise<RewriteOutcome> {
    try {
      const reply = await this.#client.call("rewrite", { context, address });
      if (reply.is === "rewritten") return { kind: "rewritten", address: reply.address };
      return { kind: "retry", why: reply.is === "retry" ? reply.reason : wrongReply(reply.is) };
    } catch (error) {
      return serviceTrouble(error);
    }
  }

  async #askResolve(
    sender: string,
    address: string,
    request: "resolve" | "resolveProbe" = "resolve",
  ): Promise<ResolveOutcome> {
    try {
      const reply = await this.#client.call(request, { sender, address });
      if (reply.is === "resolved") return { ...reply, kind: "resolved" };
      return { kind: "retry", why: reply.is === "retry" ? reply.reason : wrongReply(reply.is) };
    } catch (error) {
      return serviceTrouble(error);
    }
  }
}

/** A service that is away is a trouble that may pass. */
function serviceTrouble(error: unknown): RewriteRetry {
  if (!(error instanceof IpcError)) throw error;
  return { kind: "retry", why: error.message };
}

function wrongReply(name: string): string {
  return `rewrite service answered with "${name}"`;
}

function isAnswer(outcome: ResolveOutcome | RewriteOutcome): boolean {
  return outcome.kind !== "retry";
}

function rewriteKey(context: RewriteContext, address: string): string {
  return context === "local" ? `l${address}` : `r${address}`;
}

/** One text for two that may hold anything: the length says where the first ends. */
function resolveKey(sender: string, address: string): string {
  return `${sender.length}:${sender}${address}`;
}

function fits(address: string): boolean {
  return address.length * 3 <= ADDRESS_LIMIT || encodeText(address).length <= ADDRESS_LIMIT;
}

/** The answer that the service would give if it were asked. */
function tooLong(address: string): Resolved {
  const nexthop = "5.1.3 address is too long";
  const fields = {
    transport: "error",
    nexthop,
    recipient: address,
    class: "default",
    routed: false,
  } as const;
  return { kind: "resolved", ...fields, bad: true };
}

function isStandardInternal(address: string): boolean {
  return address === "" || isStandard(address, address.lastIndexOf("@"));
}

/**
 * True when no rule looks into the local part: letters, digits and what stands in words. A program could take one
 * with a hyphen in front for an option (allow_min_user).
 */
function isPlain(address: string, at: number): boolean {
  if (address.charCodeAt(0) === HYPHEN) return false;
  for (let i = 0; i < at; i++) {
    const unit = address.charCodeAt(i);
    if (!isAlnum(unit) && unit !== DOT && unit !== HYPHEN && unit !== UNDERSCORE) return false;
  }
  return true;
}

/**
 * True when no setting could make the service change the address: `at` is behind its first character, and the
 * domain is plain and has a dot inside.
 */
function isStandard(address: string, at: number): boolean {
  if (at < 1 || address.charCodeAt(0) === AT) return false;
  let dot = false;
  for (let i = at + 1; i < address.length; i++) {
    const unit = address.charCodeAt(i);
    if (unit === DOT) dot = true;
    else if (!isAlnum(unit) && unit !== HYPHEN && unit !== UNDERSCORE) return false;
  }
  return dot && address.charCodeAt(address.length - 1) !== DOT;
}
