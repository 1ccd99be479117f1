/**
 * What the manual needs to know of the source text: the programs of main.ts, the options that their parsers accept,
 * and which parameters any code reads.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";

/** A row of main.ts. */
export interface Program {
  readonly name: string;
  readonly purpose: string;
  /** Its module, relative to the source tree. */
  readonly module: string;
}

/** The programs of the dispatcher. */
export function readPrograms(root: string): Program[] {
  const row =
    /\["([a-z0-9-]+)", \{ purpose: "([^"]+)", load: \(\) => import\("\.\/([a-z0-9_/]+\.ts)"\) \}\]/g;
  const text = Deno.readTextFileSync(join(root, "main.ts"));
  const programs = Array.from(
    text.matchAll(row),
    ([, name, purpose, module]) => ({ name: name!, purpose: purpose!, module: module! }),
  );
  const rows = text.split("{ purpose: ").length - 1;
  if (programs.length === 0 || programs.length !== rows) {
    throw new Error(`Cannot read the programs of main.ts: ${programs.length} of ${rows} rows understood`);
  }
  return programs;
}

/** The options of a program as its parser has them: "-q", "--once". */
export function readOptions(root: string, program: Program): string[] {
  const own = codeOf(join(root, program.module));
  if (/\brefuseArguments\(args/.test(own)) return [];
  const options = new Set<string>();
  // smtp_sink.ts has its parser in smtp_sink_options.ts.
  const stem = basename(program.module, ".ts");
  const parts = [...Deno.readDirSync(join(root, dirname(program.module)))]
    .filter(({ name }) => name === `${stem}.ts` || name.startsWith(`${stem}_`))
    .map(({ name }) => codeOf(join(root, dirname(program.module), name)));
  const letters = /parseOptions\([^;"]*"([^"]+)"\)|\bletters: "([^"]+)"|\bconst LETTERS = "([^"]+)"/g;
  for (const match of parts.flatMap((code) => [...code.matchAll(letters)])) {
    for (const letter of (match[1] ?? match[2] ?? match[3])!.replaceAll(":", "")) options.add(`-${letter}`);
  }
  // Only the program's own words: what it starts other programs with is no option of its own.
  for (const [, long, short] of own.matchAll(/"(--[a-z][a-z-]*)"|[!=]== "(-[A-Za-z])"/g)) {
    options.add((long ?? short)!);
  }
  return [...options].sort();
}

/** The code of the modules in commands/ that a program is made of, its own left out. */
export function importsOf(root: string, module: string): string[] {
  const seen = new Set([module]);
  const codes: string[] = [];
  const visit = (from: string) => {
    const code = codeOf(join(root, from));
    if (from !== module) codes.push(code);
    for (const [, name] of code.matchAll(/ from "\.\/([a-z0-9_]+\.ts)"/g)) {
      const path = `${dirname(from)}/${name}`;
      if (!path.startsWith("commands/") || seen.has(path) || DECLARATIONS.includes(name!)) continue;
      seen.add(path);
      visit(path);
    }
  };
  visit(module);
  return codes;
}

/** Source text without its comments. */
export function codeOf(path: string): string {
  return Deno.readTextFileSync(path).replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "$1");
}

/** Files that name parameters without making use of them. */
const DECLARATIONS: readonly string[] = [
  "import_services.ts",
  "import_settings.ts",
  "service.ts",
  "parameters.ts",
  "parameter_lists.ts",
  "postfix_rows_a_p.ts",
  "postfix_rows_q_z.ts",
  "transport.ts",
  "trial_configuration.ts",
];

/** The code of a folder of the source tree, tests of use in mind: declarations are left out. */
export function codeBelow(root: string, folder: string): string {
  const codes: string[] = [];
  for (const entry of Deno.readDirSync(join(root, folder))) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) codes.push(codeBelow(root, path));
    else if (path.endsWith(".ts") && !DECLARATIONS.includes(basename(path))) {
      codes.push(codeOf(join(root, path)));
    }
  }
  return codes.join("\n");
}

/** The words of code, and its string literals. */
export function wordsOf(code: string): ReadonlySet<string> {
  return new Set(code.match(/[A-Za-z0-9_]+/g) ?? []);
}
