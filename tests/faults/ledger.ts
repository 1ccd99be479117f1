/**
 * The account of a campaign: what each transaction was told, what arrived of it, and what that means. Not a test itself.
 *
 * @module
 */
import type { Attempt } from "../support/smtp_driver.ts";
import { type Attempted, type Copy, NAMELESS, recipientsOf } from "./letters.ts";

/** A fault, and when it fell. */
export interface Fallen {
  readonly what: string;
  readonly from: number;
  readonly to: number;
}

/** Why a copy that is one too many is there. */
export type Cause =
  /** The client was not told 250 although the message was in the queue, so it sent it again (RFC 5321 4.2.5, 6.1). */
  | "no answer after the final dot"
  | "451 after the final dot"
  /** The next system's 250 did not reach us. */
  | "250 of the next system lost"
  /** bounce died behind the report, before its answer: the report was asked for again, without its log. */
  | "report without names"
  /** A process died between a delivery and the mark that says so. */
  | "killed before the mark"
  | "unexplained";

/** What the ledger says in the end. */
export interface Account {
  readonly messages: number;
  readonly attempts: number;
  readonly accepted: number;
  readonly copies: number;
  /** A recipient of an acknowledged transaction that got nothing: must be empty. */
  readonly lost: readonly string[];
  /** Copies that are not what was sent: must be empty. */
  readonly damaged: readonly string[];
  /** Copies of transactions that were refused or broken off before the final dot: must be empty. */
  readonly uncalledFor: readonly string[];
  /** Copies that are more than one for a message and recipient, by cause; none may be unexplained. */
  readonly duplicates: ReadonlyMap<Cause, number>;
  readonly unexplained: readonly string[];
}

/** How long before a second copy the fault that explains it may have fallen, milliseconds. */
const SETTLING = 60_000;

/** Keeps account. */
export class Ledger {
  readonly #attempts = new Map<string, Attempt>();
  readonly #numbers = new Set<number>();
  readonly fallen: Fallen[] = [];

  note(which: Attempted, attempt: Attempt): void {
    this.#attempts.set(keyOf(which), attempt);
    this.#numbers.add(which.number);
  }

  /** @param unheard copies whose 250 the next system did not bring out */
  account(copies: readonly Copy[], unheard: ReadonlySet<Copy>): Account {
    const found = Map.groupBy(copies, (copy) => `${keyOf(copy)} ${copy.recipient}`);
    const lost: string[] = [];
    let accepted = 0;
    for (const [key, { accepted: reply }] of this.#attempts) {
      if (reply === undefined) continue;
      accepted++;
      for (const recipient of recipientsOf(Number(key.split(".")[0]))) {
        if (!found.has(`${key} ${recipient}`)) lost.push(`${key} ${recipient} ${reply}`);
      }
    }
    const show = (copy: Copy) => `${keyOf(copy)} ${copy.recipient} ${copy.queueId}`;
    return {
      messages: this.#numbers.size,
      attempts: this.#attempts.size,
      accepted,
      copies: copies.length,
      lost,
      damaged: copies.filter(({ whole }) => !whole).map((copy) => `${copy.start}\n${show(copy)}`),
      uncalledFor: copies.filter((copy) => !this.#mayArrive(copy)).map(show),
      ...this.#duplicates(copies, unheard, show),
    };
  }

  /** True for what was acknowledged, and for what may have been in the queue when the answer was lost. */
  #mayArrive(copy: Copy): boolean {
    const attempt = this.#attempts.get(keyOf(copy));
    return attempt !== undefined && attempt.ended;
  }

  #duplicates(copies: readonly Copy[], unheard: ReadonlySet<Copy>, show: (copy: Copy) => string) {
    const duplicates = new Map<Cause, number>();
    const unexplained: string[] = [];
    const count = (cause: Cause, copy: Copy) => {
      duplicates.set(cause, (duplicates.get(cause) ?? 0) + 1);
      if (cause === "unexplained") unexplained.push(show(copy));
    };
    for (const group of Map.groupBy(copies, (copy) => `${copy.number} ${copy.recipient}`).values()) {
      if (group[0]!.recipient === NAMELESS) {
        for (const copy of group) count("report without names", copy);
        continue;
      }
      const byAttempt = [...Map.groupBy(group, keyOf).values()];
      // Every transaction but one is one too many, and all but the acknowledged one have no 250.
      const extra = byAttempt.filter(([copy]) => this.#attempts.get(keyOf(copy!))?.accepted === undefined);
      if (extra.length < byAttempt.length - 1) count("unexplained", group[0]!);
      for (const [copy] of extra.slice(extra.length === byAttempt.length ? 1 : 0)) {
        const said = this.#attempts.get(keyOf(copy!))?.said ?? "";
        count(said.startsWith("4") ? "451 after the final dot" : "no answer after the final dot", copy!);
      }
      for (const same of byAttempt) this.#repeated(same, unheard, count);
    }
    return { duplicates, unexplained };
  }

  /** Copies of one transaction for one recipient: each beyond the first needs its fault. */
  #repeated(same: Copy[], unheard: ReadonlySet<Copy>, count: (cause: Cause, copy: Copy) => void): void {
    const ordered = same.toSorted((a, b) => a.time - b.time);
    for (const [i, copy] of ordered.slice(1).entries()) {
      const before = ordered[i]!;
      const killed = this.fallen.some(({ from, to }) => to >= before.time - SETTLING && from <= copy.time);
      if (unheard.has(before)) count("250 of the next system lost", copy);
      else count(killed ? "killed before the mark" : "unexplained", copy);
    }
  }
}

function keyOf({ number, attempt }: Attempted): string {
  return `${number}.${attempt}`;
}
