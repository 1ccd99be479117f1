import assert from "node:assert/strict";
import { expand, ExpandError, referencedNames, VALUE_LIMIT } from "../../../lib/config/expand.ts";

const NAMES: ReadonlyMap<string, string> = new Map([
  ["a", "A"],
  ["b_2", "B"],
  ["empty", ""],
  ["ten", "10"],
  ["nine", "9"],
  ["word", "word"],
]);

function lookup(name: string): string {
  const value = NAMES.get(name);
  if (value === undefined) throw new ExpandError(`unknown ${name}`);
  return value;
}

const CASES: readonly (readonly [string, string])[] = [
  ["", ""],
  ["plain", "plain"],
  ["$a", "A"],
  ["x${a}y", "xAy"],
  ["$(a)", "A"],
  ["$a.$b_2-$a", "A.B-A"],
  ["${ a }", "A"],
  ["$$a and $$", "$a and $"],
  ["${a?yes}", "yes"],
  ["${empty?yes}", ""],
  ["${a:no}", ""],
  ["${empty:no}", "no"],
  ["${a?{yes}}", "yes"],
  ["${a?{ yes }:{no}}", " yes "],
  ["${empty?{yes}:{no}}", "no"],
  ["${empty?{yes} : {no}}", "no"],
  ["${empty?{yes}:no}", "no"],
  ["${empty:{$a}}", "A"],
  ["${a?{${empty?{x}:{$b_2}}}:{y}}", "B"],
  ["${empty?{$nobody}:{ok}}", "ok"],
  ["${a?with:colon}", "with:colon"],
  ["${a? blank}", " blank"],
  ["${{$a} == {A} ? {same} : {other}}", "same"],
  ["${{$a}=={B}?{same}:{other}}", "other"],
  ["${{$a} != {B} ? {differ}}", "differ"],
  ["${{$a} == {B} ? {same}}", ""],
  ["${{$nine} < {$ten} ? {number} : {text}}", "number"],
  ["${{$word} < {$ten} ? {number} : {text}}", "text"],
  ["${{$ten} >= {10} ? {yes} : {no}}", "yes"],
  ["${{$ten} <= {9} ? {yes} : {no}}", "no"],
  ["${{$ten} > {9} ? {yes} : {no}}", "yes"],
  ["${{ A } == {$a} ? {same} : {blanks count}}", "blanks count"],
  ["${{10} == {010} ? {number} : {text}}", "number"],
  ["${empty? {x} : { y }}", " y "],
  ["${empty?{x}:$$a}", "$a"],
  ["${a ?x}", "x"],
  ["${{3.10} >level {3.6} ? {newer} : {older}}", "newer"],
  ["${{2} <level {3.6} ? {older} : {newer}}", "older"],
  ["${{3} ==level {3.0.0} ? {same}}", "same"],
  ["${{3.6} <=level {3.6} ? {up to} : {above}}", "up to"],
  ["${{} == {$empty} ? {both empty} : {no}}", "both empty"],
];

for (const [text, expected] of CASES) {
  Deno.test(`"${text}" expands to "${expected}"`, () => assert.equal(expand(text, lookup), expected));
}

const FAULTS: readonly (readonly [string, RegExp])[] = [
  ["$", /no name follows/],
  ["cost $ 5", /no name follows/],
  ["${a", /"\{" is not closed/],
  ["$(a", /"\(" is not closed/],
  ["${}", /begins with no name/],
  ["${?x}", /begins with no name/],
  ["${a!x}", /expected "\?" or ":"/],
  ["${empty?{x} y}", /expected nothing at "y"/],
  ["${a?{x} y}", /expected nothing at "y"/],
  ["${a:{x}:{y}}", /expected nothing at ":\{y\}"/],
  ["${empty:{x}:{y}}", /expected nothing at ":\{y\}"/],
  ["${{a} = {b} ? {c}}", /unknown operator "="/],
  ["${{a} <=level {3.6} ? {c}}", /"a" is no compatibility level/],
  ["${{3.6} =level {3.6} ? {c}}", /unknown operator/],
  ["${{a} ==}", /expected \{a\} operator \{b\}/],
  ["$nobody", /unknown nobody/],
];

for (const [text, message] of FAULTS) {
  Deno.test(`"${text}" is refused`, () =>
    assert.throws(() => expand(text, lookup), { name: "ExpandError", message }));
}

Deno.test("conditions nest 50 deep and no deeper", () => {
  const nested = (depth: number) => "${a?{".repeat(depth) + "x" + "}}".repeat(depth);
  assert.equal(expand(nested(50), lookup), "x");
  assert.throws(() => expand(nested(51), lookup), { message: /nested too deeply/ });
});

Deno.test("a value may be as long as the limit and no longer", () => {
  const half = "x".repeat(VALUE_LIMIT / 2);
  assert.equal(expand("$a$b", () => half).length, VALUE_LIMIT);
  assert.throws(() => expand("$a$b$c", () => half), { message: /longer than/ });
});

Deno.test("a text cut at every character expands or is refused, nothing else", () => {
  const text = "$a ${b_2} $(a) ${empty?{x ${a}}:{y}} ${{$ten} >= {9} ? {c} : {d}} $$";
  for (let length = 0; length <= text.length; length++) {
    try {
      expand(text.slice(0, length), lookup);
    } catch (error) {
      assert.ok(error instanceof ExpandError, String(error));
    }
  }
});

/** Debian's postconf, or undefined where Postfix is not installed. */
function findPostconf(): string | undefined {
  return ["/usr/sbin/postconf", "/usr/local/sbin/postconf"].find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
}

const POSTCONF = findPostconf();

Deno.test({
  name: "Postfix's own postconf expands the same texts to the same values",
  ignore: POSTCONF === undefined,
  fn: () => {
    const directory = Deno.makeTempDirSync();
    try {
      const cases = CASES.filter(([text]) => text !== "");
      const lines = [...NAMES].map(([name, value]) => `${name} = ${value}`);
      lines.push("compatibility_level = 3.6", ...cases.map(([text], i) => `t${i} = ${text}`));
      lines.push(`smtpd_banner = ${cases.map((_, i) => `\${t${i}}`).join("|")}`);
      Deno.writeTextFileSync(`${directory}/main.cf`, lines.join("\n") + "\n");
      Deno.writeTextFileSync(`${directory}/master.cf`, "");
      const output = new Deno.Command(POSTCONF!, { args: ["-c", directory, "-xh", "smtpd_banner"] })
        .outputSync();
      const values = new TextDecoder().decode(output.stdout).slice(0, -1).split("|");
      assert.deepEqual(values, cases.map(([, expected]) => expected));
    } finally {
      Deno.removeSync(directory, { recursive: true });
    }
  },
});

Deno.test("${domain_to_ascii{...}} is the domain in ASCII, and there is no other function", () => {
  for (
    const [text, expected] of [
      ["${domain_to_ascii{mx.test}}", "mx.test"],
      [".${domain_to_ascii{π.$word}}=x", ".xn--1xa.word=x"],
      ["${ domain_to_ascii {${a?{B.test}}} }", "B.test"],
    ] as const
  ) {
    assert.equal(expand(text, lookup), expected);
  }
  for (
    const text of ["${upper{a}}", "${domain_to_ascii{a}x}", "${domain_to_ascii{ü ü}}", "${domain_to_ascii{a}"]
  ) {
    assert.throws(() => expand(text, lookup), ExpandError, text);
  }
  assert.deepEqual(referencedNames("{${domain_to_ascii{$mydomain}}=x}"), ["mydomain"]);
});
