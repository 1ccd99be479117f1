/**
 * In-flow control: while qmgr says that mail comes in faster than it is taken, each message waits for in_flow_delay
 * before it is begun. Nothing is exchanged for a message.
 */
// Utility
import type { ClientExchange, IpcClient } from "../../lib/ipc/client.ts";
// Server skeleton
import type { QMGR } from "../../lib/proto/protocols.ts";

/** Pause before a queue manager that went away is asked again, milliseconds. */
const AGAIN = 5000;

/** Holds messages back when qmgr says so. */
export class InFlowDelay {
  readonly #qmgr: Pick<IpcClient<typeof QMGR>, "open">;
  readonly #delay: number;
  #held = false;

  /** @param delay in_flow_delay, seconds; 0: qmgr is not asked */
  constructor(qmgr: Pick<IpcClient<typeof QMGR>, "open">, delay: number) {
    this.#qmgr = qmgr;
    this.#delay = delay * 1000;
    if (delay > 0) this.#watch();
  }

  /** Undefined when a message may be begun at once. */
  wait(): Promise<void> | undefined {
    if (!this.#held) return undefined;
    return new Promise((resolve) => setTimeout(resolve, this.#delay));
  }

  #watch(): void {
    // A queue manager that is away holds nobody up.
    const gone = () => {
      this.#held = false;
      setTimeout(() => this.#watch(), AGAIN);
    };
    const exchange: ClientExchange<typeof QMGR> = this.#qmgr.open((reply) => {
      if (reply.is === "pace") this.#held = reply.held;
      else gone();
    }, gone);
    exchange.send("watch", {});
  }
}
