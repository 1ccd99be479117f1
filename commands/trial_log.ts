/**
 * The trial's log file, followed while it grows.
 *
 * @module
 */
// Safe primitives
import { lookAt, safeOpen } from "../lib/safe/file.ts";
// Utility
import { decodeText } from "../lib/vstring/byte_builder.ts";
// This program
import { pause } from "./master_control.ts";

/** Most bytes of the log that are read at once. */
const READ_LIMIT = 1024 * 1024;
/** Lines of it that are shown after a failure. */
const TAIL_LINES = 40;
/** How often it is looked at, milliseconds. */
const LOOK_PAUSE = 10;

/** One line of it: which program wrote what. */
export interface LogLine {
  readonly program: string;
  readonly text: string;
}

/** Reads what is written to the log from now on. */
export class TrialLog {
  readonly #path: string;
  readonly #lines: LogLine[] = [];
  #offset: number;
  #rest = "";

  constructor(path: string) {
    this.#path = path;
    this.#offset = lookAt(path)?.size ?? 0;
  }

  /**
   * Waits for the first line, old or new, that `wanted` takes.
   *
   * @param timeout milliseconds
   * @returns undefined when none came in time
   */
  async find(wanted: (line: LogLine) => boolean, timeout: number): Promise<LogLine | undefined> {
    const deadline = Date.now() + timeout;
    for (;;) {
      this.#read();
      const found = this.#lines.find(wanted);
      if (found !== undefined || Date.now() > deadline) return found;
      await pause(LOOK_PAUSE);
    }
  }

  /** The last lines, for a person to read. */
  tail(): string {
    this.#read();
    return this.#lines.slice(-TAIL_LINES).map(({ program, text }) => `  ${program}: ${text}\n`).join("");
  }

  #read(): void {
    const opened = safeOpen(this.#path, { access: "read" });
    if (opened.kind !== "opened") return;
    using file = opened.file;
    const buffer = new Uint8Array(READ_LIMIT);
    for (let count = file.read(buffer, this.#offset); count > 0; count = file.read(buffer, this.#offset)) {
      this.#offset += count;
      const lines = (this.#rest + decodeText(buffer.subarray(0, count))).split("\n");
      this.#rest = lines.pop() ?? "";
      for (const line of lines) this.#lines.push(parseLogLine(line));
    }
  }
}

/** Takes a line of Postfix's format apart: "Mon dd hh:mm:ss host postfix/PROGRAM[pid]: text". */
export function parseLogLine(line: string): LogLine {
  const end = line.indexOf("]: ");
  const slash = line.indexOf("/");
  const bracket = line.lastIndexOf("[", end);
  if (end < 0 || slash < 0 || bracket < slash) return { program: "", text: line };
  return { program: line.slice(slash + 1, bracket), text: line.slice(end + "]: ".length) };
}
