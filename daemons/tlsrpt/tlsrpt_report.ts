/**
 * Reports as RFC 8460 has them: who wants one, the JSON, the message around it.
 *
 * @module
 */
import { trimBlanks } from "../../lib/vstring/ascii.ts";
import { encodeBase64 } from "../../lib/vstring/base64.ts";
import { isValidHostname } from "../../lib/mail/domain.ts";
import { formatMailDate } from "../../lib/mail/date.ts";
import type { PolicyCounts } from "./tlsrpt_counts.ts";

/** Where reports go. */
export type ReportTarget =
  | { readonly kind: "mail"; readonly address: string }
  | { readonly kind: "web"; readonly host: string; readonly path: string };

/** Who reports. */
export interface Reporter {
  readonly organization: string;
  readonly contact: string;
  /** This host's name. */
  readonly submitter: string;
}

/** Targets of one domain that get a report. */
const TARGET_LIMIT = 5;
const URI_LIMIT = 1000;

/**
 * The targets in the records at `_smtp._tls.DOMAIN`; none when the domain wants no reports.
 *
 * RFC 8460 section 3: of several records of the version none counts.
 */
export function readTargets(texts: readonly string[]): ReportTarget[] {
  const records = texts.filter((text) => text.startsWith("v=TLSRPTv1;"));
  if (records.length !== 1) return [];
  for (const field of records[0]!.split(";").slice(1)) {
    const equals = field.indexOf("=");
    if (trimBlanks(field.slice(0, Math.max(0, equals))) !== "rua") continue;
    return field.slice(equals + 1).split(",").slice(0, TARGET_LIMIT).flatMap((uri) =>
      readTarget(trimBlanks(uri))
    );
  }
  return [];
}

function readTarget(uri: string): ReportTarget[] {
  if (uri.length > URI_LIMIT || ![...uri].every((char) => char > " " && char <= "~")) return [];
  if (uri.startsWith("mailto:")) {
    const address = uri.slice("mailto:".length);
    const at = address.lastIndexOf("@");
    // No options, no escapes, nothing that an envelope or a header could misread.
    const plain = ![...address.slice(0, Math.max(0, at))].some((char) => '?%<>()[]\\,;:"@'.includes(char));
    return at > 0 && plain && isValidHostname(address.slice(at + 1)) ? [{ kind: "mail", address }] : [];
  }
  const url = uri.startsWith("https://") ? URL.parse(uri) : null;
  if (url === null || url.port !== "" || url.username !== "" || !isValidHostname(url.hostname)) return [];
  return [{ kind: "web", host: url.hostname, path: url.pathname + url.search }];
}

/** The report of a domain's day as JSON (RFC 8460 section 4.4). */
export function reportJson(
  domain: string,
  day: string,
  id: string,
  policies: readonly PolicyCounts[],
  { organization, contact, submitter }: Reporter,
): string {
  return JSON.stringify({
    "organization-name": organization,
    "date-range": { "start-datetime": `${day}T00:00:00Z`, "end-datetime": `${day}T23:59:59Z` },
    "contact-info": contact,
    "report-id": id,
    policies: policies.map(({ policy, strings, patterns, successes, failures, details }) => ({
      policy: {
        "policy-type": policy,
        ...strings.length === 0 ? {} : { "policy-string": strings },
        "policy-domain": domain,
        ...patterns.length === 0 ? {} : { "mx-host": patterns },
      },
      summary: { "total-successful-session-count": successes, "total-failure-session-count": failures },
      ...details.length === 0 ? {} : {
        "failure-details": details.map(({ type, host, address, count }) => ({
          "result-type": type,
          "sending-mta-hostname": submitter,
          "receiving-mx-hostname": host,
          "receiving-ip": address,
          "failed-session-count": count,
        })),
      },
    })),
  });
}

/** Name of the report's file, RFC 8460 section 5.1. */
export function reportFileName(domain: string, day: string, { submitter }: Reporter): string {
  const start = Date.parse(`${day}T00:00:00Z`) / 1000;
  return `${submitter}!${domain}!${start}!${start + 86_399}.json.gz`;
}

/** The lines of the message that carries a report (RFC 8460 section 5.3). */
export function reportLines(
  domain: string,
  day: string,
  id: string,
  to: string,
  packed: Uint8Array,
  by: Reporter,
  queueId: string,
  time: number,
): string[] {
  const boundary = `${queueId}.${id.slice(0, 16)}`;
  const base64 = encodeBase64(packed);
  const body: string[] = [];
  for (let at = 0; at < base64.length; at += 76) body.push(base64.slice(at, at + 76));
  const date = formatMailDate(time);
  return [
    `Received: by ${by.submitter} (Postern)`,
    `\tid ${queueId}; ${date}`,
    `Date: ${date}`,
    `From: ${by.contact}`,
    `To: ${to}`,
    `Subject: Report Domain: ${domain} Submitter: ${by.submitter} Report-ID: <${id}@${by.submitter}>`,
    `Message-Id: <${id}@${by.submitter}>`,
    `TLS-Report-Domain: ${domain}`,
    `TLS-Report-Submitter: ${by.submitter}`,
    // RFC 8460 section 3: a report goes out whatever is wrong with the TLS that it tells of.
    "TLS-Required: no",
    "MIME-Version: 1.0",
    `Content-Type: multipart/report; report-type="tlsrpt"; boundary="${boundary}"`,
    "",
    `--${boundary}`,
    "Content-Type: text/plain; charset=us-ascii",
    "",
    `This is a report on TLS with the mail servers of ${domain}`,
    `on ${day} (UTC), from ${by.submitter}.`,
    "",
    `--${boundary}`,
    "Content-Type: application/tlsrpt+gzip",
    "Content-Transfer-Encoding: base64",
    `Content-Disposition: attachment; filename="${reportFileName(domain, day, by)}"`,
    "",
    ...body,
    `--${boundary}--`,
  ];
}
