/**
 * The sample configuration, for a system that has none, and what an installation needs to know of the one there is.
 *
 * @module
 */
import { join } from "node:path";
import { type Configuration, loadConfiguration } from "../lib/config/configuration.ts";
import { PARAMETERS } from "../lib/config/parameters.ts";
import { formatProblem } from "../lib/config/problem.ts";
import { systemFacts } from "../lib/server/system_facts.ts";
import { COMMANDS } from "../daemons/services.ts";
import { exists, InstallError } from "./install_files.ts";
import { type Layout, staged } from "./install_layout.ts";

const SAMPLES = join(import.meta.dirname!, "..", "conf");
const MAIN = "main.toml";
const FILES = [MAIN, "master.toml", "aliases", "bounce.cf.default", "expect.toml", "transport", "virtual"];
const FILE_MODE = 0o644;
const DIRECTORY_MODE = 0o755;
/** Where the sample says who we are: parameters that the installer sets stand before it. */
const FIRST_SECTION = "# WHO WE ARE\n";

/** Copies the sample files that are not there; gives the paths of those that it copied. */
export function installSamples(layout: Layout, queueDirectory: string): string[] {
  const directory = staged(layout, layout.configDirectory);
  if (!exists(directory)) {
    Deno.mkdirSync(directory, { recursive: true });
    Deno.chmodSync(directory, DIRECTORY_MODE);
  }
  // Whoever has a main.toml has chosen his tables: a sample beside them would only look as if it counted.
  if (exists(join(directory, MAIN))) return [];
  const copied: string[] = [];
  for (const name of FILES) {
    const path = join(directory, name);
    if (exists(path)) continue;
    const sample = Deno.readTextFileSync(join(SAMPLES, name));
    const text = name === MAIN ? adjustMain(sample, queueDirectory) : sample;
    Deno.writeTextFileSync(path, text, { createNew: true, mode: FILE_MODE });
    Deno.chmodSync(path, FILE_MODE);
    copied.push(join(layout.configDirectory, name));
  }
  return copied;
}

/** The sample with the queue where it is to be. */
function adjustMain(sample: string, queueDirectory: string): string {
  if (queueDirectory === PARAMETERS.queue_directory.default) return sample;
  const at = sample.indexOf(FIRST_SECTION);
  if (at < 0) {
    throw new InstallError(`Cannot adjust sample ${MAIN}: it has no line "${FIRST_SECTION.slice(0, -1)}"`);
  }
  const line = `# Where the queue is.\nqueue_directory = "${queueDirectory}"\n\n`;
  return sample.slice(0, at) + line + sample.slice(at);
}

/** Loads the configuration; throws with its errors when it cannot be used. */
export function readConfiguration(layout: Layout): Configuration {
  const directory = staged(layout, layout.configDirectory);
  const { configuration, problems } = loadConfiguration(directory, systemFacts(), {
    readText: (path) => Deno.readTextFileSync(path),
    commands: COMMANDS,
  });
  const errors = problems.filter((problem) => problem.severity === "error");
  if (configuration !== undefined && errors.length === 0) return configuration;
  const lines = errors.map((problem) => `\n${formatProblem(problem)}`).join("");
  throw new InstallError(`Cannot install: configuration in ${directory} cannot be used${lines}`);
}
