/**
 * The trial's progress: one line for each stage, with a bar that moves on a terminal.
 *
 * @module
 */
import { printable } from "../lib/vstring/printable.ts";

/** Longest text behind a stage's name. */
const TEXT_LIMIT = 300;
const NAME_WIDTH = 14;
/** The start of a terminal's line, its content erased. */
const REWRITE = "\r\x1b[2K";

/** Shows stages as they begin and end. */
export class StageDisplay {
  readonly #stages: number;
  readonly #terminal: boolean;
  readonly #write: (text: string) => void;
  #done = 0;
  #current: string | undefined;

  /**
   * @param stages how many there will be
   * @param terminal the line of a running stage is rewritten; otherwise each stage is written once, when it ends
   */
  constructor(stages: number, terminal: boolean, write: (text: string) => void) {
    this.#stages = stages;
    this.#terminal = terminal;
    this.#write = write;
  }

  /** Shows a stage while `work` goes on, and then what it returned. */
  async stage(name: string, doing: string, work: () => string | Promise<string>): Promise<void> {
    this.#current = name;
    const started = performance.now();
    if (this.#terminal) this.#write(`${REWRITE}${this.#bar()} ${name}: ${doing} ...`);
    const text = await work();
    this.#done++;
    this.#current = undefined;
    const time = `${Math.round(performance.now() - started)} ms`.padStart(8);
    const line = `${this.#bar()} ${name.padEnd(NAME_WIDTH)}${time}  ${printable(text, TEXT_LIMIT)}\n`;
    this.#write(this.#terminal ? REWRITE + line : line);
  }

  /** Says in which stage it ended, if in one. */
  failed(): void {
    if (this.#current === undefined) return;
    const line = `${this.#bar()} ${this.#current.padEnd(NAME_WIDTH)}  FAILED\n`;
    this.#write(this.#terminal ? REWRITE + line : line);
    this.#current = undefined;
  }

  #bar(): string {
    if (!this.#terminal) return `[${this.#done}/${this.#stages}]`;
    return `[${"#".repeat(this.#done)}${".".repeat(this.#stages - this.#done)}]`;
  }
}
