/**
 * Where the programs' code is: the source tree in a trial, bundles in an installation.
 *
 * @module
 */
import { lookAt } from "../safe/file.ts";
import { dirname, join } from "../safe/path.ts";
import { environmentVariable } from "../safe/process.ts";
import type { CodeLocation } from "./hardening.ts";

/** Name of the package map at the top of the source tree. */
const PACKAGES = "deno.json";

/** The root of the tree that this module was loaded from: the source, or the installation's bundles. */
export function codeRoot(): string {
  return join(dirname(new URL(import.meta.url).pathname), "..", "..");
}

/**
 * Finds the code of the daemons. An installation sets POSTERN_LIBEXEC to the folder of its bundles, one
 * `<command>.js` each; without it the source tree serves.
 */
export function locateCode(runtime: string): CodeLocation {
  const bundles = environmentVariable("POSTERN_LIBEXEC");
  const home = environmentVariable("HOME") ?? "/root";
  // The runtime's own rule: where the packages were put that the daemons must find.
  const cache = environmentVariable("DENO_DIR") ??
    `${environmentVariable("XDG_CACHE_HOME") ?? `${home}/.cache`}/deno`;
  if (bundles !== undefined) {
    return { runtime, cache, packages: undefined, entry: (command) => join(bundles, `${command}.js`) };
  }
  const root = codeRoot();
  const packages = join(root, PACKAGES);
  if (lookAt(packages) === undefined) throw new Error(`Cannot find the code: "${packages}" is missing`);
  return { runtime, cache, packages, entry: (command) => join(root, "daemons", command, "main.ts") };
}
