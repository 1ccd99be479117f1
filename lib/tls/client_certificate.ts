/**
 * X.509 certificates (RFC 5280) as far as a server's identity needs them: who signed whom, for how long, for what use,
 * and which names.
 *
 * @module
 */
import { asciiLower } from "../vstring/ascii.ts";
import { decodeText } from "../vstring/byte_builder.ts";
import {
  DerError,
  DerReader,
  type DerValue,
  readBitString,
  readOid,
  readSmallInteger,
  readTime,
  TAG,
} from "./client_der.ts";

/** One certificate, read. */
export interface Certificate {
  readonly raw: Uint8Array;
  /** What is signed. */
  readonly signed: Uint8Array;
  /** Object identifier of the signature's algorithm. */
  readonly algorithm: string;
  readonly signature: Uint8Array;
  /** Names as DER: compared byte by byte. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  /** Milliseconds since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** SubjectPublicKeyInfo, DER. */
  readonly key: Uint8Array;
  readonly version: number;
  /** Basic constraints say that it may sign others; undefined when it has none. */
  readonly authority: boolean | undefined;
  /** Most authorities between it and the server's certificate. */
  readonly pathLimit: number;
  /** Key usage, first byte; undefined when it has none. */
  readonly usage: number | undefined;
  /** Extended key usages; undefined when it has none. */
  readonly purposes: readonly string[] | undefined;
  /** Alternative names that are host names, lower case; those with bytes that no host name has are left out. */
  readonly hostNames: readonly string[];
  /** It has alternative host names, usable or not: then the common name says nothing. */
  readonly hasHostNames: boolean;
  readonly addresses: readonly Uint8Array[];
  /** Common names of the subject that could be host names, lower case; the last is the most specific. */
  readonly commonNames: readonly string[];
  readonly constraints: NameConstraints | undefined;
  /** It has a critical extension that is not known here: nobody may rely on it (RFC 5280 section 4.2). */
  readonly unknownCritical: boolean;
}

/** What names an authority may vouch for (RFC 5280 section 4.2.1.10). */
export interface NameConstraints {
  /** Host name subtrees, lower case; undefined when all names are permitted. */
  readonly permitted: readonly string[] | undefined;
  readonly excluded: readonly string[];
  /** It constrains kinds of names that are not read here. */
  readonly other: boolean;
}

/** Bits of key usage (RFC 5280 section 4.2.1.3) in its first byte. */
export const USAGE = {
  DIGITAL_SIGNATURE: 0x80,
  KEY_ENCIPHERMENT: 0x20,
  KEY_AGREEMENT: 0x08,
  SIGN: 0x04,
} as const;

/** Extended key usage of servers, and "any" (RFC 5280 section 4.2.1.12). */
export const SERVER_PURPOSE = "1.3.6.1.5.5.7.3.1";
export const ANY_PURPOSE = "2.5.29.37.0";

const EXTENSION = {
  KEY_USAGE: "2.5.29.15",
  ALTERNATIVE_NAME: "2.5.29.17",
  BASIC_CONSTRAINTS: "2.5.29.19",
  NAME_CONSTRAINTS: "2.5.29.30",
  CERTIFICATE_POLICIES: "2.5.29.32",
  EXTENDED_KEY_USAGE: "2.5.29.37",
} as const;
const COMMON_NAME = "2.5.4.3";

/** Tags of general names, RFC 5280 section 4.2.1.6. */
const GENERAL_DNS = 0x82;
const GENERAL_ADDRESS = 0x87;
/** Most names of one certificate that are looked at. */
const NAME_LIMIT = 1000;

/** Reads a certificate. Throws `DerError` when it is none. */
export function parseCertificate(raw: Uint8Array): Certificate {
  const outer = new DerReader(new DerReader(raw).next(TAG.SEQUENCE).body);
  const signed = outer.next(TAG.SEQUENCE);
  const algorithm = outer.next(TAG.SEQUENCE);
  const signature = readBitString(outer.next(TAG.BIT_STRING).body);
  const body = new DerReader(signed.body);
  const version = body.optional(0xa0);
  body.next(TAG.INTEGER);
  const inner = body.next(TAG.SEQUENCE);
  // RFC 5280 section 4.1.1.2: the algorithm stands inside what is signed too, and both are the same.
  if (!equalBytes(inner.whole, algorithm.whole)) throw new DerError("two signature algorithms");
  const issuer = body.next(TAG.SEQUENCE).whole;
  const validity = new DerReader(body.next(TAG.SEQUENCE).body);
  const notBefore = readTime(validity.next());
  const notAfter = readTime(validity.next());
  const subject = body.next(TAG.SEQUENCE);
  const key = body.next(TAG.SEQUENCE).whole;
  let extensions: DerValue | undefined;
  while (!body.atEnd) {
    const value = body.next();
    if (value.tag === 0xa3) extensions = value;
  }
  return {
    raw,
    signed: signed.whole,
    algorithm: readOid(new DerReader(algorithm.body).next(TAG.OID).body),
    signature,
    issuer,
    subject: subject.whole,
    notBefore,
    notAfter,
    key,
    version: version === undefined
      ? 1
      : readSmallInteger(new DerReader(version.body).next(TAG.INTEGER).body) + 1,
    commonNames: commonNamesOf(subject.body),
    ...readExtensions(extensions),
  };
}

type Extensions = Pick<
  Certificate,
  | "authority"
  | "pathLimit"
  | "usage"
  | "purposes"
  | "hostNames"
  | "hasHostNames"
  | "addresses"
  | "constraints"
  | "unknownCritical"
>;

function readExtensions(wrapper: DerValue | undefined): Extensions {
  const found: { -readonly [K in keyof Extensions]: Extensions[K] } = {
    authority: undefined,
    pathLimit: Infinity,
    usage: undefined,
    purposes: undefined,
    hostNames: [],
    hasHostNames: false,
    addresses: [],
    constraints: undefined,
    unknownCritical: false,
  };
  if (wrapper === undefined) return found;
  const list = new DerReader(new DerReader(wrapper.body).next(TAG.SEQUENCE).body);
  const seen = new Set<string>();
  while (!list.atEnd) {
    const extension = new DerReader(list.next(TAG.SEQUENCE).body);
    const id = readOid(extension.next(TAG.OID).body);
    const critical = extension.optional(TAG.BOOLEAN)?.body[0] !== undefined;
    const value = extension.next(TAG.OCTET_STRING).body;
    // RFC 5280 section 4.2: no extension twice. Which of the two counts would depend on the reader.
    if (seen.has(id)) throw new DerError(`extension ${id} twice`);
    seen.add(id);
    readExtension(id, critical, value, found);
  }
  return found;
}

function readExtension(
  id: string,
  critical: boolean,
  value: Uint8Array,
  found: { -readonly [K in keyof Extensions]: Extensions[K] },
): void {
  switch (id) {
    case EXTENSION.BASIC_CONSTRAINTS: {
      const fields = new DerReader(new DerReader(value).next(TAG.SEQUENCE).body);
      found.authority = (fields.optional(TAG.BOOLEAN)?.body[0] ?? 0) !== 0;
      const limit = fields.optional(TAG.INTEGER);
      if (limit !== undefined) found.pathLimit = readSmallInteger(limit.body);
      return;
    }
    case EXTENSION.KEY_USAGE:
      found.usage = readBitString(new DerReader(value).next(TAG.BIT_STRING).body)[0] ?? 0;
      return;
    case EXTENSION.EXTENDED_KEY_USAGE:
      found.purposes = valuesOf(value).map((each) => readOid(each.body));
      return;
    case EXTENSION.ALTERNATIVE_NAME: {
      const names = valuesOf(value).slice(0, NAME_LIMIT);
      const hosts = names.filter((name) => name.tag === GENERAL_DNS);
      found.hasHostNames = hosts.length > 0;
      found.hostNames = hosts.flatMap((name) => hostNameOf(name.body));
      found.addresses = names.filter((name) => name.tag === GENERAL_ADDRESS).map((name) => name.body);
      return;
    }
    case EXTENSION.NAME_CONSTRAINTS:
      found.constraints = readConstraints(value);
      return;
    case EXTENSION.CERTIFICATE_POLICIES:
      // Which policies hold matters to nobody here.
      return;
    default:
      found.unknownCritical ||= critical;
  }
}

function readConstraints(value: Uint8Array): NameConstraints {
  const fields = new DerReader(new DerReader(value).next(TAG.SEQUENCE).body);
  const permitted = subtrees(fields.optional(0xa0));
  const excluded = subtrees(fields.optional(0xa1));
  const hosts = permitted.names.length > 0 ? permitted.names : undefined;
  return { permitted: hosts, excluded: excluded.names, other: permitted.other || excluded.other };
}

function subtrees(field: DerValue | undefined): { names: string[]; other: boolean } {
  const names: string[] = [];
  let other = false;
  if (field === undefined) return { names, other };
  const list = new DerReader(field.body);
  while (!list.atEnd) {
    const base = new DerReader(list.next(TAG.SEQUENCE).body).next();
    const name = base.tag === GENERAL_DNS
      ? hostNameOf(base.body)[0] ?? (base.body.length === 0 ? "" : undefined)
      : undefined;
    if (name === undefined) other = true;
    else names.push(name);
  }
  return { names, other };
}

/** The values in a sequence. */
function valuesOf(bytes: Uint8Array): DerValue[] {
  const list = new DerReader(new DerReader(bytes).next(TAG.SEQUENCE).body);
  const values: DerValue[] = [];
  while (!list.atEnd) values.push(list.next());
  return values;
}

/** Attributes of a name of one type that are text, in their order. */
function attributesOf(name: Uint8Array, type: string): Uint8Array[] {
  const found: Uint8Array[] = [];
  const sets = new DerReader(name);
  while (!sets.atEnd) {
    const set = new DerReader(sets.next(TAG.SET).body);
    while (!set.atEnd) {
      const attribute = new DerReader(set.next(TAG.SEQUENCE).body);
      const id = readOid(attribute.next(TAG.OID).body);
      const value = attribute.next();
      if (id === type && TEXT_TAGS.includes(value.tag)) found.push(value.body);
    }
  }
  return found;
}

const TEXT_TAGS: readonly number[] = [TAG.UTF8_STRING, TAG.PRINTABLE_STRING, TAG.IA5_STRING, TAG.T61_STRING];

function commonNamesOf(subject: Uint8Array): string[] {
  return attributesOf(subject, COMMON_NAME).slice(0, NAME_LIMIT).flatMap(hostNameOf);
}

/** The common name of a name in DER as text, for the log; empty when it has none. */
export function commonNameOf(name: Uint8Array): string {
  const found = attributesOf(new DerReader(name).next(TAG.SEQUENCE).body, COMMON_NAME);
  return found.length === 0 ? "" : decodeText(found[found.length - 1]!);
}

/**
 * The bytes as a host name in lower case, or nothing: a NUL, or any other byte that a host name does not have, must not
 * make "mx.example.com\0.evil.example" look like the first half of it.
 */
function hostNameOf(bytes: Uint8Array): string[] {
  if (bytes.length === 0 || bytes.length > 255) return [];
  for (const byte of bytes) {
    const plain = byte === 0x2d || byte === 0x2e || byte === 0x2a || byte === 0x5f ||
      (byte >= 0x30 && byte <= 0x39) ||
      (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a);
    if (!plain) return [];
  }
  return [asciiLower(decodeText(bytes))];
}

/** True for the same bytes. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
