/**
 * A runtime whose processes have a clock of their own, which a test can step: the real runtime with a small library in
 * front of the system's (stepped_clock.c) that adds an offset to the time of day. Monotonic time goes on as it is, and
 * so do the times that the kernel gives to files. Needs tcc and patchelf. Not a test itself.
 *
 * @module
 */
import { decode } from "./postern.ts";

const SOURCE = new URL("stepped_clock.c", import.meta.url).pathname;

/** The runtime with its clock; `using` removes it. */
export class SteppedClock implements Disposable {
  /** Path of the runtime. */
  readonly runtime: string;
  readonly #directory: string;

  constructor() {
    this.#directory = Deno.makeTempDirSync({ prefix: "postern-clock-" });
    this.runtime = `${this.#directory}/deno`;
    Deno.chmodSync(this.#directory, 0o755); // daemons may run as others
    const library = `${this.#directory}/libclock.so`;
    this.step(0);
    run("tcc", "-shared", `-DOFFSET="${this.#offset}"`, "-o", library, SOURCE);
    Deno.copyFileSync(Deno.execPath(), this.runtime);
    Deno.chmodSync(this.runtime, 0o755);
    run("patchelf", "--add-needed", library, this.runtime);
  }

  /** From now on the time of day is that many seconds from the real one. */
  step(seconds: number): void {
    Deno.writeTextFileSync(`${this.#offset}.new`, String(seconds));
    Deno.renameSync(`${this.#offset}.new`, this.#offset);
  }

  get #offset(): string {
    return `${this.#directory}/offset`;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#directory, { recursive: true });
  }
}

function run(program: string, ...args: string[]): void {
  const { success, stderr } = new Deno.Command(program, { args }).outputSync();
  if (!success) throw new Error(`${program} ${args.join(" ")}: ${decode(stderr)}`);
}
