/**
 * The two systems that are measured, set up alike: relaying for loopback, the log in a file, the settings of the case,
 * otherwise each one's defaults.
 *
 * @module
 */
import { Postern } from "../tests/support/postern.ts";
import { Postfix, withChildren } from "../tests/support/postfix.ts";
import type { Setting, Settings } from "./cases.ts";
import type { System } from "./measure.ts";

/** A system, and its end. */
export interface Running extends System, AsyncDisposable {
  /** queue_directory. */
  readonly queue: string;
  /** Has the queue manager go through deferred/, as it does every queue_run_delay. */
  scanDeferred(): Promise<unknown>;
}

const QUEUES = ["incoming", "active", "deferred"] as const;
/** postkick's arguments for a scan of deferred/. */
const SCAN = ["public", "qmgr", "D"] as const;

/** True where Debian's Postfix can be measured: it is there, and we are root. */
export function hasPostfix(): boolean {
  return Postfix.available();
}

/** Starts Postern with its files below a directory. */
export async function startPostern(below: string, settings: Settings): Promise<Running> {
  const base: Settings = {
    myhostname: "postern.test",
    smtpd_relay_restrictions: ["permit_mynetworks", "reject_unauth_destination"],
    virtual_mailbox_path: "",
    disable_dns_lookups: true,
  };
  const postern = await Postern.start({ below, settings: format({ ...base, ...settings }, toToml) });
  const log = new DeliveryCount(postern.paths.log);
  return {
    name: "Postern",
    port: postern.port,
    queue: postern.paths.queue,
    pids: () => withChildren(postern.master),
    queues: QUEUES.map((name) => `${postern.paths.queue}/${name}`),
    delivered: () => log.read(),
    reused: () => log.reused,
    scanDeferred: () => postern.run(["postkick", ...SCAN]),
    [Symbol.asyncDispose]: () => postern[Symbol.asyncDispose](),
  };
}

/** Starts a Debian Postfix of our own with its files below a directory. */
export async function startPostfix(below: string, settings: Settings): Promise<Running> {
  const base: Settings = { smtpd_peername_lookup: false };
  const postfix = await Postfix.start({ below, settings: format({ ...base, ...settings }, toMainCf) });
  const log = new DeliveryCount(`${postfix.root}/mail.log`);
  return {
    name: "Postfix",
    port: postfix.port,
    queue: postfix.queue,
    pids: () => withChildren(postfix.master!),
    queues: QUEUES.map((name) => `${postfix.queue}/${name}`),
    delivered: () => log.read(),
    reused: () => log.reused,
    scanDeferred: () => postfix.run("/usr/sbin/postkick", SCAN),
    [Symbol.asyncDispose]: () => postfix[Symbol.asyncDispose](),
  };
}

function format(settings: Settings, one: (value: Setting) => string): Record<string, string> {
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, one(value)]));
}

/** What a setting can be is written in JSON as it is in TOML. */
function toToml(value: Setting): string {
  return JSON.stringify(value);
}

function toMainCf(value: Setting): string {
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "object" ? value.join(" ") : String(value);
}

/** Counts deliveries in a log that grows, reading each part of it once. */
class DeliveryCount {
  readonly #path: string;
  #offset = 0;
  #count = 0;
  #reused = 0;

  constructor(path: string) {
    this.#path = path;
  }

  read(): number {
    using file = Deno.openSync(this.#path);
    file.seekSync(this.#offset, Deno.SeekMode.Start);
    const added = new Uint8Array(Math.max(0, file.statSync().size - this.#offset));
    const length = file.readSync(added) ?? 0;
    const whole = added.subarray(0, added.subarray(0, length).lastIndexOf(0x0a) + 1);
    this.#offset += whole.length;
    for (const line of new TextDecoder().decode(whole).split("\n")) {
      if (!line.includes(" status=sent ")) continue;
      this.#count++;
      if (line.includes(", conn_use=")) this.#reused++;
    }
    return this.#count;
  }

  /** Deliveries of those that were read over a connection that had been used before. */
  get reused(): number {
    return this.#reused;
  }
}
