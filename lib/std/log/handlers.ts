/** Handlers of `@std/log`: what becomes of a record. @module */
import { getLevelByName, getLevelName, type LevelName, type LogLevel, LogLevels } from "./levels.ts";
import type { LogRecord } from "./logger.ts";

/** Turns a record into text. */
export type FormatterFunction = (logRecord: LogRecord) => string;

/** Options of every handler. */
export interface BaseHandlerOptions {
  /** Default: the level's name, a space, the message. */
  formatter?: FormatterFunction;
}

function formatPlainly(logRecord: LogRecord): string {
  return `${logRecord.levelName} ${logRecord.msg}`;
}

/** Formats the records from its level on and hands each to `log`. */
export abstract class BaseHandler {
  #level: LogLevel;
  formatter: FormatterFunction;

  constructor(levelName: LevelName, options?: BaseHandlerOptions) {
    this.#level = getLevelByName(levelName);
    this.formatter = options?.formatter ?? formatPlainly;
  }

  get level(): LogLevel {
    return this.#level;
  }

  set level(level: LogLevel) {
    this.#level = getLevelByName(getLevelName(level));
  }

  get levelName(): LevelName {
    return getLevelName(this.#level);
  }

  set levelName(levelName: LevelName) {
    this.#level = getLevelByName(levelName);
  }

  /** Formats and logs a record unless its level is below the handler's. */
  handle(logRecord: LogRecord): void {
    if (this.#level > logRecord.level) return;
    this.log(this.format(logRecord));
  }

  /** The text of a record. */
  format(logRecord: LogRecord): string {
    return this.formatter(logRecord);
  }

  /** Puts a line where it belongs. */
  abstract log(msg: string): void;

  /** Called when the handler is taken into use. */
  setup(): void {}

  /** Called when the handler is given up. */
  destroy(): void {}

  [Symbol.dispose](): void {
    this.destroy();
  }
}

/** Options of `ConsoleHandler`. */
export interface ConsoleHandlerOptions extends BaseHandlerOptions {
  /** Default true. */
  useColors?: boolean;
}

/** The codes that switch a colour on and off. */
type Color = readonly [string, string];

const BLUE: Color = ["\x1b[34m", "\x1b[39m"];
const YELLOW: Color = ["\x1b[33m", "\x1b[39m"];
const RED: Color = ["\x1b[31m", "\x1b[39m"];
const BOLD_RED: Color = ["\x1b[1m\x1b[31m", "\x1b[39m\x1b[22m"];

const COLORS: ReadonlyMap<number, Color> = new Map<number, Color>([
  [LogLevels.INFO, BLUE],
  [LogLevels.WARN, YELLOW],
  [LogLevels.ERROR, RED],
  [LogLevels.CRITICAL, BOLD_RED],
]);

/** Logs to the console, in the colour of the level. */
export class ConsoleHandler extends BaseHandler {
  readonly #useColors: boolean;

  constructor(levelName: LevelName, options: ConsoleHandlerOptions = {}) {
    super(levelName, options);
    this.#useColors = (options.useColors ?? true) && !Deno.noColor;
  }

  override format(logRecord: LogRecord): string {
    const msg = super.format(logRecord);
    return this.#useColors ? this.applyColors(msg, logRecord.level) : msg;
  }

  /** The text in the colour of the level. */
  applyColors(msg: string, level: number): string {
    const color = COLORS.get(level);
    return color === undefined ? msg : color[0] + msg + color[1];
  }

  log(msg: string): void {
    console.log(msg);
  }
}
