/**
 * What a server says of itself in answer to EHLO or LHLO, RFC 5321 section 4.1.1.1.
 *
 * @module
 */
import { asciiUpper, parseDecimal, splitBlanks } from "../vstring/ascii.ts";

/** Extensions that the client knows how to use. */
export interface Features {
  /** First word of the reply: the name that the server gives itself. */
  readonly serverName: string;
  readonly pipelining: boolean; // RFC 2920
  readonly eightBitMime: boolean; // RFC 6152
  readonly enhancedStatusCodes: boolean; // RFC 2034
  readonly dsn: boolean; // RFC 3461
  readonly smtputf8: boolean; // RFC 6531
  readonly size: boolean; // RFC 1870
  readonly startTls: boolean; // RFC 3207
  readonly requireTls: boolean; // RFC 8689
  /** Mechanisms behind AUTH, upper case. */
  readonly mechanisms: readonly string[]; // RFC 4954
  /** Attributes that it takes with XFORWARD, upper case. */
  readonly xforward: ReadonlySet<string>;
  /** Largest message that it takes, bytes; 0 when it did not say or has no limit. */
  readonly sizeLimit: number;
}

/** A server that knows no extension: what HELO leaves. */
export const NO_FEATURES: Features = {
  serverName: "",
  pipelining: false,
  eightBitMime: false,
  enhancedStatusCodes: false,
  dsn: false,
  smtputf8: false,
  size: false,
  startTls: false,
  requireTls: false,
  mechanisms: [],
  xforward: new Set(),
  sizeLimit: 0,
};

/** Most keywords that are looked at. */
const KEYWORD_LIMIT = 100;

/**
 * Reads the lines of an EHLO reply.
 *
 * @param discard keywords in any case that are not believed (smtp_discard_ehlo_keywords)
 */
export function parseEhlo(lines: readonly string[], discard: readonly string[] = []): Features {
  const ignored = new Set(discard.map(asciiUpper));
  const offered = new Map<string, readonly string[]>();
  for (const line of lines.slice(1, KEYWORD_LIMIT + 1)) {
    const words = splitBlanks(line);
    // Old servers write "AUTH=LOGIN"; Postfix takes both separators for all keywords.
    const [keyword = "", ...glued] = (words[0] ?? "").split("=");
    const name = asciiUpper(keyword);
    if (name !== "" && !ignored.has(name)) offered.set(name, [...glued, ...words.slice(1)]);
  }
  const smtputf8 = offered.has("SMTPUTF8");
  return {
    serverName: splitBlanks(lines[0] ?? "")[0] ?? "",
    pipelining: offered.has("PIPELINING"),
    // RFC 6531 section 3.1: a server with SMTPUTF8 has 8BITMIME, whatever it forgot to say.
    eightBitMime: offered.has("8BITMIME") || smtputf8,
    enhancedStatusCodes: offered.has("ENHANCEDSTATUSCODES"),
    dsn: offered.has("DSN"),
    smtputf8,
    size: offered.has("SIZE"),
    startTls: offered.has("STARTTLS"),
    requireTls: offered.has("REQUIRETLS"),
    mechanisms: (offered.get("AUTH") ?? []).map(asciiUpper),
    xforward: new Set((offered.get("XFORWARD") ?? []).map(asciiUpper)),
    // RFC 1870 section 3: a limit of zero, or none, says nothing; a number that is no number neither.
    sizeLimit: parseDecimal(offered.get("SIZE")?.[0] ?? "") ?? 0,
  };
}
