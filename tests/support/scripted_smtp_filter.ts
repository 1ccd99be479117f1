/** An SMTP server of a test's own that answers by a script and keeps what it hears. Not a test itself. @module */

/** How the filter behaves: replies by command word; what is missing is answered with "250 2.0.0 Ok". */
export interface FilterScript {
  readonly greeting?: string;
  /** Lines of the EHLO reply behind the first. */
  readonly offers?: readonly string[];
  /** Replies by the beginning of a command line, the longest that fits; "." is the end of data, "body" is said amid it. */
  readonly replies?: Readonly<Record<string, string>>;
  /** The connection is closed in the place of a reply to this command. */
  readonly closesAt?: string;
  /** Nothing is said any more from this command on; the connection stays. */
  readonly silentAt?: string;
}

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("latin1");

/** The filter; sessions are kept one list of lines each. */
export class ScriptedFilter implements AsyncDisposable {
  readonly #listener: Deno.TcpListener;
  readonly #sessions = new Set<Deno.Conn>();
  readonly #accepting: Promise<void>;
  /** By session what it heard: commands, and the lines of messages as they came over the wire. */
  readonly heard: string[][] = [];
  script: FilterScript;

  constructor(script: FilterScript = {}, port = 0) {
    this.script = script;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port });
    this.#accepting = this.#accept();
  }

  get port(): number {
    return (this.#listener.addr as Deno.NetAddr).port;
  }

  async #accept(): Promise<void> {
    for await (const connection of this.#listener) {
      this.#sessions.add(connection);
      this.#serve(connection).catch(() => {}).finally(() => {
        this.#sessions.delete(connection);
        try {
          connection.close();
        } catch {
          // The test has closed it.
        }
      });
    }
  }

  async #serve(connection: Deno.Conn): Promise<void> {
    const { script } = this;
    const lines: string[] = [];
    this.heard.push(lines);
    const say = (text: string) => connection.write(ENCODER.encode(`${text}\r\n`));
    let silent = script.silentAt === "connect";
    if (script.closesAt === "connect") return;
    if (!silent) await say(script.greeting ?? "220 filter.test ESMTP");
    let rest = "";
    let inData = false;
    const buffer = new Uint8Array(65536);
    for (;;) {
      const count = await connection.read(buffer);
      if (count === null) {
        lines.push("(closed)");
        return;
      }
      rest += DECODER.decode(buffer.subarray(0, count));
      for (let end = rest.indexOf("\r\n"); end >= 0; end = rest.indexOf("\r\n")) {
        const line = rest.slice(0, end);
        rest = rest.slice(end + 2);
        lines.push(line);
        const key = inData ? (line === "." ? "." : "body") : line;
        if (script.closesAt !== undefined && key.startsWith(script.closesAt)) return;
        if (script.silentAt !== undefined && key.startsWith(script.silentAt)) silent = true;
        if (silent) continue;
        if (inData && line !== "." && script.replies?.["body"] === undefined) continue;
        if (inData && line === ".") inData = false;
        const reply = this.#reply(key);
        if (reply.startsWith("354")) inData = true;
        await say(reply);
        if (reply.startsWith("221")) return;
      }
    }
  }

  #reply(line: string): string {
    const { replies = {}, offers = ["XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE", "8BITMIME"] } =
      this.script;
    const keys = Object.keys(replies).filter((key) => line.startsWith(key));
    const key = keys.sort((a, b) => b.length - a.length)[0];
    if (key !== undefined) return replies[key]!;
    if (line.startsWith("EHLO")) {
      const all = ["filter.test", ...offers];
      return all.map((text, i) => `250${i === all.length - 1 ? " " : "-"}${text}`).join("\r\n");
    }
    if (line === "DATA") return "354 go on";
    if (line === "QUIT") return "221 bye";
    return line === "." ? "250 2.0.0 Ok: queued as FILTERED" : "250 2.0.0 Ok";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.#sessions) {
      try {
        connection.close();
      } catch {
        // It ended by itself.
      }
    }
    await this.#accepting;
  }
}
