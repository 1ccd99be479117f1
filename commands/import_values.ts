/**
 * Values of main.cf as values of main.toml.
 *
 * @module
 */
// Utility
import { findRestriction, RESTRICTIONS, WARN_PREFIX } from "../lib/config/restriction_names.ts";
import { referencedNames } from "../lib/config/expand.ts";
import { splitList } from "../lib/config/values.ts";
import { isParameterName } from "../lib/config/parameters.ts";
import { asciiLower } from "../lib/vstring/ascii.ts";
// This program
import { isPostfixTable, type TableImport } from "./import_tables.ts";

/** What a value became. */
export interface ImportedValue {
  readonly text: string;
  /** What has another form now. */
  readonly notes: readonly string[];
  /** What is missing in it. */
  readonly losses: readonly Loss[];
}

/** Something that could not be carried over. */
export interface Loss {
  readonly what: string;
  readonly cure: string;
}

/** What values are made from. */
export interface ValueSource {
  readonly tables: TableImport;
  /** A text with every `$name` replaced as Postfix does. */
  expand(text: string): string;
  /** The restrictions that a class stands for, or undefined. */
  restrictionClass(name: string): string | undefined;
}

/** The items of a list of domains, networks or tables. */
export function importList(text: string, source: ValueSource): ImportedValue {
  const notes: string[] = [];
  const losses: Loss[] = [];
  const items = splitList(text);
  if (items === undefined) {
    return { text, notes, losses: [{ what: "its braces do not match", cure: "mend it in main.cf" }] };
  }
  const out: string[] = [];
  for (const item of items) {
    const [own, note] = inlineReference(item, source);
    if (note !== "") notes.push(note);
    for (const one of own) {
      const imported = importItem(one, source);
      if (imported.kind === "dropped") {
        losses.push({ what: `${one} is not in the list: ${imported.why}`, cure: imported.cure });
      } else {
        out.push(imported.spec);
        if (imported.note !== "") notes.push(imported.note);
      }
    }
  }
  return { text: out.join(", "), notes, losses };
}

/** The item, or what it stands for when that is a table or a file: those may have to be changed. */
function inlineReference(item: string, source: ValueSource): readonly [readonly string[], string] {
  if (!item.includes("$")) return [[item], ""];
  const [name = ""] = referencedNames(item);
  if (isParameterName(name) && (item === `$${name}` || item === `\${${name}}`)) return [[item], ""];
  const expanded = source.expand(item);
  const items = splitList(expanded) ?? [expanded];
  if (!items.some((one) => isPostfixTable(one) || one.startsWith("/") || one.startsWith("!/"))) {
    return [[item], ""];
  }
  // The directory has a name of its own again in what comes out.
  const note = name === "config_directory" ? "" : `${item} is written out as ${expanded}`;
  return [items, note];
}

function importItem(item: string, source: ValueSource): ReturnType<TableImport["convert"]> {
  const negation = item.slice(0, item.length - item.replace(/^!+/, "").length);
  const plain = item.slice(negation.length);
  if (isPostfixTable(plain)) {
    const table = source.tables.convert(plain);
    return table.kind === "table" ? { ...table, spec: negation + table.spec } : table;
  }
  if (!plain.startsWith("/")) return { kind: "table", spec: item, note: "" };
  const { path } = source.tables.file(plain)!;
  return { kind: "table", spec: negation + path, note: path === plain ? "" : `${plain} is ${path} now` };
}

/** Deepest nesting of restriction classes. */
const CLASS_DEPTH = 10;

/** A restriction list: what Postern does not know is left out. */
export function importRestrictions(text: string, source: ValueSource): ImportedValue {
  const made = new RestrictionImport(source);
  made.take(text.includes("$") ? source.expand(text) : text, 0);
  if (referencedNames(text).some((name) => name !== "config_directory")) {
    made.notes.unshift(`written out as ${made.out.join(", ")}`);
  }
  return { text: made.out.join(", "), notes: made.notes, losses: made.losses };
}

/** One list on its way. */
class RestrictionImport {
  readonly out: string[] = [];
  readonly notes: string[] = [];
  readonly losses: Loss[] = [];
  readonly #source: ValueSource;
  /** A warn_if_reject that waits for what it is about. */
  #prefix: string[] = [];

  constructor(source: ValueSource) {
    this.#source = source;
  }

  take(text: string, depth: number): void {
    const words = splitList(text);
    if (words === undefined) return this.#lose(text, "its braces do not match", "mend it in main.cf");
    for (let i = 0; i < words.length; i++) {
      const word = words[i]!;
      const lower = asciiLower(word);
      const known = findRestriction(lower);
      const name = known ?? lower;
      if (name !== lower) this.notes.push(`${word} is ${name} now`);
      if (name === WARN_PREFIX) this.#prefix = [name];
      else if (isPostfixTable(word)) this.#access([], word);
      else if (known === undefined) {
        this.#unknown(word, lower.startsWith("check_") ? words[++i] : undefined, depth);
      } else if (RESTRICTIONS[known] === "table") this.#access([known], words[++i] ?? "");
      else if (RESTRICTIONS[known] === "none") this.#keep(known);
      else this.#keep(known, words[++i] ?? "");
    }
  }

  #keep(...words: readonly string[]): void {
    this.out.push(...this.#prefix, ...words);
    this.#prefix = [];
  }

  #access(check: readonly string[], table: string): void {
    const imported = this.#source.tables.convert(table);
    if (imported.kind === "dropped") {
      return this.#lose([...check, table].join(" "), imported.why, imported.cure);
    }
    if (imported.note !== "") this.notes.push(imported.note);
    this.#keep(...check, imported.spec);
  }

  #unknown(word: string, argument: string | undefined, depth: number): void {
    const members = this.#source.restrictionClass(word);
    if (members !== undefined && depth < CLASS_DEPTH) {
      this.notes.push(`restriction class ${word} is written out`);
      return this.take(this.#source.expand(members), depth + 1);
    }
    const shown = argument === undefined ? word : `${word} ${argument}`;
    const cure = word.startsWith("permit")
      ? "what it permits is refused where the list goes on to refuse it"
      : "what it refuses is accepted now, unless another restriction refuses it";
    this.#lose(shown, "there is no such restriction", cure);
  }

  #lose(what: string, why: string, cure: string): void {
    this.losses.push({ what: `${what} is not in the list: ${why}`, cure });
    this.#prefix = [];
  }
}
