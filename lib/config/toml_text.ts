/**
 * Values written as TOML.
 *
 * @module
 */
import type { Parameter } from "./parameters.ts";
import { splitList } from "./values.ts";

/** An array longer than this is written with one item per line. */
const LINE_LENGTH = 100;

/** A text in quotes. */
export function quoteToml(text: string): string {
  // JSON escapes what TOML must have escaped, but for DEL.
  return JSON.stringify(text.toWellFormed()).replaceAll("\x7f", "\\u007f");
}

/** A key, in quotes where it needs them. */
export function tomlKey(name: string): string {
  return /^[A-Za-z0-9_-]+$/.test(name) ? name : quoteToml(name);
}

/** Texts as an array. */
export function tomlArray(items: readonly string[]): string {
  const quoted = items.map(quoteToml);
  const line = `[${quoted.join(", ")}]`;
  return line.length <= LINE_LENGTH ? line : `[\n${quoted.map((item) => `  ${item},\n`).join("")}]`;
}

/**
 * The text that a parameter has in main.cf, as main.toml would have it: switches and numbers bare, lists as arrays. What
 * has another form, because `$name` stands for it, is text.
 */
export function parameterToToml(row: Pick<Parameter, "type">, text: string): string {
  switch (row.type) {
    case "boolean":
      return text === "yes" ? "true" : text === "no" ? "false" : quoteToml(text);
    case "integer":
      return /^(0|[1-9][0-9]{0,14})$/.test(text) ? text : quoteToml(text);
    case "list":
    case "tables": {
      const items = splitList(text);
      return items === undefined ? quoteToml(text) : tomlArray(items);
    }
    case "string":
    case "templates":
    case "duration":
      return quoteToml(text);
    default:
      return row.type satisfies never;
  }
}

/** The same on one line, for tables in braces. */
export function parameterToTomlLine(row: Pick<Parameter, "type">, text: string): string {
  const value = parameterToToml(row, text);
  return value.startsWith("[\n") ? `[${(splitList(text) ?? []).map(quoteToml).join(", ")}]` : value;
}
