/**
 * Counts results, and sends the reports of days that are over.
 *
 * @module
 */
// Safe primitives
import { gzipOf } from "../../lib/safe/compress.ts";
// Utility
import type { Logger } from "../../lib/log/log.ts";
import { encodeText } from "../../lib/vstring/byte_builder.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { formatTime } from "../../lib/mail/queue_file.ts";
import { RECORD } from "../../lib/mail/record.ts";
import { type CleanupClient, type RecordSink, submitMessage } from "../../lib/proto/cleanup_client.ts";
import type { DnsLookup } from "../../lib/proto/dns_client.ts";
import { CLEANUP_INTERNAL } from "../../lib/proto/protocols.ts";
import type { TlsResult } from "../../lib/proto/tlsrpt_client.ts";
// Wire protocols
import { isForbiddenAddress } from "../../lib/smtp/address_policy.ts";
import type { TrustAnchors } from "../../lib/tls/client_chain.ts";
import { askHttps } from "../../lib/tls/client_https.ts";
// This program
import { countResult, type DayCounts, dayOf, type DayStore, type PolicyCounts } from "./tlsrpt_counts.ts";
import { readTargets, type Reporter, reportJson, reportLines, type ReportTarget } from "./tlsrpt_report.ts";

/** What the service works with. */
export interface TlsrptTools {
  readonly store: DayStore;
  readonly dns: DnsLookup;
  readonly cleanup: CleanupClient;
  readonly log: Logger;
  readonly by: Reporter;
  readonly anchors: TrustAnchors;
  readonly port: number;
  /** Addresses that may be private. */
  readonly trusted: readonly string[];
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly randomId: () => string;
}

/** A web server may take so long for a report, milliseconds, and answer so much, bytes. */
const POST_TIMEOUT = 60_000;
const ANSWER_LIMIT = 16 * 1024;
/** Days that are kept for domains that cannot be asked whether they want reports. */
const DAYS_KEPT = 2;

/** Counts and reports. */
export class TlsrptService {
  readonly #tools: TlsrptTools;
  #day: string;
  #counts: DayCounts;
  #changed = false;
  #reporting = false;

  constructor(tools: TlsrptTools) {
    this.#tools = tools;
    this.#day = dayOf(tools.now());
    this.#counts = tools.store.read(this.#day);
  }

  /** Takes a result. */
  count(result: TlsResult): void {
    countResult(this.#counts, result);
    this.#changed = true;
  }

  /** Puts what is new on disk. */
  async save(): Promise<void> {
    const today = dayOf(this.#tools.now());
    if (this.#changed) {
      this.#changed = false;
      await this.#tools.store.write(this.#day, this.#counts);
    }
    if (today === this.#day) return;
    this.#day = today;
    this.#counts = new Map();
  }

  /** Sends the reports of days that are over. */
  async report(): Promise<void> {
    if (this.#reporting) return;
    this.#reporting = true;
    try {
      await this.save();
      for (const day of this.#tools.store.days()) {
        if (day < this.#day) await this.#reportDay(day);
      }
    } finally {
      this.#reporting = false;
    }
  }

  async #reportDay(day: string): Promise<void> {
    const { store, now } = this.#tools;
    const counts = store.read(day);
    for (const [domain, policies] of [...counts]) {
      if (await this.#reportDomain(domain, day, policies) === "later") continue;
      counts.delete(domain);
      // Each domain is crossed off before the next: a crash repeats one report, and no more.
      if (counts.size > 0) await store.write(day, counts);
    }
    const old = Date.parse(`${day}T00:00:00Z`) < now() - (DAYS_KEPT + 1) * 86_400_000;
    if (counts.size === 0 || old) store.remove(day);
  }

  async #reportDomain(
    domain: string,
    day: string,
    policies: readonly PolicyCounts[],
  ): Promise<"done" | "later"> {
    const { dns, by, log, randomId } = this.#tools;
    const answer = await dns.query(`_smtp._tls.${domain}`, "TXT");
    if (answer.rcode !== "ok" && answer.rcode !== "nxdomain") return "later";
    const targets = readTargets(answer.records.map((record) => record.value));
    if (targets.length === 0) return "done";
    const id = `${day}T${randomId()}`;
    const packed = await gzipOf(encodeText(reportJson(domain, day, id, policies, by)));
    for (const target of targets) {
      const why = await this.#send(target, domain, day, id, packed);
      const place = target.kind === "mail" ? target.address : target.host;
      if (why === undefined) {
        log.info(`report on ${printable(domain)} for ${day} sent to ${printable(place)}`);
      } else {log.warning(
          `report on ${printable(domain)} for ${day} to ${printable(place)}: ${printable(why)}`,
        );}
    }
    return "done";
  }

  /** Gives what went wrong, or undefined. RFC 8460 section 3: each target gets the report. */
  async #send(
    target: ReportTarget,
    domain: string,
    day: string,
    id: string,
    packed: Uint8Array,
  ): Promise<string | undefined> {
    if (target.kind === "web") return await this.#post(target, packed);
    const { cleanup, by, now } = this.#tools;
    const time = now();
    const produce = async (sink: RecordSink) => {
      await sink.record(RECORD.TIME, formatTime(time));
      await sink.record(RECORD.ATTRIBUTE, "log_message_origin=local");
      await sink.record(RECORD.ATTRIBUTE, "rewrite_context=local");
      await sink.record(RECORD.FROM, by.contact);
      await sink.record(RECORD.RECIPIENT, target.address);
      await sink.record(RECORD.MESSAGE, "");
      for (const line of reportLines(domain, day, id, target.address, packed, by, sink.queueId, time)) {
        await sink.line(line);
      }
      await sink.record(RECORD.EXTRACTED, "");
      await sink.record(RECORD.END, "");
    };
    const done = await submitMessage(cleanup, CLEANUP_INTERNAL, produce);
    return done.status === 0 ? undefined : done.reason || `cleanup status ${done.status}`;
  }

  async #post(
    { host, path }: Extract<ReportTarget, { kind: "web" }>,
    body: Uint8Array,
  ): Promise<string | undefined> {
    const { dns, anchors, port, trusted } = this.#tools;
    const answers = await Promise.all([dns.query(host, "A"), dns.query(host, "AAAA")]);
    const addresses = answers.flatMap((answer) =>
      answer.rcode === "ok" ? answer.records.map(({ value }) => value) : []
    )
      .filter((address) => !isForbiddenAddress(address) || trusted.includes(address));
    if (addresses.length === 0) return "no address on the public internet";
    const answer = await askHttps({
      method: "POST",
      host,
      addresses,
      port,
      path,
      headers: ["Content-Type: application/tlsrpt+gzip"],
      body,
      anchors,
      timeoutMs: POST_TIMEOUT,
      bodyLimit: ANSWER_LIMIT,
    });
    if (answer.kind === "failed") return answer.why;
    return answer.status >= 200 && answer.status < 300 ? undefined : `answer ${answer.status}`;
  }
}
