/**
 * Where a SASL backend listens: `smtpd_sasl_path` by `smtpd_sasl_type`.
 *
 * @module
 */
// Utility
import { parseDecimal } from "../vstring/ascii.ts";
import { parseIpAddress } from "../vstring/ip_address.ts";

/** A backend's socket. */
export type SaslTarget =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "inet"; readonly address: string; readonly port: number };

/** The target, or what is wrong. */
export type ParsedTarget =
  | { readonly kind: "target"; readonly target: SaslTarget }
  | { readonly kind: "wrong"; readonly why: string };

/** Where Debian's saslauthd listens unless it is told otherwise. */
export const SASLAUTHD_PATH = "/run/saslauthd/mux";
const INET = "inet:";
const UNIX = "unix:";

/** Types of backends that are asked over a socket. */
export function asksSocket(type: string): boolean {
  return type === "dovecot" || type === "cyrus" || type === "saslauthd";
}

/**
 * Reads smtpd_sasl_path: a socket's path, below queue_directory unless it begins with "/", or `inet:address:port`. For
 * cyrus and saslauthd a text without "/" is the name of an application, and means the usual socket.
 */
export function parseSaslPath(type: string, path: string, queueDirectory: string): ParsedTarget {
  if (path.startsWith(INET)) return parseInet(path.slice(INET.length));
  const file = path.startsWith(UNIX) ? path.slice(UNIX.length) : path;
  if (type !== "dovecot" && !file.includes("/")) return unix(SASLAUTHD_PATH);
  return unix(file.startsWith("/") ? file : `${queueDirectory}/${file}`);
}

function unix(path: string): ParsedTarget {
  return { kind: "target", target: { kind: "unix", path } };
}

function parseInet(text: string): ParsedTarget {
  const colon = text.lastIndexOf(":");
  const host = text.slice(0, Math.max(colon, 0));
  const address = host === "localhost" ? "127.0.0.1" : host.startsWith("[") ? host.slice(1, -1) : host;
  const port = parseDecimal(text.slice(colon + 1), 65535);
  // A permission names an address: whatever a name resolves to later is another matter.
  if (colon < 0 || port === undefined || port === 0 || parseIpAddress(address) === undefined) {
    return {
      kind: "wrong",
      why: `expected "inet:address:port" with a literal address, got "${INET}${text}"`,
    };
  }
  return { kind: "target", target: { kind: "inet", address, port } };
}

/** The target as the text that a daemon is told. */
export function targetText(target: SaslTarget): string {
  if (target.kind === "unix") return `${UNIX}${target.path}`;
  const host = target.address.includes(":") ? `[${target.address}]` : target.address;
  return `${INET}${host}:${target.port}`;
}
