/**
 * Operating-system errors in one wording.
 *
 * @module
 */

/** An operation on the system failed: `action` and `object` say which, `state` is the system's own word. */
export class SystemError extends Error {
  override name = "SystemError";
  /** The error's code, as "ENOSPC"; empty when the system gave none. */
  readonly code: string;
  constructor(action: string, object: string, cause: unknown) {
    super(`Cannot ${action} "${object}": ${describe(cause)}`, { cause });
    this.code = errorCode(cause);
  }
}

/** Thrown by Deno for what the sandbox does not allow: a security event, reported by the log as such. */
export function isSandboxRefusal(error: unknown): boolean {
  const cause = error instanceof SystemError ? error.cause : error;
  return cause instanceof Deno.errors.NotCapable;
}

/** The error's code ("ENOENT", "EPERM"), or an empty string. */
export function errorCode(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "";
}

/** The system's words without Deno's own decoration. */
export function describe(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const decorated = message.indexOf(" (os error ");
  return decorated >= 0 ? message.slice(0, decorated) : message;
}

/** True when the error says that there is no such file. */
export function isMissing(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || errorCode(error) === "ENOENT";
}

/** True when the error says that the name is taken. */
export function isTaken(error: unknown): boolean {
  return error instanceof Deno.errors.AlreadyExists || errorCode(error) === "EEXIST";
}
