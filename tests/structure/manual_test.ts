import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { SERVICES } from "../../daemons/services.ts";
import { loadConfiguration } from "../../lib/config/configuration.ts";
import { formatProblem } from "../../lib/config/problem.ts";
import { RESTRICTION_NAMES } from "../../lib/config/restriction_names.ts";
import { findTableProblems } from "../../lib/server/check_tables.ts";
import { escapeAngles, parseManual } from "../../scripts/manual_doc.ts";
import { findOutdated, ROOT } from "../../scripts/manual.ts";
import { type Program, readOptions, readPrograms } from "../../scripts/manual_sources.ts";

const MANUAL = join(ROOT, "docs", "man");
/** Pages that people write examples of configuration in. */
const GUIDES = ["docs/administration.md", "docs/man/main.toml.5.md", "docs/man/master.toml.5.md"];
/** Pages of no program: the dispatcher, files, tables. */
const OTHER_PAGES = ["postern", "main.toml", "master.toml", "expect.toml", "tables"];
/** Sections that the page of a command must have. */
const COMMAND_SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "SEE ALSO"];

const PAGES = [...Deno.readDirSync(MANUAL)].map(({ name }) => name).sort();
const PROGRAMS = readPrograms(ROOT);

/** The name of a program's page: a program that is called as a daemon is has the dispatcher's name in front. */
function pageName({ name }: Program): string {
  return SERVICES.has(name) ? `postern-${name}` : name;
}

function pageOf(program: Program): string | undefined {
  const name = pageName(program);
  return PAGES.find((page) => page === `${name}.1.md` || page === `${name}.8.md`);
}

function read(path: string): string {
  return Deno.readTextFileSync(join(ROOT, path));
}

Deno.test("the pages that are made from the code are up to date: deno run -A scripts/manual.ts", () => {
  assert.deepEqual(findOutdated(ROOT), []);
});

Deno.test("every program of main.ts has one page", () => {
  for (const program of PROGRAMS) {
    const found = PAGES.filter((page) => /^(.+)\.[18]\.md$/.exec(page)?.[1] === pageName(program));
    assert.equal(found.length, 1, program.name);
  }
});

Deno.test("every page is of a program, a daemon or a file that exists", () => {
  const known = [...PROGRAMS.map(pageName), "master", ...SERVICES.keys(), ...OTHER_PAGES];
  assert.deepEqual(PAGES.filter((page) => !known.includes(page.replace(/\.[158]\.md$/, ""))), []);
});

Deno.test("the page of a program names every option that its parser accepts", () => {
  for (const program of PROGRAMS) {
    const text = read(`docs/man/${pageOf(program)}`);
    const missing = readOptions(ROOT, program).filter((option) =>
      !text.includes(`\`${option}\``) && !text.includes(`\`${option} `)
    );
    assert.deepEqual(missing, [], program.name);
  }
});

Deno.test("the options of a program are found where its parser has them", () => {
  const optionsOf = (name: string) => readOptions(ROOT, PROGRAMS.find((program) => program.name === name)!);
  assert.deepEqual(optionsOf("postqueue"), ["-c", "-f", "-i", "-j", "-p", "-s", "-v"]);
  assert.deepEqual(optionsOf("trial"), ["--once", "--root", "--smtp-port"]);
  assert.deepEqual(optionsOf("start"), []);
  assert.ok(optionsOf("sendmail").includes("-t"));
  assert.ok(optionsOf("postmap").includes("-q"));
});

Deno.test("the page of a program has the sections of a manual", () => {
  for (const program of PROGRAMS) {
    const page = pageOf(program)!;
    const text = read(`docs/man/${page}`);
    const [, name, section] = /^(.+)\.([18])\.md$/.exec(page)!;
    assert.ok(text.startsWith(`# ${name}(${section})\n`), page);
    for (const heading of COMMAND_SECTIONS) {
      assert.ok(text.includes(`\n## ${heading}\n`), `${page}: ${heading}`);
    }
    assert.ok(text.includes(`\n${name} - `), `${page}: its name and purpose`);
  }
});

Deno.test("the overview of the programs leaves none out", () => {
  const overview = read("docs/man/postern.8.md");
  const missing = PROGRAMS.filter((program) => !overview.includes(`](${pageOf(program)})`));
  assert.deepEqual(missing.map(({ name }) => name), []);
});

Deno.test("links between pages lead to pages", () => {
  const files = [...PAGES.map((page) => `docs/man/${page}`), "docs/administration.md", "docs/parameters.md"];
  for (const file of files) {
    for (const [, target] of read(file).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
      const path = join(ROOT, file, "..", target!);
      assert.doesNotThrow(() => Deno.statSync(path), `${file}: ${target}`);
    }
  }
});

/** A block of an example: which file it is of, and whether it is added to the sample of that name. */
interface Block {
  readonly file: string;
  readonly added: boolean;
  readonly text: string;
}

/** The examples of a page by name. A block's first line is "toml FILE[+] EXAMPLE" or "text FILE EXAMPLE". */
function examplesOf(page: string): Map<string, Block[]> {
  const examples = new Map<string, Block[]>();
  for (const [, head = "", text = ""] of read(page).matchAll(/^```([^\n]*)\n([\s\S]*?)^```$/gm)) {
    const [language, file, example, ...rest] = head.split(" ");
    if (language !== "toml" && file === undefined) continue;
    assert.ok(file !== undefined && example !== undefined && rest.length === 0, `${page}: block "${head}"`);
    const block = { file: file.replace(/\+$/, ""), added: file.endsWith("+"), text };
    examples.set(example, [...examples.get(example) ?? [], block]);
  }
  return examples;
}

/** The problems that `postern check` would find in an example, in place of or added to the sample's files. */
function problemsOf(blocks: readonly Block[]): string[] {
  const directory = Deno.makeTempDirSync({ prefix: "postern-example-" });
  try {
    for (const entry of Deno.readDirSync(join(ROOT, "conf"))) {
      if (entry.isDirectory) continue;
      Deno.copyFileSync(join(ROOT, "conf", entry.name), join(directory, entry.name));
    }
    for (const { file, added, text } of blocks) {
      const path = join(directory, basename(file));
      Deno.writeTextFileSync(path, added ? `${Deno.readTextFileSync(path)}\n${text}` : text);
    }
    const facts = { hostName: "mail.example.com", addresses: ["192.0.2.10/24"] };
    const { configuration, problems } = loadConfiguration(directory, facts, {
      readText: Deno.readTextFileSync,
      commands: [...SERVICES.keys()].filter((command) => command !== "mailbox"),
    });
    const all = configuration === undefined ? problems : [...problems, ...findTableProblems(configuration)];
    return all.map(formatProblem);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

for (const page of GUIDES) {
  Deno.test(`every example configuration in ${page} is accepted by check`, () => {
    const examples = examplesOf(page);
    assert.ok(examples.size > 0, "no example is marked");
    for (const [name, blocks] of examples) assert.deepEqual(problemsOf(blocks), [], name);
  });
}

Deno.test("an example with a fault is found", () => {
  const block = { file: "main.toml", added: false, text: 'myhostnam = "mail.example.com"\n' };
  assert.match(problemsOf([block]).join("\n"), /unknown parameter "myhostnam"/);
});

Deno.test("a name in the guide that looks like a parameter is one", () => {
  const known = read("docs/parameters.md");
  const text = read("docs/administration.md").split("## Coming from Postfix")[0]!;
  const names = [...text.matchAll(/`([a-z0-9]+(?:_[a-z0-9]+)+)`/g)].map(([, name]) => name!);
  const unknown = names.filter((name) => !known.includes(`\`${name}\``) && !RESTRICTION_LIKE.test(name));
  assert.deepEqual([...new Set(unknown)], []);
});

/** Restrictions, and words of the log that have underscores. */
const RESTRICTION_LIKE = /^(permit|reject|defer|check|warn)_|^queue_id$/;

Deno.test("the guide names every restriction that there is, and no other", () => {
  const section = read("docs/administration.md").split("## Who may send what")[1]!.split("```")[0]!;
  const named = [...section.matchAll(/`((?:permit|reject|defer|check)[a-z_]*|sleep)`/g)].map(([, name]) =>
    name
  );
  assert.deepEqual([...new Set(named)].sort(), [...RESTRICTION_NAMES].sort());
});

Deno.test("a manual in each of the three ways of writing it is read alike", () => {
  const plain =
    "/**\n * NAME\n *   one - does it\n *\n * DESCRIPTION\n *   Text <here>.\n *\n * SECURITY\n *   None.\n */";
  const headed =
    "/**\n * # one\n *\n * Does it.\n *\n * ## Description\n * Text <here>.\n *\n * ## Security\n * None.\n */";
  const labelled = "/**\n * one - does it\n *\n * Description: Text <here>.\n *\n * Security: None.\n */";
  for (const source of [plain, headed, labelled]) {
    const { title, sections } = parseManual(source, "one.ts");
    assert.equal(title, "one - does it");
    assert.equal(sections.get("DESCRIPTION"), "Text \\<here>.");
    assert.equal(sections.get("SECURITY"), "None.");
  }
});

Deno.test("a module doc without a title, or with a section that no page has, is refused", () => {
  assert.throws(() => parseManual("/** What it does. */", "one.ts"), /its first line is no title/);
  const unknown =
    "/**\n * NAME\n *   one - does it\n *\n * DESCRIPTION\n *   x\n *\n * SECURITY\n *   y\n *\n * HOPES\n *   z\n */";
  assert.throws(() => parseManual(unknown, "one.ts"), /unknown section "HOPES"/);
});

Deno.test("angle brackets are escaped outside code only", () => {
  assert.equal(escapeAngles("a <b> `c <d>` <e>"), "a \\<b> `c <d>` \\<e>");
});
