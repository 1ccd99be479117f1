/**
 * Where the programs' code is: the source tree in a trial, bundles in an installation.
 *
 * @module
 */
import { lookAt } from "../safe/file.ts";
import { dirname, join } from "../safe/path.ts";
import { environmentVariable, isStandalone, runtimePath } from "../safe/process.ts";
import type { CodeLocation } from "./hardening.ts";

/** Name of the package map at the top of the source tree. */
const PACKAGES = "deno.json";
/** An installation's bundles, seen from the folder of a compiled program. */
const BUNDLES_FROM_PROGRAM = ["..", "libexec", "postern"];
/** The runtime among the bundles. */
const BUNDLED_RUNTIME = "deno";
/**
 * In the place of the module cache for bundles, which need none: below it nobody can make a file, not even root, so
 * nothing that a runtime left there can come back into another one.
 */
const NO_CACHE = "/dev/null";

/** The root of the source tree that this module was loaded from; there is none in an installation. */
export function codeRoot(): string {
  return join(import.meta.dirname!, "..", "..");
}

/**
 * The folder of an installation's bundles, one `<command>.js` each, or undefined in a source tree. It follows from
 * where this very code was loaded from, not from the environment: nobody can point a privileged program elsewhere.
 */
function bundleFolder(): string | undefined {
  if (isStandalone()) return join(dirname(runtimePath()), ...BUNDLES_FROM_PROGRAM);
  return import.meta.filename!.endsWith(".ts") ? undefined : import.meta.dirname!;
}

/** The code of an installation whose bundles are in a folder. */
export function bundledCode(bundles: string): CodeLocation {
  return {
    runtime: join(bundles, BUNDLED_RUNTIME),
    cache: NO_CACHE,
    packages: undefined,
    entry: (command) => join(bundles, `${command}.js`),
  };
}

/**
 * Finds the code of the daemons.
 *
 * @param runtime the program that runs us; an installation has its own
 */
export function locateCode(runtime: string): CodeLocation {
  const bundles = bundleFolder();
  if (bundles !== undefined) return bundledCode(bundles);
  const home = environmentVariable("HOME") ?? "/root";
  // The runtime's own rule: where the packages were put that the daemons must find.
  const cache = environmentVariable("DENO_DIR") ??
    `${environmentVariable("XDG_CACHE_HOME") ?? `${home}/.cache`}/deno`;
  const root = codeRoot();
  const packages = join(root, PACKAGES);
  if (lookAt(packages) === undefined) throw new Error(`Cannot find the code: "${packages}" is missing`);
  return { runtime, cache, packages, entry: (command) => join(root, "daemons", command, "main.ts") };
}
