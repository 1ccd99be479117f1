/**
 * postconf - show configuration parameters
 *
 * `postconf [-d | -n] [-h | -H] [-x] [-c DIR] [NAME ...]` prints `name = value` for all parameters or for those
 * named, sorted as Postfix does; lists are joined with ", ".
 * - `-d`: defaults instead of what main.toml sets; `-n`: only what main.toml sets.
 * - `-h`: values only; `-H`: names only; `-x`: with `$name` expanded.
 *
 * `postconf -b [FILE]` prints the texts of the reports that bounce sends, with `$name` expanded, `postconf -t [FILE]`
 * the templates as they stand: those of FILE, else of `bounce_template_file`; `postconf -t ""` the built-in ones.
 *
 * `postconf -M [NAME[/TYPE] ...]` prints services in the form of master.cf, `postconf -m` the table types.
 *
 * **Security**: reads main.toml and master.toml as the user who runs it. Parameters that hold secrets are printed as
 * they stand; who may read the file may see them anyway.
 *
 * **Diagnostics**: a name that is no parameter gives a warning and exit status 0, as in Postfix; a configuration that
 * cannot be used gives its errors and exit status 1.
 *
 * **Known limits**: no editing (`-e`, `-#`, `-X`), no folding (`-f`).
 *
 * @module
 */
// Safe primitives
import { resolve } from "../lib/safe/path.ts";
import { currentDirectory } from "../lib/safe/process.ts";
// Utility
import { formatTemplates, formatTexts } from "../lib/config/bounce_templates.ts";
import type { Configuration, ServiceEntry } from "../lib/config/configuration.ts";
import { findParameter, PARAMETER_NAMES } from "../lib/config/parameters.ts";
import { findRow, ParameterError, type Scope } from "../lib/config/scope.ts";
// Tables
import { TABLE_TYPES } from "../lib/table/open.ts";
// This program
import { type CommandEnv, CommandError, makeEnv } from "./command.ts";
import { parseOptions } from "./options.ts";

const USAGE = "postconf [-bdhHmMntx] [-c config_dir] [name | file ...]";

/** What is printed, and how. */
interface Request {
  readonly letters: ReadonlySet<string>;
  readonly names: readonly string[];
}

/** Prints what was asked for. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const parsed = parseOptions(args, "bc:dhHmMnptx");
  if (parsed.kind === "invalid") throw new CommandError(`fatal: ${parsed.why}; usage: ${USAGE}`);
  const letters = new Set(parsed.options.map((option) => option.letter));
  if (letters.has("d") && letters.has("n")) throw new CommandError("fatal: specify one of -d -n");
  if (letters.has("h") && letters.has("H")) throw new CommandError("fatal: specify one of -h -H");
  const directory = parsed.options.findLast((option) => option.letter === "c")?.value;
  const request = { letters, names: parsed.operands };
  if (letters.has("m")) {
    for (const type of [...TABLE_TYPES].sort()) env.out(`${type}\n`);
    return 0;
  }
  const configuration = (directory === undefined ? env : makeEnv(env.programName, directory)).config();
  if (letters.has("b") || letters.has("t")) printTemplates(request, configuration, env);
  else if (letters.has("M")) printServices(request, configuration, env);
  else printParameters(request, configuration, env);
  return 0;
}

/** The texts of notifications, as templates or as they are sent. */
function printTemplates({ letters, names }: Request, configuration: Configuration, env: CommandEnv): void {
  const { scope } = configuration;
  const named = names[0] === undefined || names[0] === "" ? names[0] : resolve(currentDirectory(), names[0]);
  const path = named ?? scope.expanded("bounce_template_file");
  try {
    const templates = scope.templates(path, letters.has("t"));
    const standard = scope.value("header_from_format") === "standard";
    const from = standard ? "Mail Delivery System <MAILER-DAEMON>" : "MAILER-DAEMON (Mail Delivery System)";
    env.out(letters.has("t") ? formatTemplates(templates, from) : formatTexts(templates));
  } catch (error) {
    if (error instanceof ParameterError) throw new CommandError(`fatal: ${error.message}`);
    throw error;
  }
}

function printParameters(request: Request, configuration: Configuration, env: CommandEnv): void {
  const { letters } = request;
  const scope = letters.has("d") ? configuration.defaults() : configuration.scope;
  const own = [...configuration.explicit, ...configuration.variables];
  const all = letters.has("n") ? own : letters.has("d") ? PARAMETER_NAMES : [...PARAMETER_NAMES, ...own];
  const known = new Set<string>(all);
  const names = request.names.length > 0 ? request.names : [...known].sort();
  for (const name of names) {
    const shown = known.has(name);
    if (shown) env.out(formatParameter(name, scope, letters));
    else if (!isKnown(name, configuration)) {
      env.err(`${env.programName}: warning: ${name}: unknown parameter\n`);
    }
  }
}

/** True for a name that -n or -d merely leaves out. */
function isKnown(name: string, configuration: Configuration): boolean {
  const transport = findParameter(name) === undefined && findRow(name) !== undefined;
  return configuration.knows(name) && !transport || configuration.place(name) !== undefined;
}

function formatParameter(name: string, scope: Scope, letters: ReadonlySet<string>): string {
  if (letters.has("H")) return `${name}\n`;
  const value = letters.has("x") ? scope.expanded(name) : scope.text(name);
  if (letters.has("h")) return `${value}\n`;
  return value === "" ? `${name} =\n` : `${name} = ${value}\n`;
}

function printServices(request: Request, configuration: Configuration, env: CommandEnv): void {
  const requests = request.names.length > 0 ? request.names : ["*"];
  for (const wanted of requests) {
    const found = configuration.services.filter((entry) => isWanted(entry, wanted));
    for (const entry of found) env.out(formatService(entry));
    if (found.length === 0) env.err(`${env.programName}: warning: unmatched request: "${wanted}"\n`);
  }
}

/** `name`, `name/type` or `*`, which stands for any name or type. */
function isWanted(entry: ServiceEntry, wanted: string): boolean {
  const slash = wanted.lastIndexOf("/");
  const name = slash < 0 ? wanted : wanted.slice(0, slash);
  const type = slash < 0 ? "*" : wanted.slice(slash + 1);
  return (name === "*" || name === entry.name) && (type === "*" || type === entry.type);
}

/** Columns that the fields of master.cf begin at: name type private unpriv chroot wakeup maxproc command. */
const COLUMNS: readonly number[] = [0, 11, 17, 25, 33, 41, 49, 57];

function formatService(entry: ServiceEntry): string {
  const isPrivate = entry.type === "unix" && entry.private ? "-" : "n";
  const wakeup = entry.wakeup === 0 ? "-" : `${entry.wakeup}${entry.wakeupIfUsed ? "?" : ""}`;
  const limit = entry.processLimit === undefined ? "-" : String(entry.processLimit);
  const fields = [entry.name, entry.type, isPrivate, "-", "n", wakeup, limit, entry.command];
  let line = "";
  for (const [i, field] of fields.entries()) {
    if (i > 0) line = `${line} `.padEnd(COLUMNS[i]!);
    line += field;
  }
  for (const [name, { text }] of entry.parameters) {
    line += `\n    -o ${/[ \t]/.test(text) ? `{ ${name} = ${text} }` : `${name}=${text}`}`;
  }
  return `${line}\n`;
}
