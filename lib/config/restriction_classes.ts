/**
 * smtpd_restriction_classes: names for lists of restrictions. main.toml names the classes; their lists are variables of
 * the same name. A daemon is told both in one list: each name with its list in braces behind it.
 *
 * @module
 */
import { splitList } from "./values.ts";

/** The names with their lists, as a daemon is told. */
export function joinClasses(names: readonly string[], listOf: (name: string) => string): string[] {
  return names.flatMap((name) => [name, `{${listOf(name)}}`]);
}

/** The lists by their names. */
export function splitClasses(told: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const classes = new Map<string, readonly string[]>();
  for (let i = 0; i + 1 < told.length; i += 2) {
    classes.set(told[i]!, splitList(told[i + 1]!.slice(1, -1)) ?? []);
  }
  return classes;
}
