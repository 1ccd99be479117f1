/**
 * Puts a state of a crash on a real disk, for a recovery to work on.
 *
 * @module
 */
// Safe primitives
import { ensureDirectory, linkFile, makeDirectory, safeCreate, setFileMode } from "../lib/safe/file.ts";
import { dirname } from "../lib/safe/path.ts";
// This program
import type { DiskState } from "./crash_disk.ts";

/**
 * Writes a state below a directory.
 *
 * @param from the directory of the run, as its paths name it
 * @param to the directory that is to be like it
 */
export function writeState({ entries }: DiskState, from: string, to: string): void {
  const written = new Map<number, string>();
  for (const [path, entry] of entries) {
    if (path !== from && !path.startsWith(`${from}/`)) continue;
    const target = to + path.slice(from.length);
    ensureDirectory(dirname(target));
    if (entry.kind === "directory") {
      if (!makeDirectory(target, entry.mode)) setFileMode(target, entry.mode);
      continue;
    }
    const first = written.get(entry.file);
    if (first !== undefined) {
      linkFile(first, target);
      continue;
    }
    written.set(entry.file, target);
    const made = safeCreate(target, entry.mode);
    if (made.kind === "exists") throw new Error(`Cannot write "${target}": name is taken`);
    using file = made.file;
    file.write(entry.content);
    setFileMode(target, entry.mode);
  }
}
