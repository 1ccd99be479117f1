/**
 * mailbox - writes one mailbox for the local and virtual delivery agents, or reads a user's files
 *
 * Description: master starts one process per mailbox when local or virtual asks for it, under the user and group id
 * of the mailbox. The process serves the one connection that it inherits: it takes messages and adds each to the
 * mailbox, or says why it cannot. It ends when the connection closes; local and virtual close it when they had no
 * mail for the mailbox for mailbox_helper_idle seconds, or need its room for another mailbox (mailbox_helper_limit).
 * Maildir: a file in tmp, synced, linked into new, and that synced. A message that comes alone is synced in place;
 * where several are under way and syncs are slow, they wait side by side and share the sync of the directory. mbox:
 * dotlock and flock, the text appended and synced, and cut off again on any error.
 *
 * With virtual_mailbox_shared_helper one process serves all virtual mailboxes of a user and group, and each message
 * says which one it is for.
 *
 * For a local user the process reads the user's .forward as well, when local asks for it; for an address with an
 * extension, and for an :include: list, a process is started that reads those files and nothing else. A .forward is used
 * that is a regular file with one link, no link itself, root's or the user's, and not for the world to write; a list
 * may be anybody's and may be reached by a link, as the process has the rights of whoever named it. What a file names
 * beside addresses, commands, files and lists, is told to master before local gets the content.
 *
 * Security: its permissions are read and write on that one mailbox (an mbox: the file and its `.lock`). It reads
 * message text, which is hostile, and interprets nothing of it but line starts (`From ` quoting). The folders of a
 * Maildir are the recipient's: links in the place of tmp, new or cur are refused. An mbox must be a regular file with
 * one link, owned by the recipient (strict_mailbox_ownership); a file that an alias or a .forward names may belong to
 * anybody and must not be executable. Must never be trusted with anything but this mailbox and these files: what it
 * tells master counts for its own user.
 * A shared process has its permissions on the whole of virtual_mailbox_base, so that only the user id stands between
 * it and the others' mailboxes there, and nothing between the mailboxes that it serves; the path that a message names
 * is a plain one below the base, and links on the way to the mailbox are refused, as the runtime would follow them.
 *
 * Standards: RFC 4155 (mbox, with `From ` quoting), RFC 3463 (status codes), Maildir as its author describes it.
 *
 * Diagnostics: every failure is the answer to the agent, which logs it. Warnings: a temporary file or a lock that
 * could not be removed, a mailbox that could not be cut back.
 *
 * Parameters: deliver_lock_attempts, deliver_lock_delay, line_length_limit, myhostname, stale_lock_time; for local mailboxes
 * mailbox_delivery_lock, mailbox_size_limit, strict_mailbox_ownership; for virtual mailboxes virtual_mailbox_lock,
 * virtual_mailbox_limit, strict_mailbox_ownership.
 *
 * Known limits: a file that is read has at most 16 MiB and names at most 1000 commands, files and lists. Deno has no
 * fcntl locks; where the configuration names fcntl, flock and a dotlock are used instead.
 * A mailbox's size is checked against its limit while it is written, not by the system. The directory that holds the
 * mailbox is outside the permissions: its entry for a mailbox made just now is synced by no call of ours. A process
 * killed in mid-message leaves a file in a Maildir's tmp, or the beginning of a message in an mbox (as with Postfix).
 *
 * @module
 */
// Mail
import { Maildir } from "../../lib/mail/mailbox_maildir.ts";
import { lockKinds } from "../../lib/mail/mailbox_lock.ts";
import { Mbox } from "../../lib/mail/mailbox_mbox.ts";
import { MailboxSyncs } from "../../lib/mail/mailbox_sync.ts";
import { type Mailbox, type MailboxPlace } from "../../lib/mail/mailbox_writer.ts";
// Server skeleton
import { type AnyHelperTask } from "../../lib/server/boot.ts";
import { type Context, type Process } from "../../lib/server/context.ts";
import { runHelperDaemon } from "../../lib/server/daemon.ts";
import { MAILBOX } from "../../lib/proto/protocols.ts";
// This program
import { type FilesOptions } from "./mailbox_files.ts";
import {
  type MailboxFormat,
  noMailbox,
  oneMailbox,
  type OpenMailbox,
  sharedMailboxes,
} from "./mailbox_place.ts";
import { mailboxHandler, SILENCE_LIMIT } from "./mailbox_session.ts";
import { SERVICE } from "./service.ts";

/** Makes the mailboxes of this process. A virtual mailbox's user is an address, a login name never holds an `@`. */
function openerOf({ settings, log }: Context<typeof SERVICE>, task: AnyHelperTask): OpenMailbox {
  if (task.kind !== "mailbox" && task.kind !== "mailboxes") return noMailbox;
  const isVirtual = task.kind === "mailboxes" || task.user.includes("@");
  const isFile = task.kind === "mailbox" && task.user === "";
  const syncs = new MailboxSyncs();
  const lock = {
    attempts: settings.deliver_lock_attempts,
    delay: settings.deliver_lock_delay,
    stale: settings.stale_lock_time,
    ...lockKinds(isVirtual ? settings.virtual_mailbox_lock : settings.mailbox_delivery_lock),
  };
  // A file that somebody names may belong to whom it will: it takes the rights to write it.
  const owner = settings.strict_mailbox_ownership && !isFile ? task.uid : undefined;
  const make = (path: string, format: MailboxFormat): Mailbox => {
    const place: MailboxPlace = {
      path,
      sizeLimit: isVirtual ? settings.virtual_mailbox_limit : settings.mailbox_size_limit,
      warn: (text) => log.warning(text),
    };
    return format === "maildir"
      ? new Maildir(place, settings.myhostname, syncs)
      : new Mbox(place, { lock, owner, isFile });
  };
  return task.kind === "mailboxes"
    ? sharedMailboxes(task.path, make)
    : oneMailbox(make(task.path, task.format), task.format);
}

/** What this process reads. */
function filesOf(process: Process<typeof SERVICE>, task: AnyHelperTask): FilesOptions | undefined {
  if (task.kind !== "files" && (task.kind !== "mailbox" || task.files === undefined)) return undefined;
  return {
    files: task.files ?? [],
    owner: task.kind === "files" ? task.owner : task.uid,
    home: task.kind === "files" ? task.home : "",
    lineLimit: process.settings.line_length_limit,
    names: (items) => process.tell({ word: "names", items }),
  };
}

await runHelperDaemon(SERVICE, MAILBOX, (context, process) => {
  const task = process.boot.helper;
  if (task === undefined) return context.fatal("this program is started by master with a mailbox to write");
  const options = {
    refused: (error: unknown) => context.trouble("write mailbox", error),
    silenceLimit: SILENCE_LIMIT,
  };
  return mailboxHandler(openerOf(context, task), options, filesOf(process, task));
});
