import assert from "node:assert/strict";
import { Pattern, posixPlan, Subject } from "../../../lib/table/pattern.ts";
import { PatternError } from "../../../lib/table/pattern_error.ts";
import { GROUP_DEPTH_LIMIT, type PatternFlags, translatePattern } from "../../../lib/table/posix_pattern.ts";
import { openTable } from "../../../lib/table/open.ts";
import { seeded } from "./table_support.ts";

const PLAIN: PatternFlags = { basic: false, ignoreCase: false, newline: false };
const FOLD = { ...PLAIN, ignoreCase: true };
const BASIC = { ...PLAIN, basic: true };
const LINES = { ...PLAIN, newline: true };

const matches = (pattern: string, text: string, flags = PLAIN) =>
  new Pattern(posixPlan(pattern, flags)).matches(new Subject(text));

Deno.test("patterns match as POSIX says", () => {
  const cases: [pattern: string, text: string, expected: boolean, flags?: PatternFlags][] = [
    ["[\\.]", "\\", true],
    ["[\\.]", "x", false],
    ["[]a]", "]", true],
    ["[^]a]", "]", false],
    ["[a-]", "-", true],
    ["[-a]", "-", true],
    ["[[.-.]x]", "-", true],
    ["[[=a=]]", "a", true],
    ["[[:digit:]]{3}", "123", true],
    ["[[:alpha:][:digit:]_]+$", "a1_", true],
    ["a{,2}b", "aab", true],
    ["a{2,}", "a", false],
    ["a*?", "aaa", true],
    ["(a|b)+c", "abac", true],
    ["a||b", "", true],
    ["()", "", true],
    ["a)", "a)", true],
    ["]}", "]}", true],
    ["^$", "", true],
    ["^a$", "a\n", false],
    ["^a$", "b\na", false],
    ["^a$", "b\na\nc", true, LINES],
    ["a.b", "a\nb", true],
    ["a.b", "a\nb", false, LINES],
    ["a[^x]b", "a\nb", false, LINES],
    ["a[^x]b", "a\nb", true],
    ["ABC", "abc", true, FOLD],
    ["[A-C]x", "Bx", true, FOLD],
    ["[A-C]x", "bX", true, FOLD],
    ["[^a]", "A", false, FOLD],
    ["[[:upper:]]", "a", true, FOLD],
    ["[[:upper:]]", "a", false],
    ["[Z-a]", "z", true, FOLD],
    ["k", "\u212a", false, FOLD],
    ["[k]", "\u212a", false, FOLD],
    ["ß", "SS", false, FOLD],
    ["\\w\\W", "a-", true],
    ["\\s", "\t", true],
    ["x\\b", "x y", true],
    ["\\`a\\'", "a", true],
    ["é+", "éé", true],
    ["😀?x", "x", true],
    ["\\(a\\)\\{2\\}", "aa", true, BASIC],
    ["a+", "a+", true, BASIC],
    ["a\\+", "aa", true, BASIC],
    ["*a", "*a", true, BASIC],
    ["\\(*a\\)", "*a", true, BASIC],
    ["^*a", "*a", true, BASIC],
    ["a\\|b", "b", true, BASIC],
    ["a^b$c", "a^b$c", true, BASIC],
    ["a|b", "b", false, BASIC],
    ["(", "(", true, BASIC],
  ];
  for (const [pattern, text, expected, flags] of cases) {
    assert.equal(matches(pattern, text, flags), expected, `/${pattern}/ on ${JSON.stringify(text)}`);
  }
});

Deno.test("patterns that are wrong, or that linear time cannot do, are refused by name", () => {
  const cases: [pattern: string, expected: RegExp, flags?: PatternFlags][] = [
    ["(a", /Unmatched \(/],
    ["[a", /Unmatched \[/],
    ["[]", /Unmatched \[/],
    ["[z-a]", /Invalid range end/],
    ["[[:nope:]]", /class name "nope"/],
    ["[[.space.]]", /collating symbol/],
    ["*a", /Invalid preceding/],
    ["+", /Invalid preceding/],
    ["(*a)", /Invalid preceding/],
    ["a|*b", /Invalid preceding/],
    ["^*", /anchor cannot be repeated/],
    ["(?:a)", /Invalid preceding/],
    ["(?=a)", /Invalid preceding/],
    ["{1}", /Invalid preceding/],
    ["a{2,1}", /Invalid content/],
    ["a{x}", /Invalid content/],
    ["a{", /Unmatched \{/],
    ["a{1001}", /above 1000/],
    ["a\\", /Trailing backslash/],
    ["(a)\\1", /back-reference \\1/],
    ["\\d", /use \[0-9\]/],
    ["\\pL", /no meaning in POSIX/],
    ["\\<a", /use \\b/],
    ["a\\)", /Unmatched \)/, BASIC],
    ["\\(a", /Unmatched \(/, BASIC],
    ["(".repeat(GROUP_DEPTH_LIMIT + 1) + ")".repeat(GROUP_DEPTH_LIMIT + 1), /nested deeper/],
  ];
  for (const [pattern, expected, flags] of cases) {
    assert.throws(() => new Pattern(posixPlan(pattern, flags ?? PLAIN)), (error) => {
      return error instanceof PatternError && expected.test(error.message);
    }, pattern);
  }
  assert.ok(new Pattern(posixPlan("(".repeat(GROUP_DEPTH_LIMIT) + ")".repeat(GROUP_DEPTH_LIMIT), PLAIN)));
  assert.ok(new Pattern(posixPlan("a{1000}", PLAIN)));
});

Deno.test("groups hold the text as it was written, also when case is ignored", () => {
  const captured = (pattern: string, text: string, flags = FOLD) =>
    new Pattern(posixPlan(pattern, flags)).capture(new Subject(text));
  assert.deepEqual(captured("^(.*)@(.*)$", "Joe.USER@Example.ORG"), ["Joe.USER", "Example.ORG"]);
  assert.deepEqual(captured("(x)?(y)", "Y"), ["", "Y"]);
  assert.deepEqual(captured("(é.)(.)", "éAB😀"), ["éA", "B"]);
  assert.equal(captured("z", "a"), undefined);
  assert.deepEqual(captured("a+|ab+c(d)", "abbcd"), ["d"], "the longest match, not the first alternative");
});

// With a backtracking engine each of these takes 2^n steps or n^4: the test would not end.
Deno.test("hostile patterns on long subjects end", () => {
  const patterns = [
    "^(a+)+$",
    "^(a|a)*$",
    "^(a|aa)+$",
    "^(a*)*b$",
    "(x+x+)+y",
    "(.*)(.*)(.*)(.*)(.*)z$",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "(a?){30}a{30}$",
    "((a{0,30}){0,30})z$",
    "(a|b|ab)*c$",
  ];
  for (const pattern of patterns) {
    for (const length of [28, 1000, 50_000]) {
      const subject = new Subject("a".repeat(length) + "!");
      assert.equal(new Pattern(posixPlan(pattern, FOLD)).matches(subject), false, pattern);
      assert.equal(new Pattern(posixPlan(pattern, FOLD)).capture(subject), undefined, pattern);
    }
  }
});

Deno.test("hostile addresses against a table of typical rules end", () => {
  const table = openTable(
    "regexp:{ {/^(([a-z0-9]+[._-]?)+)@(([a-z0-9]+[.-]?)+)\\.com$/ $1}, {/(a+)+\\$/ x} }",
  );
  for (const length of [10, 1000, 50_000]) {
    assert.equal((table.lookup("a".repeat(length)) as { kind: string }).kind, "missing");
    assert.equal(
      (table.lookup(`${"a".repeat(length)}@${"b".repeat(length)}.net`) as { kind: string }).kind,
      "missing",
    );
  }
});

Deno.test("what the translator writes is what RE2 takes, for seeded random patterns", () => {
  const random = seeded(9);
  const units = "ab()[]{}*+?|^$.\\-:,0129 =";
  let fine = 0;
  for (let round = 0; round < 5000; round++) {
    const pattern = Array.from({ length: 1 + random(10) }, () => units[random(units.length)]).join("");
    for (const flags of [PLAIN, FOLD, BASIC, LINES]) {
      let groups;
      try {
        groups = translatePattern(pattern, flags).groups;
      } catch (error) {
        assert.ok(error instanceof PatternError, `${pattern}: ${error}`);
        continue;
      }
      fine++;
      const captured = new Pattern(posixPlan(pattern, flags)).capture(new Subject("ab(-0,1: b"));
      if (captured !== undefined) assert.equal(captured.length, groups, pattern);
    }
  }
  assert.ok(fine > 1000);
});
