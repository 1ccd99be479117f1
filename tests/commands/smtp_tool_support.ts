/**
 * What the tests of smtp-source and smtp-sink share: the programs in this process, Debian's beside them, and a bare
 * client and server to see exactly what goes over the wire.
 *
 * @module
 */
import type { CommandEnv } from "../../commands/command.ts";
import { run as runSink } from "../../commands/smtp_sink.ts";
import { run as runSource } from "../../commands/smtp_source.ts";

export interface Ran {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** Surroundings that keep what is written. */
export function fakeEnv(programName: string): CommandEnv & { output: () => { out: string; err: string } } {
  let out = "", err = "";
  return {
    programName,
    configDirectory: "/nonexistent",
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    writeBytes: (bytes) => void (out += new TextDecoder().decode(bytes)),
    async *stdin() {},
    load: () => ({ configuration: undefined, problems: [] }),
    config: () => {
      throw new Error("no configuration here");
    },
    output: () => ({ out, err }),
  };
}

/** Runs our program in this process. */
export async function ours(program: "smtp-sink" | "smtp-source", args: readonly string[]): Promise<Ran> {
  const env = fakeEnv(program);
  const run = program === "smtp-sink" ? runSink : runSource;
  try {
    const status = await run(args, env);
    return { status, ...env.output() };
  } catch (error) {
    const { out, err } = env.output();
    return {
      status: (error as { status: number }).status,
      out,
      err: `${err}${program}: ${(error as Error).message}\n`,
    };
  }
}

/** Runs Debian's program. */
export async function debians(
  program: "smtp-sink" | "smtp-source",
  args: readonly string[],
  cwd = "/",
): Promise<Ran> {
  const done = await new Deno.Command(`/usr/sbin/${program}`, {
    args: [...args],
    cwd,
    stdout: "piped",
    stderr: "piped",
  })
    .output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { status: done.code, out: text(done.stdout), err: text(done.stderr).replaceAll("/usr/sbin/", "") };
}

/** smtp-sink wants to know whom to become when root starts it. */
export function userOption(): string[] {
  return Deno.uid() === 0 ? ["-u", "nobody"] : [];
}

/** Connects, trying until somebody listens. */
export async function connectSoon(port: number): Promise<Deno.TcpConn> {
  for (let attempt = 0;; attempt++) {
    try {
      return await Deno.connect({ hostname: "127.0.0.1", port });
    } catch (error) {
      if (attempt > 200) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** Says lines and gives all that came back, as one text. */
export async function converse(port: number, lines: readonly string[]): Promise<string> {
  const conn = await connectSoon(port);
  let text = "";
  const buffer = new Uint8Array(65536);
  const readReply = async () => {
    for (;;) {
      const count = await conn.read(buffer).catch(() => null);
      if (count === null) return false;
      const piece = new TextDecoder().decode(buffer.subarray(0, count));
      text += piece;
      const last = text.slice(0, -2).split("\r\n").at(-1)!;
      if (text.endsWith("\r\n") && last[3] === " ") return true;
    }
  };
  let open = await readReply();
  for (const line of lines) {
    if (!open) break;
    await conn.write(new TextEncoder().encode(`${line}\r\n`)).catch(() => {});
    open = await readReply();
  }
  if (!open) text += "<closed>";
  conn.close();
  return text;
}

/** A server that answers from a table and keeps what it was sent. */
export class ScriptedServer implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #replies: ReadonlyMap<string, string>;
  readonly received: string[] = [];
  readonly #done: Promise<void>[] = [];
  readonly #accepting: Promise<void>;

  /** @param replies reply to a verb (`CONNECT` for the greeting, `.` for the end of a message); `close` closes */
  constructor(replies: Readonly<Record<string, string>>) {
    this.#replies = new Map(Object.entries(replies));
    this.#accepting = this.#accept();
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async #accept(): Promise<void> {
    for await (const conn of this.#listener) this.#done.push(this.#serve(conn).catch(() => {}));
  }

  async #serve(conn: Deno.Conn): Promise<void> {
    const say = (verb: string, normal: string) =>
      conn.write(new TextEncoder().encode(`${this.#replies.get(verb) ?? normal}\r\n`));
    await say("CONNECT", "220 hi");
    let rest = "", inData = false;
    const buffer = new Uint8Array(65536);
    for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
      rest += new TextDecoder().decode(buffer.subarray(0, count));
      for (let end = rest.indexOf("\r\n"); end >= 0; end = rest.indexOf("\r\n")) {
        const line = rest.slice(0, end);
        rest = rest.slice(end + 2);
        this.received.push(line);
        const verb: string = inData ? (line === "." ? "." : "") : line.slice(0, 4).toUpperCase();
        if (verb === "") continue;
        if (this.#replies.get(verb) === "close") return conn.close();
        inData = verb === "DATA" && !this.#replies.has("DATA");
        await say(verb, verb === "DATA" ? "354 go" : verb === "QUIT" ? "221 bye" : "250 ok");
      }
    }
    conn.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#accepting.catch(() => {});
    await Promise.all(this.#done);
  }
}
