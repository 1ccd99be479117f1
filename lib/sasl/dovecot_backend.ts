/**
 * Dovecot's authentication service, by its client protocol: lines of fields between tabs. One connection carries the
 * exchanges of all sessions; Dovecot runs the mechanisms, here they are passed through.
 *
 * @module
 */
// Safe primitives
import { type Connection, NetworkError } from "../safe/connect.ts";
import { processId } from "../safe/stdio.ts";
// Utility
import type { Logger } from "../log/log.ts";
import { InputBuffer } from "../stream/input_buffer.ts";
import { parseDecimal } from "../vstring/ascii.ts";
import { decodeBase64, encodeBase64 } from "../vstring/base64.ts";
import { decodeText, encodeText } from "../vstring/byte_builder.ts";
import { printable } from "../vstring/printable.ts";
// SASL
import { connectSasl, SASL_TIMEOUT } from "./sasl_socket.ts";
import { type SaslTarget, targetText } from "./sasl_target.ts";
import {
  type Mechanism,
  type MechanismProperty,
  over,
  type SaslBackend,
  type SaslClientFacts,
  type SaslStep,
  type ServerExchange,
  type Started,
} from "./server_exchange.ts";
import { readName } from "./server_plain.ts";

/** Longest line of Dovecot's, bytes. */
const LINE_LIMIT = 65_536;
/** Most mechanisms and characters of a reason that are kept. */
const MECHANISM_LIMIT = 50;
const REASON_LIMIT = 300;
/** Largest request id: Dovecot's are 32 bits. */
const ID_LIMIT = 0x7fffffff;
const READ_SIZE = 16_384;
/** How long an answer may take: Dovecot makes addresses wait, up to 15 seconds, from which wrong passwords come. */
const ANSWER_TIMEOUT = 3 * SASL_TIMEOUT;
const LOST = "Connection lost to authentication server";

/** Dovecot as a backend. */
export class DovecotBackend implements SaslBackend {
  readonly #target: SaslTarget;
  readonly #service: string;
  readonly #log: Logger;
  #session: DovecotSession | undefined;
  #connecting: Promise<DovecotSession | undefined> | undefined;

  /** @param service what Dovecot is told, as "smtp" */
  constructor(target: SaslTarget, service: string, log: Logger) {
    this.#target = target;
    this.#service = service;
    this.#log = log;
  }

  async mechanisms(): Promise<readonly Mechanism[] | undefined> {
    return (await this.#connect())?.mechanisms;
  }

  async start(
    mechanism: string,
    initial: Uint8Array | undefined,
    client: SaslClientFacts,
  ): Promise<Started> {
    const session = await this.#connect();
    if (session === undefined) {
      return over({ kind: "trouble", why: "Can't connect to authentication server" });
    }
    // The name goes into a line of fields: only one that Dovecot itself has offered may.
    if (!session.mechanisms.some(({ name }) => name === mechanism)) {
      return over({ kind: "failure", why: "Invalid authentication mechanism" });
    }
    const fields = [
      mechanism,
      `service=${this.#service}`,
      "nologin",
      `lip=${client.serverAddress}`,
      `rip=${client.clientAddress}`,
      ...(client.secured ? ["secured"] : []),
      // RFC 4954 section 4: an initial response of no bytes is one, and not the lack of one.
      ...(initial === undefined ? [] : [`resp=${encodeBase64(initial)}`]),
    ];
    return await session.begin(fields);
  }

  #connect(): Promise<DovecotSession | undefined> {
    if (this.#session?.open === true) return Promise.resolve(this.#session);
    return this.#connecting ??= this.#open().finally(() => this.#connecting = undefined);
  }

  async #open(): Promise<DovecotSession | undefined> {
    const place = targetText(this.#target);
    try {
      const connection = await connectSasl(this.#target);
      this.#session = await DovecotSession.greet(connection);
      return this.#session;
    } catch (error) {
      if (!(error instanceof NetworkError || error instanceof ProtocolError)) throw error;
      if (error instanceof NetworkError && error.kind === "denied") throw error.cause;
      this.#log.warning(
        `SASL: Connect to Dovecot auth socket '${place}' failed: ${printable(error.message)}`,
      );
      return undefined;
    }
  }
}

/** Dovecot said something that it should not. */
class ProtocolError extends Error {
  override name = "ProtocolError";
}

/** One connection whose greeting is over. */
class DovecotSession {
  readonly mechanisms: Mechanism[] = [];
  open = true;
  readonly #connection: Connection;
  readonly #input = new InputBuffer();
  readonly #waiting = new Map<number, (step: SaslStep) => void>();
  #greeted: ((error?: Error) => void) | undefined;
  #spid = false;
  #minor = 0;
  #next = 1;
  #heard = 0;

  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Shakes hands; throws NetworkError or ProtocolError. */
  static async greet(connection: Connection): Promise<DovecotSession> {
    const session = new DovecotSession(connection);
    const greeted = new Promise<void>((resolve, reject) => {
      session.#greeted = (error) => error === undefined ? resolve() : reject(error);
    });
    connection.deadline(SASL_TIMEOUT);
    void session.#read();
    await connection.write(encodeText(`VERSION\t1\t2\nCPID\t${processId()}\n`)).catch((error) =>
      session.#end(error)
    );
    await greeted;
    connection.noDeadline();
    return session;
  }

  /** Begins an exchange. */
  async begin(fields: readonly string[]): Promise<Started> {
    const id = this.#next;
    this.#next = id >= ID_LIMIT ? 1 : id + 1;
    const exchange: ServerExchange = {
      respond: (response) => this.#ask(id, `CONT\t${id}\t${encodeBase64(response)}\n`),
      cancel: () => {
        this.#waiting.delete(id);
        if (this.open && this.#minor >= 1) this.#send(`CANCEL\t${id}\n`);
      },
    };
    return { exchange, step: await this.#ask(id, `AUTH\t${[id, ...fields].join("\t")}\n`) };
  }

  #ask(id: number, line: string): Promise<SaslStep> {
    if (!this.open) return Promise.resolve({ kind: "trouble", why: LOST });
    return new Promise((resolve) => {
      const asked = performance.now();
      const timer = setTimeout(() => this.#late(id, asked), ANSWER_TIMEOUT);
      this.#waiting.set(id, (step) => {
        clearTimeout(timer);
        this.#waiting.delete(id);
        resolve(step);
      });
      this.#send(line);
    });
  }

  /** No answer has come: of a Dovecot that says nothing at all any more the connection is given up. */
  #late(id: number, asked: number): void {
    if (this.#heard < asked) return this.#end(new ProtocolError("no answer in time"));
    this.#waiting.get(id)?.({ kind: "trouble", why: "Authentication timed out" });
    if (this.open && this.#minor >= 1) this.#send(`CANCEL\t${id}\n`);
  }

  #send(line: string): void {
    this.#connection.write(encodeText(line)).catch((error) => this.#end(error));
  }

  async #read(): Promise<void> {
    const buffer = new Uint8Array(READ_SIZE);
    try {
      for (;;) {
        const count = await this.#connection.read(buffer);
        if (count === null) throw new ProtocolError(LOST);
        this.#heard = performance.now();
        this.#input.push(buffer.slice(0, count));
        for (;;) {
          const line = this.#input.line(LINE_LIMIT);
          if (line.kind === "tooLong" || this.#input.length > LINE_LIMIT) {
            throw new ProtocolError("line too long");
          }
          if (line.kind === "more") break;
          this.#take(decodeText(line.bytes).split("\t"));
        }
      }
    } catch (error) {
      if (!(error instanceof NetworkError || error instanceof ProtocolError)) throw error;
      this.#end(error);
    }
  }

  /** The connection is of no use any more: whoever waits is told. */
  #end(error: Error): void {
    if (!this.open) return;
    this.open = false;
    this.#connection.close();
    this.#greeted?.(error);
    for (const tell of [...this.#waiting.values()]) tell({ kind: "trouble", why: LOST });
  }

  #take([word, ...fields]: readonly string[]): void {
    switch (word) {
      case "VERSION": {
        if (fields[0] !== "1") {
          throw new ProtocolError(`SASL: Protocol version mismatch (${fields[0]} vs. 1)`);
        }
        this.#minor = parseDecimal(fields[1] ?? "") ?? 0;
        return;
      }
      case "MECH":
        return this.#addMechanism(fields);
      case "SPID":
        // auth-master speaks so: it would believe whatever it is told.
        if (this.mechanisms.length === 0) {
          throw new ProtocolError(
            "SASL: Connected to wrong auth socket (auth-master instead of auth-client)",
          );
        }
        this.#spid = true;
        return;
      case "DONE":
        if (!this.#spid) throw new ProtocolError("SASL: Protocol error");
        this.#greeted?.();
        this.#greeted = undefined;
        return;
      case "CONT":
      case "OK":
      case "FAIL":
        return this.#settle(word, fields);
    }
  }

  #addMechanism([name = "", ...words]: readonly string[]): void {
    const properties = new Set(words as MechanismProperty[]);
    if (name === "" || properties.has("private") || this.mechanisms.length >= MECHANISM_LIMIT) return;
    this.mechanisms.push({ name, properties });
  }

  #settle(word: "CONT" | "OK" | "FAIL", [id = "", ...fields]: readonly string[]): void {
    // What nobody waits for was broken off meanwhile.
    const tell = this.#waiting.get(parseDecimal(id) ?? 0);
    if (tell === undefined) return;
    tell(word === "CONT" ? readChallenge(fields) : word === "OK" ? readSuccess(fields) : readFailure(fields));
  }
}

function readChallenge([encoded = ""]: readonly string[]): SaslStep {
  const data = decodeBase64(encoded);
  return data === undefined ? { kind: "trouble", why: "SASL: Protocol error" } : { kind: "challenge", data };
}

function readSuccess(fields: readonly string[]): SaslStep {
  const user = fieldOf(fields, "user");
  const username = user === undefined ? undefined : readName(encodeText(user));
  // Nobody is logged in as nobody, and no name may hold what a log or a header would be split by.
  if (username === undefined || username === "") {
    return { kind: "failure", why: "cannot look up the authenticated SASL username" };
  }
  return { kind: "success", username };
}

function readFailure(fields: readonly string[]): SaslStep {
  const reason = printable(fieldOf(fields, "reason") ?? "", REASON_LIMIT);
  const temporary = fields.includes("temp") || fieldOf(fields, "code") === "temp_fail";
  if (temporary) return { kind: "trouble", why: reason || "(reason unavailable)" };
  const user = fieldOf(fields, "user");
  return { kind: "failure", why: reason, ...(user === undefined ? {} : { username: user }) };
}

function fieldOf(fields: readonly string[], name: string): string | undefined {
  const field = fields.find((one) => one.startsWith(`${name}=`));
  return field === undefined ? undefined : unescapeField(field.slice(name.length + 1));
}

const ESCAPES: ReadonlyMap<string, string> = new Map([["0", "\0"], ["1", "\x01"], ["t", "\t"], ["r", "\r"], [
  "n",
  "\n",
]]);

/** Dovecot's escapes of what separates fields and lines: a byte 1 and a letter. */
function unescapeField(text: string): string {
  let out = "";
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "\x01" && i + 1 < text.length) out += ESCAPES.get(text[++i]!) ?? text[i];
    else out += text[i];
  }
  return out;
}
