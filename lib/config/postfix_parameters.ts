/**
 * Every parameter of Postfix (3.12), honoured here or not: what it is there, who uses it, and for those that Postern
 * does not honour why, and what they are for. A name that Postfix has is refused as that rather than as a typing error,
 * and the import of main.cf knows which of Postfix's defaults are not ours. What Postern honours is in parameters.ts,
 * which comes first: a row there counts, whatever stands here.
 *
 * @module
 */

import { type PostfixRow, type PostfixType, REASONS, type Refusal } from "./postfix_row.ts";
import { ROWS_A_P } from "./postfix_rows_a_p.ts";
import { ROWS_Q_Z } from "./postfix_rows_q_z.ts";

export type { Refusal };

/** One of Postfix's parameters. */
export interface PostfixParameter {
  readonly type: PostfixType;
  /** As Postfix has it; empty where it is computed. */
  readonly default: string;
  /** Least value; for text the least length. */
  readonly min: number;
  /** Greatest value, 0 for none. */
  readonly max: number;
  /** Postfix's programs that use it; "global" for all. */
  readonly users: string;
  /** Why Postern does not honour it, and what to do; undefined for those that it honoured when this was written. */
  readonly refusal?: Refusal;
  /** What it is for; undefined for those that parameters.ts has. */
  readonly doc?: string;
}

const PARAMETERS: ReadonlyMap<string, PostfixRow> = new Map(Object.entries({ ...ROWS_A_P, ...ROWS_Q_Z }));

/** All names, alphabetical. */
export const POSTFIX_NAMES: readonly string[] = [...PARAMETERS.keys()].sort();

/** True for the name of a parameter of Postfix, honoured here or not. */
export function isPostfixName(name: string): boolean {
  return PARAMETERS.has(name);
}

/** What Postfix says of a parameter, or undefined for a name that it does not have. */
export function findPostfixParameter(name: string): PostfixParameter | undefined {
  const row = PARAMETERS.get(name);
  if (row === undefined) return undefined;
  const [type, value, min, max, users] = row;
  const facts = { type, default: value, min, max, users };
  return row.length === 5 ? facts : { ...facts, refusal: refusalOf(row[5], row[6]), doc: row[6] };
}

/** The reason of a group; of an obsolete name, with what its row says of its successor. */
function refusalOf(reason: keyof typeof REASONS, doc: string): Refusal {
  const refusal = REASONS[reason];
  const successor = ["Old name of ", "today "].map((words) => doc.split(words)[1]).find((text) => text);
  return reason === "obsolete" && successor !== undefined
    ? { ...refusal, cure: `use ${successor}` }
    : refusal;
}
