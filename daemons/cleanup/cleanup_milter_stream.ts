/**
 * A filter's connection that smtpd has: bytes go there and back over the exchange of the message, one read at a time.
 */
// Safe primitives
import { NetworkError } from "../../lib/safe/connect.ts";
// Wire protocols
import type { MilterStream } from "../../lib/milter/milter_wire.ts";
// Server skeleton
import type { ServerExchange } from "../../lib/ipc/server.ts";
import type { Request } from "../../lib/ipc/protocol.ts";
import type { CLEANUP } from "../../lib/proto/protocols.ts";

/** Bytes that go in one message. */
const PIECE = 32 * 1024;
/** Bytes under way to a filter before the writer waits. */
const WRITE_WINDOW = 256 * 1024;
const TIMED_OUT = "Connection timed out";

/** What smtpd says of a connection. */
export type RelayAnswer = Pick<Request<typeof CLEANUP> & { is: "milterDone" }, "what" | "bytes" | "why">;

/** The way to the client. */
export type RelayReply = ServerExchange<typeof CLEANUP>["reply"];

/** One connection. */
export class RelayedStream implements MilterStream {
  readonly #reply: RelayReply;
  readonly #filter: number;
  /** What was read and does not fit into the reader's buffer. */
  #held: Uint8Array = new Uint8Array(0);
  /** Sizes of the writes under way. */
  readonly #writes: number[] = [];
  #underWay = 0;
  #failure: NetworkError | undefined;
  #wake: (() => void) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(reply: RelayReply, filter: number) {
    this.#reply = reply;
    this.#filter = filter;
  }

  deadline(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fail(new NetworkError("timeout", TIMED_OUT)), milliseconds);
  }

  noDeadline(): void {
    clearTimeout(this.#timer);
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += PIECE) {
      if (this.#failure !== undefined) throw this.#failure;
      const piece = bytes.subarray(at, at + PIECE);
      this.#reply("milterWrite", { filter: this.#filter, bytes: piece });
      this.#writes.push(piece.length);
      this.#underWay += piece.length;
      while (this.#underWay > WRITE_WINDOW && this.#failure === undefined) await this.#answered();
    }
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    if (this.#held.length === 0) {
      if (this.#failure !== undefined) throw this.#failure;
      this.#reply("milterRead", { filter: this.#filter });
      while (this.#held.length === 0) {
        if (this.#failure !== undefined) throw this.#failure;
        await this.#answered();
      }
    }
    const count = Math.min(buffer.length, this.#held.length);
    buffer.set(this.#held.subarray(0, count));
    this.#held = this.#held.subarray(count);
    return count;
  }

  /** Takes what smtpd says. */
  take({ what, bytes, why }: RelayAnswer): void {
    if (what === "written") this.#underWay -= this.#writes.shift() ?? 0;
    else if (bytes.length > 0) this.#held = bytes.slice();
    if (why !== "") this.#fail(new NetworkError("closed", why));
    this.#wake?.();
  }

  /** The message is over for whoever waits: nobody will answer. */
  abandon(): void {
    this.#fail(new NetworkError("closed", "Message is given up"));
  }

  close(): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#closed = true;
    this.#failure ??= new NetworkError("closed", "Connection is closed");
    this.#reply("milterClose", { filter: this.#filter });
    this.#wake?.();
  }

  #fail(failure: NetworkError): void {
    clearTimeout(this.#timer);
    this.#failure ??= failure;
    this.#wake?.();
  }

  #answered(): Promise<void> {
    return new Promise((resolve) => this.#wake = resolve);
  }
}
