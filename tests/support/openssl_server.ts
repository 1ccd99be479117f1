/**
 * `openssl s_server` on a port of loopback. Not a test itself.
 *
 * @module
 */

/** A running server; `await using` ends it. */
export class OpensslServer implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  #running = true;

  private constructor(process: Deno.ChildProcess) {
    this.#process = process;
    process.status.then(() => this.#running = false);
  }

  get running(): boolean {
    return this.#running;
  }

  /** Starts one and waits until it accepts. */
  static async start(port: number, args: readonly string[]): Promise<OpensslServer> {
    const process = new Deno.Command("openssl", {
      args: ["s_server", "-accept", `127.0.0.1:${port}`, ...args],
      // It ends when its standard input does.
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const started = new OpensslServer(process);
    await accepts(process);
    return started;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.stdin.close().catch(() => undefined);
    if (this.#running) this.#process.kill("SIGKILL");
    await this.#process.status;
    await Promise.allSettled([this.#process.stdout.cancel(), this.#process.stderr.cancel()]);
  }
}

/** Waits for "ACCEPT", which it says when it listens; its output is read to the end from then on. */
async function accepts(process: Deno.ChildProcess): Promise<void> {
  const reader = process.stdout.getReader();
  let text = "";
  while (!text.includes("ACCEPT")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`openssl s_server ended: ${text}`);
    text += new TextDecoder().decode(value);
  }
  reader.releaseLock();
}
