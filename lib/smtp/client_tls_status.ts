/**
 * What the log line of a delivery says of TLS and REQUIRETLS, `tls=LEVEL/requiretls` in Postfix's words (postconf(5),
 * smtp_log_tls_feature_status): behind a colon what was made do with, `!` before what ruled a server out, `?` behind what
 * did not come to a decision.
 *
 * @module
 */
import { demandsTls, type PolicyGap, policyGap, type RequireTlsLevel } from "./client_requiretls.ts";
import type { Features } from "./ehlo.ts";
import type { DestinationTls, HostLevel, HostTls } from "./client_tls_policy.ts";
import type { TlsFault } from "./client_tls_session.ts";

/** How far a host was come with. */
export type TlsStage =
  /** It was not connected to, or the conversation broke off before anything was decided. */
  | "undecided"
  /** Mail may be sent. */
  | "ready"
  /** TLS, or what REQUIRETLS demands beside, ruled it out. */
  | TlsFault
  | "requiretls-not-offered"
  | PolicyGap;

/** A connection, as far as it counts here. */
export interface TlsStatusSession {
  readonly security: unknown;
  readonly features: Pick<Features, "requireTls">;
}

/** The status of a host. */
export function tlsStatus(
  wanted: DestinationTls,
  tls: HostTls,
  stage: TlsStage,
  session?: TlsStatusSession,
): string {
  const { requireTls } = tls;
  const level = levelStatus(wanted, tls, stage, session);
  return requireTls === undefined ? level : `${level}/${requireTlsStatus(tls, requireTls, stage, session)}`;
}

/** The status of a destination of which no host is known. */
export function undecidedStatus(wanted: DestinationTls, requireTls: RequireTlsLevel | undefined): string {
  if (wanted.kind === "invalid") return "";
  const level = wanted.level === "none" ? "none" : `${wanted.level}?`;
  return requireTls === undefined ? level : `${level}/requiretls?`;
}

function levelStatus(
  wanted: DestinationTls,
  { level: found, required }: HostTls,
  stage: TlsStage,
  session: TlsStatusSession | undefined,
): string {
  if (found === "none") return "none";
  const asked = wanted.kind === "wanted" && wanted.level.startsWith("dane") ? wanted.level : found;
  if (stage === "starttls-not-supported" && required) return `!${word(asked)}:nostarttls`;
  if (stage.startsWith("certificate-")) return `!${word(asked)}:nocertmatch`;
  const decided = stage === "ready" || stage === "requiretls-not-offered";
  if (session === undefined || !decided) return `${word(asked)}?`;
  const final = session.security === undefined ? "none" : found;
  return final === asked ? word(asked) : `${word(asked)}:${word(final)}`;
}

function word(level: HostLevel): string {
  return level === "half-dane" ? "halfdane" : level;
}

function requireTlsStatus(
  tls: HostTls,
  requireTls: RequireTlsLevel,
  stage: TlsStage,
  session: TlsStatusSession | undefined,
): string {
  const fails = demandsTls(requireTls);
  if (stage === "noencryption" || stage === "nocertmatch") return `!requiretls:${stage}`;
  if (stage === "requiretls-not-offered") return "!requiretls:none";
  if (stage === "starttls-not-supported") return fails ? "!requiretls:nostarttls" : "requiretls:none";
  if (stage.startsWith("certificate-") && requireTls === "enforce") return "!requiretls:nocertmatch";
  if (stage !== "ready" || session === undefined) return "requiretls?";
  if (session.security === undefined || !session.features.requireTls) return "requiretls:none";
  return policyGap(tls, "enforce") === undefined ? "requiretls" : "requiretls:nocertmatch";
}
