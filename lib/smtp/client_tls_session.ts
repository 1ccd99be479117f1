/**
 * The way from a fresh connection to one that mail may be sent over: greeting, STARTTLS where the policy wants it, the
 * judgement on the server's certificate, EHLO once more (RFC 3207; postfix-map section 6.10).
 *
 * @module
 */
// Safe primitives
import type { FingerprintDigest } from "../safe/certificate.ts";
import { NetworkError } from "../safe/connect.ts";
import { TlsError, type TlsHandshake } from "../safe/tls_client.ts";
// Utility
import { printable } from "../vstring/printable.ts";
// TLS
import type { Certificate } from "../tls/client_certificate.ts";
import { fingerprintOf } from "../tls/client_fingerprint.ts";
import { type CertificateJudgement, judgeServer } from "../tls/client_verify.ts";
import { cipherBits } from "../tls/tls_ciphers.ts";
// This program
import { type Failure, localFailure } from "./client_failure.ts";
import { relayLabel } from "./client_hosts.ts";
import { demandsTls, requireTlsFailure } from "./client_requiretls.ts";
import { type ClientSession, introduce, type Introduction, sayHello } from "./client_session.ts";
import type { HostTls } from "./client_tls_policy.ts";
import type { TlsConfiguration } from "./client_tls_settings.ts";
import type { Reply } from "./reply.ts";

/** What is known of an encrypted connection. */
export interface SessionSecurity {
  readonly version: string;
  readonly cipher: string;
  /** Certificates that the server sent, DER. */
  readonly chain: readonly Uint8Array[];
  readonly judgement: CertificateJudgement;
  /** The certificate is what the policy demands, on a way that nobody could forge. */
  readonly verified: boolean;
}

/** How an introduction ended. */
export type Introduced =
  | { readonly kind: "ready" }
  | {
    readonly kind: "failed";
    readonly failure: Failure;
    /** What was wrong with TLS; undefined when it was something else. */
    readonly tls?: TlsFault;
  };

/** What was wrong with TLS, in the words of RFC 8460 section 4.3. */
export type TlsFault =
  | "starttls-not-supported"
  | "certificate-host-mismatch"
  | "certificate-expired"
  | "certificate-not-trusted"
  | "validation-failure";

/** What an introduction works with. */
export interface SecureIntroduction {
  readonly by: Introduction;
  readonly configuration: TlsConfiguration;
  /** Log line without the message's id: it is about a host. */
  readonly info: (text: string) => void;
}

/**
 * Introduces us to a server, over TLS as its policy demands. Throws `StreamError`.
 *
 * @param clear TLS failed with this server and may be done without: it is not tried
 */
export async function introduceSecurely(
  session: ClientSession,
  tls: HostTls,
  tools: SecureIntroduction,
  clear = false,
): Promise<Introduced> {
  const { by, configuration } = tools;
  if (configuration.wrapper && tls.required) {
    const failed = await shakeHands(session, tls, tools);
    return failed ?? offersRequireTls(session, tls, await introduce(session, by));
  }
  const failure = await introduce(session, by);
  if (failure !== undefined) return { kind: "failed", failure };
  const { startTls } = session.features;
  if (tls.level === "none" || clear) {
    if (startTls && configuration.notesOffers) tools.info(`Host offered STARTTLS: [${session.name}]`);
    return { kind: "ready" };
  }
  if (!startTls) {
    if (demandsTls(tls.requireTls)) {
      const text = `REQUIRETLS was asked for, but STARTTLS was not offered by host ${session.label}`;
      return failed(requireTlsFailure("5.7.30", text, session.name), "starttls-not-supported");
    }
    if (!tls.required) return { kind: "ready" };
    const text = `TLS is required, but was not offered by host ${session.label}`;
    return failed(localFailure("site", true, "4.7.4", text, session.name), "starttls-not-supported");
  }
  const reply = await session.ask("STARTTLS", configuration.timeout, "sending STARTTLS");
  if (Math.floor(reply.code / 100) !== 2) {
    // RFC 3207 section 4: without TLS we go on as if nothing had been offered, if that is enough.
    if (!tls.required && !demandsTls(tls.requireTls) && session.sound) return { kind: "ready" };
    return failed(refusedToStart(session, reply), "starttls-not-supported");
  }
  const broken = await shakeHands(session, tls, tools);
  if (broken !== undefined) return broken;
  if (configuration.blocksEarlyReplies && await session.speaksEarly()) {
    const text = `host ${session.label} sent a reply before it was asked anything: unexpected server message`;
    return failed(localFailure("site", true, "4.7.0", text, session.name), "validation-failure");
  }
  return offersRequireTls(session, tls, await sayHello(session, by, true));
}

/** RFC 8689 section 4.2.1: the server must say, over TLS, that it will pass the demand on. */
function offersRequireTls(
  session: ClientSession,
  { requireTls }: HostTls,
  failure: Failure | undefined,
): Introduced {
  if (failure !== undefined || requireTls !== "enforce" || session.features.requireTls) {
    return introduced(failure);
  }
  const text = `REQUIRETLS was asked for, but was not offered by host ${session.label}`;
  return introduced(requireTlsFailure("5.7.30", text, session.name));
}

function introduced(failure: Failure | undefined): Introduced {
  return failure === undefined ? { kind: "ready" } : { kind: "failed", failure };
}

function failed(failure: Failure, tls: TlsFault): Introduced {
  return { kind: "failed", failure, tls };
}

/** A server that offered TLS and then does not want it. */
function refusedToStart(session: ClientSession, reply: Reply): Failure {
  const soft = Math.floor(reply.code / 100) !== 5;
  return {
    blame: "site",
    soft,
    status: soft && !reply.status.startsWith("4") ? "4.7.5" : reply.status,
    text: `TLS is required, but host ${session.label} refused to start TLS: ${reply.text}`,
    reply: reply.text,
    remoteMta: session.name,
  };
}

/** The handshake and the judgement on it; undefined when mail may go on. */
async function shakeHands(
  session: ClientSession,
  tls: HostTls,
  tools: SecureIntroduction,
): Promise<Introduced | undefined> {
  const { configuration, info } = tools;
  const server = relayLabel(session.host);
  let handshake: TlsHandshake;
  try {
    const { versions, serverName } = tls;
    const { identity, timeout } = configuration;
    handshake = await session.secure({ serverName, ...versions, identity }, timeout);
  } catch (error) {
    if (!(error instanceof TlsError) && !(error instanceof NetworkError)) throw error;
    info(`SSL_connect error to ${server}: ${printable(error.message)}`);
    const failure = localFailure("site", true, "4.7.5", "Cannot start TLS: handshake failure", session.name);
    return failed(failure, "validation-failure");
  }
  const judgement = judgeServer(handshake.chain, tls.demand, tls.anchors, Date.now(), configuration.depth);
  const verified = judgement.matched && tls.level !== "half-dane";
  session.security = { ...handshake, judgement, verified };
  if (configuration.logLevel >= 2 && judgement.leaf !== undefined) {
    info(`${server}: ${certificateText(judgement, judgement.leaf, configuration.digest)}`);
  }
  if (configuration.logLevel >= 1) tellResult(session.security, server, info);
  if (tls.demand.kind === "none" || judgement.matched) return undefined;
  if (tls.requireTls === "enforce") {
    const text = `REQUIRETLS was asked for, but the certificate of host ${session.label} is not verified`;
    return failed(requireTlsFailure("5.7.10", text, session.name), faultOf(judgement));
  }
  const text = "Server certificate not verified";
  return failed(localFailure("site", true, "4.7.5", text, session.name), faultOf(judgement));
}

/** Postfix's words about a certificate. */
function certificateText(
  { subject, issuer }: CertificateJudgement,
  { raw, key }: Certificate,
  digest: FingerprintDigest,
): string {
  return `subject_CN=${subject}, issuer_CN=${issuer}, fingerprint=${fingerprintOf(digest, raw)}, ` +
    `pkey_fingerprint=${fingerprintOf(digest, key)}`;
}

/** Postfix's lines about a handshake. */
function tellResult(security: SessionSecurity, server: string, info: (text: string) => void): void {
  const { judgement, version, cipher, verified } = security;
  if (judgement.why !== "") info(`certificate verification failed for ${server}: ${judgement.why}`);
  const bits = cipherBits(cipher);
  info(
    `${trustWord(judgement, verified)} TLS connection established to ${server}: ` +
      `${version} with cipher ${cipher} (${bits}/${bits} bits)`,
  );
}

/** How much a connection is worth, in Postfix's word. */
export function trustWord(judgement: CertificateJudgement, verified: boolean): string {
  if (!judgement.present) return "Anonymous";
  if (verified) return "Verified";
  // What is not the certificate that was demanded is not worth more because somebody vouches for it.
  return judgement.trusted && judgement.why === "" ? "Trusted" : "Untrusted";
}

function faultOf({ why, trusted }: CertificateJudgement): TlsFault {
  if (why === "certificate has expired") return "certificate-expired";
  return trusted ? "certificate-host-mismatch" : "certificate-not-trusted";
}
