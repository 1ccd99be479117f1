/**
 * What a lookup table is: a key goes in, a value, nothing or a soft failure comes out.
 *
 * @module
 */

/** Answer of a look-up. `retry` is a trouble that may pass: the caller answers 4xx or defers, never 5xx. */
export type Outcome =
  | { readonly kind: "found"; readonly value: string }
  | { readonly kind: "missing" }
  | { readonly kind: "retry"; readonly why: string };

/** The answer of a table that does not hold the key. */
export const MISSING: Outcome & { readonly kind: "missing" } = { kind: "missing" };

/** An opened table. Its content never changes under a look-up: a changed file is swapped in as a whole. */
export interface Table {
  /** The table as the configuration writes it: `type:name`. */
  readonly spec: string;
  /** False for tables of patterns (regexp, cidr): they get full keys only, never a domain or a user cut from one. */
  readonly partialKeys: boolean;
  /** The value that the table holds for the key. Never throws and never rejects. */
  lookup(key: string): Outcome | Promise<Outcome>;
  /**
   * Where the entry stands that a look-up of the key finds, "FILE:LINE"; for tables whose content is a text that people
   * write. It may take a pass over the file when it is first asked for.
   */
  placeOf?(key: string): string | undefined;
  /** Every key and its value, for types that can list them. */
  entries?(): Iterable<readonly [key: string, value: string]>;
  /** Every value that it can give, for types that cannot list their keys. */
  values?(): Iterable<string>;
  /** Ends the connections of a table on a server; the next look-up opens new ones. */
  close?(): void;
}

/** Something that is wrong with a table's content. */
export interface TableProblem {
  /** The file, or the table's spec where the content stands in the configuration itself. */
  readonly file: string;
  /** Line that the faulty entry begins on, from 1; 0 when it is about the table as a whole. */
  readonly line: number;
  readonly text: string;
}

/** Takes the problems that leave the rest of a table usable: duplicates, lines without a value. */
export type Warn = (problem: TableProblem) => void;

/** A table that cannot be opened, and where the reason stands. Caught by `checkTables` and by soft openers. */
export class TableError extends Error {
  override name = "TableError";
  readonly problem: TableProblem;
  constructor(spec: string, problem: TableProblem, options?: ErrorOptions) {
    super(`Cannot open table "${spec}": ${describeProblem(problem)}`, options);
    this.problem = problem;
  }
}

/** `FILE, line N: TEXT`, as Postfix says it. */
export function describeProblem(problem: TableProblem): string {
  if (problem.line === 0) return `${problem.file}: ${problem.text}`;
  return `${problem.file}, line ${problem.line}: ${problem.text}`;
}

/** Where a rule or an entry stands; turns a fault in it into the exception that names the place. */
export interface Place {
  readonly spec: string;
  readonly file: string;
  readonly line: number;
}

/** Refuses the table because of the entry at `place`. */
export function refuse(place: Place, text: string): never {
  throw new TableError(place.spec, { file: place.file, line: place.line, text });
}
