/**
 * One connection to a server: its greeting, EHLO, HELO or LHLO, and the reading and writing under deadlines that
 * everything else stands on.
 *
 * @module
 */
import { type Connection, NetworkError } from "../safe/connect.ts";
import { ByteBuilder } from "../vstring/byte_builder.ts";
import { equalsIgnoreCase, splitBlanks } from "../vstring/ascii.ts";
import { type Failure, localFailure, refusedToTalk, StreamError } from "./client_failure.ts";
import { type Host, hostLabel } from "./client_hosts.ts";
import type { ClientPolicy } from "./client_policy.ts";
import { type Features, NO_FEATURES, parseEhlo } from "./ehlo.ts";
import { type Reply, ReplyError, ReplyParser } from "./reply.ts";
import { startTls, TlsError, type TlsHandshake, type TlsHandshakeOptions } from "../safe/tls_client.ts";
import type { SessionSecurity } from "./client_tls_session.ts";

/** Bytes read at once: replies are short. */
const READ_SIZE = 4096;
/** Most bytes that wait to be written: a piece of message text with its dots and folds. */
const WRITE_LIMIT = 512 * 1024;

/** A conversation that has begun. */
export class ClientSession {
  readonly host: Host;
  readonly name: string;
  readonly label: string;
  readonly started: number = performance.now();
  /** What is to be sent next. */
  readonly out = new ByteBuilder(WRITE_LIMIT, 2048);
  features: Features = NO_FEATURES;
  /** How the connection is encrypted; undefined in the clear. */
  security: SessionSecurity | undefined;
  /** Deliveries that this connection has been used for. */
  uses = 0;
  /** False when the conversation is in a state from which no other delivery can start. */
  sound = true;
  /** A transaction was begun and not brought to its end: RSET must come before the next. */
  dirty = false;
  /** QUIT went out behind the last message. */
  quitSent = false;
  readonly #connection: Connection;
  readonly #parser = new ReplyParser();
  readonly #input = new Uint8Array(READ_SIZE);
  #start = 0;
  #end = 0;
  #reading: Promise<number | null> | undefined;

  constructor(host: Host, connection: Connection) {
    this.host = host;
    this.name = host.name;
    this.label = hostLabel(host);
    this.#connection = connection;
  }

  /** Appends a command line. */
  command(line: string): void {
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
        const reply = this.#parser.take();
        if (reply !== undefined) {
          // RFC 5321 section 3.8: 421 says that the server is about to close.
          if (reply.code === 421) this.sound = false;
          return reply;
        }
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

  /** Sends one command and reads its reply. */
  async ask(line: string, timeoutMs: number, doing: string): Promise<Reply> {
    this.command(line);
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
    // What came in the clear behind the reply to STARTTLS was put there by somebody in the middle, to be taken for a
    // reply of the server that comes under TLS (CVE-2021-38371). No honest server speaks before the handshake.
    if (this.#start < this.#end || !this.#parser.idle) {
      this.sound = false;
      throw new TlsError("data in the clear behind the reply to STARTTLS");
    }
    try {
      const handshake = await startTls(this.#connection, options, timeoutMs);
      this.features = NO_FEATURES;
      return handshake;
    } catch (error) {
      this.sound = false;
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
      if (this.sound && !this.quitSent) {
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
    this.#connection.close();
  }

  async #read(): Promise<number | null> {
    const reading = this.#reading ?? this.#connection.read(this.#input);
    this.#reading = undefined;
    return await reading;
  }

  #failure(error: unknown, doing: string): Error {
    this.sound = false;
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

/**
 * Takes the server's greeting and introduces us. Throws `StreamError`.
 *
 * @returns the failure, or undefined when mail may be sent
 */
export async function introduce(session: ClientSession, policy: ClientPolicy): Promise<Failure | undefined> {
  const timeout = policy.timeouts.hello;
  const greeting = await session.reply(timeout, "receiving the initial server greeting");
  if (!isPositive(greeting)) return refusedGreeting(session, greeting, policy);
  const words = splitBlanks(greeting.lines.join(" "));
  const extended = policy.ehlo === "always" || (policy.ehlo === "banner" && words.includes("ESMTP"));
  return await sayHello(session, policy, extended);
}

/**
 * Says who we are and learns what the server can; again behind STARTTLS. Throws `StreamError`.
 *
 * @param extended with EHLO, and HELO only to a server that does not know it
 */
export async function sayHello(
  session: ClientSession,
  policy: ClientPolicy,
  extended: boolean,
): Promise<Failure | undefined> {
  const timeout = policy.timeouts.hello;
  if (extended) {
    const verb = policy.dialect === "lmtp" ? "LHLO" : "EHLO";
    const reply = await session.ask(
      `${verb} ${policy.helloName}`,
      timeout,
      `performing the ${verb} handshake`,
    );
    if (isPositive(reply)) {
      session.features = parseEhlo(reply.lines, policy.discardKeywords);
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

function isPositive(reply: Reply): boolean {
  return reply.code >= 200 && reply.code < 300;
}

/** A server that is closed today greets with 5yz; another host, or tomorrow, is worth a try. */
function refusedGreeting(session: ClientSession, reply: Reply, policy: ClientPolicy): Failure {
  const failure = refusedToTalk(session, reply);
  return policy.skip5xxGreeting && !failure.soft
    ? { ...failure, soft: true, status: `4${failure.status.slice(1)}` }
    : failure;
}

/** A server with our name on the mail port is ourselves: what we send it would come back. */
function foundMyself(session: ClientSession, policy: ClientPolicy): Failure | undefined {
  const mayLoop = policy.dialect === "smtp" && session.host.port === 25;
  if (!mayLoop || !equalsIgnoreCase(session.features.serverName, policy.myHostName)) return undefined;
  const text = `mail for ${session.name} loops back to myself`;
  return session.host.best
    ? localFailure("site", false, "5.4.6", text, session.name)
    : localFailure("site", true, "4.4.6", text, session.name);
}
