/**
 * The message header as cleanup sees it: one logical header at a time, what it tells about the message, which
 * headers go, which are made when they are missing (postfix-map section 7.3).
 */
// Utility
import { ByteBuilder, decodeSlice, decodeText, encodeText } from "../../lib/vstring/byte_builder.ts";
import { asciiLower, COLON, isBlank, LF, trimBlanks } from "../../lib/vstring/ascii.ts";
// Mail
import { formatMailDate } from "../../lib/mail/date.ts";
import { headerNameLength } from "../../lib/mail/header.ts";
import { findHeaderAddresses, type HeaderAddress, replaceInHeader } from "../../lib/mail/header_address.ts";
import { formatFrom, formatMessageId } from "../../lib/mail/header_format.ts";

/** Longest header name that is looked at, bytes; a longer one is no header that cleanup knows. */
const NAME_LIMIT = 40;

/** Headers whose addresses are rewritten in mail that was submitted here. */
const ADDRESS_HEADERS: ReadonlySet<string> = new Set([
  "from",
  "sender",
  "reply-to",
  "errors-to",
  "return-receipt-to",
  "disposition-notification-to",
  "mail-followup-to",
  "resent-from",
  "resent-sender",
  "to",
  "cc",
  "bcc",
  "apparently-to",
  "resent-to",
  "resent-cc",
  "resent-bcc",
  "resent-reply-to",
]);

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
    case "received":
      state.received++;
      break;
    case "message-id":
      state.messageId ||= trimBlanks(decodeText(valueOf(field)));
      break;
    case "content-transfer-encoding": {
      const value = asciiLower(trimBlanks(decodeText(valueOf(field).subarray(0, 100))));
      if (value === "8bit" || value === "binary") state.encoding = "8bit";
      else if (value === "7bit") state.encoding = "7bit";
      break;
    }
    default:
      if (name.startsWith("resent-")) state.resent = true;
  }
}

function valueOf(field: Uint8Array): Uint8Array {
  const colon = field.indexOf(COLON);
  return field.subarray(colon + 1);
}

/** True when the addresses of the header are rewritten in locally submitted mail. */
export function isAddressHeader(name: string): boolean {
  return ADDRESS_HEADERS.has(name);
}

/** Gives addresses of headers their canonical form, external form both. */
export interface HeaderRewriter {
  /** The canonical form when it is known without asking anybody. */
  knownHeader(address: string): string | undefined;
  rewriteHeader(address: string): Promise<string>;
}

/**
 * An address header with each address in canonical form and every other byte as it was; a promise when somebody has
 * to be asked for one.
 */
export function rewriteAddressHeader(
  field: Uint8Array,
  tokenLimit: number,
  canonical: HeaderRewriter,
): Uint8Array | Promise<Uint8Array> {
  const colon = field.indexOf(COLON) + 1;
  const found = findHeaderAddresses(field.subarray(colon), tokenLimit).addresses;
  const known = found.map(({ address }) => canonical.knownHeader(address));
  if (known.every((text) => text !== undefined)) return replaceAddresses(field, colon, found, known);
  return Promise.all(found.map(({ address }) => canonical.rewriteHeader(address))).then((texts) =>
    replaceAddresses(field, colon, found, texts)
  );
}

function replaceAddresses(
  field: Uint8Array,
  colon: number,
  found: readonly HeaderAddress[],
  texts: readonly string[],
): Uint8Array {
  const value = field.subarray(colon);
  const replacements = found.flatMap(({ start, end, address }, i) =>
    texts[i] === address ? [] : [{ start, end, text: texts[i]! }]
  );
  if (replacements.length === 0) return field;
  const changed = replaceInHeader(value, replacements);
  return new ByteBuilder(colon + changed.length, colon + changed.length).slice(field, 0, colon).bytes(changed)
    .view();
}

/** What is needed to make missing headers. */
export interface MissingHeaders {
  readonly queueId: string;
  readonly longIds: boolean;
  /** Arrival, milliseconds since 1970. */
  readonly time: number;
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
  if (lacks("date")) lines.push(`${label}Date: ${formatMailDate(from.time)}`);
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

/** True when a line continues the header before it. */
export function continuesHeader(line: Uint8Array): boolean {
  return line.length > 0 && isBlank(line[0]!);
}
