/**
 * What domains say of MTA-STS: the TXT record and the policy (RFC 8461 section 3).
 *
 * @module
 */
import { asciiLower, isAlnum, parseDecimal, trimBlanks } from "../../lib/vstring/ascii.ts";
import { decodeText, isUtf8 } from "../../lib/vstring/byte_builder.ts";
import { isValidHostname } from "../../lib/mail/domain.ts";

/** A policy. */
export interface StsPolicy {
  readonly mode: "enforce" | "testing" | "none";
  /** Seconds. */
  readonly maxAge: number;
  /** Names of MX hosts, `*.` before some; lower case. */
  readonly patterns: readonly string[];
  /** Its lines, for reports. */
  readonly lines: readonly string[];
}

/** RFC 8461 section 3.2: a year. */
export const MAX_AGE_LIMIT = 31_557_600;
/** Most lines, MX patterns, and characters of an id. */
const LINE_COUNT_LIMIT = 1000;
const PATTERN_LIMIT = 100;
const ID_LIMIT = 32;

/**
 * The id of the record among those at `_mta-sts.DOMAIN`; undefined when there is none.
 *
 * RFC 8461 section 3.1: records that do not begin with the version are passed over; of the others there must be one only.
 */
export function readRecord(texts: readonly string[]): string | undefined {
  const records = texts.filter((text) => text.startsWith("v=STSv1;") || trimBlanks(text) === "v=STSv1");
  if (records.length !== 1) return undefined;
  for (const field of records[0]!.split(";").slice(1)) {
    const equals = field.indexOf("=");
    if (trimBlanks(field.slice(0, Math.max(0, equals))) !== "id") continue;
    const id = trimBlanks(field.slice(equals + 1));
    const plain = id.length > 0 && id.length <= ID_LIMIT &&
      [...id].every((char) => isAlnum(char.charCodeAt(0)));
    return plain ? id : undefined;
  }
  return undefined;
}

/** The policy in a body; undefined when it is none. */
export function parsePolicy(body: Uint8Array): StsPolicy | undefined {
  if (!isUtf8(body)) return undefined;
  const lines = decodeText(body).split("\n").map((line) =>
    trimBlanks(line.endsWith("\r") ? line.slice(0, -1) : line)
  )
    .filter((line) => line !== "");
  if (lines.length > LINE_COUNT_LIMIT) return undefined;
  const fields = new Map<string, string>();
  const patterns: string[] = [];
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon <= 0) return undefined;
    const name = trimBlanks(line.slice(0, colon));
    const value = trimBlanks(line.slice(colon + 1));
    // RFC 8461 section 3.2: of a field that stands twice the first counts, but for mx.
    if (name === "mx") patterns.push(asciiLower(value));
    else if (!fields.has(name)) fields.set(name, value);
  }
  const mode = (["enforce", "testing", "none"] as const).find((one) => one === fields.get("mode"));
  const maxAge = parseDecimal(fields.get("max_age") ?? "");
  if (fields.get("version") !== "STSv1" || mode === undefined || maxAge === undefined) return undefined;
  if (patterns.length > PATTERN_LIMIT || !patterns.every(isPattern)) return undefined;
  if (mode !== "none" && patterns.length === 0) return undefined;
  return { mode, maxAge: Math.min(maxAge, MAX_AGE_LIMIT), patterns, lines };
}

function isPattern(text: string): boolean {
  return isValidHostname(text.startsWith("*.") ? text.slice(2) : text);
}
