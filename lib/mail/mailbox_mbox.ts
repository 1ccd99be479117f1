/**
 * mbox: all messages in one file, each behind a `From ` line (postfix-map section 9.5). One delivery at a time, under
 * the dotlock and flock; a failed delivery is cut off again, so that no half message stays in front of the next.
 *
 * Permissions needed: read and write on the file and on `file.lock`.
 *
 * @module
 */
import { LF } from "../vstring/ascii.ts";
import { ByteBuilder } from "../vstring/byte_builder.ts";
import { type FileStat, lookAt, safeCreate, type SafeFile, safeOpen } from "../safe/file.ts";
import { quoteAddress } from "./address.ts";
import { formatMboxDate } from "./date.ts";
import { Dotlock, lockFile, type LockPolicy } from "./mailbox_lock.ts";
import { MailboxError } from "./mailbox_outcome.ts";
import { type Mailbox, type MailboxDelivery, type MailboxPlace } from "./mailbox_writer.ts";

const FILE_MODE = 0o600;
const EXECUTABLE = 0o111;
/** Text gathered before it is written, bytes. */
const WRITE_SIZE = 65536;
const GREATER_THAN = 0x3e;
const FROM_LINE = new Uint8Array([0x46, 0x72, 0x6f, 0x6d, 0x20]); // "From "
/** Longest sender in a From_ line, UTF-16 units. */
const FROM_SENDER_LIMIT = 512;

/** How an mbox file is treated. */
export interface MboxPolicy {
  readonly lock: LockPolicy;
  /** The file must belong to this uid (strict_mailbox_ownership); undefined: to anybody. */
  readonly owner: number | undefined;
  /** It is no user's mailbox, but a file that an alias or a .forward names. */
  readonly isFile?: boolean;
}

/** An mbox file. */
export class Mbox implements Mailbox {
  readonly #place: MailboxPlace;
  readonly #policy: MboxPolicy;
  /** Settles when the delivery under way, and all who waited before, are over. */
  #turn: Promise<void> = Promise.resolve();

  constructor(place: MailboxPlace, policy: MboxPolicy) {
    this.#place = place;
    this.#policy = policy;
  }

  async begin(sender: string): Promise<MailboxDelivery> {
    const before = this.#turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turn = promise;
    await before;
    try {
      return await this.#open(sender, resolve);
    } catch (error) {
      resolve();
      throw error;
    }
  }

  async #open(sender: string, done: () => void): Promise<MailboxDelivery> {
    const { path } = this.#place;
    const found = lookAt(path);
    if (found !== undefined && found.kind !== "file") throw refusal(path, "is not a regular file", "5.2.0");
    const { lock, isFile } = this.#policy;
    // Mail must not become a part of what somebody runs.
    if (isFile && found !== undefined && (found.mode & EXECUTABLE) !== 0) {
      throw new MailboxError("5.7.1", `cannot append message to file ${path}: file is executable`);
    }
    const dotlock = lock.dotlock ? await this.#dotlock() : undefined;
    try {
      const file = this.#openFile();
      try {
        if (lock.flock) await lockFile(file, lock);
        const stat = this.#checkLocked(file);
        return new MboxDelivery(file, stat.size, this.#place, lock, dotlock, sender, done);
      } catch (error) {
        file.close();
        throw error;
      }
    } catch (error) {
      dotlock?.release();
      throw error;
    }
  }

  /** The dotlock; for a file in a directory that its writer may not write to there is none, as in Postfix. */
  async #dotlock(): Promise<Dotlock | undefined> {
    const { path } = this.#place;
    try {
      return await Dotlock.acquire(path, this.#policy.lock);
    } catch (error) {
      if (this.#policy.isFile !== true || error instanceof MailboxError) throw error;
      this.#place.warn(error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }

  /** Opened for append: what another program writes in spite of the lock is never overwritten. */
  #openFile(): SafeFile {
    const { path } = this.#place;
    const { owner } = this.#policy;
    if (lookAt(path) === undefined) {
      const made = safeCreate(path, FILE_MODE);
      if (made.kind === "exists") throw refusal(path, "was made by another process", "4.2.0");
      made.file.close();
    }
    const opened = safeOpen(path, { access: "append", ...(owner === undefined ? {} : { owner }) });
    if (opened.kind === "opened") return opened.file;
    throw refusal(path, opened.kind === "missing" ? "was removed by another process" : opened.why, "4.2.0");
  }

  /** The file while we waited for its lock may have been removed, replaced or linked: Postfix looks again, too. */
  #checkLocked(file: SafeFile): FileStat {
    const open = file.stat();
    const named = lookAt(this.#place.path);
    if (named === undefined || named.inode !== open.inode || named.device !== open.device) {
      throw refusal(this.#place.path, "was replaced while it was locked", "4.2.0");
    }
    if (open.links !== 1) throw refusal(this.#place.path, `has ${open.links} hard links`, "4.2.0");
    return open;
  }
}

/** One message being appended, from lock to unlock. */
class MboxDelivery implements MailboxDelivery {
  readonly #file: SafeFile;
  /** Size before: what the file is cut to when the delivery fails. */
  readonly #start: number;
  readonly #place: MailboxPlace;
  readonly #lock: LockPolicy;
  readonly #dotlock: Dotlock | undefined;
  readonly #done: () => void;
  readonly #quoter = new FromQuoter();
  readonly #pending = new ByteBuilder(WRITE_SIZE * 3);
  #written = 0;
  #ended = false;

  constructor(
    file: SafeFile,
    start: number,
    place: MailboxPlace,
    lock: LockPolicy,
    dotlock: Dotlock | undefined,
    sender: string,
    done: () => void,
  ) {
    this.#file = file;
    this.#start = start;
    this.#place = place;
    this.#lock = lock;
    this.#dotlock = dotlock;
    this.#done = done;
    this.#separate();
    this.#pending.text(fromLine(sender, Date.now())).byte(LF);
  }

  write(content: Uint8Array): void {
    for (let at = 0; at < content.length; at += WRITE_SIZE) {
      this.#quoter.quote(content.subarray(at, at + WRITE_SIZE), this.#pending);
      if (this.#pending.length >= WRITE_SIZE) this.#flush();
    }
    this.#dotlock?.refresh(this.#lock.stale);
  }

  async finish(): Promise<void> {
    try {
      this.#quoter.end(this.#pending);
      this.#pending.byte(LF);
      this.#flush();
      await this.#file.sync();
      // Somebody who took our lock for left over may have written among ours; if not, ours is whole and the last.
      if (!this.#isLocked() && this.#file.size() !== this.#start + this.#written) {
        throw refusal(this.#place.path, "was unlocked by another process", "4.2.0");
      }
    } catch (error) {
      this.abort();
      throw error;
    }
    this.#end();
  }

  abort(): void {
    if (this.#ended) return;
    try {
      // Without the lock, what follows our start may be somebody else's mail.
      if (this.#isLocked()) this.#file.truncate(this.#start);
      else this.#place.warn(`Cannot cut mailbox "${this.#place.path}" back: another process has the lock`);
    } catch (error) {
      this.#place.warn(error instanceof Error ? error.message : String(error));
    }
    this.#end();
  }

  #isLocked(): boolean {
    return this.#dotlock?.isOurs() ?? true;
  }

  /** A process that died in mid-message left no blank line: the next `From ` line would be part of that message. */
  #separate(): void {
    if (this.#start === 0) return;
    const opened = safeOpen(this.#place.path, { access: "read" });
    if (opened.kind !== "opened") {
      throw refusal(this.#place.path, "was replaced while it was locked", "4.2.0");
    }
    using file = opened.file;
    const last = new Uint8Array(2);
    const count = file.read(last, Math.max(0, this.#start - 2));
    if (last[count - 1] !== LF) this.#pending.byte(LF).byte(LF);
    else if (count === 2 && last[0] !== LF) this.#pending.byte(LF);
  }

  #flush(): void {
    const limit = this.#place.sizeLimit;
    const end = this.#start + this.#written;
    if (limit > 0 && end + this.#pending.length > limit) {
      throw refusal(this.#place.path, `would grow beyond ${limit} bytes`, "5.2.2");
    }
    this.#file.write(this.#pending.view());
    this.#written += this.#pending.length;
    this.#pending.clear();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#file.close();
    try {
      this.#dotlock?.release();
    } catch (error) {
      this.#place.warn(error instanceof Error ? error.message : String(error));
    }
    this.#done();
  }
}

/** Writes `>` before each line that begins with `From `, whatever the pieces in which the text comes. */
export class FromQuoter {
  /** Bytes of "From " that the current line has shown so far and that are held back; -1: the line is known not to match. */
  #matched = 0;
  #atLineStart = true;

  /** Appends the quoted text of one piece; up to four bytes wait for the next. */
  quote(content: Uint8Array, out: ByteBuilder): void {
    let from = 0;
    for (let i = 0; i < content.length; i++) {
      const byte = content[i]!;
      if (this.#matched >= 0) {
        if (byte === FROM_LINE[this.#matched]) {
          this.#matched++;
          from = i + 1;
          if (this.#matched === FROM_LINE.length) {
            out.byte(GREATER_THAN).bytes(FROM_LINE);
            this.#matched = -1;
          }
          continue;
        }
        out.slice(FROM_LINE, 0, this.#matched);
        this.#matched = -1;
        from = i;
      }
      if (byte === LF) {
        out.slice(content, from, i + 1);
        from = i + 1;
        this.#matched = 0;
      }
    }
    if (from < content.length) out.slice(content, from, content.length);
    this.#atLineStart = this.#matched === 0;
  }

  /** Appends what was held back, and the line end that the last line lacks. */
  end(out: ByteBuilder): void {
    if (this.#matched > 0) out.slice(FROM_LINE, 0, this.#matched);
    if (!this.#atLineStart) out.byte(LF);
  }
}

/** The separator line without its end: sender, two blanks, local time. */
export function fromLine(sender: string, time: number): string {
  return `From ${fromSender(quoteAddress(sender))}  ${formatMboxDate(time)}`;
}

/** The sender without anything that would break the line or its fields. */
function fromSender(sender: string): string {
  if (sender === "") return "MAILER-DAEMON";
  let out = "";
  for (const character of sender.slice(0, FROM_SENDER_LIMIT)) {
    const unit = character.charCodeAt(0);
    out += unit <= 0x20 || unit === 0x7f ? "_" : character;
  }
  return out;
}

function refusal(path: string, why: string, status: string): MailboxError {
  return new MailboxError(status, `Cannot use mailbox "${path}": mailbox ${why}`);
}
