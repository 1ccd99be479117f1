/**
 * In-flow control: tells cleanup to take its time while new mail comes in faster than there is room for it
 * (postfix-map section 3.7). In Postfix cleanup takes a token from a pipe for each message. Here nothing is exchanged
 * for a message: cleanup is told when to begin with it, and when to stop.
 */
// Utility
import type { ServerExchange } from "../../lib/ipc/server.ts";
// Server skeleton
import type { QMGR } from "../../lib/proto/protocols.ts";

type Watcher = Pick<ServerExchange<typeof QMGR>, "reply" | "onCancel">;

/** Knows who makes messages, and whether they are to take their time. */
export class InFlow {
  readonly #most: number;
  readonly #watchers = new Set<Watcher>();
  #held = false;

  /** @param most new messages that may wait: default_process_limit, the number of Postfix's tokens */
  constructor(most: number) {
    this.#most = most;
  }

  /** Says how many new messages wait. */
  set(backlog: number): void {
    // Half of it must have gone before mail comes in freely again: else there is a word for every few messages.
    const held = backlog > (this.#held ? this.#most / 2 : this.#most);
    if (held === this.#held) return;
    this.#held = held;
    for (const watcher of this.#watchers) watcher.reply("pace", { held });
  }

  /** Tells one more process from now on. */
  watch(watcher: Watcher): void {
    this.#watchers.add(watcher);
    watcher.onCancel = () => this.#watchers.delete(watcher);
    if (this.#held) watcher.reply("pace", { held: true });
  }

  /** This queue manager ends: nobody is held up by it, and all may ask the next one. */
  end(): void {
    for (const watcher of this.#watchers) watcher.reply("over", {});
    this.#watchers.clear();
  }
}
