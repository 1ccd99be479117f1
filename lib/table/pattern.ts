/**
 * Regular expressions that no pattern and no subject can stall: RE2 in JavaScript. The only importer of `re2js`.
 * Matching is leftmost-longest, as POSIX has it; where a group could hold several texts within the longest match,
 * RE2 may choose another than the C library does.
 *
 * @module
 */
import { RE2JS } from "re2js";
// Utility
import { asciiLower } from "../vstring/ascii.ts";
// Tables
import { PatternError } from "./pattern_error.ts";
import { type PatternFlags, translatePattern } from "./posix_pattern.ts";

/** A compiled POSIX regular expression. */
export class Pattern {
  /** Groups that it captures. */
  readonly groups: number;
  readonly #compiled: RE2JS;
  readonly #ignoreCase: boolean;

  /** Throws a PatternError for a pattern that is wrong or that RE2 cannot do. */
  constructor(pattern: string, flags: PatternFlags) {
    const translated = translatePattern(pattern, flags);
    this.groups = translated.groups;
    this.#ignoreCase = flags.ignoreCase;
    try {
      this.#compiled = RE2JS.compile(translated.source, RE2JS.LONGEST_MATCH);
    } catch (error) {
      throw new PatternError(error instanceof Error ? error.message : String(error));
    }
  }

  /** True when the pattern matches somewhere in the subject. */
  matches(subject: Subject): boolean {
    return this.#compiled.test(this.#ignoreCase ? subject.folded : subject.text);
  }

  /** What each group holds, from group 1 on, empty where one took no part; undefined without a match. */
  capture(subject: Subject): string[] | undefined {
    const matcher = this.#compiled.matcher(this.#ignoreCase ? subject.folded : subject.text);
    if (!matcher.find()) return undefined;
    // Folding keeps the length, so offsets in the folded text are offsets in the text.
    return Array.from({ length: this.groups }, (_, i) => {
      const start = matcher.start(i + 1);
      return start < 0 ? "" : subject.text.slice(start, matcher.end(i + 1));
    });
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
