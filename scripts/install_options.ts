/**
 * The installer's command line.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { normalize, resolve } from "node:path";

/** What the installer is asked to do. */
export interface Options {
  readonly action: "install" | "uninstall" | "help";
  /** Where the programs go. */
  readonly prefix: string;
  /** Folder that stands for "/" while packages are made; empty: this system itself. */
  readonly root: string;
  readonly configDirectory: string;
  readonly queueDirectory: string;
  /** Make the users that are missing. */
  readonly users: boolean;
  /** Try `deno compile`. */
  readonly compile: boolean;
  /** With uninstall: remove the users that an installation made. */
  readonly purgeUsers: boolean;
}

/** The command line makes no sense. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** What --help prints. */
export const USAGE = `usage: deno run -A scripts/install.ts [OPTIONS]

  --prefix DIR       where the programs go (/usr/local)
  --config-dir DIR   where main.toml and master.toml are (/etc/postern)
  --queue-dir DIR    where the queue is, for a new main.toml (/var/spool/postern)
  --root DIR         put everything below DIR instead of /, to make a package; makes no users
  --no-users         make no users
  --no-compile       install launchers, do not try to compile
  --uninstall        remove what was installed: never configuration, queue or mail
  --purge-users      with --uninstall: remove the users too that the installer made
  --help             print this
`;

const OPTIONS = {
  "prefix": { type: "string", default: "/usr/local" },
  "config-dir": { type: "string", default: "/etc/postern" },
  "queue-dir": { type: "string", default: "/var/spool/postern" },
  "root": { type: "string", default: "" },
  "no-users": { type: "boolean", default: false },
  "no-compile": { type: "boolean", default: false },
  "uninstall": { type: "boolean", default: false },
  "purge-users": { type: "boolean", default: false },
  "help": { type: "boolean", default: false },
} as const;

/** Reads the command line; throws a `UsageError`. */
export function parseOptions(args: readonly string[]): Options {
  const values = readValues(args);
  if (values["purge-users"] && !values.uninstall) throw new UsageError("--purge-users goes with --uninstall");
  return {
    action: values.help ? "help" : values.uninstall ? "uninstall" : "install",
    prefix: toAbsolute("prefix", values.prefix),
    configDirectory: toAbsolute("config-dir", values["config-dir"]),
    queueDirectory: toAbsolute("queue-dir", values["queue-dir"]),
    // Only this one names a place on the machine where the installer runs; the others name where things will be.
    root: values.root === "" ? "" : withoutSlash(resolve(values.root)),
    users: !values["no-users"] && values.root === "",
    compile: !values["no-compile"],
    purgeUsers: values["purge-users"],
  };
}

function readValues(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** A path as it can stand in a unit file, a launcher and main.toml alike. */
function toAbsolute(option: string, path: string): string {
  if (!path.startsWith("/")) throw new UsageError(`--${option} needs an absolute path, not "${path}"`);
  for (const character of path) {
    // Quotes, dollars and percents mean something in main.toml, in a unit file or in both.
    if (character < " " || character === "\x7f" || `"'\\$%`.includes(character)) {
      throw new UsageError(`--${option} "${path}" has a character that it must not have`);
    }
  }
  const plain = withoutSlash(normalize(path));
  if (plain === "") throw new UsageError(`--${option} must not be /`);
  return plain;
}

function withoutSlash(path: string): string {
  return path.endsWith("/") ? path.slice(0, -1) : path;
}
