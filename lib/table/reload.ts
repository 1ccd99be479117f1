/**
 * When a table looks whether its file has changed, and what is said when that cannot be used: of all tables in files.
 *
 * @module
 */
// Safe primitives
import { isSandboxRefusal } from "../safe/error.ts";
// Tables
import type { FileTableSetting } from "./file_table.ts";
import type { TableError } from "./table.ts";

/** A file is looked at again no sooner than after so many milliseconds, however many look-ups there are. */
export const CHECK_INTERVAL = 5000;

/** How a table takes its file over. */
export interface Reloadable {
  /** Takes the file over if it is new; the reason when it cannot be used. */
  load(): TableError | undefined;
  /** What goes on meanwhile, as "the content that was read before"; undefined when there is nothing. */
  kept(): string | undefined;
}

/** The looks at one file. */
export class Reload {
  readonly #setting: FileTableSetting;
  readonly #table: Reloadable;
  #nextCheck: number;
  #trouble = "";

  constructor(setting: FileTableSetting, table: Reloadable) {
    this.#setting = setting;
    this.#table = table;
    this.#nextCheck = setting.files.now() + CHECK_INTERVAL;
  }

  /** Why the file could not be used, the last time it could not. */
  get trouble(): string {
    return this.#trouble;
  }

  /** The first look. Throws a TableError when the file cannot be used, unless the setting is soft. */
  begin(): void {
    const trouble = this.#table.load();
    if (trouble === undefined) return;
    if (!this.#setting.soft) throw trouble;
    this.#say(trouble);
  }

  /** Looks again, at most once in CHECK_INTERVAL. */
  refresh(): void {
    const now = this.#setting.files.now();
    if (now < this.#nextCheck) return;
    this.#nextCheck = now + CHECK_INTERVAL;
    const trouble = this.#table.load();
    if (trouble === undefined) this.#trouble = "";
    else this.#say(trouble);
  }

  /** Lets the next look-up look again. */
  expire(): void {
    this.#nextCheck = 0;
  }

  /** A reason is told once, not every five seconds. */
  #say(trouble: TableError): void {
    if (trouble.message === this.#trouble) return;
    this.#trouble = trouble.message;
    const kept = this.#table.kept();
    const rest = kept === undefined ? "" : ` -- going on with ${kept}`;
    this.#setting.log?.error(trouble.message + rest);
    if (isSandboxRefusal(trouble.cause)) this.#setting.refused?.(trouble.cause);
  }
}
