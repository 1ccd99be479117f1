/**
 * Which mailbox a delivery is for: the one that the helper was started for, or one of those that share it, whose path
 * the agent names with each message. The agent is not believed: what it names is a plain path below the directory,
 * and no link stands on the way, as the runtime's permissions follow links to wherever they lead.
 *
 * @module
 */
// Safe primitives
import { lookAt } from "../../lib/safe/file.ts";
// Mail
import { MailboxError } from "../../lib/mail/mailbox_outcome.ts";
import { type Mailbox } from "../../lib/mail/mailbox_writer.ts";
// Wire protocols
import { CodecError } from "../../lib/ipc/codec.ts";

/** Form of a mailbox. */
export type MailboxFormat = "maildir" | "mbox";

/**
 * Gives the mailbox that a delivery names.
 *
 * @throws CodecError when the agent may not name it; MailboxError when it cannot be used
 */
export type OpenMailbox = (path: string, format: MailboxFormat) => Mailbox;

/** Mailboxes that a shared helper remembers. */
const MAILBOX_LIMIT = 1000;
/** Directories between the common one and a mailbox. */
const DEPTH_LIMIT = 20;

/** The one mailbox of a helper. */
export function oneMailbox(mailbox: Mailbox, format: MailboxFormat): OpenMailbox {
  return (path, asked) => {
    if (path !== "" || asked !== format) throw new CodecError("Cannot open mailbox: it is another one's");
    return mailbox;
  };
}

/** None: for a helper that reads files. */
export const noMailbox: OpenMailbox = () => {
  throw new CodecError("Cannot open mailbox: this helper has none");
};

/**
 * The mailboxes below a directory.
 *
 * @param make makes one that is not remembered
 */
export function sharedMailboxes(
  base: string,
  make: (path: string, format: MailboxFormat) => Mailbox,
): OpenMailbox {
  /** Least recently used first. */
  const known = new Map<string, Mailbox>();
  return (relative, format) => {
    const names = plainNames(relative);
    refuseLinks(base, names.slice(0, -1));
    const key = `${format}:${relative}`;
    const mailbox = known.get(key) ?? make(`${base}/${relative}`, format);
    known.delete(key);
    known.set(key, mailbox);
    // One that is forgotten at work finishes its work; its file's lock holds off the next one.
    for (const [oldest] of known) {
      if (known.size <= MAILBOX_LIMIT) break;
      known.delete(oldest);
    }
    return mailbox;
  };
}

/** The names of a path below the directory, none of which steps aside. */
function plainNames(relative: string): string[] {
  const names = relative.split("/");
  const plain = names.every((name) => name !== "" && name !== "." && name !== ".." && !name.includes("\0"));
  if (!plain || names.length > DEPTH_LIMIT) {
    throw new CodecError("Cannot open mailbox: its path is not plain");
  }
  return names;
}

/** Looked at each time: whoever owns a directory may have put a link in its place since. */
function refuseLinks(base: string, directories: readonly string[]): void {
  let path = base;
  for (const name of directories) {
    path = `${path}/${name}`;
    const kind = lookAt(path)?.kind;
    if (kind === "directory") continue;
    const why = kind === undefined ? "missing" : kind === "link" ? "a symbolic link" : "not a directory";
    throw new MailboxError("4.2.0", `Cannot use mailbox: "${path}" is ${why}`);
  }
}
