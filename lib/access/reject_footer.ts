/**
 * What stands behind every refusal, on lines of its own: smtpd_reject_footer and smtpd_reject_footer_maps, and those of
 * postscreen.
 *
 * @module
 */
// Utility
import { expand, ExpandError } from "../config/expand.ts";
import type { Logger } from "../log/log.ts";
import { printable } from "../vstring/printable.ts";
// Mail
import { formatShortDate } from "../mail/date.ts";
import { replyLines } from "../mail/reply_lines.ts";
import { statusLength } from "../mail/status_code.ts";
// Internal protocols
import type { MapLookup } from "../proto/proxymap_client.ts";
// Access
import { censor } from "./expansion_filter.ts";
import { isErrorReply, type ReplyText } from "./reply.ts";

/** Longest footer, UTF-16 units: replies are lines of at most 512 bytes, and few of them. */
const FOOTER_LIMIT = 2000;

/** The parameters of a program. */
export interface FooterSettings {
  /** Name of the parameter with the template, for the log; the tables' has "_maps" behind it. */
  readonly parameter: string;
  readonly template: string;
  readonly tables: readonly string[];
  /** myhostname */
  readonly serverName: string;
  /** smtpd_expansion_filter: characters that a value may have. */
  readonly filter: string;
}

/** Whom a refusal is for. */
export interface RefusedClient {
  readonly address: string;
  readonly port: number;
}

/** The footers of one process. */
export class RejectFooter {
  readonly #settings: FooterSettings;
  readonly #maps: MapLookup;
  readonly #log: Pick<Logger, "warning">;

  private constructor(settings: FooterSettings, maps: MapLookup, log: Pick<Logger, "warning">) {
    this.#settings = settings;
    this.#maps = maps;
    this.#log = log;
  }

  /** Undefined where no refusal gets a footer. */
  static from(
    settings: FooterSettings,
    maps: MapLookup,
    log: Pick<Logger, "warning">,
  ): RejectFooter | undefined {
    const off = settings.template === "" && settings.tables.length === 0;
    return off ? undefined : new RejectFooter(settings, maps, log);
  }

  /** Looks up the template for a reply; undefined when there is nothing to look up. */
  find(reply: ReplyText): Promise<string> | undefined {
    const { tables, parameter, template } = this.#settings;
    if (tables.length === 0 || !isErrorReply(reply)) return undefined;
    return this.#maps.find(`${parameter}_maps`, "key", reply)
      .then((found) => found.kind === "found" ? found.value : template);
  }

  /** The reply with its footer, if it is a refusal; by default with the one of all refusals. */
  add(client: RefusedClient, reply: ReplyText, template: string = this.#settings.template): ReplyText {
    if (!isErrorReply(reply) || template === "") return reply;
    const joined = template.startsWith("\\c");
    const text = this.#expand(client, joined ? template.slice(2) : template);
    if (text === undefined) return reply;
    const lines = text.slice(0, FOOTER_LIMIT).split("\\n").map((line) => printable(line));
    const replies = reply.split("\r\n");
    const last = replies.pop()!;
    const all = [
      ...replies,
      ...joined ? [last + lines.shift()!] : [last],
      ...lines.map((line) => front(last) + line),
    ];
    return replyLines(last.slice(0, 3), all.map((line) => line.slice(4)));
  }

  #expand(client: RefusedClient, template: string): string | undefined {
    const { serverName, filter, parameter } = this.#settings;
    const values = new Map([
      ["client_address", client.address],
      ["client_port", String(client.port)],
      ["localtime", formatShortDate(Date.now())],
      ["server_name", serverName],
    ]);
    try {
      return expand(template, (name) => censor(values.get(name) ?? "", filter));
    } catch (error) {
      if (!(error instanceof ExpandError)) throw error;
      this.#log.warning(`${parameter}: ${error.message}`);
      return undefined;
    }
  }
}

/** The codes of a reply, for the lines behind it. */
function front(reply: ReplyText): string {
  const status = statusLength(reply.slice(4));
  return status === 0 ? reply.slice(0, 4) : `${reply.slice(0, 4 + status)} `;
}
