/**
 * Filters of mail that does not come by SMTP (non_smtpd_milters): cleanup itself tells them of a session that there never
 * was, as they expect one.
 */
// Utility
import type { Logger } from "../../lib/log/log.ts";
// Mail
import { quoteAddress } from "../../lib/mail/address.ts";
// Wire protocols
import type { MilterConnect, MilterParts } from "../../lib/milter/milter.ts";
import { MilterList } from "../../lib/milter/milter_list.ts";
import { macroDefaults, macroLists } from "../../lib/milter/milter_macro.ts";
import type { MilterVerdict } from "../../lib/milter/milter_reply.ts";
import { type MilterRule, parseMilters } from "../../lib/milter/milter_rule.ts";
// Server skeleton
import { CLEANUP_STATUS } from "../../lib/proto/protocols.ts";
// This program
import { applyVerdict, type ContentFilter, type FilterSource } from "./cleanup_milter.ts";
import type { CleanupSettings } from "./cleanup_rules.ts";
import type { EnvelopeListener, MessageState } from "./cleanup_state.ts";

/** The client of mail that has none. */
const LOCALHOST = "localhost";
const LOOPBACK = "127.0.0.1";

/** Makes the filters of one message after the other. */
export class LocalFilterMaker {
  readonly settings: CleanupSettings;
  readonly parts: MilterParts;
  readonly rules: readonly MilterRule[];

  /** Throws a MilterRuleError. */
  constructor(settings: CleanupSettings, log: Logger, connect: MilterConnect) {
    this.settings = settings;
    this.rules = parseMilters(settings.non_smtpd_milters, settings);
    this.parts = {
      connect,
      macros: macroLists(settings),
      defaults: macroDefaults(settings.milter_macro_defaults),
      log,
    };
  }

  /** Undefined where there are no such filters. */
  static from(
    settings: CleanupSettings,
    log: Logger,
    connect: MilterConnect,
  ): LocalFilterMaker | undefined {
    return settings.non_smtpd_milters.length === 0 ? undefined : new LocalFilterMaker(settings, log, connect);
  }

  open(state: MessageState): LocalFilters {
    return new LocalFilters(this, state);
  }
}

/** The filters of one message. */
export class LocalFilters implements FilterSource, EnvelopeListener {
  readonly flags = 0;
  readonly #maker: LocalFilterMaker;
  readonly #state: MessageState;
  readonly #list: MilterList;
  /** Attributes that the message brought: of a client, when it came from one before it was queued again. */
  readonly #attributes = new Map<string, string>();
  #begun = false;
  #recipient = "";

  constructor(maker: LocalFilterMaker, state: MessageState) {
    this.#maker = maker;
    this.#state = state;
    this.#list = new MilterList(maker.rules, maker.parts);
  }

  note(name: string, value: () => string): void {
    this.#attributes.set(name, value());
  }

  async recipient(address: string): Promise<void> {
    if (!this.#begun) await this.#begin();
    const state = this.#state;
    if (state.over || state.returned !== "") return;
    this.#recipient = quoteAddress(address);
    const verdict = await this.#list.rcpt([`<${this.#recipient}>`], this.#macro);
    if (state.over) return;
    if (verdict.kind !== "reply") return void this.#apply("RCPT", verdict);
    // There is nobody who could be told of one recipient alone.
    state.log.warning(
      `${state.queueId}: milter configuration error: can't reject recipient in non-smtpd(8) submission`,
    );
    state.postpone(CLEANUP_STATUS.DEFER, "4.3.5 Milter configuration error", "a milter refuses a recipient");
  }

  async #begin(): Promise<void> {
    this.#begun = true;
    const client = {
      name: this.#attributes.get("client_name") ?? LOCALHOST,
      address: this.#attributes.get("client_address") ?? LOOPBACK,
      port: Number(this.#attributes.get("client_port") ?? 0) || 0,
    };
    const helo = this.#attributes.get("helo_name") ?? client.name;
    const sender = `<${quoteAddress(this.#state.sender!)}>`;
    await this.#event("CONNECT", () => this.#list.connected(client, this.#macro));
    await this.#event("EHLO", () => this.#list.helo(helo, this.#macro));
    await this.#event("MAIL", () => this.#list.mail([sender], this.#macro));
  }

  async #event(stage: string, tell: () => Promise<MilterVerdict>): Promise<void> {
    if (this.#state.over || this.#state.returned !== "") return;
    const verdict = await tell();
    if (!this.#state.over) this.#apply(stage, verdict);
  }

  #apply(stage: string, verdict: MilterVerdict): void {
    applyVerdict(this.#state, stage, verdict);
  }

  begin(): Promise<void> {
    return this.#event("DATA", () => this.#list.data(this.#macro));
  }

  /** What the content is told with: only those who still want it. */
  get filters(): readonly ContentFilter[] {
    return this.#list.milters.flatMap((milter) => {
      const content = milter.content;
      if (content === undefined) return [];
      return [{
        rule: milter.rule,
        agreement: content.agreement,
        stream: content.stream,
        headerMacros: milter.macroNames("endOfHeader"),
        endMacros: milter.macroNames("endOfData"),
        macro: (name: string) => this.#list.macroValue(name, this.#macro),
      }];
    });
  }

  async end(): Promise<void> {
    await this.#list.abort();
    await this.#list.quit();
  }

  abandon(): void {
    for (const milter of this.#list.milters) milter.lost();
  }

  readonly #macro = (name: string): string | undefined => {
    const { settings } = this.#maker;
    const attribute = (key: string) => this.#attributes.get(key);
    switch (name) {
      case "i":
        return this.#state.queueId;
      case "j":
        return settings.myhostname;
      case "v":
        return settings.milter_macro_v;
      case "_":
        return `${attribute("client_name") ?? LOCALHOST} [${attribute("client_address") ?? LOOPBACK}]`;
      case "{daemon_name}":
        return settings.milter_macro_daemon_name;
      case "{daemon_addr}":
        return attribute("server_address");
      case "{daemon_port}":
        return attribute("server_port");
      case "{client_addr}":
        return attribute("client_address") ?? LOOPBACK;
      case "{client_name}":
        return attribute("client_name") ?? LOCALHOST;
      case "{client_port}":
        return attribute("client_port");
      case "{client_ptr}":
        return attribute("reverse_client_name") ?? attribute("client_name") ?? LOCALHOST;
      case "{auth_type}":
        return attribute("sasl_method");
      case "{auth_authen}":
        return attribute("sasl_username");
      case "{auth_author}":
        return attribute("sasl_sender");
      case "{mail_addr}":
        return this.#state.sender === undefined ? undefined : quoteAddress(this.#state.sender);
      case "{rcpt_addr}":
        return this.#recipient || undefined;
      default:
        return undefined;
    }
  };
}
