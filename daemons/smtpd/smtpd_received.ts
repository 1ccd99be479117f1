/**
 * The Received header that smtpd puts on every message.
 */
// Utility
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { quoteAddress } from "../../lib/mail/address.ts";
// Access
import type { Peer } from "../../lib/access/peer.ts";
import type { SaslFacts, TlsFacts } from "../../lib/access/session_facts.ts";

/** What a Received header tells. */
export interface ReceivedInfo {
  readonly peer: Peer;
  readonly helo: string;
  readonly protocol: string;
  /** The message came with SMTPUTF8. */
  readonly utf8: boolean;
  readonly queueId: string;
  readonly hostName: string;
  readonly mailName: string;
  /** Shown only when it is the only one. */
  readonly recipients: readonly string[];
  /** smtpd_hide_client_session. */
  readonly hideClient: boolean;
  readonly tls: TlsFacts | undefined;
  readonly sasl: SaslFacts | undefined;
  /** smtpd_tls_received_header. */
  readonly showTls: boolean;
  /** smtpd_sasl_authenticated_header. */
  readonly showLogin: boolean;
}

/** Longest text of a client's own in a comment, UTF-16 units. */
const COMMENT_LIMIT = 255;

/** The lines of the header. */
export function receivedLines(info: ReceivedInfo, date: string): string[] {
  // RFC 5321 section 4.4: from, by, via, with, id, for, then the date.
  const { peer } = info;
  const address = peer.address.includes(":") ? `IPv6:${peer.address}` : peer.address;
  const from = `from ${printable(info.helo || peer.name, 255)} (${peer.name} [${address}])`;
  const by = `by ${info.hostName} (${info.mailName})`;
  const only = info.recipients.length === 1 ? info.recipients[0] : undefined;
  // What a filter sees has no queue file yet.
  const id = info.queueId === "" ? "" : ` id ${info.queueId}`;
  const lines = info.hideClient
    ? [`Received: ${by}${id}`]
    : [`Received: ${from}`, ...proofLines(info), `\t${by} with ${withProtocol(info)}${id}`];
  if (only === undefined) lines[lines.length - 1] += `; ${date}`;
  else lines.push(`\tfor <${printable(quoteAddress(only))}>; ${date}`);
  return lines;
}

/** RFC 3848 section 1: ESMTP with TLS is ESMTPS, with a login ESMTPA, with both ESMTPSA. */
function withProtocol({ protocol, utf8, tls, sasl }: ReceivedInfo): string {
  if (protocol !== "ESMTP") return protocol;
  // RFC 6531 section 4.3: with SMTPUTF8 it is UTF8SMTP, with the same letters behind it.
  return `${utf8 ? "UTF8SMTP" : protocol}${tls === undefined ? "" : "S"}${sasl === undefined ? "" : "A"}`;
}

/** The comments on how the session was encrypted and who logged in. */
function proofLines({ tls, sasl, showTls, showLogin }: ReceivedInfo): string[] {
  const lines: string[] = [];
  if (showTls && tls !== undefined) {
    lines.push(`\t(using ${tls.protocol} with cipher ${tls.cipher} (${tls.bits}/${tls.bits} bits))`);
    const { certificate } = tls;
    if (certificate !== undefined) {
      const verified = certificate.trusted ? "verified OK" : "not verified";
      const [subject, issuer] = [certificate.subject, certificate.issuer].map(commentText);
      lines.push(`\t(Client CN "${subject}", Issuer "${issuer}" (${verified}))`);
    } else {
      lines.push(
        tls.asked ? "\t(Client did not present a certificate)" : "\t(No client certificate requested)",
      );
    }
  }
  if (showLogin && sasl !== undefined) lines.push(`\t(Authenticated sender: ${commentText(sasl.username)})`);
  return lines;
}

/** RFC 5322 section 3.2.2: a client's own text in a comment may not end it, open another or quote what follows. */
function commentText(text: string): string {
  let out = "";
  for (const character of text.slice(0, COMMENT_LIMIT)) {
    const code = character.charCodeAt(0);
    out += code < 0x20 || code > 0x7e || '()\\"'.includes(character) ? "?" : character;
  }
  return out;
}
