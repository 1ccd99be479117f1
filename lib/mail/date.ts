/**
 * Dates as mail writes them, in local time. Postfix pads the day with a space where RFC 5322 allows both.
 *
 * @module
 */

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"] as const;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"] as const;
/** Names the time zone; made once, as making one costs far more than using it. */
const ZONE_NAMES = new Intl.DateTimeFormat("en-US", { timeZoneName: "short" });
const LONGEST_ZONE_NAME = 8;

/**
 * The date of a header, as `Mon, 23 Nov 2026 05:06:02 +0000 (UTC)`.
 *
 * @param time milliseconds since 1970
 */
export function formatMailDate(time: number): string {
  // RFC 5322 section 3.3: day-name, day, month name, four-digit year, time, numeric zone; a zone name is a comment.
  const date = new Date(time);
  const day = String(date.getDate()).padStart(2, " ");
  const zone = zoneName(date);
  return `${DAYS[date.getDay()]}, ${day} ${MONTHS[date.getMonth()]} ${year(date)} ${clock(date)} ` +
    zoneOffset(-date.getTimezoneOffset()) + (zone === "" ? "" : ` (${zone})`);
}

/** Makes dates of headers, each once a second: the name of the time zone costs more than the rest of a header. */
export class DateClock {
  #second = -1;
  #text = "";

  /** `formatMailDate` for the present, milliseconds since 1970. */
  format(time: number): string {
    const second = Math.floor(time / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#text = formatMailDate(time);
    }
    return this.#text;
  }
}

/** A date without the year, as `Nov 03 05:06:02`. */
export function formatShortDate(time: number): string {
  const date = new Date(time);
  return `${MONTHS[date.getMonth()]} ${two(date.getDate())} ${clock(date)}`;
}

/** The date of a queue listing, as `Mon Nov 23 05:06:02`. */
export function formatQueueDate(time: number): string {
  const date = new Date(time);
  const day = String(date.getDate()).padStart(2, " ");
  return `${DAYS[date.getDay()]} ${MONTHS[date.getMonth()]} ${day} ${clock(date)}`;
}

/** The date of an mbox `From ` line, as `Mon Nov 23 05:06:02 2026`: the form of C's ctime. */
export function formatMboxDate(time: number): string {
  return `${formatQueueDate(time)} ${year(new Date(time))}`;
}

/** Fourteen digits of UTC, `20261123050602`, for message ids. */
export function formatIdDate(time: number): string {
  const date = new Date(time);
  return String(date.getUTCFullYear()).padStart(4, "0") + two(date.getUTCMonth() + 1) +
    two(date.getUTCDate()) +
    two(date.getUTCHours()) + two(date.getUTCMinutes()) + two(date.getUTCSeconds());
}

/** A zone offset as `+0130`. */
export function zoneOffset(minutes: number): string {
  const size = Math.abs(Math.trunc(minutes));
  return (minutes < 0 ? "-" : "+") + two(Math.trunc(size / 60)) + two(size % 60);
}

/** The zone's name when it has one of letters; offsets such as "GMT+1" say nothing new. */
function zoneName(date: Date): string {
  const part = ZONE_NAMES.formatToParts(date).find((piece) => piece.type === "timeZoneName");
  const name = part?.value ?? "";
  if (name.length > LONGEST_ZONE_NAME) return "";
  for (let i = 0; i < name.length; i++) {
    const lower = name.charCodeAt(i) | 0x20;
    if (lower < 0x61 || lower > 0x7a) return "";
  }
  return name;
}

function year(date: Date): string {
  return String(date.getFullYear()).padStart(4, "0");
}

function clock(date: Date): string {
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

function two(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}
