/** A server that a test starts and ends. Not a test itself. @module */
import { until } from "../commands/mail_system.ts";

/** What a program may take to listen, milliseconds: rspamd compiles its patterns first. */
const START_LIMIT = 90_000;
/** What it may take to end by itself, milliseconds. */
const END_LIMIT = 10_000;

/** How a program is started. */
export interface ServerOptions {
  /** File that its output is appended to; what it says is in the error when it does not start. */
  readonly output: string;
  /** Variables beside those of the tests. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** A program that listens; `await using` ends it. */
export class ServerProgram implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
  }

  /**
   * Starts a program in the foreground and waits until it listens.
   *
   * @param where port of loopback or path of a unix socket
   */
  static async start(
    program: string,
    args: readonly string[],
    where: number | string,
    { output, environment = {} }: ServerOptions,
  ): Promise<ServerProgram> {
    const child = new Deno.Command("sh", {
      args: ["-c", 'exec "$@" >>"$0" 2>&1', output, program, ...args],
      env: environment,
      cwd: "/",
      stdin: "null",
    }).spawn();
    const made = new ServerProgram(child);
    let ended = false;
    child.status.then(() => ended = true);
    if (await until(() => ended || listens(where), START_LIMIT) && !ended) return made;
    await made[Symbol.asyncDispose]();
    throw new Error(`${program} does not run:\n${Deno.readTextFileSync(output)}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    signal(child, "SIGTERM");
    const late = setTimeout(() => signal(child, "SIGKILL"), END_LIMIT);
    await child.status;
    clearTimeout(late);
  }
}

/** Sends a signal; nothing when the program has ended: an error of a timer would end all tests of a file. */
function signal(child: Deno.ChildProcess, name: Deno.Signal): void {
  try {
    child.kill(name);
  } catch (error) {
    if (!(error instanceof TypeError) && !(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function listens(where: number | string): boolean {
  try {
    if (typeof where === "string") return Deno.statSync(where).isSocket === true;
    const port = where.toString(16).toUpperCase().padStart(4, "0");
    return Deno.readTextFileSync("/proc/net/tcp").split("\n").some((line) =>
      line.includes(`:${port} 00000000:0000 0A`)
    );
  } catch {
    return false; // not there yet
  }
}
