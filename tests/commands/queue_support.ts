/** A queue with its configuration, and queue commands run on it in this process. Not a test itself. @module */
import { type Command, CommandError, makeEnv } from "../../commands/command.ts";
import { queueFile } from "../support/messages.ts";
import type { ProgramRun } from "./command_support.ts";
import { ScratchSystem } from "./command_support.ts";

/** Directories beside those that ScratchSystem makes. */
const DIRECTORIES = [
  "active",
  "incoming",
  "deferred",
  "hold",
  "bounce",
  "defer",
  "trace",
  "flush",
  "private",
  "pid",
];

export class QueueBench implements Disposable {
  readonly system: ScratchSystem;

  constructor(main = "") {
    this.system = new ScratchSystem(main);
    for (const name of DIRECTORIES) Deno.mkdirSync(this.path(name));
  }

  path(name: string): string {
    return `${this.system.queue.root}/${name}`;
  }

  /** Puts a file there, its directory too, and gives its inode number. */
  put(name: string, bytes: Uint8Array = queueFile(), mode = 0o700): number {
    const path = this.path(name);
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    Deno.writeFileSync(path, bytes);
    Deno.chmodSync(path, mode);
    return Deno.lstatSync(path).ino!;
  }

  /** Every file below these directories, sorted. */
  files(...names: string[]): string[] {
    const found: string[] = [];
    const walk = (name: string) => {
      for (const entry of Deno.readDirSync(this.path(name))) {
        if (entry.isDirectory) walk(`${name}/${entry.name}`);
        else found.push(`${name}/${entry.name}`);
      }
    };
    for (const name of names) walk(name);
    return found.sort();
  }

  /** Runs a command as the dispatcher does. */
  async run(program: string, run: Command, args: readonly string[], input = ""): Promise<ProgramRun> {
    let out = "";
    let err = "";
    const decoder = new TextDecoder("latin1");
    const env = {
      ...makeEnv(program, this.system.config),
      out: (text: string) => void (out += text),
      err: (text: string) => void (err += text),
      writeBytes: (bytes: Uint8Array) => void (out += decoder.decode(bytes)),
      stdin: async function* (): AsyncGenerator<Uint8Array> {
        yield new TextEncoder().encode(input);
      },
    };
    try {
      return { status: await run(args, env), out, err };
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      return { status: error.status, out, err: `${err}${program}: ${error.message}\n` };
    }
  }

  [Symbol.dispose](): void {
    this.system[Symbol.dispose]();
  }
}
