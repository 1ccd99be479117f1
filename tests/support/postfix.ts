/**
 * A Debian Postfix of a test's own: configuration, queue and data in a temporary directory, one port on loopback, its
 * log in a file. It needs root, as Postfix's master does. Not a test itself.
 *
 * @module
 */
import { until } from "../commands/mail_system.ts";
import { type Ended, filesBelow, runProgram } from "./postern.ts";
import { freePort } from "./ports.ts";

/** What differs from the configuration below. */
export interface PostfixOptions {
  /** Where its root folder is made; default: the system's temporary directory. */
  readonly below?: string;
  /** Parameters of main.cf; `$root` stands for the root folder. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Lines of master.cf behind the others; `$root` as above. */
  readonly services?: string;
  /** Further smtpd services, each with parameters of its own, on the ports of `ports`. */
  readonly servers?: readonly Readonly<Record<string, string>>[];
  /** Address of the only name server that it knows; its port is 53. */
  readonly resolver?: string;
}

const POSTFIX = "/usr/sbin/postfix";

/** Every service in Debian's master.cf that mail meets here, without chroot: the directory has no copy of /etc. */
const SERVICES = `postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
lmtp unix - - n - - lmtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
`;

/** A running Postfix; `await using` stops and removes it. */
export class Postfix implements AsyncDisposable {
  readonly root: string;
  readonly port: number = freePort();
  readonly queue: string;
  readonly ports: readonly number[];
  readonly #configuration: string;
  readonly #resolver: string | undefined;

  private constructor({ below, servers, resolver }: PostfixOptions) {
    this.#resolver = resolver;
    const ports = new Set<number>([this.port]);
    while (ports.size <= (servers ?? []).length) ports.add(freePort());
    this.ports = [...ports].slice(1);
    this.root = Deno.makeTempDirSync({ prefix: "postfix-", ...(below === undefined ? {} : { dir: below }) });
    Deno.chmodSync(this.root, 0o755); // its daemons run as user postfix
    this.#configuration = `${this.root}/etc`;
    this.queue = `${this.root}/spool`;
  }

  /** True where one can be started. */
  static available(): boolean {
    try {
      return Deno.uid() === 0 && Deno.statSync(POSTFIX).isFile;
    } catch {
      return false;
    }
  }

  /** A configuration; nothing runs. */
  static make(options: PostfixOptions = {}): Postfix {
    const made = new Postfix(options);
    made.#write(options);
    return made;
  }

  static async start(options: PostfixOptions = {}): Promise<Postfix> {
    const made = Postfix.make(options);
    try {
      await made.start();
      return made;
    } catch (error) {
      await made[Symbol.asyncDispose]();
      throw error;
    }
  }

  async start(): Promise<void> {
    const before = this.log().length;
    const started = await this.#runStart();
    const up = () => this.log().slice(before).includes("daemon started");
    if (started.status === 0 && await until(up)) return;
    throw new Error(`Cannot start Postfix:\n${started.errors}${this.log()}`);
  }

  /** The C library knows one place for its resolver's address: Postfix gets a view of the files with another in it. */
  #runStart(): Promise<Ended> {
    if (this.#resolver === undefined) return this.run(POSTFIX, ["start"]);
    const file = `${this.root}/resolv.conf`;
    Deno.writeTextFileSync(file, `nameserver ${this.#resolver}\noptions timeout:5 attempts:1\n`);
    const script = `mount --bind ${file} /etc/resolv.conf && exec ${POSTFIX} -c ${this.#configuration} start`;
    return runProgram("unshare", ["--mount", "sh", "-c", script]);
  }

  /** Ends it as an administrator does, with all its processes. */
  async stop(): Promise<void> {
    const { master } = this;
    const pids = master === undefined ? [] : withChildren(master);
    await this.run(POSTFIX, ["stop"]);
    const gone = () => pids.every((pid) => !exists(`/proc/${pid}`));
    if (!await until(gone)) throw new Error(`Postfix left processes: ${pids.join(" ")}`);
  }

  #write({ settings = {}, servers = [], services = "" }: PostfixOptions): void {
    for (const directory of ["etc", "spool", "data", "mail"]) Deno.mkdirSync(`${this.root}/${directory}`);
    Deno.chmodSync(`${this.root}/mail`, 0o777);
    const parameters = {
      compatibility_level: "3.6",
      queue_directory: this.queue,
      data_directory: `${this.root}/data`,
      command_directory: "/usr/sbin",
      daemon_directory: "/usr/lib/postfix/sbin",
      maillog_file: `${this.root}/mail.log`,
      maillog_file_prefixes: this.root,
      myhostname: "postfix.test",
      mydestination: "",
      local_recipient_maps: "",
      alias_maps: "",
      alias_database: "",
      mynetworks: "127.0.0.0/8",
      inet_interfaces: "127.0.0.1",
      inet_protocols: "ipv4",
      disable_dns_lookups: "yes",
      smtputf8_enable: "no",
      biff: "no",
      ...settings,
    };
    const main = Object.entries(parameters)
      .map(([name, value]) => `${name} = ${value.replaceAll("$root", this.root)}\n`).join("");
    Deno.writeTextFileSync(`${this.#configuration}/main.cf`, main);
    const smtpd = [this.port, ...this.ports].map((port, i) => {
      const own = Object.entries(servers[i - 1] ?? {}).map(([name, value]) =>
        `  -o { ${name} = ${value} }\n`
      );
      return `127.0.0.1:${port} inet n - n - - smtpd\n${own.join("")}`;
    });
    const others = SERVICES + services.replaceAll("$root", this.root);
    Deno.writeTextFileSync(`${this.#configuration}/master.cf`, smtpd.join("") + others);
    new Deno.Command("chown", { args: ["postfix", `${this.root}/data`] }).outputSync();
    // postsuper writes to it before postlogd runs, as user postfix.
    Deno.writeTextFileSync(`${this.root}/mail.log`, "");
    Deno.chmodSync(`${this.root}/mail.log`, 0o666);
  }

  /** Runs one of Postfix's programs on this configuration. */
  run(program: string, args: readonly string[], stdin: string | Uint8Array = ""): Promise<Ended> {
    const option = program.endsWith("/sendmail") ? "-C" : "-c";
    return runProgram(program, [option, this.#configuration, ...args], stdin);
  }

  log(): string {
    try {
      return Deno.readTextFileSync(`${this.root}/mail.log`);
    } catch {
      return ""; // nothing was written yet
    }
  }

  /** Waits for the log to hold something; throws with the end of the log when it does not in time. */
  async untilLogged(pattern: RegExp, milliseconds = 60_000): Promise<void> {
    if (await until(() => pattern.test(this.log()), milliseconds)) return;
    throw new Error(
      `no line of Postfix's log has ${pattern}:\n${this.log().split("\n").slice(-30).join("\n")}`,
    );
  }

  /** The files of a queue, absolute paths. */
  queued(queue: string): string[] {
    return filesBelow(`${this.queue}/${queue}`);
  }

  /** The messages of a Maildir below its mail directory. */
  mailbox(name: string): Uint8Array<ArrayBuffer>[] {
    return filesBelow(`${this.root}/mail/${name}/new`).sort().map((path) => Deno.readFileSync(path));
  }

  /** Waits for messages in a mailbox. */
  async mail(name: string, count = 1, milliseconds = 60_000): Promise<Uint8Array<ArrayBuffer>[]> {
    if (await until(() => this.mailbox(name).length >= count, milliseconds)) return this.mailbox(name);
    throw new Error(`${name} has ${this.mailbox(name).length} of ${count} messages:\n${this.log()}`);
  }

  /** Number of the master that runs; undefined when there is none. */
  get master(): number | undefined {
    return readPid(`${this.queue}/pid/master.pid`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    Deno.removeSync(this.root, { recursive: true });
  }
}

/** Numbers of a process and of its children, whichever of its threads started them; empty when it is gone. */
export function withChildren(pid: number): number[] {
  try {
    const threads = [...Deno.readDirSync(`/proc/${pid}/task`)].map(({ name }) =>
      `/proc/${pid}/task/${name}/children`
    );
    const children = threads.flatMap((path) => Deno.readTextFileSync(path).split(" "));
    return [pid, ...children.filter((word) => word !== "").map(Number)];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

function readPid(path: string): number | undefined {
  try {
    const pid = Number(Deno.readTextFileSync(path));
    return exists(`/proc/${pid}/task`) ? pid : undefined;
  } catch {
    return undefined; // it is not running
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}
