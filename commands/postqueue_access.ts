/**
 * Who may look at the queue and ask for deliveries.
 *
 * @module
 */
// Safe primitives
import { lookAt } from "../lib/safe/file.ts";
import { findLogin } from "../lib/safe/login.ts";
import { findUser, ownUid } from "../lib/safe/process.ts";
// Utility
import { listSubject, type MatchList, matchList, parseList } from "../lib/table/match_list.ts";
import { openTableSoftly } from "../lib/table/open.ts";
// This program
import { CommandError } from "./command.ts";
import { EX } from "./sysexits.ts";

/** Parameters that say who owns the queue. */
export interface QueueOwnerSettings {
  readonly mail_owner: string;
  readonly queue_directory: string;
}

/** Parameters that decide. */
export interface AccessSettings extends QueueOwnerSettings {
  readonly authorized_flush_users: readonly string[];
  readonly authorized_mailq_users: readonly string[];
}

/** Who runs the command. */
export interface QueueUser {
  readonly uid: number;
  readonly name: string;
}

/** The user of this process. */
export function currentUser(): QueueUser {
  const uid = ownUid();
  return { uid, name: findLogin(uid)?.name ?? "unknown" };
}

/** True for the superuser and for the queue's owner. */
export function isPrivileged({ uid }: Pick<QueueUser, "uid">, settings: QueueOwnerSettings): boolean {
  if (uid === 0 || lookAt(settings.queue_directory)?.uid === uid) return true;
  return settings.mail_owner !== "" && findUser(settings.mail_owner)?.uid === uid;
}

/** Throws unless the list has the user; who is privileged needs no mention in it. */
export async function authorize(
  parameter: "authorized_mailq_users" | "authorized_flush_users",
  action: "view" | "flush",
  settings: AccessSettings,
  user: QueueUser,
): Promise<void> {
  if (isPrivileged(user, settings)) return;
  const list = parseList(settings[parameter], {
    kind: "string",
    parents: "plain",
    name: parameter,
    open: (spec) => openTableSoftly(spec),
  });
  if (await listHas(list, "string", user.name)) return;
  throw new CommandError(
    `fatal: User ${user.name}(${user.uid}) is not allowed to ${action} the mail queue`,
    EX.NOPERM,
  );
}

/** True when the list has the name; a table that cannot be asked is an error, not a no. */
export async function listHas(list: MatchList, kind: "string" | "domain", name: string): Promise<boolean> {
  const outcome = await matchList(list, listSubject(kind, name));
  if (outcome.kind === "retry") throw new CommandError(`fatal: ${outcome.why}`, EX.TEMPFAIL);
  return outcome.kind === "found";
}
