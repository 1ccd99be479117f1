/**
 * The password file: the sasl daemon, which alone can read it, runs the mechanisms.
 *
 * @module
 */
// Internal protocols
import { type ClientExchange, type IpcClient, IpcError } from "../ipc/client.ts";
import type { Reply } from "../ipc/protocol.ts";
import { type SASL, SASL_LIMIT } from "../proto/protocols.ts";
// SASL
import { type Mechanism, over, type SaslBackend, type SaslStep, type Started } from "./server_exchange.ts";
import { LOGIN, PLAIN } from "./server_plain.ts";

/** How long the daemon's answer on its mechanisms counts, milliseconds. */
const FRESH = 60_000;
const NOTHING = new Uint8Array(0);
const GONE: SaslStep = { kind: "trouble", why: "Connection lost to authentication server" };
/** What SCRAM does; its own module needs more than this process has. */
const OTHER: Pick<Mechanism, "properties"> = { properties: new Set(["mutual-auth"]) };

/** The daemon as a backend. */
export class PasswordsBackend implements SaslBackend {
  readonly #client: Pick<IpcClient<typeof SASL>, "call" | "open">;
  readonly #realm: string;
  #mechanisms: readonly Mechanism[] | undefined;
  #askedAt = -Infinity;

  /** @param realm of names without "@", or empty */
  constructor(client: Pick<IpcClient<typeof SASL>, "call" | "open">, realm: string) {
    this.#client = client;
    this.#realm = realm;
  }

  async mechanisms(): Promise<readonly Mechanism[] | undefined> {
    if (performance.now() - this.#askedAt < FRESH) return this.#mechanisms;
    try {
      const reply = await this.#client.call("mechanisms", {});
      if (reply.is !== "mechanisms") return undefined;
      this.#mechanisms = reply.names.map(({ name }) =>
        [PLAIN, LOGIN].find((one) => one.name === name) ??
          { name, ...OTHER }
      );
      this.#askedAt = performance.now();
    } catch (error) {
      if (!(error instanceof IpcError)) throw error;
      return undefined;
    }
    return this.#mechanisms;
  }

  async start(mechanism: string, initial: Uint8Array | undefined): Promise<Started> {
    if (initial !== undefined && initial.length > SASL_LIMIT) {
      return over({ kind: "failure", why: "Response too long" });
    }
    let settle: (step: SaslStep) => void = () => {};
    const next = () => new Promise<SaslStep>((resolve) => settle = resolve);
    const first = next();
    const exchange: ClientExchange<typeof SASL> = this.#client.open(
      (reply) => settle(stepOf(reply)),
      () => settle(GONE),
    );
    exchange.send("start", {
      mechanism,
      hasInitial: initial !== undefined,
      initial: initial ?? NOTHING,
      realm: this.#realm,
    });
    return {
      exchange: {
        respond: (response) => {
          const step = next();
          exchange.send("respond", { response });
          return step;
        },
        cancel: () => exchange.cancel(),
      },
      step: await first,
    };
  }
}

function stepOf(reply: Reply<typeof SASL>): SaslStep {
  switch (reply.is) {
    case "challenge":
      return { kind: "challenge", data: reply.data.slice() };
    case "success":
      return { kind: "success", username: reply.username };
    case "failure":
      return {
        kind: "failure",
        why: reply.reason,
        ...(reply.username === "" ? {} : { username: reply.username }),
      };
    case "trouble":
      return { kind: "trouble", why: reply.reason };
    case "mechanisms":
      return GONE;
  }
}
