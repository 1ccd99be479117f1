/**
 * Named attributes of a maildrop file. A local user may say how his mail is encoded and what reports he wants; who
 * the client was, or who logged in, is not his to say.
 *
 * @module
 */
// Utility
import { parseDecimal } from "../../lib/vstring/ascii.ts";

/** One attribute record, taken apart. */
export interface NamedAttribute {
  readonly name: string;
  readonly value: string;
}

/** Where an attribute belongs. */
type Place =
  /** To the message. */
  | "message"
  /** To the recipient that follows. */
  | "recipient";

interface AttributeRow {
  readonly place: Place;
  /** True for a value that a local user may give. */
  readonly check: (value: string) => boolean;
}

/** Longest text value, UTF-16 units: RFC 3461 allows 100 for the envelope id and 500 for the original recipient. */
const ENVELOPE_ID_LIMIT = 100;
const ORIGINAL_RECIPIENT_LIMIT = 500;

/** The attributes that sendmail writes. */
const LOCAL_ATTRIBUTES: ReadonlyMap<string, AttributeRow> = new Map<string, AttributeRow>([
  ["dsn_orig_rcpt", { place: "recipient", check: (value) => value.length <= ORIGINAL_RECIPIENT_LIMIT }],
  ["encoding", { place: "message", check: (value) => value === "7bit" || value === "8bit" }],
  ["envelope_id", { place: "message", check: (value) => value.length <= ENVELOPE_ID_LIMIT }],
  ["notify_flags", { place: "recipient", check: (value) => parseDecimal(value, 15) !== undefined }],
  ["ret_flags", { place: "message", check: (value) => parseDecimal(value, 3) !== undefined }],
  ["rewrite_context", { place: "message", check: (value) => value === "local" || value === "remote" }],
  ["trace_flags", { place: "message", check: (value) => parseDecimal(value, 0xffff) !== undefined }],
]);

/** The attributes of a queue file that cleanup makes anew. */
const DROPPED_ATTRIBUTES: ReadonlySet<string> = new Set(["create_time"]);

/** Splits `name=value`; undefined when it is none. */
export function readAttribute(data: string): NamedAttribute | undefined {
  const equals = data.indexOf("=");
  return equals <= 0 ? undefined : { name: data.slice(0, equals), value: data.slice(equals + 1) };
}

/** What becomes of an attribute: passed on at its place, left out, or reason to refuse the file. */
export function judgeAttribute(attribute: NamedAttribute, requeued: boolean): Place | "drop" | "refuse" {
  const row = LOCAL_ATTRIBUTES.get(attribute.name);
  if (row !== undefined) return row.check(attribute.value) ? row.place : "refuse";
  if (!requeued) return "refuse";
  return DROPPED_ATTRIBUTES.has(attribute.name) ? "drop" : "message";
}
