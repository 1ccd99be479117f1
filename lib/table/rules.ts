/**
 * What tables of ordered rules have in common: `if` blocks, and rules that stand in a file or, each in braces, in the
 * configuration itself. The first rule that matches gives the result.
 *
 * @module
 */
// Utility
import { asciiLower, isAlnum } from "../vstring/ascii.ts";
// Tables
import { splitBraced } from "./braces.ts";
import { type LogicalLine, logicalLines, trimSpace } from "./logical_lines.ts";
import { type Place, refuse, type Warn } from "./table.ts";

/** Deepest nesting of `if`. */
export const IF_DEPTH_LIMIT = 100;

/** A rule with its test and, for a rule that gives a result, how that is made. */
export type Rule<Test, Result> =
  | { readonly kind: "result"; readonly test: Test; readonly result: Result; readonly line: number }
  /** When the test fails, the search goes on at index `end`. */
  | { readonly kind: "if"; readonly test: Test; end: number; readonly line: number };

/** How one type of table writes its rules. */
export interface RuleSyntax<Test, Result> {
  /** The test behind `if`. */
  condition(text: string, place: Place, warn: Warn): Test;
  /** An ordinary rule. */
  rule(text: string, place: Place, warn: Warn): { readonly test: Test; readonly result: Result };
}

/** The rules of a file's text. Throws a TableError that names file and line of the first bad rule. */
export function parseRuleFile<T, R>(
  text: string,
  spec: string,
  file: string,
  syntax: RuleSyntax<T, R>,
  warn: Warn,
): Rule<T, R>[] {
  return parseRules(logicalLines(text, file, warn), spec, file, syntax, warn);
}

/** The rules of `{ {rule}, {rule} }`; the line in an error is the rule's number. */
export function parseInlineRules<T, R>(
  text: string,
  spec: string,
  syntax: RuleSyntax<T, R>,
  warn: Warn,
): Rule<T, R>[] {
  const lines = splitBraced(text).map((item, index) => {
    if (!item.braced) {
      refuse({ spec, file: spec, line: index + 1 }, `rule "${item.text}" must stand in braces`);
    }
    return { line: index + 1, text: item.text };
  });
  return parseRules(lines, spec, spec, syntax, warn);
}

function parseRules<T, R>(
  lines: readonly LogicalLine[],
  spec: string,
  file: string,
  syntax: RuleSyntax<T, R>,
  warn: Warn,
): Rule<T, R>[] {
  const rules: Rule<T, R>[] = [];
  const open: { block: { end: number }; place: Place }[] = [];
  for (const { line, text } of lines) {
    const place = { spec, file, line };
    const condition = keyword(text, "if");
    const end = keyword(text, "endif");
    if (condition !== undefined) {
      if (open.length === IF_DEPTH_LIMIT) refuse(place, `IF is nested deeper than ${IF_DEPTH_LIMIT}`);
      const rule = { kind: "if" as const, test: syntax.condition(condition, place, warn), end: 0, line };
      open.push({ block: rule, place });
      rules.push(rule);
    } else if (end !== undefined) {
      const last = open.pop();
      if (last === undefined) refuse(place, "ENDIF without IF");
      if (end !== "") refuse(place, `extra text after ENDIF: "${end}"`);
      last.block.end = rules.length;
    } else {
      rules.push({ kind: "result", ...syntax.rule(text, place, warn), line });
    }
  }
  const unfinished = open.pop();
  if (unfinished !== undefined) refuse(unfinished.place, "IF has no matching ENDIF");
  return rules;
}

/** What follows the keyword, without blanks, or undefined when the text does not begin with it. */
function keyword(text: string, word: string): string | undefined {
  const next = text.charCodeAt(word.length);
  if (asciiLower(text.slice(0, word.length)) !== word || isAlnum(next)) return undefined;
  return trimSpace(text.slice(word.length));
}

/**
 * The result of the first rule that has one and whose test, and the tests of the blocks around it, hold.
 *
 * @param hit is told of that rule
 */
export function findRule<T, R>(
  rules: readonly Rule<T, R>[],
  holds: (test: T, result: R | undefined) => boolean,
  hit?: (rule: Rule<T, R>) => void,
): R | undefined {
  for (let at = 0; at < rules.length;) {
    const rule = rules[at]!;
    if (rule.kind === "if") at = holds(rule.test, undefined) ? at + 1 : rule.end;
    else if (holds(rule.test, rule.result)) {
      hit?.(rule);
      return rule.result;
    } else at++;
  }
  return undefined;
}
