/**
 * Tables made of tables: `unionmap:{type:name, ...}` joins all results with commas, `pipemap:{...}` looks each result
 * up in the next table, `randmap:{value, ...}` picks one value at random.
 *
 * @module
 */
// Tables
import { splitBraced, unbrace } from "./braces.ts";
import { MISSING, type Outcome, refuse, type Table } from "./table.ts";

/** Most members of a combined table. */
const MEMBER_LIMIT = 100;

/** The members' specs or values in the text behind the type's name. */
export function combinedMembers(spec: string, name: string): string[] {
  const members = splitBraced(unbrace(name)).map((item) => item.text);
  if (members.length === 0) refuse({ spec, file: spec, line: 0 }, "needs at least one member");
  if (members.length > MEMBER_LIMIT) {
    refuse({ spec, file: spec, line: 0 }, `has more than ${MEMBER_LIMIT} members`);
  }
  return members;
}

/** Every table is asked; what they found is joined with commas. */
export class UnionTable implements Table {
  readonly spec: string;
  readonly partialKeys: boolean;
  readonly #members: readonly Table[];

  constructor(spec: string, members: readonly Table[]) {
    this.spec = spec;
    this.#members = members;
    this.partialKeys = members.every((member) => member.partialKeys);
  }

  async lookup(key: string): Promise<Outcome> {
    const values: string[] = [];
    for (const member of this.#members) {
      const outcome = await member.lookup(key);
      if (outcome.kind === "retry") return outcome;
      if (outcome.kind === "found") values.push(outcome.value);
    }
    return values.length === 0 ? MISSING : { kind: "found", value: values.join(",") };
  }

  close(): void {
    for (const member of this.#members) member.close?.();
  }
}

/** Each table's result is the key for the next; one that holds no such key ends the search. */
export class PipeTable implements Table {
  readonly spec: string;
  readonly partialKeys: boolean;
  readonly #members: readonly Table[];

  constructor(spec: string, members: readonly Table[]) {
    this.spec = spec;
    this.#members = members;
    this.partialKeys = members.every((member) => member.partialKeys);
  }

  async lookup(key: string): Promise<Outcome> {
    let value = key;
    for (const member of this.#members) {
      const outcome = await member.lookup(value);
      if (outcome.kind !== "found") return outcome;
      value = outcome.value;
    }
    return { kind: "found", value };
  }

  close(): void {
    for (const member of this.#members) member.close?.();
  }
}

/** One of its values, whatever the key. */
export class RandomTable implements Table {
  readonly spec: string;
  readonly partialKeys = false;
  readonly #values: readonly string[];

  constructor(spec: string, values: readonly string[]) {
    this.spec = spec;
    this.#values = values;
  }

  lookup(): Outcome {
    const value = this.#values[Math.floor(Math.random() * this.#values.length)];
    return value === undefined ? MISSING : { kind: "found", value };
  }
}
