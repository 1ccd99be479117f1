/**
 * A mail system of a test: a configuration in a temporary directory, the dispatcher's programs on it, and the
 * processes that it has.
 */
import { type TrialPaths, trialPaths, writeTrialConfiguration } from "../../commands/trial_configuration.ts";
import { freePort } from "../support/ports.ts";

export const MAIN = new URL("../../main.ts", import.meta.url).pathname;

/** What a program did. */
export interface Done {
  readonly status: number;
  readonly output: string;
  readonly errors: string;
}

/** A configuration like the trial's; nothing runs. */
export class MailSystem {
  readonly paths: TrialPaths;
  readonly port: number;

  private constructor(root: string, port: number) {
    this.paths = trialPaths(root);
    this.port = port;
  }

  static async make(port: number = freePort()): Promise<MailSystem> {
    const system = new MailSystem(Deno.makeTempDirSync({ prefix: "postern-" }), port);
    for (const path of [system.paths.configuration, system.paths.mail, system.paths.queue]) {
      Deno.mkdirSync(path);
    }
    await writeTrialConfiguration(system.paths, system.port);
    return system;
  }

  /** Runs one of the programs on this configuration. */
  async run(...args: string[]): Promise<Done> {
    const command = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", MAIN, "-c", this.paths.configuration, ...args],
    });
    const { code, stdout, stderr } = await command.output();
    return {
      status: code,
      output: new TextDecoder().decode(stdout),
      errors: new TextDecoder().decode(stderr),
    };
  }

  log(): string {
    return Deno.readTextFileSync(this.paths.log);
  }

  /** Numbers of the processes whose command line names this configuration's directories. */
  processes(): number[] {
    return processTable().filter(({ args }) => args.some((arg) => arg.includes(this.paths.root))).map((
      { pid },
    ) => pid);
  }

  /** Ends what a failed test left running, and removes the directory. */
  async remove(): Promise<void> {
    for (const pid of this.processes()) {
      try {
        Deno.kill(pid, "SIGKILL");
      } catch {
        continue; // it ended meanwhile
      }
    }
    await until(() => this.processes().length === 0);
    Deno.removeSync(this.paths.root, { recursive: true });
  }
}

/** A process and its command line. */
export interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  /** When it was started: numbers are used again. */
  readonly started: string;
  readonly args: readonly string[];
}

/** Every process of the system. */
export function processTable(): ProcessEntry[] {
  const found: ProcessEntry[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue;
    try {
      const args = Deno.readTextFileSync(`/proc/${name}/cmdline`).split("\0").slice(0, -1);
      const stat = Deno.readTextFileSync(`/proc/${name}/stat`);
      // proc(5): parent and start are the second and the twentieth field behind the name.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      found.push({ pid: Number(name), parent: Number(fields[1]), started: fields[19] ?? "", args });
    } catch {
      continue; // it ended meanwhile
    }
  }
  return found;
}

/** Waits until something holds; false when it does not in time. */
export async function until(holds: () => boolean, milliseconds = 60_000): Promise<boolean> {
  const deadline = Date.now() + milliseconds;
  while (!holds()) {
    if (Date.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}
