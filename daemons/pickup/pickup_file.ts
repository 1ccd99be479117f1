/**
 * Opening a file of maildrop/: everything about it but its content is decided here.
 *
 * @module
 */
// Safe primitives
import { isSandboxRefusal, SystemError } from "../../lib/safe/error.ts";
import { type FileStat, lookAt, type SafeFile, safeOpen } from "../../lib/safe/file.ts";
// Mail
import { QUEUE_FILE_READY } from "../../lib/mail/queue_directory.ts";

/** Age at which a file that is still there is worth a warning, milliseconds. */
const OLD_AGE = 24 * 60 * 60 * 1000;
/** How long a second link may stand before it is worth a warning, milliseconds: rename makes one for an instant. */
const LINK_GRACE = 60 * 1000;
/** Permission to read for everybody: postdrop sets it, `postsuper -r` leaves it unset. */
const WORLD_READABLE = 0o004;

/** An open file of maildrop/. */
export class MaildropFile implements Disposable {
  readonly #file: SafeFile;
  /** Owner: the sender's identity. */
  readonly uid: number;
  readonly size: number;
  /** When it was written, milliseconds since 1970, never in the future. */
  readonly written: number;
  /** It is a queue file that `postsuper -r` put there. */
  readonly requeued: boolean;

  /** Only this module makes one. */
  constructor(file: SafeFile, stat: FileStat, requeued: boolean, now: number) {
    this.#file = file;
    this.uid = stat.uid;
    this.size = stat.size;
    this.written = Math.min(stat.modified, now);
    this.requeued = requeued;
  }

  /** Reads from an offset; returns the bytes read, 0 at the end. */
  readAt(buffer: Uint8Array, offset: number): number {
    return this.#file.read(buffer, offset);
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** What a name in maildrop/ stands for. */
export type FoundFile =
  | { readonly kind: "take"; readonly file: MaildropFile; readonly warnings: readonly string[] }
  /** Not complete yet, gone, or nothing that may be opened: it stays. */
  | { readonly kind: "skip"; readonly warnings: readonly string[] };

/**
 * Opens a file if it is complete and nothing speaks against it.
 *
 * @param queueOwner uid of the owner of the queue
 * @param now milliseconds since 1970
 */
export function openMaildropFile(path: string, queueOwner: number, now: number): FoundFile {
  const stat = lookAt(path);
  if (stat === undefined) return { kind: "skip", warnings: [] };
  const objection = objectionTo(stat, now);
  if (objection !== undefined) return { kind: "skip", warnings: objection === "" ? [] : [objection] };
  try {
    const opened = safeOpen(path, { access: "read" });
    if (opened.kind === "missing") return { kind: "skip", warnings: [] };
    if (opened.kind === "refused") return { kind: "skip", warnings: [opened.why] };
    return toFound(opened.file, queueOwner, now);
  } catch (error) {
    if (!(error instanceof SystemError) || isSandboxRefusal(error)) throw error;
    return { kind: "skip", warnings: [error.message] };
  }
}

/** What speaks against a name, without opening it: undefined for nothing, empty for what needs no warning. */
function objectionTo(stat: FileStat, now: number): string | undefined {
  if (stat.kind !== "file") return `uid ${stat.uid}: is not a regular file`;
  // Postfix's ready test: the owner may read, write and execute. Until then its writer is at work.
  if ((stat.mode & QUEUE_FILE_READY) !== QUEUE_FILE_READY) return "";
  if (stat.links > 1) {
    // Somebody else's file may have been linked here, and its owner is not the one who posts it.
    return now - stat.changed > LINK_GRACE ? `uid ${stat.uid}: has ${stat.links} hard links` : "";
  }
  return undefined;
}

/** The open file decides: between looking and opening its owner may have put another one there. */
function toFound(file: SafeFile, queueOwner: number, now: number): FoundFile {
  const stat = file.stat();
  if ((stat.mode & QUEUE_FILE_READY) !== QUEUE_FILE_READY) {
    file.close();
    return { kind: "skip", warnings: [] };
  }
  const requeued = stat.uid === queueOwner && (stat.mode & WORLD_READABLE) === 0;
  const warnings = now - stat.modified > OLD_AGE ? ["is more than a day old"] : [];
  return { kind: "take", file: new MaildropFile(file, stat, requeued, now), warnings };
}
