/**
 * The Received header that smtpd puts on every message.
 */
// Utility
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { formatMailDate } from "../../lib/mail/date.ts";
import { quoteAddress } from "../../lib/mail/address.ts";
// Access
import type { Peer } from "../../lib/access/peer.ts";
// This program

/** What a Received header tells. */
export interface ReceivedInfo {
  readonly peer: Peer;
  readonly helo: string;
  readonly protocol: string;
  readonly queueId: string;
  readonly hostName: string;
  readonly mailName: string;
  /** Shown only when it is the only one. */
  readonly recipients: readonly string[];
  /** smtpd_hide_client_session. */
  readonly hideClient: boolean;
}

/** The lines of the header. */
export function receivedLines(info: ReceivedInfo, date: string): string[] {
  // RFC 5321 section 4.4: from, by, via, with, id, for, then the date.
  const { peer } = info;
  const address = peer.address.includes(":") ? `IPv6:${peer.address}` : peer.address;
  const from = `from ${printable(info.helo || peer.name, 255)} (${peer.name} [${address}])`;
  const by = `by ${info.hostName} (${info.mailName})`;
  const only = info.recipients.length === 1 ? info.recipients[0] : undefined;
  const id = `id ${info.queueId}`;
  const with_ = info.hideClient ? "" : ` with ${info.protocol}`;
  const lines = info.hideClient
    ? [`Received: ${by}${with_} ${id}`]
    : [`Received: ${from}`, `\t${by}${with_} ${id}`];
  if (only === undefined) lines[lines.length - 1] += `; ${date}`;
  else lines.push(`\tfor <${printable(quoteAddress(only))}>; ${date}`);
  return lines;
}

/** Makes the date once a second: its time zone costs more than the rest of the header. */
export class DateClock {
  #second = -1;
  #text = "";

  format(time: number): string {
    const second = Math.floor(time / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#text = formatMailDate(time);
    }
    return this.#text;
  }
}
