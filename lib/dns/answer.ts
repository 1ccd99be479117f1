/**
 * From a resolver's message to the answer that a caller gets: the CNAME chain followed, names checked, TTL counted.
 *
 * @module
 */
import { asciiLower } from "../vstring/ascii.ts";
import { parseIpv4 } from "../vstring/ip_address.ts";
import {
  type DnsMessage,
  type DnsRecord,
  type QueryType,
  RCODE,
  RECORD_TYPE,
  UNSPEAKABLE,
} from "./message.ts";
import { isHostName } from "./name.ts";

/** How a lookup ended. ok with no records: the name exists without such records (NODATA). */
export type AnswerCode =
  | "ok"
  | "nxdomain"
  | "servfail"
  | "refused"
  | "timeout"
  | "malformed"
  /** Its aliases lead in a circle. */
  | "loop"
  | "other";

/** One record as callers see it: the fields of the DNS protocol in lib/proto. */
export interface AnswerRecord {
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  /** Host name, address or text; "." where the record says "no host" (null MX, null SRV). */
  readonly value: string;
  readonly data: Uint8Array;
}

/** What a look-up found, CNAMEs followed. */
export interface Answer {
  readonly rcode: AnswerCode;
  readonly authenticated: boolean;
  /** Seconds that it may be kept; 0: not at all. */
  readonly ttl: number;
  readonly canonicalName: string;
  readonly records: readonly AnswerRecord[];
}

/** Longest CNAME chain. */
export const CNAME_LIMIT = 10;
/** Longest time that a positive answer is kept, seconds (RFC 8767 section 4: 7 days at most; a day is plenty). */
const POSITIVE_TTL_LIMIT = 86_400;
/** Longest time that a negative answer is kept, seconds (RFC 2308 section 5: one to three hours). */
const NEGATIVE_TTL_LIMIT = 3_600;
/** Most bytes of values and data together: what one IPC frame carries with room. */
const ANSWER_SIZE_LIMIT = 256 * 1024;

const NO_DATA = new Uint8Array(0);

/** What one message says about a question. */
export type Reading =
  | { readonly kind: "answer"; readonly answer: Answer; readonly rejected: readonly string[] }
  /** The chain of CNAMEs leads out of the message: ask again for `name`. */
  | { readonly kind: "follow"; readonly name: string; readonly hops: number; readonly ttl: number };

/**
 * Reads the answer to `name`/`type` from a message.
 *
 * @param hops CNAMEs followed so far, over all messages
 */
export function readAnswer(message: DnsMessage, name: string, type: QueryType, hops: number): Reading {
  const code = answerCode(message.rcode);
  if (code !== "ok" && code !== "nxdomain") {
    return { kind: "answer", answer: failed(code, name), rejected: [] };
  }
  const chain = followAliases(message.answers, asciiLower(name), type, hops);
  if (typeof chain === "string") {
    return { kind: "answer", answer: failed(chain, name), rejected: ["CNAME loop"] };
  }
  const wanted = message.answers.filter((record) =>
    record.type === RECORD_TYPE[type] && record.name === chain.name
  );
  if (wanted.length === 0) {
    // The name at the end of the chain may stand in another zone, of which this message says nothing.
    const soa = message.authorities[0]?.data;
    if (code === "ok" && chain.hops > hops && soa === undefined) {
      return { kind: "follow", name: chain.name, hops: chain.hops, ttl: chain.ttl };
    }
    const ttl = Math.min(chain.ttl, negativeTtl(message), NEGATIVE_TTL_LIMIT);
    const answer = {
      rcode: code,
      authenticated: message.authenticated,
      ttl,
      canonicalName: chain.name,
      records: [],
    };
    return { kind: "answer", answer, rejected: [] };
  }
  return positive(message, chain, wanted);
}

/** An answer that says only that there is none. */
export function failed(rcode: AnswerCode, name: string): Answer {
  return { rcode, authenticated: false, ttl: 0, canonicalName: asciiLower(name), records: [] };
}

function positive(message: DnsMessage, chain: Chain, wanted: readonly DnsRecord[]): Reading {
  const records: AnswerRecord[] = [];
  const rejected: string[] = [];
  let ttl = Math.min(chain.ttl, POSITIVE_TTL_LIMIT);
  let size = 0;
  for (const record of wanted) {
    const value = toAnswerRecord(record);
    if (value === undefined) {
      rejected.push(hostOf(record));
      continue;
    }
    size += value.value.length + value.data.length + 32;
    if (size > ANSWER_SIZE_LIMIT) break;
    ttl = Math.min(ttl, record.ttl);
    records.push(value);
  }
  // Every record was unusable: that is a broken zone, not an absent one, and must not count as "no such record".
  if (records.length === 0) {
    return { kind: "answer", answer: failed("malformed", chain.name), rejected };
  }
  const answer = {
    rcode: "ok",
    authenticated: message.authenticated,
    ttl,
    canonicalName: chain.name,
    records,
  } as const;
  return { kind: "answer", answer, rejected };
}

interface Chain {
  readonly name: string;
  readonly hops: number;
  readonly ttl: number;
}

/** Follows the CNAMEs of a message; "malformed" when the chain is too long or holds a name that is no host name. */
function followAliases(
  records: readonly DnsRecord[],
  start: string,
  type: QueryType,
  hopsBefore: number,
): Chain | "malformed" | "loop" {
  let chain: Chain = { name: start, hops: hopsBefore, ttl: 0x7fffffff };
  if (type === "CNAME") return chain;
  const aliases = new Map<string, DnsRecord>();
  for (const record of records) {
    if (record.data.kind === "host" && record.type === RECORD_TYPE.CNAME) {
      aliases.set(record.name, record);
    }
  }
  for (;;) {
    const alias = aliases.get(chain.name);
    if (alias === undefined || alias.data.kind !== "host") return chain;
    // The chain begins at the start: whoever comes back to it, or goes on for longer than there are aliases, is in a circle.
    if (alias.data.host === start || chain.hops - hopsBefore > aliases.size) return "loop";
    if (chain.hops >= CNAME_LIMIT || !isTarget(alias.data.host, type)) return "malformed";
    chain = { name: alias.data.host, hops: chain.hops + 1, ttl: Math.min(chain.ttl, alias.ttl) };
  }
}

/** Reverse lookups are delegated with aliases such as "1.0/25.2.0.192.in-addr.arpa" (RFC 2317). */
function isTarget(name: string, type: QueryType): boolean {
  return type === "PTR" ? name !== "" && name !== UNSPEAKABLE : isHostName(name);
}

function toAnswerRecord(record: DnsRecord): AnswerRecord | undefined {
  const data = record.data;
  const plain = { priority: 0, weight: 0, port: 0, value: "", data: NO_DATA };
  switch (data.kind) {
    case "address":
      return { ...plain, value: data.address };
    case "text":
      return { ...plain, value: data.text };
    case "tlsa":
      return { ...plain, data: data.bytes };
    case "host":
      return isHostName(data.host) ? { ...plain, value: data.host } : undefined;
    case "mx":
      return withHost({ ...plain, priority: data.preference }, data.host);
    case "srv":
      return withHost(
        { ...plain, priority: data.priority, weight: data.weight, port: data.port },
        data.host,
      );
    default:
      return undefined;
  }
}

/** RFC 7505, RFC 2782: the root as a host means "there is none", and is passed on as ".". */
function withHost(record: AnswerRecord, host: string): AnswerRecord | undefined {
  if (host === "") return { ...record, value: "." };
  // An address in the place of an MX host: Postfix takes it, so the caller decides.
  return isHostName(host) || parseIpv4(host) !== undefined ? { ...record, value: host } : undefined;
}

function hostOf(record: DnsRecord): string {
  return "host" in record.data ? record.data.host : "";
}

/** RFC 2308 section 5: the lesser of the SOA's minimum and its own TTL; without one, nothing is kept. */
function negativeTtl(message: DnsMessage): number {
  const soa = message.authorities[0];
  return soa?.data.kind === "soa" ? Math.min(soa.ttl, soa.data.minimum) : 0;
}

function answerCode(rcode: number): AnswerCode {
  switch (rcode) {
    case RCODE.OK:
      return "ok";
    case RCODE.NXDOMAIN:
      return "nxdomain";
    case RCODE.SERVFAIL:
      return "servfail";
    case RCODE.REFUSED:
      return "refused";
    default:
      return "other";
  }
}
