/**
 * An installation of a test: a prefix, a configuration, a queue and mailboxes in a scratch directory, with the real
 * users. Not a test itself.
 */
import assert from "node:assert/strict";
import { until } from "../commands/mail_system.ts";
import { freePort } from "../support/ports.ts";

const SCRIPT = new URL("../../scripts/install.ts", import.meta.url).pathname;

/** What a program did. */
export interface Done {
  readonly status: number;
  readonly output: string;
  readonly errors: string;
}

/** Runs a program to its end. */
export async function runTool(
  program: string,
  args: readonly string[],
  options: {
    readonly environment?: Record<string, string>;
    readonly input?: string;
    readonly user?: TestUser;
  } = {},
): Promise<Done> {
  const child = new Deno.Command(program, {
    args: [...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    cwd: "/",
    ...(options.environment === undefined ? {} : { env: options.environment }),
    ...(options.user === undefined ? {} : { uid: options.user.uid, gid: options.user.gid }),
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(options.input ?? "")).catch(() => {}); // it need not read
  await writer.close().catch(() => {});
  const { code, stdout, stderr } = await child.output();
  const [output, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { status: code, output: output!, errors: errors! };
}

/** Runs the installer. */
export function runInstaller(
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<Done> {
  return runTool(Deno.execPath(), ["run", "-A", SCRIPT, ...args], { environment });
}

/** Waits until something holds; fails when it does not in time. */
export async function waitFor(holds: () => boolean, milliseconds = 60_000): Promise<void> {
  assert.ok(await until(holds, milliseconds), `not within ${milliseconds} ms: ${holds}`);
}

/** A user of /etc/passwd. */
export interface TestUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

export function findTestUser(name: string): TestUser | undefined {
  const line = Deno.readTextFileSync("/etc/passwd").split("\n").find((one) => one.startsWith(`${name}:`));
  if (line === undefined) return undefined;
  const [, , uid, gid, , home] = line.split(":");
  return { name, uid: Number(uid), gid: Number(gid), home: home! };
}

/** Makes a user with a home of his own; `using` removes both. */
export class LocalUser implements AsyncDisposable {
  readonly user: TestUser;

  private constructor(user: TestUser) {
    this.user = user;
  }

  static async make(): Promise<LocalUser> {
    const name = `pt${crypto.randomUUID().slice(0, 8)}`;
    const made = await runTool("useradd", ["--create-home", "--shell", "/bin/sh", name]);
    assert.equal(made.status, 0, made.errors);
    return new LocalUser(findTestUser(name)!);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = await runTool("userdel", ["--remove", this.user.name]);
    assert.equal(gone.status, 0, gone.errors);
  }
}

/** Uid and gid of the virtual mailboxes: nobody's. */
export const VIRTUAL_ID = 54321;

/** A scratch directory with everything of an installation. */
export class Installation {
  readonly directory: string;
  readonly prefix: string;
  readonly configuration: string;
  readonly queue: string;
  readonly mail: string;
  readonly log: string;
  readonly port = freePort();

  constructor() {
    this.directory = Deno.makeTempDirSync({ prefix: "postern-install-" });
    // The daemons' users must get through.
    Deno.chmodSync(this.directory, 0o755);
    this.prefix = `${this.directory}/opt/a b`; // a blank must not matter
    this.configuration = `${this.directory}/etc`;
    this.queue = `${this.directory}/spool`;
    this.mail = `${this.directory}/mail`;
    this.log = `${this.directory}/log`;
    Deno.mkdirSync(this.mail);
    Deno.chownSync(this.mail, VIRTUAL_ID, VIRTUAL_ID);
  }

  get options(): string[] {
    return ["--prefix", this.prefix, "--config-dir", this.configuration, "--queue-dir", this.queue];
  }

  get libexec(): string {
    return `${this.prefix}/libexec/postern`;
  }

  get unit(): string {
    return `${this.prefix}/lib/systemd/system/postern.service`;
  }

  /** Runs the installer with this installation's options. */
  async install(...more: string[]): Promise<Done> {
    const done = await runInstaller([...this.options, "--no-compile", ...more]);
    assert.equal(done.status, 0, done.errors);
    return done;
  }

  /** Makes the sample configuration one for this test: a free port, virtual mailboxes, Maildirs in homes. */
  configure(): void {
    const master = `${this.configuration}/master.toml`;
    const services = Deno.readTextFileSync(master);
    assert.ok(services.includes('name = "25"'));
    Deno.writeTextFileSync(master, services.replace('name = "25"', `name = "${this.port}"`));
    const main = `${this.configuration}/main.toml`;
    const sample = Deno.readTextFileSync(main).split("\n").filter((line) =>
      !line.startsWith("mydestination =")
    );
    const own = `
myhostname = "installed.test"
mydestination = ["installed.test"]
inet_interfaces = ["127.0.0.1", "127.0.0.2"]
home_mailbox = "Maildir/"
virtual_mailbox_domains = ["virtual.test"]
virtual_mailbox_base = "${this.mail}"
virtual_mailbox_maps = ["inline:{ user@virtual.test=user/ }"]
virtual_uid_maps = ["static:${VIRTUAL_ID}"]
virtual_gid_maps = ["static:${VIRTUAL_ID}"]
maillog_file = "${this.log}"
maillog_file_prefixes = ["${this.directory}"]
`;
    Deno.writeTextFileSync(main, sample.join("\n").replace("# WHO WE ARE\n", `${own}\n# WHO WE ARE\n`));
  }

  /** Runs one of the installed programs. */
  program(path: string, args: readonly string[], options: Parameters<typeof runTool>[2] = {}): Promise<Done> {
    return runTool(`${this.prefix}/${path}`, args, options);
  }

  /** The log so far. */
  readLog(): string {
    try {
      return Deno.readTextFileSync(this.log);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return "";
      throw error;
    }
  }

  /** The installation's processes and the daemon of each. */
  processes(): { readonly pid: number; readonly daemon: string }[] {
    const found: { pid: number; daemon: string }[] = [];
    for (const { name } of Deno.readDirSync("/proc")) {
      if (!/^[0-9]+$/.test(name)) continue;
      const bundle = commandLine(name).find((arg) =>
        arg.startsWith(`${this.libexec}/`) && arg.endsWith(".js")
      );
      if (bundle === undefined) continue;
      found.push({ pid: Number(name), daemon: bundle.slice(this.libexec.length + 1, -".js".length) });
    }
    return found;
  }

  /** Sends one message and waits until both mailboxes have it; gives their files. */
  async deliver(user: TestUser, to: string = "127.0.0.1"): Promise<string[]> {
    const places = [`${this.mail}/user/new`, `${user.home}/Maildir/new`];
    const before = new Set(places.flatMap(filesIn));
    const body = `Probe ${crypto.randomUUID()}`;
    const sent = await runTool("swaks", [
      ...["--server", `${to}:${this.port}`, "--from", "sender@elsewhere.test"],
      ...["--to", `user@virtual.test,${user.name}@installed.test`, "--body", body, "--silent", "2"],
    ]);
    assert.equal(sent.status, 0, `${sent.output}${sent.errors}${this.readLog().slice(-3000)}`);
    const fresh = () => places.flatMap(filesIn).filter((path) => !before.has(path));
    await waitFor(() => fresh().length === places.length);
    for (const path of fresh()) assert.ok(Deno.readTextFileSync(path).includes(body), path);
    return fresh();
  }

  /** Ends what a failed step left running. */
  async kill(): Promise<void> {
    for (const { pid } of this.processes()) {
      try {
        Deno.kill(pid, "SIGKILL");
      } catch {
        continue; // it ended meanwhile
      }
    }
    await waitFor(() => this.processes().length === 0, 5000);
  }

  /** Ends what is left and removes the directory. */
  async remove(): Promise<void> {
    await this.kill();
    Deno.removeSync(this.directory, { recursive: true });
  }
}

function commandLine(pid: string): string[] {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/cmdline`).split("\0");
  } catch {
    return []; // it ended meanwhile
  }
}

function filesIn(directory: string): string[] {
  try {
    return [...Deno.readDirSync(directory)].map(({ name }) => `${directory}/${name}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Every file and directory below a directory. */
export function tree(directory: string): { readonly path: string; readonly info: Deno.FileInfo }[] {
  return [...Deno.readDirSync(directory)].flatMap(({ name, isDirectory }) => {
    const path = `${directory}/${name}`;
    const own = { path, info: Deno.lstatSync(path) };
    return isDirectory ? [own, ...tree(path)] : [own];
  });
}
