/** A client that says lines over a real connection and takes replies. Not a test itself. @module */

/** One connection. */
export class Dialogue implements Disposable {
  readonly #connection: Deno.TcpConn;
  #input = "";

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
  }

  static async open(port: number): Promise<Dialogue> {
    return new Dialogue(await Deno.connect({ hostname: "127.0.0.1", port }));
  }

  /** The next reply, its lines joined by LF; empty when the server has closed. */
  async reply(): Promise<string> {
    for (;;) {
      const whole = /^(?:\d{3}-.*\r\n)*\d{3} .*\r\n/.exec(this.#input);
      if (whole !== null) {
        this.#input = this.#input.slice(whole[0].length);
        return whole[0].trimEnd().replaceAll("\r\n", "\n");
      }
      const buffer = new Uint8Array(65_536);
      const count = await this.#connection.read(buffer).catch(() => null);
      if (count === null) return "";
      this.#input += new TextDecoder().decode(buffer.subarray(0, count));
    }
  }

  /** Sends a line, or several, and gives the reply. */
  async say(text: string): Promise<string> {
    const bytes = Uint8Array.from(`${text}\r\n`, (character) => character.charCodeAt(0));
    try {
      for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
    } catch {
      return ""; // the server has closed
    }
    return await this.reply();
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }
}

/** Sends one message in a session of its own; the reply to it, or to the first command that is refused. */
export async function sendLines(
  port: number,
  sender: string,
  recipient: string,
  lines: readonly string[],
): Promise<string> {
  using dialogue = await Dialogue.open(port);
  await dialogue.reply();
  for (const command of ["EHLO client.test", `MAIL FROM:<${sender}>`, `RCPT TO:<${recipient}>`, "DATA"]) {
    const reply = await dialogue.say(command);
    if (!/^[23]/.test(reply)) return reply;
  }
  const reply = await dialogue.say([...lines, "."].join("\r\n"));
  await dialogue.say("QUIT");
  return reply;
}
