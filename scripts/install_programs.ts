/**
 * The programs: a bundle for each daemon and for the dispatcher, the runtime that runs them, and one program for each
 * name, compiled where that can be done and a launcher where not.
 *
 * The daemons are never compiled: their permissions follow from the configuration and are given to the runtime at each
 * start, while those of a compiled program are fixed in it.
 *
 * @module
 */
import { join } from "node:path";
import { SERVICES } from "../daemons/services.ts";
import { bundledCode } from "../lib/server/code_location.ts";
import { daemonEnvironment, trustedFlags } from "../lib/server/hardening.ts";
import { type Installer, InstallError } from "./install_files.ts";
import { bundlePath, type Layout, type ProgramPlace, staged } from "./install_layout.ts";
import { run, runTool } from "./install_run.ts";

/** Source tree that is installed. */
const SOURCE = join(import.meta.dirname!, "..");
/** Longest time that compiling may take, with the download of its runtime, milliseconds. */
const COMPILE_TIMEOUT = 300_000;
/** Longest time that a compiled program may take to say that it was called without arguments, milliseconds. */
const PROBE_TIMEOUT = 30_000;
/** Exit status and first words of the dispatcher when no program is named. */
const USAGE_STATUS = 64;
const USAGE_START = "postern: fatal: no program is named";

/** How the programs were installed, and why not compiled if they were not. */
export type Programs = { readonly kind: "compiled" } | { readonly kind: "launchers"; readonly why: string };

/** Entry points by the name of their bundle. */
function entries(): ReadonlyMap<string, string> {
  return new Map([
    ...["master", ...SERVICES.keys()].map((
      name,
    ): [string, string] => [name, join("daemons", name, "main.ts")]),
    // What `postern sandbox --verify` starts in the daemons' place.
    ["probe", join("lib", "server", "probe_program.ts")],
    ["postern", "main.ts"],
  ]);
}

/** Bundles every daemon and the dispatcher: one file each, with the packages that it uses. */
export async function installBundles(installer: Installer): Promise<void> {
  const scratch = Deno.makeTempDirSync({ prefix: "postern-install-" });
  try {
    for (const [name, entry] of entries()) {
      const output = join(scratch, `${name}.js`);
      const args = [
        "bundle",
        "--quiet",
        "--config",
        join(SOURCE, "deno.json"),
        "--output",
        output,
        join(SOURCE, entry),
      ];
      await runTool(Deno.execPath(), args, { directory: SOURCE });
      installer.copy(output, bundlePath(installer.layout, name), "file");
    }
  } finally {
    Deno.removeSync(scratch, { recursive: true });
  }
}

/** Installs the runtime: a copy of the one that runs us. */
export function installRuntime(installer: Installer): void {
  installer.copy(Deno.execPath(), installer.layout.runtime, "program");
}

/** Installs `postern` and the programs that it is under other names. */
export async function installPrograms(installer: Installer, compile: boolean): Promise<Programs> {
  const why = compile ? await compileDispatcher(installer) : "--no-compile";
  const { layout } = installer;
  for (const program of layout.programs) {
    if (why !== undefined) installer.text(program.path, launcher(layout, program), "program");
    else if (program.name !== undefined) installer.link(layout.postern, program.path);
  }
  return why === undefined ? { kind: "compiled" } : { kind: "launchers", why };
}

/** Compiles the dispatcher and sees whether it runs; says why not. */
async function compileDispatcher(installer: Installer): Promise<string | undefined> {
  const { layout } = installer;
  const output = `${staged(layout, layout.postern)}.compiled`;
  const variables = `${output}.env`;
  installer.directory(join(layout.prefix, "sbin"));
  Deno.writeTextFileSync(variables, `MAIL_CONFIG=${layout.configDirectory}\n`);
  try {
    const made = await run(Deno.execPath(), compileArguments(layout, output, variables), {
      timeout: COMPILE_TIMEOUT,
    });
    if (made.status !== 0) {
      return `deno compile has no runtime for compiled programs: ${cause(made.errors)}`;
    }
    const tried = await run(output, [], { environment: {}, timeout: PROBE_TIMEOUT });
    if (tried.status !== USAGE_STATUS || !tried.errors.startsWith(USAGE_START)) {
      return `the compiled program does not run: status ${tried.status} ${cause(tried.errors)}`;
    }
    installer.adopt(output, layout.postern, "program");
    return undefined;
  } finally {
    for (const path of [variables, output]) await Deno.remove(path).catch(ignoreMissing);
  }
}

function compileArguments(layout: Layout, output: string, variables: string): string[] {
  return [
    "compile",
    "--quiet",
    "--no-check",
    "--allow-all",
    "--no-prompt",
    "--no-config",
    "--no-lock",
    "--no-remote",
    "--no-npm",
    `--env-file=${variables}`,
    "--output",
    output,
    staged(layout, bundlePath(layout, "postern")),
  ];
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

/** What went wrong and its innermost cause, without the stack that the runtime puts below. */
function cause(text: string): string {
  const [message = ""] = text.split("\nStack backtrace");
  const lines = message.split("\n").filter((line) => line.trim() !== "");
  const inner = lines.length > 1 ? `: ${lines.at(-1)!.trim().replace(/^[0-9]+: /, "")}` : "";
  return `${lines[0] ?? ""}${inner}`;
}

/** Command line of master in the installed runtime. */
export function masterCommand(layout: Layout): string[] {
  const code = bundledCode(layout.libexec);
  return [
    code.runtime,
    "run",
    ...trustedFlags(code, false),
    code.entry("master"),
    "-c",
    layout.configDirectory,
  ];
}

/** Environment of master in the installed runtime. */
export function masterEnvironment(layout: Layout): Readonly<Record<string, string>> {
  return daemonEnvironment(bundledCode(layout.libexec));
}

/**
 * A shell script that runs one of the programs. The environment decides a lot in the runtime, so nothing of the
 * caller's reaches it but what the programs read.
 */
export function launcher(layout: Layout, program: ProgramPlace): string {
  const code = bundledCode(layout.libexec);
  const environment = Object.entries(daemonEnvironment(code)).filter(([name]) => name !== "TZ");
  const words = [
    ...environment.map(([name, value]) => quote(`${name}=${value}`)),
    `"TZ=\${TZ:-:/etc/localtime}"`,
    `"MAIL_CONFIG=\${MAIL_CONFIG:-${layout.configDirectory}}"`,
    `\${NAME+"NAME=$NAME"}`,
    quote(code.runtime),
    ...["run", ...trustedFlags(code, false), code.entry("postern")].map(quote),
    ...(program.name === undefined ? [] : [quote(program.name)]),
    `"$@"`,
  ];
  return `#!/bin/sh
# Made by Postern's installer.
exec /usr/bin/env -i \\
  ${words.join(" \\\n  ")}
`;
}

/** A word of a shell command. */
function quote(word: string): string {
  return `'${word.split("'").join(`'\\''`)}'`;
}

/** Throws unless every entry point is there: nothing is half installed. */
export function checkSource(): void {
  for (const entry of entries().values()) {
    try {
      Deno.lstatSync(join(SOURCE, entry));
    } catch {
      throw new InstallError(`Cannot install: "${join(SOURCE, entry)}" is missing`);
    }
  }
}
