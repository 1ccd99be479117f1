/**
 * Queue ids: made from the time and the file's own inode number, so that an id is unique while its file exists
 * (postfix-map section 2.2). Short: five hexadecimal digits of microseconds, then the inode in hexadecimal. Long:
 * seconds and microseconds in base 52, `z`, the inode in base 51.
 *
 * @module
 */
import { isAlnum } from "../vstring/ascii.ts";

declare const QUEUE_ID: unique symbol;
/** A string that was checked to be a queue id, so that it is safe as a file name. */
export type QueueId = string & { readonly [QUEUE_ID]: true };

/** Longest queue id. */
export const QUEUE_ID_MOST = 255;

const ALPHABET = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
const SECONDS_DIGITS = 6;
const MICROSECONDS_DIGITS = 4;
/** The least place at which a long id's separator stands. */
const LONG_ID_HEAD = SECONDS_DIGITS + MICROSECONDS_DIGITS;

/** The value as a queue id when it is one: letters, digits and `_`, at most 255 of them. */
export function toQueueId(value: string): QueueId | undefined {
  if (value.length === 0 || value.length > QUEUE_ID_MOST) return undefined;
  for (let i = 0; i < value.length; i++) {
    const unit = value.charCodeAt(i);
    if (!(unit < 0x80 && isAlnum(unit)) && unit !== 0x5f) return undefined;
  }
  return value as QueueId;
}

/**
 * A new id for a file.
 *
 * @param time microseconds since 1970
 */
export function makeQueueId(time: number, inode: number, long: boolean): QueueId {
  const microseconds = time % 1_000_000;
  if (!long) {
    return (microseconds.toString(16).padStart(5, "0") + inode.toString(16)).toUpperCase() as QueueId;
  }
  const seconds = Math.floor(time / 1_000_000);
  return (toBase(seconds, 52, SECONDS_DIGITS) + toBase(microseconds, 52, MICROSECONDS_DIGITS) + "z" +
    toBase(inode, 51, 1)) as QueueId;
}

/** The inode number that an id holds, or undefined when it holds none. */
export function inodeOf(id: QueueId): number | undefined {
  const separator = longSeparator(id);
  if (separator >= 0) return fromBase(id.slice(separator + 1), 51);
  const digits = id.slice(5);
  if (digits.length === 0 || digits.length > 13) return undefined;
  for (const digit of digits) if (!"0123456789ABCDEF".includes(digit)) return undefined;
  return parseInt(digits, 16);
}

/**
 * The subdirectories under which a hashed queue keeps an id, as "4/F", and an empty string for depth 0. Long ids
 * hash by their microseconds in the short style, so that both kinds spread alike.
 */
export function hashedDirectory(id: QueueId, depth: number): string {
  const separator = longSeparator(id);
  let name: string = id;
  if (separator >= 0) {
    const microseconds = fromBase(id.slice(separator - MICROSECONDS_DIGITS, separator), 52) ?? 0;
    name = microseconds.toString(16).toUpperCase().padStart(5, "0");
  }
  let path = "";
  for (let i = 0; i < depth; i++) path += (i > 0 ? "/" : "") + (name[i] ?? "_");
  return path;
}

/** Where a long id's `z` stands; -1 for a short id. */
function longSeparator(id: string): number {
  const separator = id.lastIndexOf("z");
  return separator >= LONG_ID_HEAD ? separator : -1;
}

function toBase(value: number, base: number, digits: number): string {
  let out = "";
  let rest = value;
  do {
    out = ALPHABET[rest % base]! + out;
    rest = Math.floor(rest / base);
  } while (rest > 0);
  return out.padStart(digits, "0");
}

function fromBase(text: string, base: number): number | undefined {
  if (text.length === 0) return undefined;
  let value = 0;
  for (const digit of text) {
    const weight = ALPHABET.indexOf(digit);
    if (weight < 0 || weight >= base) return undefined;
    value = value * base + weight;
    if (value > Number.MAX_SAFE_INTEGER) return undefined;
  }
  return value;
}
