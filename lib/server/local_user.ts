/**
 * Local users: a line of the password file, and where the user's mailbox is.
 *
 * @module
 */
// Utility
import { parseDecimal } from "../vstring/ascii.ts";
// Server skeleton
import { type HelperTask } from "./boot.ts";

/** What mail delivery needs to know of a user. */
export interface LocalUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

/** Largest user and group id of Linux. */
const ID_MOST = 0xfffffffe;

/** The user of a line of passwd(5), or undefined when it is malformed. */
export function parseUser(line: string): LocalUser | undefined {
  const [name = "", , uid = "", gid = "", , home = "", shell = ""] = line.split(":");
  const user = parseDecimal(uid, ID_MOST);
  const group = parseDecimal(gid, ID_MOST);
  if (name === "" || user === undefined || group === undefined) return undefined;
  return { name, uid: user, gid: group, home, shell };
}

/** Parameters that say where mailboxes are. */
export interface MailboxSettings {
  readonly home_mailbox: string;
  readonly mail_spool_directory: string;
}

/** The mailbox of a user, or why there is none that may be used. */
export type UserMailbox =
  | { readonly kind: "mailbox"; readonly task: HelperTask }
  | { readonly kind: "none"; readonly why: string };

/** Where a user's mail goes: home_mailbox below the home directory, or the user's name in mail_spool_directory. */
export function userMailbox(user: LocalUser, settings: MailboxSettings): UserMailbox {
  // A process of root that writes below a directory of somebody else is an invitation. Postfix's documentation
  // asks for an alias as well.
  if (user.uid === 0) return { kind: "none", why: `user "${user.name}" is root: it needs an alias` };
  if (!isPlainName(user.name)) return { kind: "none", why: `user name "${user.name}" is no file name` };
  const { home_mailbox: homeMailbox, mail_spool_directory: spool } = settings;
  if (homeMailbox === "") return mailbox(user, `${withoutSlash(spool)}/${user.name}`, spool.endsWith("/"));
  if (!user.home.startsWith("/")) return { kind: "none", why: `user "${user.name}" has no home directory` };
  const isMaildir = homeMailbox.endsWith("/");
  return mailbox(user, `${withoutSlash(user.home)}/${withoutSlash(homeMailbox)}`, isMaildir);
}

function mailbox(user: LocalUser, path: string, isMaildir: boolean): UserMailbox {
  const { name, uid, gid } = user;
  return {
    kind: "mailbox",
    task: { kind: "mailbox", path, format: isMaildir ? "maildir" : "mbox", user: name, uid, gid },
  };
}

/** True for a name that stands for itself below a directory. */
function isPlainName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !name.includes("/") && !name.includes("\0");
}

function withoutSlash(path: string): string {
  return path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
}
