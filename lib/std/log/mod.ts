/**
 * What Postern uses of `@std/log`, with the real names, signatures and behaviour: levels, records, loggers, the
 * handler to derive from, the console handler, `setup` and `getLogger`. Unlink it in deno.json and the real package
 * serves unchanged. The registry that loggers are found in is the real package's own.
 *
 * @module
 */
import { type BaseHandler, ConsoleHandler } from "./handlers.ts";
import { type LogConfig, Logger, type LoggerConfig } from "./logger.ts";

export {
  BaseHandler,
  type BaseHandlerOptions,
  ConsoleHandler,
  type ConsoleHandlerOptions,
  type FormatterFunction,
} from "./handlers.ts";
export {
  getLevelByName,
  getLevelName,
  type LevelName,
  type LogLevel,
  LogLevelNames,
  LogLevels,
} from "./levels.ts";
export {
  type GenericFunction,
  type LogConfig,
  Logger,
  type LoggerConfig,
  type LoggerOptions,
  LogRecord,
  type LogRecordOptions,
} from "./logger.ts";

const DEFAULT_LEVEL = "INFO";

const DEFAULT_HANDLERS: Readonly<Record<string, BaseHandler>> = {
  default: new ConsoleHandler(DEFAULT_LEVEL),
};

const DEFAULT_LOGGERS: Readonly<Record<string, LoggerConfig>> = {
  default: { level: DEFAULT_LEVEL, handlers: ["default"] },
};

const HANDLERS = new Map<string, BaseHandler>();
const LOGGERS = new Map<string, Logger>();

/** Gives up the handlers and loggers there are and makes those of the configuration and the default ones. */
export function setup(config: LogConfig): void {
  for (const handler of HANDLERS.values()) handler.destroy();
  HANDLERS.clear();
  for (const [name, handler] of Object.entries({ ...DEFAULT_HANDLERS, ...config.handlers })) {
    handler.setup();
    HANDLERS.set(name, handler);
  }
  LOGGERS.clear();
  for (const [name, logger] of Object.entries({ ...DEFAULT_LOGGERS, ...config.loggers })) {
    const named = (logger.handlers ?? []).map((handler) => HANDLERS.get(handler));
    const own = named.filter((handler) => handler !== undefined);
    LOGGERS.set(name, new Logger(name, logger.level ?? DEFAULT_LEVEL, { handlers: own }));
  }
}

/** The logger of that name, made without handlers if there is none; without a name the default one. */
export function getLogger(name?: string): Logger {
  const found = LOGGERS.get(name || "default");
  if (found !== undefined) return found;
  if (!name) throw new Error('"default" logger must be set for getting logger without name');
  const logger = new Logger(name, "NOTSET", { handlers: [] });
  LOGGERS.set(name, logger);
  return logger;
}

setup({});
