/**
 * postconf - shows and changes parameters and services
 *
 * `postconf [-d | -n] [-fhHjx] [-c DIR] [-C CLASS,...] [-o NAME=VALUE] [NAME ...]` prints `name = value` for all
 * parameters or for those named, sorted as Postfix does; lists are joined with ", ".
 * - `-d`: defaults instead of what main.toml sets; `-n`: only what main.toml sets.
 * - `-h`: values only; `-H`: names only; `-x`: with `$name` expanded; `-f`: long lines folded; `-j`: JSON objects.
 * - `-C`: only parameters of the classes builtin, service, user; `-o`: as if main.toml set this.
 *
 * `postconf [-e] NAME=VALUE ...` sets parameters in main.toml, `-#` makes them comments, `-X` removes them. What is no
 * parameter is set in [variables].
 *
 * `-M [SERVICE[/TYPE] ...]` prints services in the form of master.cf, `-F [SERVICE[/TYPE[/FIELD]] ...]` their fields,
 * `-P [SERVICE[/TYPE[/PARAMETER]] ...]` their parameters. With `=VALUE` behind a full name, or with `-#` or `-X`, they
 * change master.toml.
 *
 * `-b [FILE]` prints the texts of the reports that bounce sends, with `$name` expanded, `-t [FILE]` the templates as
 * they stand: those of FILE, else of `bounce_template_file`; `-t ""` the built-in ones. `-m`: table types, `-l`: ways to
 * lock mailboxes, `-a`, `-A`: SASL plug-ins of server and client, `-T MODE`: facts about OpenSSL, which is not in it.
 *
 * **Security**: reads and writes main.toml and master.toml as the user who runs it. A file is replaced as a whole, with
 * the mode that it had. Parameters that hold secrets are printed as they stand; who may read the file may see them.
 *
 * **Diagnostics**: a name that is no parameter gives a warning and exit status 0, as in Postfix; a configuration that
 * cannot be used gives its errors and exit status 1. A change that would bring a new error is not made.
 *
 * **Known limits**: `-v` is taken and changes nothing.
 *
 * @module
 */
// Safe primitives
import { resolve } from "../lib/safe/path.ts";
import { currentDirectory } from "../lib/safe/process.ts";
// Utility
import { formatTemplates, formatTexts } from "../lib/config/bounce_templates.ts";
import type { Configuration } from "../lib/config/configuration.ts";
import { ExpandError } from "../lib/config/expand.ts";
import { PARAMETERS } from "../lib/config/parameters.ts";
import { ParameterError } from "../lib/config/scope.ts";
// Tables
import { TABLE_TYPES } from "../lib/table/open.ts";
// This program
import { type CommandEnv, CommandError, makeEnv } from "./command.ts";
import { type GivenOption, parseOptions } from "./options.ts";
import {
  demandPair,
  type EditAction,
  editFields,
  editOverrides,
  editParameters,
  editServices,
} from "./postconf_edit.ts";
import {
  overrideSettings,
  type ParameterClass,
  showFields,
  showOverrides,
  showParameters,
  type ShowRequest,
  showServices,
} from "./postconf_show.ts";

const USAGE =
  "postconf [-aAbdeFfhHjlmMnpPtvxX#] [-c config_dir] [-C class] [-o name=value] [-T mode] [name ...]";

/** Letters that exclude one another. */
const EXCLUSIVE: readonly string[] = ["dn", "hH", "MFPp", "eX#", "hj", "Hj", "fj"];

/** Prints or changes what was asked for. */
export async function run(args: readonly string[], env: CommandEnv): Promise<number> {
  const parsed = parseOptions(args, "aAbc:C:deFfhHjlmMno:pPtT:vxX#");
  if (parsed.kind === "invalid") throw new CommandError(`fatal: ${parsed.why}; usage: ${USAGE}`);
  const { options, operands } = parsed;
  const letters = new Set(options.map((option) => option.letter));
  for (const group of EXCLUSIVE) {
    const given = [...group].filter((letter) => letters.has(letter)).map((letter) => ` -${letter}`);
    if (given.length > 1) throw new CommandError(`fatal: specify one of${given.join("")}`);
  }
  const facts = printFacts(letters, options);
  if (facts !== undefined) {
    env.out(facts);
    return 0;
  }
  const directory = options.findLast((option) => option.letter === "c")?.value;
  const used = directory === undefined
    ? env
    : makeEnv(env.programName, resolve(currentDirectory(), directory));
  const action = editAction(letters, operands);
  if (action !== undefined) await edit(action, letters, operands, used);
  else show(letters, operands, options, used);
  return 0;
}

/** What needs no configuration, or undefined. */
function printFacts(letters: ReadonlySet<string>, options: readonly GivenOption[]): string | undefined {
  const lines = (words: readonly string[]) => words.map((word) => `${word}\n`).join("");
  if (letters.has("m")) return lines([...TABLE_TYPES].sort());
  if (letters.has("l")) return lines(PARAMETERS.mailbox_delivery_lock.values);
  // No plug-in is in it, and no OpenSSL: Postfix prints nothing then too.
  if (letters.has("a") || letters.has("A")) return "";
  const mode = options.findLast((option) => option.letter === "T")?.value;
  if (mode === undefined) return undefined;
  if (TLS_MODES.includes(mode)) return "";
  throw new CommandError(`fatal: bad -T mode "${mode}": use one of ${TLS_MODES.join(", ")}`);
}

const TLS_MODES: readonly string[] = ["compile-version", "run-version", "public-key-algorithms"];

/** What is to be changed, if anything: a value behind a name says so as -e does. */
function editAction(letters: ReadonlySet<string>, operands: readonly string[]): EditAction | undefined {
  if (letters.has("X")) return "remove";
  if (letters.has("#")) return "comment";
  const isTemplate = letters.has("b") || letters.has("t");
  return letters.has("e") || (!isTemplate && operands.some((one) => one.includes("="))) ? "set" : undefined;
}

async function edit(
  action: EditAction,
  letters: ReadonlySet<string>,
  operands: readonly string[],
  env: CommandEnv,
): Promise<void> {
  for (const letter of ["b", "C", "d", "f", "h", "H", "j", "n", "o", "t", "x"]) {
    if (letters.has(letter)) throw new CommandError(`fatal: with -e, -# or -X, do not specify -${letter}`);
  }
  if (operands.length === 0) throw new CommandError(`fatal: nothing to change; usage: ${USAGE}`);
  if (letters.has("M")) await editServices(action, operands, env);
  else if (letters.has("P")) await editOverrides(action, operands, env);
  else if (!letters.has("F")) await editParameters(action, operands, env);
  else if (action === "set") await editFields(operands, env);
  else throw new CommandError("fatal: -F does not support -# and -X");
}

function show(
  letters: ReadonlySet<string>,
  names: readonly string[],
  options: readonly GivenOption[],
  env: CommandEnv,
): void {
  for (const letter of ["h", "H"]) {
    if (letters.has("M") && letters.has(letter)) {
      throw new CommandError(`fatal: with option -M, do not specify -${letter}`);
    }
  }
  const request: ShowRequest = {
    letters,
    names,
    classes: readClasses(options),
    overrides: readOverrides(options),
  };
  const configuration = env.config();
  if (letters.has("b") || letters.has("t")) printTemplates(request, configuration, env);
  else if (letters.has("M")) showServices(request, configuration, env);
  else if (letters.has("F")) showFields(request, configuration, env);
  else if (letters.has("P")) showOverrides(request, configuration, env);
  else showParameters(request, configuration, env);
}

const CLASSES: readonly ParameterClass[] = ["builtin", "service", "user"];

function readClasses(options: readonly GivenOption[]): ReadonlySet<ParameterClass> {
  const texts = options.filter((option) => option.letter === "C").map((option) => option.value);
  const classes = new Set<ParameterClass>(texts.length === 0 ? CLASSES : []);
  for (const text of texts) {
    for (const word of text.split(/[ ,]+/)) {
      const found = CLASSES.filter((one) => word === "all" || word === one);
      if (found.length === 0) throw new CommandError(`fatal: unknown -C option value "${word}" in "${text}"`);
      for (const one of found) classes.add(one);
    }
  }
  return classes;
}

function readOverrides(options: readonly GivenOption[]): ShowRequest["overrides"] {
  try {
    return overrideSettings(
      options.filter(({ letter }) => letter === "o").map(({ value }) => demandPair(value)),
    );
  } catch (error) {
    if (error instanceof ExpandError) throw new CommandError(`fatal: ${error.message}`);
    throw error;
  }
}

/** The texts of notifications, as templates or as they are sent. */
function printTemplates(
  { letters, names }: ShowRequest,
  configuration: Configuration,
  env: CommandEnv,
): void {
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
