/**
 * Tables whose content is a file. The file is parsed as a whole; when its inode, size or time has changed it is read
 * again and swapped in. Postfix restarts the process at that point; we go on, and a file that has become bad leaves
 * the content that was read before in place.
 *
 * @module
 */
// Safe primitives
import { lookAt, readTextFile } from "../safe/file.ts";
// Utility
import type { Logger } from "../log/log.ts";
// Tables
import { Reload } from "./reload.ts";
import { describeProblem, type Outcome, type Table, TableError, type Warn } from "./table.ts";

/** Longest table file, bytes. */
export const TABLE_FILE_LIMIT = 128 * 1024 * 1024;
/** A file that was written less than so many milliseconds before it was read may have changed since unseen. */
const SETTLE_TIME = 2000;

/** How tables reach files; replaced by tests and by callers that hold the text already. */
export interface TableFiles {
  /** The whole text of a file, links followed; throws when it cannot be read. */
  read(path: string): string;
  /** A text that changes when the file does, or undefined when only reading it can tell. Throws as `read`. */
  version(path: string): string | undefined;
  /** Milliseconds of a clock that is never set back. */
  now(): number;
}

/** The file system as it is. */
export const SYSTEM_FILES: TableFiles = {
  read: (path) => readTextFile(path, TABLE_FILE_LIMIT),
  version: (path) => {
    const stat = lookAt(path);
    // A link's own times say nothing of its target, and the sandbox may not let us look at that.
    if (stat === undefined || stat.kind === "link") return undefined;
    if (Date.now() - stat.modified < SETTLE_TIME) return undefined;
    return `${stat.device} ${stat.inode} ${stat.size} ${stat.modified} ${stat.changed}`;
  },
  now: () => performance.now(),
};

/** How the content of one type of file is parsed and searched. */
export interface FileFormat<Content> {
  readonly partialKeys: boolean;
  /** Parses the file's text; throws a TableError for what makes the table unusable. */
  parse(text: string, warn: Warn): Content;
  find(content: Content, key: string): Outcome;
  list?(content: Content): Iterable<readonly [string, string]>;
  values?(content: Content): Iterable<string>;
  /** Tells the line of the entry that `find` gives for a key. Called once for a text, when a line is first asked for. */
  locate?(content: Content, text: string): (key: string) => number | undefined;
}

/** What a file table needs beside its format. */
export interface FileTableSetting {
  readonly spec: string;
  readonly path: string;
  readonly files: TableFiles;
  readonly warn: Warn;
  /** Told of reloads. */
  readonly log?: Pick<Logger, "info" | "error"> | undefined;
  /** Told when the sandbox does not allow to read the file: a security event. */
  readonly refused?: ((error: unknown) => void) | undefined;
  /** When the file cannot be used now: answer `retry` and try again later, instead of throwing. */
  readonly soft: boolean;
}

/** A table in a file. */
export class FileTable<Content> implements Table {
  readonly spec: string;
  readonly partialKeys: boolean;
  /** Only where the format can list them. */
  readonly entries?: () => Iterable<readonly [string, string]>;
  readonly values?: () => Iterable<string>;
  readonly #format: FileFormat<Content>;
  readonly #setting: FileTableSetting;
  #content: { readonly value: Content } | undefined;
  #text: string | undefined;
  #locate: ((key: string) => number | undefined) | undefined;
  #version: string | undefined;
  readonly #reload: Reload;

  /** Reads the file. Throws a TableError, unless the setting is soft. */
  constructor(format: FileFormat<Content>, setting: FileTableSetting) {
    this.spec = setting.spec;
    this.partialKeys = format.partialKeys;
    this.#format = format;
    this.#setting = setting;
    const { list, values } = format;
    if (list !== undefined) this.entries = () => this.#content === undefined ? [] : list(this.#content.value);
    if (values !== undefined) {
      this.values = () => this.#content === undefined ? [] : values(this.#content.value);
    }
    this.#reload = new Reload(setting, {
      load: () => this.#load(),
      kept: () => this.#content === undefined ? undefined : "the content that was read before",
    });
    this.#reload.begin();
  }

  lookup(key: string): Outcome {
    this.#reload.refresh();
    if (this.#content === undefined) return { kind: "retry", why: this.#reload.trouble };
    return this.#format.find(this.#content.value, key);
  }

  placeOf(key: string): string | undefined {
    if (this.#content === undefined || this.#format.locate === undefined) return undefined;
    this.#locate ??= this.#format.locate(this.#content.value, this.#text!);
    const line = this.#locate(key);
    return line === undefined ? undefined : `${this.#setting.path}:${line}`;
  }

  /** Takes the file's content over if it is new; the reason when it cannot be used. */
  #load(): TableError | undefined {
    const { spec, path, files, warn, log } = this.#setting;
    try {
      // The version is taken before the text: a change between the two is then seen at the next look.
      const version = files.version(path);
      if (version !== undefined && version === this.#version) return undefined;
      const text = files.read(path);
      if (text !== this.#text) {
        const reread = this.#content !== undefined;
        this.#content = { value: this.#format.parse(text, warn) };
        this.#text = text;
        this.#locate = undefined;
        if (reread) log?.info(`table ${spec} has changed -- using its new content`);
      }
      this.#version = version;
      return undefined;
    } catch (error) {
      this.#version = undefined;
      if (error instanceof TableError) return error;
      const why = error instanceof Error ? error.message : String(error);
      return new TableError(spec, { file: path, line: 0, text: why }, { cause: error });
    }
  }
}

/** A warner that logs each problem as Postfix does. */
export function logProblems(log: Pick<Logger, "warning"> | undefined): Warn {
  return (problem) => log?.warning(describeProblem(problem));
}

/** The content of tables that are a list of keys and values. */
export const MAP_FORMAT = {
  partialKeys: true,
  list: (content: ReadonlyMap<string, string>) => content,
} as const;
