/** Runs `explain` on a configuration directory, in this process. Not a test itself. @module */
import assert from "node:assert/strict";
import { CommandError, makeEnv } from "../../commands/command.ts";
import { run } from "../../commands/explain.ts";
import type { Explanation } from "../../commands/explain_facts.ts";

/** What it printed, and its status. */
export interface Explained {
  readonly status: number;
  readonly output: string;
  readonly errors: string;
}

export async function explain(directory: string, ...args: string[]): Promise<Explained> {
  let output = "";
  let errors = "";
  const env = {
    ...makeEnv("explain", directory),
    out: (text: string) => void (output += text),
    err: (text: string) => void (errors += text),
  };
  try {
    return { status: await run(args, env), output, errors };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { status: error.status, output, errors: `${errors}${error.message}\n` };
  }
}

/** The facts, and the status that fits them. */
export async function facts(directory: string, ...args: string[]): Promise<Explanation> {
  const { status, output, errors } = await explain(directory, "--json", ...args);
  assert.equal(errors, "");
  const explanation = JSON.parse(output) as Explanation;
  assert.equal(status, explanation.good ? 0 : 1);
  return explanation;
}
