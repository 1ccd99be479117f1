/**
 * Debian's mail filters, each with a configuration of the test's own, on ports of loopback. Not a test itself.
 *
 * @module
 */
import { freePort } from "./ports.ts";
import { ScriptedDns } from "./scripted_dns.ts";
import { ServerProgram } from "./server_program.ts";

/** Programs in a folder of their own; `await using` ends and removes them. */
export class MilterPrograms implements AsyncDisposable {
  readonly root: string = Deno.makeTempDirSync({ prefix: "filters-" });
  readonly #parts = new AsyncDisposableStack();

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
    const zone = Object.entries(records).map(([name, text]) => [`${name} TXT`, [text]]);
    const resolver = this.#parts.use(await ScriptedDns.start(Object.fromEntries(zone)));
    Deno.writeTextFileSync(`${this.root}/resolv.conf`, `nameserver ${resolver.address}\n`);
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
    this.#parts.use(await ServerProgram.start(program, args, where, { output: `${this.root}/output` }));
  }

  /** Ends them, the last one first. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.disposeAsync();
    Deno.removeSync(this.root, { recursive: true });
  }
}

async function run(program: string, ...args: string[]): Promise<Deno.CommandOutput> {
  const output = await new Deno.Command(program, { args, stderr: "null" }).output();
  if (!output.success) throw new Error(`${program} ${args[0]} failed`);
  return output;
}
