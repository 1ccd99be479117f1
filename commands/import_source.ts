/**
 * main.cf and master.cf as Postfix reads them: logical lines, continuation lines, braces, `-o` options.
 *
 * @module
 */
// Tables
import { closingBrace } from "../lib/table/braces.ts";
import { findSpace, isSpaceUnit, logicalLines, skipSpace, trimSpace } from "../lib/table/logical_lines.ts";

/** One setting of main.cf, or of a `-o`. */
export interface CfSetting {
  readonly name: string;
  readonly text: string;
  /** Line that it begins on. */
  readonly line: number;
}

/** A line that Postfix would refuse. */
export interface CfFault {
  readonly line: number;
  readonly why: string;
}

/** What main.cf says. */
export interface MainCf {
  /** In the order of the file; of a name that is there twice the last, as with Postfix. */
  readonly settings: readonly CfSetting[];
  /** Earlier settings of the same name, which Postfix does not use. */
  readonly overridden: readonly CfSetting[];
  readonly faults: readonly CfFault[];
}

/** Reads main.cf. */
export function parseMainCf(text: string, file: string): MainCf {
  const faults: CfFault[] = [];
  const overridden: CfSetting[] = [];
  const settings = new Map<string, CfSetting>();
  const warn = (problem: { readonly line: number; readonly text: string }) =>
    faults.push({ line: problem.line, why: problem.text });
  for (const { line, text: content } of logicalLines(text, file, warn)) {
    const pair = splitAssignment(content);
    if (typeof pair === "string") {
      faults.push({ line, why: pair });
      continue;
    }
    const earlier = settings.get(pair.name);
    if (earlier !== undefined) overridden.push(earlier);
    settings.delete(pair.name);
    settings.set(pair.name, { ...pair, line });
  }
  return { settings: [...settings.values()], overridden, faults };
}

/** `name = value`, or what is wrong with it. */
export function splitAssignment(text: string): { readonly name: string; readonly text: string } | string {
  const equals = text.indexOf("=");
  if (equals < 0) return `missing '=' after attribute name: "${trimSpace(text)}"`;
  const name = trimSpace(text.slice(0, equals));
  if (name === "") return "missing attribute name";
  if (findSpace(name, 0) < name.length) return `whitespace in attribute name: "${name}"`;
  return { name, text: trimSpace(text.slice(equals + 1)) };
}

/** One entry of master.cf. */
export interface CfService {
  readonly line: number;
  readonly name: string;
  readonly type: string;
  readonly private: string;
  readonly unprivileged: string;
  readonly chroot: string;
  readonly wakeup: string;
  readonly processLimit: string;
  readonly command: string;
  /** `-o name=value`, the last of each name. */
  readonly options: readonly CfSetting[];
  /** Other options, as `-v`. */
  readonly switches: readonly string[];
  /** What follows the options. */
  readonly args: readonly string[];
}

/** What master.cf says. */
export interface MasterCf {
  readonly services: readonly CfService[];
  readonly faults: readonly CfFault[];
}

/** Reads master.cf. */
export function parseMasterCf(text: string, file: string): MasterCf {
  const faults: CfFault[] = [];
  const services: CfService[] = [];
  const warn = (problem: { readonly line: number; readonly text: string }) =>
    faults.push({ line: problem.line, why: problem.text });
  for (const { line, text: content } of logicalLines(text, file, warn)) {
    const service = parseServiceLine(content, line);
    if (typeof service === "string") {
      faults.push({ line, why: service });
      continue;
    }
    const same = services.findIndex(({ name, type }) => name === service.name && type === service.type);
    if (same >= 0) {
      const why =
        `duplicate entry for service "${service.name}" of type ${service.type}: the last one counts`;
      faults.push({ line: services[same]!.line, why });
      services.splice(same, 1);
    }
    services.push(service);
  }
  return { services, faults };
}

/** Number of fields before the arguments of the command. */
const FIELDS = 8;

/** One entry of master.cf, or what is wrong with it. */
export function parseServiceLine(text: string, line: number): CfService | string {
  let words: readonly Word[];
  try {
    words = splitWords(text);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  const fields = words.slice(0, FIELDS).map((word) => word.text);
  if (fields.length < FIELDS) return `bad field count: ${fields.length} of ${FIELDS} fields`;
  const [name, type, isPrivate, unprivileged, chroot, wakeup, processLimit, command] = fields as [
    string,
    string,
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  const rest = readArguments(words.slice(FIELDS), line);
  if (typeof rest === "string") return rest;
  const head = { line, name, type, private: isPrivate, unprivileged, chroot, wakeup, processLimit, command };
  return { ...head, ...rest };
}

/** Options and arguments of a service's command. */
function readArguments(
  words: readonly Word[],
  line: number,
): Pick<CfService, "options" | "switches" | "args"> | string {
  const options = new Map<string, CfSetting>();
  const switches: string[] = [];
  let at = 0;
  for (; at < words.length; at++) {
    const { text, braced } = words[at]!;
    if (braced || text[0] !== "-" || text.length < 2) break;
    if (!text.startsWith("-o")) {
      switches.push(text);
      continue;
    }
    const value = text === "-o" ? words[++at]?.text : text.slice(2);
    if (value === undefined) return "option -o without name=value";
    const pair = splitAssignment(value);
    if (typeof pair === "string") return pair;
    options.set(pair.name, { ...pair, line });
  }
  return { options: [...options.values()], switches, args: words.slice(at).map((word) => word.text) };
}

/** A word of master.cf; braces around it are taken off. */
interface Word {
  readonly text: string;
  readonly braced: boolean;
}

/** Words separated by blanks; `{ ... }` at the start of a word holds blanks. Throws for braces that do not match. */
function splitWords(text: string): readonly Word[] {
  const words: Word[] = [];
  for (let at = skipSpace(text, 0); at < text.length; at = skipSpace(text, at)) {
    if (text[at] !== "{") {
      const end = findSpace(text, at);
      words.push({ text: text.slice(at, end), braced: false });
      at = end;
      continue;
    }
    const end = closingBrace(text, at);
    if (end < text.length && !isSpaceUnit(text.charCodeAt(end))) {
      throw new Error(`syntax error after '}' in "${text.slice(at)}"`);
    }
    words.push({ text: trimSpace(text.slice(at + 1, end - 1)), braced: true });
    at = end;
  }
  return words;
}
