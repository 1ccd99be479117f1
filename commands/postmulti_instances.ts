/**
 * The instances of the mail system: the primary one, whose main.toml names the configuration directories of the others,
 * and these.
 *
 * @module
 */
// Utility
import type { Configuration } from "../lib/config/configuration.ts";
import { formatProblem } from "../lib/config/problem.ts";
// This program
import { type CommandEnv, CommandError, makeEnv } from "./command.ts";

/** One instance. */
export interface Instance {
  readonly directory: string;
  readonly name: string;
  readonly group: string;
  /** multi_instance_enable; the primary one is always on. */
  readonly enabled: boolean;
  readonly primary: boolean;
  readonly configuration: Configuration;
}

/** What stands for the primary instance, and for no name or group. */
export const NONE = "-";

/** The primary instance, then the others in their order. Those do not count while the primary one is not enabled. */
export function readInstances(env: CommandEnv): [Instance, ...Instance[]] {
  const primary = readInstance(env, true);
  const { multi_instance_enable, multi_instance_directories } = primary.configuration.settings;
  if (!multi_instance_enable) return [primary];
  const others = multi_instance_directories.map((directory) =>
    readInstance(makeEnv(env.programName, directory), false)
  );
  const all = [primary, ...others];
  for (const [i, { name, directory }] of all.entries()) {
    const twin = all.slice(0, i).find((other) =>
      (name !== "" && other.name === name) || other.directory === directory
    );
    if (twin === undefined) continue;
    const what = twin.directory === directory
      ? directory
      : `name ${name}: ${twin.directory} and ${directory}`;
    throw new CommandError(`fatal: two instances have one ${what === directory ? "directory: " : ""}${what}`);
  }
  return [primary, ...others];
}

/** The instance of a configuration directory; throws when that cannot be used. */
export function readInstance(env: CommandEnv, primary: boolean): Instance {
  const { configuration, problems } = env.load();
  if (configuration === undefined) {
    const errors = problems.filter(({ severity }) => severity === "error").map(formatProblem);
    throw new CommandError(`fatal: instance ${env.configDirectory} cannot be used: ${errors[0] ?? ""}`);
  }
  const { multi_instance_name, multi_instance_group, multi_instance_enable } = configuration.settings;
  return {
    directory: env.configDirectory,
    name: multi_instance_name,
    group: multi_instance_group,
    enabled: primary || multi_instance_enable,
    primary,
    configuration,
  };
}

/** Which instances are meant; undefined: all. */
export interface Selection {
  readonly group?: string | undefined;
  readonly name?: string | undefined;
}

/** The instances that are meant; throws when there are none. */
export function selectInstances(instances: readonly Instance[], { group, name }: Selection): Instance[] {
  const selected = instances.filter((one) =>
    (group === undefined || one.group === group) && (name === undefined || isCalled(one, name))
  );
  if (selected.length > 0) return selected;
  throw new CommandError(
    name !== undefined ? `fatal: no such instance: ${name}` : `fatal: no such instance group: ${group}`,
  );
}

function isCalled(instance: Instance, name: string): boolean {
  if (name === NONE) return instance.primary;
  return name.startsWith("/") ? instance.directory === name : instance.name === name;
}

/** One line of a list, in Postfix's columns: name, group, y or n, directory. */
export function instanceLine({ name, group, enabled, directory }: Instance): string {
  const column = (text: string, width: number) => (text || NONE).padEnd(width);
  return `${column(name, 15)} ${column(group, 15)} ${column(enabled ? "y" : "n", 9)} ${directory}\n`;
}
