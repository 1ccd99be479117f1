/**
 * A stub resolver: asks recursive servers that it trusts, keeps what they say, and never mistakes "I could not find
 * out" for "there is none".
 *
 * @module
 */
import { asciiLower, parseDecimal, splitBlanks } from "../vstring/ascii.ts";
import { formatIpAddress, parseIpAddress, parseIpv4 } from "../vstring/ip_address.ts";
import { printable } from "../vstring/printable.ts";
import { type Answer, failed, readAnswer } from "./answer.ts";
import { AnswerCache } from "./cache.ts";
import { askServer, type DnsServer, type Exchanged } from "./exchange.ts";
import { type QueryType, RCODE } from "./message.ts";
import { isHostName, withoutFinalDot } from "./name.ts";

/** Bounds of one resolver. */
export interface ResolverLimits {
  /** Milliseconds for each attempt; as many attempts as there are numbers. */
  readonly timeouts: readonly number[];
  readonly cacheEntries: number;
  readonly cacheBytes: number;
  /** Questions on the network at once; more wait. */
  readonly concurrency: number;
  /** Questions that wait; more are answered "servfail" at once. */
  readonly waiting: number;
}

/** The C library asks a silent server twice and waits five seconds each time; here it is 2 + 3 + 5. */
export const RESOLVER_LIMITS: ResolverLimits = {
  timeouts: [2_000, 3_000, 5_000],
  cacheEntries: 10_000,
  cacheBytes: 32 * 1024 * 1024,
  concurrency: 200,
  waiting: 10_000,
};

const DNS_PORT = 53;

/** Asks, follows aliases, caches; identical questions at the same time are one question. */
export class Resolver {
  readonly #servers: readonly DnsServer[];
  readonly #limits: ResolverLimits;
  readonly #warn: (text: string) => void;
  readonly #cache: AnswerCache;
  readonly #underWay = new Map<string, Promise<Answer>>();
  readonly #waiters: (() => void)[] = [];
  #busy = 0;

  /**
   * @param servers tried in turn, at least one
   * @param warn gets a line for what a server or a zone does wrong
   */
  constructor(
    servers: readonly DnsServer[],
    warn: (text: string) => void,
    limits: ResolverLimits = RESOLVER_LIMITS,
  ) {
    if (servers.length === 0) throw new Error("Cannot resolve names: no server is given");
    this.#servers = servers;
    this.#limits = limits;
    this.#warn = warn;
    this.#cache = new AnswerCache(limits.cacheEntries, limits.cacheBytes);
  }

  /** Answers that are kept. */
  get cached(): number {
    return this.#cache.size;
  }

  /** Looks a name up. Never throws for what a server does or a caller asks. */
  query(name: string, type: QueryType): Promise<Answer> {
    const asked = asciiLower(withoutFinalDot(name));
    // A name that no zone can hold is not asked for: it does not exist.
    if (!isHostName(asked)) return Promise.resolve(failed("nxdomain", asked));
    const key = `${type} ${asked}`;
    const kept = this.#cache.find(key, performance.now());
    if (kept !== undefined) return Promise.resolve(kept);
    const joined = this.#underWay.get(key);
    if (joined !== undefined) return joined;
    const answer = this.#resolve(asked, type)
      .then((found) => {
        this.#cache.keep(key, found, performance.now());
        return found;
      })
      .finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, answer);
    return answer;
  }

  async #resolve(name: string, type: QueryType): Promise<Answer> {
    if (this.#busy >= this.#limits.concurrency) {
      if (this.#waiters.length >= this.#limits.waiting) {
        this.#warn(`too many DNS queries wait: "${printable(name)}" is given up`);
        return failed("servfail", name);
      }
      // Whoever ends hands its place over, so the count stays as it is.
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    } else this.#busy++;
    try {
      return await this.#follow(name, type);
    } finally {
      const next = this.#waiters.shift();
      if (next === undefined) this.#busy--;
      else next();
    }
  }

  /** Asks for the name, and again for the name that a chain of aliases ends with. */
  async #follow(name: string, type: QueryType): Promise<Answer> {
    let target = name;
    let hops = 0;
    let ttl = Infinity;
    let authenticated = true;
    for (;;) {
      const exchanged = await this.#ask(target, type);
      if (exchanged.kind !== "message") {
        this.#warn(`DNS query for ${printable(target)} type ${type} failed: ${printable(exchanged.why)}`);
        return failed(exchanged.kind === "silent" ? "timeout" : "malformed", target);
      }
      const message = exchanged.message;
      authenticated &&= message.authenticated;
      const reading = readAnswer(message, target, type, hops);
      if (reading.kind === "answer") {
        this.#complain(target, type, reading.rejected, message.malformed);
        const answer = reading.answer;
        return {
          ...answer,
          authenticated: authenticated && answer.authenticated,
          ttl: Math.min(ttl, answer.ttl),
        };
      }
      target = reading.name;
      hops = reading.hops;
      ttl = Math.min(ttl, reading.ttl);
    }
  }

  #complain(name: string, type: QueryType, rejected: readonly string[], malformed: number): void {
    for (const host of rejected.slice(0, 3)) {
      this.#warn(
        `DNS answer for ${printable(name)} type ${type}: malformed host name "${
          printable(host, 100)
        }" ignored`,
      );
    }
    if (malformed > 0) {
      this.#warn(`DNS answer for ${printable(name)} type ${type}: ${malformed} malformed records ignored`);
    }
  }

  /** Asks the servers in turn until one gives an answer that settles the question. */
  async #ask(name: string, type: QueryType): Promise<Exchanged> {
    let last: Exchanged = { kind: "silent", why: "no server" };
    for (const [attempt, timeout] of this.#limits.timeouts.entries()) {
      const server = this.#servers[attempt % this.#servers.length]!;
      last = await askServer(server, name, type, true, timeout);
      // RFC 6891 section 7: FORMERR may mean that the server does not know EDNS.
      if (last.kind === "message" && last.message.rcode === RCODE.FORMERR) {
        last = await askServer(server, name, type, false, timeout);
      }
      if (last.kind === "malformed") return last;
      if (last.kind === "silent") continue;
      if (!isOnThisHost(server)) {
        last = { kind: "message", message: { ...last.message, authenticated: false } };
      }
      const settled = last.message.rcode === RCODE.OK || last.message.rcode === RCODE.NXDOMAIN;
      // Another server may be in better health; the same one would say the same again.
      if (settled || attempt + 1 >= this.#servers.length) return last;
    }
    return last;
  }
}

/**
 * RFC 4035 section 4.9.3: what a resolver says of validation is to be believed only where nobody can change it on its way.
 * Loopback is the one way of which that is known here.
 */
function isOnThisHost({ address }: DnsServer): boolean {
  return address === "::1" || parseIpv4(address)?.[0] === 127;
}

/** Servers from "address", "address:port", "[ipv6]:port", several separated by blanks or commas; throws on others. */
export function parseServers(text: string): DnsServer[] {
  return splitBlanks(text, true).map((word) => {
    const server = parseServer(word);
    if (server === undefined) {
      throw new Error(`Cannot use resolver "${printable(word)}": it is not an address or address:port`);
    }
    return server;
  });
}

function parseServer(word: string): DnsServer | undefined {
  const bracket = word.startsWith("[") ? word.indexOf("]") : -1;
  const whole = bracket < 0 ? parseIpAddress(word) : undefined;
  if (whole !== undefined) return { address: formatIpAddress(whole), port: DNS_PORT };
  const colon = word.lastIndexOf(":");
  const hasPort = colon > bracket;
  const host = bracket > 0 ? word.slice(1, bracket) : word.slice(0, hasPort ? colon : undefined);
  if (bracket > 0 && !hasPort && bracket !== word.length - 1) return undefined;
  if (bracket > 0 && hasPort && colon !== bracket + 1) return undefined;
  const port = hasPort ? parseDecimal(word.slice(colon + 1), 65_535) : DNS_PORT;
  const address = parseIpAddress(host);
  if (port === undefined || port === 0 || address === undefined) return undefined;
  return { address: formatIpAddress(address), port };
}
