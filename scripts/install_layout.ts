/**
 * Where everything of an installation is.
 *
 * @module
 */
import { join } from "node:path";
import type { Options } from "./install_options.ts";

/** Programs in sbin/ beside `postern` itself, by the names that Postfix gives them. */
const ADMINISTRATION = [
  "postalias",
  "postcat",
  "qshape",
  "postconf",
  "postlog",
  "postmap",
  "postqueue",
  "postsuper",
  "posttls-finger",
  "sendmail",
  "smtp-sink",
  "smtp-source",
] as const;
/** Programs in bin/, as Debian has them. */
const EVERYBODY = ["mailq", "newaliases"] as const;

/** An installed program. */
export interface ProgramPlace {
  /** Name of the program that the dispatcher runs, or undefined for the dispatcher itself. */
  readonly name: string | undefined;
  readonly path: string;
}

/** Absolute paths, as they are when the system runs: `staged` gives where they are now. */
export interface Layout {
  readonly root: string;
  readonly prefix: string;
  readonly configDirectory: string;
  readonly libexec: string;
  readonly runtime: string;
  readonly manifest: string;
  readonly units: string;
  /** The dispatcher, which the others are names of. */
  readonly postern: string;
  readonly programs: readonly ProgramPlace[];
}

/** The layout of an installation. */
export function makeLayout(options: Pick<Options, "root" | "prefix" | "configDirectory">): Layout {
  const { root, prefix, configDirectory } = options;
  const libexec = join(prefix, "libexec", "postern");
  const postern = join(prefix, "sbin", "postern");
  return {
    root,
    prefix,
    configDirectory,
    libexec,
    runtime: join(libexec, "deno"),
    manifest: join(libexec, "manifest.json"),
    units: join(prefix, "lib", "systemd", "system"),
    postern,
    programs: [
      { name: undefined, path: postern },
      ...ADMINISTRATION.map((name) => ({ name, path: join(prefix, "sbin", name) })),
      ...EVERYBODY.map((name) => ({ name, path: join(prefix, "bin", name) })),
    ],
  };
}

/** Where a path of the layout is while we install. */
export function staged(layout: Layout, path: string): string {
  return layout.root + path;
}

/** Bundle of a daemon or of the dispatcher ("postern"). */
export function bundlePath(layout: Layout, name: string): string {
  return join(layout.libexec, `${name}.js`);
}
