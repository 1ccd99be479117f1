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

/** The system's words for what node:net tells by its code: "connect ENOENT /path". */
const WORDS: ReadonlyMap<string, string> = new Map([
  ["EACCES", "Permission denied"],
  ["EADDRINUSE", "Address already in use"],
  ["EADDRNOTAVAIL", "Cannot assign requested address"],
  ["EAGAIN", "Resource temporarily unavailable"],
  ["ECONNREFUSED", "Connection refused"],
  ["ECONNRESET", "Connection reset by peer"],
  ["EHOSTUNREACH", "No route to host"],
  ["EMFILE", "Too many open files"],
  ["ENETUNREACH", "Network is unreachable"],
  ["ENOENT", "No such file or directory"],
  ["ENOTFOUND", "Name or service not known"],
  ["ENOTSOCK", "Socket operation on non-socket"],
  ["EPIPE", "Broken pipe"],
  ["ETIMEDOUT", "Connection timed out"],
]);

/** The system's words without the runtime's own decoration. */
export function describe(error: unknown): string {
  const words = error instanceof Error && "syscall" in error ? WORDS.get(errorCode(error)) : undefined;
  if (words !== undefined) return words;
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
