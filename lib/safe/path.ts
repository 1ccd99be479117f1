/**
 * Path handling: the only importer of `@std/path`.
 *
 * @module
 */
export { basename, dirname, isAbsolute, join, normalize, relative, resolve } from "@std/path";

/** The path without the slashes at its end; empty for the root folder. */
export function withoutSlashes(path: string): string {
  let end = path.length;
  while (end > 0 && path[end - 1] === "/") end--;
  return path.slice(0, end);
}
