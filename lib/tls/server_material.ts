/**
 * What a daemon that terminates TLS is handed: keys and certificates, as it may open no file.
 *
 * @module
 */
// Safe primitives
import type { TlsIdentity } from "../safe/tls_server.ts";
// Utility
import type { Settings } from "../config/parameters.ts";
import { asciiLower } from "../vstring/ascii.ts";

/** What a daemon that terminates TLS is handed, as JSON. */
export interface ServerTlsMaterial {
  /** Undefined: there is no certificate, and so no TLS. */
  readonly identity?: TlsIdentity;
  /** Identities by what is asked for: a name in lower case, or ".parent" for all names below it. */
  readonly named: readonly (readonly [name: string, identity: TlsIdentity])[];
  /** Authorities that clients' certificates are checked with, PEM, or empty. */
  readonly authorities: string;
}

/** How much TLS a server does: none, for clients that want it, or for all. */
export type ServerTlsLevel = "none" | "may" | "encrypt";

/** The level that the settings come to. */
export function serverTlsLevel(
  settings: Settings<"smtpd_tls_security_level" | "smtpd_tls_wrappermode">,
): ServerTlsLevel {
  // Who has done TLS before the first command has no use for less.
  if (settings.smtpd_tls_wrappermode) return "encrypt";
  return settings.smtpd_tls_security_level === ""
    ? "none"
    : settings.smtpd_tls_security_level as ServerTlsLevel;
}

/** Finds the identity for a name that a client asks for: its own, or that of the domains above it. */
export function findIdentity(
  named: ReadonlyMap<string, TlsIdentity>,
  name: string,
): TlsIdentity | undefined {
  const key = asciiLower(name);
  const own = named.get(key);
  if (own !== undefined) return own;
  for (let dot = key.indexOf("."); dot >= 0; dot = key.indexOf(".", dot + 1)) {
    const parent = named.get(key.slice(dot));
    if (parent !== undefined) return parent;
  }
  return undefined;
}
