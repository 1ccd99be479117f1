/**
 * Changes to the text of a TOML document that leave all else as it stands: comments, order, blanks. Paths are those of
 * findKeys: `smtpd_banner`, `variables.relay`, `service.0.parameters.smtpd_banner`. Values are TOML already.
 *
 * @module
 */
import { trimBlanks } from "../vstring/ascii.ts";
import { findKeys, type KeyMark } from "./toml_lines.ts";
import { tomlKey } from "./toml_text.ts";

/** The document with a key set: its value replaced where it stands, otherwise added at the end of its table. */
export function setKey(document: string, table: string, name: string, value: string): string {
  const marks = findKeys(document);
  const mark = marks.get(joinPath(table, name));
  if (mark?.value !== undefined) return splice(document, mark.value, mark.end, value);
  const holder = marks.get(table);
  if (holder?.value !== undefined) return addInline(document, holder, name, value);
  const line = `${tomlKey(name)} = ${value}\n`;
  const at = insertionPoint(document, table, marks);
  if (at !== undefined) return splice(document, at, at, startLine(document, at) + line);
  const start = document === "" || document.endsWith("\n") ? "" : "\n";
  return `${document}${start}\n[${table}]\n${line}`;
}

/** The document without a key, its line included; unchanged when it has none. */
export function removeKey(document: string, table: string, name: string): string {
  const marks = findKeys(document);
  const mark = marks.get(joinPath(table, name));
  if (mark?.value === undefined) return document;
  const holder = marks.get(table);
  if (holder?.value !== undefined) return removeInline(document, table, mark, marks);
  return splice(document, lineStart(document, mark.start), nextLine(document, mark.end), "");
}

/** The document with the lines of a key made comments; unchanged when it has none. */
export function commentKey(document: string, name: string): string {
  const mark = findKeys(document).get(name);
  if (mark?.value === undefined) return document;
  return commentLines(document, lineStart(document, mark.start), nextLine(document, mark.end));
}

/** Where an element of an array of tables stands: from its header to the end of its last key. */
export interface ElementSpan {
  readonly start: number;
  readonly end: number;
}

/** The lines of an element such as `service.3`, with the tables below it. */
export function elementSpan(document: string, path: string): ElementSpan | undefined {
  const marks = findKeys(document);
  const header = marks.get(path);
  if (header === undefined) return undefined;
  let { end } = header;
  for (const [key, mark] of marks) if (key.startsWith(`${path}.`)) end = Math.max(end, mark.end);
  return { start: lineStart(document, header.start), end: nextLine(document, end) };
}

/** The document without an element, and without the empty line behind it. */
export function removeElement(document: string, path: string): string {
  const span = elementSpan(document, path);
  if (span === undefined) return document;
  const end = document[span.end] === "\n" ? span.end + 1 : span.end;
  return splice(document, span.start, end, "");
}

/** The document with the lines of an element made comments. */
export function commentElement(document: string, path: string): string {
  const span = elementSpan(document, path);
  return span === undefined ? document : commentLines(document, span.start, span.end);
}

/** The document with other text in the place of an element. */
export function replaceElement(document: string, path: string, text: string): string {
  const span = elementSpan(document, path);
  return span === undefined ? document : splice(document, span.start, span.end, text);
}

/** The document with an element at its end. */
export function appendElement(document: string, text: string): string {
  const end = document === "" || document.endsWith("\n\n") ? "" : document.endsWith("\n") ? "\n" : "\n\n";
  return document + end + text;
}

/** Where a new key of a table goes: behind its last one; undefined when there is no such table. */
function insertionPoint(
  document: string,
  table: string,
  marks: ReadonlyMap<string, KeyMark>,
): number | undefined {
  const header = table === "" ? undefined : marks.get(table);
  if (table !== "" && header === undefined) return undefined;
  let end = header === undefined ? undefined : nextLine(document, header.end);
  for (const [key, mark] of marks) {
    if (mark.value !== undefined && isWithin(key, table, marks)) end = nextLine(document, mark.end);
  }
  return end ?? beforeFirstTable(document, marks);
}

/** True for a key that stands below the table's own header, not in a table below it. */
function isWithin(key: string, table: string, marks: ReadonlyMap<string, KeyMark>): boolean {
  if (table !== "" && !key.startsWith(`${table}.`)) return false;
  const start = marks.get(table)?.start ?? -1;
  const mark = marks.get(key)!;
  if (mark.start < start) return false;
  for (const [path, other] of marks) {
    const header = other.value === undefined && other.end > other.start;
    if (header && path !== table && other.start > start && other.start < mark.start) return false;
  }
  return true;
}

/** In front of the first table and the comment above it. */
function beforeFirstTable(document: string, marks: ReadonlyMap<string, KeyMark>): number {
  const headers = [...marks.values()].filter(({ value, start, end }) => value === undefined && end > start);
  const first = Math.min(...headers.map(({ start }) => start), document.length);
  if (first === document.length) return first;
  let at = lineStart(document, first);
  while (at > 0 && document[lineStart(document, at - 1)] === "#") at = lineStart(document, at - 1);
  return at;
}

/** `{ a = 1 }` with another key at its end. */
function addInline(document: string, holder: KeyMark, name: string, value: string): string {
  const close = holder.end - 1;
  const inside = trimBlanks(document.slice(holder.value! + 1, close));
  const first = inside === "" ? "" : inside.endsWith(",") ? `${inside} ` : `${inside}, `;
  const text = `{ ${first}${tomlKey(name)} = ${value} }`;
  return splice(document, holder.value!, holder.end, text);
}

/** `{ a = 1, b = 2 }` without one of them; without the whole of it when that was the last. */
function removeInline(
  document: string,
  table: string,
  mark: KeyMark,
  marks: ReadonlyMap<string, KeyMark>,
): string {
  const after = skipBlanks(document, mark.end);
  if (document[after] === ",") return splice(document, mark.start, skipBlanks(document, after + 1), "");
  let before = mark.start - 1;
  while (isBlankUnit(document[before])) before--;
  if (document[before] === ",") return splice(document, before, mark.end, "");
  const holder = marks.get(table)!;
  return splice(document, lineStart(document, holder.start), nextLine(document, holder.end), "");
}

function commentLines(document: string, start: number, end: number): string {
  const lines = document.slice(start, end);
  const last = lines.endsWith("\n") ? lines.slice(0, -1) : lines;
  const commented = last.split("\n").map((line) => `#${line}`).join("\n");
  return splice(document, start, end, commented + (last === lines ? "" : "\n"));
}

function splice(text: string, start: number, end: number, replacement: string): string {
  return text.slice(0, start) + replacement + text.slice(end);
}

/** A line end where the text before does not have one. */
function startLine(document: string, at: number): string {
  return at === 0 || document[at - 1] === "\n" ? "" : "\n";
}

function skipBlanks(text: string, from: number): number {
  let at = from;
  while (isBlankUnit(text[at])) at++;
  return at;
}

function isBlankUnit(char: string | undefined): boolean {
  return char === " " || char === "\t" || char === "\n" || char === "\r";
}

function lineStart(text: string, at: number): number {
  return text.lastIndexOf("\n", at - 1) + 1;
}

function nextLine(text: string, at: number): number {
  const end = text.indexOf("\n", at);
  return end < 0 ? text.length : end + 1;
}

function joinPath(table: string, name: string): string {
  return table === "" ? name : `${table}.${name}`;
}
