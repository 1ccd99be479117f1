/**
 * Code that is loaded by its path when a program runs. Permission: read on the path.
 *
 * @module
 */
/** What a module exports. It runs with the permissions of the process. */
export async function loadModule(path: string): Promise<{ readonly [name: string]: unknown }> {
  return await import(`file://${path.split("/").map(encodeURIComponent).join("/")}`);
}
