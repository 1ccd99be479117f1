/**
 * A mail host in one process, for tests: the real smtpd, cleanup, trivial-rewrite and proxymap over the real internal
 * protocols, with connections in memory and the queue in a temporary directory. Nothing takes mail out of incoming/.
 * Not a test itself.
 *
 * @module
 */
import { type Configuration, loadConfiguration, settingsFor } from "../../../lib/config/configuration.ts";
import { isParameterName, type ParameterName, type Settings } from "../../../lib/config/parameters.ts";
import { formatProblem } from "../../../lib/config/problem.ts";
import { IpcClient } from "../../../lib/ipc/client.ts";
import type { Protocol } from "../../../lib/ipc/protocol.ts";
import { type Handler, IpcServer } from "../../../lib/ipc/server.ts";
import type { Logger } from "../../../lib/log/log.ts";
import { OwnAddresses } from "../../../lib/mail/own_address.ts";
import type { DnsAnswer, DnsLookup } from "../../../lib/proto/dns_client.ts";
import { ANVIL, CLEANUP, PROXYMAP, QMGR, REWRITE } from "../../../lib/proto/protocols.ts";
import { milterConnector } from "../../../lib/milter/milter_connect.ts";
import { MapClient } from "../../../lib/proto/proxymap_client.ts";
import { RewriteClient } from "../../../lib/proto/rewrite_client.ts";
import type { AnvilCounts } from "../../../daemons/anvil/anvil_counts.ts";
import { handleAnvil } from "../../../daemons/anvil/anvil_service.ts";
import { CleanupService } from "../../../daemons/cleanup/cleanup_service.ts";
import { SERVICE as CLEANUP_SERVICE } from "../../../daemons/cleanup/service.ts";
import { addressSet } from "../../../lib/maps/proxymap_local.ts";
import { MapService, proxymapHandler } from "../../../lib/maps/proxymap_service.ts";
import { ProxymapTables, searchedParameters } from "../../../lib/maps/proxymap_tables.ts";
import { SERVICE as PROXYMAP_SERVICE } from "../../../daemons/proxymap/service.ts";
import { SERVICES } from "../../../daemons/services.ts";
import { SERVICE as SMTPD_SERVICE } from "../../../daemons/smtpd/service.ts";
import type { Peer } from "../../../lib/access/peer.ts";
import type { SaslBackend } from "../../../lib/sasl/server_exchange.ts";
import { SmtpdSasl } from "../../../daemons/smtpd/smtpd_sasl.ts";
import { Server } from "../../../daemons/smtpd/smtpd_server.ts";
import type { ClientStanding } from "../../../daemons/smtpd/smtpd_client.ts";
import { Session } from "../../../daemons/smtpd/smtpd_session.ts";
import { rewriteHandler, RewriteService } from "../../../lib/rewrite/rewrite_service.ts";
import { SERVICE as REWRITE_SERVICE } from "../../../daemons/trivial-rewrite/service.ts";
import { MemoryChannel } from "./memory_channel.ts";
import { type QueuedMessage, readQueueFile } from "./queued_message.ts";

/** The fixture of the security cases (security.md section 2), with own words for what a test adds. */
const SETTINGS: Readonly<Record<string, string>> = {
  queue_directory: '"/queue"',
  mail_owner: '""',
  myhostname: '"mx.test"',
  mydomain: '"test"',
  myorigin: '"mx.test"',
  inet_interfaces: '["192.0.2.1", "127.0.0.1"]',
  mydestination: '["mx.test", "local.test"]',
  relay_domains: '["relay.test"]',
  mynetworks: '["127.0.0.0/8", "203.0.113.0/24"]',
  local_recipient_maps: '["inline:{alice=x, bob=x, postmaster=x}"]',
  alias_maps: "[]",
  smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
  smtpd_error_sleep_time: '"0s"',
  message_size_limit: "1048576",
};

const SERVICES_TOML = ["smtp", "relay", "local", "virtual", "error", "retry", "discard"].map((name) =>
  `[[service]]\nname = "${name}"\ntype = "unix"\ncommand = "${
    name === "relay" ? "smtp" : name === "retry" ? "error" : name
  }"\n`
).join("\n");

export interface HostOptions {
  /** TOML values by parameter. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Answers of the dns daemon by "name type"; others are NXDOMAIN. */
  readonly dns?: Readonly<Record<string, Partial<DnsAnswer>>> | DnsLookup;
  /** The counts of an anvil daemon that is there. */
  readonly anvil?: AnvilCounts;
  /** Where logins are checked, of a server with smtpd_sasl_auth_enable. */
  readonly sasl?: SaslBackend;
  /** In the place of cleanup. */
  readonly cleanup?: Handler<typeof CLEANUP>;
}

/** Most bytes that one read of a socket gives. */
const READ_SIZE = 65_536;

/** A client of one session. */
export class TestClient {
  readonly channel: MemoryChannel;
  /** The server's end. */
  readonly server: MemoryChannel;
  readonly session: Session;
  /** All that the server sent. */
  output = "";
  /** The server has ended the session. */
  closed = false;
  /** `done` was called, and how often. */
  done = 0;
  #taken = 0;
  #wake: () => void = () => {};

  constructor(host: MailHost, peer: Peer, standing: ClientStanding) {
    const [client, server] = MemoryChannel.pair();
    this.channel = client;
    this.server = server;
    const decoder = new TextDecoder();
    client.start({
      data: (bytes) => {
        this.output += decoder.decode(bytes, { stream: true });
        this.#wake();
      },
      closed: () => {
        this.closed = true;
        this.#wake();
      },
    });
    this.session = new Session(host.server, peer, standing, server.asChannel(), () => this.done++);
    server.start({ data: (bytes) => this.session.data(bytes), closed: () => this.session.closed() });
  }

  /** Sends bytes as one segment, or as many as a socket would read them in. */
  send(bytes: Uint8Array | string): void {
    const all = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
    for (let at = 0; at < all.length; at += READ_SIZE) this.channel.write(all.subarray(at, at + READ_SIZE));
  }

  /** The next whole reply, its lines joined by LF; the end of the session gives an empty string. */
  async reply(): Promise<string> {
    for (const deadline = Date.now() + 10_000;;) {
      const reply = this.#nextReply();
      if (reply !== undefined) return reply;
      if (this.closed) return "";
      if (Date.now() > deadline) throw new Error(`no reply; so far:\n${this.output}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1000);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  #nextReply(): string | undefined {
    const lines: string[] = [];
    let at = this.#taken;
    for (;;) {
      const end = this.output.indexOf("\r\n", at);
      if (end < 0) return undefined;
      const line = this.output.slice(at, end);
      lines.push(line);
      at = end + 2;
      if (line[3] === "-") continue;
      this.#taken = at;
      return lines.join("\n");
    }
  }

  /** Sends a line and gives its reply. */
  async say(line: string): Promise<string> {
    this.send(`${line}\r\n`);
    return await this.reply();
  }

  /** Sends several lines one after the other and gives their replies. */
  async says(...lines: string[]): Promise<string[]> {
    const replies: string[] = [];
    for (const line of lines) replies.push(await this.say(line));
    return replies;
  }

  /** All replies that come until the session is over or nothing more happens. */
  async rest(): Promise<string[]> {
    await settled();
    const replies: string[] = [];
    for (let reply = this.#nextReply(); reply !== undefined; reply = this.#nextReply()) replies.push(reply);
    return replies;
  }

  /** The client goes away. */
  leave(): void {
    this.channel.finish();
  }
}

/** Lets everything that is under way come to rest. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 4; i++) await new Promise((resolve) => setTimeout(resolve, 3));
}

export class MailHost implements AsyncDisposable {
  readonly queue: string;
  readonly log: string[] = [];
  readonly server: Server;
  readonly configuration: Configuration;
  /** Ids that qmgr was told of. */
  readonly hints: string[] = [];
  /** Aliases that the trace service was told of. */
  readonly traced: string[] = [];
  /** Exchanges that cleanup has open. */
  readonly cleanupServer: IpcServer<typeof CLEANUP>;
  readonly #cleanup: CleanupService;
  #port = 40_000;

  constructor(options: HostOptions = {}) {
    this.queue = Deno.makeTempDirSync({ dir: memoryDirectory(), prefix: "postern-host-" });
    Deno.mkdirSync(`${this.queue}/hold`);
    Deno.mkdirSync(`${this.queue}/incoming`);
    Deno.mkdirSync(`${this.queue}/journal`);
    this.configuration = configure(options.settings ?? {});
    const note = (prefix: string) => (text: string) => void this.log.push(prefix + text);
    const logger: Logger = {
      info: note(""),
      warning: note("warning: "),
      error: note("error: "),
      debug: () => {},
      flush: () => {},
    };
    const settings = settingsOf(this.configuration, SMTPD_SERVICE.parameters);
    const proxymap = this.#proxymap(logger);
    const maps = new MapClient(proxymap, settings);
    const rewrite = this.#rewrite(logger, proxymap);
    const trouble = (what: string, error: unknown) => logger.warning(`${what}: ${error}`);
    const cleanupSettings = settingsOf(this.configuration, CLEANUP_SERVICE.parameters);
    this.#cleanup = new CleanupService({
      settings: { ...cleanupSettings, queue_directory: this.queue },
      log: logger,
      rewrite: new RewriteClient(rewrite),
      maps: new MapClient(proxymap, cleanupSettings),
      queueKey: "key",
      bootId: "boot",
      connect: milterConnector(() => undefined),
      trace: {
        call: (_type, fields) => {
          this.traced.push((fields as { recipient: string }).recipient);
          return Promise.resolve({ is: "done" });
        },
      },
      qmgr: {
        send: (_type, fields) => void this.hints.push((fields as { queueId: string }).queueId),
      } satisfies Pick<IpcClient<typeof QMGR>, "send">,
      trouble,
    });
    const handler: Handler<typeof CLEANUP> = options.cleanup ??
      ((exchange, message) => this.#cleanup.handle(exchange, message));
    this.cleanupServer = serve(CLEANUP, handler);
    const origin = (parameter: string) => this.configuration.origin(parameter);
    const services = {
      settings,
      stressed: settingsOf(configure({ ...options.settings, stress: '"yes"' }), SMTPD_SERVICE.parameters),
      origin,
      warning: (text: string) => logger.warning(text),
      serviceName: "smtp",
      anvil: options.anvil && this.#anvil(options.anvil),
      sasl: options.sasl && new SmtpdSasl(options.sasl, settings, logger),
      maps,
      dns: asLookup(options.dns ?? {}),
      rewrite: new RewriteClient(rewrite),
    };
    this.server = new Server(services, connect(CLEANUP, this.cleanupServer), logger, trouble);
  }

  #anvil(counts: AnvilCounts): IpcClient<typeof ANVIL> {
    return connect(ANVIL, serve(ANVIL, (exchange, message) => handleAnvil(counts, exchange, message)));
  }

  #proxymap(logger: Logger): IpcClient<typeof PROXYMAP> {
    const settings = settingsOf(this.configuration, PROXYMAP_SERVICE.parameters);
    const tables = new ProxymapTables(settings, logger, searchedParameters(PROXYMAP_SERVICE.reads));
    tables.openAll();
    const addresses = addressSet(settings.inet_interfaces, () => []);
    return connect(
      PROXYMAP,
      serve(PROXYMAP, proxymapHandler(new MapService(settings, tables, addresses, logger))),
    );
  }

  #rewrite(logger: Logger, proxymap: IpcClient<typeof PROXYMAP>): IpcClient<typeof REWRITE> {
    const settings = settingsOf(this.configuration, REWRITE_SERVICE.parameters);
    const own = new OwnAddresses(settings.inet_interfaces, [], () => []);
    const service = new RewriteService(settings, new MapClient(proxymap, settings), own, logger);
    return connect(REWRITE, serve(REWRITE, rewriteHandler(service)));
  }

  /** A client whose session has begun; the greeting is still to be read. */
  connect(
    address = "198.51.100.9",
    early: Uint8Array | string = "",
    facts: Partial<Peer> = {},
  ): TestClient {
    const peer = this.#peer(address, facts);
    const standing = this.server.standingOf(peer);
    if (standing instanceof Promise) throw new Error("the client's standing takes a table");
    const client = new TestClient(this, peer, standing);
    client.session.begin(typeof early === "string" ? new TextEncoder().encode(early) : early);
    return client;
  }

  /** The same where tables have to be asked about the client. */
  async arrive(address = "198.51.100.9"): Promise<TestClient> {
    const peer = this.#peer(address);
    const client = new TestClient(this, peer, await this.server.standingOf(peer));
    client.session.begin(new Uint8Array(0));
    return client;
  }

  #peer(address: string, facts: Partial<Peer> = {}): Peer {
    const local = address.startsWith("127.");
    const name = local ? "localhost" : "unknown";
    return {
      name,
      reverseName: name,
      address,
      port: this.#port++,
      serverAddress: "192.0.2.1",
      serverPort: 25,
      nameTrouble: false,
      ours: local,
      ...facts,
    };
  }

  /** A client that has been greeted and has said EHLO. */
  async greeted(address?: string): Promise<TestClient> {
    const client = this.connect(address);
    await client.reply();
    await client.say("EHLO c.test");
    return client;
  }

  /** A client that has been told to send its message. */
  async sending(address?: string, recipient = "alice@local.test"): Promise<TestClient> {
    const client = await this.greeted(address);
    const replies = await client.says("MAIL FROM:<a@ext.test>", `RCPT TO:<${recipient}>`, "DATA");
    if (!replies[2]!.startsWith("354")) throw new Error(`DATA is refused: ${replies.join(" | ")}`);
    return client;
  }

  /** Every committed message, in order of arrival. */
  messages(): QueuedMessage[] {
    return this.files().filter(({ mode }) => (mode & 0o700) === 0o700)
      .map(({ path }) => readQueueFile(path))
      .sort((a, b) => a.time - b.time);
  }

  /** Every file in incoming/, complete or not. */
  files(): { path: string; mode: number }[] {
    const directory = `${this.queue}/incoming`;
    return [...Deno.readDirSync(directory)].map(({ name }) => {
      const path = `${directory}/${name}`;
      return { path, mode: Deno.statSync(path).mode! & 0o777 };
    });
  }

  /** Removes what was queued. */
  clear(): void {
    for (const { path } of this.files()) Deno.removeSync(path);
    this.hints.length = 0;
    this.log.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await settled();
    this.#cleanup[Symbol.dispose]();
    Deno.removeSync(this.queue, { recursive: true });
  }
}

/** Where syncs cost nothing. */
function memoryDirectory(): string {
  try {
    if (Deno.statSync("/dev/shm").isDirectory) return "/dev/shm";
  } catch {
    // No such file system: the ordinary place will do.
  }
  return Deno.env.get("TMPDIR") ?? "/tmp";
}

/** A daemon's settings. */
export function settingsOf<K extends ParameterName>(
  configuration: Configuration,
  parameters: readonly K[],
): Settings<K> {
  return settingsFor(configuration, configuration.services[0]!, parameters);
}

/** A configuration from parameters in TOML. */
export function configure(settings: Readonly<Record<string, string>>): Configuration {
  const all = { ...SETTINGS, ...settings };
  // What is no parameter is a variable, as names of restriction classes are.
  const lines = (known: boolean) =>
    Object.entries(all).filter(([name]) => isParameterName(name) === known)
      .map(([name, value]) => `${name} = ${value}\n`).join("");
  const main = `${lines(true)}[variables]\n${lines(false)}`;
  const files = new Map([["/conf/main.toml", main], ["/conf/master.toml", SERVICES_TOML]]);
  const facts = { hostName: "mx.test", addresses: ["192.0.2.1"], resolver: "127.0.0.1:53", ipv6: false };
  const { configuration, problems } = loadConfiguration("/conf", facts, {
    readText: (path) => {
      const text = files.get(path);
      if (text === undefined) throw new Deno.errors.NotFound(path);
      return text;
    },
    commands: [...SERVICES.keys()],
  });
  if (configuration === undefined) throw new Error(problems.map(formatProblem).join("\n"));
  return configuration;
}

function serve<P extends Protocol>(protocol: P, handler: Handler<P>): IpcServer<P> {
  return new IpcServer(protocol, handler, {
    trouble: (why, error) => {
      throw new Error(`${protocol.name}: ${why}`, { cause: error });
    },
  });
}

function connect<P extends Protocol>(protocol: P, server: IpcServer<P>): IpcClient<P> {
  const [client, other] = MemoryChannel.pair();
  server.accept(other.asChannel());
  return IpcClient.onChannel(protocol, client.asChannel());
}

function asLookup(dns: Exclude<HostOptions["dns"], undefined>): DnsLookup {
  return typeof dns["query"] === "function"
    ? dns as DnsLookup
    : fakeDns(dns as Record<string, Partial<DnsAnswer>>);
}

function fakeDns(answers: Readonly<Record<string, Partial<DnsAnswer>>>): DnsLookup {
  return {
    query: (name, type) => {
      const known = answers[`${name} ${type}`] ?? { rcode: "nxdomain" };
      return Promise.resolve({
        rcode: "ok",
        authenticated: false,
        ttl: 60,
        canonicalName: name,
        records: [],
        ...known,
      });
    },
  };
}
