/**
 * Temporary directories of programs that a person runs.
 *
 * @module
 */
import { SystemError } from "./error.ts";

/** A directory that goes with all that is in it when it is disposed of. */
export interface ScratchDirectory extends Disposable {
  readonly path: string;
}

/** Makes a directory under a name that nobody could foresee; others may read it. */
export function makeScratchDirectory(prefix: string): ScratchDirectory {
  let path: string;
  try {
    path = Deno.makeTempDirSync({ prefix });
    Deno.chmodSync(path, 0o755);
  } catch (error) {
    throw new SystemError("make temporary directory", prefix, error);
  }
  return {
    path,
    [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }),
  };
}
