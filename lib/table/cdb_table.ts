/**
 * cdb: tables, the indexed files that `postmap` and `postalias` make: `cdb:/etc/postern/virtual` is the file
 * `/etc/postern/virtual.cdb`. The file stays open and only what a look-up needs is read of it; when another one has
 * taken its name, that one is opened. A file that has become bad leaves the one that was open before in use.
 *
 * @module
 */
// Safe primitives
import { openLinked, type SafeFile } from "../safe/file.ts";
// Utility
import { decodeText, encodeText } from "../vstring/byte_builder.ts";
import { asciiLower, NUL } from "../vstring/ascii.ts";
// Tables
import { CdbReader } from "./cdb.ts";
import type { FileTableSetting } from "./file_table.ts";
import { Reload } from "./reload.ts";
import { MISSING, type Outcome, type Table, TableError } from "./table.ts";

/** What stands behind the name of the source file. */
export const CDB_SUFFIX = ".cdb";

/** An opened file, and whether its texts end in NUL, as some systems' postmap wrote them. */
interface OpenFile {
  readonly file: SafeFile;
  readonly reader: CdbReader;
  readonly version: string | undefined;
}

/** A constant data base. */
export class CdbTable implements Table {
  readonly spec: string;
  readonly partialKeys = true;
  readonly #setting: FileTableSetting;
  readonly #fold: boolean;
  #open: OpenFile | undefined;
  readonly #reload: Reload;

  /** Opens the file, `setting.path`. Throws a TableError, unless the setting is soft. */
  constructor(setting: FileTableSetting, foldKeys: boolean) {
    this.spec = setting.spec;
    this.#setting = setting;
    this.#fold = foldKeys;
    this.#reload = new Reload(setting, {
      load: () => this.#load(),
      kept: () => this.#open === undefined ? undefined : "the file that was open before",
    });
    this.#reload.begin();
  }

  lookup(key: string): Outcome {
    this.#reload.refresh();
    const open = this.#open;
    if (open === undefined) return { kind: "retry", why: this.#reload.trouble };
    const name = encodeText(this.#fold ? asciiLower(key) : key);
    try {
      const value = open.reader.find(name) ?? withoutNul(open.reader.find(withNul(name)));
      return value === undefined ? MISSING : { kind: "found", value: decodeText(value) };
    } catch (error) {
      return { kind: "retry", why: `table ${this.spec}: ${messageOf(error)}` };
    }
  }

  *entries(): Generator<[key: string, value: string]> {
    for (const [key, value] of this.#open?.reader.entries() ?? []) {
      const texts = key.at(-1) === NUL
        ? [withoutNul(key), withoutNul(value)] as const
        : [key, value] as const;
      yield [decodeText(texts[0]), decodeText(texts[1])];
    }
  }

  close(): void {
    this.#open?.file.close();
    this.#open = undefined;
    this.#reload.expire();
  }

  /** Opens the file that has the name now, unless it is the open one; the reason when it cannot be used. */
  #load(): TableError | undefined {
    const { spec, path, files, log } = this.#setting;
    let file: SafeFile | undefined;
    try {
      const version = files.version(path);
      if (version !== undefined && version === this.#open?.version) return undefined;
      file = openLinked(path);
      const stat = file.stat();
      const before = this.#open?.file.stat();
      if (before?.inode === stat.inode && before.device === stat.device) {
        file.close();
        this.#open = { ...this.#open!, version };
        return undefined;
      }
      this.#take(file, version);
      if (before !== undefined) log?.info(`table ${spec} has changed -- using its new content`);
      return undefined;
    } catch (error) {
      file?.close();
      return new TableError(spec, { file: path, line: 0, text: messageOf(error) }, { cause: error });
    }
  }

  /** Takes a file over once its header could be read. */
  #take(file: SafeFile, version: string | undefined): void {
    const reader = new CdbReader((offset, length) => {
      const buffer = new Uint8Array(length);
      return buffer.subarray(0, file.read(buffer, offset));
    });
    reader.find(new Uint8Array(0));
    this.#open?.file.close();
    this.#open = { file, reader, version };
  }
}

function withNul(text: Uint8Array): Uint8Array {
  const out = new Uint8Array(text.length + 1);
  out.set(text);
  return out;
}

function withoutNul<T extends Uint8Array | undefined>(text: T): T {
  return (text?.at(-1) === NUL ? text.subarray(0, -1) : text) as T;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
