/**
 * Which user a daemon runs as.
 *
 * @module
 */
import type { Configuration } from "../config/configuration.ts";
import { findUser, ownUid } from "../safe/process.ts";
import type { Service } from "./service.ts";

/** Both numbers, always: a uid alone would leave our own group. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
}

/** True when master is root and gives each domain of trust a user of its own; false in the trial and in tests. */
export function hasSeparateUsers(configuration: Pick<Configuration, "settings">): boolean {
  return ownUid() === 0 && configuration.settings.mail_owner !== "";
}

/**
 * The identity of a daemon's processes, or undefined when it is our own.
 *
 * @param recipient the identity of a helper, which depends on its task
 */
export function serviceIdentity(
  configuration: Configuration,
  runAs: Service["runAs"],
  recipient?: Identity,
): Identity | undefined {
  if (!hasSeparateUsers(configuration)) return undefined;
  if (runAs === "recipient") {
    if (recipient === undefined) throw new Error("Cannot start helper: nobody said for whom");
    return { uid: recipient.uid, gid: recipient.gid };
  }
  const { mail_owner, net_owner } = configuration.settings;
  const name = runAs === "postern" ? mail_owner : net_owner;
  const user = findUser(name);
  if (user === undefined) throw new Error(`Cannot start process: there is no user "${name}"`);
  return { uid: user.uid, gid: user.gid };
}
