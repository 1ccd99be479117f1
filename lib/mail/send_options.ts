/**
 * What a message demands of the way that it goes, as bits: in the size record of its queue file, and with it to the
 * agents and into reports (Postfix's sendopts).
 *
 * @module
 */

/** The sender asked for SMTPUTF8 (Postfix: SOPT_SMTPUTF8_REQUESTED). */
export const SENDOPT_SMTPUTF8_REQUESTED = 1;
/** A header, the sender, a recipient is not ASCII. */
export const SENDOPT_SMTPUTF8_HEADER = 2;
export const SENDOPT_SMTPUTF8_SENDER = 4;
export const SENDOPT_SMTPUTF8_RECIPIENT = 8;
/** Any of those: the message has something that only SMTPUTF8 can carry. */
export const SENDOPT_SMTPUTF8_DERIVED: number = SENDOPT_SMTPUTF8_HEADER | SENDOPT_SMTPUTF8_SENDER |
  SENDOPT_SMTPUTF8_RECIPIENT;
/** The message has the header "TLS-Required: no" (RFC 8689 section 3; Postfix: SOPT_REQUIRETLS_HEADER). */
export const SENDOPT_TLS_NOT_REQUIRED = 16;
/** The sender asked for REQUIRETLS (RFC 8689 section 2; Postfix: SOPT_REQUIRETLS_ESMTP). */
export const SENDOPT_REQUIRETLS = 32;

/** Every bit that there is. */
export const SENDOPT_ALL: number = SENDOPT_SMTPUTF8_REQUESTED | SENDOPT_SMTPUTF8_DERIVED |
  SENDOPT_TLS_NOT_REQUIRED | SENDOPT_REQUIRETLS;

/** RFC 6531 section 3.4: mail that was offered with SMTPUTF8 and turned out not to need it goes on without. */
export function needsUtf8(sendOptions: number): boolean {
  return (sendOptions & SENDOPT_SMTPUTF8_REQUESTED) !== 0 && (sendOptions & SENDOPT_SMTPUTF8_DERIVED) !== 0;
}

/** Parameters that say which of the sender's wishes about TLS are heard. */
export interface TlsWishSettings {
  readonly requiretls_enable: boolean;
  readonly tls_required_enable: boolean;
}

/** What the sender wants of TLS; REQUIRETLS overrides "TLS-Required: no" (RFC 8689 section 3). */
export type TlsWish = "none" | "required" | "not required";

/** The sender's wish, as far as it is heard. */
export function tlsWish(sendOptions: number, settings: TlsWishSettings): TlsWish {
  if (settings.requiretls_enable && (sendOptions & SENDOPT_REQUIRETLS) !== 0) return "required";
  if (settings.tls_required_enable && (sendOptions & SENDOPT_TLS_NOT_REQUIRED) !== 0) return "not required";
  return "none";
}
