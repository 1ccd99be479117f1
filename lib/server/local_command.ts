/**
 * How commands of local delivery are run, and who runs the program of a pipe service (postfix-map sections 9.4, 9.9).
 * Master makes helpers' tasks of it.
 *
 * @module
 */
// Safe primitives
import { lookAt, realPath } from "../safe/file.ts";
import { environmentVariable, findGroup, findUser } from "../safe/process.ts";
// Utility
import { splitBlanks } from "../vstring/ascii.ts";
import { type Configuration } from "../config/configuration.ts";
import { type PipeAttributes } from "../config/pipe_attributes.ts";

/** Where programs without a slash in their name are looked for, and the PATH of every command (_PATH_DEFPATH). */
const PROGRAM_PATH = ["/usr/bin", "/bin"];
const SHELL = "/bin/sh";
/** Characters of a command that needs no shell, beside letters and digits. */
const PLAIN = "!@%-_=+:,./ \t";

const ANY_EXECUTE = 0o111;

/** A program with its arguments. */
export interface CommandLine {
  /** Absolute path. */
  readonly program: string;
  readonly args: readonly string[];
}

/**
 * The program that carries a command out: itself, where it is a program with plain words behind it; else a shell. The
 * text is an administrator's or a user's own: mail brings its data by the environment and never into it.
 *
 * @param shell local_command_shell: a shell with its options that takes every command; empty for none
 */
export function commandLine(command: string, shell: string): CommandLine {
  const [own = "", ...options] = splitBlanks(shell);
  if (own !== "") return { program: own, args: [...options, command] };
  const [name = "", ...args] = splitBlanks(command);
  const program = isPlain(command) ? findProgram(name) : undefined;
  return program === undefined ? { program: SHELL, args: ["-c", command] } : { program, args };
}

/** One without a slash that is not found may be one of the shell's own commands. */
function findProgram(name: string): string | undefined {
  if (name.startsWith("/")) return name;
  if (name === "" || name.includes("/")) return undefined;
  return PROGRAM_PATH.map((directory) => `${directory}/${name}`).find(isExecutable);
}

function isExecutable(path: string): boolean {
  const target = realPath(path);
  const stat = target === undefined ? undefined : lookAt(target);
  return stat?.kind === "file" && (stat.mode & ANY_EXECUTE) !== 0;
}

function isPlain(command: string): boolean {
  for (const character of command) {
    const isAlnum = (character >= "a" && character <= "z") || (character >= "A" && character <= "Z") ||
      (character >= "0" && character <= "9");
    if (!isAlnum && !PLAIN.includes(character)) return false;
  }
  return true;
}

/** The environment of every command: the path, and what export_environment names of our own. */
export function exportedEnvironment(items: readonly string[]): { readonly [name: string]: string } {
  const out: Record<string, string> = { PATH: PROGRAM_PATH.join(":") };
  for (const item of items) {
    const equals = item.indexOf("=");
    if (equals > 0) out[item.slice(0, equals)] = item.slice(equals + 1);
    else {
      const value = environmentVariable(item);
      if (value !== undefined) out[item] = value;
    }
  }
  return out;
}

/** Who runs the program of a pipe service: never root, and never the mail system, as Postfix has it. */
export function pipeIdentity(
  { settings }: Pick<Configuration, "settings">,
  pipe: PipeAttributes,
): { readonly uid: number; readonly gid: number } | string {
  const user = findUser(pipe.user);
  if (user === undefined) return `there is no user "${pipe.user}"`;
  const gid = pipe.group === "" ? user.gid : findGroup(pipe.group);
  if (gid === undefined) return `there is no group "${pipe.group}"`;
  if (user.uid === 0 || gid === 0) return `user "${pipe.user}" would run it as root`;
  const owners = [settings.mail_owner, settings.net_owner].map((name) =>
    name === "" ? undefined : findUser(name)
  );
  if (owners.some((owner) => owner?.uid === user.uid || owner?.gid === gid)) {
    return `user "${pipe.user}" would run it with the rights of the mail system`;
  }
  return { uid: user.uid, gid };
}
