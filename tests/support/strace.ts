/** System calls of a process, as strace sees them. Not a test itself. @module */
import assert from "node:assert/strict";
import { until } from "../commands/mail_system.ts";

/** A system call as strace wrote it down. */
export interface Call {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly text: string;
  /** What it returned. */
  readonly result: number;
}

/** True when every thread of the process has a tracer. */
function isTraced(pid: number): boolean {
  try {
    return [...Deno.readDirSync(`/proc/${pid}/task`)].every(({ name }) =>
      !Deno.readTextFileSync(`/proc/${pid}/task/${name}/status`).includes("TracerPid:\t0\n")
    );
  } catch {
    return false; // a thread ended meanwhile: look again
  }
}

/** Watches the system calls of a process; `inject` makes some of them fail. */
export class Trace implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #path: string;

  private constructor(process: Deno.ChildProcess, path: string) {
    this.#process = process;
    this.#path = path;
  }

  static async attach(pid: number, calls: string, ...more: string[]): Promise<Trace> {
    const path = Deno.makeTempFileSync({ prefix: "postern-strace-" });
    const args = ["-f", "-ttt", "-y", "-e", `trace=${calls}`, ...more, "-o", path, "-p", String(pid)];
    const process = new Deno.Command("strace", { args, stdin: "null", stdout: "null", stderr: "piped" })
      .spawn();
    // It says "Process N attached" once it watches.
    const reader = process.stderr.getReader();
    const { value } = await reader.read();
    const said = new TextDecoder().decode(value);
    if (!said.includes("attached")) throw new Error(`strace: ${said}`);
    (async () => {
      while (!(await reader.read()).done);
    })();
    // It attaches to one thread after the other: all are watched when each names a tracer.
    assert.ok(await until(() => isTraced(pid)), `strace did not attach to every thread of ${pid}`);
    return new Trace(process, path);
  }

  /**
   * Ends strace once the process that it watches has been killed: it may miss the end of one thread, and then the
   * process is held half dead, with its sockets open.
   */
  async letGoWhenKilled(): Promise<void> {
    const killed = () => Deno.readTextFileSync(this.#path).includes("+++ killed by SIGKILL +++");
    assert.ok(await until(killed), "the process was not killed");
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }

  /** The calls that succeeded, in the order in which they ended. */
  calls(): Call[] {
    const begun = new Map<string, string>();
    return Deno.readTextFileSync(this.#path).split("\n").flatMap((line): Call[] => {
      const [, thread = "", time, text = ""] = /^(\d+) +(\d+\.\d+) (.*)$/.exec(line) ?? [];
      if (text.endsWith("<unfinished ...>")) begun.set(thread, text);
      const result = / = (\d+)(<[^>]*>)?$/.exec(text)?.[1];
      if (result === undefined) return [];
      const whole = text.startsWith("<...") ? begun.get(thread) ?? "" : text;
      return [{ time: Number(time) * 1000, text: whole, result: Number(result) }];
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGINT");
    } catch {
      // What it watched has ended, and it with it.
    }
    await this.#process.status;
    Deno.removeSync(this.#path);
  }
}
