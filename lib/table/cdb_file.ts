/**
 * Makes cdb: files: a new file under a name of its own, synced, then renamed into the place of the old one, so that a
 * reader sees the one or the other and nothing between, also after a crash.
 *
 * @module
 */
// Safe primitives
import {
  lookAt,
  removeFile,
  renameFile,
  safeCreate,
  type SafeFile,
  safeOpen,
  syncDirectory,
} from "../safe/file.ts";
import { dirname } from "../safe/path.ts";
// Utility
import { encodeText } from "../vstring/byte_builder.ts";
import { NUL } from "../vstring/ascii.ts";
// Tables
import { CDB_HEADER_SIZE, cdbPieces } from "./cdb.ts";

/** How a file is made. */
export interface CdbMaking {
  readonly mode: number;
  /** End keys and values with a NUL, as some systems' programs do. */
  readonly nul: boolean;
}

/**
 * Replaces a data base by one of these entries. Throws a SystemError or a CdbError; the old file then stands.
 *
 * Permissions needed: read and write on the path, on the path with `.tmp` behind it, and on the directory.
 */
export async function writeCdb(
  path: string,
  entries: Iterable<readonly [key: string, value: string]>,
  how: CdbMaking,
): Promise<void> {
  using file = await openAlone(`${path}.tmp`);
  try {
    file.truncate(0);
    file.seek(CDB_HEADER_SIZE);
    const pieces = cdbPieces(encoded(entries, how.nul));
    let next = pieces.next();
    for (; !next.done; next = pieces.next()) file.write(next.value);
    file.writeAt(0, next.value);
    file.setMode(how.mode);
    await file.sync();
    renameFile(file.path, path);
  } catch (error) {
    removeFile(file.path);
    throw error;
  }
  await syncDirectory(dirname(path));
}

/**
 * Opens the temporary file for this process alone. Two programs that make the same table take turns: who has waited
 * for the lock finds that the name stands for another file, or none, and begins anew; what a crash left is used again.
 */
async function openAlone(path: string): Promise<SafeFile> {
  for (;;) {
    const made = safeCreate(path, 0o600);
    const found = made.kind === "created"
      ? { kind: "opened" as const, file: made.file }
      : safeOpen(path, { access: "write" });
    if (found.kind === "refused") throw new Error(`Cannot create "${path}": it ${found.why}`);
    if (found.kind === "missing") continue;
    await found.file.lock("exclusive");
    const [own, named] = [found.file.stat(), lookAt(path)];
    if (named?.inode === own.inode && named.device === own.device) return found.file;
    found.file.close();
  }
}

function* encoded(
  entries: Iterable<readonly [key: string, value: string]>,
  nul: boolean,
): Generator<readonly [Uint8Array, Uint8Array]> {
  const end = nul ? String.fromCharCode(NUL) : "";
  for (const [key, value] of entries) yield [encodeText(key + end), encodeText(value + end)];
}
