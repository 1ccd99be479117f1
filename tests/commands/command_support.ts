/**
 * A scratch installation for tests that run a command as a program of its own.
 *
 * @module
 */
import { ScratchQueue } from "./maildrop_support.ts";

/** What a program did. */
export interface ProgramRun {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** A configuration directory beside a scratch queue. */
export class ScratchSystem implements Disposable {
  readonly queue = new ScratchQueue();
  readonly config: string = `${this.queue.root}/etc`;

  /** @param main more lines of main.toml */
  constructor(main = "") {
    Deno.mkdirSync(this.config);
    Deno.mkdirSync(`${this.queue.root}/log`);
    const { root } = this.queue;
    Deno.writeTextFileSync(
      `${this.config}/main.toml`,
      `myhostname = "mail.example.test"\nqueue_directory = "${root}"\nmaillog_file = "${root}/log/mail.log"\n` +
        `maillog_file_prefixes = ["${root}"]\nalias_maps = []\n${main}`,
    );
    Deno.writeTextFileSync(
      `${this.config}/master.toml`,
      `[[service]]\nname = "pickup"\ntype = "unix"\nprivate = false\ncommand = "pickup"\n`,
    );
  }

  /** Starts a program. */
  spawn(program: string, args: readonly string[], env: Record<string, string> = {}): Deno.ChildProcess {
    return new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--no-check",
        new URL(`./run_command.ts`, import.meta.url).pathname,
        this.config,
        program,
        ...args,
      ],
      env,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  }

  /** Runs a program to its end. */
  async run(
    program: string,
    args: readonly string[],
    input: string | Uint8Array = "",
    env = {},
  ): Promise<ProgramRun> {
    const child = this.spawn(program, args, env);
    const writer = child.stdin.getWriter();
    await writer.write(typeof input === "string" ? new TextEncoder().encode(input) : input).catch(() => {});
    await writer.close().catch(() => {});
    const { code, stdout, stderr } = await child.output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { status: code, out: text(stdout), err: text(stderr) };
  }

  [Symbol.dispose](): void {
    this.queue[Symbol.dispose]();
  }
}
