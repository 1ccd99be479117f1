/**
 * Postern beside Debian's Postfix: messages per second from end to end, processor time per message, and memory.
 *
 * `deno task bench [--pairs N] [--messages N] [--disk DIR] [--tmpfs DIR] [--json]`. Both systems run at the same time
 * on the same file system, each with a directory of its own, and are driven in turn, Postfix then Postern, by the same
 * `smtp-source -s 20 -d` with messages of 1 KiB; the discard transport drops them. Before the first pair each gets a
 * quarter of the load to warm up. It measures on the disk, below --disk (default: the system's temporary directory),
 * and on a tmpfs: the one of --tmpfs, or one that it mounts below the temporary directory when root runs it.
 *
 * Without Postfix, or without root, which Postfix needs, Postern alone is measured.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { type Figures, type Load, measure } from "./measure.ts";
import { formatSection, type Section, sectionJson } from "./report.ts";
import { hasPostfix, type Running, startPostern, startPostfix } from "./systems.ts";

interface Options {
  readonly pairs: number;
  readonly load: Load;
  readonly disk: string;
  readonly tmpfs: string | undefined;
  readonly json: boolean;
}

function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: args.filter((arg) => arg !== "--"),
    options: {
      pairs: { type: "string", default: "3" },
      messages: { type: "string", default: "4000" },
      disk: { type: "string", default: Deno.env.get("TMPDIR") ?? "/tmp" },
      tmpfs: { type: "string" },
      json: { type: "boolean", default: false },
    },
  });
  return {
    pairs: positive("pairs", values.pairs),
    load: { messages: positive("messages", values.messages), sessions: 20, length: 1024 },
    disk: values.disk,
    tmpfs: values.tmpfs,
    json: values.json,
  };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new Error(`--${name} "${text}" is not a positive number`);
  }
  return value;
}

/** Runs both systems, or Postern alone, below a directory. */
async function runSection(
  name: string,
  directory: string,
  { pairs, load }: Options,
  signal: AbortSignal,
): Promise<Section> {
  await using stack = new AsyncDisposableStack();
  const systems: Running[] = [];
  if (hasPostfix()) systems.push(stack.use(await startPostfix(directory)));
  systems.push(stack.use(await startPostern(directory)));
  const warmUp = { ...load, messages: Math.max(load.sessions, Math.ceil(load.messages / 4)) };
  for (const system of systems) await measure(system, warmUp, signal);
  const figures = new Map<string, Figures[]>(systems.map((system) => [system.name, []]));
  for (let pair = 0; pair < pairs; pair++) {
    for (const system of systems) figures.get(system.name)!.push(await measure(system, load, signal));
  }
  const place = `${directory}, ${fileSystemType(directory)}`;
  return { name, place, postern: figures.get("Postern")!, postfix: figures.get("Postfix") ?? [] };
}

function fileSystemType(directory: string): string {
  const done = new Deno.Command("stat", { args: ["-f", "-c", "%T", directory] }).outputSync();
  return new TextDecoder().decode(done.stdout).split("\n")[0]!;
}

/** A tmpfs that is mounted while it is used. */
class MountedTmpfs implements Disposable {
  readonly path: string = Deno.makeTempDirSync({ prefix: "postern-bench-" });

  constructor() {
    const args = ["-t", "tmpfs", "-o", "size=2g,mode=755", "tmpfs", this.path];
    const done = new Deno.Command("mount", { args, stderr: "piped" }).outputSync();
    if (done.success) return;
    Deno.removeSync(this.path);
    throw new Error(`Cannot mount tmpfs: ${new TextDecoder().decode(done.stderr)}`);
  }

  [Symbol.dispose](): void {
    new Deno.Command("umount", { args: [this.path] }).outputSync();
    Deno.removeSync(this.path);
  }
}

/** Every section that can be measured here, one after the other. */
async function* sections(options: Options, signal: AbortSignal): AsyncGenerator<Section> {
  yield await runSection("disk", options.disk, options, signal);
  if (options.tmpfs !== undefined) yield await runSection("tmpfs", options.tmpfs, options, signal);
  else if (Deno.uid() === 0) {
    using tmpfs = new MountedTmpfs();
    yield await runSection("tmpfs", tmpfs.path, options, signal);
  }
}

async function main(options: Options): Promise<void> {
  const say = (text: string) => options.json || console.log(text);
  const { messages, sessions, length } = options.load;
  const machine = {
    cpus: navigator.hardwareConcurrency,
    load: Deno.loadavg()[0]!,
    kernel: Deno.osRelease(),
    runtime: Deno.version.deno,
  };
  say(
    `${options.pairs} pairs of ${messages} messages of ${length} bytes over ${sessions} sessions; ${machine.cpus} CPUs, ` +
      `load average before the start ${
        machine.load.toFixed(2)
      }, Linux ${machine.kernel}, Deno ${machine.runtime}\n`,
  );
  if (!hasPostfix()) {
    console.error(
      "Debian's Postfix is not measured: it takes root, and `apt-get install postfix` where it is missing.\n",
    );
  }
  // Ctrl-C stops both systems, and unmounts what was mounted.
  const interrupted = new AbortController();
  Deno.addSignalListener("SIGINT", () => interrupted.abort(new Error("Interrupted")));
  const done: Section[] = [];
  for await (const section of sections(options, interrupted.signal)) {
    done.push(section);
    say(formatSection(section));
  }
  if (options.json) {
    const result = { load: options.load, machine, sections: done.map((section) => sectionJson(section)) };
    console.log(JSON.stringify(result, undefined, 2));
  }
}

try {
  await main(readOptions(Deno.args));
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : error}`);
  Deno.exit(1);
}
