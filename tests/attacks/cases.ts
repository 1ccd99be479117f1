/**
 * The security cases (cases.jsonl): for each class the tests here say what every case must come to, or where else it is
 * tested, or why it does not apply yet. Not a test itself.
 *
 * @module
 */
import assert from "node:assert/strict";

interface Case {
  readonly id: string;
  readonly class: string;
  readonly input: string;
  readonly expect: string;
}

const CASES: ReadonlyMap<string, Case> = new Map(
  Deno.readTextFileSync(new URL("cases.jsonl", import.meta.url)).split("\n").filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Case).map((one) => [one.id, one]),
);

/** The input of a case. */
export function caseInput(id: string): string {
  const found = CASES.get(id);
  if (found === undefined) throw new Error(`there is no case ${id}`);
  return found.input;
}

/** Registers a test that fails when a case of a class is neither checked nor accounted for. */
export function testEveryCase(
  name: string,
  checked: Readonly<Record<string, unknown>>,
  elsewhere: Readonly<Record<string, string>>,
): void {
  Deno.test(`every case of class ${name} is checked, or it is said why not`, () => {
    const ids = [...CASES.values()].filter((one) => one.class === name).map(({ id }) => id);
    assert.ok(ids.length > 0);
    assert.deepEqual([...Object.keys(checked), ...Object.keys(elsewhere)].sort(), ids.sort());
  });
}
