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

/** Index files of Postfix that need a library which we do not have. */
const INDEX_TYPES = ["btree", "dbm", "hash", "lmdb", "sdbm"];

/** Types that are not there, and what to do. */
const REFUSED: Readonly<Record<string, string>> = {
  environ: "the environment of a daemon is empty: use inline:{ name=value }",
  internal: "it is Postfix's own scratch memory",
  mongodb: "use another database",
  netinfo: "use ldap",
  nis: "use ldap, or a file that ypcat writes",
  nisplus: "use ldap",
};

/** Type and name of a table; Postfix's `proxy:` is taken off. */
export function splitSpec(spec: string): SplitSpec {
  const text = withoutProxy(spec);
  const colon = text.indexOf(":");
  const type = text.slice(0, Math.max(colon, 0));
  if (Object.hasOwn(REFUSED, type)) {
    return { kind: "bad", why: `table type "${type}" is not supported: ${REFUSED[type]}` };
  }
  if (colon < 1 || colon === text.length - 1) return { kind: "bad", why: 'expected the form "type:name"' };
  const name = text.slice(colon + 1);
  if (!INDEX_TYPES.includes(type)) return { kind: "spec", type, name };
  return {
    kind: "bad",
    why:
      `table type "${type}" is an index file of Postfix, which is not read here: use "texthash:${name}", which ` +
      `reads the text file that the index was made of, or run "postmap cdb:${name}" ("postalias" for aliases) and ` +
      `use "cdb:${name}"`,
  };
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
