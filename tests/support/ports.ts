/** Ports for the servers of tests. @module */

/** Below the ports that Linux hands out itself, so that no connection takes one meanwhile. */
const FIRST_PORT = 20_000;
const PORTS = 12_000;
/** Who was given which port: a file each, as tests run in several threads and processes. */
const CLAIMS = `${Deno.env.get("TMPDIR") ?? "/tmp"}/postern-test-ports-${Deno.uid()}`;
/** A claim as old as this is over: no group of tests lasts longer, milliseconds. */
const CLAIM_AGE = 20 * 60_000;

/** A port of 127.0.0.1 that nobody listens on, and that no other test is given meanwhile. */
export function freePort(): number {
  Deno.mkdirSync(CLAIMS, { recursive: true, mode: 0o700 });
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORTS);
    if (claim(`${CLAIMS}/${port}`) && isFree(port)) return port;
  }
}

function claim(path: string): boolean {
  try {
    Deno.openSync(path, { write: true, createNew: true }).close();
    return true;
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
  endOldClaim(path);
  return false;
}

/** Others may do the same at the same time, so who removes a claim does not take its port. */
function endOldClaim(path: string): void {
  try {
    if (Date.now() - Deno.statSync(path).mtime!.getTime() > CLAIM_AGE) Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function isFree(port: number): boolean {
  try {
    Deno.listen({ hostname: "127.0.0.1", port }).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return false;
    throw error;
  }
}
