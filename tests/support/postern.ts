/**
 * A whole mail system of a test: the trial's configuration with changes, master and its daemons in their sandboxes,
 * the programs on it, and what is in its queue, its log and its mailboxes. Not a test itself.
 *
 * @module
 */
import { masterLaunch, prepareCode } from "../../commands/master_control.ts";
import { type TrialPaths, trialPaths, writeTrialConfiguration } from "../../commands/trial_configuration.ts";
import { MAIN, type ProcessEntry, processTable, until } from "../commands/mail_system.ts";
import { freePort } from "./ports.ts";

/** What differs from the trial's configuration. */
export interface PosternOptions {
  /** Where its root folder is made; default: the system's temporary directory. */
  readonly below?: string;
  /** TOML values by parameter, in the place of the trial's or beside them. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Changes master.toml. */
  readonly services?: (text: string) => string;
  /** Further variables of master's environment. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Further redirections of master's descriptors, as a shell has them. */
  readonly redirections?: string;
  /** Another runtime than the one of the tests, for master and its daemons. */
  readonly runtime?: string;
}

/** What a program did. */
export interface Ended {
  readonly status: number;
  readonly output: string;
  readonly errors: string;
}

/** The queues in which messages are. */
export const QUEUES = ["maildrop", "incoming", "active", "deferred", "hold", "corrupt"] as const;
export type QueueName = typeof QUEUES[number];

/** What a start may take, milliseconds. */
const START_LIMIT = 60_000;

let prepared: Promise<void> | undefined;

/** A mail system; `await using` stops it, demands that no process is left, and removes it. */
export class Postern implements AsyncDisposable {
  readonly paths: TrialPaths;
  readonly port: number = freePort();
  readonly #options: PosternOptions;
  #master: Deno.ChildProcess | undefined;
  readonly #children = new Map<number, string>();

  private constructor(options: PosternOptions) {
    const root = Deno.makeTempDirSync({
      prefix: "postern-",
      ...(options.below ? { dir: options.below } : {}),
    });
    this.paths = trialPaths(root);
    this.#options = options;
  }

  /** A configuration; nothing runs. */
  static async make(options: PosternOptions = {}): Promise<Postern> {
    const made = new Postern(options);
    const { configuration, mail, queue } = made.paths;
    for (const directory of [configuration, mail, queue]) Deno.mkdirSync(directory);
    await writeTrialConfiguration(made.paths, made.port);
    made.set(options.settings ?? {});
    const masterToml = `${configuration}/master.toml`;
    const services = options.services ?? ((text: string) => text);
    Deno.writeTextFileSync(masterToml, services(Deno.readTextFileSync(masterToml)));
    return made;
  }

  /** A system that runs. */
  static async start(options: PosternOptions = {}): Promise<Postern> {
    const made = await Postern.make(options);
    try {
      await made.start();
      return made;
    } catch (error) {
      await made[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Replaces parameters of main.toml, or adds them. */
  set(settings: Readonly<Record<string, string>>): void {
    const path = `${this.paths.configuration}/main.toml`;
    const kept = Deno.readTextFileSync(path).split("\n")
      .filter((line) => !Object.hasOwn(settings, line.slice(0, Math.max(0, line.indexOf(" = ")))));
    const added = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
    Deno.writeTextFileSync(path, [...kept, ...added, ""].join("\n"));
  }

  /** Starts master and waits until every socket is bound. */
  async start(): Promise<void> {
    await (prepared ??= prepareCode());
    const launch = masterLaunch(this.paths.configuration, ["--attached", "yes"]);
    const master = new Deno.Command("sh", {
      args: [
        "-c",
        `exec "$@" >>"$0" 2>&1 ${this.#options.redirections ?? ""}`,
        this.paths.log,
        this.#options.runtime ?? launch.program,
        ...launch.args,
      ],
      clearEnv: true,
      env: { PATH: "/usr/bin:/bin", ...launch.environment, ...this.#options.environment },
      stdin: "piped", // held open: master ends with us
    }).spawn();
    this.#master = master;
    let ended = false;
    master.status.then(() => ended = true);
    const up = () =>
      ended || readOrEmpty(`${this.paths.queue}/pid/master.status`).includes(`"pid":${master.pid},`);
    if (await until(up, START_LIMIT) && !ended) return;
    if (ended) {
      this.#master = undefined;
      await master.stdin.close().catch(() => {});
    }
    throw new Error(`Cannot start Postern:\n${this.log()}`);
  }

  /** Ends it as an administrator does; throws when it left a process. */
  async stop(): Promise<void> {
    const master = this.#master;
    if (master === undefined) return;
    this.processes(); // so that none of the children goes unnoticed
    this.#master = undefined;
    master.kill("SIGTERM");
    await master.status;
    await master.stdin.close().catch(() => {});
    if (!await until(() => this.processes().length === 0, 5000)) {
      throw new Error(
        `Postern left processes: ${this.processes().map(({ args }) => args.at(-1)).join(", ")}`,
      );
    }
  }

  /** Kills everything at once, as a power cut does to the processes. */
  async cut(): Promise<void> {
    const master = this.#master;
    for (const { pid } of this.processes()) killProcess(pid);
    this.#master = undefined;
    if (master !== undefined) {
      await master.status;
      await master.stdin.close().catch(() => {});
    }
    await until(() => this.processes().length === 0);
  }

  /** Kills master alone, and waits until its daemons have noticed. */
  async behead(): Promise<void> {
    const master = this.#master;
    if (master === undefined) return;
    this.processes(); // so that none of the children goes unnoticed
    killProcess(master.pid);
    await master.status;
    this.#master = undefined;
    await master.stdin.close().catch(() => {});
    if (!await until(() => this.processes().length === 0)) {
      throw this.failure(`daemons outlive master: ${this.processes().map(({ args }) => args.at(-1))}`);
    }
  }

  /** Runs one of the programs on this configuration. */
  async run(args: readonly string[], stdin: string | Uint8Array = ""): Promise<Ended> {
    return await runProgram(
      Deno.execPath(),
      ["run", "-A", MAIN, "-c", this.paths.configuration, ...args],
      stdin,
    );
  }

  /**
   * Its processes: master, what master started, and what names its folder. Some daemons name no path at all: once
   * they were seen as children of master they count until they are gone.
   */
  processes(): ProcessEntry[] {
    const found = processTable().filter(({ pid, parent, started, args }) =>
      parent === this.#master?.pid || this.#children.get(pid) === started ||
      args.some((arg) => arg.includes(this.paths.root))
    );
    for (const { pid, parent, started } of found) {
      if (parent === this.#master?.pid) this.#children.set(pid, started);
    }
    return found;
  }

  /** Number of the master that runs. */
  get master(): number {
    if (this.#master === undefined) throw new Error("No master runs");
    return this.#master.pid;
  }

  /** Numbers of the processes that run a daemon. */
  pids(command: string): number[] {
    return this.processes().filter(({ args }) => args.at(-1)?.endsWith(`/daemons/${command}/main.ts`)).map((
      { pid },
    ) => pid);
  }

  log(): string {
    return readOrEmpty(this.paths.log);
  }

  /** Waits for the log to hold something; throws with the end of the log when it does not in time. */
  async untilLogged(pattern: RegExp | string, milliseconds = 60_000): Promise<void> {
    const holds = () => typeof pattern === "string" ? this.log().includes(pattern) : pattern.test(this.log());
    if (!await until(holds, milliseconds)) throw this.failure(`no line of the log has ${pattern}`);
  }

  /** Waits until no message is in the queue any more, and the lines of the last are in the log. */
  async untilEmpty(milliseconds = 60_000): Promise<void> {
    const empty = () => QUEUES.every((queue) => this.queued(queue).length === 0);
    if (!await until(empty, milliseconds)) {
      const left = QUEUES.flatMap((queue) => this.queued(queue));
      throw this.failure(`the queue is not empty: ${left.join(" ")}`);
    }
    // A daemon gathers its lines for 10 ms, and a busy machine makes it late with them.
    for (let size = -1; size !== this.log().length;) {
      size = this.log().length;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  /** An error with the end of the log. */
  failure(why: string): Error {
    return new Error(`${why}; log:\n${this.log().split("\n").slice(-40).join("\n")}`);
  }

  /** The files of a queue, absolute paths. */
  queued(queue: QueueName): string[] {
    return filesBelow(`${this.paths.queue}/${queue}`);
  }

  /** The logs of reasons why messages wait. */
  deferLogs(): string[] {
    return filesBelow(`${this.paths.queue}/defer`);
  }

  /** The messages of a mailbox, in the order of their file names. */
  mailbox(user: string): Uint8Array<ArrayBuffer>[] {
    return filesBelow(`${this.paths.mail}/${user}/new`).sort().map((path) => Deno.readFileSync(path));
  }

  /** Waits for messages in a mailbox. */
  async mail(user: string, count = 1, milliseconds = 60_000): Promise<Uint8Array<ArrayBuffer>[]> {
    const directory = `${this.paths.mail}/${user}/new`;
    if (await until(() => filesBelow(directory).length >= count, milliseconds)) return this.mailbox(user);
    throw this.failure(`${user} has ${filesBelow(directory).length} of ${count} messages`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    let failed: unknown;
    try {
      await this.stop();
    } catch (error) {
      failed = error;
      await this.cut();
    }
    Deno.removeSync(this.paths.root, { recursive: true });
    if (failed !== undefined) throw failed;
  }
}

/** Runs a program to its end, with something on its standard input. */
export async function runProgram(
  program: string,
  args: readonly string[],
  stdin: string | Uint8Array = "",
  cwd = "/",
): Promise<Ended> {
  const pipes = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
  const child = new Deno.Command(program, { args: [...args], cwd, ...pipes }).spawn();
  const bytes = typeof stdin === "string" ? new TextEncoder().encode(stdin) : Uint8Array.from(stdin);
  const feed = async () => {
    const writer = child.stdin.getWriter();
    // A program that does not read its standard input may be gone already.
    await writer.write(bytes).catch(() => {});
    await writer.close().catch(() => {});
  };
  const [done] = await Promise.all([child.output(), feed()]);
  return { status: done.code, output: decode(done.stdout), errors: decode(done.stderr) };
}

/** Kills a process; nothing when it is gone. */
export function killProcess(pid: number): void {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound) && (error as { code?: string }).code !== "ESRCH") {
      throw error;
    }
  }
}

/** Paths of the files in a directory and its subdirectories; files that go while it is read are left out. */
export function filesBelow(directory: string): string[] {
  try {
    return [...Deno.readDirSync(directory)].flatMap(({ name, isDirectory }) =>
      isDirectory ? filesBelow(`${directory}/${name}`) : [`${directory}/${name}`]
    );
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

function readOrEmpty(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}

/** Text of bytes that may be anything. */
export function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
