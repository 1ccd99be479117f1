/**
 * Running a program for a user: standard input fed piece by piece, the beginning of its output kept, in a session of
 * its own. Nothing of `node:` is loaded: a process that runs one program should start fast and be small.
 *
 * Permissions needed: run on exactly that program.
 *
 * @module
 */
import { errorCode, isMissing, SystemError } from "./error.ts";

/** How a program is started. */
export interface CommandOptions {
  /** Absolute path. */
  readonly program: string;
  readonly args: readonly string[];
  /** The whole environment. */
  readonly environment: Readonly<Record<string, string>>;
  readonly directory: string;
  /** Bytes of standard output and standard error that are kept; the rest is thrown away. */
  readonly outputLimit: number;
}

/** How a program ended: its exit status, or the number of the signal that ended it. */
export interface CommandStatus {
  readonly how: "exit" | "signal";
  readonly code: number;
}

/**
 * Bytes of output that are read and thrown away beyond what is kept: a program that says a little too much is to end by
 * its own exit status, not by a broken pipe.
 */
const BEYOND_LIMIT = 1024 * 1024;

/** A signal's number is told as the exit status that a shell would give. */
const SIGNAL_BASE = 128;

/** A program that runs. It leads a session and process group of its own, whose number is its own. */
export class RunningCommand {
  readonly pid: number;
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #readers: ReadableStreamDefaultReader<Uint8Array>[];
  readonly #output: Uint8Array<ArrayBuffer>;
  readonly #read: Promise<void>;
  #length = 0;
  /** Bytes of output that were thrown away. */
  #beyond = 0;
  #inputDone = Promise.withResolvers<void>();

  private constructor(child: Deno.ChildProcess, outputLimit: number) {
    this.#child = child;
    this.pid = child.pid;
    this.#input = child.stdin.getWriter();
    this.#output = new Uint8Array(outputLimit);
    this.#readers = [child.stdout.getReader(), child.stderr.getReader()];
    this.#read = Promise.all(this.#readers.map((reader) => this.#gather(reader))).then(() => {});
  }

  /** Starts it; throws a `SystemError` when it cannot be started. */
  static start(options: CommandOptions): RunningCommand {
    return new RunningCommand(startChild(options), options.outputLimit);
  }

  /** Gives it bytes on its standard input; false when it takes no more. */
  async write(bytes: Uint8Array): Promise<boolean> {
    try {
      await this.#input.write(Uint8Array.from(bytes));
      return true;
    } catch (error) {
      if (isClosedPipe(error)) return false;
      throw new SystemError("write to", "command", error);
    }
  }

  /** Says that all of the message was written: it sees the end of its input. */
  async closeInput(): Promise<void> {
    this.#inputDone.resolve();
    await this.#input.close().catch(() => {}); // it may have closed its end
  }

  /** Resolves when it has ended. Processes that it started may go on. */
  async status(): Promise<CommandStatus> {
    return await endOf(this.#child);
  }

  /** Resolves when nobody writes to its output any more, or too much has come. */
  async outputEnd(): Promise<void> {
    await this.#read;
  }

  /** What it has written so far. */
  get output(): Uint8Array<ArrayBuffer> {
    return this.#output.slice(0, this.#length);
  }

  /** Reads no more of its output, whoever still writes to it. */
  async closeOutput(): Promise<void> {
    for (const reader of this.#readers) await reader.cancel().catch(() => {});
  }

  /** Kills the program itself; what it started is its group's. */
  kill(): void {
    killChild(this.#child);
  }

  async #gather(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    try {
      for (;;) {
        if (this.#beyond > BEYOND_LIMIT) {
          // A program that never stops writing gets SIGPIPE, but not before it has the message.
          await this.#inputDone.promise;
          await reader.cancel();
          return;
        }
        const { value, done } = await reader.read();
        if (done) return;
        const piece = value.subarray(0, this.#output.length - this.#length);
        this.#output.set(piece, this.#length);
        this.#length += piece.length;
        this.#beyond += value.length - piece.length;
      }
    } catch (error) {
      if (!isClosedPipe(error)) throw error;
    }
  }
}

function isClosedPipe(error: unknown): boolean {
  return error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.BadResource ||
    error instanceof Deno.errors.Interrupted || errorCode(error) === "EPIPE" || error instanceof TypeError;
}

/** A program whose input and output belong to a connection: nothing of what it writes is kept. */
export class ConnectedCommand {
  readonly pid: number;
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #readers: readonly ReadableStreamDefaultReader<Uint8Array>[];

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.pid = child.pid;
    this.#input = child.stdin.getWriter();
    this.#readers = [child.stdout.getReader(), child.stderr.getReader()];
  }

  /** Starts it; throws a `SystemError` when it cannot be started. */
  static start(options: Omit<CommandOptions, "outputLimit">): ConnectedCommand {
    return new ConnectedCommand(startChild(options));
  }

  /** Gives it bytes on its standard input; false when it takes no more. */
  async write(bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
    try {
      await this.#input.write(bytes);
      return true;
    } catch (error) {
      if (isClosedPipe(error)) return false;
      throw new SystemError("write to", "command", error);
    }
  }

  /** It sees the end of its input. */
  async closeInput(): Promise<void> {
    await this.#input.close().catch(() => {}); // it may have closed its end
  }

  /**
   * Hands on what it writes, until nobody writes to its output any more.
   *
   * @param take is waited for before more is read
   */
  async output(take: (bytes: Uint8Array) => Promise<void>): Promise<void> {
    await Promise.all(this.#readers.map(async (reader) => {
      try {
        for (;;) {
          const { value, done } = await reader.read();
          if (done) return;
          await take(value);
        }
      } catch (error) {
        if (!isClosedPipe(error)) throw error;
      }
    }));
  }

  /** Resolves when it has ended. Processes that it started may go on. */
  async status(): Promise<CommandStatus> {
    return await endOf(this.#child);
  }

  /** Lets go of its input and output, whoever still holds the other ends. */
  async close(): Promise<void> {
    await this.closeInput();
    for (const reader of this.#readers) await reader.cancel().catch(() => {});
  }

  /** Kills the program itself; what it started is its group's. */
  kill(): void {
    killChild(this.#child);
  }
}

/** Starts a program with three pipes, as the leader of a session and group of its own. */
function startChild(options: Omit<CommandOptions, "outputLimit">): Deno.ChildProcess {
  try {
    return new Deno.Command(options.program, {
      args: [...options.args],
      env: { ...options.environment },
      clearEnv: true,
      cwd: options.directory,
      detached: true,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    throw new SystemError("run", options.program, error);
  }
}

async function endOf(child: Deno.ChildProcess): Promise<CommandStatus> {
  const { code, signal } = await child.status;
  return signal === null ? { how: "exit", code } : { how: "signal", code: code - SIGNAL_BASE };
}

function killChild(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch (error) {
    // It may have ended.
    if (!(error instanceof TypeError) && !isMissing(error)) throw new SystemError("kill", "command", error);
  }
}
