/**
 * Which MTA-STS policy a domain has: what is kept, what the DNS says of it, what the web server gives (RFC 8461).
 *
 * @module
 */
// Utility
import type { Logger } from "../../lib/log/log.ts";
import { printable } from "../../lib/vstring/printable.ts";
import { toAsciiName } from "../../lib/mail/domain.ts";
import type { DnsLookup } from "../../lib/proto/dns_client.ts";
import type { STS } from "../../lib/proto/tls_protocols.ts";
import type { ReplyValues } from "../../lib/ipc/protocol.ts";
// Wire protocols
import { isForbiddenAddress } from "../../lib/smtp/address_policy.ts";
import type { TrustAnchors } from "../../lib/tls/client_chain.ts";
import { askHttps } from "../../lib/tls/client_https.ts";
// This program
import { parsePolicy, readRecord, type StsPolicy } from "./sts_policy.ts";
import type { KeptPolicy, StsStore } from "./sts_store.ts";

/** What the service works with. */
export interface StsTools {
  readonly dns: DnsLookup;
  readonly store: StsStore;
  readonly log: Logger;
  readonly anchors: TrustAnchors;
  readonly port: number;
  /** Addresses that may be private. */
  readonly trusted: readonly string[];
  /** Seconds since 1970. */
  readonly now: () => number;
}

/** What the client is told. */
export type StsReply = ReplyValues<typeof STS, "policy">;

/** RFC 8461 section 3.3: a minute for the whole fetch, and 64 KiB of policy. */
const FETCH_TIMEOUT = 60_000;
const BODY_LIMIT = 64 * 1024;
/** RFC 8461 section 3.3: after a failure nobody asks again for five minutes. */
const RETRY_PAUSE = 300;
/** A policy is fetched anew after a day, whatever its id, so that it does not run out unnoticed. */
const REFRESH_AGE = 86_400;
/** Domains whose last failure is remembered. */
const FAILURE_LIMIT = 1000;

const NONE: StsReply = { mode: "none", id: "", patterns: [], lines: [] };

/** Answers what policy a domain has. */
export class StsService {
  readonly #tools: StsTools;
  /** Fetches under way: many deliveries to a domain are one fetch. */
  readonly #underWay = new Map<string, Promise<StsPolicy | undefined>>();
  /** When the last fetch for a domain failed, the oldest first. */
  readonly #failed = new Map<string, number>();

  constructor(tools: StsTools) {
    this.#tools = tools;
  }

  /** The policy that mail to the domain has to obey now. */
  async find(name: string): Promise<StsReply> {
    const domain = toAsciiName(name);
    if (domain === undefined) return NONE;
    const { dns, store, now } = this.#tools;
    const kept = store.find(domain, now());
    const answer = await dns.query(`_mta-sts.${domain}`, "TXT");
    const id = answer.rcode === "ok" ? readRecord(answer.records.map((record) => record.value)) : undefined;
    // RFC 8461 section 5.1: without a record, and while the web server is away, what is kept goes on to count: an attacker
    // who can take the record away must not take the policy away with it.
    if (id === undefined || id === kept?.id && now() - kept.fetched < REFRESH_AGE) return replyOf(kept);
    const fetched = await this.#fetchOnce(domain, id);
    return fetched === undefined ? replyOf(kept) : replyOf({ id, fetched: now(), policy: fetched });
  }

  async #fetchOnce(domain: string, id: string): Promise<StsPolicy | undefined> {
    const failed = this.#failed.get(domain);
    if (failed !== undefined && this.#tools.now() - failed < RETRY_PAUSE) return undefined;
    const joined = this.#underWay.get(domain);
    if (joined !== undefined) return await joined;
    const fetching = this.#fetch(domain, id).finally(() => this.#underWay.delete(domain));
    this.#underWay.set(domain, fetching);
    return await fetching;
  }

  async #fetch(domain: string, id: string): Promise<StsPolicy | undefined> {
    const { store, log, now } = this.#tools;
    const found = await this.#ask(domain);
    if (typeof found === "string") {
      log.warning(`${printable(domain)}: MTA-STS policy not fetched: ${printable(found)}`);
      this.#failed.delete(domain);
      this.#failed.set(domain, now());
      for (const oldest of this.#failed.keys()) {
        if (this.#failed.size <= FAILURE_LIMIT) break;
        this.#failed.delete(oldest);
      }
      return undefined;
    }
    this.#failed.delete(domain);
    log.info(`${printable(domain)}: MTA-STS policy "${id}" fetched: mode ${found.mode}`);
    await store.keep(domain, { id, fetched: now(), policy: found });
    return found;
  }

  /** The policy, or why there is none. */
  async #ask(domain: string): Promise<StsPolicy | string> {
    const { port, anchors } = this.#tools;
    const host = `mta-sts.${domain}`;
    const addresses = await this.#addresses(host);
    if (typeof addresses === "string") return addresses;
    const answer = await askHttps({
      method: "GET",
      host,
      addresses,
      port,
      path: "/.well-known/mta-sts.txt",
      anchors,
      timeoutMs: FETCH_TIMEOUT,
      bodyLimit: BODY_LIMIT,
    });
    if (answer.kind === "failed") return answer.why;
    // RFC 8461 section 3.3: no redirect is followed, and nothing but 200 is a policy.
    if (answer.status !== 200) return `${host} answers ${answer.status}`;
    if (answer.type !== "text/plain") return `${host} gives a policy of type "${answer.type}"`;
    return parsePolicy(answer.body) ?? `${host} gives no policy`;
  }

  /** The web server's addresses; a stranger's name must not lead to our own network. */
  async #addresses(host: string): Promise<string[] | string> {
    const answers = await Promise.all([
      this.#tools.dns.query(host, "A"),
      this.#tools.dns.query(host, "AAAA"),
    ]);
    const found = answers.flatMap((answer) =>
      answer.rcode === "ok" ? answer.records.map(({ value }) => value) : []
    );
    if (found.length === 0) return `${host} has no address`;
    const allowed = found.filter((address) =>
      !isForbiddenAddress(address) || this.#tools.trusted.includes(address)
    );
    return allowed.length > 0 ? allowed : `${host} has no address on the public internet`;
  }
}

function replyOf(kept: KeptPolicy | undefined): StsReply {
  if (kept === undefined) return NONE;
  const { mode, patterns, lines } = kept.policy;
  return {
    mode,
    id: kept.id,
    patterns: patterns.map((name) => ({ name })),
    lines: lines.slice(0, 200).map((line) => ({ line: line.slice(0, 500) })),
  };
}
