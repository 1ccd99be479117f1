/**
 * POSIX regular expressions (extended and basic, with GNU's additions as Postfix has them on Linux) written anew in
 * the syntax of RE2, whose matching takes linear time whatever pattern and subject are. What RE2 cannot do is
 * refused by name: back-references, `\<` and `\>`, collating symbols, counts above 1000. A backslash before a letter
 * that POSIX gives no meaning, as `\d`, is refused as well: glibc would take it for the letter.
 *
 * A pattern that ignores case is written for a subject in lower case: RE2's own folding knows letters that ASCII
 * does not (U+212A matches k).
 *
 * @module
 */
// Utility
import { asciiLower, isAlnum, isDigit, parseDecimal } from "../vstring/ascii.ts";
// Tables
import { PatternError } from "./pattern_error.ts";
import { isBracketRange, rangeText, scanBracket } from "./posix_bracket.ts";

/** Deepest nesting of groups; RE2 itself stops at 1000. */
export const GROUP_DEPTH_LIMIT = 200;
/** Largest count in `{n,m}`, as RE2 has it. */
export const REPEAT_LIMIT = 1000;

/** How a pattern is to be read. */
export interface PatternFlags {
  /** Basic syntax: `\(`, `\)`, `\{`, `\}` are the operators. */
  readonly basic: boolean;
  readonly ignoreCase: boolean;
  /** REG_NEWLINE: `^` and `$` match at line ends, `.` and `[^a]` do not match a newline. */
  readonly newline: boolean;
}

/** A pattern for RE2. */
export interface TranslatedPattern {
  readonly source: string;
  /** Groups that the pattern captures. */
  readonly groups: number;
}

/** The pattern in RE2's syntax. Throws a PatternError. */
export function translatePattern(pattern: string, flags: PatternFlags): TranslatedPattern {
  return new Translator(pattern, flags).translate();
}

/** Characters that mean something to RE2 outside brackets. */
const SPECIAL = "\\.+*?()|[]{}^$";

type Operator = "(" | ")" | "|" | "*" | "+" | "?" | "{";

class Translator {
  readonly #pattern: string;
  readonly #flags: PatternFlags;
  #at = 0;
  #groups = 0;

  constructor(pattern: string, flags: PatternFlags) {
    this.#pattern = pattern;
    this.#flags = flags;
  }

  translate(): TranslatedPattern {
    const source = this.#alternatives(0);
    // Only an unmatched closing parenthesis ends the outermost level early, and `#branch` takes it for a literal.
    return { source, groups: this.#groups };
  }

  /** Branches separated by `|`, up to the closing parenthesis of the level or the end. */
  #alternatives(depth: number): string {
    let out = this.#branch(depth);
    while (this.#takeOperator("|")) out += `|${this.#branch(depth)}`;
    return out;
  }

  #branch(depth: number): string {
    let out = "";
    for (let first = true; this.#at < this.#pattern.length; first = false) {
      const operator = this.#operator();
      if (operator === "|" || (operator === ")" && (depth > 0 || this.#flags.basic))) break;
      out += this.#repeated(this.#atom(operator, first, depth));
    }
    if (depth === 0 && this.#operator() === ")" && this.#flags.basic) {
      throw new PatternError("Unmatched ) or \\)");
    }
    return out;
  }

  /** An atom and the repetitions behind it. A second repetition repeats the first: `a*?` is `(a*)?`. */
  #repeated(atom: { text: string; anchor: boolean }): string {
    let { text, anchor } = atom;
    for (let count = 0;; count++) {
      const operator = this.#operator();
      const repeats = operator === "*" || operator === "+" || operator === "?" || operator === "{";
      if (!repeats || (anchor && this.#flags.basic)) return text;
      if (anchor) {
        throw new PatternError("Invalid preceding regular expression: an anchor cannot be repeated");
      }
      this.#takeOperator(operator);
      const repetition = operator === "{" ? this.#interval() : operator;
      text = count === 0 ? text + repetition : `(?:${text})${repetition}`;
      anchor = false;
    }
  }

  /** One thing that matches: a character, a set, an anchor, a group. */
  #atom(operator: Operator | undefined, first: boolean, depth: number): { text: string; anchor: boolean } {
    if (operator === "(") return { text: this.#group(depth), anchor: false };
    if (operator !== undefined && operator !== ")" && !(operator === "*" && this.#flags.basic)) {
      throw new PatternError(`Invalid preceding regular expression: nothing to repeat before "${operator}"`);
    }
    const char = this.#next();
    if (char === "\\") return this.#escape();
    if (char === "[") return { text: this.#bracket(), anchor: false };
    if (char === ".") return { text: this.#flags.newline ? "[^\\n]" : "(?s:.)", anchor: false };
    if (char === "^" && (first || !this.#flags.basic)) {
      return { text: this.#flags.newline ? "(?m:^)" : "\\A", anchor: true };
    }
    if (char === "$" && (!this.#flags.basic || this.#atBranchEnd())) {
      return { text: this.#flags.newline ? "(?m:$)" : "\\z", anchor: true };
    }
    return { text: this.#literal(char), anchor: false };
  }

  #group(depth: number): string {
    if (depth === GROUP_DEPTH_LIMIT) {
      throw new PatternError(`groups are nested deeper than ${GROUP_DEPTH_LIMIT}`);
    }
    this.#takeOperator("(");
    this.#groups++;
    const inner = this.#alternatives(depth + 1);
    if (!this.#takeOperator(")")) throw new PatternError("Unmatched ( or \\(");
    return `(${inner})`;
  }

  /** What a backslash and the character behind it mean. */
  #escape(): { text: string; anchor: boolean } {
    if (this.#at === this.#pattern.length) throw new PatternError("Trailing backslash");
    const char = this.#next();
    switch (char) {
      case "w":
        return { text: "[0-9A-Za-z_]", anchor: false };
      case "W":
        return { text: "[^0-9A-Za-z_]", anchor: false };
      case "s":
        return { text: "[[:space:]]", anchor: false };
      case "S":
        return { text: "[^[:space:]]", anchor: false };
      case "b":
      case "B":
        return { text: `\\${char}`, anchor: true };
      case "`":
        return { text: "\\A", anchor: true };
      case "'":
        return { text: "\\z", anchor: true };
      case "<":
      case ">":
        throw new PatternError(`\\${char} is not supported: use \\b`);
    }
    const unit = char.charCodeAt(0);
    if (isDigit(unit)) {
      throw new PatternError(
        `back-reference \\${char} is not supported: it cannot be matched in linear time`,
      );
    }
    if (isAlnum(unit)) throw new PatternError(`\\${char} has no meaning in POSIX: ${adviseEscape(char)}`);
    return { text: this.#literal(char), anchor: false };
  }

  #bracket(): string {
    const set = scanBracket(this.#pattern, this.#at);
    this.#at = set.end;
    let text = "";
    for (const part of set.parts) {
      if (!isBracketRange(part)) {
        const both = this.#flags.ignoreCase && (part === "upper" || part === "lower");
        text += `[:${both ? "alpha" : part}:]`;
      } else text += rangeText(part, this.#flags.ignoreCase);
    }
    if (!set.negated) return `[${text}]`;
    return this.#flags.newline ? `[^${text}\\n]` : `[^${text}]`;
  }

  /** The count behind an opening brace, which has been taken, up to its closing brace. */
  #interval(): string {
    const close = this.#pattern.indexOf(this.#flags.basic ? "\\}" : "}", this.#at);
    if (close < 0) throw new PatternError("Unmatched { or \\{");
    const body = this.#pattern.slice(this.#at, close);
    this.#at = close + (this.#flags.basic ? 2 : 1);
    const comma = body.indexOf(",");
    const least = comma === 0 ? 0 : parseDecimal(comma < 0 ? body : body.slice(0, comma));
    const most = comma < 0
      ? least
      : comma === body.length - 1
      ? undefined
      : parseDecimal(body.slice(comma + 1));
    const open = comma === body.length - 1 && comma >= 0;
    if (least === undefined || (most === undefined && !open) || (most !== undefined && most < least)) {
      throw new PatternError(`Invalid content of \\{\\}: "${body}"`);
    }
    if (Math.max(least, most ?? 0) > REPEAT_LIMIT) {
      throw new PatternError(`count in "{${body}}" is above ${REPEAT_LIMIT}`);
    }
    return open ? `{${least},}` : `{${least},${most}}`;
  }

  #literal(char: string): string {
    const text = this.#flags.ignoreCase ? asciiLower(char) : char;
    return SPECIAL.includes(text) ? `\\${text}` : text;
  }

  /** The character here, both halves of it, stepped over. */
  #next(): string {
    const char = String.fromCodePoint(this.#pattern.codePointAt(this.#at)!);
    this.#at += char.length;
    return char;
  }

  /** The operator that stands here, if one does. */
  #operator(): Operator | undefined {
    const char = this.#pattern[this.#at];
    if (char === undefined) return undefined;
    if (char === "*") return "*";
    if (!this.#flags.basic) return "()|+?{".includes(char) ? char as Operator : undefined;
    const next = this.#pattern[this.#at + 1];
    return char === "\\" && next !== undefined && "()|+?{".includes(next) ? next as Operator : undefined;
  }

  /** Steps over the operator if it stands here. */
  #takeOperator(wanted: Operator): boolean {
    if (this.#operator() !== wanted) return false;
    this.#at += this.#flags.basic && wanted !== "*" ? 2 : 1;
    return true;
  }

  /** True at the end of a branch, where `$` is an anchor in the basic syntax. */
  #atBranchEnd(): boolean {
    const operator = this.#operator();
    return this.#at === this.#pattern.length || operator === ")" || operator === "|";
  }
}

function adviseEscape(char: string): string {
  const instead: Readonly<Record<string, string>> = {
    d: "[0-9]",
    D: "[^0-9]",
    t: "[[:blank:]]",
    n: "flag m",
  };
  return Object.hasOwn(instead, char) ? `use ${instead[char]}` : `leave the backslash out`;
}
