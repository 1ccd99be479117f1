/**
 * DNS messages on the wire: RFC 1035 section 4, EDNS by RFC 6891, TLSA by RFC 6698, SRV by RFC 2782.
 *
 * Own code rather than an npm package for one reason: RDLENGTH. The reader here holds every record to the length
 * that it declares and leaves out the one that lies, where `dns-packet` reads an MX, A or AAAA record past its end
 * and takes what follows for the next record. The tests compare the two on honest messages. So the daemon that
 * reads hostile answers runs without any npm code.
 *
 * @module
 */
import { ByteBuilder, decodeText } from "../vstring/byte_builder.ts";
import { formatIpAddress } from "../vstring/ip_address.ts";

/** Record types by number, RFC 1035 section 3.2.2 and later. */
export const RECORD_TYPE = {
  A: 1,
  CNAME: 5,
  SOA: 6,
  NS: 2,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  TLSA: 52,
} as const;

/** Types that a caller may ask for. */
export type QueryType = Exclude<keyof typeof RECORD_TYPE, "SOA">;

/** Response codes that matter to a caller, RFC 1035 section 4.1.1. */
export const RCODE = { OK: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;

/** What a name is that holds bytes which no name of ours does: never equal to anything, never a host name. */
export const UNSPEAKABLE = "?";

/** One record of an answer. */
export interface DnsRecord {
  /** Owner, lower case, without the final dot; `UNSPEAKABLE` if it is no plain text. */
  readonly name: string;
  readonly type: number;
  /** Seconds. */
  readonly ttl: number;
  readonly data: RecordData;
}

/** Data by type; `other` for types that nobody here reads. */
export type RecordData =
  | { readonly kind: "address"; readonly address: string }
  | { readonly kind: "host"; readonly host: string } // CNAME, NS, PTR
  | { readonly kind: "mx"; readonly preference: number; readonly host: string }
  | {
    readonly kind: "srv";
    readonly priority: number;
    readonly weight: number;
    readonly port: number;
    readonly host: string;
  }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "tlsa"; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: "soa"; readonly minimum: number }
  | { readonly kind: "other" };

/** A response whose framing is sound. */
export interface DnsMessage {
  readonly id: number;
  readonly isResponse: boolean;
  readonly truncated: boolean;
  /** The resolver has validated the answer (AD). */
  readonly authenticated: boolean;
  readonly rcode: number;
  readonly question: { readonly name: string; readonly type: number; readonly class: number } | undefined;
  readonly answers: readonly DnsRecord[];
  /** The authority section's SOA records only: what a negative answer is timed by. */
  readonly authorities: readonly DnsRecord[];
  /** Records left out because their data did not fit their length or their type. */
  readonly malformed: number;
}

const HEADER_LENGTH = 12;
const CLASS_IN = 1;
const TYPE_OPT = 41;
const FLAG_QR = 0x8000;
const FLAG_TC = 0x0200;
const FLAG_RD = 0x0100;
const FLAG_AD = 0x0020;
/** A size that is not fragmented on any way (the value that the DNS flag day of 2020 agreed on). */
const EDNS_SIZE = 1232;
/** Most records of an answer that are kept; what is above is not even decoded. */
export const RECORD_COUNT_LIMIT = 1000;
/** Most compression pointers in one name; each must point backwards as well. */
const POINTER_LIMIT = 64;
/** RFC 2181 section 8: a TTL with the top bit set counts as zero. */
const TTL_LIMIT = 0x7fffffff;

/** Thrown for a message whose framing is broken: nothing of it can be believed. */
export class MalformedMessageError extends Error {
  override name = "MalformedMessageError";
}

/**
 * A query for one name. RFC 6840 section 5.7: AD set in a query asks for AD in the answer.
 *
 * @param name a name that `isHostName` accepts
 * @param edns false for servers that do not know EDNS
 */
export function encodeQuery(
  id: number,
  name: string,
  type: QueryType,
  edns: boolean,
): Uint8Array<ArrayBuffer> {
  const out = new ByteBuilder(512);
  for (const word of [id, FLAG_RD | FLAG_AD, 1, 0, 0, edns ? 1 : 0]) put16(out, word);
  for (const label of name.split(".")) out.byte(label.length).text(label);
  out.byte(0);
  put16(out, RECORD_TYPE[type]);
  put16(out, CLASS_IN);
  if (edns) {
    out.byte(0);
    for (const word of [TYPE_OPT, EDNS_SIZE, 0, 0, 0]) put16(out, word);
  }
  return out.copy();
}

function put16(out: ByteBuilder, value: number): void {
  out.byte(value >> 8).byte(value & 0xff);
}

/** Reads a message; throws `MalformedMessageError` when counts, names or lengths run past its end. */
export function decodeMessage(bytes: Uint8Array): DnsMessage {
  return new MessageReader(bytes).message();
}

/** The id of a message that may be broken behind its header; undefined when even the header is cut. */
export function peekId(bytes: Uint8Array): number | undefined {
  return bytes.length >= HEADER_LENGTH ? (bytes[0]! << 8) | bytes[1]! : undefined;
}

class MessageReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #malformed = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  message(): DnsMessage {
    const id = this.#word();
    const flags = this.#word();
    const questions = this.#word();
    const answers = this.#word();
    const authorities = this.#word();
    this.#word();
    let question: DnsMessage["question"];
    for (let i = 0; i < questions; i++) {
      const asked = { name: this.#name(), type: this.#word(), class: this.#word() };
      question = questions === 1 ? asked : undefined;
    }
    const truncated = (flags & FLAG_TC) !== 0;
    return {
      id,
      isResponse: (flags & FLAG_QR) !== 0,
      truncated,
      authenticated: (flags & FLAG_AD) !== 0,
      rcode: flags & 0xf,
      question,
      // A truncated message ends anywhere; nothing in it is used.
      answers: truncated ? [] : this.#records(answers, undefined),
      authorities: truncated ? [] : this.#records(authorities, RECORD_TYPE.SOA),
      malformed: this.#malformed,
    };
  }

  /** The records of a section, or those of one type; at most RECORD_COUNT_LIMIT. */
  #records(count: number, only: number | undefined): DnsRecord[] {
    const found: DnsRecord[] = [];
    for (let i = 0; i < count; i++) {
      const name = this.#name();
      const type = this.#word();
      const recordClass = this.#word();
      const ttl = this.#word() * 0x10000 + this.#word();
      const end = this.#word() + this.#at;
      if (end > this.#bytes.length) throw new MalformedMessageError("record runs past the end");
      const wanted = recordClass === CLASS_IN && found.length < RECORD_COUNT_LIMIT &&
        (only === undefined || only === type);
      if (wanted) {
        const data = this.#dataWithin(type, end);
        if (data !== undefined) found.push({ name, type, ttl: ttl > TTL_LIMIT ? 0 : ttl, data });
        else this.#malformed++;
      }
      this.#at = end;
    }
    return found;
  }

  /** A record's data, or undefined when it is not exactly as long as it says or holds a broken name. */
  #dataWithin(type: number, end: number): RecordData | undefined {
    try {
      const data = this.#data(type, end);
      return data !== undefined && this.#at === end ? data : undefined;
    } catch (error) {
      if (error instanceof MalformedMessageError) return undefined;
      throw error;
    }
  }

  #data(type: number, end: number): RecordData | undefined {
    switch (type) {
      case RECORD_TYPE.A:
        return this.#address(end, 4);
      case RECORD_TYPE.AAAA:
        return this.#address(end, 16);
      case RECORD_TYPE.CNAME:
      case RECORD_TYPE.NS:
      case RECORD_TYPE.PTR:
        return { kind: "host", host: this.#name(end) };
      case RECORD_TYPE.MX:
        return { kind: "mx", preference: this.#word(end), host: this.#name(end) };
      case RECORD_TYPE.SRV:
        return {
          kind: "srv",
          priority: this.#word(end),
          weight: this.#word(end),
          port: this.#word(end),
          host: this.#name(end),
        };
      case RECORD_TYPE.TXT:
        return this.#text(end);
      case RECORD_TYPE.TLSA:
        // RFC 6698 section 2.1: usage, selector, matching type, then the data.
        return end - this.#at > 3 ? { kind: "tlsa", bytes: this.#take(end - this.#at, end) } : undefined;
      case RECORD_TYPE.SOA:
        this.#name(end);
        this.#name(end);
        this.#take(16, end);
        return { kind: "soa", minimum: this.#word(end) * 0x10000 + this.#word(end) };
      default:
        this.#at = end;
        return { kind: "other" };
    }
  }

  #address(end: number, length: number): RecordData | undefined {
    return end - this.#at === length
      ? { kind: "address", address: formatIpAddress(this.#take(length, end)) }
      : undefined;
  }

  /** RFC 1035 section 3.3.14: character strings, which together are the text (RFC 7208 section 3.3). */
  #text(end: number): RecordData {
    const text = new ByteBuilder(end - this.#at, end - this.#at);
    while (this.#at < end) text.bytes(this.#take(this.#byte(end), end));
    return { kind: "text", text: decodeText(text.view()) };
  }

  /**
   * A name in lower case, RFC 1035 section 4.1.4. Each pointer must point before the place where this name, or the
   * piece that it continues, began: so it always ends. A label with a dot or a byte that is no visible ASCII makes
   * the whole name unspeakable, because two different names must never become the same text.
   */
  #name(end: number = this.#bytes.length): string {
    let at = this.#at;
    let limit = at;
    let next = -1;
    let pointers = 0;
    let name = "";
    let length = 1;
    let plain = true;
    for (;;) {
      const first = this.#bytes[at];
      if (first === undefined || (next < 0 && at >= end)) {
        throw new MalformedMessageError("name runs past the end");
      }
      if (first === 0) break;
      if ((first & 0xc0) === 0xc0) {
        const target = ((first & 0x3f) << 8) | (this.#bytes[at + 1] ?? 0xffff);
        if (next < 0) next = at + 2;
        if (target >= limit || ++pointers > POINTER_LIMIT) {
          throw new MalformedMessageError("bad name pointer");
        }
        at = limit = target;
        continue;
      }
      length += first + 1;
      if ((first & 0xc0) !== 0 || length > 255 || at + 1 + first > this.#bytes.length) {
        throw new MalformedMessageError("bad label");
      }
      if (name !== "") name += ".";
      for (let i = at + 1; i <= at + first; i++) {
        const byte = this.#bytes[i]!;
        plain &&= byte > 0x20 && byte < 0x7f && byte !== 0x2e;
        name += String.fromCharCode(byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte);
      }
      at += 1 + first;
    }
    this.#at = next < 0 ? at + 1 : next;
    if (this.#at > end) throw new MalformedMessageError("name runs past its record");
    return plain ? name : UNSPEAKABLE;
  }

  #byte(end: number = this.#bytes.length): number {
    if (this.#at >= end) throw new MalformedMessageError("message is cut off");
    return this.#bytes[this.#at++]!;
  }

  #word(end?: number): number {
    return (this.#byte(end) << 8) | this.#byte(end);
  }

  #take(length: number, end: number): Uint8Array<ArrayBuffer> {
    if (this.#at + length > end) throw new MalformedMessageError("record is cut off");
    const taken = this.#bytes.slice(this.#at, this.#at + length);
    this.#at += length;
    return new Uint8Array(taken);
  }
}
