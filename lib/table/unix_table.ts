/**
 * unix:passwd.byname and unix:group.byname: the lines of /etc/passwd and /etc/group by their first field. The files
 * themselves are read: users that only a directory service knows are not found.
 *
 * @module
 */
// Tables
import type { Warn } from "./table.ts";

/** The names behind `unix:` and the files that they stand for. */
export const UNIX_FILES: Readonly<Record<string, string>> = {
  "passwd.byname": "/etc/passwd",
  "group.byname": "/etc/group",
};

/** Lines by name. The first of several equal names stands, as for getpwnam(3). */
export function parseUnixFile(text: string, path: string, warn: Warn): Map<string, string> {
  const fields = path === UNIX_FILES["passwd.byname"] ? 7 : 4;
  const content = new Map<string, string>();
  text.split("\n").forEach((line, index) => {
    // `+` and `-` begin the entries of NIS compatibility, which is not supported.
    if (line === "" || line.startsWith("#") || line.startsWith("+") || line.startsWith("-")) return;
    const parts = line.split(":");
    const name = parts[0]!;
    if (parts.length !== fields || name === "") {
      warn({ file: path, line: index + 1, text: `expected ${fields} fields separated by colons` });
    } else if (!content.has(name)) content.set(name, line);
  });
  return content;
}
