/**
 * Perl's regular expressions, as far as linear time allows, written anew in the syntax of RE2. Refused by name: what
 * needs back-tracking (look-around, back-references, atomic groups, possessive counts, conditions, recursion) and
 * what RE2 has no counterpart for (\K, \G, \X, \C, branch reset, call-outs, verbs).
 *
 * The meaning follows PCRE2 in UTF mode, as Postfix uses it: `\d`, `\w` and `[:alpha:]` are ASCII, case is folded for
 * all letters.
 *
 * @module
 */
// Utility
import { isAlnum, isDigit, parseDecimal } from "../vstring/ascii.ts";
// Tables
import { PatternError } from "./pattern_error.ts";
import { type ClassReading, codeText, escapedCode, readClass, SHORTHANDS } from "./pcre_class.ts";
import { GROUP_DEPTH_LIMIT, REPEAT_LIMIT } from "./posix_pattern.ts";

/** How a pattern is to be read; Postfix's flags of pcre: tables. */
export interface PcreFlags {
  readonly ignoreCase: boolean;
  /** m: `^` and `$` match at line ends. */
  readonly multiline: boolean;
  /** s: `.` matches a newline. */
  readonly dotAll: boolean;
  /** x: white space and comments in the pattern are left out. */
  readonly extended: boolean;
  /** A: the match begins where the text does. */
  readonly anchored: boolean;
  /** E: `$` does not match before a newline at the end. */
  readonly dollarEndOnly: boolean;
  /** U: counts are lazy unless a `?` follows. */
  readonly ungreedy: boolean;
}

/** A pattern for RE2. */
export interface TranslatedPcre {
  readonly source: string;
  readonly groups: number;
  /** It has a `$` that also stands before a newline at the end of the text. */
  readonly endsBeforeNewline: boolean;
}

/** The pattern in RE2's syntax. Throws a PatternError. */
export function translatePcre(pattern: string, flags: PcreFlags): TranslatedPcre {
  return new PcreTranslator(pattern, flags).translate();
}

/** Options that a group may set for itself. */
interface Options {
  ignoreCase: boolean;
  multiline: boolean;
  dotAll: boolean;
  extended: boolean;
}

const OPTION_NAMES: Readonly<Record<string, keyof Options>> = {
  i: "ignoreCase",
  m: "multiline",
  s: "dotAll",
  x: "extended",
};

/** What may stand behind `(?`, and why it is refused. */
const REFUSED_GROUPS: readonly (readonly [text: string, what: string])[] = [
  ["=", "look-ahead (?=...)"],
  ["!", "negative look-ahead (?!...)"],
  ["<=", "look-behind (?<=...)"],
  ["<!", "negative look-behind (?<!...)"],
  [">", "atomic group (?>...)"],
  ["(", "condition (?(...)...)"],
  ["|", "branch reset (?|...)"],
  ["R", "recursion (?R)"],
  ["&", "recursion (?&name)"],
  ["P>", "recursion (?P>name)"],
  ["P=", "back-reference (?P=name)"],
  ["C", "call-out (?C)"],
  ["^", "option reset (?^...)"],
];

const REFUSED_ESCAPES: Readonly<Record<string, string>> = {
  C: "single byte \\C",
  G: "start of match \\G",
  K: "\\K",
  R: "newline sequence \\R",
  X: "grapheme \\X",
  g: "back-reference \\g",
  k: "back-reference \\k",
};

class PcreTranslator {
  readonly #pattern: string;
  readonly #flags: PcreFlags;
  #at = 0;
  #groups = 0;
  #endsBeforeNewline = false;

  constructor(pattern: string, flags: PcreFlags) {
    this.#pattern = pattern;
    this.#flags = flags;
  }

  translate(): TranslatedPcre {
    const { ignoreCase, multiline, dotAll, extended, anchored, ungreedy } = this.#flags;
    if (this.#pattern.startsWith("(*")) this.#refuse("verb (*...)");
    const inner = this.#alternatives({ ignoreCase, multiline, dotAll, extended }, 0);
    if (this.#at < this.#pattern.length) throw new PatternError("unmatched closing parenthesis");
    const letters = `${ignoreCase ? "i" : ""}${ungreedy ? "U" : ""}`;
    const source = `${letters === "" ? "" : `(?${letters})`}${anchored ? `\\A(?:${inner})` : inner}`;
    return { source, groups: this.#groups, endsBeforeNewline: this.#endsBeforeNewline };
  }

  /** Everything up to the closing parenthesis of the level or the end. */
  #alternatives(options: Options, depth: number): string {
    let out = "";
    for (let atom = ""; this.#at < this.#pattern.length;) {
      const char = this.#pattern[this.#at]!;
      if (char === ")") break;
      if (options.extended && this.#skipExtended()) continue;
      const count = this.#quantifier();
      if (count !== undefined) {
        if (atom === "") throw new PatternError(`quantifier does not follow a repeatable item: "${count}"`);
        out += count;
        atom = "";
        continue;
      }
      atom = this.#atom(options, depth);
      out += atom;
      // An alternative's first item repeats nothing, nor do options.
      if (char === "|" || atom.endsWith(")") && atom.startsWith("(?") && !atom.includes(":")) atom = "";
    }
    return out;
  }

  #atom(options: Options, depth: number): string {
    const char = this.#next();
    switch (char) {
      case "(":
        return this.#group(options, depth);
      case "[":
        return this.#class(options);
      case "\\":
        return this.#escape();
      case "|":
        return "|";
      case ".":
        return options.dotAll ? "(?s:.)" : "[^\\n]";
      case "^":
        return options.multiline ? "(?m:^)" : "\\A";
      case "$":
        return options.multiline ? "(?m:$)" : this.#end(this.#flags.dollarEndOnly);
      default:
        return codeText(char.codePointAt(0)!);
    }
  }

  /** The end of the text, or the place before a newline there: the latter is tried on the text without it. */
  #end(only: boolean): string {
    this.#endsBeforeNewline ||= !only;
    return "\\z";
  }

  #group(options: Options, depth: number): string {
    if (depth === GROUP_DEPTH_LIMIT) {
      throw new PatternError(`groups are nested deeper than ${GROUP_DEPTH_LIMIT}`);
    }
    if (this.#take("*")) this.#refuse("verb (*...)");
    const inner = { ...options };
    let open = "(";
    if (this.#take("?")) {
      const head = this.#groupHead(inner, options);
      if (head === undefined) return "";
      if (!head.opens) return head.text;
      open = head.text;
    } else this.#groups++;
    const text = this.#alternatives(inner, depth + 1);
    if (!this.#take(")")) throw new PatternError("missing closing parenthesis");
    return `${open}${text})`;
  }

  /** What stands behind `(?`: undefined for a comment. Options without a group change `outer`. */
  #groupHead(inner: Options, outer: Options): { text: string; opens: boolean } | undefined {
    for (const [text, what] of REFUSED_GROUPS) if (this.#startsWith(text)) this.#refuse(what);
    if (isDigit(this.#code()) || this.#startsWith("+")) this.#refuse("recursion (?n)");
    if (this.#take("#")) {
      const end = this.#pattern.indexOf(")", this.#at);
      if (end < 0) throw new PatternError("missing ) after (?# comment");
      this.#at = end + 1;
      return undefined;
    }
    const close = this.#take("P<") || this.#take("<") ? ">" : this.#take("'") ? "'" : undefined;
    if (close === undefined) return this.#options(inner, outer);
    const end = this.#pattern.indexOf(close, this.#at);
    const name = end < 0 ? "" : this.#pattern.slice(this.#at, end);
    if (name === "" || ![...name].every((c) => c === "_" || isAlnum(c.charCodeAt(0)))) {
      throw new PatternError("bad name of a group");
    }
    this.#at = end + 1;
    this.#groups++;
    return { text: "(", opens: true };
  }

  /** `(?i-m)` or `(?i-m:`: only the options that RE2 has to know are written. */
  #options(inner: Options, outer: Options): { text: string; opens: boolean } {
    let on = true;
    let letters = "";
    for (;;) {
      const char = this.#next();
      if (char === ":" || char === ")") {
        const text = letters === "" ? "(?" : `(?${letters}`;
        if (char === ":") return { text: `${text}:`, opens: true };
        Object.assign(outer, inner);
        return { text: letters === "" ? "" : `${text})`, opens: false };
      }
      if (char === "-" && on) on = false;
      else if (char === "i" || char === "U") letters += on ? char : `-${char}`;
      else if (!Object.hasOwn(OPTION_NAMES, char)) this.#refuse(`(?${char}`);
      const name = OPTION_NAMES[char];
      if (name !== undefined) inner[name] = on;
    }
  }

  #class(options: Options): string {
    const set: ClassReading = readClass(this.#pattern, this.#at, options.ignoreCase);
    this.#at = set.end;
    return set.text;
  }

  #escape(): string {
    if (this.#at === this.#pattern.length) throw new PatternError("\\ at end of pattern");
    const char = this.#pattern[this.#at]!;
    if (Object.hasOwn(SHORTHANDS, char)) {
      this.#at++;
      return SHORTHANDS[char]!.outside;
    }
    if (Object.hasOwn(REFUSED_ESCAPES, char)) this.#refuse(REFUSED_ESCAPES[char]!);
    if (char >= "1" && char <= "9") return this.#number();
    switch (char) {
      case "A":
      case "z":
      case "b":
      case "B":
        this.#at++;
        return `\\${char}`;
      case "Z":
        this.#at++;
        return this.#end(false);
      case "N":
        this.#at++;
        if (this.#startsWith("{")) this.#refuse("\\N{...}");
        return "[^\\n]";
      case "p":
      case "P":
        return this.#property();
      case "Q":
        return this.#literal();
      case "E":
        this.#at++;
        return "";
    }
    const code = escapedCode(this.#pattern, this.#at);
    this.#at = code.end;
    return codeText(code.code);
  }

  /** A backslash and a number: from 10 on, where there are not so many groups, the character of an octal number. */
  #number(): string {
    let end = this.#at;
    while (end < this.#pattern.length && isDigit(this.#pattern.charCodeAt(end))) end++;
    const text = this.#pattern.slice(this.#at, end);
    const octal = escapedCode(`${this.#pattern.slice(this.#at, this.#at + 3)} `, 0);
    if (Number(text) < 10 || Number(text) <= this.#groups || text >= "8") {
      this.#refuse(`back-reference \\${text}`);
    }
    this.#at += octal.end;
    return codeText(octal.code);
  }

  /** `\pL`, `\p{Lu}`: RE2 says whether it knows the property. */
  #property(): string {
    const start = this.#at - 1;
    this.#at++;
    const braced = this.#take("{");
    const end = braced ? this.#pattern.indexOf("}", this.#at) + 1 : this.#at + 1;
    if (end <= this.#at) throw new PatternError("malformed \\P or \\p sequence");
    this.#at = end;
    return this.#pattern.slice(start, end);
  }

  /** Text between `\Q` and `\E`. */
  #literal(): string {
    this.#at++;
    const end = this.#pattern.indexOf("\\E", this.#at);
    const text = this.#pattern.slice(this.#at, end < 0 ? undefined : end);
    this.#at = end < 0 ? this.#pattern.length : end + 2;
    return Array.from(text, (char) => codeText(char.codePointAt(0)!)).join("");
  }

  /** A count and its `?`; possessive ones are refused. */
  #quantifier(): string | undefined {
    const char = this.#pattern[this.#at];
    let count: string | undefined;
    if (char === "*" || char === "+" || char === "?") {
      this.#at++;
      count = char;
    } else if (char === "{") count = this.#interval();
    if (count === undefined) return undefined;
    if (this.#take("+")) this.#refuse(`possessive quantifier ${count}+`);
    return this.#take("?") ? `${count}?` : count;
  }

  /** `{n}`, `{n,}`, `{n,m}`; anything else is text. */
  #interval(): string | undefined {
    const close = this.#pattern.indexOf("}", this.#at);
    const body = close < 0 ? "" : this.#pattern.slice(this.#at + 1, close);
    const [first = "", second, extra] = body.split(",");
    const least = parseDecimal(first);
    const most = second === undefined ? least : second === "" ? undefined : parseDecimal(second);
    if (
      least === undefined || extra !== undefined ||
      (second !== undefined && second !== "" && most === undefined)
    ) {
      return undefined;
    }
    if (most !== undefined && most < least) throw new PatternError("numbers out of order in {} quantifier");
    if (Math.max(least, most ?? 0) > REPEAT_LIMIT) {
      throw new PatternError(`count in "{${body}}" is above ${REPEAT_LIMIT}`);
    }
    this.#at = close + 1;
    return `{${body}}`;
  }

  /** Steps over white space and a comment of the extended syntax; false when none stands here. */
  #skipExtended(): boolean {
    const char = this.#pattern[this.#at]!;
    if (char === "#") {
      const end = this.#pattern.indexOf("\n", this.#at);
      this.#at = end < 0 ? this.#pattern.length : end + 1;
      return true;
    }
    if (!" \t\n\v\f\r".includes(char)) return false;
    this.#at++;
    return true;
  }

  #next(): string {
    const code = this.#pattern.codePointAt(this.#at);
    if (code === undefined) throw new PatternError("missing closing parenthesis");
    const char = String.fromCodePoint(code);
    this.#at += char.length;
    return char;
  }

  #code(): number {
    return this.#at < this.#pattern.length ? this.#pattern.charCodeAt(this.#at) : 0;
  }

  #startsWith(text: string): boolean {
    return this.#pattern.startsWith(text, this.#at);
  }

  #take(text: string): boolean {
    if (!this.#startsWith(text)) return false;
    this.#at += text.length;
    return true;
  }

  #refuse(what: string): never {
    throw new PatternError(
      `${what} is not supported: it cannot be matched in linear time, or RE2 has no such thing`,
    );
  }
}
