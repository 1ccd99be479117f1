/**
 * The fuzzer: random input that knows what its reader expects, against everything that strangers can reach.
 *
 *   deno task fuzz                               all targets, until it is stopped
 *   deno task fuzz --target smtp --seconds 60    one of them, for a minute
 *   deno task fuzz --target smtp --seed 7        from this seed on
 *   deno task fuzz --target smtp --seed 7 --rounds 1
 *
 * Every input is made from one number, which a failure names. `fuzz_test.ts` runs some seconds of it, always the same.
 *
 * @module
 */
import { Random } from "../support/random.ts";
import { PARSERS } from "./parsers.ts";
import { smtpTarget } from "./smtp.ts";
import { FuzzFailure, type Target } from "./target.ts";

/** Every target, by what makes it. */
export const TARGETS: ReadonlyMap<string, () => Target> = new Map([
  ["smtp", smtpTarget],
  ...PARSERS.map((one) => [one.name, () => one] as const),
]);

/** How far a run goes. */
export interface Run {
  readonly target: string;
  /** The first input's; each of the next ones has the next number. */
  readonly seed: number;
  readonly rounds: number;
  /** It ends when this says so, too. */
  readonly isOver?: () => boolean;
}

/** Runs inputs against a target; the number of inputs. Throws a FuzzFailure for the first that breaks it. */
export async function fuzz({ target: name, seed, rounds, isOver = () => false }: Run): Promise<number> {
  const make = TARGETS.get(name);
  if (make === undefined) throw new Error(`there is no target "${name}": ${[...TARGETS.keys()].join(", ")}`);
  const target = make();
  let done = 0;
  try {
    for (; done < rounds && !isOver(); done++) {
      try {
        const ended = target.round(new Random(seed + done));
        if (ended !== undefined) await ended;
      } catch (error) {
        throw new FuzzFailure(name, seed + done, error);
      }
    }
  } finally {
    await target.close?.();
  }
  return done;
}

/** The options of the command line: `--name value`. */
function readOptions(args: readonly string[]): Map<string, string> {
  const options = new Map<string, string>();
  for (let i = 0; i < args.length; i += 2) {
    const name = args[i]!;
    const value = args[i + 1];
    if (!["--seed", "--seconds", "--target", "--rounds"].includes(name) || value === undefined) {
      throw new Error("usage: deno task fuzz [--target NAME] [--seed N] [--seconds N] [--rounds N]");
    }
    options.set(name, value);
  }
  return options;
}

/** Inputs of one target before the next has its turn. */
const TURN = 2000;

/** Runs from the command line: one target or all in turns. */
async function main(args: readonly string[]): Promise<void> {
  const options = readOptions(args.filter((arg) => arg !== "--"));
  const number = (name: string, otherwise: number) => Number(options.get(name) ?? otherwise);
  const seconds = number("--seconds", Infinity);
  const rounds = number("--rounds", Infinity);
  let seed = number("--seed", Math.floor(Math.random() * 2 ** 31));
  const targets = options.has("--target") ? [options.get("--target")!] : [...TARGETS.keys()];
  const began = performance.now();
  const isOver = () => performance.now() - began > seconds * 1000;
  console.log(`seed ${seed}; ${targets.join(", ")}`);
  const counts = new Map<string, number>();
  for (let left = rounds; left > 0 && !isOver(); left -= TURN, seed += TURN) {
    for (const target of targets) {
      const done = await fuzz({ target, seed, rounds: Math.min(left, TURN), isOver });
      counts.set(target, (counts.get(target) ?? 0) + done);
    }
    console.log([...counts].map(([name, count]) => `${name} ${count}`).join(", "));
  }
}

if (import.meta.main) await main(Deno.args);
