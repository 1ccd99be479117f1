/**
 * Answers of the dns daemon of which a table leaves some out (smtp_dns_reply_filter, smtpd_dns_reply_filter).
 *
 * @module
 */
import { equalsIgnoreCase } from "../vstring/ascii.ts";
import { decodeText, encodeText } from "../vstring/byte_builder.ts";
import { printable } from "../vstring/printable.ts";
import type { DnsAnswer, DnsLookup, DnsQueryType } from "./dns_client.ts";
import type { LineLookup } from "./proxymap_client.ts";

/** What is got for a question; policy: the filter left nothing of the answer. */
export type FilteredAnswer = Omit<DnsAnswer, "rcode"> & { readonly rcode: DnsAnswer["rcode"] | "policy" };

/** Who answers: the dns daemon's client, with or without a filter behind it. */
export interface FilteredDns {
  query(name: string, type: DnsQueryType): Promise<FilteredAnswer>;
}

/** Log lines. */
export interface DnsFilterLog {
  info(text: string): void;
  warning(text: string): void;
}

/**
 * The answers that a filter leaves.
 *
 * @param parameter the parameter that names the tables
 */
export function filterDns(
  parameter: string,
  dns: DnsLookup,
  maps: LineLookup,
  log: DnsFilterLog,
): FilteredDns {
  return {
    query: async (name, type) => {
      const answer = await dns.query(name, type);
      if (answer.rcode !== "ok" || answer.records.length === 0) return answer;
      const lines = answer.records.map((record) => encodeText(recordText(answer, record, type)));
      const found = await maps.findLines(parameter, lines);
      if (found.kind === "retry") {
        log.warning(`${parameter} lookup error: ${printable(found.why)}`);
        return { ...answer, rcode: "servfail", records: [] };
      }
      const records = answer.records.filter((_, i) => {
        const action = found.values.get(i);
        if (action === undefined) return true;
        const ignores = equalsIgnoreCase(decodeText(action), "ignore");
        const text = decodeText(lines[i]!);
        if (ignores) log.info(`ignoring DNS RR: ${text}`);
        else {
          log.warning(`${parameter} for "${text}": bad action "${printable(action)}": the record stays`);
        }
        return !ignores;
      });
      return records.length === 0 ? { ...answer, rcode: "policy", records } : { ...answer, records };
    },
  };
}

/** A record as Postfix writes it for these tables: "name. ttl IN type data". */
function recordText(answer: DnsAnswer, record: DnsAnswer["records"][number], type: DnsQueryType): string {
  const { priority, weight, port, value } = record;
  const host = value === "." ? "." : `${value}.`;
  const data = type === "MX"
    ? `${priority} ${host}`
    : type === "SRV"
    ? `${priority} ${weight} ${port} ${host}`
    : type === "A" || type === "AAAA" || type === "TXT"
    ? value
    : host;
  return `${answer.canonicalName}. ${answer.ttl} IN ${type} ${data}`;
}
