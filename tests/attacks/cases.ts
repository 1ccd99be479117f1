/**
 * The security cases (cases.jsonl): for each class the tests here say what every case must come to, or which test
 * elsewhere shows it, or that it does not apply. Not a test itself.
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

const ROOT = new URL("../../", import.meta.url);
const CASES: ReadonlyMap<string, Case> = new Map(
  Deno.readTextFileSync(new URL("cases.jsonl", import.meta.url)).split("\n").filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Case).map((one) => [one.id, one]),
);

/** The classes that there are. */
export const CLASSES: ReadonlySet<string> = new Set([...CASES.values()].map((one) => one.class));

/** The input of a case. */
export function caseInput(id: string): string {
  const found = CASES.get(id);
  if (found === undefined) throw new Error(`there is no case ${id}`);
  return found.input;
}

/**
 * Registers tests that fail when a case of a class is neither checked nor accounted for, or when the account is wrong.
 *
 * @param elsewhere by case: `FILE: words of the name of a test in it`, several separated by `; ` (words without a file
 *   are of the last one named), or `own test: what` for a test in this folder that begins with the case's id, or
 *   `does not apply: why`. FILE is a path from the root; a path alone names all the tests in it.
 */
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
  Deno.test(`what class ${name} says of tests elsewhere is true`, () => {
    const wrong = Object.entries(elsewhere).flatMap(([id, where]) =>
      faultsOf(id, where).map((fault) => `${id}: ${fault}`)
    );
    assert.deepEqual(wrong, []);
  });
}

/** What is wrong with an account of where a case is tested. */
export function faultsOf(id: string, where: string): string[] {
  if (where.startsWith("does not apply: ")) return [];
  if (where.startsWith("own test: ")) return ownTests().includes(id) ? [] : ["no test here begins with it"];
  const faults: string[] = [];
  let file = "";
  for (const part of where.split("; ")) {
    const [, path, words] = /^(?:(tests\/[\w./-]+|lib\/[\w./-]+))?(?:(?:^|: )(.+))?$/.exec(part) ?? [];
    if (path !== undefined) file = path;
    if (file === "") faults.push(`"${part}" names no file`);
    else if (words === undefined || !file.endsWith(".ts")) {
      if (!exists(file)) faults.push(`there is no ${file}`);
    } else if (!textsIn(file).includes(words)) faults.push(`${file} has no "${words}"`);
  }
  return faults;
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(new URL(path, ROOT)) !== undefined;
  } catch {
    return false;
  }
}

const read = new Map<string, string>();

/** The lines of a file that may hold the name of a test: those with a string in them. */
function textsIn(path: string): string {
  let text = read.get(path);
  if (text === undefined) {
    text = exists(path)
      ? Deno.readTextFileSync(new URL(path, ROOT)).split("\n").filter((line) => /["'`]/.test(line)).join("\n")
      : "";
    read.set(path, text);
  }
  return text;
}

/** The ids with which names of tests in this folder begin. */
function ownTests(): string[] {
  const folder = new URL("./", import.meta.url);
  const ids: string[] = [];
  for (const { name } of Deno.readDirSync(folder)) {
    if (!name.endsWith("_test.ts")) continue;
    const text = Deno.readTextFileSync(new URL(name, folder));
    for (
      const [, list] of text.matchAll(
        /^\s*(?:Deno\.test\(|testNeeding\(.*|)["`]((?:[A-Z]{3}-\d+(?:, )?)+): /gm,
      )
    ) {
      ids.push(...list!.split(", "));
    }
  }
  return ids;
}
