/**
 * The scan of maildrop/: which files are taken, and what becomes of each.
 *
 * @module
 */
// Safe primitives
import { isSandboxRefusal, SystemError } from "../../lib/safe/error.ts";
import { lookAt, removeFile } from "../../lib/safe/file.ts";
// Utility
import type { IpcClient } from "../../lib/ipc/client.ts";
import type { Logger } from "../../lib/log/log.ts";
import { printable } from "../../lib/vstring/printable.ts";
// Mail
import { quoteAddress } from "../../lib/mail/address.ts";
import type { QueueDirectory } from "../../lib/mail/queue_directory.ts";
import type { QueueId } from "../../lib/mail/queue_id.ts";
import { BadRecordError, RECORD } from "../../lib/mail/record.ts";
// Wire protocols
import { submitMessage } from "../../lib/proto/cleanup_client.ts";
import { receiveFlags, utf8Flag } from "../../lib/proto/cleanup_client.ts";
import { type CLEANUP, CLEANUP_FLAG, CLEANUP_STATUS } from "../../lib/proto/protocols.ts";
import type { MapLookup } from "../../lib/proto/proxymap_client.ts";
// Server skeleton
import { mayPost, maySendAs, type SubmitAccessSettings } from "../../lib/server/submit_access.ts";
// This program
import { receivedHeader } from "./pickup_received.ts";
import { type MaildropFile, openMaildropFile } from "./pickup_file.ts";
import { type MessageFacts, sendMaildropMessage } from "./pickup_message.ts";

/** Messages that are on their way to cleanup at once: they share the cost of its syncs. */
const CONCURRENCY = 20;
/** Warnings that are remembered, so that a file is not complained about in every scan. */
const WARNED_LIMIT = 1000;

/** The parameters that pickup works by. */
export interface PickupSettings extends SubmitAccessSettings {
  readonly line_length_limit: number;
  readonly mail_name: string;
  readonly myhostname: string;
  readonly content_filter: string;
  readonly receive_override_options: readonly string[];
  readonly smtputf8_autodetect_classes: readonly string[];
}

/** What pickup works with. */
export interface PickupParts {
  readonly queue: QueueDirectory;
  readonly cleanup: IpcClient<typeof CLEANUP>;
  /** The tables of authorized_submit_users and local_login_sender_maps; undefined where everybody may post as anybody. */
  readonly maps: MapLookup | undefined;
  /** The login name of a uid. */
  readonly loginOf: (uid: number) => string | undefined;
  readonly log: Logger;
  readonly settings: PickupSettings;
}

/** A file that cannot be judged now. */
class NotNowError extends Error {
  override name = "NotNowError";
}

/** Takes files from maildrop/. */
export class PickupService {
  readonly #parts: PickupParts;
  readonly #warned = new Set<string>();
  #scanning: Promise<void> | undefined;
  #again = false;

  constructor(parts: PickupParts) {
    this.#parts = parts;
  }

  /** Takes what is in maildrop/; resolves when a look that began after the call found nothing more to take. */
  scan(): Promise<void> {
    this.#again = true;
    this.#scanning ??= this.#scanUntilDone().finally(() => this.#scanning = undefined);
    return this.#scanning;
  }

  async #scanUntilDone(): Promise<void> {
    let taken = 0;
    do {
      this.#again = false;
      taken = await this.#pass();
      // A file that came while we looked may not have been listed: look until there is nothing to take.
    } while (taken > 0 || this.#again);
  }

  /** One look at every name; returns how many files are gone from maildrop/ through it. */
  async #pass(): Promise<number> {
    const ids = this.#parts.queue.ids("maildrop");
    let taken = 0;
    const work = async () => {
      for (let next = ids.next(); !next.done; next = ids.next()) {
        if (await this.#takeFile(next.value)) taken++;
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, work));
    return taken;
  }

  /** Takes one file; true when it is gone from maildrop/. */
  async #takeFile(id: QueueId): Promise<boolean> {
    const path = this.#parts.queue.path("maildrop", id);
    // Directory and queue have one owner: the user that we run as.
    const queueOwner = lookAt(this.#parts.queue.directory("maildrop"))?.uid ?? 0;
    const found = openMaildropFile(path, queueOwner, Date.now());
    for (const warning of found.warnings) this.#warnOnce(`${id}: ${warning}`);
    if (found.kind === "skip") return false;
    using file = found.file;
    try {
      return await this.#submit(id, path, file);
    } catch (error) {
      if (error instanceof BadRecordError) return this.#setAside(id, file, error.message);
      if (error instanceof NotNowError) return this.#keep(id, error.message);
      // A read error, a directory that cannot be written: this file's trouble, not that of the others.
      if (!(error instanceof SystemError) || isSandboxRefusal(error)) throw error;
      this.#warnOnce(`${id}: ${error.message}`);
      return false;
    }
  }

  async #submit(id: QueueId, path: string, file: MaildropFile): Promise<boolean> {
    const { cleanup, settings, log } = this.#parts;
    const flags = flagsFor(settings, file.requeued);
    const submission = await submitMessage(cleanup, flags, async (sink) => {
      // Also what was requeued is filtered, but by what is configured now (postsuper -r).
      if (settings.content_filter !== "") await sink.record(RECORD.FILTER, settings.content_filter);
      await sendMaildropMessage(file, sink, settings.line_length_limit, async (facts) => {
        if (!file.requeued) await this.#authorize(file, facts.sender);
        log.info(originLine(sink.queueId, id, file, facts));
        return receivedHeader(settings, file.uid, sink.queueId, Date.now());
      });
    }, { lineLimit: settings.line_length_limit });
    if (submission.status === CLEANUP_STATUS.OK) return removeFile(path);
    const why = `cleanup status ${submission.status}${
      submission.reason === "" ? "" : `: ${submission.reason}`
    }`;
    // The message itself is at fault: nobody can be told, as cleanup returns what it can return itself.
    if ((submission.status & (CLEANUP_STATUS.BAD | CLEANUP_STATUS.RECIPIENT)) !== 0) {
      return this.#setAside(id, file, why);
    }
    return this.#keep(id, why);
  }

  #keep(id: QueueId, why: string): boolean {
    this.#parts.log.warning(`maildrop file ${id} stays for a later attempt: ${printable(why)}`);
    return false;
  }

  /** Throws unless the owner of the file may post, and as this sender: sendmail and postdrop are not the only way. */
  async #authorize({ uid }: MaildropFile, sender: string): Promise<void> {
    const { settings, maps, queue, loginOf } = this.#parts;
    if (maps === undefined) return;
    const privileged = uid === 0 || uid === lookAt(queue.directory("maildrop"))?.uid;
    const submitter = { uid, login: loginOf(uid), privileged };
    const posts = await mayPost(submitter, maps, settings);
    const verdict = posts.kind === "allowed" ? await maySendAs(submitter, sender, maps, settings) : posts;
    if (verdict.kind === "refused") throw new BadRecordError(verdict.why);
    if (verdict.kind === "retry") throw new NotNowError(verdict.why);
  }

  /** Moves a file that is no message to corrupt/, where an administrator may look at it. */
  #setAside(id: QueueId, file: MaildropFile, why: string): boolean {
    this.#parts.log.warning(
      `maildrop file ${id}, uid=${file.uid}: ${printable(why)}: moved to the corrupt queue`,
    );
    return this.#parts.queue.move(id, "maildrop", "corrupt");
  }

  #warnOnce(text: string): void {
    if (this.#warned.has(text)) return;
    if (this.#warned.size >= WARNED_LIMIT) this.#warned.clear();
    this.#warned.add(text);
    this.#parts.log.warning(`maildrop file ${printable(text)}`);
  }
}

/** What cleanup is asked to do: mail of local users is from outside, and cleanup returns it itself if it must. */
function flagsFor(settings: PickupSettings, requeued: boolean): number {
  const flags = receiveFlags(settings.receive_override_options) | CLEANUP_FLAG.BOUNCE |
    utf8Flag(settings.smtputf8_autodetect_classes, "sendmail");
  // A Milter has seen a requeued message when it came.
  return requeued ? flags & ~CLEANUP_FLAG.MILTER : flags;
}

function originLine(queueId: string, id: QueueId, file: MaildropFile, facts: MessageFacts): string {
  const origin = file.requeued ? ` orig_id=${id}` : "";
  return `${queueId}: uid=${file.uid} from=<${printable(quoteAddress(facts.sender))}>${origin}`;
}
