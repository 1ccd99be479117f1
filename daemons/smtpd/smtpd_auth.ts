/**
 * AUTH (RFC 4954), and AUTH= of MAIL.
 */
// Utility
import type { InputLine } from "../../lib/stream/input_buffer.ts";
import { asciiUpper, splitBlanks } from "../../lib/vstring/ascii.ts";
import { decodeBase64, encodeBase64 } from "../../lib/vstring/base64.ts";
import { decodeText } from "../../lib/vstring/byte_builder.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { decodeXtext } from "../../lib/mail/xtext.ts";
// Wire protocols
import type { SaslStep, ServerExchange } from "../../lib/sasl/server_exchange.ts";
// Access
import type { ReplyText } from "../../lib/access/reply.ts";
// This program
import { REPLY } from "./smtpd_reply.ts";
import type { Session } from "./smtpd_session.ts";

/** What a client answers when it is asked for something that is no command; a line is valid during the call only. */
export type Answer = InputLine | { readonly kind: "gone" };

/** Text of a mechanism, a reason or a login name in the log, UTF-16 units. */
const LOGGED = 100;
/** Longest AUTH= of MAIL as it is sent, characters. */
const SENDER_LIMIT = 1024;
/** A response that is empty (RFC 4954 section 4). */
const EMPTY_RESPONSE = "=";
const CANCEL = "*";
const BAD_INITIAL = "Invalid base64 data in initial response";
const BAD_RESPONSE = "Invalid base64 data in continued response";

/** The keywords of EHLO that offer AUTH; undefined: none without asking anybody. */
export function authKeywords(session: Session): Promise<string[]> | undefined {
  const { sasl, settings } = session.server;
  if (sasl === undefined || !sasl.isActive(session)) return undefined;
  return sasl.mechanisms(session).then((names) => {
    if (names.length === 0) return [];
    const list = names.join(" ");
    return settings.broken_sasl_auth_clients ? [`AUTH ${list}`, `AUTH=${list}`] : [`AUTH ${list}`];
  });
}

/** The command. */
export function auth(session: Session, argument: Uint8Array): ReplyText | Promise<ReplyText | undefined> {
  const { sasl } = session.server;
  if (session.greeting === undefined) return REPLY.heloFirst;
  if (sasl === undefined || !sasl.isActive(session)) return REPLY.authDisabled;
  // RFC 4954 section 4: not in a mail transaction, and not twice.
  if (session.transaction !== undefined) return REPLY.authInMail;
  if (session.sasl !== undefined) return REPLY.authTwice;
  const [mechanism, initial, ...rest] = splitBlanks(decodeText(argument));
  if (mechanism === undefined || rest.length > 0) return REPLY.authSyntax;
  const refused = session.anvil.countAuth();
  if (!(refused instanceof Promise)) return refused ?? authenticate(session, asciiUpper(mechanism), initial);
  return refused.then((reply) => reply ?? authenticate(session, asciiUpper(mechanism), initial));
}

async function authenticate(
  session: Session,
  mechanism: string,
  initial: string | undefined,
): Promise<ReplyText | undefined> {
  const first = initial === undefined ? undefined : readResponse(initial === EMPTY_RESPONSE ? "" : initial);
  if (first === null) return refuse(session, mechanism, { kind: "failure", why: BAD_INITIAL });
  const { exchange, step } = await session.server.sasl!.start(session, mechanism, first);
  return await converse(session, mechanism, exchange, step);
}

/** Challenges and responses until it is decided. */
async function converse(
  session: Session,
  mechanism: string,
  exchange: ServerExchange,
  begun: SaslStep,
): Promise<ReplyText | undefined> {
  const { smtpd_sasl_response_limit } = session.server.settings;
  for (let step = begun;;) {
    if (step.kind === "success") return accept(session, mechanism, step.username);
    if (step.kind !== "challenge") return refuse(session, mechanism, step);
    // RFC 4954 section 4: a challenge is 334 with base64.
    const answer = await session.ask(`334 ${encodeBase64(step.data)}`, smtpd_sasl_response_limit);
    if (answer.kind !== "line") {
      exchange.cancel();
      return answer.kind === "gone" ? undefined : REPLY.authTooLong;
    }
    const text = decodeText(answer.bytes);
    if (text === CANCEL) {
      // RFC 4954 section 4: a client that answers "*" has broken it off, which is 501.
      exchange.cancel();
      session.log.warning(`${session.client}: SASL ${printable(mechanism, LOGGED)} authentication aborted`);
      return REPLY.authAborted;
    }
    const response = readResponse(text);
    if (response === null) {
      exchange.cancel();
      return refuse(session, mechanism, { kind: "failure", why: BAD_RESPONSE });
    }
    step = await exchange.respond(response);
  }
}

/** The bytes of a response; null when it is no base64. */
function readResponse(text: string): Uint8Array | null {
  return decodeBase64(text) ?? null;
}

function accept(session: Session, method: string, username: string): ReplyText | undefined {
  if (session.isOver) return undefined;
  session.sasl = { method, username };
  const { local_header_rewrite_clients } = session.server.settings;
  if (local_header_rewrite_clients.includes("permit_sasl_authenticated")) session.local = true;
  return REPLY.authDone;
}

function refuse(
  session: Session,
  mechanism: string,
  step: Extract<SaslStep, { kind: "failure" | "trouble" }>,
): ReplyText {
  const why = printable(step.why, LOGGED * 3) || "(reason unavailable)";
  const username = step.kind === "failure" && step.username !== undefined
    ? printable(step.username, LOGGED)
    : "(unavailable)";
  session.log.warning(
    `${session.client}: SASL ${printable(mechanism, LOGGED)} authentication failed: ${why}, ` +
      `sasl_username=${username}`,
  );
  // RFC 4954 section 6: 535 for credentials that are wrong, 454 for a trouble that may pass.
  return step.kind === "trouble"
    ? `454 4.7.0 Temporary authentication failure: ${why}`
    : `535 5.7.8 Error: authentication failed: ${why}`;
}

/** What MAIL says of the submitter, as it was sent. */
export function readSubmitter(session: Session, value: string): string {
  // RFC 4954 section 5: what is no address in xtext counts as "<>", and so does what a client says that nobody knows.
  const valid = value.length <= SENDER_LIMIT && (decodeXtext(value) ?? "") !== "";
  return valid && session.sasl !== undefined ? printable(value, SENDER_LIMIT) : "<>";
}
