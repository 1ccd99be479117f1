/**
 * Who is told of a message's outcome (postfix-map section 10.1).
 *
 * @module
 */
// Utility
import { equalsIgnoreCase } from "../../lib/vstring/ascii.ts";
// Mail
import type { ReportKind } from "../../lib/mail/dsn.ts";
import { splitAddress } from "../../lib/mail/address.ts";

/** Parameters that decide. */
export interface NoticeSettings {
  readonly "2bounce_notice_recipient": string;
  readonly bounce_notice_recipient: string;
  readonly delay_notice_recipient: string;
  readonly double_bounce_sender: string;
  readonly myhostname: string;
  readonly myorigin: string;
  readonly notify_classes: readonly string[];
}

/** One report to be sent. */
export interface Notice {
  readonly recipient: string;
  /** Envelope sender of the report. */
  readonly from: string;
  readonly postmaster: boolean;
  /** Every recipient of the log is in it, whatever NOTIFY says. */
  readonly everyone: boolean;
  /** full: the whole message if it is not too long, whatever RET says; headers: never more; asked: as RET says. */
  readonly content: "full" | "headers" | "asked";
  /** The log may be removed only when this one is queued. */
  readonly essential: boolean;
}

/** The reports that an outcome calls for; none, and perhaps a line for the log, when nobody may be told. */
export interface Notices {
  readonly notices: readonly Notice[];
  readonly warning?: string;
  readonly info?: string;
}

const CONTENT: Readonly<Record<ReportKind, Notice["content"]>> = {
  failure: "asked",
  delay: "headers",
  success: "headers",
  verify: "headers",
};

/** Decides from the sender of the message. */
export function noticesFor(kind: ReportKind, sender: string, settings: NoticeSettings): Notices {
  if (isDoubleBounce(sender, settings)) return forDoubleBounce(kind);
  return sender === "" ? forNullSender(kind, settings) : forSender(kind, sender, settings);
}

/** True for mail whose failure may be reported recipient by recipient: somebody reads what comes to its sender. */
export function isOrdinarySender(sender: string, settings: NoticeSettings): boolean {
  return sender !== "" && !isDoubleBounce(sender, settings);
}

/** The sender of mail that must never be returned. */
export function doubleBounceAddress(settings: NoticeSettings): string {
  return `${settings.double_bounce_sender}@${settings.myhostname}`;
}

function isDoubleBounce(sender: string, settings: NoticeSettings): boolean {
  const { localpart, domain } = splitAddress(sender);
  if (!equalsIgnoreCase(localpart, settings.double_bounce_sender)) return false;
  // An address that cleanup completed has $myorigin: it means the same sender.
  return domain === undefined || equalsIgnoreCase(domain, settings.myhostname) ||
    equalsIgnoreCase(domain, settings.myorigin);
}

/** Mail that the postmaster could not be told with: the end of the line, or two mailers would notify for ever. */
function forDoubleBounce(kind: ReportKind): Notices {
  if (kind === "success" || kind === "verify") {
    return { notices: [], info: "not sending trace/success notification for double-bounce message" };
  }
  return { notices: [], warning: "undeliverable postmaster notification discarded" };
}

/** A bounce itself. RFC 5321 section 4.5.5: no notification is ever sent about mail from the null sender, except to our own postmaster. */
function forNullSender(kind: ReportKind, settings: NoticeSettings): Notices {
  const classes = settings.notify_classes;
  switch (kind) {
    case "failure": {
      if (!classes.includes("2bounce") && !classes.includes("bounce")) return { notices: [] };
      return { notices: [toPostmaster(settings["2bounce_notice_recipient"], "full", true, settings)] };
    }
    case "delay": {
      if (!classes.includes("delay")) return { notices: [] };
      return { notices: [toPostmaster(settings.delay_notice_recipient, "full", true, settings)] };
    }
    case "success":
    case "verify":
      return { notices: [], info: "not sending trace/success notification for single-bounce message" };
    default:
      return kind satisfies never;
  }
}

function forSender(kind: ReportKind, sender: string, settings: NoticeSettings): Notices {
  const notices: Notice[] = [{
    recipient: sender,
    // RFC 3464 section 2: a notification has the null sender, so that it can cause no other.
    from: "",
    postmaster: false,
    everyone: false,
    content: CONTENT[kind],
    essential: true,
  }];
  const classes = settings.notify_classes;
  if (kind === "failure" && classes.includes("bounce")) {
    notices.push(toPostmaster(settings.bounce_notice_recipient, "headers", false, settings));
  }
  if (kind === "delay" && classes.includes("delay")) {
    notices.push(toPostmaster(settings.delay_notice_recipient, "headers", false, settings));
  }
  return { notices };
}

function toPostmaster(
  recipient: string,
  content: Notice["content"],
  essential: boolean,
  settings: NoticeSettings,
): Notice {
  return {
    recipient,
    from: doubleBounceAddress(settings),
    postmaster: true,
    everyone: true,
    content,
    essential,
  };
}
