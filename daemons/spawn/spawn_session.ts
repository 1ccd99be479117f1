/**
 * One connection and its program: bytes both ways, as fast as the slower side takes them, until the program has ended.
 */
// Safe primitives
import type { Channel } from "../../lib/safe/channel.ts";
import { type CommandStatus, ConnectedCommand } from "../../lib/safe/command.ts";
// Utility
import type { Logger } from "../../lib/log/log.ts";
// Server skeleton
import type { ProgramTask } from "../../lib/server/boot.ts";

/** Bytes from the client that wait for the program; more stops reading from the client. */
const INPUT_LIMIT = 64 * 1024;
/** How long a killed program's end is waited for before its output is given up, milliseconds. */
const KILL_WAIT = 5000;

/** What a session needs beside its task. */
export interface SpawnHost {
  readonly log: Pick<Logger, "warning">;
  /** Where programs run. */
  readonly directory: string;
  /** Has the process group killed that a program leads. */
  killGroup(leader: number): void;
  /** The program cannot be started. */
  trouble(error: unknown): void;
}

/** A program that serves a connection. */
export class SpawnSession {
  readonly #task: ProgramTask;
  readonly #host: SpawnHost;
  readonly #channel: Channel;
  readonly #command: ConnectedCommand;
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #over = Promise.withResolvers<void>();
  /** Writes to the program, one behind the other. */
  #fed: Promise<void> = Promise.resolve();
  #waiting = 0;
  #inputEnded = false;
  #drained = Promise.withResolvers<void>();
  #gone = false;
  #timedOut = false;

  private constructor(task: ProgramTask, host: SpawnHost, channel: Channel) {
    this.#task = task;
    this.#host = host;
    this.#channel = channel;
    const { program, args, environment } = task;
    this.#command = ConnectedCommand.start({ program, args, environment, directory: host.directory });
    this.#timer = setTimeout(() => this.#timeOut(), task.timeLimit * 1000);
    channel.start({
      data: (bytes) => this.#feed(bytes),
      ended: () => this.#endInput(),
      closed: () => this.#leave(),
      drained: () => this.#drained.resolve(),
    });
    this.#run().catch((error) => host.trouble(error)).finally(() => this.#over.resolve());
  }

  /** Starts the program for a connection; without one the connection is closed. */
  static start(task: ProgramTask, host: SpawnHost, channel: Channel): SpawnSession | undefined {
    try {
      return new SpawnSession(task, host, channel);
    } catch (error) {
      host.trouble(error);
      channel.destroy();
      return undefined;
    }
  }

  /** Resolves when the program has ended and its output has gone out. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  /** Kills the program. */
  kill(): void {
    this.#command.kill();
  }

  async #run(): Promise<void> {
    const output = this.#command.output((bytes) => this.#pass(bytes));
    const status = await this.#command.status();
    clearTimeout(this.#timer);
    // What it started may hold its output open for ever.
    const patience = this.#timedOut ? KILL_WAIT : this.#task.timeLimit * 1000;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, patience));
    await Promise.race([output, late]);
    clearTimeout(timer);
    await this.#command.close();
    this.#channel.finish();
    this.#report(status);
  }

  #report({ how, code }: CommandStatus): void {
    const name = `command ${this.#task.program}`;
    if (this.#timedOut) return;
    if (how === "signal") this.#host.log.warning(`${name} killed by signal ${code}`);
    else if (code !== 0) this.#host.log.warning(`${name} exit status ${code}`);
  }

  #feed(bytes: Uint8Array): void {
    const copy = bytes.slice();
    this.#waiting += copy.length;
    if (this.#waiting > INPUT_LIMIT) this.#channel.pause();
    this.#fed = this.#fed.then(async () => {
      // A program that takes no more input may still have something to say.
      await this.#command.write(copy);
      this.#waiting -= copy.length;
      if (this.#waiting <= INPUT_LIMIT) this.#channel.resume();
    }).catch((error) => this.#host.trouble(error));
  }

  #endInput(): void {
    if (this.#inputEnded) return;
    this.#inputEnded = true;
    this.#fed = this.#fed.then(() => this.#command.closeInput());
  }

  #leave(): void {
    this.#gone = true;
    this.#drained.resolve();
    this.#endInput();
  }

  /** Passes output on; waits while the client is slower. */
  async #pass(bytes: Uint8Array): Promise<void> {
    if (this.#gone || this.#channel.write(bytes)) return;
    this.#drained = Promise.withResolvers();
    await this.#drained.promise;
  }

  #timeOut(): void {
    this.#timedOut = true;
    this.#host.log.warning(`command ${this.#task.program}: command time limit exceeded`);
    // All that it has started goes with it; where the group cannot be killed, the program itself can.
    this.#host.killGroup(this.#command.pid);
    this.#command.kill();
  }
}
