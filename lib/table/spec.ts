/**
 * Names of lookup tables, `type:name`.
 *
 * @module
 */
// Utility
import { isAlnum } from "../vstring/ascii.ts";
// Tables
import { looksLikeIpv6 } from "./ip_network.ts";

/** The type and the name of a table, or what is wrong. */
export type SplitSpec =
  | { readonly kind: "spec"; readonly type: string; readonly name: string }
  | { readonly kind: "bad"; readonly why: string };

/** Types of Postfix that need a library we do not have, and what to use in their place. */
const INSTEAD: Readonly<Record<string, string>> = {
  btree: "texthash",
  cdb: "texthash",
  dbm: "texthash",
  hash: "texthash",
  lmdb: "texthash",
  pcre: "regexp",
  sdbm: "texthash",
};

/** Type and name of a table. Postfix's `proxy:` is taken off: here every daemon that may open no file asks proxymap. */
export function splitSpec(spec: string): SplitSpec {
  const text = withoutProxy(spec);
  const colon = text.indexOf(":");
  if (colon < 1 || colon === text.length - 1) return { kind: "bad", why: 'expected the form "type:name"' };
  const type = text.slice(0, colon);
  const name = text.slice(colon + 1);
  const instead = Object.hasOwn(INSTEAD, type) ? INSTEAD[type] : undefined;
  if (instead === undefined) return { kind: "spec", type, name };
  const why = instead === "texthash"
    ? `table type "${type}" is an indexed file of Postfix, which is not read here: use "texthash:${name}", which reads ` +
      "the text file that the index was made of"
    : `table type "${type}" is not supported: use "${instead}:${name}"`;
  return { kind: "bad", why };
}

/** The spec without Postfix's `proxy:`, which names the same table. */
export function withoutProxy(spec: string): string {
  return spec.startsWith("proxy:") ? spec.slice("proxy:".length) : spec;
}

/** True when an item of a list is a table and no host name, address or path. */
export function isTableSpec(item: string): boolean {
  if (item.startsWith("[") || item.startsWith("/")) return false;
  const colon = item.indexOf(":");
  if (colon < 1) return false;
  for (let i = 0; i < colon; i++) {
    if (!isAlnum(item.charCodeAt(i)) && item[i] !== "_" && item[i] !== "-") return false;
  }
  return !looksLikeIpv6(item);
}
