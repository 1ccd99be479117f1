/**
 * Block lists: which are asked, and how much what they say weighs.
 */
// Utility
import { asciiLower, parseDecimal } from "../../lib/vstring/ascii.ts";
import { type IpcClient, IpcError } from "../../lib/ipc/client.ts";
import type { Logger } from "../../lib/log/log.ts";
// Access
import { counts, type DnsList, parseDnsList } from "../../lib/access/dns_list.ts";
// Internal protocols
import type { DNSBLOG } from "../../lib/proto/protocols.ts";

/** One item of postscreen_dnsbl_sites. */
export interface Site extends DnsList {
  readonly weight: number;
}

/** Greatest weight, and its negative the least. */
const WEIGHT_LIMIT = 1_000_000;

/** "domain", "domain=pattern", "domain*weight", "domain=pattern*weight"; or what is wrong with it. */
export function parseSite(item: string): Site | string {
  const star = item.lastIndexOf("*");
  const weightText = star < 0 ? "1" : item.slice(star + 1);
  const negative = weightText.startsWith("-");
  const amount = parseDecimal(negative ? weightText.slice(1) : weightText, WEIGHT_LIMIT);
  if (amount === undefined) return `bad DNSBL weight factor "${weightText}" in "${item}"`;
  const rest = star < 0 ? item : item.slice(0, star);
  const list = parseDnsList(rest);
  if (list === undefined) return `bad DNSBL domain name or filter syntax: "${item}"`;
  return { ...list, domain: asciiLower(list.domain), weight: negative ? -amount : amount };
}

/** What is needed of a connection to dnsblog. */
export type DnsblogService = Pick<IpcClient<typeof DNSBLOG>, "call">;

/** What has been asked of the lists about one client. */
export class Score {
  /** What the answers until now weigh. */
  value = 0;
  /** Seconds that the answers hold; undefined: none has come that says so. */
  ttl: number | undefined;
  /** The list that weighs most against the client. */
  domain = "";
  #weight = 0;
  #left: number;
  readonly #finished: () => void;

  constructor(lists: number, finished: () => void) {
    this.#left = lists;
    this.#finished = finished;
  }

  /** All lists have answered, or will not. */
  get complete(): boolean {
    return this.#left === 0;
  }

  /** A list has answered. */
  add(sites: readonly Site[], addresses: readonly string[], ttl: number): void {
    this.ttl = Math.min(this.ttl ?? ttl, ttl);
    for (const site of sites) {
      const { domain, weight } = site;
      if (!addresses.some((one) => counts(site, one))) continue;
      this.value += weight;
      if (weight <= this.#weight) continue;
      this.#weight = weight;
      this.domain = domain;
    }
  }

  /** A list is done with. */
  done(): void {
    if (--this.#left === 0) this.#finished();
  }
}

/** The lists. */
export class BlockLists {
  readonly #byDomain = new Map<string, Site[]>();
  readonly #dnsblog: DnsblogService | undefined;
  readonly #timeout: number;
  readonly #log: Pick<Logger, "warning">;

  /** @param timeout seconds that an answer is waited for */
  constructor(
    sites: readonly Site[],
    dnsblog: DnsblogService | undefined,
    timeout: number,
    log: Pick<Logger, "warning">,
  ) {
    for (const site of sites) {
      this.#byDomain.set(site.domain, [...this.#byDomain.get(site.domain) ?? [], site]);
    }
    this.#dnsblog = dnsblog;
    this.#timeout = timeout;
    this.#log = log;
  }

  /**
   * Asks all lists about a client.
   *
   * @param finished is called when all have answered, not before this returns
   */
  ask(address: string, finished: () => void): Score {
    const score = new Score(this.#byDomain.size, finished);
    for (const [domain, sites] of this.#byDomain) {
      this.#askOne(domain, sites, address, score).then(() => score.done());
    }
    return score;
  }

  async #askOne(domain: string, sites: readonly Site[], address: string, score: Score): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), this.#timeout * 1000);
    });
    try {
      const asked = this.#dnsblog?.call("look", { domain, address });
      const reply = await Promise.race([asked, late]);
      if (reply === undefined) {
        this.#log.warning(`dnsblog reply timeout ${this.#timeout}s for ${domain}`);
      } else if (!reply.failed) {
        score.add(sites, reply.addresses.map((one) => one.address), reply.ttl);
      }
    } catch (error) {
      if (!(error instanceof IpcError)) throw error;
      this.#log.warning(`dnsblog: ${error.message}`);
    } finally {
      clearTimeout(timer);
    }
  }
}
