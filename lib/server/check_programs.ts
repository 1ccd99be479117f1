/**
 * What the configuration lets be run: programs of pipe services that are not there or would run as somebody who must
 * not run any, and default_privs.
 *
 * @module
 */
// Safe primitives
import { lookAt, realPath } from "../safe/file.ts";
import { findUser } from "../safe/process.ts";
// Utility
import { type Configuration, MAIN_FILE } from "../config/configuration.ts";
import { errorAt, type Problem, warningAt } from "../config/problem.ts";
// Server skeleton
import { hasSeparateUsers } from "./identity.ts";
import { pipeIdentity } from "./local_command.ts";

/** The problems of what is run for mail. */
export function findProgramProblems(configuration: Configuration): Problem[] {
  const separate = hasSeparateUsers(configuration);
  const problems: Problem[] = [];
  for (const { pipe, place } of configuration.services) {
    if (pipe === undefined) continue;
    const identity = separate ? pipeIdentity(configuration, pipe) : undefined;
    if (typeof identity === "string") {
      problems.push(errorAt(place, `"arguments": ${identity}`, "name another user"));
    }
    const [program = ""] = pipe.argv;
    const target = realPath(program);
    if (target !== undefined && lookAt(target)?.kind === "file") continue;
    problems.push(warningAt(place, `"arguments": program "${program}" is missing: mail for it will wait`));
  }
  return separate ? [...problems, ...defaultPrivileges(configuration)] : problems;
}

/** Commands and files of root's aliases have nobody to run as. */
function defaultPrivileges(configuration: Configuration): Problem[] {
  const { allow_mail_to_commands, allow_mail_to_files, default_privs } = configuration.settings;
  if (allow_mail_to_commands.length + allow_mail_to_files.length === 0) return [];
  const user = findUser(default_privs);
  const why = user === undefined ? "is no user" : user.uid === 0 || user.gid === 0 ? "is root" : undefined;
  if (why === undefined) return [];
  const place = configuration.place("default_privs") ??
    { file: `${configuration.directory}/${MAIN_FILE}`, line: 0 };
  const text = `"default_privs": "${default_privs}" ${why}: mail for commands and files of aliases will wait`;
  return [warningAt(place, text, "name a user who owns nothing")];
}
