/**
 * What all clients of the process share: settings, lists, the cache, and how many clients there are.
 */
// Utility
import { printable } from "../../lib/vstring/printable.ts";
import { listSubject, type MatchList, matchLiteral, parseAddressList } from "../../lib/table/match_list.ts";
import type { Logger } from "../../lib/log/log.ts";
// Internal protocols
import type { CacheClient } from "../../lib/proto/cache_client.ts";
import type { MapLookup } from "../../lib/proto/proxymap_client.ts";
// Access
import { CommandWords } from "../../lib/access/command_words.ts";
import { KeywordFilter } from "../../lib/access/hidden_keywords.ts";
import { RejectFooter } from "../../lib/access/reject_footer.ts";
// This program
import { AccessList } from "./postscreen_access.ts";
import { BlockLists, type DnsblogService, parseSite, type Site } from "./postscreen_dnsbl.ts";
import type { PostscreenSettings } from "./postscreen_settings.ts";
import { TokenSource } from "./postscreen_starttls.ts";
import { type TestName, type TestRule, testRules } from "./postscreen_tests.ts";

/** Shares of postscreen_pre_queue_limit at which stress begins and ends (Postfix). */
const STRESS_BEGINS = 0.9;
const STRESS_ENDS = 0.7;

/** Who answers questions, and what the program is told. */
export interface ScreenServices {
  readonly settings: PostscreenSettings;
  /** The settings under stress. */
  readonly stressed: PostscreenSettings;
  readonly maps: MapLookup;
  /** Undefined where master.toml has no dnsblog service. */
  readonly dnsblog: DnsblogService | undefined;
  /** Undefined where nothing is kept. */
  readonly cache: CacheClient | undefined;
  /** smtpd's socket for clients that are handed over. */
  readonly smtpd: string;
  /** tlsproxy's socket; undefined: no TLS is offered. */
  readonly tlsproxy: string | undefined;
  readonly log: Logger;
  trouble(what: string, error: unknown): void;
}

/** The shared part of the process. */
export class Screen {
  readonly services: ScreenServices;
  readonly settings: PostscreenSettings;
  readonly log: Logger;
  readonly rules: Readonly<Record<TestName, TestRule>>;
  readonly access: AccessList;
  readonly lists: BlockLists;
  readonly words: CommandWords;
  /** Which EHLO keywords are not offered to a client. */
  readonly keywords: KeywordFilter;
  /** What stands behind refusals; undefined: nothing. */
  readonly footer: RejectFooter | undefined;
  /** Names for the pairs of connections to tlsproxy. */
  readonly tokens = new TokenSource();
  readonly #interfaces: MatchList;
  readonly #clients = new Map<string, number>();
  /** Clients in a test, and those that wait for smtpd. */
  #tested = 0;
  #waiting = 0;
  #stress = false;

  /** @throws Error with what is wrong with postscreen_dnsbl_sites */
  constructor(services: ScreenServices) {
    const { settings } = services;
    this.services = services;
    this.settings = settings;
    this.log = services.log;
    this.rules = testRules(settings);
    this.access = new AccessList(settings, services.maps, services.log);
    const sites = settings.postscreen_dnsbl_sites.map(parseSite);
    const wrong = sites.find((site) => typeof site === "string");
    if (wrong !== undefined) throw new Error(wrong as string);
    const { postscreen_dnsbl_timeout: timeout } = settings;
    this.lists = new BlockLists(sites as Site[], services.dnsblog, timeout, services.log);
    this.words = new CommandWords({
      noop: { parameter: "", items: [] },
      forbidden: {
        parameter: "postscreen_forbidden_commands",
        items: settings.postscreen_forbidden_commands,
      },
      filter: { parameter: "postscreen_command_filter", items: settings.postscreen_command_filter },
    }, services.maps);
    this.keywords = new KeywordFilter({
      words: settings.postscreen_discard_ehlo_keywords,
      parameter: "postscreen_discard_ehlo_keyword_address_maps",
      tables: settings.postscreen_discard_ehlo_keyword_address_maps,
      maps: services.maps,
      warn: (text) => services.log.warning(text),
    });
    this.footer = RejectFooter.from(
      {
        parameter: "postscreen_reject_footer",
        template: settings.postscreen_reject_footer,
        tables: settings.postscreen_reject_footer_maps,
        serverName: settings.myhostname,
        filter: settings.postscreen_expansion_filter,
      },
      services.maps,
      services.log,
    );
    const all = settings.postscreen_allowlist_interfaces.flatMap((item) =>
      item === "static:all" ? ["0.0.0.0/0", "[::]/0"] : [item]
    );
    this.#interfaces = parseAddressList(all, { parents: "dotted", name: "postscreen_allowlist_interfaces" });
  }

  /** How long a client is kept waiting, milliseconds. */
  get greetWait(): number {
    return this.#current.postscreen_greet_wait * 1000;
  }

  /** How long a command may take, milliseconds. */
  get commandTime(): number {
    return this.#current.postscreen_command_time_limit * 1000;
  }

  get #current(): PostscreenSettings {
    return this.#stress ? this.services.stressed : this.settings;
  }

  /** How much TLS there is in the dialogue. */
  get tlsLevel(): "none" | "may" | "encrypt" {
    const { postscreen_tls_security_level: level } = this.settings;
    return level === "" || level === "none" || this.services.tlsproxy === undefined
      ? "none"
      : level as "may" | "encrypt";
  }

  /** Clients may become known on this address of ours. Clients of a backup MX, which no good client tries first, may not. */
  allowsOn(serverAddress: string): boolean {
    return matchLiteral(this.#interfaces, listSubject("address", ` ${serverAddress}`)) === "match";
  }

  /** The name of a block list as replies show it: some are secrets of those who pay for them. */
  async listName(domain: string): Promise<string> {
    if (this.settings.postscreen_dnsbl_reply_map.length === 0) return domain;
    const found = await this.services.maps.find("postscreen_dnsbl_reply_map", "key", domain);
    return found.kind === "found" ? printable(found.value) : domain;
  }

  /** A client is there: how many connections it has. */
  arrive(address: string): number {
    const count = (this.#clients.get(address) ?? 0) + 1;
    this.#clients.set(address, count);
    this.#tested++;
    this.#watchStress();
    return count;
  }

  /** It is not tested any more. */
  leave(address: string): void {
    const count = (this.#clients.get(address) ?? 1) - 1;
    if (count > 0) this.#clients.set(address, count);
    else this.#clients.delete(address);
    this.#tested--;
    this.#watchStress();
  }

  /** A client waits for smtpd, or does not wait any more. */
  waits(by: 1 | -1): void {
    this.#waiting += by;
  }

  /** No client more can be handed over. */
  get serversBusy(): boolean {
    return this.#waiting >= this.settings.postscreen_post_queue_limit;
  }

  /** No client more can be tested. */
  get screensBusy(): boolean {
    return this.#tested - this.#waiting > this.settings.postscreen_pre_queue_limit;
  }

  #watchStress(): void {
    const limit = this.settings.postscreen_pre_queue_limit;
    if (!this.#stress && this.#tested >= STRESS_BEGINS * limit) {
      this.#stress = true;
      this.log.info(`entering STRESS mode with ${this.#tested} connections`);
    } else if (this.#stress && this.#tested <= STRESS_ENDS * limit) {
      this.#stress = false;
      this.log.info(`leaving STRESS mode with ${this.#tested} connections`);
    }
  }
}
