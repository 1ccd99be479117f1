/**
 * The filters' connections, lent to cleanup for the content of one message: cleanup decides what is said and what the
 * answers mean, and this carries bytes. Postfix passes the connections themselves.
 */
// Safe primitives
import { NetworkError } from "../../lib/safe/connect.ts";
// Wire protocols
import type { Milter } from "../../lib/milter/milter.ts";
import type { MilterStream } from "../../lib/milter/milter_wire.ts";
// Server skeleton
import type { ClientExchange } from "../../lib/ipc/client.ts";
import type { Reply, RequestValues } from "../../lib/ipc/protocol.ts";
import { CHUNK_LIMIT, type CLEANUP } from "../../lib/proto/protocols.ts";
// This program
import type { SessionMilters } from "./smtpd_milter.ts";

/** Bytes that are read at once. */
const READ_SIZE = CHUNK_LIMIT / 2;
const NOTHING: Uint8Array = new Uint8Array(0);

type Lent = RequestValues<typeof CLEANUP, "milters">;

/** One filter whose connection is lent. */
interface Loan {
  readonly milter: Milter;
  readonly stream: MilterStream;
  /** Writes, one after the other. */
  written: Promise<void>;
}

/** What is lent for one message. */
export class MilterRelay {
  readonly #milters: SessionMilters;
  readonly #exchange: Pick<ClientExchange<typeof CLEANUP>, "send">;
  readonly #loans = new Map<number, Loan>();

  constructor(milters: SessionMilters, exchange: Pick<ClientExchange<typeof CLEANUP>, "send">) {
    this.#milters = milters;
    this.#exchange = exchange;
  }

  /** Tells cleanup of the filters that want to see the content. */
  offer(): void {
    this.#exchange.send("milters", {
      flags: this.#milters.flags,
      filters: this.#lend(),
      macros: this.#macros(),
    });
  }

  #lend(): Lent["filters"] {
    return this.#milters.list.milters.flatMap((milter, filter) => {
      const content = milter.content;
      if (content === undefined) return [];
      const { agreement, stream } = content;
      stream.noDeadline();
      this.#loans.set(filter, { milter, stream, written: Promise.resolve() });
      const { version, actions, steps } = agreement;
      const { name, defaultAction, contentTimeout } = milter.rule;
      return [{
        filter,
        name,
        defaultAction,
        contentTimeout,
        version,
        actions,
        steps,
        headerMacros: milter.macroNames("endOfHeader").map((name) => ({ name })),
        endMacros: milter.macroNames("endOfData").map((name) => ({ name })),
      }];
    });
  }

  /** The values of all macros that any of the filters is told with the content. */
  #macros(): Lent["macros"] {
    const names = new Set([...this.#loans.values()].flatMap(({ milter }) => [
      ...milter.macroNames("endOfHeader"),
      ...milter.macroNames("endOfData"),
    ]));
    return [...names].flatMap((name) => {
      const value = this.#milters.list.macroValue(name, this.#milters.macro);
      return value === undefined ? [] : [{ name, value }];
    });
  }

  /** Does what cleanup asks for. */
  take(reply: Reply<typeof CLEANUP>): void {
    switch (reply.is) {
      case "milterWrite":
        return this.#write(reply.filter, reply.bytes.slice());
      case "milterRead":
        return this.#read(reply.filter);
      case "milterClose":
        this.#loans.get(reply.filter)?.milter.lost();
        this.#loans.delete(reply.filter);
    }
  }

  /** The message is over. A connection on which cleanup was in the middle of something is of no use any more. */
  end(whole: boolean): void {
    if (!whole) { for (const { milter } of this.#loans.values()) milter.lost(); }
    this.#loans.clear();
  }

  #write(filter: number, bytes: Uint8Array): void {
    const loan = this.#loans.get(filter);
    if (loan === undefined) return this.#done(filter, "written", NOTHING, "filter is not there");
    loan.written = loan.written.then(() => loan.stream.write(bytes)).then(
      () => this.#done(filter, "written", NOTHING, ""),
      (error) => this.#done(filter, "written", NOTHING, reasonOf(error)),
    );
  }

  #read(filter: number): void {
    const loan = this.#loans.get(filter);
    if (loan === undefined) return this.#done(filter, "read", NOTHING, "filter is not there");
    const buffer = new Uint8Array(READ_SIZE);
    loan.stream.read(buffer).then(
      (count) =>
        count === null
          ? this.#done(filter, "read", NOTHING, "Connection closed by the filter")
          : this.#done(filter, "read", buffer.subarray(0, count), ""),
      (error) => this.#done(filter, "read", NOTHING, reasonOf(error)),
    );
  }

  #done(filter: number, what: "written" | "read", bytes: Uint8Array, why: string): void {
    this.#exchange.send("milterDone", { filter, what, bytes, why });
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof NetworkError) return error.reason;
  throw error;
}
