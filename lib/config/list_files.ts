/**
 * Items "/file" of match lists: the items that the file holds, read once and remembered, so that `postern sandbox`
 * can say which files a configuration takes in.
 *
 * @module
 */
import { splitList } from "./values.ts";

/** Deepest nesting of files that name files. */
const NESTING_LIMIT = 10;

/** Most items that one list may have, files included. */
export const LIST_ITEM_LIMIT = 1_000_000;

/** A file of a list that cannot be used; the text says why. */
export class ListFileError extends Error {
  override name = "ListFileError";
}

/** A file that a parameter's list names. */
export interface ListFile {
  readonly path: string;
  readonly parameter: string;
}

/** Reads the files that lists name. */
export class ListFiles {
  readonly #readText: (path: string) => string;
  readonly #items = new Map<string, readonly string[]>();
  readonly #files = new Map<string, ListFile>();

  /** @param readText gives the text of a file or throws */
  constructor(readText: (path: string) => string) {
    this.#readText = readText;
  }

  /** The files that were read, each once per parameter, in the order of reading. */
  get files(): readonly ListFile[] {
    return [...this.#files.values()];
  }

  /**
   * The items with each "/file" replaced by the file's and each "!/file" by the negated ones.
   *
   * @throws ListFileError
   */
  expand(parameter: string, items: readonly string[]): readonly string[] {
    const out: string[] = [];
    this.#append(out, parameter, items, false, 0);
    return out;
  }

  /**
   * The text of a file that a parameter names as a whole.
   *
   * @throws ListFileError
   */
  text(parameter: string, path: string): string {
    this.#files.set(`${parameter} ${path}`, { path, parameter });
    try {
      return this.#readText(path);
    } catch (error) {
      throw new ListFileError(error instanceof Error ? error.message : String(error));
    }
  }

  #append(out: string[], parameter: string, items: readonly string[], negate: boolean, depth: number): void {
    for (const item of items) {
      const { negated, pattern } = splitNegation(item, negate);
      if (!pattern.startsWith("/")) {
        if (out.length >= LIST_ITEM_LIMIT) throw new ListFileError(`has more than ${LIST_ITEM_LIMIT} items`);
        out.push(negated ? `!${pattern}` : pattern);
        continue;
      }
      if (depth >= NESTING_LIMIT) throw new ListFileError(`"${pattern}" is nested too deeply`);
      this.#files.set(`${parameter} ${pattern}`, { path: pattern, parameter });
      this.#append(out, parameter, this.#read(pattern), negated, depth + 1);
    }
  }

  #read(path: string): readonly string[] {
    const known = this.#items.get(path);
    if (known !== undefined) return known;
    let text: string;
    try {
      text = this.#readText(path);
    } catch (error) {
      throw new ListFileError(error instanceof Error ? error.message : String(error));
    }
    const lines = text.split("\n").filter((line) => !/^[ \t]*#/.test(line));
    const items = splitList(lines.join("\n"));
    if (items === undefined) throw new ListFileError(`braces do not match in "${path}"`);
    this.#items.set(path, items);
    return items;
  }
}

/** Takes leading exclamation marks off, each of which turns the meaning round. */
function splitNegation(
  item: string,
  negate: boolean,
): { readonly negated: boolean; readonly pattern: string } {
  let pattern = item;
  let negated = negate;
  while (pattern.startsWith("!")) {
    pattern = pattern.slice(1);
    negated = !negated;
  }
  return { negated, pattern };
}
