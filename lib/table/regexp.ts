/**
 * regexp: and pcre: tables, as regexp_table(5) and pcre_table(5) describe them: ordered rules `/pattern/flags result`,
 * `!/pattern/flags result` and `if [!]/pattern/flags` ... `endif`. Any character that is neither letter, digit nor
 * white space may stand for the slash. Flags toggle; regexp: i ignore case (on), x extended syntax (on), m line by line
 * (off); pcre: i ignore case (on), s dot matches all (on), m, x, A, E, U, X (off).
 *
 * @module
 */
// Utility
import { isAlnum } from "../vstring/ascii.ts";
// Tables
import { isSpaceUnit, skipSpace, trimSpace } from "./logical_lines.ts";
import { Pattern, type PatternPlan, pcrePlan, posixPlan, Subject } from "./pattern.ts";
import { PatternError } from "./pattern_error.ts";
import { findRule, type Rule, type RuleSyntax } from "./rules.ts";
import { MISSING, type Outcome, type Place, refuse } from "./table.ts";
import { expandTemplate, parseTemplate, type Template } from "./template.ts";

/** A pattern that must, or must not, match. */
interface PatternTest {
  readonly pattern: Pattern;
  readonly negated: boolean;
}

/** One rule of a table of patterns. */
export type PatternRule = Rule<PatternTest, Template>;

/** What tells one type of patterns from another. */
export interface PatternDialect {
  /** Its flags and what each is without having been toggled. */
  readonly flags: Readonly<Record<string, boolean>>;
  /** The plan of a pattern. Throws a PatternError. */
  plan(pattern: string, flags: Readonly<Record<string, boolean>>): PatternPlan;
}

/** POSIX patterns. */
export const POSIX_DIALECT: PatternDialect = {
  flags: { i: true, m: false, x: true },
  plan: (pattern, flags) =>
    posixPlan(pattern, { basic: !flags["x"], ignoreCase: flags["i"]!, newline: flags["m"]! }),
};

/** Perl patterns. X has nothing to add: what has no meaning is refused in any case. */
export const PCRE_DIALECT: PatternDialect = {
  flags: { i: true, m: false, s: true, x: false, A: false, E: false, U: false, X: false },
  plan: (pattern, flags) =>
    pcrePlan(pattern, {
      ignoreCase: flags["i"]!,
      multiline: flags["m"]!,
      dotAll: flags["s"]!,
      extended: flags["x"]!,
      anchored: flags["A"]!,
      dollarEndOnly: flags["E"]!,
      ungreedy: flags["U"]!,
    }),
};

/** The syntax of tables of patterns; `paranoid` forbids `$1` in results, for tables whose results name files or commands. */
export function patternSyntax(dialect: PatternDialect, paranoid: boolean): RuleSyntax<PatternTest, Template> {
  return {
    condition: (text, place, warn) => {
      const { test, rest } = parseTest(text, dialect, place);
      if (rest !== "") {
        warn({
          file: place.file,
          line: place.line,
          text: `ignoring extra text after IF statement: "${rest}"`,
        });
      }
      return test;
    },
    rule: (text, place, warn) => {
      const { test, rest } = parseTest(text, dialect, place);
      if (rest === "") {
        warn({ file: place.file, line: place.line, text: "no replacement text: using empty string" });
      }
      return { test, result: parseResult(rest, test, paranoid, place) };
    },
  };
}

function parseResult(text: string, test: PatternTest, paranoid: boolean, place: Place): Template {
  const template = parseTemplate(text);
  if (template.kind === "bad") refuse(place, `bad replacement syntax: ${template.why}`);
  if (template.highest === 0) return template;
  if (test.negated) refuse(place, "$number found in negative match replacement text");
  if (paranoid) refuse(place, "regular expression substitution is not allowed in this table");
  if (template.highest > test.pattern.groups) {
    refuse(place, `out of range replacement index "${template.highest}"`);
  }
  return template;
}

/** Reads `[!]/pattern/flags`; `rest` is what follows, without blanks. */
function parseTest(text: string, dialect: PatternDialect, place: Place): { test: PatternTest; rest: string } {
  let at = 0;
  let negated = false;
  for (; text[at] === "!"; at = skipSpace(text, at + 1)) negated = !negated;
  const delimiter = text.charCodeAt(at);
  if (at === text.length || isAlnum(delimiter) || delimiter > 0x7e) {
    refuse(place, `expected a pattern between delimiters, as /pattern/, instead of "${text}"`);
  }
  const close = patternEnd(text, at + 1, delimiter);
  if (close === undefined) refuse(place, `no closing regexp delimiter "${text[at]}"`);
  const flags: Record<string, boolean> = { ...dialect.flags };
  let end = close + 1;
  for (; end < text.length && !isSpaceUnit(text.charCodeAt(end)); end++) {
    const flag = text[end]!;
    if (Object.hasOwn(flags, flag)) flags[flag] = !flags[flag];
    else if (flag === "!") refuse(place, 'use "if !/pattern2/" instead of "/pattern1/!/pattern2/"');
    else refuse(place, `unknown regexp option "${flag}"`);
  }
  try {
    return {
      test: { pattern: new Pattern(dialect.plan(text.slice(at + 1, close), flags)), negated },
      rest: trimSpace(text.slice(end)),
    };
  } catch (error) {
    if (error instanceof PatternError) refuse(place, error.message);
    throw error;
  }
}

/** Where the closing delimiter stands; one behind a backslash belongs to the pattern. */
function patternEnd(text: string, from: number, delimiter: number): number | undefined {
  for (let at = from; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text.charCodeAt(at) === delimiter) return at;
  }
  return undefined;
}

/** The result of the first rule that matches the key. */
export function findPattern(
  rules: readonly PatternRule[],
  key: string,
  hit?: (rule: PatternRule) => void,
): Outcome {
  const subject = new Subject(key);
  let groups: readonly string[] = [];
  const template = findRule(rules, (test, result) => {
    if (test.negated || result === undefined || result.highest === 0) {
      return test.pattern.matches(subject) !== test.negated;
    }
    const captured = test.pattern.capture(subject);
    if (captured !== undefined) groups = captured;
    return captured !== undefined;
  }, hit);
  return template === undefined ? MISSING : { kind: "found", value: expandTemplate(template, groups) };
}
