/**
 * The filter of scripted_filter.py, which stands on Debian's libmilter: started with a script, and what it was told. Not
 * a test itself.
 *
 * @module
 */
import { until } from "../commands/mail_system.ts";
import type { Script } from "./milter_cases.ts";

/** The interpreter that Debian's package is for. */
export const DEBIAN_PYTHON = "/usr/bin/python3";

/** One thing that the filter was told, with the macros that it knew then. */
export interface ToldEvent {
  readonly event: string;
  readonly data: readonly string[];
  readonly macros: Readonly<Record<string, string>>;
}

/** A filter; `await using` ends it. */
export class ScriptedFilter implements AsyncDisposable {
  readonly root: string = Deno.makeTempDirSync({ prefix: "filter-" });
  readonly socket: string = `${this.root}/socket`;
  readonly #log = `${this.root}/log`;
  readonly #options: readonly string[];
  #child: Deno.ChildProcess | undefined;

  /** @param options "space", "rejected": what it asks for when it negotiates */
  constructor(options: readonly string[] = []) {
    this.#options = options;
    Deno.chmodSync(this.root, 0o755); // mail systems run as others
  }

  /** Starts it, or starts it anew with another script. */
  async start(script: Readonly<Record<string, Script>>): Promise<void> {
    await this.#stop();
    const path = `${this.root}/script.json`;
    Deno.writeTextFileSync(path, JSON.stringify(script));
    const program = new URL("./scripted_filter.py", import.meta.url).pathname;
    const args = [program, `unix:${this.socket}`, this.#log, path, ...this.#options];
    this.#child = new Deno.Command(DEBIAN_PYTHON, { args, stdin: "null" }).spawn();
    const listens = () => {
      try {
        return Deno.statSync(this.socket).isSocket === true;
      } catch {
        return false;
      }
    };
    if (!await until(listens)) throw new Error("the filter does not listen");
    Deno.chmodSync(this.socket, 0o777);
  }

  /** What it was told since the last call, up to an event that must come. */
  async told(last = "close"): Promise<ToldEvent[]> {
    const events = () => this.#events();
    if (!await until(() => events().some(({ event }) => event === last))) {
      throw new Error(`the filter was told of no ${last}: ${JSON.stringify(events())}`);
    }
    const found = events();
    Deno.removeSync(this.#log);
    return found;
  }

  #events(): ToldEvent[] {
    try {
      return Deno.readTextFileSync(this.#log).split("\n").filter((line) => line !== "").map((line) => {
        const [event, data, macros] = JSON.parse(line);
        return { event, data, macros };
      });
    } catch {
      return []; // nothing was written yet, or half a line
    }
  }

  async #stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    child.kill("SIGKILL");
    await child.status;
    Deno.removeSync(this.socket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
    Deno.removeSync(this.root, { recursive: true });
  }
}
