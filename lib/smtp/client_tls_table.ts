/**
 * Entries of smtp_tls_policy_maps: `level attribute=value ...` (postconf(5); postfix-map section 6.10).
 *
 * @module
 */
// Utility
import { asciiLower, equalsIgnoreCase, trimBlanks } from "../vstring/ascii.ts";
// Tables
import { BraceError, splitBraced } from "../table/braces.ts";
import {
  cipherTrouble,
  matchWords,
  spanOf,
  TLS_LEVELS,
  type TlsLevel,
  type VersionSpan,
} from "./client_tls_settings.ts";

/** An entry, read. What it does not say is undefined, and the parameters say it. */
export interface TlsTableEntry {
  readonly kind: "entry";
  readonly level: TlsLevel;
  readonly versions: VersionSpan | undefined;
  /** Fingerprints, or names and strategies. */
  readonly matches: readonly string[] | undefined;
  readonly serverName: string | undefined;
  /** It comes from an MTA-STS policy: what its MX hosts may be called, and its domain. */
  readonly sts: { readonly domain: string; readonly patterns: readonly string[] } | undefined;
  readonly warnings: readonly string[];
}

/** An entry that says nothing that can be obeyed: mail waits, rather than going with less than was meant. */
export interface BadTableEntry {
  readonly kind: "bad";
  readonly why: string;
}

/** Attributes that may stand once. */
const ONCE = ["ciphers", "exclude", "policy_domain", "policy_type", "protocols", "servername"] as const;
/** Attributes that have no effect here: how sessions are kept, and what outside programs say for their reports. */
const WITHOUT_EFFECT: readonly string[] = [
  "connection_reuse",
  "policy_failure",
  "policy_string",
  "policy_ttl",
];

/** Reads the value of a table. */
export function parseTlsEntry(value: string): TlsTableEntry | BadTableEntry {
  try {
    const [first, ...rest] = splitBraced(value);
    const level = TLS_LEVELS.find((one) => first !== undefined && equalsIgnoreCase(one, first.text));
    if (level === undefined) return bad(`invalid security level "${first?.text ?? ""}"`);
    return readAttributes(level, rest.map((item) => item.text));
  } catch (error) {
    if (error instanceof BraceError) return bad(error.message);
    throw error;
  }
}

function readAttributes(level: TlsLevel, items: readonly string[]): TlsTableEntry | BadTableEntry {
  const warnings: string[] = [];
  const once = new Map<string, string>();
  const matches: string[] = [];
  const patterns: string[] = [];
  if (level === "none" && items.length > 0) warnings.push('ignoring attributes behind "none"');
  for (const item of level === "none" ? [] : items) {
    const equals = item.indexOf("=");
    const name = asciiLower(trimBlanks(item.slice(0, Math.max(0, equals))));
    const value = trimBlanks(item.slice(equals + 1));
    if (equals <= 0 || value === "") return bad(`malformed attribute "${item}"`);
    if (name === "match") matches.push(value);
    else if (name === "mx_host_pattern") patterns.push(asciiLower(value));
    else if (ONCE.some((one) => one === name)) {
      if (once.has(name)) return bad(`attribute "${name}" twice`);
      once.set(name, value);
    } else if (name === "enable_rpk") {
      if (!equalsIgnoreCase(value, "no")) warnings.push("raw public keys are not used");
    } else if (!WITHOUT_EFFECT.includes(name)) return bad(`unsupported attribute "${name}"`);
  }
  return checkEntry(level, once, matches, patterns, warnings);
}

function checkEntry(
  level: TlsLevel,
  once: ReadonlyMap<string, string>,
  matches: readonly string[],
  patterns: readonly string[],
  warnings: readonly string[],
): TlsTableEntry | BadTableEntry {
  const excluded = once.get("exclude");
  const trouble = cipherTrouble(once.get("ciphers") ?? "medium", excluded === undefined ? [] : [excluded]);
  if (trouble !== undefined) return bad(trouble);
  const protocols = once.get("protocols");
  const versions = protocols === undefined ? undefined : spanOf(protocols);
  if (typeof versions === "string") return bad(`protocols: ${versions}`);
  const takesMatches = level === "fingerprint" || level === "verify" || level === "secure";
  if (matches.length > 0 && !takesMatches) return bad(`attribute "match" is not for level "${level}"`);
  const type = once.get("policy_type");
  if (type === undefined && (patterns.length > 0 || once.has("policy_domain"))) {
    return bad('attributes of a policy without "policy_type"');
  }
  if (type !== undefined && type !== "sts" && type !== "no-policy-found") {
    return bad(`unknown policy_type "${type}"`);
  }
  return {
    kind: "entry",
    level,
    versions,
    matches: matches.length === 0
      ? undefined
      : level === "fingerprint"
      ? matches.flatMap((value) => value.split("|"))
      : matchWords(matches),
    serverName: once.get("servername"),
    sts: type === "sts" ? { domain: once.get("policy_domain") ?? "", patterns } : undefined,
    warnings,
  };
}

function bad(why: string): BadTableEntry {
  return { kind: "bad", why };
}
