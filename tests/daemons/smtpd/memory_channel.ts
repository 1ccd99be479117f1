/** Two ends of a connection in memory, in the place of `Channel`. Not a test itself. @module */
import type { Channel, ChannelEvents } from "../../../lib/safe/channel.ts";

/** One end. What is written arrives at the other end in a later microtask, as a copy. */
export class MemoryChannel {
  readonly remoteAddress = "";
  readonly remotePort = 0;
  readonly localAddress = "";
  readonly localPort = 0;
  readonly pending = 0;
  /** Reading was stopped, and how often. */
  paused = false;
  pauses = 0;
  over = false;
  /** How often something was written late: here that makes no difference. */
  lateWrites = 0;
  #other: MemoryChannel | undefined;
  #events: ChannelEvents | undefined;
  #waiting: Uint8Array[] = [];
  #next = 0;
  #peerOver = false;
  #scheduled = false;

  /** A connected pair. */
  static pair(): [MemoryChannel, MemoryChannel] {
    const [one, other] = [new MemoryChannel(), new MemoryChannel()];
    one.#other = other;
    other.#other = one;
    return [one, other];
  }

  /** The same object for code that wants the class. */
  asChannel(): Channel {
    return this as unknown as Channel;
  }

  start(events: ChannelEvents): void {
    this.#events = events;
    this.#schedule();
  }

  write(bytes: Uint8Array): boolean {
    if (!this.over) this.#other!.#arrive(bytes.slice());
    return true;
  }

  writeLate(bytes: Uint8Array): void {
    this.lateWrites++;
    this.write(bytes);
  }

  pause(): void {
    this.paused = true;
    this.pauses++;
  }

  resume(): void {
    this.paused = false;
    this.#schedule();
  }

  close(): void {
    this.finish();
  }

  finish(): void {
    if (this.over) return;
    this.over = true;
    this.#other!.#peerOver = true;
    this.#other!.#schedule();
  }

  destroy(): void {
    const open = !this.over;
    this.finish();
    if (open) this.#events?.closed(undefined);
  }

  #arrive(bytes: Uint8Array): void {
    this.#waiting.push(bytes);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      while (this.#next < this.#waiting.length && !this.paused && this.#events !== undefined && !this.over) {
        this.#events.data(this.#waiting[this.#next++]!);
      }
      if (this.#next < this.#waiting.length) return;
      this.#waiting = [];
      this.#next = 0;
      if (!this.#peerOver || this.over || this.#events === undefined) return;
      this.over = true;
      this.#events.closed(undefined);
    });
  }
}
