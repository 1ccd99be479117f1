/**
 * What Postern uses of `@std/cli`, with the real names, signatures and behaviour. Unlink it in deno.json and the
 * real package serves unchanged.
 *
 * @module
 */
export { type Args, parseArgs, type ParseOptions } from "./parse_args.ts";
