/**
 * Path handling: the only importer of `@std/path`.
 *
 * @module
 */
export { basename, dirname, isAbsolute, join, normalize, relative, resolve } from "@std/path";
