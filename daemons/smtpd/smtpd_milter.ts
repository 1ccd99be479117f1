/**
 * The filters (milters) of one session: what they are told at each command, and what their verdicts mean for the client.
 * The content of messages is told them by cleanup, through smtpd_milter_relay.ts.
 */
// Utility
import type { Logger } from "../../lib/log/log.ts";
import { COLON, isBlank } from "../../lib/vstring/ascii.ts";
import { decodeText } from "../../lib/vstring/byte_builder.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { quoteAddress } from "../../lib/mail/address.ts";
// Wire protocols
import type { MilterParts } from "../../lib/milter/milter.ts";
import { milterConnector } from "../../lib/milter/milter_connect.ts";
import { MilterList } from "../../lib/milter/milter_list.ts";
import { macroDefaults, macroLists } from "../../lib/milter/milter_macro.ts";
import { type MilterVerdict, SHUTDOWN_REPLY } from "../../lib/milter/milter_reply.ts";
import { clientMilters, type MilterRule, parseMilters } from "../../lib/milter/milter_rule.ts";
// Server skeleton
import { CLEANUP_FLAG } from "../../lib/proto/protocols.ts";
// Access
import type { Peer } from "../../lib/access/peer.ts";
import type { ReplyText } from "../../lib/access/reply.ts";
// This program
import type { Command } from "./smtpd_commands.ts";
import { REPLY } from "./smtpd_reply.ts";
import type { SmtpdServices } from "./smtpd_settings.ts";
import type { Session } from "./smtpd_session.ts";

/** Values of macros of the command that is looked at. */
type MacroValues = Readonly<Record<string, string>>;

const NO_VALUES: MacroValues = {};
const DOUBLE_QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** What the filters of all sessions have in common. */
export class SmtpdMilters {
  readonly #services: SmtpdServices;
  readonly #parts: MilterParts;
  readonly #rules: readonly MilterRule[];
  readonly #byClient: boolean;

  /** Throws a MilterRuleError. */
  constructor(services: SmtpdServices, log: Logger) {
    const { settings, socketOf = () => undefined } = services;
    this.#services = services;
    this.#rules = parseMilters(settings.smtpd_milters, settings);
    this.#byClient = settings.smtpd_milter_maps.length > 0;
    this.#parts = {
      connect: milterConnector(socketOf),
      macros: macroLists(settings),
      defaults: macroDefaults(settings.milter_macro_defaults),
      log,
    };
  }

  /** What filters there are for SMTP clients; undefined: none. */
  static from(services: SmtpdServices, log: Logger): SmtpdMilters | undefined {
    const { settings } = services;
    const some = settings.smtpd_milters.length > 0 || settings.smtpd_milter_maps.length > 0;
    return some && !settings.receive_override_options.includes("no_milters")
      ? new SmtpdMilters(services, log)
      : undefined;
  }

  /** The filters of a client, which have seen its connection; undefined: none. */
  async open(session: Session): Promise<SessionMilters | undefined> {
    const rules = this.#byClient ? await this.#rulesFor(session) : this.#rules;
    if (rules.length === 0) return undefined;
    const milters = new SessionMilters(session, rules, this.#parts);
    await milters.connected();
    return milters;
  }

  /** A table that cannot be asked might have named a filter: then the configured ones look at the client. */
  async #rulesFor({ peer, log }: Session): Promise<readonly MilterRule[]> {
    const { maps, settings } = this.#services;
    const found = await maps.find("smtpd_milter_maps", "key", peer.address);
    return clientMilters(
      found,
      this.#rules,
      settings,
      (text) => log.warning(`smtpd_milter_maps: ${printable(text)}`),
    );
  }
}

/** What cleanup does with the client's mail, CLEANUP_FLAG bits. */
export function cleanupFlagsOf({ milters, server }: Session): number {
  return milters === undefined
    ? server.cleanupFlags & ~CLEANUP_FLAG.MILTER
    : server.cleanupFlags | CLEANUP_FLAG.SMTP_REPLY;
}

/** The greeting's reply, which filters may have a say in. */
export function heloWithMilters(
  session: Session,
  verb: "HELO" | "EHLO",
  usual: ReplyText | undefined | Promise<ReplyText | undefined>,
): ReplyText | undefined | Promise<ReplyText | undefined> {
  const { milters } = session;
  if (milters === undefined) return usual;
  return Promise.resolve(usual).then((reply) =>
    reply === undefined ? undefined : milters.helo(verb, session.greeting!.name, reply)
  );
}

/** MAIL that we would accept is for the filters to accept. */
export async function mailWithMilters(
  session: Session,
  milters: SessionMilters,
  argument: Uint8Array,
  ours: ReplyText | undefined | Promise<ReplyText | undefined>,
): Promise<ReplyText | undefined> {
  const reply = await ours;
  const { transaction } = session;
  if (reply !== REPLY.mailOk || transaction === undefined) return reply;
  const refusal = await milters.mail(transaction.sender, argument);
  if (refusal !== undefined) session.resetTransaction();
  return refusal ?? reply;
}

/** A command that we do not know, for the filters to say something to. */
export function unknownCommand(milters: SessionMilters | undefined, line: Uint8Array): Command | undefined {
  if (milters === undefined) return undefined;
  const start = line.findIndex((byte) => !isBlank(byte));
  const end = line.findIndex((byte, at) => at > start && isBlank(byte));
  const verb = line.slice(start, end < 0 ? line.length : end);
  const run = async () => await milters.unknown(verb) ?? REPLY.unknownCommand;
  return { name: "UNKNOWN", last: false, beforeTls: true, run };
}

/** A recipient that we would accept is for the filters to accept; some want to hear of the others too. */
export async function rcptWithMilters(
  milters: SessionMilters,
  recipient: string,
  argument: Uint8Array,
  ours: Promise<ReplyText | undefined> | undefined,
  accept: () => ReplyText | Promise<ReplyText>,
): Promise<ReplyText> {
  const refusal = await ours;
  if (refusal === undefined) return await milters.rcpt(recipient, argument) ?? await accept();
  await milters.rejectedRcpt(argument, refusal);
  return refusal;
}

/** The filters of one session. Each call waits for the one before it: a filter hears one thing at a time. */
export class SessionMilters {
  readonly list: MilterList;
  #session: Session;
  readonly #daemonName: string;
  readonly #version: string;
  #last: Promise<unknown> = Promise.resolve();
  /** In the place of the usual one. */
  greeting: ReplyText | undefined;
  /** CLEANUP_FLAG bits of all messages of the session, and of the message that is under way. */
  #sessionFlags = 0;
  #messageFlags = 0;
  /** DATA was said. */
  #atData = false;
  /** Macros that a message gathers: sender and the last recipient. */
  #mail: MacroValues = NO_VALUES;
  #rcpt: MacroValues = NO_VALUES;

  constructor(
    session: Session,
    rules: readonly MilterRule[],
    parts: MilterParts,
  ) {
    const { settings } = session.server;
    this.#session = session;
    this.#daemonName = settings.milter_macro_daemon_name;
    this.#version = settings.milter_macro_v;
    this.list = new MilterList(rules, parts);
  }

  /** The session goes on as another one of the same client, as under TLS. */
  serve(session: Session): this {
    this.#session = session;
    return this;
  }

  /** The filters for the session that comes next: for another client these are of no use, and are taken leave of. */
  handOver(peer: Peer): this | undefined {
    if (peer === this.#session.peer) return this;
    this.quit();
    return undefined;
  }

  /** CLEANUP_FLAG bits that filters have asked for. */
  get flags(): number {
    return this.#sessionFlags | this.#messageFlags;
  }

  /** The client has connected. */
  async connected(): Promise<void> {
    const { peer } = this.#session;
    const reply = await this.#ask("CONNECT", () => this.list.connected(peer, this.macro));
    this.#keepHold();
    if (reply === undefined) return;
    const { myhostname } = this.#session.server.settings;
    if (reply.startsWith("5")) this.greeting = `554 ${myhostname} ESMTP not accepting connections`;
    // Any other refusal is given to the client's commands.
    if (reply.startsWith("421")) {
      this.greeting = `421 ${myhostname} Service unavailable - try again later`;
    }
  }

  /** The client has greeted: the reply in the place of ours. */
  async helo(verb: "HELO" | "EHLO", name: string, reply: ReplyText): Promise<ReplyText> {
    const refusal = await this.#ask(verb, () => this.list.helo(name, this.macro));
    this.#keepHold();
    if (refusal === undefined) return reply;
    // As Postfix has it: EHLO offers nothing any more, and MAIL gets the refusal.
    if (verb === "HELO" || refusal.startsWith("421")) return refusal;
    if (refusal.startsWith("4")) return reply;
    return `250-${this.#session.server.settings.myhostname}\r\n250 ENHANCEDSTATUSCODES`;
  }

  /** A message begins. @param argument of the MAIL command, in which an address was found */
  async mail(sender: string, argument: Uint8Array): Promise<ReplyText | undefined> {
    this.#messageFlags = 0;
    this.#atData = false;
    this.#rcpt = NO_VALUES;
    this.#mail = { "{mail_addr}": quoteAddress(sender), ...await this.#routed("mail", sender) };
    return await this.#ask("MAIL", () => this.list.mail(pathWords(argument), this.macro));
  }

  /** A recipient that we would accept. */
  async rcpt(recipient: string, argument: Uint8Array): Promise<ReplyText | undefined> {
    this.#rcpt = { "{rcpt_addr}": quoteAddress(recipient), ...await this.#routed("rcpt", recipient) };
    return await this.#ask("RCPT", () => this.list.rcpt(pathWords(argument), this.macro), recipient);
  }

  /** A recipient that was refused, with the reply that it got. */
  async rejectedRcpt(argument: Uint8Array, reply: ReplyText): Promise<void> {
    if (!this.list.milters.some((milter) => milter.wantsRejected)) return;
    const status = reply.slice(4, reply.indexOf(" ", 4));
    this.#rcpt = {
      "{rcpt_mailer}": "error",
      "{rcpt_host}": status,
      "{rcpt_addr}": printable(withoutAddress(reply.slice(4 + status.length + 1))),
    };
    await this.#turn(() => this.list.rejectedRcpt(pathWords(argument), this.macro));
  }

  data(): Promise<ReplyText | undefined> {
    this.#atData = true;
    return this.#ask("DATA", () => this.list.data(this.macro), this.#session.transaction?.recipients.at(-1));
  }

  /** A command that we do not know: the reply, when a filter has one. */
  unknown(verb: Uint8Array): Promise<ReplyText | undefined> {
    return this.#ask("UNKNOWN", () => this.list.unknown(verb, this.macro));
  }

  /** The message is over, or was given up. */
  abort(): void {
    this.#messageFlags = 0;
    void this.#turn(() => this.list.abort());
  }

  /** The client has gone. */
  quit(): void {
    void this.#turn(() => this.list.quit());
  }

  /** The value of a macro now. */
  readonly macro = (name: string): string | undefined => {
    const { peer, transaction, server } = this.#session;
    switch (name) {
      case "j":
        return server.settings.myhostname;
      case "_": {
        const forged = peer.name === peer.reverseName ? "" : " (may be forged)";
        return `${peer.reverseName} [${peer.address}]${forged}`;
      }
      case "v":
        return this.#version;
      case "i":
        // As in Postfix not before DATA: whether there is an id earlier depends on who is faster.
        return this.#atData ? transaction?.id : undefined;
      case "{daemon_name}":
        return this.#daemonName;
      case "{daemon_addr}":
        return peer.serverAddress;
      case "{daemon_port}":
        return String(peer.serverPort);
      case "{client_addr}":
        return peer.address;
      case "{client_name}":
        return peer.name;
      case "{client_port}":
        return String(peer.port);
      case "{client_ptr}":
        return peer.reverseName;
      default:
        return this.#rcpt[name] ?? this.#mail[name] ?? sessionMacro(this.#session, name);
    }
  };

  /** Where an address leads, as macros; nothing when nobody can tell. */
  async #routed(kind: "mail" | "rcpt", address: string): Promise<MacroValues> {
    const { server, transaction } = this.#session;
    const resolved = await server.resolve(kind === "mail" ? "" : transaction?.sender ?? "", address);
    if (resolved === undefined) return NO_VALUES;
    return { [`{${kind}_mailer}`]: resolved.transport, [`{${kind}_host}`]: resolved.nexthop };
  }

  /** Asks all filters something, and says what their verdict means: a reply, or nothing. */
  async #ask(
    stage: string,
    ask: () => Promise<MilterVerdict>,
    recipient?: string,
  ): Promise<ReplyText | undefined> {
    // A message that is thrown away is told nobody.
    if ((this.flags & CLEANUP_FLAG.DISCARD) !== 0) return undefined;
    const verdict = await this.#turn(ask);
    const log = (word: string, text: string) => this.#log(word, stage, text, recipient);
    switch (verdict.kind) {
      case "continue":
        return undefined;
      case "hold":
        if ((this.flags & CLEANUP_FLAG.HOLD) === 0) log("milter-hold", "milter triggers HOLD action");
        this.#messageFlags |= CLEANUP_FLAG.HOLD;
        return undefined;
      case "discard":
        log("milter-discard", "milter triggers DISCARD action");
        this.#messageFlags |= CLEANUP_FLAG.DISCARD;
        return undefined;
      case "shutdown":
        log("milter-reject", SHUTDOWN_REPLY);
        return SHUTDOWN_REPLY;
      case "reply":
        log("milter-reject", verdict.text);
        return verdict.text;
      default:
        return verdict satisfies never;
    }
  }

  /** Logs what filters decide, as Postfix does. */
  #log(word: string, stage: string, text: string, recipient: string | undefined): void {
    const { transaction, greeting, client, protocol, log } = this.#session;
    // Only a transaction with a recipient has a queue id that anybody will see.
    const id = (transaction?.recipients.length ?? 0) > 0 && transaction?.id || "NOQUEUE";
    let line = `${id}: ${word}: ${stage} from ${client}: ${printable(text)};`;
    if (transaction !== undefined) line += ` from=<${printable(transaction.sender)}>`;
    if (recipient !== undefined) line += ` to=<${printable(recipient)}>`;
    line += ` proto=${protocol}`;
    log.info(greeting === undefined ? line : `${line} helo=<${greeting.name}>`);
  }

  /** What was decided of the client holds for all its messages. */
  #keepHold(): void {
    this.#sessionFlags |= this.#messageFlags & CLEANUP_FLAG.HOLD;
  }

  #turn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }
}

/** Macros that tell of TLS and of the login. */
function sessionMacro({ tls, sasl, transaction }: Session, name: string): string | undefined {
  switch (name) {
    case "{tls_version}":
      return tls?.protocol;
    case "{cipher}":
      return tls?.cipher;
    case "{cipher_bits}":
      return tls === undefined ? undefined : String(tls.bits);
    case "{tls_sni}":
      return tls === undefined || tls.serverName === "" ? undefined : printable(tls.serverName);
    case "{cert_subject}":
      return tls?.certificate === undefined ? undefined : printable(tls.certificate.subject);
    case "{cert_issuer}":
      return tls?.certificate === undefined ? undefined : printable(tls.certificate.issuer);
    case "{auth_type}":
      return sasl?.method;
    case "{auth_authen}":
      return sasl?.username;
    case "{auth_author}":
      return transaction?.options?.submitter || undefined;
    default:
      return undefined;
  }
}

/** A refusal's text without the address that it begins with. */
function withoutAddress(text: string): string {
  const end = text.startsWith("<") ? text.indexOf(">: ") : -1;
  return end < 0 ? text : text.slice(end + 3);
}

/** The path of MAIL or RCPT and its parameters as the client wrote them: blanks outside quotes separate. */
export function pathWords(argument: Uint8Array): string[] {
  const words: string[] = [];
  let start = -1;
  let quoted = false;
  const from = argument.indexOf(COLON) + 1;
  for (let i = from; i <= argument.length; i++) {
    const byte = argument[i];
    if (quoted && byte === BACKSLASH) i++;
    else if (byte === DOUBLE_QUOTE) quoted = !quoted;
    const ends = i >= argument.length || !quoted && byte !== undefined && isBlank(byte);
    if (ends && start >= 0) {
      words.push(decodeText(argument.subarray(start, i)));
      start = -1;
    } else if (!ends && start < 0) start = i;
  }
  return words;
}
