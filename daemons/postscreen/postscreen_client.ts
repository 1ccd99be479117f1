/**
 * One client, from its connection until it is handed over or sent away: the order of tests, what they come to, and what
 * the log says of it.
 */
// Safe primitives
import type { Channel } from "../../lib/safe/channel.ts";
// Utility
import { encodeText } from "../../lib/vstring/byte_builder.ts";
// Mail
import { formatDelay } from "../../lib/mail/delivery_log.ts";
// Wire protocols
import type { ProxiedEnds } from "../../lib/smtp/haproxy.ts";
// Access
import type { HiddenKeywords } from "../../lib/access/hidden_keywords.ts";
import { soften } from "../../lib/access/reply.ts";
// This program
import { carry } from "./postscreen_carry.ts";
import type { Score } from "./postscreen_dnsbl.ts";
import { Dialogue } from "./postscreen_dialogue.ts";
import type { Screen } from "./postscreen_screen.ts";
import { connectTlsproxy, startTls } from "./postscreen_starttls.ts";
import { escapeBytes } from "./postscreen_text.ts";
import { type Action, DIALOGUE_TESTS, type TestName, TestRecord, TESTS } from "./postscreen_tests.ts";

/** Bytes of a client that wait while others are asked about it; more stops reading. */
const EARLY_LIMIT = 4096;
/** Characters of what a client sent that the log shows. */
const SAMPLE = 100;

const PROTOCOL_ERROR = "5.5.1 Protocol error";
const UNAVAILABLE = "Service currently unavailable";

type Phase = "waiting" | "early" | "dialogue" | "carried" | "over";

/** A client. */
export class ScreenedClient {
  readonly screen: Screen;
  readonly ends: ProxiedEnds;
  /** What every RCPT gets: the client is new, or a test has failed. */
  recipientReply = `450 4.3.2 ${UNAVAILABLE}`;
  #channel: Channel;
  readonly #done: () => void;
  readonly #began = performance.now();
  #phase: Phase = "waiting";
  #early: Uint8Array = new Uint8Array(0);
  #record: TestRecord | undefined;
  readonly #todo = new Set<TestName>();
  /** Tests that were to be made when the client came, those passed, and whether one was failed. */
  #asked = 0;
  readonly #passed = new Set<TestName>();
  #failed = false;
  /** It is not handed over, whatever comes. */
  #keep = false;
  #talksEarly = false;
  /** It has been refused already, at RCPT to come. */
  #enforced = false;
  #counted = false;
  #secure = false;
  #crowded = false;
  #dialogue: Dialogue | undefined;
  /** EHLO keywords that it is not offered; known when the dialogue begins. */
  hidden!: HiddenKeywords;
  /** Replies whose footers are looked up go out in their order. */
  #sending: Promise<void> | undefined;
  #endEarly: () => void = () => {};

  constructor(screen: Screen, channel: Channel, ends: ProxiedEnds, rest: Uint8Array, done: () => void) {
    this.screen = screen;
    this.ends = ends;
    this.#channel = channel;
    this.#done = done;
    this.#early = rest;
  }

  /** "[address]:port". */
  get name(): string {
    return `[${this.ends.clientAddress}]:${this.ends.clientPort}`;
  }

  /** Starts the tests. */
  begin(): void {
    this.#channel.start({ data: (bytes) => this.#data(bytes), closed: () => this.#gone() });
    const { serverAddress, serverPort, clientAddress } = this.ends;
    this.screen.log.info(`CONNECT from ${this.name} to [${serverAddress}]:${serverPort}`);
    const count = this.screen.arrive(clientAddress);
    this.#counted = true;
    // Who came first is tested first, however long it takes to find out who needs a test.
    this.#crowded = this.screen.screensBusy;
    const limit = this.screen.settings.postscreen_client_connection_count_limit;
    if (limit > 0 && count > limit) {
      this.screen.log.info(`NOQUEUE: reject: CONNECT from ${this.name}: too many connections`);
      return this.drop("421 4.7.0 Error: too many connections");
    }
    if (this.screen.serversBusy) {
      this.screen.log.info(`NOQUEUE: reject: CONNECT from ${this.name}: all server ports busy`);
      return this.drop("421 4.3.2 All server ports are busy");
    }
    this.#run().catch((error) => {
      this.screen.services.trouble(`client ${this.name}`, error);
      this.drop(`421 ${this.screen.settings.myhostname} Service unavailable - try again later`);
    });
  }

  async #run(): Promise<void> {
    const verdict = await this.screen.access.judge(this.ends.clientAddress);
    if (this.#isOver()) return;
    if (verdict === "permit") {
      this.screen.log.info(`ALLOWLISTED ${this.name}`);
      return this.#handOver();
    }
    if (verdict === "reject") {
      this.screen.log.info(`DENYLISTED ${this.name}`);
      const action = this.screen.settings.postscreen_denylist_action as Action;
      if (this.#punish(action, `5.3.2 ${UNAVAILABLE}`)) return;
    }
    if (!this.#failed && await this.#isKnown()) return this.#handOver();
    if (this.#isOver()) return;
    await this.#test();
  }

  /** True for a client that has passed all tests already; else it is told what is to be tested. */
  async #isKnown(): Promise<boolean> {
    const { rules, services } = this.screen;
    const text = await services.cache?.get(this.ends.clientAddress);
    this.#record = text === undefined ? undefined : TestRecord.parse(text);
    this.#record ??= TestRecord.empty(rules);
    const now = Math.floor(Date.now() / 1000);
    for (const test of TESTS) {
      if (rules[test].enabled && !this.#record.counts(test, now)) this.#todo.add(test);
    }
    this.#asked = this.#todo.size;
    if (this.#asked > 0 || this.#isOver()) return false;
    this.screen.log.info(`PASS OLD ${this.name}`);
    return true;
  }

  async #test(): Promise<void> {
    if (!this.screen.allowsOn(this.ends.serverAddress)) {
      this.screen.log.info(`ALLOWLIST VETO ${this.name}`);
      this.#failed = true;
      this.#keep = true;
    }
    if (this.#crowded) {
      this.screen.log.info(`reject: connect from ${this.name}: all screening ports busy`);
      return this.drop("421 4.3.2 All screening ports are busy");
    }
    if (this.#todo.has("pregreet") || this.#todo.has("dnsbl")) await this.#testEarly();
    if (this.#isOver()) return;
    const talks = DIALOGUE_TESTS.some((test) => this.#todo.has(test));
    if (!this.#enforced && !this.#keep && !talks) return this.#conclude();
    this.hidden = await this.screen.keywords.of(this.ends.clientAddress);
    if (!this.#isOver()) this.#talk();
  }

  /** The tests before the greeting: one waits for the client to talk too early, the other for the lists. */
  async #testEarly(): Promise<void> {
    this.#phase = "early";
    const { settings, lists } = this.screen;
    const over = new Promise<void>((resolve) => this.#endEarly = resolve);
    const timer = setTimeout(this.#endEarly, this.screen.greetWait);
    let score: Score | undefined;
    if (this.#todo.has("dnsbl")) {
      score = lists.ask(this.ends.clientAddress, () => {
        if (!this.#todo.has("pregreet")) this.#endEarly();
      });
    }
    if (this.#todo.has("pregreet")) {
      if (settings.postscreen_greet_banner !== "") this.#write(`220-${settings.postscreen_greet_banner}`);
      // What came before the teaser came too early as well.
      if (this.#early.length > 0) this.#talkedEarly();
    }
    if (!this.#isOver()) await over;
    clearTimeout(timer);
    if (this.#isOver()) return;
    this.#phase = "waiting";
    if (this.#todo.has("pregreet")) this.pass("pregreet");
    if (score !== undefined) await this.#judge(score);
  }

  #talkedEarly(): void {
    const bytes = this.#early;
    const after = formatDelay(performance.now() - this.#began, this.#resolution);
    const text = escapeBytes(bytes, SAMPLE);
    this.screen.log.info(`PREGREET ${bytes.length} after ${after} from ${this.name}: ${text}`);
    this.#todo.delete("pregreet");
    this.#talksEarly = true;
    if (this.#punish(this.screen.rules.pregreet.action, PROTOCOL_ERROR)) return;
    if (!this.#todo.has("dnsbl")) this.#endEarly();
  }

  /** What the lists say counts by what has come by now. */
  async #judge(score: Score): Promise<void> {
    const { settings, rules } = this.screen;
    this.#todo.delete("dnsbl");
    if (score.value >= settings.postscreen_dnsbl_threshold) {
      this.screen.log.info(`DNSBL rank ${score.value} for ${this.name}`);
      const list = await this.screen.listName(score.domain);
      const reply = `5.7.1 Service unavailable; client [${this.ends.clientAddress}] blocked using ${list}`;
      if (!this.#isOver()) this.#punish(rules.dnsbl.action, reply);
      return;
    }
    const { postscreen_dnsbl_min_ttl: least, postscreen_dnsbl_max_ttl: most } = settings;
    const until = Math.floor(Date.now() / 1000) + Math.max(least, Math.min(most, score.ttl ?? least));
    this.#passUntil("dnsbl", until);
    const allow = settings.postscreen_dnsbl_allowlist_threshold;
    // Who is well known elsewhere needs no other test, as long as the lists say so.
    if (allow < 0 && score.value <= allow && !this.#failed) {
      for (const test of [...this.#todo]) this.#passUntil(test, until);
    }
  }

  /** The test is passed, for as long as it then counts. */
  pass(test: TestName): void {
    this.#passUntil(test, Math.floor(Date.now() / 1000) + this.screen.rules[test].ttl);
  }

  #passUntil(test: TestName, until: number): void {
    this.#todo.delete(test);
    this.#passed.add(test);
    this.#record!.pass(test, until);
  }

  /** True while the test is to be made. */
  isTodo(test: TestName): boolean {
    return this.#todo.has(test);
  }

  /** The test is failed. True when that ends the session. */
  fail(test: TestName, dropReply = `521 ${PROTOCOL_ERROR}`): boolean {
    this.#todo.delete(test);
    return this.#punish(this.screen.rules[test].action, PROTOCOL_ERROR, dropReply);
  }

  /** Does what a failed test does; true when that ends the session. What is ignored is tested again the next time. */
  #punish(action: Action, text: string, dropReply = `521 ${text}`): boolean {
    if (action === "ignore") return false;
    this.#failed = true;
    this.#keep = true;
    if (action === "drop") {
      this.drop(dropReply);
      return true;
    }
    if (!this.#enforced) this.recipientReply = `550 ${text}`;
    this.#enforced = true;
    return false;
  }

  /** A dialogue with a server that takes no mail. Who passes it comes back: its connection cannot go on with another. */
  #talk(): void {
    this.#phase = "dialogue";
    this.#keep = true;
    this.#dialogue = new Dialogue(this);
    // Who has not waited for the greeting gets answers at once.
    if (!this.#talksEarly) this.#write(`220 ${this.screen.settings.smtpd_banner}`);
    const early = this.#early;
    this.#early = new Uint8Array(0);
    this.#channel.resume();
    if (early.length > 0) this.#dialogue.data(early);
  }

  /** The dialogue goes on inside TLS: nothing that was said in the clear counts any more. */
  get secure(): boolean {
    return this.#secure;
  }

  /** Begins TLS by way of tlsproxy. */
  async startTls(): Promise<void> {
    const { tlsproxy, trouble } = this.screen.services;
    const client = this.#channel;
    client.pause();
    const made = await connectTlsproxy(tlsproxy!, this.screen.tokens.next(), this.name);
    if (this.#isOver()) {
      made?.cipher.destroy();
      made?.plain.destroy();
      return;
    }
    if (made === undefined) {
      client.resume();
      trouble(`client ${this.name}`, new Error("tlsproxy cannot be reached"));
      return this.reply("454 4.7.0 TLS not available due to local problem");
    }
    this.reply("220 2.0.0 Ready to start TLS");
    await this.#sending;
    this.#dialogue!.end();
    startTls(client, made, this.screen.settings.postscreen_starttls_timeout * 1000, {
      secured: (plain) => {
        if (this.#isOver()) return plain.destroy();
        this.#channel = plain;
        this.#secure = true;
        this.#dialogue = new Dialogue(this);
      },
      failed: () => this.#gone(),
      data: (bytes) => this.#data(bytes),
      closed: () => this.#gone(),
    });
  }

  /** The client has said QUIT. */
  finish(): void {
    this.#conclude();
  }

  /** Says a last word and ends the session. */
  drop(reply: string): void {
    if (this.#isOver()) return;
    this.#keep = true;
    this.reply(reply);
    this.#conclude();
  }

  /** Sends a reply, a refusal with its footer. */
  reply(text: string): void {
    if (this.#isOver()) return;
    const { footer, settings } = this.screen;
    const reply = settings.soft_bounce ? soften(text) : text;
    if (footer === undefined) return this.#write(reply);
    const template = footer.find(reply);
    const { clientAddress: address, clientPort: port } = this.ends;
    const say = (found?: string) => this.#write(footer.add({ address, port }, reply, found));
    if (template === undefined && this.#sending === undefined) return say();
    const sending = Promise.all([template, this.#sending]).then(([found]) => say(found))
      .catch((error) => this.screen.services.trouble(`client ${this.name}`, error))
      .then(() => {
        if (this.#sending === sending) this.#sending = undefined;
      });
    this.#sending = sending;
  }

  /** What the tests have come to: told to the log and the cache, then the client goes on to smtpd or away. */
  #conclude(): void {
    const record = this.#record;
    if (!this.#failed && record !== undefined && this.#passed.size > 0) {
      if (this.#passed.size === this.#asked) {
        this.screen.log.info(`PASS ${record.isNew ? "NEW" : "OLD"} ${this.name}`);
      }
      const { cache } = this.screen.services;
      const retention = this.screen.settings.postscreen_cache_retention_time;
      cache?.put(this.ends.clientAddress, String(record), record.expires + retention);
    }
    if (!this.#keep) return this.#handOver();
    this.screen.log.info(`DISCONNECT ${this.name}`);
    this.#end();
    const channel = this.#channel;
    if (this.#sending === undefined) channel.finish();
    else this.#sending.then(() => channel.finish());
  }

  #handOver(): void {
    this.#phase = "carried";
    this.screen.waits(1);
    let waits = true;
    const settle = () => {
      if (waits) this.screen.waits(-1);
      waits = false;
      this.#uncount();
    };
    carry(this.screen.services.smtpd, this.#channel, this.ends, () => this.#early, {
      served: settle,
      failed: (why) => {
        settle();
        this.screen.log.warning(`cannot pass connection to service private/smtpd: ${why}`);
        this.#write("421 4.3.2 All server ports are busy");
        this.#channel.finish();
        this.#end();
      },
      over: () => {
        settle();
        this.#end();
      },
    }).catch((error) => this.screen.services.trouble(`client ${this.name}`, error));
  }

  #data(bytes: Uint8Array): void {
    if (this.#phase === "dialogue") return this.#dialogue!.data(bytes);
    if (this.#phase === "over") return;
    if (this.#early.length + bytes.length > EARLY_LIMIT) this.#channel.pause();
    const joined = new Uint8Array(this.#early.length + bytes.length);
    joined.set(this.#early);
    joined.set(bytes, this.#early.length);
    this.#early = joined;
    // What it has said is kept, for whoever answers it.
    if (this.#phase === "early" && this.#todo.has("pregreet")) this.#talkedEarly();
  }

  #gone(): void {
    if (this.#isOver() || this.#phase === "carried") return;
    const after = formatDelay(performance.now() - this.#began, this.#resolution);
    const stage = this.#phase === "dialogue" ? "after" : "before";
    this.screen.log.info(`HANGUP after ${after} from ${this.name} in tests ${stage} SMTP handshake`);
    this.#keep = true;
    this.#conclude();
  }

  get #resolution(): number {
    return this.screen.settings.delay_logging_resolution_limit;
  }

  #isOver(): boolean {
    return this.#phase === "over";
  }

  #uncount(): void {
    if (this.#counted) this.screen.leave(this.ends.clientAddress);
    this.#counted = false;
  }

  #end(): void {
    if (this.#isOver()) return;
    this.#phase = "over";
    this.#uncount();
    this.#dialogue?.end();
    this.#endEarly();
    this.#done();
  }

  #write(line: string): void {
    this.#channel.write(encodeText(`${line}\r\n`));
  }
}
