/**
 * Where a benchmark ran: the facts that its figures depend on.
 *
 * @module
 */

export interface Machine {
  readonly processor: string;
  readonly cpus: number;
  /** GiB. */
  readonly memory: number;
  /** Load average of the last minute before the start. */
  readonly load: number;
  readonly kernel: string;
  readonly deno: string;
  /** Commit that is measured; a "+" where files differ from it. */
  readonly postern: string;
  /** Empty where Postfix is not measured. */
  readonly postfix: string;
}

/** The facts of this machine. */
export function readMachine(withPostfix: boolean): Machine {
  const model = Deno.readTextFileSync("/proc/cpuinfo").split("\n").find((line) =>
    line.startsWith("model name")
  );
  return {
    processor: model?.split(": ")[1]?.trim() ?? Deno.build.arch,
    cpus: navigator.hardwareConcurrency,
    memory: Deno.systemMemoryInfo().total / 2 ** 30,
    load: Deno.loadavg()[0]!,
    kernel: Deno.osRelease(),
    deno: Deno.version.deno,
    postern: commit(),
    postfix: withPostfix ? output("/usr/sbin/postconf", "-h", "mail_version") : "",
  };
}

/** The facts in a line or two. */
export function describeMachine(machine: Machine): string {
  const { processor, cpus, memory, load, kernel, deno, postern, postfix } = machine;
  return `${cpus} CPUs (${processor}), ${memory.toFixed(1)} GiB, load average before the start ${
    load.toFixed(2)
  }, Linux ${kernel}\nPostern ${postern} on Deno ${deno}, ${
    postfix === "" ? "no Postfix" : `Postfix ${postfix}`
  }`;
}

/** The type of the file system that holds a directory. */
export function fileSystemType(directory: string): string {
  return output("stat", "-f", "-c", "%T", directory);
}

function commit(): string {
  const root = new URL("..", import.meta.url).pathname;
  const id = output("git", "-C", root, "rev-parse", "--short", "HEAD");
  if (id === "") return "(unknown commit)";
  return output("git", "-C", root, "status", "--porcelain") === "" ? id : `${id}+`;
}

/** What a program prints; empty where it fails or is missing. */
function output(program: string, ...args: string[]): string {
  try {
    const { success, stdout } = new Deno.Command(program, { args, stderr: "null" }).outputSync();
    return success ? new TextDecoder().decode(stdout).trim() : "";
  } catch {
    return "";
  }
}

/** A tmpfs that is mounted while it is used. */
export class MountedTmpfs implements Disposable {
  readonly path: string = Deno.makeTempDirSync({ prefix: "postern-bench-" });

  constructor() {
    const args = ["-t", "tmpfs", "-o", "size=3g,mode=755", "tmpfs", this.path];
    const done = new Deno.Command("mount", { args, stderr: "piped" }).outputSync();
    if (done.success) return;
    Deno.removeSync(this.path);
    throw new Error(`Cannot mount tmpfs: ${new TextDecoder().decode(done.stderr).trim()}`);
  }

  [Symbol.dispose](): void {
    new Deno.Command("umount", { args: [this.path] }).outputSync();
    Deno.removeSync(this.path);
  }
}
