/**
 * NAME
 *   manual - writes the pages of the manual that follow from the code
 *
 * DESCRIPTION
 *   `deno run -A scripts/manual.ts [--check]` makes docs/man/DAEMON.8.md of each daemon's module doc, its declaration
 *   and the table of parameters, docs/parameters.md of that table, and docs/refused-parameters.md of those of Postfix
 *   that are not in it. Pages of commands and of files are written by
 *   hand and not touched.
 *
 *   `--check` writes nothing and names the pages that are not up to date.
 *
 * DIAGNOSTICS
 *   Status 1 when `--check` finds a page that is not up to date; 64 for a wrong command line.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { SERVICES } from "../daemons/services.ts";
import type { ParameterName } from "../lib/config/parameters.ts";
import { TRANSPORT_PARAMETERS } from "../lib/config/transport.ts";
import { type ManualDoc, parseManual, SECTIONS } from "./manual_doc.ts";
import { refusedPage } from "./manual_refused.ts";
import { parameterItem, parametersPage, type ParameterUse, parameterUses } from "./manual_parameters.ts";
import { readPrograms } from "./manual_sources.ts";

/** Top of the source tree. */
export const ROOT = join(import.meta.dirname!, "..");

const USAGE_STATUS = 64;
const NOTICE = "<!-- Made by scripts/manual.ts from the source code: change that, and run it again. -->";
/** Pages that say more than any daemon's own. */
const SEE_ALSO = [
  "[main.toml(5)](main.toml.5.md)",
  "[master.toml(5)](master.toml.5.md)",
  "[sandbox(8)](sandbox.8.md)",
];

/** The pages by their path below the source tree. */
export function makePages(root: string): ReadonlyMap<string, string> {
  const uses = parameterUses(root, readPrograms(root));
  const pages = new Map([
    ["docs/parameters.md", parametersPage(uses, NOTICE)],
    ["docs/refused-parameters.md", refusedPage(NOTICE)],
  ]);
  for (const name of ["master", ...SERVICES.keys()]) {
    const file = `daemons/${name}/main.ts`;
    const doc = parseManual(Deno.readTextFileSync(join(root, file)), file);
    pages.set(`docs/man/${name}.8.md`, daemonPage(name, doc, uses));
  }
  return pages;
}

/** The page of one daemon. */
function daemonPage(name: string, doc: ManualDoc, uses: readonly ParameterUse[]): string {
  const parts = [`# ${name}(8)`, NOTICE, `## NAME\n\n${doc.title}`];
  for (const section of SECTIONS) {
    const text = section === "PARAMETERS" ? parametersText(name, uses) : doc.sections.get(section);
    if (text !== undefined && text !== "") parts.push(`## ${section}\n\n${text}`);
  }
  parts.push(`## SEE ALSO\n\n${[...seeAlso(name), ...SEE_ALSO].join(", ")}`);
  return `${parts.join("\n\n")}\n`;
}

/** The parameters that a daemon declares; of master, which declares none, those that its code has. */
function parametersText(name: string, uses: readonly ParameterUse[]): string {
  const declared: readonly ParameterName[] | undefined = SERVICES.get(name)?.parameters;
  const own = declared === undefined
    ? uses.filter(({ users }) => users.includes(name))
    : uses.filter((use) => declared.includes(use.name));
  const intro = "The name, its default as main.toml would have it, and the meaning.";
  return [intro, own.map(parameterItem).join("\n"), transportText(declared ?? [])].filter((part) =>
    part !== ""
  )
    .join("\n\n");
}

/** The endings of parameters that each transport may have of its own. */
function transportText(declared: readonly ParameterName[]): string {
  const endings = Object.entries(TRANSPORT_PARAMETERS).filter(([, base]) => declared.includes(base));
  if (endings.length === 0) return "";
  const names = endings.map(([suffix]) => `\`TRANSPORT_${suffix}\``).join(", ");
  return `For one transport, TRANSPORT being the name of its service: ${names}.`;
}

/** The daemons that a daemon connects to, and master, which starts it. */
function seeAlso(name: string): string[] {
  const service = SERVICES.get(name);
  if (service === undefined) return [...SERVICES.keys()].map(link);
  const peers = service.connects.flatMap((peer) => peer === "rewrite" ? ["trivial-rewrite"] : [peer])
    .filter((peer) => SERVICES.has(peer));
  const helpers = service.startsHelpers ? ["mailbox", "program"] : [];
  return [...new Set(["master", ...peers, ...helpers])].map(link);
}

function link(name: string): string {
  return `[${name}(8)](${name}.8.md)`;
}

/** The pages that are not as they should be. */
export function findOutdated(root: string): string[] {
  return [...makePages(root)].filter(([path, text]) => readPage(join(root, path)) !== text).map(([path]) =>
    path
  );
}

function readPage(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function main(args: readonly string[]): number {
  const [option, ...rest] = args;
  if (rest.length > 0 || (option !== undefined && option !== "--check")) {
    console.error("usage: deno run -A scripts/manual.ts [--check]");
    return USAGE_STATUS;
  }
  const outdated = findOutdated(ROOT);
  if (option === "--check") {
    for (const path of outdated) {
      console.error(`manual: ${path} is not up to date: deno run -A scripts/manual.ts`);
    }
    return outdated.length === 0 ? 0 : 1;
  }
  const pages = makePages(ROOT);
  for (const path of outdated) {
    Deno.mkdirSync(dirname(join(ROOT, path)), { recursive: true });
    Deno.writeTextFileSync(join(ROOT, path), pages.get(path)!);
    console.log(`manual: ${path}`);
  }
  return 0;
}

if (import.meta.main) Deno.exit(main(Deno.args));
