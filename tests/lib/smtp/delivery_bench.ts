/**
 * What a test of a delivery needs: a queue file, a policy, a table in the place of the dns daemon, and the books.
 *
 * @module
 */
import { appendRecord, RECORD } from "../../../lib/mail/record.ts";
import { QueueDirectory } from "../../../lib/mail/queue_directory.ts";
import { OwnAddresses } from "../../../lib/mail/own_address.ts";
import type { DnsAnswer, DnsLookup, DnsQueryType } from "../../../lib/proto/dns_client.ts";
import { ClientAgent } from "../../../lib/smtp/client_agent.ts";
import { SessionCache } from "../../../lib/smtp/client_cache.ts";
import type { DeliveryTools } from "../../../lib/smtp/client_delivery.ts";
import type { Logger } from "../../../lib/log/log.ts";
import type { ClientPolicy } from "../../../lib/smtp/client_policy.ts";
import type { DeliveryRequest, RecipientReport } from "../../../lib/smtp/client_recipients.ts";
import { ByteBuilder } from "../../../lib/vstring/byte_builder.ts";
import { makeClientTls } from "./tls_bench.ts";

export const QUEUE_ID = "4ZqYkT1zzz9x";

/** The same wait at each step, milliseconds. */
export function waits(milliseconds: number): ClientPolicy["timeouts"] {
  return {
    connect: milliseconds,
    hello: milliseconds,
    mail: milliseconds,
    rcpt: milliseconds,
    dataInit: milliseconds,
    dataDone: milliseconds,
    reset: milliseconds,
    quit: milliseconds,
    xforward: milliseconds,
  };
}

/** For servers that answer, however busy the machine is. */
const PATIENT = waits(20_000);
/** For servers that do not. */
export const HASTY: ClientPolicy["timeouts"] = waits(300);

export const POLICY: ClientPolicy = {
  dialect: "smtp",
  helloName: "client.test",
  myHostName: "client.test",
  defaultPort: 25,
  defaultService: "smtp",
  knownPorts: new Map([["smtp", 25], ["lmtp", 24]]),
  timeouts: PATIENT,
  transfer: { timeout: 20_000, perRequest: false, minimumRate: 500 },
  reuse: { enabled: true, idleMs: 500, ageMs: 300_000, count: 0 },
  ipv4: true,
  ipv6: true,
  addressPreference: "any",
  balance: true,
  randomize: false,
  addressLimit: 5,
  sessionLimit: 2,
  hostLookup: ["dns"],
  srv: { services: [], fallback: false, ignoreErrors: false },
  cnameOverridesName: false,
  bind: { ipv4: undefined, ipv6: undefined, enforce: false },
  bestMxTransport: "",
  ignoreMxErrors: false,
  deferIfNoAddress: false,
  ehlo: "always",
  skip5xxGreeting: true,
  discardKeywords: [],
  pix: { workarounds: ["disable_esmtp", "delay_dotcrlf"], delayMs: 50, thresholdMs: 500_000 },
  xforward: false,
  assumeFinal: false,
  quoteAddresses: true,
  probeTarget: "rcpt",
  lineLimit: 998,
  convertMime: true,
  awaitQuit: false,
  fallbackRelays: [],
  relayhost: "",
  softBounce: false,
  trusted: new Set(),
  own: new OwnAddresses(["192.0.2.1"], [], () => []),
  delayResolution: 2,
  logAddressFormat: "external",
};

export interface Zone {
  readonly [question: string]:
    | DnsAnswer["rcode"]
    | readonly (string | readonly [priority: number, host: string, weight?: number, port?: number])[];
}

/** A dns daemon that knows a table: "example.test MX": [[10, "mx.example.test"]]. Everything else does not exist. */
export class FakeDns implements DnsLookup {
  readonly asked: string[] = [];
  readonly #zone: Zone;
  constructor(zone: Zone = {}) {
    this.#zone = zone;
  }
  query(name: string, type: DnsQueryType): Promise<DnsAnswer> {
    this.asked.push(`${name} ${type}`);
    const found = this.#zone[`${name} ${type}`] ?? "nxdomain";
    const records = typeof found === "string" ? [] : found.map((value) => ({
      priority: typeof value === "string" ? 0 : value[0],
      weight: typeof value === "string" ? 0 : value[2] ?? 0,
      port: typeof value === "string" ? 0 : value[3] ?? 0,
      value: typeof value === "string" ? value : value[1],
      data: new Uint8Array(0),
    }));
    const rcode = typeof found === "string" ? found : "ok";
    const alias = this.#zone[`${name} canonical`]?.[0];
    const canonicalName = typeof alias === "string" ? alias : name;
    return Promise.resolve({ rcode, authenticated: false, ttl: 60, canonicalName, records });
  }
}

export interface Bench extends AsyncDisposable {
  readonly root: string;
  readonly lines: string[];
  readonly cache: SessionCache;
  /** Delivers and returns what qmgr would be told. */
  deliver(
    request: Partial<DeliveryRequest> & { readonly to?: readonly string[] },
    cancelAfterMs?: number,
  ): Promise<Delivered>;
}

export interface Delivered {
  readonly recipients: readonly RecipientReport[];
  readonly siteStatus: string;
  readonly site: string;
  readonly errors: readonly unknown[];
}

const encoder = new TextEncoder();

/** Writes records of content, long lines in pieces of 2048 bytes as cleanup does. */
export function writeQueueFile(
  path: string,
  lines: readonly (string | Uint8Array)[],
  finalNewline = true,
): number {
  const content = new ByteBuilder(200 * 1024 * 1024);
  let size = 0;
  lines.forEach((line, n) => {
    const bytes = typeof line === "string" ? encoder.encode(line) : line;
    size += bytes.length + 2;
    let at = 0;
    for (; bytes.length - at > 2048; at += 2048) {
      appendRecord(content, RECORD.CONTINUED, bytes.slice(at, at + 2048));
    }
    const last = n === lines.length - 1 && !finalNewline;
    appendRecord(content, last ? RECORD.CONTINUED : RECORD.NORMAL, bytes.slice(at));
  });
  appendRecord(content, RECORD.EXTRACTED, "");
  appendRecord(content, RECORD.END, "");
  Deno.writeFileSync(path, content.view(), { mode: 0o700 });
  Deno.chmodSync(path, 0o700);
  return size;
}

/** Makes a queue with one message. */
export function makeBench(
  policy: Partial<ClientPolicy> = {},
  zone: Zone = {},
  lines: readonly (string | Uint8Array)[] = ["Subject: test", "", "Hello."],
  finalNewline = true,
  more: (log: Logger) => Partial<DeliveryTools> = () => ({}),
): Bench {
  const root = Deno.makeTempDirSync();
  Deno.mkdirSync(`${root}/active`);
  const size = writeQueueFile(`${root}/active/${QUEUE_ID}`, lines, finalNewline);
  const whole: ClientPolicy = { ...POLICY, ...policy };
  const errors: unknown[] = [];
  const logged: string[] = [];
  const write = (prefix: string) => (text: string) => void logged.push(prefix + text);
  const log = {
    info: write(""),
    warning: write("warning: "),
    error: write("error: "),
    debug: write("debug: "),
    flush: () => undefined,
  };
  const cache = new SessionCache(whole, (error) => errors.push(error));
  const dns = new FakeDns(zone);
  const tools = {
    policy: whole,
    dns,
    native: () => [],
    cache,
    tls: makeClientTls({ level: "none" }, dns, log),
    log,
    random: () => 0,
    ...more(log),
    trouble: (_: string, error: unknown) => void errors.push(error),
  };
  const agent = new ClientAgent(tools, new QueueDirectory(root, [], 1));
  return {
    root,
    lines: logged,
    cache,
    deliver: async (request, cancelAfterMs) => {
      const recipients: RecipientReport[] = [];
      let finished = { siteStatus: "?", site: "?" };
      const exchange = {
        reply: (type: string, fields: unknown) => {
          if (type === "recipient") recipients.push(fields as RecipientReport);
          else finished = fields as typeof finished;
        },
        onCancel: undefined as (() => void) | undefined,
      };
      const timer = cancelAfterMs === undefined
        ? undefined
        : setTimeout(() => exchange.onCancel?.(), cancelAfterMs);
      await agent.handle(exchange, { ...makeRequest(request, size), is: "deliver" });
      clearTimeout(timer);
      return { recipients, ...finished, errors };
    },
    [Symbol.asyncDispose]: async () => {
      cache.clear();
      await new Promise((resolve) => setTimeout(resolve, 1));
      Deno.removeSync(root, { recursive: true });
    },
  };
}

function makeRequest(
  given: Partial<DeliveryRequest> & { to?: readonly string[] },
  size: number,
): DeliveryRequest {
  const { to = ["user@example.test"], ...rest } = given;
  const now = Date.now();
  return {
    queueId: QUEUE_ID,
    queueName: "active",
    dataOffset: 0,
    dataSize: size,
    nexthop: "example.test",
    encoding: "7bit",
    smtputf8: false,
    sender: "sender@client.test",
    envelopeId: "",
    ret: 0,
    arrivalTime: now - 30,
    activeTime: now - 20,
    clientName: "",
    clientAddress: "",
    clientPort: "",
    protocolName: "",
    heloName: "",
    saslMethod: "",
    saslUsername: "",
    saslSender: "",
    logIdent: "",
    rewriteContext: "local",
    probe: false,
    recipients: to.map((address, i) => ({
      offset: 1000 + i,
      address,
      originalRecipient: address,
      dsnOriginalRecipient: "",
      notify: 0,
    })),
    ...rest,
  };
}
