/**
 * The commands that the client sends, each as one line without its CR LF. No value can end the line: what a queue
 * file or a peer supplied goes through `envelopeText` or xtext first.
 *
 * @module
 */
import { equalsIgnoreCase, isAscii } from "../vstring/ascii.ts";
import { NOTIFY } from "../mail/notify.ts";
import { envelopeText, quoteAddress } from "../mail/address.ts";
import { encodeUnitext, encodeXtext } from "../mail/xtext.ts";
import type { Features } from "./ehlo.ts";

/** What MAIL says. */
export interface MailValues {
  readonly sender: string;
  /** Message size, bytes; undefined when it is not known, as before a conversion. */
  readonly size: number | undefined;
  readonly body: "" | "7bit" | "8bit";
  readonly smtputf8: boolean;
  /** The sender asked for REQUIRETLS, and the destination is to have it as far as it can. */
  readonly requireTls: boolean;
  readonly envelopeId: string;
  /** 0 none, 1 full, 2 headers. */
  readonly ret: number;
}

/** What RCPT says. */
export interface RcptValues {
  readonly address: string;
  readonly originalRecipient: string;
  readonly dsnOriginalRecipient: string;
  /** NOTIFY bits. */
  readonly notify: number;
}

/** How addresses are written. */
export interface PathStyle {
  /** smtp_quote_rfc821_envelope: quote local parts as RFC 5321 has it. */
  readonly quote: boolean;
}

const RET_HEADERS = "HDRS";
const RET_WORDS = ["", "FULL", RET_HEADERS];
const NOTIFY_WORDS: readonly (readonly [number, string])[] = [
  [NOTIFY.NEVER, "NEVER"],
  [NOTIFY.SUCCESS, "SUCCESS"],
  [NOTIFY.FAILURE, "FAILURE"],
  [NOTIFY.DELAY, "DELAY"],
];
/** RFC 3461 section 4.4 (ENVID, 100 characters) and 4.2 (ORCPT, 500): what is longer is not sent. */
const ENVID_LIMIT = 100;
const ORCPT_LIMIT = 500;
/** RFC 6533 section 3: the type of addresses outside ASCII. */
const UTF8_TYPE = "utf-8";

/** `<address>`, or undefined when the address cannot stand in a command. */
export function formatPath(address: string, style: PathStyle): string | undefined {
  const checked = envelopeText(address);
  if (checked === undefined) return undefined;
  return `<${style.quote ? quoteAddress(checked) : checked}>`;
}

/** MAIL FROM with the parameters that the server offered; undefined when the sender cannot stand in a command. */
export function formatMail(values: MailValues, features: Features, style: PathStyle): string | undefined {
  const path = formatPath(values.sender, style);
  if (path === undefined) return undefined;
  let line = `MAIL FROM:${path}`;
  if (features.size && values.size !== undefined) line += ` SIZE=${values.size}`;
  if (features.eightBitMime && values.body !== "") {
    line += values.body === "8bit" ? " BODY=8BITMIME" : " BODY=7BIT";
  }
  if (features.dsn) {
    const envelopeId = encodeXtext(values.envelopeId);
    if (envelopeId !== "" && envelopeId.length <= ENVID_LIMIT) line += ` ENVID=${envelopeId}`;
    // RFC 8689 section 5: what the server may report without TLS is the header at most.
    const unkept = values.requireTls && !features.requireTls;
    const ret = unkept ? RET_HEADERS : RET_WORDS[values.ret] ?? "";
    if (ret !== "") line += ` RET=${ret}`;
  }
  if (features.smtputf8 && values.smtputf8) line += " SMTPUTF8";
  if (features.requireTls && values.requireTls) line += " REQUIRETLS";
  return line;
}

/** RCPT TO with the DSN parameters if the server offered DSN; undefined when the address cannot stand there. */
export function formatRcpt(values: RcptValues, features: Features, style: PathStyle): string | undefined {
  const path = formatPath(values.address, style);
  if (path === undefined) return undefined;
  let line = `RCPT TO:${path}`;
  if (!features.dsn) return line;
  const original = originalRecipient(values, features);
  if (original !== "" && original.length <= ORCPT_LIMIT) line += ` ORCPT=${original}`;
  const words = NOTIFY_WORDS.filter(([bit]) => (values.notify & bit) !== 0).map(([, word]) => word);
  // RFC 3461 section 4.1: NEVER stands alone.
  if (words.length > 0) line += ` NOTIFY=${words[0] === "NEVER" ? "NEVER" : words.join(",")}`;
  return line;
}

/** RFC 3461 section 4.2: the type, ";", and the address as xtext; made from the original recipient if none was given. */
function originalRecipient(values: RcptValues, features: Features): string {
  const given = values.dsnOriginalRecipient;
  const original = values.originalRecipient;
  if (given === "" && original === "") return "";
  const semicolon = given.indexOf(";");
  if (given !== "" && semicolon <= 0) return "";
  const type = given === "" ? (isAscii(original) ? "rfc822" : UTF8_TYPE) : given.slice(0, semicolon);
  const address = given === "" ? quoteAddress(original) : given.slice(semicolon + 1);
  if (isAscii(address)) return `${encodeXtext(type)};${encodeXtext(address)}`;
  return features.smtputf8 && equalsIgnoreCase(type, UTF8_TYPE)
    ? `${UTF8_TYPE};${encodeUnitext(address)}`
    : "";
}
