/** Debian's Cyrus as an LMTP server of a test's own, below a temporary directory. It needs root. Not a test itself. @module */
import { filesBelow } from "./postern.ts";
import { freePort } from "./ports.ts";
import { ServerProgram } from "./server_program.ts";

/** The program that starts the others. */
export const CYRUS = "/usr/sbin/cyrmaster";
const PROGRAMS = "/usr/lib/cyrus/bin";

/** A running Cyrus; `await using` stops and removes it. */
export class Cyrus implements AsyncDisposable {
  readonly root: string = Deno.makeTempDirSync({ prefix: "cyrus-" });
  readonly socket: string = `${this.root}/lmtp`;
  readonly port: number = freePort();
  #server: ServerProgram | undefined;

  /**
   * Starts it. Its clients are authorised as they are.
   *
   * @param users who gets a mailbox with the first message
   * @param quota of each mailbox, KiB
   */
  static async start(users: readonly string[], quota: number): Promise<Cyrus> {
    const made = new Cyrus();
    try {
      await made.#start(users, quota);
      return made;
    } catch (error) {
      await made[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #start(users: readonly string[], quota: number): Promise<void> {
    const { root, socket, port } = this;
    Deno.writeTextFileSync(`${root}/imapd.conf`, settings(root, socket, users, quota));
    const lmtpd = `${PROGRAMS}/lmtpd -C ${root}/imapd.conf`;
    Deno.writeTextFileSync(
      `${root}/cyrus.conf`,
      `START {
  recover cmd="${PROGRAMS}/ctl_cyrusdb -C ${root}/imapd.conf -r"
}
SERVICES {
  lmtpunix cmd="${lmtpd}" listen="${socket}" prefork=0 maxchild=2
  lmtp cmd="${lmtpd} -a" listen="127.0.0.1:${port}" prefork=0 maxchild=2
}
EVENTS {
}
`,
    );
    const owned = await new Deno.Command("chown", { args: ["-R", "cyrus:mail", root] }).output();
    if (!owned.success) throw new Error("There is no user cyrus");
    const files = ["-C", `${root}/imapd.conf`, "-M", `${root}/cyrus.conf`, "-p", `${root}/pid`];
    const output = `${root}/output`;
    this.#server = await ServerProgram.start(CYRUS, ["-D", ...files], port, { output });
  }

  /** The messages of all mailboxes. */
  messages(): string[] {
    return filesBelow(`${this.root}/spool`).filter((path) => /\/\d+\.$/.test(path)).map((path) =>
      Deno.readTextFileSync(path)
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    Deno.removeSync(this.root, { recursive: true });
  }
}

function settings(root: string, socket: string, users: readonly string[], quota: number): string {
  return `configdirectory: ${root}/conf
defaultpartition: default
partition-default: ${root}/spool
sievedir: ${root}/sieve
proc_path: ${root}/proc
mboxname_lockpath: ${root}/lock
lmtpsocket: ${socket}
admins: cyrus
autocreate_post: yes
autocreate_users: ${users.join(" ")}
autocreate_quota: ${quota}
duplicatesuppression: no
lmtp_strict_quota: yes
`;
}
