/**
 * Where a restriction stands, and what it does when it is asked.
 *
 * @module
 */
// Access
import type { Question, Rule, Services, Verdict } from "./policy.ts";
import type { Subject } from "./subject.ts";

/** What the restrictions of one list have in common. */
export interface ListContext {
  readonly services: Services;
  /** The parameter that names the list's tables, for whoever looks them up. */
  readonly parameter: string;
  /** Where the list is set. */
  readonly place: string;
  readonly subject: Subject;
  /** What a table by itself stands for; undefined where it stands for nothing. */
  readonly tableAccess: string | undefined;
  /** The restriction that led to this list. */
  readonly within?: Rule;
}

/** Asks a restriction. */
export type Run = (question: Question) => Verdict | Promise<Verdict>;

/** Makes a restriction of a list, with its argument. */
export type Row = (context: ListContext, argument: string) => Run;
