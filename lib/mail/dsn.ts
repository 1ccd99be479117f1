/**
 * Delivery status notifications: the lines of a multipart/report (RFC 3464, RFC 6522; RFC 6533 for SMTPUTF8 mail) in
 * Postfix's layout and wording. Pure text: the bounce daemon reads the logs and sends the lines.
 *
 * A report is, in this order: `headerLines`; `notificationHead`, then `notificationEntry` for each recipient;
 * `statusHead`, then `statusEntry` for each recipient; `originalHead`, then the message; `closingLines`.
 *
 * @module
 */
import type { BounceTemplates, TemplateKind } from "../config/bounce_templates.ts";
import { isAscii } from "../vstring/ascii.ts";
import { encodeText } from "../vstring/byte_builder.ts";
import { printable } from "../vstring/printable.ts";
import { quoteAddress } from "./address.ts";
import type { BounceRecord } from "./bounce_log.ts";
import { formatMailDate } from "./date.ts";
import { NOTIFY } from "./notify.ts";

/** What happened: returned to the sender, still being tried, delivered; all of that, for who asked to see it. */
export type ReportKind = TemplateKind;

/** What a report says of this mail system. */
export interface ReportSystem {
  readonly myhostname: string;
  readonly myorigin: string;
  readonly mailName: string;
  /** smtputf8_enable: reports are UTF-8 throughout. */
  readonly smtputf8Enable: boolean;
  readonly headerFromFormat: string;
  /** The texts, expanded. */
  readonly templates: BounceTemplates;
  /** Seconds. */
  readonly maximalQueueLifetime: number;
}

/** One report about one message. */
export interface Report {
  readonly kind: ReportKind;
  /** True for the postmaster's copy: another subject, and no text for a sender. */
  readonly postmaster: boolean;
  /** Who gets it, internal form. */
  readonly recipient: string;
  readonly queueId: string;
  /** Sender of the original message; empty for the null sender. */
  readonly sender: string;
  readonly envelopeId: string;
  /** Arrival of the original message, milliseconds since 1970; 0 when unknown. */
  readonly arrivalTime: number;
  /** The original message needs SMTPUTF8. */
  readonly smtputf8: boolean;
  /** The original message has the header "TLS-Required: no": the report has it too. */
  readonly tlsNotRequired: boolean;
  /** Content of the original message: 7bit, 8bit or unknown. */
  readonly encoding: "" | "7bit" | "8bit";
  /** Message-ID of the original message, for References; empty for none. */
  readonly messageId: string;
  /** Only headers of the original message come with it. */
  readonly headersOnly: boolean;
  /** Now, milliseconds since 1970. */
  readonly time: number;
}

const MAILER_DAEMON = "MAILER-DAEMON";
const DAEMON_NAME = "Mail Delivery System";
/** Width of wrapped lines, and the indent of their continuation. */
const WRAP_WIDTH = 79;
const WRAP_INDENT = "    ";
/** RFC 2046 section 5.1.1: a boundary has at most 70 characters. */
const BOUNDARY_LIMIT = 70;
/** Longest piece of foreign text in a report, UTF-16 units. */
const TEXT_LIMIT = 4096;
const UNAVAILABLE_REPORT = "\t--- Delivery report unavailable ---";
const UNAVAILABLE_MESSAGE = "\t--- Undelivered message unavailable ---";

/** The address that bounces name as their author. */
export function mailerDaemon(domain: string): string {
  return `${MAILER_DAEMON}@${domain}`;
}

/** An address with the local origin when it has no domain, so that a reader elsewhere can answer it. */
export function completeAddress(address: string, myorigin: string): string {
  return address.includes("@") ? address : `${address}@${myorigin}`;
}

/** The boundary between a report's parts: queue id, seconds, host. */
export function reportBoundary(report: Report, system: ReportSystem): string {
  const text = `${report.queueId}.${Math.floor(report.time / 1000)}/${system.myhostname}`;
  return text.length > BOUNDARY_LIMIT ? text.slice(0, BOUNDARY_LIMIT) : text;
}

/** The message header and the preamble. */
export function headerLines(report: Report, system: ReportSystem): string[] {
  const { from, subject, postmasterSubject } = system.templates[report.kind];
  const lines = [
    `From: ${from || fromHeader(system)}`,
    `Subject: ${report.postmaster && postmasterSubject !== "" ? postmasterSubject : subject}`,
    `To: ${external(completeAddress(report.recipient, system.myorigin))}`,
  ];
  if (report.messageId !== "") {
    lines.push(`References: ${report.messageId}`, `In-Reply-To: ${report.messageId}`);
  }
  // What need not be secret on its way here need not be on its way back (RFC 8689 section 5).
  if (report.tlsNotRequired) lines.push("TLS-Required: no");
  // RFC 3834 section 5: a reply that no person wrote says so, and nothing answers it automatically.
  lines.push(`Auto-Submitted: ${report.postmaster ? "auto-generated" : "auto-replied"}`);
  lines.push("MIME-Version: 1.0");
  // RFC 3464 section 2: a notification is multipart/report with the report-type delivery-status.
  lines.push(
    "Content-Type: multipart/report; report-type=delivery-status;",
    `\tboundary="${reportBoundary(report, system)}"`,
    ...transferEncoding(report, system),
  );
  return [...lines, "", "This is a MIME-encapsulated message.", ""];
}

function fromHeader(system: ReportSystem): string {
  const address = mailerDaemon(system.myorigin);
  return system.headerFromFormat === "obsolete"
    ? `${address} (${DAEMON_NAME})`
    : `${DAEMON_NAME} <${address}>`;
}

/** The transfer encoding of the whole and of each part that may hold text of the original. */
function transferEncoding(report: Report, system: ReportSystem): string[] {
  const encoding = system.smtputf8Enable ? "8bit" : report.encoding;
  return encoding === "" ? [] : [`Content-Transfer-Encoding: ${encoding}`];
}

/** The first part, for people: its header and, for a sender, the text. Recipients follow. */
export function notificationHead(report: Report, system: ReportSystem): string[] {
  const { charset, text } = system.templates[report.kind];
  const eightBit = system.smtputf8Enable || report.encoding === "8bit";
  return [
    `--${reportBoundary(report, system)}`,
    "Content-Description: Notification",
    `Content-Type: text/plain; charset=${eightBit && charset === "us-ascii" ? "utf-8" : charset}`,
    ...transferEncoding(report, system),
    "",
    ...(report.postmaster ? [] : text),
  ];
}

/** One recipient in the first part. */
export function notificationEntry(record: BounceRecord): string[] {
  const recipient = external(record.recipient);
  const original = external(record.originalRecipient);
  const expanded = original !== "" && original !== recipient ? ` (expanded from <${original}>)` : "";
  return ["", ...wrapLine(`<${recipient}>${expanded}: ${printable(record.reason, TEXT_LIMIT)}`)];
}

/** What stands in the first part instead of recipients whose records cannot be read. */
export function notificationUnavailable(): string[] {
  return ["", UNAVAILABLE_REPORT];
}

/** The second part, for programs: its header and the fields about the message. Recipients follow. */
export function statusHead(report: Report, system: ReportSystem): string[] {
  const sender = report.sender === "" ? mailerDaemon(system.myhostname) : external(report.sender);
  const lines = [
    "",
    `--${reportBoundary(report, system)}`,
    "Content-Description: Delivery report",
    `Content-Type: message/${report.smtputf8 ? "global-" : ""}delivery-status`,
  ];
  // RFC 6533 section 3: message/global-delivery-status may be 8bit; message/delivery-status is always 7bit.
  if (report.smtputf8) lines.push(...transferEncoding(report, system));
  lines.push("", `Reporting-MTA: dns; ${system.myhostname}`);
  // RFC 3464 section 2.2.1: the sender's ENVID comes back as it was given.
  if (report.envelopeId !== "") {
    lines.push(`Original-Envelope-Id: ${printable(report.envelopeId, TEXT_LIMIT)}`);
  }
  lines.push(
    `X-${system.mailName}-Queue-ID: ${report.queueId}`,
    `X-${system.mailName}-Sender: ${addressType(report, sender)}; ${sender}`,
  );
  if (report.arrivalTime > 0) lines.push(`Arrival-Date: ${formatMailDate(report.arrivalTime)}`);
  return lines;
}

/** One recipient in the second part. */
export function statusEntry(record: BounceRecord, report: Report, system: ReportSystem): string[] {
  const recipient = external(record.recipient);
  const original = external(record.originalRecipient);
  const lines = ["", `Final-Recipient: ${addressType(report, recipient)}; ${recipient}`];
  // RFC 3464 section 2.3.1: the address as the sender gave it, from ORCPT if there was one.
  if (record.dsnOriginalRecipient !== "") {
    lines.push(`Original-Recipient: ${printable(record.dsnOriginalRecipient, TEXT_LIMIT)}`);
  } else if (original !== "") {
    lines.push(`Original-Recipient: ${addressType(report, original)}; ${original}`);
  }
  // A delayed recipient that is returned because its time is over has failed, whatever its last attempt said.
  lines.push(
    `Action: ${report.kind === "failure" ? "failed" : printable(record.action)}`,
    `Status: ${printable(record.status)}`,
  );
  if (record.remoteMta !== "") {
    lines.push(`Remote-MTA: ${printable(record.remoteMtaType || "dns")}; ${printable(record.remoteMta)}`);
  }
  lines.push(...wrapLine(diagnosticCode(record, system)));
  if (report.kind === "delay" && report.arrivalTime > 0) {
    const end = report.arrivalTime + system.maximalQueueLifetime * 1000;
    lines.push(`Will-Retry-Until: ${formatMailDate(end)}`);
  }
  return lines;
}

function diagnosticCode(record: BounceRecord, system: ReportSystem): string {
  if (record.diagnosticType !== "" && record.diagnosticText !== "") {
    const text = printable(record.diagnosticText, TEXT_LIMIT);
    return `Diagnostic-Code: ${printable(record.diagnosticType)}; ${text}`;
  }
  return `Diagnostic-Code: X-${system.mailName}; ${printable(record.reason, TEXT_LIMIT)}`;
}

/** The third part: its header and the Return-Path that the message would have been delivered with. */
export function originalHead(report: Report, system: ReportSystem): string[] {
  const name = report.kind === "failure" || report.kind === "delay" ? "Undelivered Message" : "Message";
  const type = report.headersOnly
    ? (report.smtputf8 ? "message/global-headers" : "text/rfc822-headers")
    : (report.smtputf8 ? "message/global" : "message/rfc822");
  const sender = report.sender === "" ? mailerDaemon(system.myhostname) : report.sender;
  return [
    "",
    `--${reportBoundary(report, system)}`,
    `Content-Description: ${name}${report.headersOnly ? " Headers" : ""}`,
    `Content-Type: ${type}`,
    ...transferEncoding(report, system),
    "",
    `Return-Path: <${external(sender)}>`,
  ];
}

/** What stands in the third part when the message cannot be read. */
export function originalUnavailable(): string[] {
  return ["", UNAVAILABLE_MESSAGE];
}

/** The end of the report. */
export function closingLines(report: Report, system: ReportSystem): string[] {
  return ["", `--${reportBoundary(report, system)}--`];
}

/** True when the recipient of a log wants to be in a report of this kind: its NOTIFY has it or says nothing. */
export function wantsReport(kind: ReportKind, notify: number): boolean {
  if (kind === "verify") return true;
  const bit = kind === "failure" ? NOTIFY.FAILURE : kind === "delay" ? NOTIFY.DELAY : NOTIFY.SUCCESS;
  return notify === 0 || (notify & bit) !== 0;
}

/** The type of an address in a status field. RFC 6533 section 3: `utf-8` for one outside ASCII. */
function addressType(report: Report, address: string): string {
  return report.smtputf8 && !isAscii(address) ? "utf-8" : "rfc822";
}

/** External form, safe for a line: a control character would begin another line or end the field. */
function external(address: string): string {
  return printable(quoteAddress(address), TEXT_LIMIT);
}

/** A line broken at blanks into lines of at most `width` bytes, the later ones indented; long words stay whole. */
export function wrapLine(text: string, width = WRAP_WIDTH): string[] {
  const lines: string[] = [];
  let rest = text;
  let indent = "";
  for (;;) {
    const cut = breakBefore(rest, width - indent.length);
    let end = cut;
    while (end > 0 && rest[end - 1] === " ") end--;
    lines.push(indent + rest.slice(0, end));
    let next = cut;
    while (rest[next] === " ") next++;
    if (next >= rest.length) return lines;
    rest = rest.slice(next);
    indent = WRAP_INDENT;
  }
}

/** Offset of the blank at which the text is to be broken, or its length. */
function breakBefore(text: string, width: number): number {
  if (text.length <= width && (isAscii(text) || encodeText(text).length <= width)) return text.length;
  let last = -1;
  for (let blank = text.indexOf(" "); blank >= 0; blank = text.indexOf(" ", blank + 1)) {
    const head = text.slice(0, blank);
    const bytes = isAscii(head) ? head.length : encodeText(head).length;
    if (bytes > width) return last >= 0 ? last : blank;
    if (blank > 0) last = blank;
  }
  return last >= 0 ? last : text.length;
}
