/**
 * What Postern uses of `@std/toml`, with the real names, signatures and behaviour: `parse` on the npm package
 * smol-toml, `stringify` on nothing. Unlink it in deno.json and the real package serves unchanged.
 *
 * @module
 */
export { parse } from "./parse.ts";
export { stringify, type StringifyOptions } from "./stringify.ts";
