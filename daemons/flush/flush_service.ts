/**
 * What the flush daemon is asked: to note a message for a destination, to have a destination's messages delivered, and
 * to go through all lists.
 */
// Safe primitives
import { SystemError } from "../../lib/safe/error.ts";
import { type FileStat, listDirectory, lookAt } from "../../lib/safe/file.ts";
// Utility
import type { Settings } from "../../lib/config/parameters.ts";
import { type IpcClient, IpcError } from "../../lib/ipc/client.ts";
import type { Request } from "../../lib/ipc/protocol.ts";
import type { ServerExchange } from "../../lib/ipc/server.ts";
import type { Logger } from "../../lib/log/log.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { QueueDirectory } from "../../lib/mail/queue_directory.ts";
import { type QueueId, toQueueId } from "../../lib/mail/queue_id.ts";
// Protocols
import type { FlushStatus } from "../../lib/proto/flush_client.ts";
import type { FLUSH, QMGR } from "../../lib/proto/protocols.ts";
import type { MapLookup } from "../../lib/proto/proxymap_client.ts";
// This program
import { addToLog, FlushLog, removeIfEmpty } from "./flush_log.ts";
import { fileNameOf, type SiteName, siteNameOf } from "./flush_site.ts";
import type { SERVICE } from "./service.ts";

/** The settings that flush is told. */
export type FlushSettings = Settings<(typeof SERVICE)["parameters"][number]>;

/** Whom flush works with. */
export interface FlushParts {
  readonly settings: FlushSettings;
  readonly maps: MapLookup;
  readonly qmgr: Pick<IpcClient<typeof QMGR>, "call">;
  readonly log: Logger;
}

/** Ids of one list that are remembered, so that each is asked for once (Postfix). */
const DUPLICATE_LIMIT = 10_000;
/** Requests to qmgr that are not answered yet. */
const AHEAD_LIMIT = 100;

/** Keeps the lists. */
export class FlushService {
  readonly #parts: FlushParts;
  readonly #queue: QueueDirectory;
  /** Lists that are being sent, by their paths. */
  readonly #sending = new Map<string, Promise<FlushStatus>>();

  constructor(parts: FlushParts) {
    this.#parts = parts;
    const { queue_directory, hash_queue_names, hash_queue_depth } = parts.settings;
    this.#queue = new QueueDirectory(queue_directory, hash_queue_names, hash_queue_depth);
  }

  /** Handles one request. Trouble with files is its answer; the mail is delivered in its own time. */
  async handle(exchange: ServerExchange<typeof FLUSH>, message: Request<typeof FLUSH>): Promise<void> {
    switch (message.is) {
      case "add":
        return void await this.#guard(() => this.#add(message.site, message.queueId));
      case "sendSite":
        return exchange.reply("done", { status: await this.#guard(() => this.#sendSite(message.site)) });
      case "purge":
        return await this.#goThrough(0);
      default:
        return message satisfies never;
    }
  }

  /** Sends the lists that nobody has asked for in fast_flush_refresh_time, removes those that are long empty. */
  refresh(): Promise<void> {
    return this.#goThrough(this.#parts.settings.fast_flush_refresh_time);
  }

  async #guard(work: () => Promise<FlushStatus>): Promise<FlushStatus> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof SystemError || error instanceof IpcError)) throw error;
      this.#parts.log.warning(error.message);
      return "fail";
    }
  }

  async #add(site: string, queueId: string): Promise<FlushStatus> {
    const id = toQueueId(queueId);
    const name = siteNameOf(site);
    if (id === undefined || name === undefined) return "bad";
    const refused = await this.#refuse(name);
    if (refused !== undefined) return refused;
    const path = this.#makePath(name);
    if (await addToLog(path, id)) return "ok";
    this.#parts.log.warning(`open fast flush logfile ${path}: it cannot be used`);
    return "fail";
  }

  async #sendSite(site: string): Promise<FlushStatus> {
    const name = siteNameOf(site);
    if (name === undefined) return "bad";
    return await this.#refuse(name) ?? await this.#send(this.#queue.path("flush", fileNameOf(name)), true);
  }

  /** The answer for a site of which no list is kept; undefined for the others. */
  async #refuse(site: SiteName): Promise<FlushStatus | undefined> {
    const found = await this.#parts.maps.find("fast_flush_domains", "list", site);
    if (found.kind === "found") return undefined;
    if (found.kind === "missing") return "denied";
    this.#parts.log.warning(`fast_flush_domains: ${printable(found.why)}`);
    return "fail";
  }

  #makePath(site: SiteName): string {
    const name = fileNameOf(site);
    this.#queue.ensureHash("flush", name);
    return this.#queue.path("flush", name);
  }

  /** Asks for the messages of a list, once at a time. */
  #send(path: string, unthrottle: boolean): Promise<FlushStatus> {
    const before = this.#sending.get(path);
    if (before !== undefined) return before;
    const sending = this.#guard(() => this.#sendAll(path, unthrottle))
      .finally(() => this.#sending.delete(path));
    this.#sending.set(path, sending);
    return sending;
  }

  async #sendAll(path: string, unthrottle: boolean): Promise<FlushStatus> {
    using log = FlushLog.open(path, (text) => this.#parts.log.warning(printable(text)));
    if (log === undefined) return "ok";
    const asked = new Set<QueueId>();
    let ahead: Promise<unknown>[] = [];
    for (const queueId of log.ids()) {
      if (asked.has(queueId)) continue;
      if (asked.size < DUPLICATE_LIMIT) asked.add(queueId);
      ahead.push(this.#parts.qmgr.call("deliver", { queueId, unthrottle }));
      if (ahead.length < AHEAD_LIMIT) continue;
      await Promise.all(ahead);
      ahead = [];
    }
    await Promise.all(ahead);
    // Only now: what was not asked for stays in the list.
    await log.clear();
    return "ok";
  }

  async #goThrough(unread: number): Promise<void> {
    const old = Date.now() - this.#parts.settings.fast_flush_purge_time * 1000;
    const due = Date.now() - unread * 1000;
    for (const { path, stat } of logsBelow(this.#queue.directory("flush"))) {
      if (stat.size > 0) {
        if (stat.accessed <= due) await this.#send(path, false);
      } else if (stat.modified < old) {
        await this.#guard(async () => (await removeIfEmpty(path), "ok"));
      }
    }
  }
}

/** The lists, those in hash directories included. */
function* logsBelow(directory: string): Generator<{ readonly path: string; readonly stat: FileStat }> {
  for (const name of listDirectory(directory)) {
    const path = `${directory}/${name}`;
    const stat = lookAt(path);
    if (stat?.kind === "file") yield { path, stat };
    else if (stat?.kind === "directory" && name.length === 1) yield* logsBelow(path);
  }
}
