/** `stringify` of `@std/toml`. @module */

/** Options of `stringify`. */
export interface StringifyOptions {
  /** Puts the equal signs below one another. */
  keyAlignment?: boolean;
}

type Table = Record<string, unknown>;

/**
 * The object as a TOML document: plain keys first, then tables and arrays of tables.
 *
 * @throws Error for a value that TOML does not have
 */
export function stringify(srcObj: Record<string, unknown>, options?: StringifyOptions): string {
  const declarations: Declaration[] = [];
  const lines = tidy(tableLines(srcObj, [], declarations));
  if (!options?.keyAlignment) return lines.join("\n");
  const width = Math.max(0, ...declarations.map((declaration) => declaration.key.length));
  const keys = new Map(declarations.map((declaration) => [declaration.line, declaration.key]));
  return lines.map((line) => {
    const key = keys.get(line);
    return key === undefined ? line : key.padEnd(width) + line.slice(key.length);
  }).join("\n");
}

/** A line `key = value` and its key. */
interface Declaration {
  readonly line: string;
  readonly key: string;
}

function tableLines(table: Table, path: readonly string[], declarations: Declaration[]): string[] {
  const out: string[] = [];
  const entries = Object.entries(table).filter(([, value]) =>
    value !== undefined && typeof value !== "function"
  );
  for (const [name, value] of entries.filter(([, value]) => isOneLine(value))) {
    const key = keyText([name]);
    const line = `${key} = ${lineValue(value)}`;
    declarations.push({ line, key });
    out.push(line);
  }
  for (const [name, value] of entries.filter(([, value]) => !isOneLine(value))) {
    const below = [...path, name];
    for (const item of Array.isArray(value) ? value : [value]) {
      const header = keyText(below);
      out.push("", Array.isArray(value) ? `[[${header}]]` : `[${header}]`);
      if (item !== null) out.push(...tableLines(item as Table, below, declarations));
    }
  }
  out.push("");
  return out;
}

/** Without headers of tables that hold tables only, and without second blank lines. */
function tidy(lines: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!;
    const header = line.startsWith("[") && !line.startsWith("[[");
    if (header && lines[i + 1] === "" && lines[i + 2]?.startsWith(line.slice(0, -1) + ".")) i++;
    else kept.push(line);
  }
  return kept.filter((line, i) => line !== "" || kept[i + 1] !== "");
}

function keyText(path: readonly string[]): string {
  return path.map((key) => /^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(key)).join(".");
}

function isPrimitive(value: unknown): boolean {
  return value instanceof Date || value instanceof RegExp ||
    ["string", "number", "boolean"].includes(typeof value);
}

/** False for tables and arrays of nothing but tables. */
function isOneLine(value: unknown): boolean {
  if (!Array.isArray(value)) return isPrimitive(value);
  return value.length === 0 || value.some((item) => isPrimitive(item) || Array.isArray(item));
}

function lineValue(value: unknown): string {
  if (value instanceof Date) return dateText(value);
  if (value === Infinity) return "inf";
  if (value === -Infinity) return "-inf";
  if (Number.isNaN(value)) return "NaN";
  return inlineValue(value);
}

function inlineValue(value: unknown): string {
  if (value instanceof Date) return `"${dateText(value)}"`;
  if (typeof value === "string" || value instanceof RegExp) return JSON.stringify(value.toString());
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return `[${value.map(inlineValue).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const fields = Object.entries(value).map(([key, field]) => `${keyText([key])} = ${inlineValue(field)}`);
    return `{${fields.join(",")}}`;
  }
  throw new Error("should never reach");
}

/** Universal time without a zone, as the real package writes it. */
function dateText(value: Date): string {
  return value.toISOString().slice(0, -1);
}
