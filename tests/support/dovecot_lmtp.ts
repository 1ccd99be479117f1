/** Debian's Dovecot as an LMTP server of a test's own. It needs root. Not a test itself. @module */
import { filesBelow } from "./postern.ts";
import { freePort } from "./ports.ts";
import { ServerProgram } from "./server_program.ts";

/** The program; its LMTP server is a package of its own. */
export const DOVECOT = "/usr/sbin/dovecot";
export const DOVECOT_LMTP = "/usr/lib/dovecot/lmtp";
/** Whose mail it is: nobody's. */
const ID = 65534;

/** A running Dovecot; `await using` stops it. */
export class DovecotLmtp implements AsyncDisposable {
  readonly port: number = freePort();
  readonly root: string = Deno.makeTempDirSync({ prefix: "dovecot-" });
  readonly socket: string = `${this.root}/run/lmtp`;
  #server: ServerProgram | undefined;

  /**
   * Starts it.
   *
   * @param users local parts that it knows, with a limit of the mailbox in bytes; 0: none
   */
  static async start(users: Readonly<Record<string, number>>): Promise<DovecotLmtp> {
    const made = new DovecotLmtp();
    try {
      await made.#start(users);
      return made;
    } catch (error) {
      await made[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #start(users: Readonly<Record<string, number>>): Promise<void> {
    const { root } = this;
    Deno.chmodSync(root, 0o755);
    for (const name of ["run", "state", "mail"]) Deno.mkdirSync(`${root}/${name}`);
    Deno.chownSync(`${root}/mail`, ID, ID);
    const lines = Object.entries(users).map(([name, limit]) =>
      `${name}:{PLAIN}x:${ID}:${ID}::${root}/mail/${name}::${
        limit > 0 ? `userdb_quota_rule=*:bytes=${limit}` : ""
      }`
    );
    Deno.writeTextFileSync(`${root}/users`, `${lines.join("\n")}\n`);
    Deno.writeTextFileSync(`${root}/dovecot.conf`, configuration(root, this.port));
    const args = ["-F", "-c", `${root}/dovecot.conf`];
    this.#server = await ServerProgram.start(DOVECOT, args, this.socket, { output: `${root}/log` });
  }

  log(): string {
    try {
      return Deno.readTextFileSync(`${this.root}/log`);
    } catch {
      return ""; // nothing was written yet
    }
  }

  /** The messages of a user. */
  mailbox(user: string): string[] {
    return filesBelow(`${this.root}/mail/${user}/Maildir/new`).sort().map((path) =>
      Deno.readTextFileSync(path)
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    Deno.removeSync(this.root, { recursive: true });
  }
}

function configuration(root: string, port: number): string {
  return `base_dir = ${root}/run
state_dir = ${root}/state
log_path = ${root}/log
protocols = lmtp
listen = 127.0.0.1
ssl = no
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = nobody
mail_location = maildir:~/Maildir
first_valid_uid = 1
mail_plugins = quota
plugin {
  quota = count:User quota
  quota_vsizes = yes
}
mailbox_list_index = yes
passdb {
  driver = passwd-file
  args = ${root}/users
}
userdb {
  driver = passwd-file
  args = ${root}/users
}
service lmtp {
  unix_listener lmtp {
    mode = 0666
  }
  inet_listener lmtp {
    address = 127.0.0.1
    port = ${port}
  }
}
service stats {
  unix_listener stats-writer {
    mode = 0666
  }
}
protocol lmtp {
  auth_username_format = %n
  postmaster_address = postmaster@dovecot.test
}
`;
}
