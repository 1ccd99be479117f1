/**
 * Every parameter that Postern honours: one row each, alphabetical. Validation, defaults, `postconf`, the types of a
 * daemon's settings and the manual come from this table. Names, meanings and defaults are Postfix's at its newest
 * compatibility level (main.cf section 11 of the reference map); what is ours says "Own" in its text.
 *
 * @module
 */
import type { Parameter, ParameterTypes } from "./parameter_row.ts";
import { PARAMETERS_A_P } from "./parameters_a_p.ts";
import { PARAMETERS_Q_Z } from "./parameters_q_z.ts";

export type { Parameter, ParameterTypes } from "./parameter_row.ts";

/** The whole table. */
export const PARAMETERS = { ...PARAMETERS_A_P, ...PARAMETERS_Q_Z } as const;

/** Name of a parameter that Postern honours. */
export type ParameterName = keyof typeof PARAMETERS;

/** What a daemon gets for the parameter. */
export type ParameterValue<K extends ParameterName> = ParameterTypes[(typeof PARAMETERS)[K]["type"]];

/** The values of some parameters, frozen. */
export type Settings<K extends ParameterName> = { readonly [P in K]: ParameterValue<P> };

const ROWS: ReadonlyMap<string, Parameter> = new Map(Object.entries(PARAMETERS));

/** All names, alphabetical. */
export const PARAMETER_NAMES: readonly ParameterName[] = Object.keys(PARAMETERS).sort() as ParameterName[];

/** True for the name of a parameter that Postern honours. */
export function isParameterName(name: string): name is ParameterName {
  return ROWS.has(name);
}

/** The row of a parameter, or undefined. */
export function findParameter(name: string): Parameter | undefined {
  return ROWS.get(name);
}
