/**
 * What a spawn service runs, and as whom: from its entry in master.toml.
 *
 * @module
 */
// Safe primitives
import { ownGid, ownUid } from "../safe/process.ts";
// Utility
import { type Configuration, type ServiceEntry, settingsFor } from "../config/configuration.ts";
import { PARAMETER_NAMES } from "../config/parameters.ts";
import { transportParameter } from "../config/transport.ts";
// Server skeleton
import type { ProgramTask } from "./boot.ts";
import { hasSeparateUsers } from "./identity.ts";
import { exportedEnvironment, pipeIdentity } from "./local_command.ts";

/** The task; undefined where the entry names no program or nobody to run it, which master says at its start. */
export function programTask(configuration: Configuration, entry: ServiceEntry): ProgramTask | undefined {
  const { pipe, name } = entry;
  if (pipe === undefined) return undefined;
  const settings = settingsFor(configuration, entry, PARAMETER_NAMES);
  // Without separate users there is one identity, ours.
  const identity = hasSeparateUsers(configuration)
    ? pipeIdentity(configuration, pipe)
    : { uid: ownUid(), gid: ownGid() };
  if (typeof identity === "string") return undefined;
  return {
    kind: "program",
    program: pipe.argv[0]!,
    args: pipe.argv.slice(1),
    environment: exportedEnvironment(settings.export_environment),
    timeLimit: transportParameter(settings, name, "time_limit"),
    ...identity,
  };
}
