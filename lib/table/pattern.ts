/**
 * Regular expressions that no pattern and no subject can stall: RE2 in JavaScript. The only importer of `re2js`.
 * Of POSIX patterns the leftmost and longest match counts, of Perl's the one that Perl would find first; where a group could hold several texts within the longest match,
 * RE2 may choose another than the C library does.
 *
 * @module
 */
import { RE2JS } from "re2js";
// Utility
import { asciiLower } from "../vstring/ascii.ts";
// Tables
import { PatternError } from "./pattern_error.ts";
import { type PcreFlags, translatePcre } from "./pcre_pattern.ts";
import { type PatternFlags, translatePattern } from "./posix_pattern.ts";

/** A pattern in RE2's syntax and how it is to be matched. */
export interface PatternPlan {
  readonly source: string;
  /** Groups that it captures. */
  readonly groups: number;
  /** It is written for a subject in lower case. */
  readonly folded: boolean;
  /** Of the matches at the first place, the longest counts (POSIX), not the first found (Perl). */
  readonly longest: boolean;
  /** Where the subject ends in a newline, the end before it is one as well. */
  readonly endsBeforeNewline: boolean;
}

/** The plan of a POSIX pattern. Throws a PatternError. */
export function posixPlan(pattern: string, flags: PatternFlags): PatternPlan {
  const translated = translatePattern(pattern, flags);
  return { ...translated, folded: flags.ignoreCase, longest: true, endsBeforeNewline: false };
}

/** The plan of a Perl pattern. Throws a PatternError. */
export function pcrePlan(pattern: string, flags: PcreFlags): PatternPlan {
  return { ...translatePcre(pattern, flags), folded: false, longest: false };
}

/** A compiled regular expression. */
export class Pattern {
  /** Groups that it captures. */
  readonly groups: number;
  readonly #compiled: RE2JS;
  readonly #plan: PatternPlan;

  /** Throws a PatternError for a pattern that RE2 cannot do. */
  constructor(plan: PatternPlan) {
    this.groups = plan.groups;
    this.#plan = plan;
    try {
      this.#compiled = RE2JS.compile(plan.source, plan.longest ? RE2JS.LONGEST_MATCH : 0);
    } catch (error) {
      throw new PatternError(error instanceof Error ? error.message : String(error));
    }
  }

  /** True when the pattern matches somewhere in the subject. */
  matches(subject: Subject): boolean {
    return this.#subjects(subject).some((text) => this.#compiled.test(text));
  }

  /** What each group holds, from group 1 on, empty where one took no part; undefined without a match. */
  capture(subject: Subject): string[] | undefined {
    for (const text of this.#subjects(subject)) {
      const matcher = this.#compiled.matcher(text);
      if (!matcher.find()) continue;
      // Folding keeps the length, so offsets in the folded text are offsets in the text.
      return Array.from({ length: this.groups }, (_, i) => {
        const start = matcher.start(i + 1);
        return start < 0 ? "" : subject.text.slice(start, matcher.end(i + 1));
      });
    }
    return undefined;
  }

  /** The texts to search: without the newline at its end first, where a `$` may stand before that. */
  #subjects(subject: Subject): string[] {
    const text = this.#plan.folded ? subject.folded : subject.text;
    return this.#plan.endsBeforeNewline && text.endsWith("\n") ? [text.slice(0, -1), text] : [text];
  }
}

/** A text to search in, folded once however many patterns ask for it. */
export class Subject {
  readonly text: string;
  #folded: string | undefined;

  constructor(text: string) {
    this.text = text;
  }

  get folded(): string {
    return this.#folded ??= asciiLower(this.text);
  }
}
