/**
 * What is wrong with the tables of a configuration, for `check`, `postmap` and master's start.
 *
 * @module
 */
// Tables
import { openTable } from "./open.ts";
import type { OpenHow } from "./open_how.ts";
import { TableError, type TableProblem } from "./table.ts";

/** A problem and how bad it is: a table with a fault cannot be used, one with a remark can. */
export interface CheckedProblem extends TableProblem {
  readonly severity: "fault" | "remark";
  /** The table as the configuration names it. */
  readonly spec: string;
}

/** Opens each table and returns all that there is to say of them, in their order. */
export function checkTables(specs: readonly string[], how: OpenHow = {}): CheckedProblem[] {
  return specs.flatMap((spec) => checkTable(spec, how));
}

function checkTable(spec: string, how: OpenHow): CheckedProblem[] {
  const problems: CheckedProblem[] = [];
  try {
    const table = openTable(spec, {
      ...how,
      soft: false,
      warn: (problem) => problems.push({ ...problem, severity: "remark", spec }),
    });
    table.close?.();
  } catch (error) {
    if (!(error instanceof TableError)) throw error;
    problems.push({ ...error.problem, severity: "fault", spec });
  }
  return problems;
}
