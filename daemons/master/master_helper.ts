/**
 * Whether a mailbox helper may be started: the request of local or virtual is checked against the configuration and
 * the password file, so that a daemon that was taken over can reach no more than the mailboxes that it delivers to.
 */
import type { Configuration } from "../../lib/config/configuration.ts";
import { lookAt } from "../../lib/safe/file.ts";
import { dirname, isAbsolute, normalize, withoutSlashes } from "../../lib/safe/path.ts";
import { findUser, ownGid, ownUid } from "../../lib/safe/process.ts";
import type { AnyHelperTask, HelperTask, SharedHelperTask } from "../../lib/server/boot.ts";
import { hasSeparateUsers } from "../../lib/server/identity.ts";

const GROUP_WRITE = 0o020;
/** Longest mailbox path, bytes. */
const PATH_LIMIT = 4000;
/** Largest user or group number. */
const ID_MOST = 0x7fffffff;

/** The settings as the service that asks has them. */
export type Configured = Pick<Configuration, "settings">;

/** The task in a request as it may be carried out, or why not. */
export type Checked = { readonly kind: "allowed"; readonly task: AnyHelperTask } | {
  readonly kind: "refused";
  readonly why: string;
};

/**
 * Checks a request that a child sent: nothing in it is believed.
 *
 * @param command program of the child that asks
 * @param request the task as it came, of any form
 */
export function checkHelperTask(command: string, request: unknown, configuration: Configured): Checked {
  const task = toTask(request);
  if (task === undefined) return refused("request is malformed");
  if (
    !isAbsolute(task.path) || normalize(task.path) !== task.path || task.path.endsWith("/") ||
    task.path.includes("\0")
  ) {
    return refused(`path "${task.path}" is not absolute and plain`);
  }
  if (task.path.includes(",")) {
    return refused(`path "${task.path}" has a comma, which no flag of the runtime can name`);
  }
  const separate = hasSeparateUsers(configuration);
  const why = task.kind === "mailboxes"
    ? checkShared(command, task, configuration, separate)
    : command === "local"
    ? checkLocal(task, configuration, separate)
    : checkVirtual(task, configuration, separate);
  if (why !== undefined) return refused(why);
  // Without separate users there is one identity, ours, whatever was asked for.
  const identity = separate ? spoolGroup(task) : { uid: ownUid(), gid: ownGid() };
  return { kind: "allowed", task: { ...task, ...identity } };
}

/** In a spool directory that its group may write, as Debian's /var/mail, the lock file is made with that group. */
function spoolGroup(task: HelperTask | SharedHelperTask): { readonly gid?: number } {
  if (task.kind !== "mailbox" || task.format !== "mbox") return {};
  const directory = lookAt(dirname(task.path));
  const groupWrites = directory?.kind === "directory" && (directory.mode & GROUP_WRITE) !== 0;
  return groupWrites && directory.gid !== 0 ? { gid: directory.gid } : {};
}

function refused(why: string): Checked {
  return { kind: "refused", why: `Cannot start mailbox helper: ${why}` };
}

function toTask(request: unknown): HelperTask | SharedHelperTask | undefined {
  if (typeof request !== "object" || request === null) return undefined;
  const { kind, path, format, user, uid, gid } = request as Record<string, unknown>;
  if (typeof path !== "string" || path.length > PATH_LIMIT || !isId(uid) || !isId(gid)) return undefined;
  if (kind === "mailboxes") return { kind, path, uid, gid };
  const formatOk = format === "maildir" || format === "mbox";
  if (kind !== "mailbox" || !formatOk || typeof user !== "string") return undefined;
  return { kind, path, format, user, uid, gid };
}

/** A number beyond 32 bits would be cut on its way into the system: 2 to the 32nd power is root. */
function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= ID_MOST;
}

function stripSlash(path: string): string {
  return path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
}

/** local: the user's own spool file or home mailbox, under the user's own identity. */
function checkLocal(task: HelperTask, configuration: Configured, separate: boolean): string | undefined {
  const user = findUser(task.user);
  if (user === undefined) return `there is no user "${task.user}"`;
  if (separate && user.uid === 0) return "root has no mailbox";
  if (user.uid !== task.uid || user.gid !== task.gid) return `uid and gid are not those of "${task.user}"`;
  const { home_mailbox, mail_spool_directory } = configuration.settings;
  const expected = home_mailbox === ""
    ? `${stripSlash(mail_spool_directory)}/${task.user}`
    : `${stripSlash(user.home)}/${stripSlash(home_mailbox)}`;
  if (task.path !== expected) return `"${task.path}" is not the mailbox of "${task.user}"`;
  return undefined;
}

/** virtual: below virtual_mailbox_base, with a uid that is no system user's. */
function checkVirtual(task: HelperTask, configuration: Configured, separate: boolean): string | undefined {
  const { virtual_mailbox_base, virtual_minimum_uid } = configuration.settings;
  if (virtual_mailbox_base === "") return "virtual_mailbox_base is not set";
  const base = `${stripSlash(virtual_mailbox_base)}/`;
  if (!task.path.startsWith(base)) return `"${task.path}" is not below virtual_mailbox_base`;
  return separate ? checkIds(task, virtual_minimum_uid) : undefined;
}

/** virtual_mailbox_shared_helper: the base and nothing else, for virtual alone, and only where it is wanted. */
function checkShared(
  command: string,
  task: SharedHelperTask,
  { settings }: Configured,
  separate: boolean,
): string | undefined {
  if (command !== "virtual" || !settings.virtual_mailbox_shared_helper) {
    return "virtual_mailbox_shared_helper is not set";
  }
  const base = settings.virtual_mailbox_base;
  if (base === "" || task.path !== withoutSlashes(base)) return `"${task.path}" is not virtual_mailbox_base`;
  return separate ? checkIds(task, settings.virtual_minimum_uid) : undefined;
}

/** No system user's uid, and not root's group. */
function checkIds({ uid, gid }: HelperTask | SharedHelperTask, leastUid: number): string | undefined {
  if (uid < leastUid) return `uid ${uid} is less than virtual_minimum_uid`;
  return gid === 0 ? "gid is 0" : undefined;
}
