/**
 * A scripted SMTP server that offers STARTTLS, or AUTH, and behaves as badly as its script says. What it does by
 * default is what Debian's Postfix does (tests/daemons/smtp/tls_peer_test.ts has the real one). Not a test itself.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import net from "node:net";
import tls from "node:tls";

/** What differs from an honest server. */
export interface StartTlsScript {
  readonly key?: string;
  readonly certificate?: string;
  /** Behind EHLO in the clear, and over TLS. */
  readonly keywords?: readonly string[];
  readonly secureKeywords?: readonly string[];
  /** The answer to STARTTLS. */
  readonly answer?: string;
  /** Bytes in the clear behind that answer, in the same packet. */
  readonly behind?: string;
  /** What it does when the handshake should begin. */
  readonly handshake?: "ok" | "close" | "garbage" | "silent" | "cut";
  /** Said over TLS before the client says anything. */
  readonly early?: string;
  /** TLS from the first byte on. */
  readonly wrapper?: boolean;
  /** Hangs up over TLS at this command. */
  readonly closeAt?: string;
  /** Answers by verb over TLS and in the clear, before what an honest server says. */
  readonly answers?: Readonly<Record<string, string>>;
  /** Takes AUTH: what it answers to each line from the client behind the command, with the line. */
  readonly auth?: (line: string, step: number) => string;
}

/** One line that arrived, and how. */
export interface HeardLine {
  readonly secure: boolean;
  readonly line: string;
}

/** A running server; `await using` ends it. */
export class StartTlsServer implements AsyncDisposable {
  readonly port: number;
  readonly heard: HeardLine[] = [];
  /** Names that clients asked for. */
  readonly names: string[] = [];
  connections = 0;
  readonly #script: StartTlsScript;
  readonly #server: net.Server;
  readonly #tls: tls.Server;
  readonly #sockets = new Set<{ destroy(): void }>();

  private constructor(script: StartTlsScript, server: net.Server, port: number) {
    this.#script = script;
    this.#server = server;
    this.port = port;
    this.#tls = tls.createServer({ key: script.key, cert: script.certificate });
    this.#tls.on("secureConnection", (socket: tls.TLSSocket) => {
      this.names.push(String((socket as unknown as { servername: string | false }).servername || ""));
      this.#sockets.add(socket);
      this.#serve(socket, true);
    });
    this.#tls.on("tlsClientError", () => {});
  }

  static async start(script: StartTlsScript = {}): Promise<StartTlsServer> {
    const server = net.createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const started = new StartTlsServer(script, server, (server.address() as net.AddressInfo).port);
    server.on("connection", (socket) => started.#accept(socket));
    return started;
  }

  /** Verbs that arrived, those over TLS with "+" before them. */
  get verbs(): string[] {
    return this.heard.map(({ secure, line }) => `${secure ? "+" : ""}${line.split(" ")[0]}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: net.Socket): void {
    this.connections++;
    this.#sockets.add(socket);
    socket.on("error", () => {});
    if (this.#script.wrapper) this.#shake(socket);
    else this.#serve(socket, false);
  }

  #serve(socket: net.Socket, secure: boolean): void {
    const { early, wrapper } = this.#script;
    socket.on("error", () => {});
    if (secure && early !== undefined) socket.write(early);
    if (!secure || wrapper) socket.write("220 server.test ESMTP\r\n");
    let text = "";
    let inData = false;
    let authStep = -1;
    const take = (bytes: Uint8Array) => {
      text += Buffer.from(bytes).toString("latin1");
      for (let end = text.indexOf("\r\n"); end >= 0; end = text.indexOf("\r\n")) {
        const line = text.slice(0, end);
        text = text.slice(end + 2);
        if (inData) {
          inData = line !== ".";
          if (!inData) socket.write("250 2.0.0 Ok: queued\r\n");
          continue;
        }
        this.heard.push({ secure, line });
        if (authStep >= 0 || (this.#script.auth !== undefined && line.toUpperCase().startsWith("AUTH "))) {
          const reply = this.#script.auth!(line, ++authStep);
          if (!reply.startsWith("334")) authStep = -1;
          socket.write(reply);
          continue;
        }
        const verb = line.split(" ")[0]!.toUpperCase();
        if (verb === "STARTTLS") {
          if (this.#startTls(socket, take)) return;
          continue;
        }
        if (secure && verb === this.#script.closeAt) return void socket.destroy();
        inData = verb === "DATA" && this.#script.answers?.DATA === undefined;
        socket.write(this.#reply(verb, secure));
      }
    };
    socket.on("data", take);
  }

  /** True when TLS begins. */
  #startTls(socket: net.Socket, take: (bytes: Uint8Array) => void): boolean {
    const answer = this.#script.answer ?? "220 2.0.0 Ready to start TLS\r\n";
    socket.write(answer + (this.#script.behind ?? ""));
    if (!answer.startsWith("220")) return false;
    socket.off("data", take);
    this.#shake(socket);
    return true;
  }

  #shake(socket: net.Socket): void {
    switch (this.#script.handshake ?? "ok") {
      case "ok":
        this.#tls.emit("connection", socket);
        return;
      case "close":
        socket.destroy();
        return;
      case "garbage":
        socket.write("500 what?\r\n");
        return;
      case "cut":
        socket.once("data", () => {
          socket.write(new Uint8Array([22, 3, 3, 0, 100, 2, 0, 0]));
          socket.end();
        });
        return;
      case "silent":
        socket.resume();
    }
  }

  #reply(verb: string, secure: boolean): string {
    const { keywords, secureKeywords, answers } = this.#script;
    const scripted = answers?.[verb];
    if (scripted !== undefined) return scripted;
    switch (verb) {
      case "EHLO": {
        const words = secure ? secureKeywords ?? ["PIPELINING"] : keywords ?? ["PIPELINING", "STARTTLS"];
        return ["server.test", ...words].map((word, i) => `250${i === words.length ? " " : "-"}${word}\r\n`)
          .join("");
      }
      case "DATA":
        return "354 End data\r\n";
      case "QUIT":
        return "221 2.0.0 Bye\r\n";
      default:
        return "250 2.0.0 Ok\r\n";
    }
  }
}
