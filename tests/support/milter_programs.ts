/**
 * Debian's mail filters, each with a configuration of the test's own, on ports of loopback. Not a test itself.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import dgram from "node:dgram";
import packet from "dns-packet";
import { until } from "../commands/mail_system.ts";
import { freePort } from "./ports.ts";

/** What a program may take to listen, milliseconds: rspamd compiles its patterns first. */
const START_LIMIT = 90_000;
/** Where programs that can be told of no other port find their resolver. */
const RESOLVER = "127.77.0.1";

/** Programs in a folder of their own; `await using` ends and removes them. */
export class MilterPrograms implements AsyncDisposable {
  readonly root: string = Deno.makeTempDirSync({ prefix: "filters-" });
  readonly #children: Deno.ChildProcess[] = [];
  readonly #sockets: dgram.Socket[] = [];

  constructor() {
    Deno.chmodSync(this.root, 0o755); // some run as others
  }

  /** opendkim that signs mail of a domain with a key made for it. */
  async dkimSigner(domain: string): Promise<string> {
    const key = `${this.root}/key.pem`;
    await run("openssl", "genrsa", "-out", key, "2048");
    Deno.chmodSync(key, 0o600);
    const { stdout } = await run("openssl", "rsa", "-in", key, "-pubout", "-outform", "DER");
    const record = `v=DKIM1; k=rsa; p=${btoa(String.fromCharCode(...stdout))}`;
    Deno.writeTextFileSync(`${this.root}/keys`, `s._domainkey.${domain} ${record}\n`);
    return await this.#start("opendkim", ["-f", "-x"], [
      "Mode s",
      `Domain ${domain}`,
      "Selector s",
      `KeyFile ${key}`,
      "RequireSafeKeys no",
      "InternalHosts 127.0.0.1",
      "Syslog no",
    ]);
  }

  /** opendkim that verifies signatures of the signer above. */
  dkimVerifier(authority: string): Promise<string> {
    return this.#start("opendkim", ["-f", "-x"], [
      "Mode v",
      `TestPublicKeys ${this.root}/keys`,
      "InternalHosts 192.0.2.1",
      `AuthservID ${authority}`,
      "Syslog no",
    ]);
  }

  /** opendmarc, which believes the verifier above, with a resolver that knows only these TXT records. */
  async dmarc(authority: string, records: Readonly<Record<string, string>>): Promise<string> {
    await this.#resolver(records);
    Deno.writeTextFileSync(`${this.root}/ignored`, "192.0.2.1\n");
    const inside = 'mount --make-rprivate / && mount --bind "$0" /etc/resolv.conf && exec "$@"';
    const program = ["-m", "sh", "-c", inside, `${this.root}/resolv.conf`, "opendmarc", "-f", "-c"];
    return await this.#start("unshare", program, [
      `AuthservID ${authority}`,
      `TrustedAuthservIDs ${authority}`,
      "RejectFailures true",
      `IgnoreHosts ${this.root}/ignored`, // default: 127.0.0.1
      "Syslog false",
    ]);
  }

  async #resolver(records: Readonly<Record<string, string>>): Promise<void> {
    const socket = dgram.createSocket("udp4");
    await new Promise<void>((resolve) => socket.bind(53, RESOLVER, resolve));
    this.#sockets.push(socket);
    socket.on("message", (bytes: Uint8Array, from: { port: number; address: string }) => {
      const { id, questions = [] } = packet.decode(Buffer.from(bytes));
      const name = questions[0]?.name ?? "";
      const data = questions[0]?.type === "TXT" ? records[name] : undefined;
      const answers: packet.Answer[] = data === undefined ? [] : [{ type: "TXT", name, data }];
      const flags = packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE | (data === undefined ? 3 : 0);
      const reply = packet.encode({ type: "response", id, flags, questions, answers });
      socket.send(reply, from.port, from.address);
    });
    Deno.writeTextFileSync(`${this.root}/resolv.conf`, `nameserver ${RESOLVER}\n`);
  }

  async #start(program: string, options: readonly string[], lines: readonly string[]): Promise<string> {
    const port = freePort();
    const path = `${this.root}/${program}-${port}.conf`;
    Deno.writeTextFileSync(path, [`Socket inet:${port}@127.0.0.1`, ...lines, ""].join("\n"));
    await this.#spawn(program, [...options, path], port);
    return `inet:127.0.0.1:${port}`;
  }

  /** rspamd as a milter that scans by itself. */
  async rspamd(): Promise<string> {
    const port = freePort();
    const directory = `${this.root}/rspamd`;
    Deno.mkdirSync(directory);
    const path = `${directory}/rspamd.conf`;
    Deno.writeTextFileSync(
      path,
      `options { pidfile = "${directory}/pid"; filters = ""; tempdir = "${directory}"; history_file = "";
        dns { nameserver = ["127.0.0.1"]; timeout = 1s; } }
      logging { type = "file"; filename = "${directory}/log"; level = "warning"; }
      actions { reject = 15; add_header = 6; }
      worker "rspamd_proxy" { bind_socket = "127.0.0.1:${port}"; milter = yes; count = 1;
        upstream "local" { default = yes; self_scan = yes; } }
      `,
    );
    await this.#spawn("rspamd", ["-f", "-i", "-c", path], port);
    return `inet:127.0.0.1:${port}`;
  }

  /** spamass-milter in front of SpamAssassin with its local rules; mail of 15 points and more is refused. */
  async spamAssassin(): Promise<string> {
    const port = freePort();
    const home = `${this.root}/spam`;
    Deno.mkdirSync(home);
    Deno.chmodSync(home, 0o777);
    const daemon = [
      "-L",
      "-x",
      "-i",
      "127.0.0.1",
      "-p",
      String(port),
      "-u",
      "nobody",
      "-H",
      home,
      "-s",
      "stderr",
    ];
    await this.#spawn("spamd", daemon, port);
    const socket = `${home}/milter`;
    const milter = ["-p", socket, "-r", "15", "--", "-d", "127.0.0.1", "-p", String(port)];
    await this.#spawn("spamass-milter", milter, socket);
    Deno.chmodSync(socket, 0o777);
    return `unix:${socket}`;
  }

  /** clamav-milter and clamd with one signature of the test's own, for this text. */
  async clamAv(text: string): Promise<string> {
    const port = freePort();
    const directory = `${this.root}/clamav`;
    Deno.mkdirSync(directory);
    const hex = [...new TextEncoder().encode(text)].map((byte) => byte.toString(16).padStart(2, "0")).join(
      "",
    );
    Deno.writeTextFileSync(`${directory}/local.ndb`, `Test.Postern:0:*:${hex}\n`);
    const socket = `${directory}/clamd`;
    const daemon = `DatabaseDirectory ${directory}\nLocalSocket ${socket}\nForeground yes\nUser root\n`;
    Deno.writeTextFileSync(`${directory}/clamd.conf`, daemon);
    await this.#spawn("clamd", ["-c", `${directory}/clamd.conf`], socket);
    const milter =
      `MilterSocket inet:${port}@127.0.0.1\nClamdSocket unix:${socket}\nForeground yes\nUser root\n` +
      "OnInfected Reject\nRejectMsg infected with %v\nAddHeader Replace\n";
    Deno.writeTextFileSync(`${directory}/milter.conf`, milter);
    await this.#spawn("clamav-milter", ["-c", `${directory}/milter.conf`], port);
    return `inet:127.0.0.1:${port}`;
  }

  /** Starts a program and waits until it listens on a port or socket. */
  async #spawn(program: string, args: readonly string[], where: number | string): Promise<void> {
    const output = await Deno.open(`${this.root}/output`, { create: true, append: true });
    output.close();
    const child = new Deno.Command("sh", {
      args: ["-c", 'exec "$@" >>"$0" 2>&1', `${this.root}/output`, program, ...args],
      stdin: "null",
    }).spawn();
    this.#children.push(child);
    let ended = false;
    child.status.then(() => ended = true);
    if (await until(() => ended || listens(where), START_LIMIT) && !ended) return;
    throw new Error(`${program} does not run:\n${Deno.readTextFileSync(`${this.root}/output`)}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children.reverse()) {
      try {
        child.kill("SIGTERM");
      } catch {
        continue; // it has ended
      }
      const late = setTimeout(() => child.kill("SIGKILL"), 5000);
      await child.status;
      clearTimeout(late);
    }
    for (const socket of this.#sockets) await new Promise<void>((resolve) => socket.close(() => resolve()));
    Deno.removeSync(this.root, { recursive: true });
  }
}

function listens(where: number | string): boolean {
  try {
    if (typeof where === "string") return Deno.statSync(where).isSocket === true;
    const port = where.toString(16).toUpperCase().padStart(4, "0");
    return Deno.readTextFileSync("/proc/net/tcp").split("\n").some((line) =>
      line.includes(`:${port} 00000000:0000 0A`)
    );
  } catch {
    return false;
  }
}

async function run(program: string, ...args: string[]): Promise<Deno.CommandOutput> {
  const output = await new Deno.Command(program, { args, stderr: "null" }).output();
  if (!output.success) throw new Error(`${program} ${args[0]} failed`);
  return output;
}
