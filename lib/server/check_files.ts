/**
 * Who may change the files that a configuration stands on: whoever can decides where mail goes.
 *
 * @module
 */
// Safe primitives
import { lookAt, realPath } from "../safe/file.ts";
import { ownUid } from "../safe/process.ts";
// Utility
import { type Configuration, MAIN_FILE, MASTER_FILE } from "../config/configuration.ts";
import { PARAMETER_NAMES, PARAMETERS } from "../config/parameters.ts";
import { type Problem, warningAt } from "../config/problem.ts";
// Tables
import { tableFiles } from "../table/table_files.ts";
// Server skeleton
import { EXPECT_FILE } from "./expectations.ts";

/** Permission to write for the group or for others. */
const WRITABLE = 0o022;

/** Warns of files that others than root and we ourselves may change. */
export function findUnsafeFiles(configuration: Configuration): Problem[] {
  return configurationFiles(configuration).flatMap((path) => {
    const stat = lookAt(realPath(path) ?? path);
    // What is missing is said by whoever opens it; devices and pipes are their makers' business.
    if (stat?.kind !== "file") return [];
    const place = { file: path, line: 0 };
    if (stat.uid !== 0 && stat.uid !== ownUid()) {
      const text = `belongs to user ${stat.uid}, who can decide about mail by changing it`;
      return [warningAt(place, text, "chown it to root")];
    }
    if ((stat.mode & WRITABLE) === 0) return [];
    const who = (stat.mode & 0o002) === 0 ? "its group" : "everybody";
    return [warningAt(place, `${who} can decide about mail by changing it`, "chmod go-w")];
  });
}

/** Every file that the configuration is read from, each once. */
function configurationFiles(configuration: Configuration): string[] {
  const { directory, settings, listFiles } = configuration;
  const own = [MAIN_FILE, MASTER_FILE, EXPECT_FILE].map((name) => `${directory}/${name}`);
  const tables = PARAMETER_NAMES.filter((name) => ["tables", "list"].includes(PARAMETERS[name].type))
    .flatMap((name) => tableFiles(settings[name] as readonly string[]));
  return [...new Set([...own, ...listFiles.map(({ path }) => path), ...tables])];
}
