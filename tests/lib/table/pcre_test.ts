/** pcre: tables: Perl's patterns in linear time, beside Debian's pcre. */
import assert from "node:assert/strict";
import { openTable } from "../../../lib/table/open.ts";
import { TableError } from "../../../lib/table/table.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";
import { testNeeding } from "../../support/tools.ts";
import { queryPeer } from "./postmap_peer.ts";
import { seeded } from "./table_support.ts";

const quiet = { warn: () => {} };

/** What a table of these rules has for a key. */
function ask(rules: readonly string[], key: string): string | undefined {
  const table = openTable(`pcre:{ ${rules.map((rule) => `{${rule}}`).join(", ")} }`, quiet);
  const outcome = table.lookup(key) as { kind: string; value?: string };
  return outcome.kind === "found" ? outcome.value : undefined;
}

/** Rules and keys of which Debian's table must think the same. */
const RULES = [
  "/^a(b)(c)?$/ x$1-y${2}z$(1)$$",
  "/^(?<user>[^@]+)@(?P<dom>ex\\.com)$/ named $1 $2",
  "/^(?:un)?grouped (\\w+)/ group $1",
  "/^lazy (.*?)-(.*)$/ <$1><$2>",
  "/^greedy (.*)-(.*)$/ <$1><$2>",
  "/^first (a|ab)(c|bcd)(d*)$/ <$1><$2><$3>",
  "/^swap (.*)-(.*)$/U <$1><$2>",
  "/anchor/A anchored",
  "/^case(?-i)Sensitive$/ inline off",
  "/^CaSe$/i case flag",
  "/^ x \\d+ # comment/x extended",
  "/^esc \\x41\\x{42}\\103\\t?\\e$/ escapes",
  "/^class [\\d\\s_-]+[^\\W\\d]$/ class",
  "/^posix [[:alpha:]]+[[:^alpha:]]$/ posix",
  "/^\\Qliteral.*\\E$/ literal",
  "/^word\\b.\\Bx/ boundary",
  "/^h\\hv\\N+$/ horizontal",
  "/^two\\nlines$/ newline",
  "/^multi$/m multiline",
  "/^dot.all$/s no dotall",
  "/^end$/ dollar",
  "/^only$/E dollar end only",
  "/^q{2,3}w{0,2}z{1,}e{,3}$/ counts",
  "/^uni [äß]+$/ unicode",
  "/^(?i:mixed)Case (?#comment)ok$/ comment",
  "/^a|^b(?:c|d)$/ alternatives",
  "if /^if/",
  "/then(.)/ then-$1",
  "if !/foo/",
  "/inner/ inner",
  "endif",
  "endif",
  "!/e/ no e",
];

const KEYS = [
  ..."ab abc AB user@ex.com USER@EX.COM anchor xanchor casesensitive caseSensitive CASE CaSe x12 x1 end only"
    .split(" "),
  ..."ax b bc bd qqz qqqwwzz qqqqz qqze{,3} ifthenx iffooinner ifinner zzz multi e".split(" "),
  "grouped word here",
  "ungrouped word",
  "lazy a-b-c",
  "greedy a-b-c",
  "swap a-b-c",
  "first abcd",
  "esc ABC\x1b",
  "class 12 _-a",
  "class 1 1",
  "posix abc1",
  "posix abc",
  "literal.*",
  "literalxx",
  "word x",
  "word-yx",
  "h v12",
  "uni äß",
  "UNI ÄSS",
  "mixedCase ok",
  "MIXEDCase ok",
  "MIXEDcase ok",
];

testNeeding(["postfix-pcre"], "pcre gives what Debian's pcre gives", () => {
  using directory = new TemporaryDirectory();
  const path = directory.write("pcre", RULES.join("\n"), 0o644);
  const peer = queryPeer("postmap", directory.path, `pcre:${path}`, KEYS);
  const table = openTable(`pcre:${path}`, quiet);
  let found = 0;
  for (const key of KEYS) {
    const ours = table.lookup(key) as { kind: string; value?: string };
    assert.equal(ours.value, peer.get(key), JSON.stringify(key));
    if (ours.kind === "found") found++;
  }
  assert.ok(found > 40, String(found));
});

testNeeding(
  ["postfix-pcre"],
  "seeded random Perl patterns match as Debian's pcre matches, or are refused",
  () => {
    using directory = new TemporaryDirectory();
    const random = seeded(13);
    const pieces = [
      ..."a b [ab] [^a] . (a) (a|b) (?:ab) a* b+? a?? a{1,2} ^ $ \\. | (b|) A \\w \\W \\d [[:alpha:]] (?i) (?-i) \\b \\B"
        .split(" "),
      "(a*)(ab)*",
      "(?:a|ab)(?:c|bcd)",
    ];
    const keys = Array.from({ length: 60 }, () => {
      return Array.from({ length: 1 + random(6) }, () => "abAB.1"[random(6)]).join("");
    });
    let compared = 0;
    for (let round = 0; round < 60; round++) {
      const rules = Array.from({ length: 10 }, (_, i) => {
        const pattern = Array.from({ length: 1 + random(5) }, () => pieces[random(pieces.length)]).join("");
        const groups = pattern.includes("(a") && !pattern.includes("(a|b)") ? " $1" : "";
        return `/${pattern}/${["", "i", "m", "U", "A"][random(5)]} ${i}${groups}`;
      }).filter((rule) => {
        try {
          openTable(`pcre:{ {${rule.replaceAll("{1,2}", "")}} }`, quiet);
          return true;
        } catch {
          return false;
        }
      });
      const path = directory.write("pcre", rules.join("\n"), 0o644);
      const peer = queryPeer("postmap", directory.path, `pcre:${path}`, keys);
      const table = openTable(`pcre:${path}`, quiet);
      for (const key of keys) {
        const ours = table.lookup(key) as { value?: string };
        assert.equal(ours.value, peer.get(key), `${key}\n${rules.join("\n")}`);
        if (ours.value !== undefined) compared++;
      }
    }
    assert.ok(compared > 1000, String(compared));
  },
);

Deno.test("what linear time cannot do is refused at load, with the line and its name", () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["a(?=b)", /look-ahead/],
    ["^(?!owner-)(.*)", /negative look-ahead/],
    ["(?<=a)b", /look-behind/],
    ["(?<!a)b", /negative look-behind/],
    ["(a)\\1", /back-reference \\1/],
    ["(?<n>a)\\k<n>", /back-reference \\k/],
    ["(?P<n>a)(?P=n)", /back-reference/],
    ["(?>a+)b", /atomic group/],
    ["a*+b", /possessive quantifier/],
    ["a{2}+", /possessive quantifier/],
    ["(a)?(?(1)b|c)", /condition/],
    ["(?R)", /recursion/],
    ["(a)(?1)", /recursion/],
    ["(?|a|b)", /branch reset/],
    ["(*ACCEPT)a", /verb/],
    ["a\\Kb", /\\K/],
    ["\\Ga", /\\G/],
    ["\\X", /grapheme/],
    ["\\R", /newline sequence/],
    ["a{1001}", /above 1000/],
    ["(a", /missing closing parenthesis/],
    ["a)", /unmatched closing parenthesis/],
    ["[a", /missing terminating \]/],
    ["*a", /does not follow a repeatable item/],
    ["a|*", /does not follow a repeatable item/],
    ["\\y", /unrecognized character/],
    ["[[.x.]]", /collating/],
    ["[z-a]", /range out of order/],
    ["a\\", /no closing regexp delimiter/],
  ];
  for (const [pattern, why] of cases) {
    assert.throws(
      () =>
        openTable("pcre:/t", {
          ...quiet,
          files: { read: () => `/ok/ x\n/${pattern}/ y\n`, version: () => "1", now: () => 0 },
        }),
      (error) => {
        assert.ok(error instanceof TableError, pattern);
        assert.match(error.message, why, pattern);
        assert.equal(error.problem.line, 2, pattern);
        return true;
      },
    );
  }
  assert.throws(
    () => openTable("pcre:{ {/(a)/ $1} }", { ...quiet, paranoid: true }),
    /substitution is not allowed/,
  );
});

Deno.test("a dollar sign also stands before a newline at the end, unless E or m says otherwise", () => {
  assert.equal(ask(["/a$/ yes"], "a\n"), "yes");
  assert.equal(ask(["/a$/ yes"], "a\n\n"), undefined);
  assert.equal(ask(["/a$/E yes"], "a\n"), undefined);
  assert.equal(ask(["/^a$/m yes"], "x\na\ny"), "yes");
  assert.equal(ask(["/a\\Z/ yes"], "a\n"), "yes");
  assert.equal(ask(["/a\\z/ yes"], "a\n"), undefined);
});

/** How many characters are looked at while `work` runs: RE2 reads its subject by these two calls. */
function charactersRead(work: () => void): number {
  const { codePointAt, charCodeAt } = String.prototype;
  let count = 0;
  String.prototype.codePointAt = function (at: number) {
    count++;
    return codePointAt.call(this, at);
  };
  String.prototype.charCodeAt = function (at: number) {
    count++;
    return charCodeAt.call(this, at);
  };
  try {
    work();
  } finally {
    Object.assign(String.prototype, { codePointAt, charCodeAt });
  }
  return count;
}

Deno.test("hostile patterns on growing subjects take steps that grow as the subject does", () => {
  const patterns = [
    "(a+)+$",
    "(a|a)*$",
    "(a|aa)+$",
    "(.*a){12}$",
    "(?:a*)*b",
    "^(\\w+\\s?)*$",
    "(x+x+)+y",
    "(a?){50}a{50}b",
  ];
  const files = (pattern: string) => ({ read: () => `~${pattern}~ x\n`, version: () => "1", now: () => 0 });
  for (const type of ["pcre", "regexp"]) {
    for (const pattern of patterns) {
      if (type === "regexp" && pattern.includes("(?:")) continue;
      const table = openTable(`${type}:/t`, { ...quiet, files: files(pattern) });
      // A back-tracking matcher would take 2^1000 steps for the first of these.
      for (const subject of ["a", "x"]) {
        const steps = [1000, 2000, 4000].map((length) =>
          charactersRead(() => void table.lookup(`${subject.repeat(length)}!`))
        );
        assert.ok(steps[0]! >= 1000 && steps[0]! < 100_000, `${type} ${pattern} ${steps}`);
        assert.ok(steps[2]! < steps[0]! * 5, `${type} ${pattern} ${subject} ${steps}`);
      }
    }
  }
});
