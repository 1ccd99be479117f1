/**
 * Putting files into place and taking them away again. Whatever is put there is noted in a manifest, and nothing but
 * what is noted there is ever removed.
 *
 * @module
 */
import { dirname, normalize } from "node:path";
import { type Layout, staged } from "./install_layout.ts";

/** The installation cannot be made, for a reason that the user can mend. */
export class InstallError extends Error {
  override name = "InstallError";
}

/** What an installation put where. */
export interface Manifest {
  readonly files: readonly string[];
  /** Directories that it made. */
  readonly directories: readonly string[];
  /** Users that it made. */
  readonly users: readonly string[];
}

const NOTHING: Manifest = { files: [], directories: [], users: [] };

const FILE_MODE = 0o644;
const PROGRAM_MODE = 0o755;
const DIRECTORY_MODE = 0o755;

/** Reads the manifest of an earlier installation; an empty one when there was none. */
export function readManifest(layout: Layout): Manifest {
  const path = staged(layout, layout.manifest);
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return NOTHING;
    throw error;
  }
  const value = JSON.parse(text) as Partial<Manifest>;
  const { files, directories, users } = value;
  if (!isTexts(files) || !isTexts(directories) || !isTexts(users)) {
    throw new InstallError(`Cannot read manifest "${path}": it is damaged`);
  }
  // A damaged manifest must not make us remove what is not ours.
  const stranger = files.find((path) => !isBelow(path, layout)) ??
    directories.find((path) => path !== layout.prefix && !isBelow(path, layout));
  if (stranger !== undefined) {
    throw new InstallError(`Cannot use manifest "${path}": "${stranger}" is not below ${layout.prefix}`);
  }
  return { files, directories, users };
}

function isBelow(path: string, layout: Layout): boolean {
  return path.startsWith(`${layout.prefix}/`) && normalize(path) === path && !path.endsWith("/");
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}

/** Puts files into place, owned by whoever installs: root, so that no daemon can change them. */
export class Installer {
  readonly layout: Layout;
  readonly #old: Manifest;
  readonly #files = new Set<string>();
  readonly #directories: Set<string>;
  readonly #users: Set<string>;

  constructor(layout: Layout) {
    this.layout = layout;
    this.#old = readManifest(layout);
    this.#directories = new Set(this.#old.directories);
    this.#users = new Set(this.#old.users);
  }

  /** Makes a directory and those above it. */
  directory(path: string): void {
    if (exists(staged(this.layout, path))) return;
    this.directory(dirname(path));
    Deno.mkdirSync(staged(this.layout, path));
    Deno.chmodSync(staged(this.layout, path), DIRECTORY_MODE);
    if (path === this.layout.prefix || isBelow(path, this.layout)) this.#directories.add(path);
  }

  /** Writes a text file. */
  text(path: string, text: string, kind: "file" | "program" = "file"): void {
    this.#replace(path, kind, (temporary) => Deno.writeTextFileSync(temporary, text));
  }

  /** Copies a file. */
  copy(from: string, path: string, kind: "file" | "program"): void {
    // A copy by reading: the new file is ours, whoever owns the other.
    this.#replace(path, kind, (temporary) => Deno.writeFileSync(temporary, Deno.readFileSync(from)));
  }

  /** Puts one file under a second name. */
  link(from: string, path: string): void {
    this.#replace(path, "program", (temporary) => {
      try {
        Deno.linkSync(staged(this.layout, from), temporary);
      } catch (error) {
        // On another file system, or on one without hard links.
        if (error instanceof Deno.errors.NotFound) throw error;
        Deno.copyFileSync(staged(this.layout, from), temporary);
      }
    });
  }

  /** Notes a file that another program puts at the path, and sets its mode. */
  adopt(temporary: string, path: string, kind: "file" | "program"): void {
    this.#replace(path, kind, (name) => Deno.renameSync(temporary, name));
  }

  /** Notes a user that was made. */
  noteUser(name: string): void {
    this.#users.add(name);
  }

  /** Removes what an earlier installation had and this one has not, and writes the manifest. */
  finish(): void {
    for (const path of this.#old.files) if (!this.#files.has(path)) remove(staged(this.layout, path));
    const manifest: Manifest = {
      files: [...this.#files].sort(),
      directories: [...this.#directories].sort(),
      users: [...this.#users].sort(),
    };
    this.text(this.layout.manifest, JSON.stringify(manifest, undefined, 1) + "\n");
  }

  /** A new file takes the place of an old one at once: a program that runs from the old one goes on undisturbed. */
  #replace(path: string, kind: "file" | "program", make: (temporary: string) => void): void {
    this.directory(dirname(path));
    const target = staged(this.layout, path);
    const temporary = `${target}.new`;
    remove(temporary);
    make(temporary);
    Deno.chmodSync(temporary, kind === "program" ? PROGRAM_MODE : FILE_MODE);
    Deno.renameSync(temporary, target);
    if (path !== this.layout.manifest) this.#files.add(path);
  }
}

/** Removes what the manifest names; directories only when nothing else is in them. Gives what was there. */
export function removeInstalled(layout: Layout): Manifest {
  const manifest = readManifest(layout);
  for (const path of manifest.files) remove(staged(layout, path));
  remove(staged(layout, layout.manifest));
  // Deeper ones first.
  for (const path of [...manifest.directories].sort().reverse()) {
    try {
      Deno.removeSync(staged(layout, path));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound) && !isNotEmpty(error)) throw error;
    }
  }
  return manifest;
}

function isNotEmpty(error: unknown): boolean {
  return (error as { code?: unknown }).code === "ENOTEMPTY";
}

/** True when there is something of this name, a link that leads nowhere included. */
export function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function remove(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
