/**
 * The queue directory before the daemons start: its subdirectories with their modes and owners, and nothing left of
 * a message that was never acknowledged.
 */
import type { Configuration } from "../../lib/config/configuration.ts";
import type { Logger } from "../../lib/log/log.ts";
import {
  ensureDirectory,
  listDirectory,
  lookAt,
  makeDirectory,
  removeFile,
  SafeDirectory,
  setFileMode,
  setFileOwner,
} from "../../lib/safe/file.ts";
import { dirname } from "../../lib/safe/path.ts";
import { ownUid } from "../../lib/safe/process.ts";
import { QUEUE_FILE_READY } from "../../lib/mail/queue_directory.ts";
import { toQueueId } from "../../lib/mail/queue_id.ts";

/** Subdirectories, their modes, and whether the queue's owner or root owns them (postfix-map section 2.1). */
const DIRECTORIES: readonly { readonly name: string; readonly mode: number; readonly root?: true }[] = [
  { name: "active", mode: 0o700 },
  { name: "bounce", mode: 0o700 },
  { name: "corrupt", mode: 0o700 },
  { name: "defer", mode: 0o700 },
  { name: "deferred", mode: 0o700 },
  { name: "flush", mode: 0o700 },
  { name: "hold", mode: 0o700 },
  { name: "incoming", mode: 0o700 },
  { name: "journal", mode: 0o700 },
  { name: "saved", mode: 0o700 },
  { name: "trace", mode: 0o700 },
  // Local users write and search, and cannot list or remove: sticky.
  { name: "maildrop", mode: 0o1733 },
  { name: "pid", mode: 0o755, root: true },
  // Root's, so that no daemon can put a socket of its own in the place of another's. Searched by daemons of two
  // users; the sockets' own modes say which of them may connect, and that no local user may.
  { name: "private", mode: 0o711, root: true },
  { name: "public", mode: 0o755, root: true },
];

/**
 * Makes what is missing and mends modes and owners, one log line for each mend.
 *
 * @param root the queue directory
 * @param owner the queue's owner; undefined: we ourselves
 */
export function prepareQueue(
  root: string,
  owner: { readonly uid: number; readonly gid: number } | undefined,
  log: Pick<Logger, "info">,
): void {
  ensureDirectory(root);
  let some = false;
  for (const { name, mode, root: rootOwned } of DIRECTORIES) {
    const path = `${root}/${name}`;
    const made = makeDirectory(path, mode);
    some ||= made;
    const stat = lookAt(path);
    if (stat?.kind !== "directory") {
      throw new Error(`Cannot use queue directory "${path}": it is a ${stat?.kind ?? "missing"}`);
    }
    if (!made && stat.mode !== mode) {
      log.info(`mode of ${path} was ${stat.mode.toString(8)}, is now ${mode.toString(8)}`);
      setFileMode(path, mode);
    }
    const wanted = rootOwned ? ownUid() : owner?.uid ?? ownUid();
    if (stat.uid === wanted) continue;
    if (!made) log.info(`owner of ${path} was uid ${stat.uid}, is now uid ${wanted}`);
    setFileOwner(path, wanted, rootOwned ? stat.gid : owner?.gid ?? stat.gid);
  }
  // A message that is synced in a directory whose own name is not on the disk is lost with it.
  if (some) { for (const path of [root, dirname(root)]) syncNames(path); }
}

function syncNames(path: string): void {
  using directory = new SafeDirectory(path);
  directory.syncNow();
}

/**
 * Removes files that were being written when the system went down: their clients got no 250. Only for a start, when
 * nobody writes one.
 */
export function purgeIncomplete(configuration: Configuration, log: Pick<Logger, "info">): void {
  const { queue_directory, hash_queue_names, hash_queue_depth } = configuration.settings;
  const depth = hash_queue_names.includes("incoming") ? hash_queue_depth : 0;
  purgeBelow(`${queue_directory}/incoming`, depth, log);
}

function purgeBelow(directory: string, depth: number, log: Pick<Logger, "info">): void {
  for (const name of listDirectory(directory)) {
    const path = `${directory}/${name}`;
    const stat = lookAt(path);
    if (stat?.kind === "directory" && depth > 0) purgeBelow(path, depth - 1, log);
    if (stat?.kind !== "file") continue;
    // cleanup's temporary names are no queue ids.
    if ((stat.mode & QUEUE_FILE_READY) === QUEUE_FILE_READY && toQueueId(name) !== undefined) continue;
    removeFile(path);
    log.info(`${name}: removed (incomplete message of an earlier run)`);
  }
}
