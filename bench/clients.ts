/**
 * The clients and the sink: Debian's smtp-source and smtp-sink, or Postern's where those are missing, and the latency
 * probe.
 *
 * @module
 */
import { until } from "../tests/commands/mail_system.ts";
import { freePort } from "../tests/support/ports.ts";
import type { Load } from "./cases.ts";
import type { ProbeResult, ProbeTask } from "./latency_probe.ts";

const MAIN = new URL("../main.ts", import.meta.url).pathname;
const PROBE = new URL("latency_probe.ts", import.meta.url).pathname;
const SENDER = "me@bench.test";
/** Milliseconds between two messages of a probe beside a load: at most some tens of messages a second. */
const PROBE_PAUSE = 20;
/** What one load may take, milliseconds. */
const LOAD_LIMIT = 600_000;
/** Connections that smtp-sink lets wait. */
const BACKLOG = 1024;

/** The program and the first arguments that run one of the two test tools. */
function tool(name: "smtp-source" | "smtp-sink"): [program: string, first: string[]] {
  const debians = `/usr/sbin/${name}`;
  return isFile(debians) ? [debians, []] : [Deno.execPath(), ["run", "-A", MAIN, name]];
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** Runs smtp-source to its end. */
export async function runSource(port: number, load: Load, signal: AbortSignal): Promise<void> {
  const [program, first] = tool("smtp-source");
  const options = [
    ...(load.keepOpen ? ["-d"] : []),
    ...(load.numbered ? ["-N"] : []),
    ...["-s", load.sessions, "-m", load.messages, "-l", load.length].map(String),
  ];
  const args = [...first, ...options, "-f", SENDER, "-t", load.to, `127.0.0.1:${port}`];
  const limited = AbortSignal.any([signal, AbortSignal.timeout(LOAD_LIMIT)]);
  const done = await new Deno.Command(program, { args, signal: limited, stdout: "null", stderr: "piped" })
    .output();
  limited.throwIfAborted();
  if (!done.success) throw new Error(`smtp-source: ${new TextDecoder().decode(done.stderr).trim()}`);
}

/** A running smtp-sink. */
export class Sink implements AsyncDisposable {
  readonly port: number = freePort();
  readonly #process: Deno.ChildProcess;

  private constructor() {
    const [program, first] = tool("smtp-sink");
    const user = Deno.uid() === 0 ? ["-u", "nobody"] : [];
    const args = [...first, ...user, `127.0.0.1:${this.port}`, String(BACKLOG)];
    this.#process = new Deno.Command(program, { args, stdout: "null", stderr: "null" }).spawn();
  }

  static async start(): Promise<Sink> {
    const sink = new Sink();
    const deadline = Date.now() + 10_000;
    while (!await answers(sink.port)) {
      if (Date.now() > deadline) throw new Error("Cannot start smtp-sink");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return sink;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await kill(this.#process);
  }
}

async function answers(port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return true;
  } catch {
    return false;
  }
}

/** A latency probe that is connected and waits for its start. */
export class Probe implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #errors: Promise<string>;
  #output = "";
  readonly #ended: Promise<void>;

  private constructor(task: ProbeTask) {
    const args = ["run", "--quiet", "--allow-net=127.0.0.1", PROBE, JSON.stringify(task)];
    const pipes = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
    this.#process = new Deno.Command(Deno.execPath(), { args, ...pipes }).spawn();
    this.#errors = new Response(this.#process.stderr).text();
    this.#ended = this.#collect();
  }

  /** One that sends the whole load, or one that runs beside a load. */
  static async start(port: number, load: Load): Promise<Probe> {
    const { length, recipients, domains } = load;
    const to = load.numbered ? `1${load.to}` : load.to;
    const task = { port, from: SENDER, to, recipients, domains };
    const probe = new Probe(
      load.client === "probe"
        ? { ...task, length, count: load.messages, pause: 0 }
        : { ...task, length: Math.min(length, 1024), count: 0, pause: PROBE_PAUSE },
    );
    let ended = false;
    probe.#process.status.then(() => ended = true);
    await until(() => ended || probe.#output.includes("ready\n"));
    if (!ended) return probe;
    throw new Error(`Cannot probe port ${port}: ${(await probe.#errors).trim()}`);
  }

  async #collect(): Promise<void> {
    for await (const text of this.#process.stdout.pipeThrough(new TextDecoderStream())) this.#output += text;
  }

  async go(): Promise<void> {
    const writer = this.#process.stdin.getWriter();
    await writer.write(new TextEncoder().encode("go\n"));
    writer.releaseLock();
  }

  /** Lets it end its message and its task, and gives what it waited for. */
  async result(signal: AbortSignal): Promise<ProbeResult> {
    const stop = () => this.#process.kill("SIGKILL");
    signal.addEventListener("abort", stop);
    await this.#process.stdin.close();
    const { success } = await this.#process.status;
    signal.removeEventListener("abort", stop);
    signal.throwIfAborted();
    await this.#ended;
    if (!success) throw new Error(`The latency probe failed: ${(await this.#errors).trim()}`);
    return JSON.parse(this.#output.slice("ready\n".length));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.stdin.close().catch(() => {});
    await kill(this.#process);
    await Promise.all([this.#ended, this.#errors]);
  }
}

/** Ends a process if it still runs. */
async function kill(child: Deno.ChildProcess): Promise<void> {
  try {
    child.kill("SIGKILL");
  } catch {
    // It ended before.
  }
  await child.status;
}

/** What a load did: seconds until the last message was accepted, all messages that were sent, the probe's waits. */
export interface Sent {
  readonly seconds: number;
  readonly messages: number;
  readonly probe: ProbeResult;
}

/** Sends a load to a port, with a probe that is connected to it. */
export async function send(port: number, load: Load, probe: Probe, signal: AbortSignal): Promise<Sent> {
  const started = performance.now();
  await probe.go();
  if (load.client === "smtp-source") await runSource(port, load, signal);
  const result = await probe.result(signal);
  const beside = load.client === "smtp-source" ? load.messages : 0;
  return {
    seconds: (performance.now() - started) / 1000,
    messages: beside + result.finals.length,
    probe: result,
  };
}
