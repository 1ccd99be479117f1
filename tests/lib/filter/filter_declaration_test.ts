/** What a filter's file says that it may touch. @module */
import assert from "node:assert/strict";
import { FilterDeclarationError, parseFilterDeclaration } from "../../../lib/filter/filter_declaration.ts";

const GOOD = `import type { Filter, FilterMay } from "x";

export const may: FilterMay = {
  reads: ["/etc/postern/footer.txt", "/var/lib/x",],
  net: ["127.0.0.1:783", "unix:/run/x"],
  time: 10, memory: 64
};
export const filter = () => ({ verdict: "pass" });
`;

Deno.test("a declaration is read from the text", () => {
  assert.deepEqual(parseFilterDeclaration(GOOD), {
    reads: ["/etc/postern/footer.txt", "/var/lib/x"],
    net: ["127.0.0.1:783", "unix:/run/x"],
    time: 10,
    memory: 64,
  });
});

/** A change of the text above, and what is said of it. */
const BAD: readonly (readonly [string, string, RegExp])[] = [
  ["export const may", "export let may", /no line begins/],
  ['"/var/lib/x"', "`/var/lib/x`", /plain texts/],
  ['"/var/lib/x"', "Deno.args[0]", /plain texts/],
  ['"/var/lib/x"', '"/var/" + "x"', /plain texts/],
  ['"/var/lib/x"', '"var/lib/x"', /absolute path/],
  ['"/var/lib/x"', '"/a,/"', /absolute path/],
  ['"/var/lib/x"', '"/a b"', /absolute path/],
  ['"/var/lib/x"', '"/a\\\\x"', /plain texts/],
  ['"127.0.0.1:783"', '"127.0.0.1"', /host:port/],
  ['"127.0.0.1:783"', '"*"', /host:port/],
  ['"127.0.0.1:783"', '":25"', /host:port/],
  ["time: 10", "time: 0", /from 1 to/],
  ["time: 10", "time: 10 * 60", /plain texts/],
  ["time: 10,", "", /"time" must be/],
  ["memory: 64", "memory: 1", /from 16 to/],
  ["memory: 64", 'memory: 64, runs: ["/bin/sh"]', /"runs" is nothing/],
  ["memory: 64", "memory: 64, memory: 65", /plain texts/],
  ["memory: 64", "memory: 64, ...other", /plain texts/],
  ["{", "[", /plain texts|no object/],
];

for (const [from, to, why] of BAD) {
  Deno.test(`a declaration is refused with ${to === "" ? `no ${from}` : to}`, () => {
    const text = from === "{" ? GOOD.replace("= {", "= [") : GOOD.replace(from, to);
    assert.notEqual(text, GOOD);
    assert.throws(() => parseFilterDeclaration(text), (error) => {
      assert.ok(error instanceof FilterDeclarationError);
      assert.match(error.message, why);
      return true;
    });
  });
}

Deno.test("a declaration that is cut anywhere is refused, or is the whole one", () => {
  const end = GOOD.indexOf("};") + 1;
  for (let cut = 0; cut < end; cut++) {
    assert.throws(() => parseFilterDeclaration(GOOD.slice(0, cut)), FilterDeclarationError, String(cut));
  }
});
