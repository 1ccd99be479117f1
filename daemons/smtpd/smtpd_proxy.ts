/**
 * Messages that a filter sees before they are taken (smtpd_proxy_filter): a transaction whose message goes to the filter
 * and not to cleanup, and is taken when the filter has taken it. Nothing of it is kept here.
 */
// Utility
import { asciiUpper, TAB } from "../../lib/vstring/ascii.ts";
import { type ByteBuilder, decodeText } from "../../lib/vstring/byte_builder.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Tables
import { parseTarget } from "../../lib/table/server_target.ts";
// Mail
import { appendRecord, RECORD } from "../../lib/mail/record.ts";
import { encodeXtext } from "../../lib/mail/xtext.ts";
// Internal protocols
import { REQUIRE_TLS_HEADER } from "../../lib/proto/cleanup_bits.ts";
// Access
import type { ReplyText } from "../../lib/access/reply.ts";
// This program
import { DataReader } from "./smtpd_data.ts";
import type { MailOptions } from "./smtpd_dsn.ts";
import { prependedLines } from "./smtpd_effects.ts";
import { FilterConversation, type ProxyFilter, replyText } from "./smtpd_proxy_conversation.ts";
import { REPLY } from "./smtpd_reply.ts";
import type { Session } from "./smtpd_session.ts";
import type { SmtpdSettings } from "./smtpd_settings.ts";
import { type Outcome, type SessionFacts, Transaction } from "./smtpd_transaction.ts";

/** Message text that is gathered with speed_adjust, of one message and of all together; beyond it is sent on. Bytes. */
const HELD_LIMIT = 1024 * 1024;
const HELD_TOTAL = 32 * 1024 * 1024;
/** Longest XFORWARD command, bytes (RFC 5321 section 4.5.3.1.4). */
const XFORWARD_LIMIT = 510;
const UNAVAILABLE = "[UNAVAILABLE]";

/** The filter of the configuration; undefined: none. */
export function proxyFilter(settings: SmtpdSettings): ProxyFilter | undefined {
  // Master has made a whole address of it.
  const target = parseTarget(settings.smtpd_proxy_filter, undefined);
  if (target === undefined) return undefined;
  return {
    target,
    helloName: settings.smtpd_proxy_ehlo,
    timeout: settings.smtpd_proxy_timeout * 1000,
    speedAdjust: settings.smtpd_proxy_options.includes("speed_adjust"),
  };
}

/** An argument as it is passed on. What the client said, but for what could be mistaken for the end of a command. */
export function commandText(argument: Uint8Array): string {
  let out = "";
  for (const character of decodeText(argument)) {
    const code = character.charCodeAt(0);
    out += code >= 0x20 && code !== 0x7f ? character : code === TAB ? " " : "?";
  }
  return out;
}

/** The filter speaks no TLS with us, so that REQUIRETLS is nothing that it could be asked for. */
export function withoutRequireTls(mail: string): string {
  const words: string[] = [];
  let start = 0;
  let quoted = false;
  // A quoted local part may hold blanks, and the word as a part of it.
  for (let i = 0; i <= mail.length; i++) {
    if (quoted && mail[i] === "\\") i++;
    else if (mail[i] === '"') quoted = !quoted;
    else if (i >= mail.length || (mail[i] === " " && !quoted)) {
      words.push(mail.slice(start, i));
      start = i + 1;
    }
  }
  return words.filter((word) => asciiUpper(word) !== "REQUIRETLS").join(" ");
}

/** Text of all messages that is held, bytes. */
const held = { total: 0 };

/** A transaction by way of the filter. */
export class ProxyTransaction extends Transaction {
  readonly #filter: ProxyFilter;
  readonly #session: Session;
  /** MAIL and RCPT as the client said them. */
  readonly #mail: string;
  readonly #lines: string[] = [];
  #talk: FilterConversation | undefined;
  /** With speed_adjust: the conversation once it has begun; what refused the message. */
  #late: Promise<ReplyText | undefined> | undefined;
  #held: Uint8Array[] = [];
  #heldSize = 0;
  #over = false;

  constructor(
    filter: ProxyFilter,
    session: Session,
    sender: string,
    options: Readonly<MailOptions> | undefined,
    mail: string,
  ) {
    super(sender, options);
    this.#filter = filter;
    this.#session = session;
    this.#mail = `MAIL ${withoutRequireTls(mail)}`;
  }

  override get relayed(): boolean {
    return true;
  }

  /** There is no queue file. */
  override open(): void {}

  override queueId(): Promise<string> {
    return Promise.resolve("NOQUEUE");
  }

  override async offerRecipient(argument: string): Promise<ReplyText | undefined> {
    const line = `RCPT ${argument}`;
    if (!this.#filter.speedAdjust) {
      const talk = this.#talk ?? await this.#open();
      if (typeof talk === "string") return talk;
      const refusal = await talk.recipient(line);
      if (refusal !== undefined) return refusal;
    }
    if (this.#over) return REPLY.queueFileError;
    this.#lines.push(line);
    return undefined;
  }

  override async offerText(): Promise<ReplyText | undefined> {
    if (this.#filter.speedAdjust) return undefined;
    return this.#talk === undefined ? REPLY.queueFileError : await this.#talk.data();
  }

  override beginData(
    _facts: SessionFacts,
    limits: { readonly line: number; readonly size: number },
    received: readonly string[],
    buffer?: ByteBuilder,
  ): undefined {
    const { effects } = this.standing;
    for (const { kind } of effects) {
      if (kind === "prepend") continue;
      this.#session.log.warning(`with smtpd_proxy_filter, action ${asciiUpper(kind)} is unavailable`);
    }
    const reader = new DataReader(
      limits.line,
      limits.size,
      (records) => this.#take(records),
      buffer?.clear(),
    );
    this.reader = reader;
    for (const line of [...prependedLines(effects), ...received, ...this.#requireTls()]) {
      appendRecord(reader.records, RECORD.NORMAL, line);
    }
  }

  override get congested(): boolean {
    if (this.#late !== undefined && this.#held.length > 0) return true;
    return this.#talk?.congested === true;
  }

  override async drained(): Promise<void> {
    await this.#late;
    await this.#talk?.drained();
  }

  override async commit(): Promise<Outcome> {
    const reader = this.reader!;
    if (reader.tooBig) {
      this.abort();
      return { reply: REPLY.tooBig, accepted: false };
    }
    reader.flush();
    const refusal = this.#filter.speedAdjust ? await (this.#late ??= this.#beginLate()) : undefined;
    const outcome = refusal === undefined ? await this.#endText() : { reply: refusal, accepted: false };
    this.#release();
    this.#talk?.close();
    this.#over = true;
    this.#logOutcome(outcome);
    return outcome;
  }

  override abort(): void {
    if (this.#over) return;
    this.#over = true;
    this.#release();
    this.#talk?.close();
  }

  async #endText(): Promise<Outcome> {
    const reply = await this.#talk?.end();
    if (reply === undefined) return { reply: REPLY.queueFileError, accepted: false };
    return { reply: replyText(reply), accepted: reply.code < 300 };
  }

  /** Connects and passes the sender on. */
  async #open(): Promise<FilterConversation | ReplyText> {
    const talk = await FilterConversation.open(this.#filter, this.#session.log);
    if (talk === undefined) return REPLY.queueFileError;
    const refusal = await talk.begin((attributes) => this.#xforward(attributes), this.#mail);
    // The client may have given up meanwhile.
    if (refusal === undefined && !this.#over) return this.#talk = talk;
    talk.close();
    return refusal ?? REPLY.queueFileError;
  }

  /** With speed_adjust: says all that the client has said, and the text so far. */
  async #beginLate(): Promise<ReplyText | undefined> {
    const talk = await this.#open();
    if (typeof talk === "string") return talk;
    for (const line of this.#lines) {
      const refusal = await talk.recipient(line);
      // The client was told that each recipient is taken: so it is all of them, or none.
      if (refusal !== undefined) return refusal;
    }
    const refusal = await talk.data();
    if (refusal !== undefined) return refusal;
    for (const records of this.#held) talk.text(records);
    this.#release();
    return undefined;
  }

  #take(records: Uint8Array): void {
    if (this.#over) return;
    if (!this.#filter.speedAdjust || (this.#late !== undefined && this.#held.length === 0)) {
      return this.#talk?.text(records);
    }
    this.#held.push(records.slice());
    this.#heldSize += records.length;
    held.total += records.length;
    if (this.#heldSize > HELD_LIMIT || held.total > HELD_TOTAL) this.#late ??= this.#beginLate();
  }

  /** The filter is told of REQUIRETLS in the header: whoever gets the message from it reads that. */
  #requireTls(): readonly string[] {
    const { requiretls_esmtp_header: notes } = this.#session.server.settings;
    return notes && this.options?.requireTls === true ? [REQUIRE_TLS_HEADER] : [];
  }

  #release(): void {
    held.total -= this.#heldSize;
    this.#heldSize = 0;
    this.#held = [];
  }

  /** XFORWARD for the attributes that the filter takes, as few commands as they fit into. */
  #xforward(attributes: ReadonlySet<string>): string[] {
    const { peer, greeting, protocol, forwarded, local } = this.#session;
    const known = (text: string) => text === "" || text === "unknown" ? UNAVAILABLE : encodeXtext(text);
    const pairs: readonly (readonly [string, string])[] = [
      ["NAME", known(forwarded?.name ?? peer.name)],
      ["ADDR", known(forwarded?.address ?? peer.address)],
      ["PORT", known(forwarded?.port ?? String(peer.port))],
      ["HELO", known(forwarded?.helo ?? greeting?.name ?? "")],
      ["IDENT", known(forwarded?.ident ?? "")],
      ["PROTO", known(forwarded?.protocol ?? protocol)],
      ["SOURCE", (forwarded?.local ?? local) ? "LOCAL" : "REMOTE"],
    ];
    const lines: string[] = [];
    for (const [name, value] of pairs) {
      if (!attributes.has(name)) continue;
      const word = ` ${name}=${value}`;
      const last = lines[lines.length - 1];
      if (last !== undefined && last.length + word.length <= XFORWARD_LIMIT) {
        lines[lines.length - 1] = last + word;
      } else lines.push(`XFORWARD${word}`);
    }
    return lines;
  }

  #logOutcome({ reply, accepted }: Outcome): void {
    const { log, greeting, protocol } = this.#session;
    const helo = greeting === undefined ? "" : ` helo=<${greeting.name}>`;
    const to = this.recipients[0] ?? "";
    log.info(
      `proxy-${accepted ? "accept" : "reject"}: END-OF-MESSAGE: ${printable(reply)}; ` +
        `from=<${printable(this.sender)}> to=<${printable(to)}> proto=${protocol}${helo}`,
    );
  }
}
