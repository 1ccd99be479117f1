/**
 * What postconf prints: parameters of main.toml, services of master.toml, in the forms of main.cf and master.cf.
 *
 * @module
 */
// Utility
import type { Configuration, ServiceEntry } from "../lib/config/configuration.ts";
import { expand, referencedNames } from "../lib/config/expand.ts";
import { findParameter, PARAMETER_NAMES } from "../lib/config/parameters.ts";
import { findPostfixParameter } from "../lib/config/postfix_parameters.ts";
import type { Scope, Setting } from "../lib/config/scope.ts";
import { TRANSPORT_PARAMETERS } from "../lib/config/transport.ts";
// This program
import { SERVICES } from "../daemons/services.ts";
import { type CommandEnv, CommandError } from "./command.ts";
import { foldLine, joinOptions } from "./postconf_fold.ts";
import {
  SERVICE_FIELDS,
  serviceArguments,
  type ServiceField,
  serviceFields,
  serviceOptions,
} from "./service_text.ts";

/** What is printed, and how. */
export interface ShowRequest {
  readonly letters: ReadonlySet<string>;
  readonly names: readonly string[];
  /** Classes of parameters (-C). */
  readonly classes: ReadonlySet<ParameterClass>;
  /** Settings of the command line (-o). */
  readonly overrides: ReadonlyMap<string, Setting>;
}

/** Where the name of a parameter comes from. */
export type ParameterClass = "builtin" | "service" | "user";

/** Prints parameters: all, or those that are named. */
export function showParameters(request: ShowRequest, configuration: Configuration, env: CommandEnv): void {
  const { letters } = request;
  const defaults = letters.has("d");
  const scope = defaults ? configuration.defaults() : configuration.overridden(request.overrides);
  const classes = parameterClasses(configuration);
  const isSet = (name: string) => configuration.place(name) !== undefined;
  const isShown = (name: string) => {
    const kind = classes.get(name);
    return kind !== undefined && !(defaults && kind === "user") && !(letters.has("n") && !isSet(name)) &&
      request.classes.has(kind);
  };
  for (const name of request.names.length > 0 ? request.names : [...classes.keys()].sort()) {
    if (isShown(name)) env.out(formatParameter(name, scope, letters));
    else if (request.names.length > 0 && (!classes.has(name) || (defaults && classes.get(name) === "user"))) {
      env.err(`${env.programName}: warning: ${name}: unknown parameter${reason(name)}\n`);
    }
  }
  if (!defaults) warnUnused(configuration, classes, env);
}

/** Why a parameter of Postfix is none here. */
function reason(name: string): string {
  const refusal = findPostfixParameter(name)?.refusal;
  return refusal === undefined || findParameter(name) !== undefined ? "" : ` (Postern: ${refusal.why})`;
}

/** Every name that there is a value for; variables only when something refers to them. */
function parameterClasses(configuration: Configuration): Map<string, ParameterClass> {
  const classes = new Map<string, ParameterClass>();
  for (const name of PARAMETER_NAMES) classes.set(name, "builtin");
  const transports = configuration.services
    .filter((entry) => entry.type === "unix" && SERVICES.get(entry.command)?.serves === "delivery");
  const own = transports.flatMap((entry) =>
    Object.keys(TRANSPORT_PARAMETERS).map((suffix) => `${entry.name}_${suffix}`)
  );
  for (const name of own) classes.set(name, "service");
  for (const name of configuration.explicit) if (!classes.has(name)) classes.set(name, "service");
  const used = usedNames(configuration);
  for (const name of configuration.variables) if (used.has(name)) classes.set(name, "user");
  return classes;
}

/** The names that settings refer to, directly or by variables that are referred to themselves. */
function usedNames(configuration: Configuration): ReadonlySet<string> {
  const texts = configuration.explicit.map((name) => configuration.text(name));
  for (const entry of configuration.services) {
    for (const { text } of entry.parameters.values()) texts.push(text);
  }
  const used = new Set<string>();
  const variables = new Set(configuration.variables);
  for (let text = texts.pop(); text !== undefined; text = texts.pop()) {
    for (const name of referencedNames(text)) {
      if (used.has(name)) continue;
      used.add(name);
      if (variables.has(name)) texts.push(configuration.text(name));
    }
  }
  return used;
}

function warnUnused(
  configuration: Configuration,
  classes: ReadonlyMap<string, ParameterClass>,
  env: CommandEnv,
): void {
  for (const name of configuration.variables) {
    if (classes.has(name)) continue;
    const file = configuration.place(name)!.file;
    env.err(
      `${env.programName}: warning: ${file}: unused parameter: ${name}=${configuration.text(name)}\n`,
    );
  }
}

function formatParameter(name: string, scope: Scope, letters: ReadonlySet<string>): string {
  const value = letters.has("x") ? scope.expanded(name) : scope.text(name);
  return formatPair(name, value, letters);
}

/** `name = value`, a part of it, or an object. */
function formatPair(name: string, value: string, letters: ReadonlySet<string>): string {
  if (letters.has("j")) return `${JSON.stringify({ name, value })}\n`;
  if (letters.has("H")) return `${name}\n`;
  const fold = letters.has("f") ? foldLine : (line: string) => line;
  if (letters.has("h")) return `${fold(value)}\n`;
  return value === "" ? `${name} =\n` : `${fold(`${name} = ${value}`)}\n`;
}

/** Prints services as lines of master.cf. */
export function showServices(request: ShowRequest, configuration: Configuration, env: CommandEnv): void {
  forEachRequest(request, 2, env, ([name = "*", type = "*"]) => {
    const found = configuration.services.filter((entry) => isWanted(entry, name, type));
    for (const entry of found) env.out(formatService(entry, configuration, request.letters));
    return found.length > 0;
  });
}

/** Columns that the fields of master.cf begin at. */
const COLUMNS: readonly number[] = [0, 11, 17, 25, 33, 41, 49, 57];

function formatService(
  entry: ServiceEntry,
  configuration: Configuration,
  letters: ReadonlySet<string>,
): string {
  const fields = serviceFields(entry);
  const options = [...serviceOptions(optionTexts(entry, configuration, letters)), ...serviceArguments(entry)];
  if (letters.has("j")) return `${JSON.stringify({ ...fields, options })}\n`;
  let line = "";
  for (const [i, field] of SERVICE_FIELDS.entries()) {
    if (i > 0) line = `${line} `.padEnd(COLUMNS[i]!);
    line += fields[field];
  }
  return `${joinOptions(line, options, letters.has("f"))}\n`;
}

/** The parameters of a service, with -x as the service sees them. */
function optionTexts(
  entry: ServiceEntry,
  configuration: Configuration,
  letters: ReadonlySet<string>,
): (readonly [string, string])[] {
  const scope = letters.has("x") ? configuration.scopeOf(entry) : undefined;
  return [...entry.parameters].map(([name, { text }]) => [name, scope?.expanded(name) ?? text] as const);
}

/** Prints the fields of services, one per line. */
export function showFields(request: ShowRequest, configuration: Configuration, env: CommandEnv): void {
  const { letters } = request;
  forEachRequest(request, 3, env, ([name = "*", type = "*", field = "*"]) => {
    if (field !== "*") demandField(field);
    const found = configuration.services.filter((entry) => isWanted(entry, name, type));
    for (const entry of found) {
      const options = [
        ...serviceOptions(optionTexts(entry, configuration, letters)),
        ...serviceArguments(entry),
      ];
      for (const [key, value] of Object.entries(serviceFields(entry))) {
        if (field !== "*" && field !== key) continue;
        const label = `${entry.name}/${entry.type}/${key}`;
        const fold = letters.has("f") && !letters.has("j");
        const shown = key === "command" ? joinOptions(value, options, fold) : value;
        env.out(formatPair(label, shown, without(letters, "f")));
      }
    }
    return found.length > 0;
  });
}

/** The field that a name stands for. */
export function demandField(name: string): ServiceField {
  const field = SERVICE_FIELDS.find((one) => one === name);
  if (field === undefined) throw new CommandError(`fatal: invalid service attribute name: "${name}"`);
  return field;
}

/** Prints the parameters of services, one per line. */
export function showOverrides(request: ShowRequest, configuration: Configuration, env: CommandEnv): void {
  forEachRequest(request, 3, env, ([name = "*", type = "*", parameter = "*"]) => {
    let found = false;
    for (const entry of configuration.services.filter((one) => isWanted(one, name, type))) {
      const texts = optionTexts(entry, configuration, request.letters).sort(([a], [b]) => a < b ? -1 : 1);
      for (const [key, text] of texts) {
        if (parameter !== "*" && parameter !== key) continue;
        found = true;
        env.out(formatPair(`${entry.name}/${entry.type}/${key}`, text, request.letters));
      }
    }
    return found;
  });
}

/** Runs each request, split at its slashes, and says which matched nothing; without one all are meant. */
function forEachRequest(
  request: ShowRequest,
  parts: number,
  env: CommandEnv,
  show: (parts: readonly string[]) => boolean,
): void {
  if (request.names.length === 0) return void show([]);
  for (const wanted of request.names) {
    if (!show(splitRequest(wanted, parts))) {
      env.err(`${env.programName}: warning: unmatched request: "${wanted}"\n`);
    }
  }
}

/** `name/type/rest`. */
export function splitRequest(text: string, parts: number): readonly string[] {
  const pieces = text.split("/");
  return pieces.length <= parts ? pieces : [...pieces.slice(0, parts - 1), pieces.slice(parts - 1).join("/")];
}

/** `*` stands for any name or type. */
export function isWanted(
  entry: { readonly name: string; readonly type: string },
  name: string,
  type: string,
): boolean {
  return (name === "*" || name === entry.name) && (type === "*" || type === entry.type);
}

function without(letters: ReadonlySet<string>, letter: string): ReadonlySet<string> {
  return new Set([...letters].filter((one) => one !== letter));
}

/** The settings of -o name=value, expanded for what they refer to when they are used. */
export function overrideSettings(pairs: Iterable<readonly [string, string]>): Map<string, Setting> {
  const settings = new Map<string, Setting>();
  for (const [name, text] of pairs) {
    // A form that makes no sense is said at once, not by the parameter that refers to it.
    expand(text, () => "");
    settings.set(name, { file: "command line", line: 0, text });
  }
  return settings;
}
