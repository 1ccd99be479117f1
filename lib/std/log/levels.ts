/** The log levels of `@std/log`, by name and by number. @module */

/** Number of each level; a logger or handler drops records below its own. */
export const LogLevels = { NOTSET: 0, DEBUG: 10, INFO: 20, WARN: 30, ERROR: 40, CRITICAL: 50 } as const;

/** Name of a level. */
export type LevelName = keyof typeof LogLevels;

/** Number of a level. */
export type LogLevel = (typeof LogLevels)[LevelName];

/** All names, lowest level first. */
export const LogLevelNames: LevelName[] = Object.keys(LogLevels) as LevelName[];

/**
 * The number of a level.
 *
 * @throws Error for an unknown name
 */
export function getLevelByName(name: LevelName): LogLevel {
  if (Object.hasOwn(LogLevels, name)) return LogLevels[name];
  throw new Error(`Cannot get log level: no level named ${name}`);
}

/**
 * The name of a level.
 *
 * @throws Error for an unknown number
 */
export function getLevelName(level: LogLevel): LevelName {
  const name = LogLevelNames.find((candidate) => LogLevels[candidate] === level);
  if (name !== undefined) return name;
  throw new Error(`Cannot get log level: no name for level: ${level}`);
}
