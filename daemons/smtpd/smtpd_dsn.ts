/**
 * The parameters of MAIL and RCPT that say what the sender wants to be told (RFC 3461), and VERP.
 */
// Mail
import { parseNotify, parseRet } from "../../lib/mail/notify.ts";
import type { PathParameter } from "../../lib/mail/path.ts";
import { areVerpDelimiters } from "../../lib/mail/verp.ts";
import { decodeXtext } from "../../lib/mail/xtext.ts";
// Access
import type { ReplyText } from "../../lib/access/reply.ts";
// This program
import type { SmtpdSettings } from "./smtpd_settings.ts";

/** What MAIL said beside the sender. */
export interface MailOptions {
  /** BODY=8BITMIME. */
  eightBit: boolean;
  /** SMTPUTF8. */
  utf8: boolean;
  /** REQUIRETLS. */
  requireTls: boolean;
  /** ENVID, decoded; empty: not given. */
  envelopeId: string;
  /** RET: 1 full, 2 headers; 0: not given. */
  ret: number;
  /** SIZE, bytes; 0: not given. */
  size: number;
  /** XVERP: the two delimiters; empty: not asked for. */
  verp: string;
  /** AUTH: who submitted the mail, as it was sent; empty: not given. */
  submitter: string;
}

/** What RCPT said beside the recipient. */
export interface RecipientOptions {
  /** NOTIFY bits; 0: not given. */
  notify: number;
  /** ORCPT, `type;address`, decoded; empty: not given. */
  original: string;
}

/** A parameter that was taken into the options, or the refusal of it; undefined: it is none of these parameters. */
type Taken = "taken" | ReplyText | undefined;

const DISABLED: ReplyText = "501 5.7.1 DSN support is disabled";
/** RFC 3461 section 4.4: longest ENVID as it is sent, characters. */
const ENVID_LIMIT = 100;
/** RFC 3461 section 4.2: longest ORCPT as it is sent, characters. */
export const ORCPT_LIMIT = 500;

/** Reads RET, ENVID and XVERP. */
export function takeMailNotice(
  parameter: PathParameter,
  sender: string,
  options: MailOptions,
  settings: SmtpdSettings,
  allowed: { readonly dsn: boolean; readonly verp: boolean },
): Taken {
  const { keyword, value = "" } = parameter;
  switch (keyword) {
    case "RET": {
      // RFC 3461 section 4.3: RET is FULL or HDRS.
      const ret = parseRet(value);
      if (!allowed.dsn) return DISABLED;
      if (ret === undefined) return "501 5.5.4 Bad RET parameter syntax";
      options.ret = ret;
      return "taken";
    }
    case "ENVID": {
      // RFC 3461 section 4.4: ENVID is xtext of printable characters, at most 100 as it is sent.
      const id = value.length > ENVID_LIMIT ? undefined : decodeXtext(value);
      if (!allowed.dsn) return DISABLED;
      if (id === undefined || id === "") return "501 5.5.4 Bad ENVID parameter syntax";
      options.envelopeId = id;
      return "taken";
    }
    case "XVERP":
      return allowed.verp ? takeVerp(parameter, sender, options, settings) : undefined;
    default:
      return undefined;
  }
}

function takeVerp(
  { value }: PathParameter,
  sender: string,
  options: MailOptions,
  settings: SmtpdSettings,
): Taken {
  const delimiters = value ?? settings.default_verp_delimiters;
  if (!areVerpDelimiters(delimiters, settings.verp_delimiter_filter)) {
    return `501 5.5.4 Error: XVERP needs two characters from ${settings.verp_delimiter_filter}`;
  }
  if (sender === "") return "503 5.5.4 Error: XVERP requires non-null sender";
  options.verp = delimiters;
  return "taken";
}

/** Reads NOTIFY and ORCPT. */
export function takeRecipientNotice(
  { keyword, value = "" }: PathParameter,
  options: RecipientOptions,
  allowed: boolean,
): Taken {
  switch (keyword) {
    case "NOTIFY": {
      // RFC 3461 section 4.1: NOTIFY is NEVER alone, or a list of SUCCESS, FAILURE and DELAY.
      const notify = parseNotify(value.split(","));
      if (!allowed) return DISABLED;
      if (notify === undefined) return "501 5.5.4 Error: Bad NOTIFY parameter syntax";
      options.notify = notify;
      return "taken";
    }
    case "ORCPT": {
      const original = readOriginal(value);
      if (!allowed) return DISABLED;
      if (original === undefined) return "501 5.5.4 Error: Bad ORCPT parameter syntax";
      options.original = original;
      return "taken";
    }
    default:
      return undefined;
  }
}

/** `type;address`, the address decoded; undefined when it is no ORCPT. */
function readOriginal(value: string): string | undefined {
  // RFC 3461 section 4.2: ORCPT is an address type, ";" and xtext, at most 500 characters.
  const semicolon = value.indexOf(";");
  if (semicolon <= 0 || value.length > ORCPT_LIMIT) return undefined;
  const type = decodeXtext(value.slice(0, semicolon));
  const address = decodeXtext(value.slice(semicolon + 1));
  return type === undefined || address === undefined ? undefined : `${type};${address}`;
}
