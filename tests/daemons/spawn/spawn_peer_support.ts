/**
 * Spawn services for Debian's Postfix and for an installed Postern, both as root, and what their programs say of the
 * rights that they have. Not a test itself.
 *
 * @module
 */
import type { PeerUsers } from "../local/local_peer_support.ts";
import type { Installation } from "../../scripts/install_support.ts";

/** Whose rights the program of a service has, by name. */
const SPAWNS: Readonly<Record<string, string>> = { spawn: "alice", spawn2: "bob:nogroup" };
/** The program, in the folder `$inc`. */
const PROGRAM = "argv=/bin/sh $inc/rights";
/** What it says: what a process may do, where it is, and what it is told. */
export const RIGHTS =
  'id -un; id -gn; id -Gn; umask; pwd | sed "s,.*/,,"; env | sed "s,=.*,," | grep -E "HOME|USER|SHELL"\n';

/** Lines of master.cf. */
export function spawnLines(users: PeerUsers): string {
  const lines = Object.entries(SPAWNS).map(([name, user]) =>
    `${name} unix - n n - 0 spawn\n  user=${users.login(user)} ${PROGRAM.replaceAll("$inc", "$root/inc")}\n`
  );
  return lines.join("");
}

/** Services of master.toml. */
export function spawnServices(users: PeerUsers, inc: string): string {
  const services = Object.entries(SPAWNS).map(([name, user]) => {
    const attributes = [`user=${users.login(user)}`, PROGRAM.replaceAll("$inc", inc)];
    return `\n[[service]]\nname = "${name}"\ntype = "unix"\ncommand = "spawn"\n` +
      `arguments = ${JSON.stringify(attributes)}\n`;
  });
  return services.join("");
}

/** What the programs of the spawn services say, with users' names. */
export async function askSpawned(users: PeerUsers, queue: string): Promise<string[]> {
  const ask = async (name: string) => {
    const connection = await Deno.connect({ transport: "unix", path: `${queue}/private/${name}` });
    return `${name}: ${users.plain(await new Response(connection.readable).text())}`;
  };
  return await Promise.all(Object.keys(SPAWNS).map(ask));
}

/** The processes of the spawn services. */
export function spawnProcesses(
  installation: Installation,
): { readonly uid: number; readonly flags: readonly string[] }[] {
  return installation.processes().filter(({ daemon }) => daemon === "spawn").map(({ pid }) => ({
    uid: Deno.statSync(`/proc/${pid}`).uid!,
    flags: Deno.readTextFileSync(`/proc/${pid}/cmdline`).split("\0"),
  }));
}
