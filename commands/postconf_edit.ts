/**
 * What postconf changes in main.toml and master.toml: a value in its place, comments and order kept.
 *
 * @module
 */
// Safe primitives
import { lookAt, readTextFile, realPath, replaceFile, setFileOwner } from "../lib/safe/file.ts";
import { ownUid } from "../lib/safe/process.ts";
// Utility
import { MAIN_FILE, MASTER_FILE } from "../lib/config/configuration.ts";
import { didYouMean } from "../lib/config/nearest.ts";
import { isParameterName, type Parameter, PARAMETER_NAMES } from "../lib/config/parameters.ts";
import { findPostfixParameter } from "../lib/config/postfix_parameters.ts";
import { describeProblem, type Problem } from "../lib/config/problem.ts";
import { findRow } from "../lib/config/scope.ts";
import {
  appendElement,
  commentElement,
  commentKey,
  removeElement,
  removeKey,
  replaceElement,
  setKey,
} from "../lib/config/toml_edit.ts";
import { isTable, readTomlFile } from "../lib/config/toml_file.ts";
import { findKeys } from "../lib/config/toml_lines.ts";
import { parameterToToml, parameterToTomlLine, quoteToml, tomlKey } from "../lib/config/toml_text.ts";
import { splitTransportParameter } from "../lib/config/transport.ts";
import { encodeText } from "../lib/vstring/byte_builder.ts";
// This program
import { type CommandEnv, CommandError, CONFIGURATION_LIMIT } from "./command.ts";
import { type CfService, parseServiceLine, splitAssignment } from "./import_source.ts";
import { demandField, isWanted, splitRequest } from "./postconf_show.ts";
import { parametersToToml, type ServiceField, serviceToToml } from "./service_text.ts";

/** What is done to what is named. */
export type EditAction = "set" | "comment" | "remove";

/** Sets, comments out or removes parameters of main.toml. */
export async function editParameters(
  action: EditAction,
  operands: readonly string[],
  env: CommandEnv,
): Promise<void> {
  const transports = new Set(readServices(env).map(({ name }) => name));
  await change(MAIN_FILE, env, (document) => {
    let text = document;
    for (const operand of operands) {
      if (action === "set") text = setParameter(text, ...demandPair(operand), transports, env);
      else {
        const name = operand.trim();
        if (name.includes("=")) throw new CommandError("fatal: specify one of -e -# -X");
        for (const table of ["", "variables"]) {
          text = action === "remove"
            ? removeKey(text, table, name)
            : commentKey(text, table === "" ? name : `${table}.${name}`);
        }
      }
    }
    return text;
  });
}

/** `name=value` of the command line, in two. */
export function demandPair(operand: string): [string, string] {
  const pair = splitAssignment(operand);
  if (typeof pair === "string") throw new CommandError(`fatal: ${pair}`);
  return [pair.name, pair.text];
}

/** A parameter stands at the top, any other name in [variables]. */
function setParameter(
  document: string,
  name: string,
  text: string,
  transports: ReadonlySet<string>,
  env: CommandEnv,
): string {
  const row = demandRow(name, transports);
  if (row !== undefined) return setKey(document, "", name, parameterToToml(row, text));
  if (!findKeys(document).has(`variables.${name}`)) {
    const nearest = didYouMean(name, PARAMETER_NAMES);
    const hint = nearest === undefined ? "" : ` (${nearest})`;
    env.err(`${env.programName}: warning: ${name} is no parameter: set as a variable${hint}\n`);
  }
  return setKey(document, "variables", name, quoteToml(text));
}

/** The row of a parameter, undefined for a variable; throws for one that is refused. */
function demandRow(name: string, transports: ReadonlySet<string>): Parameter | undefined {
  const row = findRow(name);
  const transport = splitTransportParameter(name)?.transport;
  if (row !== undefined && (isParameterName(name) || transports.has(transport ?? ""))) return row;
  const refusal = findPostfixParameter(name)?.refusal;
  if (refusal === undefined) return undefined;
  throw new CommandError(
    `fatal: ${name}: Postern does not support this parameter of Postfix: ${refusal.why} (${refusal.cure})`,
  );
}

/** A service as it stands in master.toml, in working order or not. */
interface RawService {
  readonly index: number;
  readonly name: string;
  readonly type: string;
}

/** @param text the document, if it is not what the file holds */
function readServices(env: CommandEnv, text?: string): RawService[] {
  const path = `${env.configDirectory}/${MASTER_FILE}`;
  const problems: Problem[] = [];
  const file = readTomlFile(path, (one) => text ?? readTextFile(one, CONFIGURATION_LIMIT), problems);
  if (file === undefined) throw new CommandError(`fatal: ${problems.map(describeProblem).join("; ")}`);
  const tables = file.table["service"];
  return !Array.isArray(tables) ? [] : tables.map((table, index) => {
    const text = (key: string) => isTable(table) && typeof table[key] === "string" ? table[key] : "";
    return { index, name: text("name"), type: text("type") };
  });
}

/** Replaces, adds, comments out or removes whole services. */
export async function editServices(
  action: EditAction,
  operands: readonly string[],
  env: CommandEnv,
): Promise<void> {
  await editEach(operands, action, 2, env, (text, found, [, type], value) => {
    if (action === "comment") return commentElement(text, `service.${found!.index}`);
    if (action === "remove") return removeElement(text, `service.${found!.index}`);
    const service = parseServiceLine(value!, 0);
    if (typeof service === "string") throw new CommandError(`fatal: ${service}`);
    if (service.type !== type) {
      throw new CommandError(`fatal: service type mismatch: "${type}" and "${service.type}"`);
    }
    const block = serviceToToml(toServiceText(service));
    return found === undefined
      ? appendElement(text, block)
      : replaceElement(text, `service.${found.index}`, block);
  }, true);
}

/** A line of master.cf as a service of ours; throws for what it cannot have here. */
function toServiceText(service: CfService): Parameters<typeof serviceToToml>[0] {
  const { name, type } = service;
  const extra = [...service.switches, ...service.args];
  if (extra.length > 0) throw new CommandError(`fatal: daemons take no arguments but -o: "${extra[0]}"`);
  if (type !== "inet" && type !== "unix") {
    throw new CommandError(`fatal: there is no service type "${type}"`);
  }
  refuseColumn("unprivileged", service.unprivileged);
  refuseColumn("chroot", service.chroot);
  return {
    name,
    type,
    private: type === "unix" && readYes("private", service.private, true),
    command: service.command,
    processLimit: readLimit(service.processLimit),
    wakeup: readWakeup(service.wakeup),
    parameters: new Map(service.options.map((option) => [option.name, option.text])),
  };
}

/** Changes one field of services. */
export async function editFields(operands: readonly string[], env: CommandEnv): Promise<void> {
  await editEach(operands, "set", 3, env, (text, found, [, , name], value) => {
    const path = `service.${found!.index}`;
    return setField(text, path, demandField(name ?? ""), value!);
  });
}

function setField(text: string, path: string, field: ServiceField, value: string): string {
  const put = (key: string, toml: string | undefined) =>
    toml === undefined ? removeKey(text, path, key) : setKey(text, path, key, toml);
  switch (field) {
    case "service":
      return put("name", quoteToml(value));
    case "type":
      return put("type", quoteToml(value));
    case "private":
      return put("private", value === "-" ? undefined : String(readYes(field, value, true)));
    case "unprivileged":
    case "chroot":
      refuseColumn(field, value);
      return text;
    case "wakeup": {
      const wakeup = readWakeup(value);
      return put("wakeup", wakeup === undefined ? undefined : quoteToml(wakeup));
    }
    case "process_limit":
      return put("process_limit", readLimit(value)?.toString());
    case "command":
      return setCommand(text, path, value);
    default:
      return field satisfies never;
  }
}

/** The command with its options, as the last field of master.cf has them. */
function setCommand(text: string, path: string, value: string): string {
  const service = parseServiceLine(`x unix - - - - - ${value}`, 0);
  if (typeof service === "string") throw new CommandError(`fatal: ${service}`);
  const { command, parameters } = toServiceText(service);
  const named = setKey(text, path, "command", quoteToml(command));
  const bare = removeKey(named, path, "parameters");
  return parameters.size === 0 ? bare : setKey(bare, path, "parameters", parametersToToml(parameters));
}

/** Sets or removes parameters of services. */
export async function editOverrides(
  action: EditAction,
  operands: readonly string[],
  env: CommandEnv,
): Promise<void> {
  if (action === "comment") throw new CommandError("fatal: -P does not support -#");
  const transports = new Set(readServices(env).map(({ name }) => name));
  await editEach(operands, action, 3, env, (text, found, [, , name = ""], value) => {
    const service = `service.${found!.index}`;
    const marks = findKeys(text);
    // max_use and max_idle may stand beside the others.
    const table = marks.has(`${service}.${name}`) ? service : `${service}.parameters`;
    if (action === "remove") return removeKey(text, table, name);
    const row = demandRow(name, transports);
    if (row === undefined) throw new CommandError(`fatal: unknown parameter "${name}"`);
    const toml = parameterToTomlLine(row, value!);
    if (table === service || marks.has(table)) return setKey(text, table, name, toml);
    return setKey(text, service, "parameters", `{ ${tomlKey(name)} = ${toml} }`);
  });
}

/** One change of master.toml; `found` is undefined where a new service may be made. */
type ServiceEdit = (
  text: string,
  found: RawService | undefined,
  parts: readonly string[],
  value: string | undefined,
) => string;

/** Makes the change for each operand and each service that it means. */
async function editEach(
  operands: readonly string[],
  action: EditAction,
  parts: number,
  env: CommandEnv,
  edit: ServiceEdit,
  mayAdd = false,
): Promise<void> {
  await change(MASTER_FILE, env, (document) => {
    let text = document;
    for (const operand of operands) {
      const [request, value] = action === "set" ? demandPair(operand) : [operand.trim(), undefined];
      const pieces = splitRequest(request, parts);
      if (pieces.length !== parts) throw new CommandError(`fatal: bad service name or type: "${request}"`);
      const [name, type] = pieces as [string, string];
      const found = readServices(env, text).filter((one) => isWanted(one, name, type));
      if (found.length === 0) {
        if (!mayAdd || action !== "set") throw new CommandError(`fatal: unmatched request: "${request}"`);
        text = edit(text, undefined, pieces, value);
      }
      // From the end: what is removed moves those behind it.
      for (const service of found.reverse()) text = edit(text, service, pieces, value);
    }
    return text;
  });
}

/** Replaces a file by what `edit` makes of it, unless that brings new errors. */
async function change(
  name: string,
  env: CommandEnv,
  edit: (document: string) => string,
): Promise<void> {
  const path = `${env.configDirectory}/${name}`;
  const real = realPath(path);
  if (real === undefined) throw new CommandError(`fatal: open ${path}: No such file or directory`);
  const before = readTextFile(real, CONFIGURATION_LIMIT);
  const after = edit(before);
  if (after === before) return;
  const errors = newErrors(path, before, after, env);
  if (errors.length > 0) {
    for (const problem of errors) env.err(`${env.programName}: error: ${describeProblem(problem)}\n`);
    throw new CommandError(`fatal: ${path} is left as it was`);
  }
  const { mode, uid, gid } = lookAt(real)!;
  await replaceFile(real, encodeText(after), mode & 0o777);
  if (ownUid() === 0) setFileOwner(real, uid, gid);
}

/** The errors that a document has and the one before it did not have. */
function newErrors(path: string, before: string, after: string, env: CommandEnv): Problem[] {
  const errors = (text: string) =>
    env.load(new Map([[path, text]])).problems.filter(({ severity }) => severity === "error");
  const known = new Set(errors(before).map(({ text }) => text));
  return errors(after).filter(({ text }) => !known.has(text));
}

function readYes(field: string, value: string, byDefault: boolean): boolean {
  if (value === "-") return byDefault;
  if (value === "y" || value === "n") return value === "y";
  throw new CommandError(`fatal: field "${field}": expected y, n or -, got "${value}"`);
}

function readLimit(value: string): number | undefined {
  if (value === "-") return undefined;
  if (/^[0-9]{1,5}$/.test(value)) return Number(value);
  throw new CommandError(`fatal: field "process_limit": expected a number or -, got "${value}"`);
}

function readWakeup(value: string): string | undefined {
  if (value === "-" || value === "0") return undefined;
  if (/^[0-9]{1,9}\??$/.test(value)) return value.replace(/^[0-9]+/, "$&s");
  throw new CommandError(`fatal: field "wakeup": expected seconds or -, got "${value}"`);
}

/** Daemons are unprivileged always, and have permissions in the place of a chroot. */
function refuseColumn(field: "unprivileged" | "chroot", value: string): void {
  if (value === "-" || value === (field === "chroot" ? "n" : "y")) return;
  throw new CommandError(
    `fatal: field "${field}" is not supported: each daemon has the permissions that \`postern sandbox\` prints`,
  );
}
