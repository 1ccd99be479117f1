/**
 * Debian's Dovecot as an authentication server and nothing else: users in a file, a unix socket and a port on loopback.
 * It needs root, as Dovecot's master does. Not a test itself.
 *
 * @module
 */
import { until } from "../commands/mail_system.ts";
import { withChildren } from "./postfix.ts";
import { killProcess } from "./postern.ts";
import { freePort } from "./ports.ts";

/** Its users and their passwords. */
export const DOVECOT_USERS: Readonly<Record<string, string>> = {
  "user@example.test": "secret",
  "tab\tuser": "x",
};

/** A key that tokens of XOAUTH2 and OAUTHBEARER are signed with. */
const TOKEN_KEY = "a key that only this test and its Dovecot know";

/** A running Dovecot; `await using` stops and removes it. */
export class Dovecot implements AsyncDisposable {
  readonly root: string = Deno.makeTempDirSync({ prefix: "dovecot-" });
  readonly socket: string = `${this.root}/auth`;
  readonly port: number = freePort();
  #master: Deno.ChildProcess | undefined;

  static async start(): Promise<Dovecot> {
    const made = new Dovecot();
    Deno.chmodSync(made.root, 0o755);
    made.#write();
    await made.run();
    return made;
  }

  /** Starts it, again after `halt`. */
  async run(): Promise<void> {
    this.#master = new Deno.Command("/usr/sbin/dovecot", {
      args: ["-F", "-c", `${this.root}/dovecot.conf`],
      stdout: "null",
      stderr: "null",
    }).spawn();
    const up = () => {
      try {
        return Deno.statSync(this.socket).isSocket === true;
      } catch {
        return false;
      }
    };
    if (!await until(up)) throw new Error(`Dovecot did not start:\n${this.log()}`);
  }

  log(): string {
    try {
      return Deno.readTextFileSync(`${this.root}/log`);
    } catch {
      return "";
    }
  }

  /** A token that logs a user in. */
  async token(user: string): Promise<string> {
    const encode = (value: unknown) =>
      new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value)).toBase64({
        alphabet: "base64url",
        omitPadding: true,
      });
    const now = Math.floor(Date.now() / 1000);
    const head = encode({ alg: "HS256", typ: "JWT", kid: "one" });
    const body = encode({ sub: user, email: user, azp: "postern", iat: now - 10, exp: now + 3600 });
    const key = await crypto.subtle.importKey(
      "raw",
      new TextEncoder().encode(TOKEN_KEY),
      { name: "HMAC", hash: "SHA-256" },
      false,
      ["sign"],
    );
    const text = new TextEncoder().encode(`${head}.${body}`);
    const signature = new Uint8Array(await crypto.subtle.sign("HMAC", key, text));
    return `${head}.${body}.${signature.toBase64({ alphabet: "base64url", omitPadding: true })}`;
  }

  #write(): void {
    const { root } = this;
    const users = Object.entries(DOVECOT_USERS).map(([user, password]) => `${user}:{PLAIN}${password}`);
    Deno.writeTextFileSync(`${root}/users`, users.join("\n") + "\n");
    Deno.mkdirSync(`${root}/keys/postern/HS256`, { recursive: true });
    Deno.writeTextFileSync(`${root}/keys/postern/HS256/one`, new TextEncoder().encode(TOKEN_KEY).toBase64());
    Deno.writeTextFileSync(
      `${root}/oauth2.conf`,
      `introspection_mode = local
local_validation_key_dict = fs:posix:prefix=${root}/keys/
username_attribute = email
`,
    );
    Deno.writeTextFileSync(
      `${root}/dovecot.conf`,
      `base_dir = ${root}/run
state_dir = ${root}/state
log_path = ${root}/log
protocols =
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 scram-sha-256 scram-sha-1 xoauth2 oauthbearer
auth_failure_delay = 0
passdb {
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = ${root}/oauth2.conf
}
passdb {
  driver = passwd-file
  mechanisms = plain login cram-md5 scram-sha-256 scram-sha-1
  args = ${root}/users
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home=${root}
}
service auth {
  user = root
  unix_listener ${this.socket} {
    mode = 0666
  }
  inet_listener {
    address = 127.0.0.1
    port = ${this.port}
  }
}
service anvil {
  chroot =
  # Nobody waits for having failed before.
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
`,
    );
  }

  /** Stops it; its socket stays away until `run`. */
  async halt(): Promise<void> {
    const master = this.#master;
    if (master === undefined) return;
    this.#master = undefined;
    const pids = withChildren(master.pid);
    master.kill("SIGTERM");
    await master.status;
    for (const pid of pids) killProcess(pid);
    // A socket that is left over would look like a Dovecot that is up.
    Deno.removeSync(this.socket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.halt();
    Deno.removeSync(this.root, { recursive: true });
  }
}
