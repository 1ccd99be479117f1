/**
 * Makes cdb: files: a new file under a name of its own, synced, then renamed into the place of the old one, so that a
 * reader sees the one or the other and nothing between, also after a crash.
 *
 * @module
 */
// Safe primitives
import { removeFile, renameFile, safeCreate, syncDirectory } from "../safe/file.ts";
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
  const temporary = `${path}.tmp`;
  // What a crash left behind; a link that somebody put there is removed, not followed.
  removeFile(temporary);
  const made = safeCreate(temporary, 0o600);
  if (made.kind === "exists") {
    throw new Error(`Cannot create "${temporary}": another program makes the same table`);
  }
  using file = made.file;
  try {
    file.seek(CDB_HEADER_SIZE);
    const pieces = cdbPieces(encoded(entries, how.nul));
    let next = pieces.next();
    for (; !next.done; next = pieces.next()) file.write(next.value);
    file.writeAt(0, next.value);
    file.setMode(how.mode);
    await file.sync();
    renameFile(temporary, path);
  } catch (error) {
    removeFile(temporary);
    throw error;
  }
  await syncDirectory(dirname(path));
}

function* encoded(
  entries: Iterable<readonly [key: string, value: string]>,
  nul: boolean,
): Generator<readonly [Uint8Array, Uint8Array]> {
  const end = nul ? String.fromCharCode(NUL) : "";
  for (const [key, value] of entries) yield [encodeText(key + end), encodeText(value + end)];
}
