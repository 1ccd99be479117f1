/**
 * The trial's master as a child process.
 *
 * @module
 */
// Safe primitives
import { type Child, openLogDescriptor, startProcess } from "../lib/safe/process.ts";
// This program
import { isDaemon, masterLaunch, type MasterStatus, masterStatus, pause } from "./master_control.ts";
import { signalProcess } from "../lib/safe/process.ts";
import type { TrialPaths } from "./trial_configuration.ts";

/** What master may take to start, and to end, milliseconds. */
const START_TIMEOUT = 60_000;
const STOP_TIMEOUT = 12_000;

/** A running mail system that ends with us. */
export class TrialSystem {
  readonly #child: Child;
  readonly #paths: TrialPaths;
  #over: string | undefined;
  /** Resolves when master ends, with how it did. */
  readonly ended: Promise<string>;

  private constructor(child: Child, paths: TrialPaths) {
    this.#child = child;
    this.#paths = paths;
    this.ended = child.ended.then(({ status, signal }) => {
      this.#over = signal === "" ? `status ${status}` : `signal ${signal}`;
      return this.#over;
    });
  }

  /**
   * Starts master, in a session of its own: Ctrl-C is for the trial, which then ends it in good order.
   *
   * @param under a program and its arguments that runs master in its own place, as `strace -D` does
   */
  static async start(paths: TrialPaths, under: readonly string[] = []): Promise<TrialSystem> {
    const launch = masterLaunch(paths.configuration, ["--log", paths.log, "--attached", "yes"]);
    const errors = openLogDescriptor(paths.log, 0o600);
    const [program = "", ...args] = [...under, launch.program, ...launch.args];
    const child = await startProcess({ ...launch, program, args, descriptors: [], errors, ownSession: true });
    return new TrialSystem(child, paths);
  }

  /** Waits until every socket is bound; says what runs. Throws when master ends instead. */
  async ready(): Promise<string> {
    const deadline = Date.now() + START_TIMEOUT;
    for (;;) {
      const status = this.#status();
      if (status !== undefined) {
        return `PID ${this.#child.pid}, every socket is bound, log in ${this.#paths.log}`;
      }
      if (this.#over !== undefined) {
        throw new Error(`Cannot start the mail system: master ended (${this.#over})`);
      }
      if (Date.now() > deadline) throw new Error("Cannot start the mail system: master is not ready");
      await pause(10);
    }
  }

  /** Ends the mail system; no process of it is left. */
  async stop(): Promise<void> {
    const children = (this.#status()?.processes ?? []).map((process) => process.pid);
    this.#child.kill("SIGTERM");
    await Promise.race([this.ended, pause(STOP_TIMEOUT)]);
    if (this.#over === undefined) {
      this.#child.kill("SIGKILL");
      await this.ended;
    }
    for (const pid of children) if (isDaemon(pid)) signalProcess(pid, "SIGKILL");
  }

  #status(): MasterStatus | undefined {
    const status = masterStatus(this.#paths.queue);
    return status?.pid === this.#child.pid ? status : undefined;
  }
}
