/**
 * The message header as cleanup sees it: one logical header at a time, what it tells about the message, which
 * headers go, which are made when they are missing (postfix-map section 7.3).
 */
// Utility
import { decodeSlice, decodeText, encodeText } from "../../lib/vstring/byte_builder.ts";
import { asciiLower, COLON, equalsIgnoreCase, LF, trimBlanks } from "../../lib/vstring/ascii.ts";
// Mail
import { headerNameLength } from "../../lib/mail/header.ts";
import { addressesOfField, type HeaderRole, replaceAddresses } from "../../lib/mail/header_rewrite.ts";
import { formatFrom, formatMessageId } from "../../lib/mail/header_format.ts";
// Server skeleton
import type { RewriteContext, RewriteRetry } from "../../lib/proto/rewrite_client.ts";
// Rewriting
import type { AddressPipeline } from "../../lib/rewrite/canonical_address.ts";

/** Longest header name that is looked at, bytes; a longer one is no header that cleanup knows. */
const NAME_LIMIT = 40;

/** Longest value that may be a word with blanks around it, bytes. */
const WORD_ROOM = 100;

/** What is known of a message's header so far. */
export class HeaderState {
  readonly seen = new Set<string>();
  received = 0;
  /** Content of the first Message-Id, for the log; empty when there is none. */
  messageId = "";
  /** From Content-Transfer-Encoding: "7bit", "8bit" or empty. */
  encoding: "" | "7bit" | "8bit" = "";
  /** The header has Resent- fields: what is missing is made with that prefix. */
  resent = false;
  /** "TLS-Required: no" (RFC 8689 section 3). */
  tlsNotRequired = false;
  /** "Require-TLS-ESMTP: yes": the message was with a filter, and its sender had asked for REQUIRETLS. */
  requireTls = false;
}

/** The name of a header in lower case, or an empty string when the line is no header. */
export function headerNameOf(line: Uint8Array): string {
  const length = headerNameLength(line, 0, line.length);
  return length === 0 || length > NAME_LIMIT
    ? (length === 0 ? "" : "?")
    : asciiLower(decodeSlice(line, 0, length));
}

/** Notes what a header tells. */
export function noteHeader(state: HeaderState, name: string, field: Uint8Array): void {
  state.seen.add(name);
  switch (name) {
    case "message-id":
      state.messageId ||= trimBlanks(decodeText(valueOf(field)));
      break;
    case "content-transfer-encoding":
      noteEncoding(state, name, field);
      break;
    case "tls-required":
      state.tlsNotRequired ||= isWord(valueOf(field), "no");
      break;
    case "require-tls-esmtp":
      state.requireTls ||= isWord(valueOf(field), "yes");
      break;
    default:
      if (name.startsWith("resent-")) state.resent = true;
  }
}

/** Notes what a header of the message or of one of its parts tells of the encoding: 8-bit data anywhere counts. */
export function noteEncoding(state: HeaderState, name: string, field: Uint8Array): void {
  if (name !== "content-transfer-encoding") return;
  const value = asciiLower(trimBlanks(decodeText(valueOf(field).subarray(0, 100))));
  if (value === "8bit" || value === "binary") state.encoding = "8bit";
  else if (value === "7bit" && state.encoding === "") state.encoding = "7bit";
}

/** True for a header whose value is the word, in any case. */
function isWord(value: Uint8Array, word: string): boolean {
  return value.length <= WORD_ROOM && equalsIgnoreCase(trimBlanks(decodeText(value)), word);
}

function valueOf(field: Uint8Array): Uint8Array {
  const colon = field.indexOf(COLON);
  return field.subarray(colon + 1);
}

/** How the addresses of a header are rewritten. */
export interface HeaderHow {
  readonly context: RewriteContext;
  readonly role: HeaderRole;
  /** The maps apply to this message. */
  readonly maps: boolean;
}

/**
 * An address header with each address in canonical form and every other byte as it was; a promise when somebody has
 * to be asked for one, with the reason when nobody can tell now.
 */
export function rewriteAddressHeader(
  field: Uint8Array,
  tokenLimit: number,
  pipeline: AddressPipeline,
  { context, role, maps }: HeaderHow,
): Uint8Array | Promise<Uint8Array | RewriteRetry> {
  const found = addressesOfField(field, tokenLimit);
  const known = found.map(({ address }) => pipeline.knownHeader(context, role, address, maps));
  if (known.every((text) => text !== undefined)) return replaceAddresses(field, found, known);
  const asked = found.map(({ address }) => pipeline.canonicalHeader(context, role, address, maps));
  return Promise.all(asked).then((outcomes) => {
    const texts: string[] = [];
    for (const outcome of outcomes) {
      if (outcome.kind === "retry") return outcome;
      texts.push(outcome.address);
    }
    return replaceAddresses(field, found, texts);
  });
}

/** What is needed to make missing headers. */
export interface MissingHeaders {
  readonly queueId: string;
  readonly longIds: boolean;
  /** Arrival, milliseconds since 1970. */
  readonly time: number;
  /** The same as headers have it. */
  date(): string;
  readonly hostName: string;
  readonly sender: string;
  readonly fullName: string;
  readonly fromFormat: "standard" | "obsolete";
  /** undisclosed_recipients_header; empty: none. */
  readonly undisclosed: string;
}

/** The headers that mail submitted here must have and this message lacks, one line each. */
export function missingHeaders(state: HeaderState, from: MissingHeaders): Uint8Array[] {
  const prefix = state.resent ? "resent-" : "";
  const label = state.resent ? "Resent-" : "";
  const lines: string[] = [];
  const lacks = (name: string) => !state.seen.has(prefix + name);
  if (lacks("message-id")) {
    const id = formatMessageId(from.queueId, from.longIds, from.time, from.hostName);
    if (!state.resent) state.messageId = id;
    lines.push(`${label}Message-Id: ${id}`);
  }
  if (lacks("date")) lines.push(`${label}Date: ${from.date()}`);
  if (lacks("from")) lines.push(label + formatFrom(from.sender, from.fullName, from.fromFormat));
  const addressed = ["to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc"].some((name) =>
    state.seen.has(name)
  );
  if (!addressed && from.undisclosed !== "") lines.push(from.undisclosed);
  return lines.map((line) => encodeText(line));
}

/** The lines of a logical header, cut at its line breaks. */
export function* headerLines(field: Uint8Array): Generator<Uint8Array> {
  let start = 0;
  for (let end = field.indexOf(LF); end >= 0; end = field.indexOf(LF, start)) {
    yield field.subarray(start, end);
    start = end + 1;
  }
  yield field.subarray(start);
}
