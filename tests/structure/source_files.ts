/** The project's source files and what they import. Not a test itself. @module */
import { resolve } from "node:path";

export const ROOT: string = new URL("../..", import.meta.url).pathname;

/** One file of the tree. */
export interface SourceFile {
  /** Path from the root, as "lib/safe/file.ts". */
  readonly path: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

/** One import or re-export. */
export interface Import {
  /** As it is written. */
  readonly specifier: string;
  /** Path from the root when it is a file of the tree. */
  readonly target: string | undefined;
  readonly typeOnly: boolean;
  /** True for `import(...)`. */
  readonly dynamic: boolean;
}

/** Every TypeScript file below some folders, sorted. */
export function sourceFiles(...folders: readonly string[]): SourceFile[] {
  return folders.flatMap((folder) => pathsBelow(folder)).sort().map((path) => {
    const text = Deno.readTextFileSync(ROOT + path);
    return { path, text, imports: readImports(path, text) };
  });
}

function pathsBelow(path: string): string[] {
  const info = statOrNothing(ROOT + path);
  if (info === undefined) return [];
  if (info.isFile) return path.endsWith(".ts") ? [path] : [];
  return [...Deno.readDirSync(ROOT + path)].flatMap(({ name }) =>
    pathsBelow(`${path.replace(/\/$/, "")}/${name}`)
  );
}

function statOrNothing(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** The imports of a text; comments and strings that only look like one do not count. */
export function readImports(path: string, text: string): Import[] {
  const code = withoutComments(text);
  const found: Import[] = [];
  const statement =
    /(?:^|[\n;}])\s*(import|export)\s+(type\s+)?(?:[\w*{][^"'`;]*?\sfrom\s*)?["']([^"']+)["']/g;
  for (const [, , type, specifier = ""] of code.matchAll(statement)) {
    found.push({
      specifier,
      target: targetOf(path, specifier),
      typeOnly: type !== undefined,
      dynamic: false,
    });
  }
  for (const [, specifier = ""] of code.matchAll(/\bimport\(\s*["']([^"']+)["']/g)) {
    found.push({ specifier, target: targetOf(path, specifier), typeOnly: false, dynamic: true });
  }
  return found;
}

function targetOf(path: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  const folder = path.slice(0, path.lastIndexOf("/") + 1);
  return resolve(`/${folder}`, specifier).slice(1);
}

/** The text with comments blanked out; strings and templates are left, line numbers stay. */
export function withoutComments(text: string): string {
  return scan(text, (kind, piece) => kind === "comment" ? blank(piece) : piece);
}

/** The text with comments, strings and templates blanked out: only code that runs is left, line numbers stay. */
export function codeOnly(text: string): string {
  return scan(text, (kind, piece) => kind === "code" ? piece : blank(piece));
}

/** The comments of a text. */
export function comments(text: string): string {
  return scan(text, (kind, piece) => kind === "comment" ? piece : blank(piece));
}

type Kind = "code" | "comment" | "string";

function blank(piece: string): string {
  return piece.replace(/[^\n]/g, " ");
}

/** Cuts TypeScript into comments, strings with regular expressions, and the rest. Templates count as strings whole. */
function scan(text: string, take: (kind: Kind, piece: string) => string): string {
  let out = "";
  let at = 0;
  while (at < text.length) {
    const [kind, end] = pieceAt(text, at, out);
    out += take(kind, text.slice(at, end));
    at = end;
  }
  return out;
}

function pieceAt(text: string, at: number, before: string): [Kind, number] {
  const two = text.slice(at, at + 2);
  if (two === "//") return ["comment", endOrAll(text, text.indexOf("\n", at))];
  if (two === "/*") return ["comment", endOrAll(text, text.indexOf("*/", at + 2), 2)];
  const one = text[at]!;
  if (one === '"' || one === "'" || one === "`") return ["string", endOfString(text, at)];
  if (one === "/" && beginsPattern(before)) return ["string", endOfPattern(text, at)];
  let end = at + 1;
  while (end < text.length && !"\"'`/".includes(text[end]!)) end++;
  return ["code", end];
}

function endOrAll(text: string, end: number, more = 0): number {
  return end < 0 ? text.length : end + more;
}

function endOfString(text: string, start: number): number {
  const quote = text[start];
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === quote || (quote !== "`" && text[at] === "\n")) return at + 1;
    else if (quote === "`" && text.startsWith("${", at)) at = endOfSubstitution(text, at + 2) - 1;
  }
  return text.length;
}

/** Behind the brace that closes a `${`. */
function endOfSubstitution(text: string, start: number): number {
  let depth = 1;
  for (let at = start; at < text.length; at++) {
    const one = text[at]!;
    if (one === '"' || one === "'" || one === "`") at = endOfString(text, at) - 1;
    else if (one === "{") depth++;
    else if (one === "}" && --depth === 0) return at + 1;
  }
  return text.length;
}

/** True when a slash here opens a regular expression: no value stands before it. */
function beginsPattern(before: string): boolean {
  const last = before.trimEnd();
  if (/\b(return|typeof|case|in|of)$/.test(last)) return true;
  return last === "" || "(,=:[!&|?{};+-*%<>~^".includes(last.at(-1)!);
}

function endOfPattern(text: string, start: number): number {
  let inClass = false;
  for (let at = start + 1; at < text.length && text[at] !== "\n"; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "[") inClass = true;
    else if (text[at] === "]") inClass = false;
    else if (text[at] === "/" && !inClass) return at + 1;
  }
  return start + 1;
}

/** Line number of an offset, from 1. */
export function lineOf(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}
