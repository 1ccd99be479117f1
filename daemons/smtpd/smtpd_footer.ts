/**
 * smtpd_reject_footer and smtpd_reject_footer_maps: what stands behind every refusal, on lines of its own.
 */
// Utility
import { expand, ExpandError } from "../../lib/config/expand.ts";
import type { Logger } from "../../lib/log/log.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { statusLength } from "../../lib/mail/status_code.ts";
// Internal protocols
import type { MapLookup } from "../../lib/proto/proxymap_client.ts";
// Access
import { censor } from "../../lib/access/expansion_filter.ts";
import type { ReplyText } from "../../lib/access/reply.ts";
// This program
import { isErrorReply } from "./smtpd_reply.ts";
import type { Session } from "./smtpd_session.ts";
import type { SmtpdSettings } from "./smtpd_settings.ts";

/** Longest footer, UTF-16 units: replies are lines of at most 512 bytes, and few of them. */
const FOOTER_LIMIT = 2000;
/** Templates for replies that are remembered until their reply is sent. */
const FOUND_LIMIT = 1000;

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** The footers of one process. */
export class RejectFooter {
  readonly #settings: SmtpdSettings;
  readonly #maps: MapLookup;
  readonly #log: Logger;
  /** What the tables have for replies that are about to be sent. */
  readonly #found = new Map<ReplyText, string>();

  private constructor(settings: SmtpdSettings, maps: MapLookup, log: Logger) {
    this.#settings = settings;
    this.#maps = maps;
    this.#log = log;
  }

  /** Undefined where no refusal gets a footer. */
  static from(settings: SmtpdSettings, maps: MapLookup, log: Logger): RejectFooter | undefined {
    const off = settings.smtpd_reject_footer === "" && settings.smtpd_reject_footer_maps.length === 0;
    return off ? undefined : new RejectFooter(settings, maps, log);
  }

  /** Looks up what `add` is to put behind a reply; undefined when there is nothing to look up. */
  prepare(reply: ReplyText): Promise<void> | undefined {
    if (this.#settings.smtpd_reject_footer_maps.length === 0 || !isErrorReply(reply)) return undefined;
    return this.#maps.find("smtpd_reject_footer_maps", "key", reply).then((found) => {
      if (found.kind !== "found") return;
      if (this.#found.size >= FOUND_LIMIT) this.#found.clear();
      this.#found.set(reply, found.value);
    });
  }

  /** The reply with its footer, if it is a refusal. */
  add(session: Session, reply: ReplyText): ReplyText {
    if (!isErrorReply(reply)) return reply;
    const template = this.#found.get(reply) ?? this.#settings.smtpd_reject_footer;
    this.#found.delete(reply);
    if (template === "") return reply;
    const joined = template.startsWith("\\c");
    const text = this.#expand(session, joined ? template.slice(2) : template);
    if (text === undefined) return reply;
    const lines = text.slice(0, FOOTER_LIMIT).split("\\n").map((line) => printable(line));
    const replies = reply.split("\r\n");
    const last = replies.pop()!;
    const all = [
      ...replies,
      ...joined ? [last + lines.shift()!] : [last],
      ...lines.map((line) => front(last) + line),
    ];
    return all.map((line, i) => line.slice(0, 3) + (i < all.length - 1 ? "-" : " ") + line.slice(4)).join(
      "\r\n",
    );
  }

  #expand(session: Session, template: string): string | undefined {
    const values = new Map([
      ["client_address", session.peer.address],
      ["client_port", String(session.peer.port)],
      ["localtime", localTime(new Date())],
      ["server_name", this.#settings.myhostname],
    ]);
    try {
      return expand(
        template,
        (name) => censor(values.get(name) ?? "", this.#settings.smtpd_expansion_filter),
      );
    } catch (error) {
      if (!(error instanceof ExpandError)) throw error;
      this.#log.warning(`smtpd_reject_footer: ${error.message}`);
      return undefined;
    }
  }
}

/** The codes of a reply, for the lines behind it. */
function front(reply: ReplyText): string {
  const status = statusLength(reply.slice(4));
  return status === 0 ? reply.slice(0, 4) : `${reply.slice(0, 4 + status)} `;
}

function localTime(date: Date): string {
  const two = (number: number) => String(number).padStart(2, "0");
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return `${MONTHS[date.getMonth()]} ${two(date.getDate())} ${time}`;
}
