/**
 * What Postern uses of `@std/path`, with the real names and signatures, on Deno's built-in `node:path/posix`.
 * Unlink it in deno.json and the real package serves unchanged.
 *
 * @module
 */
export { basename, dirname, extname, isAbsolute, join, normalize, relative, resolve } from "node:path/posix";
