import assert from "node:assert/strict";
import { PARAMETER_NAMES } from "../../../lib/config/parameters.ts";
import { splitTransportParameter, TRANSPORT_PARAMETERS } from "../../../lib/config/transport.ts";

/** Rows that only other parameters' texts refer to, so that no program names them. */
const FOR_EXPANSION: ReadonlySet<string> = new Set([
  "config_directory",
  "default_database_type",
  "default_delivery_status_filter",
]);

/** The words of every program text below a directory, the parameter table itself left out. */
function wordsBelow(directory: string, words: Set<string>): void {
  for (const entry of Deno.readDirSync(directory)) {
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory) wordsBelow(path, words);
    else if (path.endsWith(".ts") && !/lib\/config\/(parameters|postfix_rows_[a-z_]+)\.ts$/.test(path)) {
      for (const [word] of Deno.readTextFileSync(path).matchAll(/\w+/g)) words.add(word);
    }
  }
}

Deno.test("every parameter of the table is used by a program: none is accepted and ignored", () => {
  const words = new Set<string>();
  for (const directory of ["commands", "daemons", "lib"]) {
    wordsBelow(new URL(`../../../${directory}`, import.meta.url).pathname, words);
  }
  // A transport's parameter is asked for by its suffix, as destination_rate_delay.
  const isUsed = (name: string) => {
    const suffix = words.has(name) ? undefined : splitTransportParameter(name)?.suffix;
    return words.has(suffix === undefined ? name : TRANSPORT_PARAMETERS[suffix]);
  };
  const unused = PARAMETER_NAMES.filter((name) => !isUsed(name) && !FOR_EXPANSION.has(name));
  assert.deepEqual(unused, []);
});
