/**
 * The commands: one row each, with what it does. A row returns its reply, or a promise of it; undefined when it
 * has replied itself.
 */
// Utility
import { asciiLower, asciiUpper, COLON, isBlank, parseDecimal } from "../../lib/vstring/ascii.ts";
import { decodeText, isUtf8 } from "../../lib/vstring/byte_builder.ts";
// Mail
import { headerNameLength } from "../../lib/mail/header.ts";
import { parsePathArgument, type PathParameter, type PathResult } from "../../lib/mail/path.ts";
// Access
import { type ReplyText, shown } from "../../lib/access/reply.ts";
// This program
import { hides } from "./smtpd_client.ts";
import { auth, readSubmitter } from "./smtpd_auth.ts";
import { bdat } from "./smtpd_bdat.ts";
import { ehloReply, takesRequireTls, takesUtf8 } from "./smtpd_ehlo.ts";
import { etrn } from "./smtpd_etrn.ts";
import { type MailOptions, type RecipientOptions, takeMailNotice, takeRecipientNotice } from "./smtpd_dsn.ts";
import { cleanupFlagsOf, heloWithMilters, mailWithMilters, rcptWithMilters } from "./smtpd_milter.ts";
import { REPLY } from "./smtpd_reply.ts";
import type { Session } from "./smtpd_session.ts";
import { startTls } from "./smtpd_tls.ts";
import { askText, receiveText } from "./smtpd_text.ts";
import type { Transaction } from "./smtpd_transaction.ts";
import { xclient } from "./smtpd_xclient.ts";
import { xforward } from "./smtpd_xforward.ts";

type Result = ReplyText | undefined | Promise<ReplyText | undefined>;

/** A command. */
export interface Command {
  readonly name: string;
  /** More input may not follow it in the same group (RFC 2920). */
  readonly last: boolean;
  /** It is taken before TLS where TLS is demanded. */
  readonly beforeTls?: true;
  run(session: Session, argument: Uint8Array): Result;
}

/** A command line taken apart, or what else it is. */
export type CommandLine =
  | {
    readonly kind: "command";
    readonly verb: string;
    readonly argument: Uint8Array;
    /** The line is a header: message text, and no SMTP. */
    readonly header: boolean;
  }
  | { readonly kind: "badUtf8" }
  | { readonly kind: "empty" };

/** Takes a command line apart: the verb ends at the first blank. */
export function readCommand(line: Uint8Array): CommandLine {
  let start = 0;
  while (start < line.length && isBlank(line[start]!)) start++;
  let end = start;
  while (end < line.length && !isBlank(line[end]!)) end++;
  if (!isUtf8(line)) return { kind: "badUtf8" };
  if (end === start) return { kind: "empty" };
  const verb = asciiUpper(decodeText(line.subarray(start, end)));
  const header = headerNameLength(line, start, end) > 0;
  while (end < line.length && isBlank(line[end]!)) end++;
  let tail = line.length;
  while (tail > end && isBlank(line[tail - 1]!)) tail--;
  return { kind: "command", verb, argument: line.subarray(end, tail), header };
}

/** The command of a verb in capitals. */
export function findCommand(verb: string): Command | undefined {
  return COMMANDS.get(verb);
}

/** Runs a command. */
export function runCommand(session: Session, command: Command, argument: Uint8Array): Result {
  return command.run(session, argument);
}

/** By verb, in the order in which a session's counts are logged. */
const COMMANDS: ReadonlyMap<string, Command> = new Map(
  ([
    { name: "HELO", last: true, beforeTls: true, run: helo },
    { name: "EHLO", last: true, beforeTls: true, run: ehlo },
    { name: "STARTTLS", last: true, beforeTls: true, run: startTls },
    { name: "AUTH", last: true, run: auth },
    { name: "XCLIENT", last: true, beforeTls: true, run: xclient },
    { name: "XFORWARD", last: true, run: xforward },
    { name: "MAIL", last: false, run: mail },
    { name: "RCPT", last: false, run: rcpt },
    { name: "DATA", last: true, run: data },
    { name: "BDAT", last: false, run: bdat },
    { name: "RSET", last: false, run: rset },
    { name: "NOOP", last: true, beforeTls: true, run: noop },
    { name: "VRFY", last: true, run: vrfy },
    { name: "ETRN", last: true, run: etrn },
    { name: "QUIT", last: true, beforeTls: true, run: () => REPLY.bye },
  ] satisfies Command[]).map((command) => [command.name, command]),
);

/** The names under which commands are counted, in the order of the log. */
export const COUNTED: readonly string[] = [
  ...[...COMMANDS.keys()].map((verb) => asciiLower(verb)),
  "unknown",
];

/** Longest HELO name that is kept, bytes (RFC 1035 section 2.3.4). */
const HELO_LIMIT = 255;

/** A HELO name as it is kept: what could be mistaken for syntax elsewhere, or is no character of a name, becomes `?`. */
function heloName(argument: Uint8Array): string {
  let out = "";
  for (const byte of argument.subarray(0, HELO_LIMIT)) {
    const character = String.fromCharCode(byte);
    out += byte <= 0x20 || byte >= 0x7f || '<>()\\";@'.includes(character) ? "?" : character;
  }
  return out;
}

function greet(session: Session, argument: Uint8Array, verb: "HELO" | "EHLO"): Result {
  if (argument.length === 0) return `501 Syntax: ${verb} hostname`;
  session.errors.junk();
  // RFC 5321 section 4.1.4: a later HELO or EHLO ends the transaction like RSET.
  session.resetTransaction();
  session.greeting = { name: heloName(argument), esmtp: verb === "EHLO" };
  return undefined;
}

function helo(session: Session, argument: Uint8Array): Result {
  const refused = greet(session, argument, "HELO");
  const welcome = `250 ${session.server.settings.myhostname}`;
  if (refused !== undefined) return refused;
  if (!session.server.access.judgesHelo) return heloWithMilters(session, "HELO", welcome);
  return judgeHelo(session, "HELO").then((reply) => reply ?? heloWithMilters(session, "HELO", welcome));
}

/** Where the HELO name is judged at once, a refused one has not been said. */
async function judgeHelo(session: Session, verb: "HELO" | "EHLO"): Promise<ReplyText | undefined> {
  const refused = await session.server.access.checkHelo(session, verb);
  if (refused !== undefined) session.greeting = undefined;
  return refused;
}

function ehlo(session: Session, argument: Uint8Array): Result {
  const refused = greet(session, argument, "EHLO");
  if (refused !== undefined) return refused;
  const welcome = () => heloWithMilters(session, "EHLO", ehloReply(session));
  if (!session.server.access.judgesHelo) return welcome();
  return judgeHelo(session, "EHLO").then((reply) => reply ?? welcome());
}

function mail(session: Session, argument: Uint8Array): Result {
  const { settings } = session.server;
  if (settings.smtpd_helo_required && session.greeting === undefined) return REPLY.heloFirst;
  if (session.transaction !== undefined) return REPLY.nestedMail;
  if (session.chunks !== "none") return REPLY.mailAfterBdat;
  const path = parsePathArgument(argument, "from", {
    strict: settings.strict_rfc821_envelopes,
    utf8: settings.smtputf8_enable,
  });
  if (path.kind === "bad") return badPath(path, REPLY.mailSyntax, REPLY.badSender);
  const asked = path.parameters.some(({ keyword }) => keyword === "SMTPUTF8");
  if (path.utf8 && !asked && settings.strict_smtputf8) return REPLY.needsUtf8;
  const refused = session.anvil.countMessage();
  const said = session.server.kept(argument);
  const result = refused instanceof Promise
    ? refused.then((reply) => reply ?? mailFrom(session, path, said))
    : refused ?? mailFrom(session, path, said);
  return session.milters === undefined ? result : mailWithMilters(session, session.milters, argument, result);
}

/** MAIL whose syntax is right. */
function mailFrom(
  session: Session,
  path: Extract<PathResult, { kind: "path" }>,
  said: string,
): Result {
  if (path.parameters.length === 0) return beginMail(session, path.address, undefined, said);
  const verp = path.parameters.some(({ keyword }) => keyword === "XVERP") &&
    session.server.allowsVerp(session.peer);
  return typeof verp === "boolean"
    ? mailWith(session, path, verp, said)
    : verp.then((may) => mailWith(session, path, may, said));
}

/** MAIL with parameters. */
function mailWith(
  session: Session,
  path: Extract<PathResult, { kind: "path" }>,
  verp: boolean,
  said: string,
): Result {
  const options: MailOptions = {
    eightBit: false,
    utf8: false,
    requireTls: false,
    envelopeId: "",
    ret: 0,
    size: 0,
    verp: "",
    submitter: "",
  };
  const { settings } = session.server;
  const allowed = { dsn: !hides(session, "DSN"), verp: verp && !hides(session, "XVERP") };
  for (const parameter of path.parameters) {
    const taken = takeMailNotice(parameter, path.address, options, settings, allowed);
    const problem = taken === undefined ? mailParameter(session, parameter, options) : taken;
    if (problem !== undefined && problem !== "taken") return problem;
  }
  return beginMail(session, path.address, options, said);
}

function beginMail(
  session: Session,
  sender: string,
  options: MailOptions | undefined,
  said: string,
): Result {
  const transaction = session.server.newTransaction(session, sender, options, said);
  transaction.standing = session.access.next();
  const { access } = session.server;
  if (!access.judgesSender) return startTransaction(session, transaction);
  return access.checkSender(session, transaction).then((refused) =>
    refused ?? startTransaction(session, transaction)
  );
}

function startTransaction(session: Session, transaction: Transaction): ReplyText {
  session.transaction = transaction;
  // Those who are ours mostly send what they begin: the queue file is made while they name the recipients. For
  // strangers, who mostly are refused, it waits for a recipient that is taken.
  if (session.trusted) transaction.open(session.server.cleanup, cleanupFlagsOf(session));
  return REPLY.mailOk;
}

/** Why an argument cannot be used. */
function badPath(
  { what }: Extract<PathResult, { kind: "bad" }>,
  syntax: ReplyText,
  badAddress: ReplyText,
): ReplyText {
  // RFC 6531 section 3.3: an address that is not ASCII takes SMTPUTF8, which is not offered here.
  if (what === "utf8") return REPLY.needsUtf8;
  return what === "path" ? badAddress : syntax;
}

function unsupported({ keyword, value }: PathParameter): ReplyText {
  return `555 5.5.4 Unsupported option: ${shown(value === undefined ? keyword : `${keyword}=${value}`)}`;
}

function mailParameter(
  session: Session,
  parameter: PathParameter,
  options: MailOptions,
): ReplyText | undefined {
  const { keyword, value } = parameter;
  const { settings } = session.server;
  if (keyword === "SIZE") {
    const size = parseDecimal(value ?? "");
    if (size === undefined) return "501 5.5.4 Bad message size syntax";
    options.size = size;
    // RFC 1870 section 6.1: a message that is declared too large may be refused at once.
    return settings.message_size_limit > 0 && size > settings.message_size_limit
      ? REPLY.sizeExceeded
      : undefined;
  }
  if (keyword === "BODY") {
    const body = asciiUpper(value ?? "");
    options.eightBit = body === "8BITMIME";
    return body === "7BIT" || body === "8BITMIME" ? undefined : "501 5.5.4 Error: unknown BODY type";
  }
  if (keyword === "SMTPUTF8" && value === undefined && takesUtf8(session)) {
    options.utf8 = true;
    return undefined;
  }
  if (keyword === "REQUIRETLS" && value === undefined && takesRequireTls(session)) {
    options.requireTls = true;
    return undefined;
  }
  if (keyword === "AUTH") {
    options.submitter = readSubmitter(session, value ?? "");
    return undefined;
  }
  return unsupported(parameter);
}

function rcpt(session: Session, argument: Uint8Array): Result {
  const { settings } = session.server;
  const transaction = session.transaction;
  if (session.chunks !== "none") return REPLY.rcptAfterBdat;
  if (transaction === undefined) return REPLY.needMail;
  const path = parsePathArgument(argument, "to", {
    strict: settings.strict_rfc821_envelopes,
    utf8: settings.smtputf8_enable,
  });
  if (path.kind === "bad") return badPath(path, REPLY.rcptSyntax, REPLY.badRecipient);
  if (path.utf8 && transaction.options?.utf8 !== true && settings.strict_smtputf8) return REPLY.needsUtf8;
  const refused = session.anvil.countRecipient();
  const said = session.server.kept(argument);
  return refused instanceof Promise
    ? refused.then((reply) => reply ?? rcptTo(session, transaction, path, argument, said))
    : refused ?? rcptTo(session, transaction, path, argument, said);
}

/** RCPT whose syntax is right. */
function rcptTo(
  session: Session,
  transaction: Transaction,
  path: Extract<PathResult, { kind: "path" }>,
  argument: Uint8Array,
  said: string,
): Result {
  const { settings } = session.server;
  if (path.address === "") return REPLY.badRecipient;
  let options: RecipientOptions | undefined;
  for (const parameter of path.parameters) {
    options ??= { notify: 0, original: "" };
    const taken = takeRecipientNotice(parameter, options, !hides(session, "DSN"));
    if (taken !== "taken") return taken ?? unsupported(parameter);
  }
  if (transaction.recipients.length >= settings.smtpd_recipient_limit) {
    // RFC 5321 section 4.5.3.1.10: too many recipients are a soft refusal; a little beyond is no offence.
    transaction.overshoot++;
    if (transaction.overshoot <= settings.smtpd_recipient_overshoot_limit) {
      session.reply(REPLY.tooManyRecipients);
    }
    return transaction.overshoot <= settings.smtpd_recipient_overshoot_limit
      ? undefined
      : REPLY.tooManyRecipients;
  }
  const accept = () => {
    // The transaction may have ended while the question was open.
    if (session.transaction !== transaction) return REPLY.needMail;
    transaction.add(path.address, options);
    transaction.open(session.server.cleanup, cleanupFlagsOf(session));
    return REPLY.rcptOk;
  };
  const take = (): ReplyText | Promise<ReplyText> => {
    const offered = transaction.offerRecipient?.(said);
    return offered === undefined ? accept() : offered.then((refusal) => refusal ?? accept());
  };
  const { access } = session.server;
  const known = access.knownRecipient(session, path.address);
  if (known && session.milters === undefined) return take();
  const check = known ? undefined : access.checkRecipient(session, "RCPT", path.address);
  return session.milters === undefined
    ? check!.then((refusal) => refusal ?? take())
    : rcptWithMilters(session.milters, path.address, argument, check, take);
}

function data(session: Session, argument: Uint8Array): Result {
  const transaction = session.transaction;
  if (session.chunks !== "none") return REPLY.dataAfterBdat;
  if (argument.length > 0) return "501 5.5.4 Syntax: DATA";
  if (transaction === undefined || transaction.recipients.length === 0) {
    // A client that pipelined DATA behind refused recipients is told so in a way that it understands.
    return transaction === undefined ? REPLY.needRcpt : REPLY.noRecipients;
  }
  // Mostly nothing has to be asked, and with several recipients the id has come by now.
  if (transaction.id !== "" && session.server.access.dataFree && session.milters === undefined) {
    return receiveText(session, transaction);
  }
  return askText(session, transaction).then((refusal) => refusal ?? receiveText(session, transaction));
}

function rset(session: Session): Result {
  session.errors.junk();
  session.resetTransaction();
  return REPLY.ok;
}

function noop(session: Session): Result {
  session.errors.junk();
  return REPLY.ok;
}

/** VRFY says only whether mail would be taken, in the client's own words, and touches no transaction. */
function vrfy(session: Session, argument: Uint8Array): Result {
  const { settings } = session.server;
  session.errors.junk();
  if (settings.disable_vrfy_command) return REPLY.vrfyDisabled;
  if (argument.length === 0) return "501 5.5.4 Syntax: VRFY address";
  const target = wrapped(argument);
  const path = parsePathArgument(target, "to", { strict: false, utf8: settings.smtputf8_enable });
  if (path.kind === "bad") return badPath(path, REPLY.badRecipient, REPLY.badRecipient);
  // RFC 6531 section 3.7.4.2: VRFY may have SMTPUTF8 behind the address.
  const [parameter, ...more] = path.parameters;
  const asked = parameter?.keyword === "SMTPUTF8" && takesUtf8(session);
  if (path.address === "" || more.length > 0 || (parameter !== undefined && !asked)) {
    return REPLY.badRecipient;
  }
  if (path.utf8 && !asked && settings.strict_smtputf8) return REPLY.needsUtf8;
  const text = decodeText(argument);
  return session.server.access.checkRecipient(session, "VRFY", path.address).then((refusal) =>
    refusal ?? `252 2.0.0 ${shown(asked ? text.slice(0, text.lastIndexOf(" ")).trimEnd() : text)}`
  );
}

/** `VRFY user` and `VRFY <user>` as the argument of RCPT. */
function wrapped(argument: Uint8Array): Uint8Array {
  const out = new Uint8Array(argument.length + 3);
  out.set([0x74, 0x6f, COLON]); // "to:"
  out.set(argument, 3);
  return out;
}
