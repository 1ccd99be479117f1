/**
 * DNS by the system's resolver, for people's questions about a configuration. Mail is never decided by it: it cannot tell
 * a name that does not exist from a server that does not answer.
 *
 * @module
 */
import { SystemError } from "./error.ts";

/** How long one question may take, milliseconds. */
const TIMEOUT = 5000;

/** The records of a name, or of an address for PTR; none when there are none or nobody answers. */
export async function systemLookup(name: string, type: "A" | "AAAA" | "PTR"): Promise<readonly string[]> {
  try {
    return await Deno.resolveDns(name, type, { signal: AbortSignal.timeout(TIMEOUT) });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.TimedOut || isAbort(error)) {
      return [];
    }
    throw new SystemError("look up", name, error);
  }
}

function isAbort(error: unknown): boolean {
  return error instanceof DOMException && (error.name === "TimeoutError" || error.name === "AbortError");
}
