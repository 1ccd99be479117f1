/**
 * Debian's Exim as a server of a test's own, unpacked beside the system, as its package would put Postfix's away
 * (.ci/run does it). It needs root. Not a test itself.
 *
 * @module
 */
import { until } from "../commands/mail_system.ts";
import { freePort } from "./ports.ts";

/** Where the package is unpacked. */
export const EXIM = "/var/cache/postern-peers/exim/usr/sbin/exim4";
/** A user of nobody else: the program wants one of its own name, which only its own view of /etc/passwd has. */
const USER = "Debian-exim";
const ID = 65533;

/** A running Exim that delivers all mail to one file; `await using` stops it. */
export class Exim implements AsyncDisposable {
  readonly port: number = freePort();
  readonly root: string = Deno.makeTempDirSync({ prefix: "exim-" });
  #process: Deno.ChildProcess | undefined;

  /** Starts it. Recipients: nobody is unknown, later is deferred; a message over 100 kB, or about spam, is refused. */
  static async start(): Promise<Exim> {
    const made = new Exim();
    try {
      await made.#start();
      return made;
    } catch (error) {
      await made[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #start(): Promise<void> {
    const { root } = this;
    Deno.chmodSync(root, 0o755);
    for (const name of ["spool", "mail"]) {
      Deno.mkdirSync(`${root}/${name}`);
      Deno.chownSync(`${root}/${name}`, ID, ID);
    }
    const own = (file: string, line: string) =>
      Deno.writeTextFileSync(`${root}/${file}`, `${Deno.readTextFileSync(`/etc/${file}`)}${line}\n`);
    own("passwd", `${USER}:x:${ID}:${ID}::/:/usr/sbin/nologin`);
    own("group", `${USER}:x:${ID}:`);
    Deno.writeTextFileSync(`${root}/exim.conf`, configuration(root, this.port));
    const mounts = ["passwd", "group"].map((file) => `mount --bind ${root}/${file} /etc/${file}`);
    this.#process = new Deno.Command("unshare", {
      args: ["-m", "sh", "-c", `${mounts.join(" && ")} && exec ${EXIM} -C ${root}/exim.conf -bdf -q1h`],
      stdout: "null",
      stderr: "null",
    }).spawn();
    const up = () => this.log().includes("daemon started");
    if (!await until(up)) throw new Error(`Cannot start Exim:\n${this.log()}`);
  }

  log(): string {
    return read(`${this.root}/spool/mainlog`);
  }

  /** The message that a local part got; empty while there is none. */
  mailbox(user: string): string {
    const messages = read(`${this.root}/mail/all`).split(/^From /m);
    const names = (message: string) => /^Envelope-to: (.*(?:\n[ \t].*)*)/m.exec(message)?.[1] ?? "";
    return messages.find((message) => names(message).includes(`${user}@`)) ?? "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process?.kill("SIGTERM");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // it has ended by itself
    }
    await this.#process?.status;
    Deno.removeSync(this.root, { recursive: true });
  }
}

function read(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return ""; // nothing was written yet
  }
}

function configuration(root: string, port: number): string {
  return `primary_hostname = exim.test
exim_path = ${EXIM}
keep_environment =
spool_directory = ${root}/spool
log_file_path = ${root}/spool/%slog
log_selector = +smtp_confirmation +received_recipients +8bitmime +smtp_connection
local_interfaces = 127.0.0.1
daemon_smtp_ports = ${port}
exim_user = ${USER}
exim_group = ${USER}
never_users =
acl_smtp_rcpt = check_rcpt
acl_smtp_data = check_data
message_size_limit = 100K
dsn_advertise_hosts = *
smtputf8_advertise_hosts = *
tls_advertise_hosts =
host_lookup =
rfc1413_query_timeout = 0s
smtp_accept_max = 100
begin acl
check_rcpt:
  deny local_parts = nobody
       message = no such user
  defer local_parts = later
       message = come back
  accept
check_data:
  deny condition = \${if match{$h_subject:}{spam}}
       message = we do not like this
  accept
begin routers
all:
  driver = accept
  transport = files
begin transports
files:
  driver = appendfile
  file = ${root}/mail/all
  batch_max = 100
  envelope_to_add
  return_path_add
  user = ${USER}
  group = ${USER}
`;
}
