/**
 * The users of the daemons: no password, no shell, no home, a group each.
 *
 * @module
 */
import { exists, InstallError } from "./install_files.ts";
import { runTool } from "./install_run.ts";

/** A shell that lets nobody in. */
const NO_SHELLS = ["/usr/sbin/nologin", "/sbin/nologin", "/bin/false"];

/** A user as /etc/passwd has it. */
interface User {
  readonly uid: number;
  readonly gid: number;
}

/** Looks a user up. */
export function findUser(name: string): User | undefined {
  const fields = lookUp("/etc/passwd", name);
  return fields === undefined ? undefined : { uid: Number(fields[2]), gid: Number(fields[3]) };
}

function lookUp(file: string, name: string): string[] | undefined {
  return Deno.readTextFileSync(file).split("\n").map((line) => line.split(":")).find(([first]) =>
    first === name
  );
}

/**
 * Makes the user and the group of the same name where they are missing; true when the user was made.
 *
 * @param purpose what the user is for, for the password file
 */
export async function ensureUser(name: string, purpose: string): Promise<boolean> {
  if (findUser(name) !== undefined) return false;
  if (lookUp("/etc/group", name) === undefined) await runTool("groupadd", ["--system", name]);
  const shell = NO_SHELLS.find(exists) ?? "/bin/false";
  await runTool("useradd", [
    "--system",
    "--gid",
    name,
    "--no-create-home",
    "--home-dir",
    "/nonexistent",
    "--shell",
    shell,
    "--comment",
    purpose,
    name,
  ]);
  return true;
}

/** Throws unless each user exists, none is root and no two are the same: that is what keeps the daemons apart. */
export function checkUsers(names: readonly string[]): void {
  const uids = new Map<number, string>();
  const gids = new Map<number, string>();
  for (const name of names) {
    const user = findUser(name);
    if (user === undefined) throw new InstallError(`Cannot install: there is no user "${name}"`);
    if (user.uid === 0 || user.gid === 0) throw new InstallError(`Cannot install: user "${name}" is root`);
    const other = uids.get(user.uid) ?? gids.get(user.gid);
    if (other !== undefined) {
      throw new InstallError(`Cannot install: users "${other}" and "${name}" have one identity`);
    }
    uids.set(user.uid, name);
    gids.set(user.gid, name);
  }
}

/** Removes a user and its group. */
export async function removeUser(name: string): Promise<void> {
  if (findUser(name) !== undefined) await runTool("userdel", [name]);
  // userdel removes the group too where the system is set up like that.
  if (lookUp("/etc/group", name) !== undefined) await runTool("groupdel", [name]);
}
