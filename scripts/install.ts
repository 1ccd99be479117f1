/**
 * NAME
 *   install - puts Postern into a system, or takes it out again
 *
 * DESCRIPTION
 *   `deno task install [OPTIONS]`, or `deno run -A scripts/install.ts [OPTIONS]`; `--help` lists the options. Makes
 *   the users `postern` and `postern-net` (or those that mail_owner and net_owner name), bundles each daemon and the
 *   dispatcher into PREFIX/libexec/postern with a copy of the runtime, installs a program for each name in PREFIX/sbin
 *   and PREFIX/bin, makes the queue with its modes and owners, copies the sample configuration where there is none,
 *   and writes systemd units into PREFIX/lib/systemd/system.
 *
 *   Programs are compiled where `deno compile` has its runtime (DENORT_BIN names it, or the network has it), and are
 *   launchers of the installed runtime otherwise; it says which, and why. Daemons are bundles always: their
 *   permissions follow from the configuration at each start, and those of a compiled program are fixed.
 *
 *   A second installation replaces the programs of the first and leaves configuration, queue and users alone.
 *   `--uninstall` removes what PREFIX/libexec/postern/manifest.json notes, and nothing else.
 *
 * SECURITY
 *   Needs root, unless it makes a package (`--root`) or installs for one user (`--no-users` and directories of his
 *   own). All code belongs to whoever installs, and no daemon can write it.
 *
 * DIAGNOSTICS
 *   One line `install: what is wrong`, status 1; 64 for a wrong command line.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { prepareQueue } from "../lib/server/prepare_queue.ts";
import type { Configuration } from "../lib/config/configuration.ts";
import { runningMaster } from "../commands/master_control.ts";
import { installSamples, readConfiguration } from "./install_configuration.ts";
import { exists, Installer, InstallError, removeInstalled } from "./install_files.ts";
import { type Layout, makeLayout, staged } from "./install_layout.ts";
import { type Options, parseOptions, USAGE, UsageError } from "./install_options.ts";
import { checkSource, installBundles, installPrograms, installRuntime } from "./install_programs.ts";
import { makeUnits } from "./install_units.ts";
import { checkUsers, ensureUser, findUser, removeUser } from "./install_users.ts";

const USAGE_STATUS = 64;
const DIRECTORY_MODE = 0o755;
/** Where systemd looks for units by itself. */
const UNIT_PATHS = ["/usr/local/lib/systemd/system", "/usr/lib/systemd/system"];

function say(text: string): void {
  console.log(`install: ${text}`);
}

/** Installs, or throws. */
async function install(options: Options, layout: Layout): Promise<void> {
  checkSource();
  for (const path of installSamples(layout, options.queueDirectory)) say(`sample configuration ${path}`);
  const configuration = readConfiguration(layout);
  const installer = new Installer(layout);
  if (options.users) await installUsers(configuration, installer);
  await installBundles(installer);
  installRuntime(installer);
  const programs = await installPrograms(installer, options.compile);
  for (const { name, text } of makeUnits(layout, configuration)) {
    installer.text(join(layout.units, name), text);
  }
  installer.finish();
  installQueue(configuration, layout);
  const why = programs.kind === "compiled" ? "" : ` (not compiled: ${programs.why})`;
  say(`programs in ${dirname(layout.postern)}: ${programs.kind}${why}`);
  say(`daemons in ${layout.libexec}: bundles, as their permissions are given to the runtime at each start`);
  if (options.root === "") advise(configuration, layout);
}

/** The users that the configuration names. */
function owners(configuration: Configuration): string[] {
  const { mail_owner, net_owner } = configuration.settings;
  return mail_owner === "" ? [] : [mail_owner, net_owner];
}

async function installUsers(configuration: Configuration, installer: Installer): Promise<void> {
  const purposes = ["Postern mail system", "Postern network daemons"];
  for (const [i, name] of owners(configuration).entries()) {
    if (!await ensureUser(name, purposes[i]!)) continue;
    installer.noteUser(name);
    say(`user ${name}`);
  }
  checkUsers(owners(configuration));
}

/** The queue and its directories. A package's belong to root until master starts: it mends owners. */
function installQueue(configuration: Configuration, layout: Layout): void {
  const queue = staged(layout, configuration.settings.queue_directory);
  if (!exists(queue)) {
    Deno.mkdirSync(queue, { recursive: true });
    Deno.chmodSync(queue, DIRECTORY_MODE);
  }
  const [name] = owners(configuration);
  const owner = name === undefined || layout.root !== "" || Deno.uid() !== 0 ? undefined : findUser(name);
  prepareQueue(queue, owner, { info: say });
}

/** What is left to do. */
function advise(configuration: Configuration, layout: Layout): void {
  if (runningMaster(configuration.settings.queue_directory) !== undefined) {
    say("the mail system is running with the old programs: restart it");
    return;
  }
  say(`start it with: ${layout.postern} start`);
  if (!exists("/run/systemd/system")) return;
  const unit = join(layout.units, "postern.service");
  const link = UNIT_PATHS.includes(layout.units) ? "systemctl daemon-reload" : `systemctl link ${unit}`;
  say(`or by systemd: ${link} && systemctl enable --now postern.service`);
}

/** Uninstalls, or throws. */
async function uninstall(options: Options, layout: Layout): Promise<void> {
  if (!exists(staged(layout, layout.manifest))) {
    throw new InstallError(`Cannot uninstall: there is no "${staged(layout, layout.manifest)}"`);
  }
  if (options.root === "") refuseRunning(layout);
  const { files, users } = removeInstalled(layout);
  say(`${files.length} files removed; configuration, queue and mail are where they were`);
  if (!options.purgeUsers) return;
  for (const name of users) {
    await removeUser(name);
    say(`user ${name} removed`);
  }
}

/** Throws while the mail system runs: its next daemon would be missing. */
function refuseRunning(layout: Layout): void {
  if (!exists(join(layout.configDirectory, "main.toml"))) return;
  const queue = readConfiguration(layout).settings.queue_directory;
  if (exists(queue) && runningMaster(queue) !== undefined) {
    throw new InstallError(`Cannot uninstall: the mail system is running: ${layout.postern} stop`);
  }
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = parseOptions(args);
    const layout = makeLayout(options);
    if (options.action === "help") console.log(USAGE);
    else if (options.action === "uninstall") await uninstall(options, layout);
    else await install(options, layout);
    return 0;
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`install: ${error.message}\n\n${USAGE}`);
      return USAGE_STATUS;
    }
    if (!(error instanceof InstallError) && !isSystemError(error)) throw error;
    console.error(`install: ${error.message}`);
    return 1;
  }
}

/** An error of the system has a text for people. */
function isSystemError(error: unknown): error is Error {
  return error instanceof Error && (error.message.startsWith("Cannot ") || "code" in error);
}

if (import.meta.main) Deno.exit(await main(Deno.args));
