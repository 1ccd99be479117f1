/**
 * What the fuzzer drives. A target makes one input from a seed and looks at what comes of it; the same seed makes the
 * same input again. Not a test itself.
 *
 * @module
 */
import type { Random } from "../support/random.ts";

/** A part of the product with what it may do to any input. */
export interface Target {
  readonly name: string;
  /** Tries the input of one seed; throws when what comes of it is wrong. */
  readonly round: (random: Random) => void | Promise<void>;
  /** Ends what it runs on. */
  readonly close?: () => Promise<void>;
}

/** A failure with what is needed to make it again. */
export class FuzzFailure extends Error {
  override name = "FuzzFailure";

  constructor(target: string, seed: number, cause: unknown) {
    const inner = cause instanceof Error && cause.cause instanceof Error ? `${cause.cause.message}: ` : "";
    const why = inner + (cause instanceof Error ? cause.stack ?? cause.message : String(cause));
    super(`${target} breaks: deno task fuzz --target ${target} --seed ${seed} --rounds 1\n${why}`, { cause });
  }
}
