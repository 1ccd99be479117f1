/**
 * Exchanges of clients that log in, against the users of one file.
 */
// Safe primitives
import { isSandboxRefusal } from "../../lib/safe/error.ts";
import { hmac, randomBytes } from "../../lib/safe/digest.ts";
import { readTextFile } from "../../lib/safe/file.ts";
// Utility
import type { Logger } from "../../lib/log/log.ts";
import { encodeText } from "../../lib/vstring/byte_builder.ts";
// Server skeleton
import type { ServerExchange as Exchange } from "../../lib/ipc/server.ts";
import type { Request } from "../../lib/ipc/protocol.ts";
import type { SASL } from "../../lib/proto/protocols.ts";
// Wire protocols
import type { PasswordEntry } from "../../lib/sasl/password_entry.ts";
import { parsePasswordFile } from "../../lib/sasl/password_file.ts";
import { over, type SaslStep, type ServerExchange, type Started } from "../../lib/sasl/server_exchange.ts";
import { LOGIN, PLAIN, startPlain } from "../../lib/sasl/server_plain.ts";
import { SCRAM, type ScramKeys, startScram } from "../../lib/sasl/server_scram.ts";

/** Longest password file, bytes. */
const FILE_LIMIT = 4 * 1024 * 1024;
/** How long what was read of it counts, milliseconds. */
const READ_INTERVAL = 2000;
/** Checks at once, and those that may wait for their turn. */
const CHECKS_AT_ONCE = 2;
const CHECKS_WAITING = 100;
/** How long a login that fails is not answered, milliseconds: as long as Dovecot's. */
const FAILURE_DELAY = 2000;
/** Cost of SCRAM for users that are not there, where no user tells a better one. */
const DECOY_ITERATIONS = 4096;
const KEY_SIZE = 32;
const SALT_SIZE = 16;

type Message = Request<typeof SASL>;
type SaslExchange = Exchange<typeof SASL, ServerExchange>;

/** The users of the file, and what stands for those that are not there. */
interface Users {
  readonly text: string;
  readonly users: ReadonlyMap<string, PasswordEntry>;
  readonly everybodyScrams: boolean;
  /** Any user's, for the same work. */
  readonly decoy: PasswordEntry | undefined;
}

/** The service. */
export class SaslService {
  readonly #path: string;
  readonly #log: Logger;
  readonly #delay: number;
  readonly #secret = randomBytes(KEY_SIZE);
  #users: Users | undefined;
  #readAt = -Infinity;
  #trouble = "";
  #checking = 0;
  readonly #waiting: (() => void)[] = [];

  /** @param delay milliseconds before a failure is told */
  constructor(path: string, log: Logger, delay: number = FAILURE_DELAY) {
    this.#path = path;
    this.#log = log;
    this.#delay = delay;
  }

  async handle(exchange: Exchange<typeof SASL>, message: Message): Promise<void> {
    const one = exchange as SaslExchange;
    switch (message.is) {
      case "mechanisms":
        return one.reply("mechanisms", { names: this.#mechanisms().map((name) => ({ name })) });
      case "start": {
        one.onCancel = () => one.state?.cancel();
        const initial = message.hasInitial ? message.initial.slice() : undefined;
        const { exchange: begun, step } = await this.#start(message.mechanism, initial, message.realm);
        one.state = begun;
        return await this.#answer(one, step);
      }
      case "respond":
        if (one.state === undefined) return one.reply("trouble", { reason: "Nothing was begun" });
        return await this.#answer(one, await one.state.respond(message.response.slice()));
      default:
        return message satisfies never;
    }
  }

  async #answer(exchange: SaslExchange, step: SaslStep): Promise<void> {
    switch (step.kind) {
      case "challenge":
        return exchange.reply("challenge", { data: step.data });
      case "success":
        return exchange.reply("success", { username: step.username });
      case "failure":
        // Who guesses passwords gets an answer now and then, on each connection.
        await new Promise((resolve) => setTimeout(resolve, this.#delay));
        return exchange.reply("failure", { reason: step.why, username: step.username ?? "" });
      case "trouble":
        return exchange.reply("trouble", { reason: step.why });
    }
  }

  #mechanisms(): string[] {
    const users = this.#read();
    const scrams = users?.everybodyScrams === true ? [SCRAM.name] : [];
    return [...scrams, PLAIN.name, LOGIN.name];
  }

  async #start(mechanism: string, initial: Uint8Array | undefined, realm: string): Promise<Started> {
    const users = this.#read();
    if (users === undefined) return over({ kind: "trouble", why: "password file is not available" });
    if (mechanism === "PLAIN" || mechanism === "LOGIN") {
      return await startPlain(
        mechanism,
        initial,
        (name, password) => this.#check(users, withRealm(name, realm), password),
      );
    }
    if (mechanism === SCRAM.name && users.everybodyScrams) {
      return startScram(initial, (name) => this.#keys(users, withRealm(name, realm)));
    }
    return over({ kind: "failure", why: "Invalid authentication mechanism" });
  }

  async #check(users: Users, name: string, password: Uint8Array): Promise<SaslStep> {
    const known = users.users.get(name);
    const entry = known ?? users.decoy;
    const failure: SaslStep = { kind: "failure", why: "Authentication failed", username: name };
    if (entry === undefined) return failure;
    if (!await this.#enter()) return { kind: "trouble", why: "too many logins at once" };
    try {
      const right = await entry.check(password);
      return right && known !== undefined ? { kind: "success", username: name } : failure;
    } finally {
      this.#leave();
    }
  }

  /** Waits for a turn; false when too many wait. */
  async #enter(): Promise<boolean> {
    if (this.#checking >= CHECKS_AT_ONCE) {
      if (this.#waiting.length >= CHECKS_WAITING) return false;
      // Who leaves hands the place over.
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#checking++;
    return true;
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#checking--;
    else next();
  }

  /** A user's keys. One that is not there has the same salt each time, so that asking twice tells nothing. */
  #keys(
    users: Users,
    name: string,
  ): { readonly keys: ScramKeys; readonly known: boolean; readonly name: string } {
    const keys = users.users.get(name)?.scram;
    if (keys !== undefined) return { keys, known: true, name };
    const made = (what: string) => hmac("sha256", this.#secret, encodeText(`${what} ${name}`));
    const iterations = users.decoy?.scram?.iterations ?? DECOY_ITERATIONS;
    const salt = made("salt").subarray(0, users.decoy?.scram?.salt.length ?? SALT_SIZE);
    return {
      keys: { iterations, salt, storedKey: made("stored"), serverKey: made("server") },
      known: false,
      name,
    };
  }

  /** The users; undefined while the file cannot be read. A file that has become unreadable leaves nobody in. */
  #read(): Users | undefined {
    if (performance.now() - this.#readAt < READ_INTERVAL) return this.#users;
    this.#readAt = performance.now();
    try {
      this.#take(readTextFile(this.#path, FILE_LIMIT));
      this.#trouble = "";
    } catch (error) {
      if (isSandboxRefusal(error)) throw error;
      const why = error instanceof Error ? error.message : String(error);
      if (why !== this.#trouble) this.#log.warning(why);
      this.#trouble = why;
      this.#users = undefined;
    }
    return this.#users;
  }

  #take(text: string): void {
    if (text === this.#users?.text) return;
    const { users, problems } = parsePasswordFile(text);
    for (const { line, text } of problems) this.#log.warning(`${this.#path}, line ${line}: ${text}`);
    const entries = [...users.values()];
    const everybodyScrams = entries.length > 0 && entries.every((entry) => entry.scram !== undefined);
    this.#users = { text, users, everybodyScrams, decoy: entries[0] };
  }
}

function withRealm(name: string, realm: string): string {
  return realm === "" || name.includes("@") ? name : `${name}@${realm}`;
}
