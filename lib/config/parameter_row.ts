/**
 * What a row of the table of parameters says.
 *
 * @module
 */
import type { BounceTemplates } from "./bounce_templates.ts";

/** What a parameter's value is, as main.toml writes it and as a daemon sees it. */
export interface ParameterTypes {
  /** Text, `$name` expanded. */
  string: string;
  /** A whole number. */
  integer: number;
  /** true or false; Postfix's "yes" and "no" in text. */
  boolean: boolean;
  /** Seconds; "300s", "5d", "1h", "2w", "10m" in text. */
  duration: number;
  /** Items; in text separated by commas and blanks outside braces. */
  list: readonly string[];
  /** Lookup tables, each "type:name". */
  tables: readonly string[];
  /** main.toml names a file; a daemon is told its texts, `$name` expanded. */
  templates: BounceTemplates;
}

/** One row of the table. */
export interface Parameter {
  readonly type: keyof ParameterTypes;
  /** Default in Postfix's notation, `$name` allowed. */
  readonly default: string;
  /** The default is made from facts about the system (defaults.ts), not from this row. */
  readonly computed?: true;
  /** Least value (numbers, seconds); for text and lists 1: must not be set to nothing. */
  readonly min?: number;
  /** Greatest value (numbers, seconds). */
  readonly max?: number;
  /** The only values that it may have (text), or that its items may be (lists). */
  readonly values?: readonly string[];
  /** Beside its values, items may be tables "type:name" (lists). */
  readonly orTables?: true;
  /** Not expanded when read: the program expands it per recipient or reply. */
  readonly raw?: true;
  /** A match list: an item "/file" or "!/file" stands for the items in that file. */
  readonly files?: true;
  /** Names of variables that hold restriction lists: a daemon is told those too (restriction_classes.ts). */
  readonly classes?: true;
  /** An absolute path, or nothing. */
  readonly absolute?: true;
  /** One line for the manual. */
  readonly doc: string;
}
