/** `parse` of `@std/toml`. @module */
import { parse as parseDocument, TomlDate, TomlError } from "smol-toml";

/** Text before the reason in smol-toml's messages; the reason's line ends before a drawing of the place. */
const MESSAGE_PREFIX = "Invalid TOML document: ";

/**
 * The TOML document as an object: dates as `Date`, times of day as text.
 *
 * @throws SyntaxError `Parse error on line N, column N: reason`
 */
export function parse(tomlString: string): Record<string, unknown> {
  try {
    return plainTable(parseDocument(tomlString));
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [first = ""] = error.message.split("\n");
    const reason = first.startsWith(MESSAGE_PREFIX) ? first.slice(MESSAGE_PREFIX.length) : first;
    throw new SyntaxError(`Parse error on line ${error.line}, column ${error.column}: ${reason}`);
  }
}

/** A table as a plain object; a key `__proto__` becomes a property like any other. */
function plainTable(table: object): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(table)) {
    Object.defineProperty(out, key, {
      value: plainValue(value),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return out;
}

function plainValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plainValue);
  if (value instanceof TomlDate) return value.isTime() ? value.toISOString() : new Date(value.getTime());
  return typeof value === "object" && value !== null ? plainTable(value) : value;
}
