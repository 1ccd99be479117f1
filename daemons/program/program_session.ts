/**
 * One run of the program: started with the message's environment, fed, waited for, and killed with all that it started
 * when it takes too long or when the agent goes away in mid-message. A program that was fed half a message must not
 * see the end of its input: it would take what it has for the whole.
 *
 * @module
 */
// Safe primitives
import { type CommandStatus, RunningCommand } from "../../lib/safe/command.ts";
import { isSandboxRefusal } from "../../lib/safe/error.ts";
// Utility
import { encodeText } from "../../lib/vstring/byte_builder.ts";
// Mail
import { type CommandEnd } from "../../lib/mail/command_outcome.ts";
// Wire protocols
import { CodecError } from "../../lib/ipc/codec.ts";
import { type Handler, type ServerExchange } from "../../lib/ipc/server.ts";
import { type MAILBOX, OUTPUT_LIMIT } from "../../lib/proto/protocols.ts";
// Server skeleton
import { type ProgramTask } from "../../lib/server/boot.ts";

/** Variables that tell a command of its mail (postfix-map section 9.4), and no others. */
const VARIABLES: ReadonlySet<string> = new Set([
  "CLIENT_ADDRESS",
  "CLIENT_HELO",
  "CLIENT_HOSTNAME",
  "CLIENT_PROTOCOL",
  "DOMAIN",
  "ENVID",
  "EXTENSION",
  "HOME",
  "LOCAL",
  "LOGNAME",
  "ORIGINAL_RECIPIENT",
  "RECIPIENT",
  "SASL_METHOD",
  "SASL_SENDER",
  "SASL_USERNAME",
  "SENDER",
  "SHELL",
  "USER",
]);

/** Milliseconds that a killed program's end is waited for. */
const KILL_WAIT = 5000;

/** What a run needs beside its task. */
export interface ProgramHost {
  /** Has the process group killed that a program leads. */
  killGroup(leader: number): void;
  /** Told of what the sandbox refused: a security event. */
  refused(error: unknown): void;
}

/** What the agent asks for. */
interface Run {
  readonly directory: string;
  readonly arguments: readonly { readonly value: string }[];
  readonly environment: readonly { readonly name: string; readonly value: string }[];
}

/** The runs of one helper. */
export class ProgramRuns {
  readonly #task: ProgramTask;
  readonly #host: ProgramHost;
  readonly #running = new Set<ProgramRun>();

  constructor(task: ProgramTask, host: ProgramHost) {
    this.#task = task;
    this.#host = host;
  }

  /** Handles the requests of the agent. */
  readonly handler: Handler<typeof MAILBOX> = (exchange, message) => {
    if (message.is === "run") {
      if (exchange.state !== undefined) throw new CodecError("Cannot run program: it runs already");
      const run = new ProgramRun(this.#task, this.#host, message);
      exchange.state = run;
      this.#running.add(run);
      run.over.then(() => this.#running.delete(run));
      exchange.onCancel = () => run.abort();
      return;
    }
    const run = runOf(exchange);
    if (message.is === "content") return run.write(message.content);
    if (message.is !== "finish") throw new CodecError("Cannot take request: this helper runs a program");
    return run.finish().then((end) => exchange.reply("ended", end));
  };

  /** Resolves when no program runs any more. */
  async idle(): Promise<void> {
    await Promise.all([...this.#running].map((run) => run.over));
  }

  /** Kills all of them. */
  abort(): void {
    for (const run of this.#running) run.abort();
  }
}

function runOf(exchange: ServerExchange<typeof MAILBOX>): ProgramRun {
  if (exchange.state instanceof ProgramRun) return exchange.state;
  throw new CodecError("Cannot feed program: it does not run");
}

/** One run. */
class ProgramRun {
  readonly #host: ProgramHost;
  #command: RunningCommand | undefined;
  #failure: CommandEnd | undefined;
  #refusesInput = false;
  #timedOut = false;
  #wasKilled = false;
  readonly #killed = Promise.withResolvers<void>();
  readonly #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #over = Promise.withResolvers<void>();

  constructor(task: ProgramTask, host: ProgramHost, run: Run) {
    this.#host = host;
    const environment = { ...task.environment, ...variables(run) };
    try {
      this.#command = RunningCommand.start({
        program: task.program,
        args: [...task.args, ...run.arguments.map(({ value }) => value)],
        environment,
        directory: run.directory,
        outputLimit: OUTPUT_LIMIT,
      });
    } catch (error) {
      if (isSandboxRefusal(error)) host.refused(error);
      const why = error instanceof Error ? error.message : String(error);
      this.#failure = { how: "failed", code: 0, output: encodeText(why).slice(0, OUTPUT_LIMIT) };
      this.#over.resolve();
      return;
    }
    this.#timer = setTimeout(() => {
      this.#timedOut = true;
      this.#kill();
    }, task.timeLimit * 1000);
  }

  /** Resolves when the program has ended. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  async write(content: Uint8Array): Promise<void> {
    if (this.#command === undefined || this.#refusesInput) return;
    const killed = this.#killed.promise.then(() => false);
    // Who escaped the kill and does not read must not hold up the answer.
    this.#refusesInput = !await Promise.race([this.#command.write(content), killed]);
  }

  /** Tells the program that the message is complete, and waits for its end. */
  async finish(): Promise<CommandEnd> {
    const command = this.#command;
    if (command === undefined) return this.#failure ?? { how: "failed", code: 0, output: new Uint8Array(0) };
    try {
      if (!this.#wasKilled) await command.closeInput();
      const status = await this.#ended(command);
      return { ...this.#verdict(status), output: command.output };
    } finally {
      clearTimeout(this.#timer);
      if (!this.#wasKilled) this.#over.resolve();
    }
  }

  /** The agent is gone, or gave up: nothing may come of what the program was given so far. */
  abort(): void {
    clearTimeout(this.#timer);
    const command = this.#command;
    if (command === undefined) return;
    this.#kill();
  }

  #verdict(status: CommandStatus): Pick<CommandEnd, "how" | "code"> {
    if (this.#timedOut) return { how: "timeout", code: 0 };
    return status;
  }

  /** The end of the program and of its output; a killed one's output may be held open by who escaped. */
  async #ended(command: RunningCommand): Promise<CommandStatus> {
    const status = command.status();
    await Promise.race([command.outputEnd(), this.#killed.promise.then(() => status)]);
    await command.closeOutput();
    return await status;
  }

  /** Its input is closed when all of its group are dead: half a message must not look like a whole one. */
  #kill(): void {
    const command = this.#command!;
    this.#wasKilled = true;
    this.#host.killGroup(command.pid);
    command.kill();
    setTimeout(() => {
      command.closeInput();
      this.#over.resolve();
    }, KILL_WAIT);
    this.#killed.resolve();
  }
}

function variables(run: Run): Record<string, string> {
  const out: Record<string, string> = {};
  for (const { name, value } of run.environment) {
    if (!VARIABLES.has(name)) throw new CodecError("Cannot run program: variable is not one of mail's");
    out[name] = value;
  }
  return out;
}
