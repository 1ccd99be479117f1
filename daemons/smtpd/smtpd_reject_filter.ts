/**
 * smtpd_reject_filter_maps: refusals that are said in other words than those in which they were made.
 */
// Utility
import type { Logger } from "../../lib/log/log.ts";
import { parseDecimal } from "../../lib/vstring/ascii.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { replyLines } from "../../lib/mail/reply_lines.ts";
// Internal protocols
import type { MapLookup } from "../../lib/proto/proxymap_client.ts";
// Access
import { isErrorReply, type ReplyText, soften } from "../../lib/access/reply.ts";

const PARAMETER = "smtpd_reject_filter_maps";

/** The filter of one process. */
export class RejectFilter {
  readonly #maps: MapLookup;
  readonly #log: Pick<Logger, "info" | "warning">;

  private constructor(maps: MapLookup, log: Pick<Logger, "info" | "warning">) {
    this.#maps = maps;
    this.#log = log;
  }

  /** Undefined where there is none. */
  static from(
    tables: readonly string[],
    maps: MapLookup,
    log: Pick<Logger, "info" | "warning">,
  ): RejectFilter | undefined {
    return tables.length === 0 ? undefined : new RejectFilter(maps, log);
  }

  /**
   * What is said in the place of a reply, each of whose lines is looked up by itself; undefined for one that is no refusal.
   *
   * @param id of the message, for the log; empty: it has none
   */
  filter(reply: ReplyText, id: string): Promise<ReplyText> | undefined {
    return isErrorReply(reply) ? this.#filter(reply, id || "NOQUEUE") : undefined;
  }

  async #filter(reply: ReplyText, id: string): Promise<ReplyText> {
    const lines: string[] = [];
    for (const line of reply.split("\r\n")) {
      const found = await this.#maps.find(PARAMETER, "key", line);
      if (found.kind === "retry") {
        const [shown, why] = [printable(line), printable(found.why)];
        this.#log.warning(`${id}: ${PARAMETER} lookup error for "${shown}": ${why}`);
        // What the table would have made of it is not known: it is no final refusal.
        return soften(reply);
      }
      lines.push(found.kind === "found" ? this.#replacement(line, found.value, id) : line);
    }
    return replyLines(lines.at(-1)!.slice(0, 3), lines.map((line) => line.slice(4)));
  }

  /** A refusal may become another one, and nothing else. */
  #replacement(line: string, value: string, id: string): string {
    const text = printable(value);
    const code = parseDecimal(text.slice(0, 3)) ?? 0;
    const separated = text.length === 3 || text[3] === " " || text[3] === "-";
    if (code < 400 || code > 599 || !separated) {
      this.#log.warning(`${id}: ${PARAMETER}: "${text}" is no refusal: "${printable(line)}" stays`);
      return line;
    }
    this.#log.info(`${id}: reject filter in: ${printable(line)}`);
    this.#log.info(`${id}: reject filter out: ${text}`);
    return text;
  }
}
