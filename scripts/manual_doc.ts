/**
 * The manual that stands in the `@module` docs of daemons. Three ways of writing it are understood:
 *
 * - `NAME`, `DESCRIPTION`, ... as lines of their own, their text indented by two;
 * - `# name`, a sentence, `## Description`, ...;
 * - `name - purpose`, then paragraphs that begin with `Description:`, ...
 *
 * @module
 */

/** The sections that a daemon's doc may have, in the order of the page. */
export const SECTIONS = [
  "DESCRIPTION",
  "SECURITY",
  "STANDARDS",
  "DIAGNOSTICS",
  "PARAMETERS",
  "LIMITS",
] as const;

/** One of the sections of a manual page. */
export type SectionName = typeof SECTIONS[number];

/** A parsed doc. */
export interface ManualDoc {
  /** Names and purpose, as "error, retry - the delivery agents that bounce or defer". */
  readonly title: string;
  /** Text in Markdown. */
  readonly sections: ReadonlyMap<SectionName, string>;
}

/** Parses the first doc comment of a source file; throws when it is no manual. */
export function parseManual(source: string, file: string): ManualDoc {
  const lines = commentLines(source);
  const first = lines.find((line) => line !== "") ?? "";
  const fail = (why: string): never => {
    throw new Error(`Cannot read manual of "${file}": ${why}`);
  };
  const parts = first === "NAME"
    ? splitAt(lines, (line) => /^[A-Z][A-Z ]+$/.test(line) ? { name: line, rest: "" } : undefined)
    : first.startsWith("# ")
    ? splitAt(
      lines,
      (line) => line.startsWith("#") ? { name: line.replace(/^#+ /, ""), rest: "" } : undefined,
    )
    : splitAt(lines, splitLabel);
  const title = titleOf(first, parts);
  if (title === undefined) return fail("its first line is no title");
  const sections = new Map<SectionName, string>();
  for (const { name, lines } of parts) {
    const section = sectionName(name);
    if (section !== undefined) sections.set(section, toMarkdown(lines));
    else if (name !== "" && name !== "NAME" && !first.endsWith(name)) fail(`unknown section "${name}"`);
  }
  if (!sections.has("DESCRIPTION") || !sections.has("SECURITY")) {
    fail("no description or no security section");
  }
  return { title, sections };
}

/** The lines of the first doc comment, without its stars and its `@module`. */
function commentLines(source: string): string[] {
  const start = source.indexOf("/**");
  const end = source.indexOf("*/", start);
  if (start < 0 || end < 0) return [];
  return source.slice(start + 3, end).split("\n")
    .map((line) => line.replace(/^ \* ?/, "").trimEnd())
    .filter((line) => line !== "@module");
}

/** A section as it was found; the lines before the first have no name. */
interface Part {
  readonly name: string;
  readonly lines: string[];
}

/** Cuts the lines at headings. */
function splitAt(
  lines: readonly string[],
  heading: (line: string) => { readonly name: string; readonly rest: string } | undefined,
): Part[] {
  const parts: Part[] = [{ name: "", lines: [] }];
  let fenced = false;
  for (const line of lines) {
    if (line.trimStart().startsWith("```")) fenced = !fenced;
    const found = fenced ? undefined : heading(line);
    if (found === undefined) parts.at(-1)!.lines.push(line);
    else parts.push({ name: found.name, lines: found.rest === "" ? [] : [found.rest] });
  }
  return parts;
}

/** `Security: text`, which goes on as a sentence; a description often begins with a program's name. */
function splitLabel(line: string): { readonly name: string; readonly rest: string } | undefined {
  const [, name, text] = /^([A-Z][a-z]+(?: [a-z]+)?): (.+)$/.exec(line) ?? [];
  if (name === undefined || text === undefined || sectionName(name) === undefined) return undefined;
  return { name, rest: name === "Description" ? text : text[0]!.toUpperCase() + text.slice(1) };
}

function sectionName(text: string): SectionName | undefined {
  const upper = text.toUpperCase() === "KNOWN LIMITS" ? "LIMITS" : text.toUpperCase();
  return SECTIONS.find((name) => name === upper);
}

/** The line of NAME, or the heading with the sentence below it, or the first line. */
function titleOf(first: string, parts: readonly Part[]): string | undefined {
  if (first === "NAME") return parts.find(({ name }) => name === "NAME")?.lines.join(" ").trim();
  if (!first.startsWith("# ")) return first.includes(" - ") ? first : undefined;
  const name = first.slice(2);
  const sentence = toMarkdown(parts[1]?.lines ?? []).split("\n").join(" ");
  if (sentence === "") return undefined;
  const [head = "", tail] = sentence.split(/\.(?: |$)/, 2);
  const plain = tail === undefined || tail === "" ? head : sentence;
  return `${name} - ${plain[0]!.toLowerCase()}${plain.slice(1)}`;
}

/** The text without common indentation, and with `<` as Markdown takes it for itself. */
function toMarkdown(lines: readonly string[]): string {
  const filled = lines.filter((line) => line !== "");
  const indent = Math.min(...filled.map((line) => line.length - line.trimStart().length));
  return escapeAngles(lines.map((line) => line.slice(indent)).join("\n").trim());
}

/** `<` begins HTML outside code. */
export function escapeAngles(text: string): string {
  return text.split("`").map((piece, i) => i % 2 === 0 ? piece.replaceAll("<", "\\<") : piece).join("`");
}
