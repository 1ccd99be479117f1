/**
 * The client side of anvil: one client's connection, of which anvil is told, and by which it is asked.
 *
 * @module
 */
import type { ClientExchange, IpcClient } from "../ipc/client.ts";
import type { Reply, RequestValues } from "../ipc/protocol.ts";
import type { ANVIL } from "./protocols.ts";

/** What is needed of a connection to anvil. */
export type AnvilService = Pick<IpcClient<typeof ANVIL>, "open">;
/** What a client does. */
export type AnvilEvent = RequestValues<typeof ANVIL, "count">["event"];

/** How long an answer is waited for, milliseconds. A client is not turned away, nor kept, because anvil hangs. */
const ANSWER_TIMEOUT = 10_000;

/** One client's connection as anvil sees it. Without anvil everything is answered with undefined: no limit holds. */
export class AnvilConnection {
  readonly #exchange: ClientExchange<typeof ANVIL>;
  /** Who waits for the next answers, in their order. */
  readonly #waiting: ((reply: Reply<typeof ANVIL> | undefined) => void)[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #over = false;

  constructor(anvil: AnvilService) {
    this.#exchange = anvil.open(
      (reply) => {
        const next = this.#waiting.shift();
        this.#watch();
        next?.(reply);
      },
      () => this.#giveUp(),
    );
  }

  /** The client has connected: its connections now and in this unit of time. */
  async connect(
    service: string,
    client: string,
  ): Promise<{ readonly count: number; readonly rate: number } | undefined> {
    const answer = this.#answer();
    this.#exchange.send("connect", { service, client });
    const reply = await answer;
    return reply?.is === "connected" ? reply : undefined;
  }

  /** The client does something more: how often in this unit of time. */
  async count(event: AnvilEvent): Promise<number | undefined> {
    const answer = this.#answer();
    this.#exchange.send("count", { event });
    const reply = await answer;
    return reply?.is === "rate" ? reply.rate : undefined;
  }

  /** How often it did so far. */
  async look(event: AnvilEvent): Promise<number | undefined> {
    const answer = this.#answer();
    this.#exchange.send("look", { event });
    const reply = await answer;
    return reply?.is === "rate" ? reply.rate : undefined;
  }

  /** The client has gone. */
  end(): void {
    if (this.#over) return;
    this.#exchange.cancel();
    this.#giveUp();
  }

  #answer(): Promise<Reply<typeof ANVIL> | undefined> {
    if (this.#over) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (this.#waiting.length === 1) this.#watch();
    });
  }

  /** One timer, for the oldest question. */
  #watch(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#waiting.length === 0 ? undefined : setTimeout(() => this.end(), ANSWER_TIMEOUT);
  }

  #giveUp(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    for (const wake of this.#waiting.splice(0)) wake(undefined);
  }
}
