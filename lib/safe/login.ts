/**
 * Who runs this program, from the password file. Only commands that a person runs use it.
 *
 * Permissions needed: read on /etc/passwd; sys uid.
 *
 * @module
 */
import process from "node:process";
import { SystemError } from "./error.ts";
import { readTextFile } from "./file.ts";

/** The user of a uid. */
export interface Login {
  readonly name: string;
  readonly uid: number;
  /** Comment field up to the first comma, `&` replaced by the login name with a capital; may be empty. */
  readonly fullName: string;
}

/** Largest password file that is read, bytes. */
const PASSWD_LIMIT = 16 * 1024 * 1024;

/** The user with a uid, or undefined when the password file has none. */
export function findLogin(uid: number): Login | undefined {
  for (const line of readTextFile("/etc/passwd", PASSWD_LIMIT).split("\n")) {
    const [name, , number, , comment = ""] = line.split(":");
    if (number !== String(uid) || name === undefined || name === "") continue;
    return { name, uid, fullName: fullNameOf(comment, name) };
  }
  return undefined;
}

function fullNameOf(comment: string, login: string): string {
  const comma = comment.indexOf(",");
  const name = comma < 0 ? comment : comment.slice(0, comma);
  const first = login.charAt(0);
  const capital = first >= "a" && first <= "z" ? first.toUpperCase() + login.slice(1) : login;
  return name.split("&").join(capital);
}

/**
 * Becomes another user for good, its groups with it; only root can.
 *
 * Permissions needed: sys setuid, setgid.
 */
export function becomeUser(
  user: { readonly uid: number; readonly gid: number; readonly name: string },
): void {
  try {
    // The group first: without root's rights it could not be changed any more.
    process.setgroups?.([user.gid]);
    process.setgid?.(user.gid);
    process.setuid?.(user.uid);
  } catch (error) {
    throw new SystemError("become user", user.name, error);
  }
}

/**
 * Does something with another user's rights, and comes back; for a process of root that is to touch only what that
 * user may.
 *
 * Permissions needed: sys seteuid, setegid.
 */
export async function actAs<T>(
  user: { readonly uid: number; readonly gid: number },
  work: () => Promise<T>,
): Promise<T> {
  const setGroup = process.setegid!;
  const setUser = process.seteuid!;
  try {
    setGroup(user.gid);
    setUser(user.uid);
    return await work();
  } finally {
    setUser(0);
    setGroup(0);
  }
}
