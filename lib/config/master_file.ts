/**
 * master.toml: one `[[service]]` per line of master.cf.
 *
 * @module
 */
import { parseDecimal } from "../vstring/ascii.ts";
import { readParameter } from "./main_file.ts";
import { didYouMean } from "./nearest.ts";
import { type PipeAttributes, readPipeAttributes, readSpawnAttributes } from "./pipe_attributes.ts";
import { errorAt, type Place, type Problem } from "./problem.ts";
import type { Setting } from "./scope.ts";
import { isTable, type Table, type TomlFile } from "./toml_file.ts";
import { parseDuration } from "./values.ts";

/** One service of master.toml. */
export interface ServiceEntry {
  /** As written: "25", "127.0.0.1:2525", "cleanup". */
  readonly name: string;
  readonly type: "inet" | "unix";
  /** Type pass of master.cf: a unix socket whose clients are handed over by postscreen. */
  readonly pass?: true;
  /** In the private rather than the public directory; always false for inet. */
  readonly private: boolean;
  /** Name of the daemon. */
  readonly command: string;
  /** Where to listen, for inet. Without a host: on inet_interfaces. */
  readonly listen?: { readonly host?: string; readonly port: number };
  /** Most processes at once, 0 for any number; without it the daemon's own default. */
  readonly processLimit?: number;
  /** Seconds between wake-ups, 0 for never. */
  readonly wakeup: number;
  /** Wake-ups begin only after the service was used ("300s?"). */
  readonly wakeupIfUsed: boolean;
  /** Connections after which a process ends; without it $max_use. */
  readonly maxUse?: number;
  /** Seconds without work after which a process ends; without it $max_idle. */
  readonly maxIdle?: number;
  /** What a pipe or spawn service runs, and how. */
  readonly pipe?: PipeAttributes;
  /** The same as it is written. */
  readonly arguments?: readonly string[];
  /** Parameters that differ for this service, by name. */
  readonly parameters: ReadonlyMap<string, Setting>;
  readonly place: Place;
}

const KEYS: readonly string[] = [
  "arguments",
  "command",
  "max_idle",
  "max_use",
  "name",
  "parameters",
  "private",
  "process_limit",
  "type",
  "wakeup",
];

/** Port names that may stand for a number. */
const PORT_NAMES: ReadonlyMap<string, number> = new Map([
  ["lmtp", 24],
  ["smtp", 25],
  ["smtps", 465],
  ["submission", 587],
  ["submissions", 465],
]);

const PROCESS_LIMIT_MOST = 10_000;

/** A place and the list that problems go to; what every check below needs. */
interface Report {
  error(key: string, text: string, cure?: string): void;
}

/**
 * Takes the services of master.toml, with a problem for each that is wrong.
 *
 * @param commands names of the daemons there are
 */
export function readMasterFile(
  file: TomlFile,
  commands: readonly string[],
  problems: Problem[],
): readonly ServiceEntry[] {
  for (const key of Object.keys(file.table)) {
    if (key === "service") continue;
    problems.push(errorAt(file.place(key), `unknown key "${key}"`, "services are written [[service]]"));
  }
  const tables = file.table["service"];
  if (!Array.isArray(tables) || !tables.every(isTable)) {
    problems.push(errorAt(file.place("service"), "no services", "services are written [[service]]"));
    return [];
  }
  const transports = new Set(tables.map((table) => table["name"]).filter((name) => typeof name === "string"));
  const entries: ServiceEntry[] = [];
  for (const [index, table] of tables.entries()) {
    const entry = readService(file, index, table, commands, transports, problems);
    if (entry === undefined) continue;
    const same = entries.find((other) => other.name === entry.name && other.type === entry.type);
    if (same === undefined) entries.push(entry);
    else {
      const text =
        `service "${entry.name}" of type ${entry.type} is there twice, first at line ${same.place.line}`;
      problems.push(errorAt(file.place("service", index, "name"), text));
    }
  }
  return entries;
}

function readService(
  file: TomlFile,
  index: number,
  table: Table,
  commands: readonly string[],
  transports: ReadonlySet<string>,
  problems: Problem[],
): ServiceEntry | undefined {
  let wrong = false;
  const report: Report = {
    error: (key, text, cure) => {
      wrong = true;
      problems.push(errorAt(file.place("service", index, key), text, cure));
    },
  };
  for (const key of Object.keys(table)) {
    if (!KEYS.includes(key)) report.error(key, `unknown key "${key}" of a service`, didYouMean(key, KEYS));
  }
  const pass = table["type"] === "pass";
  const type = pass ? "unix" : readType(table, report);
  const name = readString(table, "name", report);
  const command = readCommand(table, commands, report);
  const isPrivate = readPrivate(table, type, report);
  const processLimit = readProcessLimit(table, report);
  const wakeup = readWakeup(table, report);
  const listen = type === "inet" && name !== undefined ? readListen(name, report) : undefined;
  if (type === "unix" && name !== undefined) checkSocketName(name, report);
  // Who may connect to it says who the client is, and is believed.
  if (pass && !isPrivate) report.error("private", "a service of type pass must be private");
  const parameters = readOverrides(file, index, table, transports, problems, report);
  const pipe = readArguments(table, command, report);
  if (wrong || name === undefined || type === undefined || command === undefined) return undefined;
  return {
    name,
    type,
    command,
    private: isPrivate,
    ...(pass ? { pass } : {}),
    ...wakeup,
    parameters,
    place: file.place("service", index),
    ...(listen === undefined ? {} : { listen }),
    ...(processLimit === undefined ? {} : { processLimit }),
    ...(pipe === undefined ? {} : { pipe, arguments: table["arguments"] as string[] }),
    ...readLifetime(parameters),
  };
}

/** The limits on a process's life, as far as the service sets them. */
function readLifetime(parameters: ReadonlyMap<string, Setting>): { maxUse?: number; maxIdle?: number } {
  const maxUse = parseDecimal(parameters.get("max_use")?.text ?? "");
  const maxIdle = parseDuration(parameters.get("max_idle")?.text ?? "");
  return { ...(maxUse === undefined ? {} : { maxUse }), ...(maxIdle === undefined ? {} : { maxIdle }) };
}

/** The attributes of pipe(8) or spawn(8), which such services must have and others have not. */
function readArguments(
  table: Table,
  command: string | undefined,
  report: Report,
): PipeAttributes | undefined {
  const items = table["arguments"];
  if (command !== "pipe" && command !== "spawn") {
    if (items !== undefined) {
      report.error("arguments", `"${command}" takes no arguments`, "pipe and spawn do");
    }
    return undefined;
  }
  if (!Array.isArray(items) || !items.every((item) => typeof item === "string")) {
    const cure = 'arguments = ["user=NAME", "argv=/path/program ..."]';
    report.error("arguments", '"arguments": expected a list of strings in quotes', cure);
    return undefined;
  }
  const read = command === "pipe" ? readPipeAttributes(items) : readSpawnAttributes(items);
  if (read.kind === "attributes") return read.attributes;
  report.error("arguments", `"arguments": ${read.why}`, read.cure);
  return undefined;
}

function readString(table: Table, key: string, report: Report): string | undefined {
  const value = table[key];
  if (typeof value === "string" && value !== "") return value;
  report.error(
    key,
    value === undefined ? `service without "${key}"` : `"${key}": expected a string in quotes`,
  );
  return undefined;
}

function readType(table: Table, report: Report): "inet" | "unix" | undefined {
  const type = readString(table, "type", report);
  if (type === undefined || type === "inet" || type === "unix") return type;
  report.error("type", `unknown service type "${type}"`, 'use "inet", "unix" or "pass"');
  return undefined;
}

function readCommand(table: Table, commands: readonly string[], report: Report): string | undefined {
  const command = readString(table, "command", report);
  if (command === undefined || commands.includes(command)) return command;
  const cure = didYouMean(command, commands) ?? `there are ${commands.join(", ")}`;
  report.error("command", `unknown command "${command}"`, cure);
  return undefined;
}

function readPrivate(table: Table, type: "inet" | "unix" | undefined, report: Report): boolean {
  const value = table["private"] ?? type !== "inet";
  if (typeof value !== "boolean") report.error("private", '"private": expected true or false');
  else if (value && type === "inet") report.error("private", "a service of type inet cannot be private");
  return value === true;
}

function readProcessLimit(table: Table, report: Report): number | undefined {
  const value = table["process_limit"];
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= PROCESS_LIMIT_MOST) {
    return value;
  }
  report.error("process_limit", `"process_limit": expected a whole number from 0 to ${PROCESS_LIMIT_MOST}`);
  return undefined;
}

function readWakeup(
  table: Table,
  report: Report,
): { readonly wakeup: number; readonly wakeupIfUsed: boolean } {
  const value = table["wakeup"] ?? 0;
  if (typeof value === "number" || typeof value === "string") {
    const text = String(value);
    const wakeupIfUsed = text.endsWith("?");
    const wakeup = parseDuration(wakeupIfUsed ? text.slice(0, -1) : text);
    if (wakeup !== undefined) return { wakeup, wakeupIfUsed };
  }
  report.error("wakeup", '"wakeup": expected a duration such as "60s", or "300s?"');
  return { wakeup: 0, wakeupIfUsed: false };
}

/** "port", "host:port", "[address]:port". */
function readListen(
  name: string,
  report: Report,
): { readonly host?: string; readonly port: number } | undefined {
  const colon = name.lastIndexOf(":");
  const portText = name.slice(colon + 1);
  const port = PORT_NAMES.get(portText) ?? parseDecimal(portText);
  if (port === undefined) {
    report.error("name", `"${name}": expected a port or host:port`);
    return undefined;
  }
  if (port < 1 || port > 65535) {
    report.error("name", `"${name}": port must be from 1 to 65535`);
    return undefined;
  }
  if (colon < 0) return { port };
  const written = name.slice(0, colon);
  const bracketed = written.startsWith("[") && written.endsWith("]");
  const host = bracketed ? written.slice(1, -1) : written;
  if (/^[0-9A-Za-z._-]+$/.test(host) || (bracketed && /^[0-9A-Fa-f:.]+$/.test(host))) return { host, port };
  const cure = written.includes(":") ? "an IPv6 address is written in brackets" : undefined;
  report.error("name", `"${name}": "${written}" is neither a host name nor an address`, cure);
  return undefined;
}

/** The name becomes a file name in private/ or public/. */
function checkSocketName(name: string, report: Report): void {
  if (/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/.test(name)) return;
  report.error("name", `"${name}" cannot name a socket`, "use letters, digits, and _ . - inside");
}

function readOverrides(
  file: TomlFile,
  index: number,
  table: Table,
  transports: ReadonlySet<string>,
  problems: Problem[],
  report: Report,
): ReadonlyMap<string, Setting> {
  const out = new Map<string, Setting>();
  for (const name of ["max_idle", "max_use"]) {
    if (table[name] === undefined) continue;
    readParameter(out, file.place("service", index, name), name, table[name], transports, problems);
  }
  const overrides = table["parameters"] ?? {};
  if (!isTable(overrides)) {
    report.error("parameters", '"parameters": expected a table { name = value }');
    return out;
  }
  for (const [name, value] of Object.entries(overrides)) {
    const place = file.place("service", index, "parameters", name);
    readParameter(out, place, name, value, transports, problems);
  }
  return out;
}
