/**
 * Lists of TLS protocol versions (`smtpd_tls_protocols` and its like): `>=TLSv1.2`, `<=TLSv1.3`, `!TLSv1`, or the names of
 * those that are wanted.
 *
 * @module
 */
// Safe primitives
import type { TlsVersion } from "../safe/tls_server.ts";
// Utility
import { asciiLower, splitBlanks } from "../vstring/ascii.ts";

/** The versions that a list leaves, of those that can be spoken; or what is wrong with it. */
export type VersionRange =
  | { readonly kind: "range"; readonly oldest: TlsVersion; readonly newest: TlsVersion }
  | { readonly kind: "wrong"; readonly why: string };

/** Names that Postfix knows, oldest first, in lower case. */
const NAMES = ["sslv2", "sslv3", "tlsv1", "tlsv1.1", "tlsv1.2", "tlsv1.3"];
const SPOKEN: readonly TlsVersion[] = ["TLSv1.2", "TLSv1.3"];

/** Reads a list. */
export function parseVersions(text: string): VersionRange {
  let [low, high] = [0, NAMES.length - 1];
  const included = new Set<number>();
  const excluded = new Set<number>();
  for (const word of splitBlanks(text.replaceAll(":", " "), true)) {
    const mark = [">=", "<=", "!"].find((one) => word.startsWith(one)) ?? "";
    const at = NAMES.indexOf(asciiLower(word.slice(mark.length)));
    if (at < 0) return { kind: "wrong", why: `unknown protocol "${word}"` };
    if (mark === ">=") low = Math.max(low, at);
    else if (mark === "<=") high = Math.min(high, at);
    else if (mark === "!") excluded.add(at);
    else included.add(at);
  }
  const left = SPOKEN.filter((name) => {
    const at = NAMES.indexOf(asciiLower(name));
    const wanted = included.size === 0 || included.has(at);
    return at >= low && at <= high && wanted && !excluded.has(at);
  });
  const [oldest, newest] = [left[0], left.at(-1)];
  if (oldest === undefined || newest === undefined) {
    return {
      kind: "wrong",
      why: `it leaves no version: the TLS library speaks ${SPOKEN.join(" and ")} only`,
    };
  }
  return { kind: "range", oldest, newest };
}
