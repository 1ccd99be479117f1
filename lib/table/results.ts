/**
 * The values that a database gave for a key, as the one value that a table holds: each through the result format,
 * empty ones left out, joined with commas, no more than `expansion_limit`.
 *
 * @module
 */
// Tables
import { expandQuery, type QueryTemplate } from "./query_template.ts";
import { MISSING, type Outcome } from "./table.ts";

/** Longest result of a look-up, UTF-16 units, whatever expansion_limit says. */
export const RESULT_LIMIT = 1024 * 1024;

/** Collects the values of one look-up. */
export class ResultList {
  readonly #format: QueryTemplate;
  readonly #limit: number;
  readonly #key: string;
  readonly #values: string[] = [];
  #length = 0;
  #why: string | undefined;

  /** @param limit parameter expansion_limit; 0: none */
  constructor(key: string, format: QueryTemplate, limit: number) {
    this.#key = key;
    this.#format = format;
    this.#limit = limit;
  }

  /** Adds a value; false when no more may follow. */
  add(value: string): boolean {
    const text = expandQuery(this.#format, this.#key, value, (part) => part);
    if (text === undefined) return true;
    if (this.#limit > 0 && this.#values.length === this.#limit) {
      this.#why = `Expansion limit exceeded for key: '${this.#key}'`;
    } else if ((this.#length += text.length) > RESULT_LIMIT) {
      this.#why = `result is longer than ${RESULT_LIMIT} characters for key: '${this.#key}'`;
    } else {
      this.#values.push(text);
    }
    return this.#why === undefined;
  }

  /** What the table answers. */
  outcome(spec: string): Outcome {
    if (this.#why !== undefined) return { kind: "retry", why: `table ${spec}: ${this.#why}` };
    return this.#values.length === 0 ? MISSING : { kind: "found", value: this.#values.join(",") };
  }
}
