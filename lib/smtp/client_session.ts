/**
 * One connection to a server: its greeting, EHLO, HELO or LHLO, and the reading and writing under deadlines that
 * everything else stands on.
 *
 * @module
 */
import { type Connection, NetworkError } from "../safe/connect.ts";
import { startTls, TlsError, type TlsHandshake, type TlsHandshakeOptions } from "../safe/tls_client.ts";
import { ByteBuilder } from "../vstring/byte_builder.ts";
import { equalsIgnoreCase, splitBlanks } from "../vstring/ascii.ts";
import { printable } from "../vstring/printable.ts";
import { type Failure, localFailure, refusedToTalk, StreamError } from "./client_failure.ts";
import { type Host, hostLabel, relayLabel } from "./client_hosts.ts";
import { isMasked, pixWorkarounds } from "./client_pix.ts";
import type { ClientPolicy } from "./client_policy.ts";
import type { ClientTables } from "./client_tables.ts";
import type { SessionSecurity } from "./client_tls_session.ts";
import { type Features, NO_FEATURES, parseEhlo } from "./ehlo.ts";
import type { ClientTranscript } from "./client_transcript.ts";
import { type Reply, ReplyError, ReplyParser } from "./reply.ts";

/** Bytes read at once: replies are short. */
const READ_SIZE = 4096;
/** Most bytes that wait to be written: a piece of message text with its dots and folds. */
const WRITE_LIMIT = 512 * 1024;

/** Changes a reply line before it is read (smtp_reply_filter). */
export type ReplyFilter = (line: Uint8Array, session: ClientSession) => Promise<Uint8Array>;

/** What a conversation may have beside its connection. */
export interface SessionOptions {
  readonly filter?: ReplyFilter | undefined;
  /** Keeps what is said, for the postmaster. */
  readonly transcript?: ClientTranscript | undefined;
}

/** A conversation that has begun. */
export class ClientSession {
  readonly host: Host;
  readonly name: string;
  readonly label: string;
  readonly transcript: ClientTranscript | undefined;
  readonly started: number = performance.now();
  /** What is to be sent next. */
  readonly out = new ByteBuilder(WRITE_LIMIT, 2048);
  features: Features = NO_FEATURES;
  /** How the connection is encrypted; undefined in the clear. */
  security: SessionSecurity | undefined;
  /** What the log says of TLS (smtp_log_tls_feature_status). */
  tlsStatus = "";
  /** The end of a message goes in a packet of its own, after a pause (smtp_pix_workarounds). */
  delaysEnd = false;
  /** MAIL says `AUTH=<>`: RFC 4954 section 5, nobody is vouched for as the sender (smtp_send_dummy_mail_auth). */
  dummyAuth = false;
  /** Deliveries that this connection has been used for. */
  uses = 0;
  /** False when the conversation is in a state from which no other delivery can start. */
  sound = true;
  /** A transaction was begun and not brought to its end: RSET must come before the next. */
  dirty = false;
  /** QUIT went out behind the last message. */
  quitSent = false;
  readonly #connection: Connection;
  readonly #filter: ReplyFilter | undefined;
  readonly #parser: ReplyParser;
  /** What it said that was no reply, printable; empty: nothing. */
  noise = "";
  /** Nothing can be said or heard any more. */
  #broken = false;
  readonly #input = new Uint8Array(READ_SIZE);
  #start = 0;
  #end = 0;
  #reading: Promise<number | null> | undefined;

  constructor(host: Host, connection: Connection, options: SessionOptions = {}) {
    this.host = host;
    this.name = host.name;
    this.label = hostLabel(host);
    this.transcript = options.transcript;
    this.#filter = options.filter;
    this.#parser = new ReplyParser(options.filter !== undefined);
    this.#connection = connection;
  }

  /**
   * Appends a command line.
   *
   * @param secret it holds a password: the transcript does not have it
   */
  command(line: string, secret?: "secret"): void {
    this.transcript?.sent(secret === undefined ? line : "[secret]");
    this.out.text(line).text("\r\n");
  }

  /**
   * Sends what waits. Throws `StreamError` that says what was being done.
   *
   * @param doing as "sending MAIL FROM"
   */
  async flush(timeoutMs: number, doing: string): Promise<void> {
    if (this.out.length === 0) return;
    this.#connection.deadline(timeoutMs);
    try {
      await this.#connection.write(this.out.view());
    } catch (error) {
      throw this.#failure(error, doing);
    } finally {
      this.#connection.noDeadline();
      this.out.clear();
    }
  }

  /** Reads one reply; the time is for all of it. Throws `StreamError`. */
  async reply(timeoutMs: number, doing: string): Promise<Reply> {
    this.#connection.deadline(timeoutMs);
    try {
      for (;;) {
        this.#start = this.#parser.push(this.#input, this.#start, this.#end);
        const { held } = this.#parser;
        if (held !== undefined) {
          this.#parser.accept(await this.#filter!(held, this));
        }
        const reply = this.#parser.take();
        if (reply !== undefined) return this.#heard(reply);
        if (this.#start < this.#end) continue;
        const count = await this.#read();
        if (count === null) throw new NetworkError("closed", "Connection closed by server");
        this.#start = 0;
        this.#end = count;
      }
    } catch (error) {
      throw this.#failure(error, doing);
    } finally {
      this.#connection.noDeadline();
    }
  }

  #heard(reply: Reply): Reply {
    this.transcript?.heard(reply);
    // RFC 5321 section 3.8: 421 says that the server is about to close. After noise nobody knows what answers what.
    if (reply.code === 421 || reply.noise !== undefined) this.sound = false;
    this.noise ||= reply.noise ?? "";
    return reply;
  }

  /**
   * A reply was a refusal. After one that tells of a misunderstanding the conversation is of no use for other mail;
   * RFC 5321 section 4.2.4 has 500 to 509 and 555 for that, and a code of no class is one too.
   */
  refused(reply: Reply): void {
    const { code } = reply;
    if (code >= 400 && code <= 599 && code !== 555 && (code < 500 || code >= 510)) return;
    this.sound = false;
    if (this.transcript !== undefined) this.transcript.misbehaved = true;
  }

  /** Sends one command and reads its reply. */
  async ask(line: string, timeoutMs: number, doing: string, secret?: "secret"): Promise<Reply> {
    this.command(line, secret);
    await this.flush(timeoutMs, doing);
    return await this.reply(timeoutMs, doing);
  }

  /**
   * Goes on over TLS, and forgets what the server said of itself (RFC 3207 section 4.2).
   *
   * @throws TlsError when it cannot; the connection is of no use then
   * @throws NetworkError when its time is over
   */
  async secure(options: TlsHandshakeOptions, timeoutMs: number): Promise<TlsHandshake> {
    try {
      // What came in the clear behind the reply to STARTTLS was put there by somebody in the middle, to be taken for a
      // reply of the server that comes under TLS (CVE-2021-38371). No honest server speaks before the handshake.
      if (this.#start < this.#end || !this.#parser.idle) {
        throw new TlsError("data in the clear behind the reply to STARTTLS");
      }
      const handshake = await startTls(this.#connection, options, timeoutMs);
      this.features = NO_FEATURES;
      return handshake;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** True when the server speaks although it is not its turn; what it says is read later. */
  async speaksEarly(): Promise<boolean> {
    const reading = this.#reading ??= this.#connection.read(this.#input);
    // One turn of the event loop: what has arrived by now is there then.
    const quiet = new Promise<false>((resolve) => setTimeout(() => resolve(false), 0));
    return await Promise.race([reading.then(() => true, () => true), quiet]);
  }

  /**
   * Listens while nobody uses the connection: a server that says something unasked or leaves makes it useless.
   *
   * @param gone called at most once, when it can no longer be used
   */
  watch(gone: () => void): void {
    if (this.#start < this.#end || !this.#parser.idle) {
      this.sound = false;
      return gone();
    }
    const reading = this.#reading ??= this.#connection.read(this.#input);
    const lost = () => {
      // Whoever uses the connection again takes the read over, and with it what it brings.
      if (this.#reading !== reading) return;
      this.sound = false;
      gone();
    };
    reading.then(lost, lost);
  }

  /** Says goodbye without waiting for the answer unless the policy wants it, and closes. */
  async quit(policy: ClientPolicy): Promise<void> {
    try {
      if (!this.#broken && !this.quitSent) {
        this.command("QUIT");
        await this.flush(policy.timeouts.quit, "sending QUIT");
        if (policy.awaitQuit) await this.reply(policy.timeouts.quit, "sending QUIT");
      }
    } catch (error) {
      // The mail is delivered, or not, whatever becomes of the goodbye.
      if (!(error instanceof StreamError)) throw error;
    } finally {
      this.close();
    }
  }

  /** Closes without a word. */
  close(): void {
    this.sound = false;
    this.#broken = true;
    this.#connection.close();
  }

  async #read(): Promise<number | null> {
    const reading = this.#reading ?? this.#connection.read(this.#input);
    this.#reading = undefined;
    return await reading;
  }

  #failure(error: unknown, doing: string): Error {
    this.sound = false;
    this.#broken = true;
    const fail = (text: string, status: string) =>
      new StreamError(localFailure("stream", true, status, text, this.name));
    if (error instanceof ReplyError) {
      return fail(`Protocol error: host ${this.label} sent ${error.message} while ${doing}`, "4.5.0");
    }
    if (!(error instanceof NetworkError)) return error as Error;
    return error.kind === "timeout"
      ? fail(`conversation with ${this.label} timed out while ${doing}`, "4.4.2")
      : fail(`lost connection with ${this.label} while ${doing}`, "4.4.2");
  }
}

/** What an introduction needs beside the session: the message that it is made for, and who knows servers. */
export interface Introduction {
  readonly policy: ClientPolicy;
  readonly tables: ClientTables | undefined;
  /** When the message came in, milliseconds since 1970. */
  readonly arrival: number;
  /** Log lines about the message. */
  readonly info: (text: string) => void;
  readonly warn: (text: string) => void;
}

/**
 * Takes the server's greeting and introduces us. Throws `StreamError`.
 *
 * @returns the failure, or undefined when mail may be sent
 */
export async function introduce(session: ClientSession, by: Introduction): Promise<Failure | undefined> {
  const { policy } = by;
  const timeout = policy.timeouts.hello;
  const greeting = await session.reply(timeout, "receiving the initial server greeting");
  if (!isPositive(greeting)) return refusedGreeting(session, greeting, policy);
  const words = splitBlanks(greeting.lines.join(" "));
  if (mayLoop(session, policy) && equalsIgnoreCase(words[0] ?? "", policy.myHostName)) {
    by.warn(`host ${relayLabel(session.host)} greeted me with my own hostname ${policy.myHostName}`);
  }
  const plain = isMasked(greeting) && await workAround(session, by);
  const offers = words.some((word) => equalsIgnoreCase(word, "ESMTP"));
  const extended = policy.ehlo === "always" || (policy.ehlo === "banner" && offers);
  return await sayHello(session, by, extended && !plain);
}

/**
 * Says who we are and learns what the server can; again behind STARTTLS. Throws `StreamError`.
 *
 * @param extended with EHLO, and HELO only to a server that does not know it
 */
export async function sayHello(
  session: ClientSession,
  by: Introduction,
  extended: boolean,
): Promise<Failure | undefined> {
  const { policy } = by;
  const timeout = policy.timeouts.hello;
  if (policy.dialect === "lmtp" || extended) {
    const verb = policy.dialect === "lmtp" ? "LHLO" : "EHLO";
    const reply = await session.ask(
      `${verb} ${policy.helloName}`,
      timeout,
      `performing the ${verb} handshake`,
    );
    if (isPositive(reply)) {
      session.features = parseEhlo(reply.lines, await discardedKeywords(session, by));
      // RFC 8689 section 2: what is said of it in the clear means nothing.
      if (session.security === undefined) session.features = { ...session.features, requireTls: false };
      return foundMyself(session, policy);
    }
    // RFC 5321 section 3.2: a server that does not know EHLO is greeted with HELO. LMTP has no such thing.
    if (policy.dialect === "lmtp" || reply.code === 421) return refusedToTalk(session, reply);
  }
  const reply = await session.ask(`HELO ${policy.helloName}`, timeout, "performing the HELO handshake");
  if (!isPositive(reply)) return refusedToTalk(session, reply);
  session.features = { ...NO_FEATURES, serverName: splitBlanks(reply.lines[0] ?? "")[0] ?? "" };
  return foundMyself(session, policy);
}

/** True when the server must not be greeted with EHLO, for the firewall before it. */
async function workAround(session: ClientSession, by: Introduction): Promise<boolean> {
  const words = await by.tables?.pixWorkarounds(session) ?? by.policy.pix.workarounds;
  const used = pixWorkarounds(words, Date.now() - by.arrival, by.policy);
  if (words.length === 0) return false;
  by.info(`enabling PIX workarounds: ${used.join(" ")} for ${relayLabel(session.host)}`);
  session.delaysEnd = used.includes("delay_dotcrlf");
  return used.includes("disable_esmtp");
}

/** Keywords that this server is not believed; told unless "silent-discard" is among them. */
async function discardedKeywords(session: ClientSession, by: Introduction): Promise<readonly string[]> {
  const words = await by.tables?.discardedKeywords(session) ?? by.policy.discardKeywords;
  if (words.length > 0 && !words.some((word) => equalsIgnoreCase(word, "silent-discard"))) {
    by.info(`discarding EHLO keywords: ${printable(words.join(" "))}`);
  }
  return words;
}

function isPositive(reply: Reply): boolean {
  return reply.code >= 200 && reply.code < 300;
}

/** A server that is closed today greets with 5yz; another host, or tomorrow, is worth a try. */
function refusedGreeting(session: ClientSession, reply: Reply, policy: ClientPolicy): Failure {
  const failure = refusedToTalk(session, reply);
  return policy.skip5xxGreeting && reply.code >= 500
    ? { ...failure, soft: true, status: `4${failure.status.slice(1)}` }
    : failure;
}

function mayLoop(session: ClientSession, policy: ClientPolicy): boolean {
  return policy.dialect === "smtp" && session.host.port === 25;
}

/** A server with our name on the mail port is ourselves: what we send it would come back. */
function foundMyself(session: ClientSession, policy: ClientPolicy): Failure | undefined {
  const { serverName } = session.features;
  if (!mayLoop(session, policy) || !equalsIgnoreCase(serverName, policy.myHostName)) return undefined;
  const text = `mail for ${session.name} loops back to myself`;
  return session.host.best
    ? localFailure("site", false, "5.4.6", text, session.name)
    : localFailure("site", true, "4.4.6", text, session.name);
}
