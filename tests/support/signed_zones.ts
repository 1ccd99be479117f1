/**
 * Debian's unbound as a validating resolver on a port of loopback, with zones of the test's own, signed by ldns or not.
 * Not a test itself.
 *
 * @module
 */
import { TemporaryDirectory } from "./temporary.ts";
import { freePort } from "./ports.ts";

/** A zone: lines of its file behind SOA and NS, names relative to it. */
export interface Zone {
  readonly records: readonly string[];
  /** Signed, and its key is the resolver's trust anchor. */
  readonly signed?: boolean;
  /** Signed, and then this text of the signed file is replaced: the signature is wrong. */
  readonly forged?: readonly [from: string, to: string];
}

/** A resolver that runs; `await using` ends it. */
export class SignedZones implements AsyncDisposable {
  readonly port: number = freePort();
  readonly #directory = new TemporaryDirectory();
  #process: Deno.ChildProcess | undefined;

  /** Starts one with these zones by name. */
  static async start(zones: Readonly<Record<string, Zone>>): Promise<SignedZones> {
    const started = new SignedZones();
    const blocks = Object.entries(zones).map(([name, zone]) => started.#zone(name, zone));
    const configuration = started.#directory.write("unbound.conf", started.#configuration(blocks));
    const process = new Deno.Command("unbound", {
      args: ["-d", "-c", configuration],
      stdout: "null",
      stderr: "piped",
    }).spawn();
    started.#process = process;
    await saysStarted(process);
    return started;
  }

  /** Address and port, as the parameter `resolver` has them. */
  get resolver(): string {
    return `127.0.0.1:${this.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process !== undefined) {
      this.#process.kill("SIGKILL");
      await this.#process.status;
      await this.#process.stderr.cancel();
    }
    this.#directory[Symbol.dispose]();
  }

  #zone(name: string, zone: Zone): { name: string; file: string; anchor: string } {
    const head = [
      `$ORIGIN ${name}.`,
      "$TTL 300",
      `@ IN SOA ns h 1 300 300 300000 300`,
      "@ IN NS ns",
      "ns IN A 127.0.0.1",
    ];
    const file = this.#directory.write(`${name}.zone`, `${[...head, ...zone.records].join("\n")}\n`);
    if (!zone.signed) return { name, file, anchor: "" };
    const key = run(this.#directory.path, "ldns-keygen", "-a", "ECDSAP256SHA256", "-k", name);
    run(this.#directory.path, "ldns-signzone", "-n", file, key);
    const signed = `${file}.signed`;
    if (zone.forged !== undefined) {
      const text = Deno.readTextFileSync(signed);
      if (!text.includes(zone.forged[0])) throw new Error(`"${zone.forged[0]}" is not in the zone:\n${text}`);
      Deno.writeTextFileSync(signed, text.replaceAll(zone.forged[0], zone.forged[1]));
    }
    return { name, file: signed, anchor: this.#directory.at(`${key}.key`) };
  }

  #configuration(zones: readonly { name: string; file: string; anchor: string }[]): string {
    const anchors = zones.filter(({ anchor }) => anchor !== "").map(({ anchor }) =>
      `trust-anchor-file: "${anchor}"`
    );
    return [
      "server:",
      `interface: 127.0.0.1@${this.port}`,
      ...['chroot: ""', 'username: ""', 'pidfile: ""', 'logfile: ""', "use-syslog: no", "do-daemonize: no"],
      `directory: "${this.#directory.path}"`,
      // These top-level domains are answered by unbound itself otherwise.
      ...['local-zone: "test." nodefault', 'local-zone: "invalid." nodefault'],
      'module-config: "validator iterator"',
      ...anchors,
      ...["remote-control:", "control-enable: no"],
      ...zones.flatMap(({ name, file }) => [
        "auth-zone:",
        `name: "${name}."`,
        `zonefile: "${file}"`,
        "for-downstream: no",
        "for-upstream: yes",
        "fallback-enabled: no",
      ]),
      "",
    ].join("\n");
  }
}

async function saysStarted(process: Deno.ChildProcess): Promise<void> {
  const reader = process.stderr.getReader();
  let text = "";
  while (!text.includes("start of service")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`unbound ended: ${text}`);
    text += new TextDecoder().decode(value);
  }
  reader.releaseLock();
}

function run(cwd: string, program: string, ...args: string[]): string {
  const { success, stdout, stderr } = new Deno.Command(program, { args, cwd }).outputSync();
  if (!success) throw new Error(`${program} failed: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout).split("\n")[0]!;
}
