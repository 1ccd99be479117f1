/**
 * A policy server that a test writes: it copies the form of SMTPD_POLICY_README, and tests/daemons/smtpd/smtpd_policy_test.ts
 * runs the real ones of Debian. Not a test itself.
 *
 * @module
 */

/** A request's attributes. */
export type PolicyRequest = ReadonlyMap<string, string>;

/** What becomes of a request: an answer as it goes over the wire, or "close" for none. */
export type PolicyAnswer = (request: PolicyRequest, count: number) => string;

/** A running server. */
export class ScriptedPolicyServer implements AsyncDisposable {
  readonly port: number;
  readonly requests: PolicyRequest[] = [];
  /** Texts as they came. */
  readonly texts: string[] = [];
  connections = 0;
  readonly #listener: Deno.Listener;
  readonly #open = new Set<Deno.Conn>();
  readonly #serving: Promise<void>;

  constructor(answer: PolicyAnswer) {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.port = listener.addr.port;
    this.#listener = listener;
    this.#serving = this.#accept(answer);
  }

  async #accept(answer: PolicyAnswer): Promise<void> {
    const sessions: Promise<void>[] = [];
    for await (const connection of this.#listener) {
      this.connections++;
      this.#open.add(connection);
      sessions.push(this.#serve(connection, answer));
    }
    await Promise.all(sessions);
  }

  async #serve(connection: Deno.Conn, answer: PolicyAnswer): Promise<void> {
    let text = "";
    const buffer = new Uint8Array(65_536);
    try {
      for (let count = await connection.read(buffer); count !== null; count = await connection.read(buffer)) {
        text += new TextDecoder().decode(buffer.subarray(0, count));
        for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
          const request = text.slice(0, end);
          text = text.slice(end + 2);
          this.texts.push(request);
          const pairs = request.split("\n").map((line) =>
            [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)] as const
          );
          this.requests.push(new Map(pairs));
          const reply = answer(this.requests.at(-1)!, this.requests.length);
          if (reply === "close") return;
          await connection.write(new TextEncoder().encode(reply));
        }
      }
    } catch {
      // The client has gone.
    } finally {
      if (this.#open.delete(connection)) connection.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.#open) {
      try {
        connection.close();
      } catch {
        // It was closed meanwhile.
      }
    }
    this.#open.clear();
    await this.#serving.catch(() => {});
  }
}
