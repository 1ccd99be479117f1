/**
 * The log line that every delivery agent writes for a recipient, in Postfix's format: what pflogsumm, logwatch and
 * fail2ban read.
 *
 * @module
 */
import { equalsIgnoreCase } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
import { quoteAddress } from "./address.ts";

/** When a delivery reached its stages, milliseconds since 1970. */
export interface DeliveryTimes {
  /** The message's first byte from its client. */
  readonly arrival: number;
  /** qmgr took it into the active queue. */
  readonly active: number;
  /** The agent got the request. */
  readonly started: number;
  /** The connection was ready for the message; undefined when there was none. */
  readonly connected?: number | undefined;
  readonly done: number;
}

/** Words of `status=`; the last two are those of a probe. */
export type DeliveryResult = "sent" | "deferred" | "bounced" | "SOFTBOUNCE" | "deliverable" | "undeliverable";

/** One recipient's outcome as the log tells it. */
export interface DeliveryLogEntry {
  readonly queueId: string;
  readonly recipient: string;
  /** Shown as orig_to= when it differs; empty if there is none. */
  readonly originalRecipient: string;
  /** "host[address]:port", a service name, "local", or "none". */
  readonly relay: string;
  /** Deliveries over this connection with this one; shown from 2 on. */
  readonly connectionUses?: number | undefined;
  /** What became of TLS, of an agent that may speak it; empty: nothing is said of it. */
  readonly tls?: string | undefined;
  readonly times: DeliveryTimes;
  /** Enhanced status code. */
  readonly status: string;
  readonly result: DeliveryResult;
  /** What the peer said, or what went wrong. */
  readonly text: string;
}

/** Parameters that shape the line. */
export interface DeliveryLogStyle {
  /** delay_logging_resolution_limit: most digits behind the point. */
  readonly resolution: number;
  /** info_log_address_format: external quotes local parts as in a command. */
  readonly addressFormat: "external" | "internal";
}

/** Postfix's defaults. */
export const DELIVERY_LOG_STYLE: DeliveryLogStyle = { resolution: 2, addressFormat: "external" };

/** Digits that a delay shows at most, as long as it is below 100 seconds. */
const SIGNIFICANT_DIGITS = 2;

/** `QID: to=<r>, orig_to=<o>, relay=..., delay=T, delays=a/b/c/d, tls=..., dsn=X.Y.Z, status=... (text)`. */
export function deliveryLogLine(
  entry: DeliveryLogEntry,
  style: DeliveryLogStyle = DELIVERY_LOG_STYLE,
): string {
  const { recipient, originalRecipient: original } = entry;
  const shown = (address: string) =>
    printable(style.addressFormat === "external" ? quoteAddress(address) : address);
  const originalTo = original !== "" && !equalsIgnoreCase(original, recipient)
    ? ` orig_to=<${shown(original)}>,`
    : "";
  const uses = (entry.connectionUses ?? 1) > 1 ? ` conn_use=${entry.connectionUses},` : "";
  const tls = entry.tls === undefined || entry.tls === "" ? "" : ` tls=${entry.tls},`;
  return `${entry.queueId}: to=<${shown(recipient)}>,${originalTo} relay=${printable(entry.relay)},${uses} ` +
    `${formatDelays(entry.times, style.resolution)},${tls} dsn=${entry.status}, ` +
    `status=${entry.result} (${printable(entry.text)})`;
}

/** What a success report says of a delivery; the relay is as in the log. */
export function deliveredVia(relay: string, text: string): string {
  return `delivery via ${relay}: ${text}`;
}

/** `delay=T, delays=a/b/c/d`: before qmgr, in qmgr, connection set-up, transmission. */
export function formatDelays(times: DeliveryTimes, resolution: number): string {
  const { arrival, active, started, done } = times;
  const connected = times.connected ?? done;
  const parts = [active - arrival, started - active, connected - started, done - connected];
  return `delay=${formatDelay(done - arrival, resolution)}, ` +
    `delays=${parts.map((part) => formatDelay(part, resolution)).join("/")}`;
}

/**
 * Seconds with two significant digits, at most `resolution` digits behind the point and no zeros at the end;
 * a negative delay, which a clock that was set back makes, counts as none.
 */
export function formatDelay(milliseconds: number, resolution: number): string {
  const seconds = Math.max(0, milliseconds) / 1000;
  const whole = Math.floor(seconds);
  const wholeDigits = whole === 0 ? 0 : String(whole).length;
  let digits = Math.max(0, SIGNIFICANT_DIGITS - wholeDigits);
  // 0.0123 has its first significant digit in the second place.
  if (whole === 0 && seconds > 0) digits += Math.max(0, -Math.floor(Math.log10(seconds)) - 1);
  const text = seconds.toFixed(Math.min(digits, resolution));
  return text.includes(".") ? withoutFinalZeros(text) : text;
}

function withoutFinalZeros(text: string): string {
  let end = text.length;
  while (text[end - 1] === "0") end--;
  if (text[end - 1] === ".") end--;
  return text.slice(0, end);
}
