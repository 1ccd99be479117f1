/**
 * `postern import DIR`: reads the files of Postfix, writes those of Postern, checks them.
 *
 * @module
 */
// Safe primitives
import {
  ensureDirectory,
  lookAt,
  readBytesFile,
  readTextFile,
  realPath,
  replaceFile,
} from "../lib/safe/file.ts";
import { dirname } from "../lib/safe/path.ts";
// Utility
import { MAIN_FILE, MASTER_FILE } from "../lib/config/configuration.ts";
import { decodeText, encodeText } from "../lib/vstring/byte_builder.ts";
import { printable } from "../lib/vstring/printable.ts";
// Tables
import { TABLE_FILE_LIMIT } from "../lib/table/file_table.ts";
// Server skeleton
import { systemFacts } from "../lib/server/system_facts.ts";
// This program
import { run as runCheck } from "./check.ts";
import { type CommandEnv, CommandError, CONFIGURATION_LIMIT } from "./command.ts";
import { importConfiguration, type ImportedConfiguration } from "./import_configuration.ts";
import { parseMainCf, parseMasterCf } from "./import_source.ts";
import type { CopiedFile } from "./import_tables.ts";

/** Mode of the two files; whoever has secrets in them makes it stricter. */
const FILE_MODE = 0o644;

/** Makes a configuration of Postern; status 0 when it can be used. */
export async function takeConfigurationOver(given: string, env: CommandEnv): Promise<number> {
  const directory = realPath(given);
  const hasMain = directory !== undefined && lookAt(`${directory}/main.cf`)?.kind !== undefined;
  if (!hasMain) {
    throw new CommandError(`fatal: there is no main.cf in ${printable(given)}`);
  }
  const target = env.configDirectory;
  for (const name of [MAIN_FILE, MASTER_FILE]) {
    if (lookAt(`${target}/${name}`) === undefined) continue;
    throw new CommandError(`fatal: ${target}/${name} is there already: name another directory with -c`);
  }
  const imported = importFrom(directory, env);
  refuseOtherFiles(target, imported.copies);
  await writeAll(target, imported);
  env.out(imported.report.format());
  return await runCheck([], env);
}

function importFrom(directory: string, env: CommandEnv): ImportedConfiguration {
  const read = (name: string) => readTextFile(`${directory}/${name}`, CONFIGURATION_LIMIT);
  const main = parseMainCf(read("main.cf"), "main.cf");
  const master = parseMasterCf(read("master.cf"), "master.cf");
  const target = env.configDirectory;
  return importConfiguration(
    { directory, main, master, facts: systemFacts() },
    (mainToml, masterToml, copies) => {
      // Nothing is written yet: the loader gets the texts from here.
      const texts = new Map(copies.map(({ to, content }) => [`${target}/${to}`, decodeText(content)]));
      texts.set(`${target}/${MAIN_FILE}`, mainToml).set(`${target}/${MASTER_FILE}`, masterToml);
      return env.load(texts).problems;
    },
  );
}

/** A file that is there may be the same; another one is not overwritten. */
function refuseOtherFiles(target: string, copies: readonly CopiedFile[]): void {
  for (const { to, from, content } of copies) {
    const path = `${target}/${to}`;
    const stat = lookAt(path);
    if (stat === undefined) continue;
    const same = stat.kind === "file" && stat.size === content.length &&
      decodeText(readBytesFile(path, TABLE_FILE_LIMIT)) === decodeText(content);
    if (!same) throw new CommandError(`fatal: ${path} is there already, and is not ${from}`);
  }
}

/** Writes the copies first, so that a configuration that is there is whole. */
async function writeAll(target: string, { copies, main, master }: ImportedConfiguration): Promise<void> {
  ensureDirectory(target);
  for (const { to, content, mode } of copies) {
    ensureDirectory(dirname(`${target}/${to}`));
    await replaceFile(`${target}/${to}`, content, mode);
  }
  await replaceFile(`${target}/${MASTER_FILE}`, encodeText(master), FILE_MODE);
  await replaceFile(`${target}/${MAIN_FILE}`, encodeText(main), FILE_MODE);
}
