/**
 * What postsuper does with single messages.
 *
 * @module
 */
// Safe primitives
import { type FileStat, lookAt, removeFile, setFileMode, setFileTime } from "../lib/safe/file.ts";
// Mail
import {
  QUEUE_FILE_EXPIRE,
  QUEUE_FILE_READY,
  type QueueDirectory,
  type QueueName,
} from "../lib/mail/queue_directory.ts";
import type { QueueId } from "../lib/mail/queue_id.ts";
// This program
import type { Reporter } from "./postsuper_report.ts";

/** Queues that hold messages. */
export type MessageQueue = "hold" | "incoming" | "active" | "deferred" | "maildrop";
/** The option's letter. */
export type ActionName = "d" | "e" | "f" | "h" | "H" | "r";

/** Logs that go with a message. */
const LOG_QUEUES = ["bounce", "defer", "trace"] as const;
/** A message may move from a queue that is still to be searched to one that was: look twice. */
const SEARCHES = 2;

/** Words of the report, and the queues where messages are sought. */
export const ACTIONS: Readonly<
  Record<ActionName, { readonly count: string; readonly queues: readonly MessageQueue[] }>
> = {
  d: { count: "Deleted", queues: ["hold", "incoming", "active", "deferred", "maildrop"] },
  e: { count: "Force-expired", queues: ["hold", "incoming", "active", "deferred"] },
  f: { count: "Force-expired", queues: ["hold", "incoming", "active", "deferred"] },
  h: { count: "Placed on hold", queues: ["incoming", "active", "deferred"] },
  H: { count: "Released from hold", queues: ["hold"] },
  r: { count: "Requeued", queues: ["hold", "incoming", "active", "deferred"] },
};

/** The order of the counts. */
const COUNTS = ["Requeued", "Deleted", "Force-expired", "Placed on hold", "Released from hold"];

/** Does the work and counts it. */
export class MessageWorker {
  readonly #directory: QueueDirectory;
  readonly #report: Reporter;
  readonly #counts = new Map<string, number>();

  constructor(directory: QueueDirectory, report: Reporter) {
    this.#directory = directory;
    this.#report = report;
  }

  /** Works on the message with this id, in the first queue that has it. */
  one(action: ActionName, id: QueueId, queues: readonly MessageQueue[]): void {
    for (let search = 0; search < SEARCHES; search++) {
      for (const queue of queues) {
        if (this.#perform(action, queue, id, true)) return;
      }
    }
  }

  /** Works on every message of the queues. */
  all(action: ActionName, queues: readonly MessageQueue[]): void {
    for (const queue of queues) {
      for (const id of this.#directory.ids(queue)) this.#perform(action, queue, id, false);
    }
  }

  /** Notes that the action was asked for, so that its count is reported even when it is 0. */
  asked(action: ActionName): void {
    this.#add(ACTIONS[action].count, 0);
    if (action === "f") this.#add(ACTIONS.H.count, 0);
  }

  /** Reports the counts. */
  summary(): void {
    for (const text of COUNTS) {
      const count = this.#counts.get(text);
      if (count !== undefined) this.#report.info(`${text}: ${count} message${count === 1 ? "" : "s"}`);
    }
  }

  #add(text: string, count: number): void {
    this.#counts.set(text, (this.#counts.get(text) ?? 0) + count);
  }

  /** Does it where the queue has such a message; false where not. */
  #perform(action: ActionName, queue: MessageQueue, id: QueueId, named: boolean): boolean {
    const path = this.#directory.path(queue, id);
    const stat = lookAt(path);
    if (stat === undefined || !this.#isMessage(stat, queue, id)) return false;
    const say = (text: string) => {
      if (named) this.#report.info(`${id}: ${text}`);
    };
    switch (action) {
      case "d":
        return this.#delete(path, id, say);
      case "e":
        return this.#expire(path, stat, say);
      case "f": {
        const expired = this.#expire(path, stat, say);
        return (queue === "hold" && this.#move(queue, "deferred", id, "H", "released from hold", say)) ||
          expired;
      }
      case "h":
        return this.#move(queue, "hold", id, "h", "placed on hold", say);
      case "H":
        return this.#move(queue, "deferred", id, "H", "released from hold", say);
      case "r":
        return this.#requeue(queue, id, say);
      default:
        return action satisfies never;
    }
  }

  /** A committed file. What else has the name of one is left alone: it may be a link to something of value. */
  #isMessage(stat: FileStat, queue: MessageQueue, id: QueueId): boolean {
    if (stat.kind !== "file") {
      this.#report.warning(`${queue}/${id}: is no regular file`);
      return false;
    }
    if (stat.links !== 1) {
      this.#report.warning(`${queue}/${id}: has ${stat.links} hard links`);
      return false;
    }
    return (stat.mode & QUEUE_FILE_READY) === QUEUE_FILE_READY;
  }

  /** Removes a message, then its logs: the other way round, a crash would leave it without the names of who failed. */
  #delete(path: string, id: QueueId, say: (text: string) => void): boolean {
    if (!removeFile(path)) return false;
    for (const queue of LOG_QUEUES) removeFile(this.#directory.path(queue, id));
    say("removed");
    this.#add("Deleted", 1);
    return true;
  }

  /** Marks a message as expired; one that is marked already is neither named nor counted. */
  #expire(path: string, stat: FileStat, say: (text: string) => void): boolean {
    if ((stat.mode & QUEUE_FILE_EXPIRE) !== 0) return false;
    setFileMode(path, stat.mode | QUEUE_FILE_EXPIRE);
    say("expired");
    this.#add("Force-expired", 1);
    return true;
  }

  #move(
    from: MessageQueue,
    to: QueueName,
    id: QueueId,
    action: ActionName,
    done: string,
    say: (text: string) => void,
  ): boolean {
    if (lookAt(this.#directory.path(to, id)) !== undefined) {
      this.#report.warning(`${from}/${id}: ${to}/${id} exists already`);
      return false;
    }
    if (!this.#directory.move(id, from, to)) return false;
    say(done);
    this.#add(ACTIONS[action].count, 1);
    return true;
  }

  #requeue(from: MessageQueue, id: QueueId, say: (text: string) => void): boolean {
    if (!this.#move(from, "maildrop", id, "r", "requeued", say)) return false;
    // A deferred file's time is that of its next attempt; pickup would wait for it.
    const path = this.#directory.path("maildrop", id);
    if (lookAt(path) !== undefined) setFileTime(path, Date.now());
    return true;
  }
}
