/**
 * What postmulti changes: instances are made, taken into the list and out of it, named, switched on and off, removed.
 *
 * @module
 */
// Safe primitives
import {
  ensureDirectory,
  listDirectory,
  lookAt,
  readTextFile,
  removeFile,
  removeTree,
  replaceFile,
} from "../lib/safe/file.ts";
import { dirname, normalize } from "../lib/safe/path.ts";
// Utility
import { MAIN_FILE, MASTER_FILE } from "../lib/config/configuration.ts";
import { quoteToml, tomlArray } from "../lib/config/toml_text.ts";
import { encodeText } from "../lib/vstring/byte_builder.ts";
// Mail
import { QueueDirectory, type QueueName } from "../lib/mail/queue_directory.ts";
// This program
import { type CommandEnv, CommandError, CONFIGURATION_LIMIT, makeEnv } from "./command.ts";
import { runningMaster } from "./master_control.ts";
import { editParameters } from "./postconf_edit.ts";
import {
  type Instance,
  NONE,
  readInstance,
  readInstances,
  selectInstances,
  type Selection,
} from "./postmulti_instances.ts";

/** What a new or existing instance is to be called. */
export interface Naming {
  readonly name?: string | undefined;
  readonly group?: string | undefined;
}

/** What is done. */
export const ACTIONS = [
  "init",
  "create",
  "import",
  "destroy",
  "deport",
  "assign",
  "enable",
  "disable",
] as const;
/** One of them. */
export type Action = typeof ACTIONS[number];

/** How an instance's name begins, so that a directory of its name is nobody else's. */
const NAME_PREFIX = "postfix-";
/** Mode of a configuration file. */
const FILE_MODE = 0o644;
/** Queues whose files are mail. */
const MAIL_QUEUES: readonly QueueName[] = [
  "maildrop",
  "incoming",
  "active",
  "deferred",
  "hold",
  "corrupt",
  "saved",
];

/** Does what `-e` asks for. */
export async function editInstances(
  action: Action,
  selection: Selection & { readonly front: boolean },
  naming: Naming,
  pairs: ReadonlyMap<string, string>,
  env: CommandEnv,
): Promise<void> {
  demandNames(naming);
  if (action === "init") return await set(env, ["multi_instance_enable=yes"]);
  const [primary, ...others] = readInstances(env);
  if (!primary.configuration.settings.multi_instance_enable) {
    throw new CommandError("fatal: multi-instance support is not enabled: run postmulti -e init");
  }
  switch (action) {
    case "create":
    case "import":
      return await addInstance(action, primary, others, selection, naming, pairs, env);
    case "deport":
      return await deport(demandOther([primary, ...others], selection), others, env);
    case "destroy":
      return await destroy(demandOther([primary, ...others], selection), others, env);
    case "enable":
    case "disable": {
      const instance = demandOne([primary, ...others], selection);
      if (instance.primary) throw new CommandError(`fatal: the primary instance cannot be ${action}d`);
      return await set(envOf(instance, env), [`multi_instance_enable=${action === "enable" ? "yes" : "no"}`]);
    }
    case "assign":
      return await set(envOf(demandOne([primary, ...others], selection), env), assignments(naming));
    default:
      action satisfies never;
  }
}

function demandNames({ name }: Naming): void {
  if (name === undefined || name === NONE) return;
  const good = name.startsWith(NAME_PREFIX) && name.length > NAME_PREFIX.length && !name.includes("/");
  if (!good) {
    throw new CommandError(
      `fatal: instance name must begin with "${NAME_PREFIX}" and have no slash: ${name}`,
    );
  }
}

/** The name and group as assignments; "-" is none. */
function assignments({ name, group }: Naming): string[] {
  const value = (text: string) => text === NONE ? "" : text;
  return [
    ...name === undefined ? [] : [`multi_instance_name=${value(name)}`],
    ...group === undefined ? [] : [`multi_instance_group=${value(group)}`],
  ];
}

function demandOne(instances: readonly Instance[], selection: Selection): Instance {
  if (selection.name === undefined) throw new CommandError("fatal: an instance must be named with -i");
  return selectInstances(instances, selection)[0]!;
}

/** An instance that is not the primary one. */
function demandOther(instances: readonly Instance[], selection: Selection): Instance {
  const instance = demandOne(instances, selection);
  if (instance.primary) throw new CommandError("fatal: the primary instance cannot be removed");
  return instance;
}

function envOf({ directory }: Instance, env: CommandEnv): CommandEnv {
  return makeEnv(env.programName, directory);
}

async function set(env: CommandEnv, pairs: readonly string[]): Promise<void> {
  if (pairs.length > 0) await editParameters("set", pairs, env);
}

/** Writes the list of the others into the primary instance's main.toml. */
async function setList(directories: readonly string[], env: CommandEnv): Promise<void> {
  await set(env, [`multi_instance_directories=${directories.join(" ")}`]);
}

/** Makes an instance, or takes one as it is, into the list: at its end, or in front of those that are selected. */
async function addInstance(
  action: "create" | "import",
  primary: Instance,
  others: readonly Instance[],
  selection: Selection & { readonly front: boolean },
  naming: Naming,
  pairs: ReadonlyMap<string, string>,
  env: CommandEnv,
): Promise<void> {
  const directory = newPath("config_directory", primary.directory, naming, pairs);
  if ([primary, ...others].some((one) => one.directory === directory)) {
    throw new CommandError(`fatal: instance is managed already: ${directory}`);
  }
  const exists = [MAIN_FILE, MASTER_FILE].every((file) => lookAt(`${directory}/${file}`) !== undefined);
  if (action === "import" && !exists) {
    throw new CommandError(`fatal: no ${MAIN_FILE} and ${MASTER_FILE} in ${directory}`);
  }
  if (exists) await set(makeEnv(env.programName, directory), assignments(naming));
  else await writeConfiguration(directory, primary, naming, pairs);
  readInstance(makeEnv(env.programName, directory), false);
  const at = selection.front
    ? 0
    : selection.name === undefined && selection.group === undefined
    ? others.length
    : others.indexOf(selectInstances(others, selection)[0]!);
  await setList(others.map((one) => one.directory).toSpliced(at, 0, directory), env);
}

/** A path that the command line gives, or the primary instance's with the new name at its end. */
function newPath(
  parameter: "config_directory" | "queue_directory",
  primary: string,
  { name }: Naming,
  pairs: ReadonlyMap<string, string>,
): string {
  const given = pairs.get(parameter);
  if (given?.startsWith("/")) return normalize(given);
  if (given !== undefined) throw new CommandError(`fatal: ${parameter} is no absolute path: ${given}`);
  if (name === undefined || name === NONE) {
    throw new CommandError(`fatal: give -I name or ${parameter}=/path`);
  }
  return `${dirname(primary)}/${name}`;
}

/** A new instance listens nowhere, takes no mail of local users, and is off, until somebody says otherwise. */
async function writeConfiguration(
  directory: string,
  primary: Instance,
  naming: Naming,
  pairs: ReadonlyMap<string, string>,
): Promise<void> {
  const { settings } = primary.configuration;
  const queue = newPath("queue_directory", settings.queue_directory, naming, pairs);
  const value = (text: string | undefined) => quoteToml(text === undefined || text === NONE ? "" : text);
  const main = [
    "# Made by postmulti.",
    `multi_instance_name = ${value(naming.name)}`,
    `multi_instance_group = ${value(naming.group)}`,
    "multi_instance_enable = false",
    `queue_directory = ${quoteToml(queue)}`,
    `mail_owner = ${quoteToml(settings.mail_owner)}`,
    `maillog_file = ${quoteToml(settings.maillog_file)}`,
    `maillog_file_prefixes = ${tomlArray(settings.maillog_file_prefixes)}`,
    "",
    "# Until somebody has seen to what it is for: it listens nowhere, and takes no mail of local users.",
    'master_service_disable = ["inet"]',
    "authorized_submit_users = []",
    "",
  ].join("\n");
  ensureDirectory(directory);
  const master = readTextFile(`${primary.directory}/${MASTER_FILE}`, CONFIGURATION_LIMIT);
  await replaceFile(`${directory}/${MASTER_FILE}`, encodeText(master), FILE_MODE);
  await replaceFile(`${directory}/${MAIN_FILE}`, encodeText(main), FILE_MODE);
}

async function deport(instance: Instance, others: readonly Instance[], env: CommandEnv): Promise<void> {
  await setList(others.filter((one) => one !== instance).map((one) => one.directory), env);
}

/** Takes an instance out of the list and off the disk. Mail, and files that are not its own, are never removed. */
async function destroy(instance: Instance, others: readonly Instance[], env: CommandEnv): Promise<void> {
  const { settings } = instance.configuration;
  const { queue_directory: root } = settings;
  if (instance.enabled) throw new CommandError("fatal: the instance is enabled: disable it first");
  if (runningMaster(root) !== undefined) {
    throw new CommandError("fatal: the instance is running: stop it first");
  }
  const shared = [...others, ...readInstances(env)].some((one) =>
    one.directory !== instance.directory && one.configuration.settings.queue_directory === root
  );
  if (shared) throw new CommandError(`fatal: another instance has the queue ${root}`);
  const queue = new QueueDirectory(root, settings.hash_queue_names, settings.hash_queue_depth);
  const mail = MAIL_QUEUES.filter((name) =>
    lookAt(queue.directory(name)) !== undefined && !queue.ids(name).next().done
  );
  if (mail.length > 0) {
    throw new CommandError(`fatal: there is mail in ${mail.map((name) => queue.directory(name)).join(", ")}`);
  }
  await deport(instance, others, env);
  for (const name of [...MAIL_QUEUES, ...OWN_DIRECTORIES]) removeTree(`${root}/${name}`);
  for (const file of [MAIN_FILE, MASTER_FILE]) removeFile(`${instance.directory}/${file}`);
  for (const directory of [root, instance.directory]) {
    const left = lookAt(directory) === undefined ? undefined : listDirectory(directory);
    if (left?.length === 0) removeTree(directory);
    else if (left !== undefined) {
      env.err(`${env.programName}: warning: ${directory} is left: it has ${left.slice(0, 5).join(", ")}\n`);
    }
  }
}

/** What else master makes in a queue directory. */
const OWN_DIRECTORIES = ["bounce", "defer", "trace", "flush", "journal", "pid", "private", "public"] as const;
