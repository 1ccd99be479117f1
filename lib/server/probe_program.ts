/**
 * NAME
 *   probe - tries a daemon's sandbox from the inside
 *
 * DESCRIPTION
 *   Started by `postern sandbox --verify` in a daemon's place, with the daemon's exact flags, user and descriptors.
 *   Takes one line of JSON on standard input, the attempts to make, and writes one line for each. It also serves the
 *   listener that it inherited, as the daemon would, until standard input ends.
 *
 * SECURITY
 *   It has the permissions of the daemon that it stands in for and no more.
 *
 * @module
 */
// Safe primitives
import { Listener } from "../safe/channel.ts";
import { type Attempt, tryAttempt } from "../safe/probe_attempts.ts";
import { exitProcess, inputLines, onUncaughtError, writeOutputText } from "../safe/stdio.ts";
// Utility
import { encodeText } from "../vstring/byte_builder.ts";
// Server skeleton
import { LISTENER } from "./boot.ts";

/** What a client of the inherited listener is told. */
export const SERVED = "served\n";

/** Connections at once on the inherited listener. */
const CONNECTION_LIMIT = 10;

/** Makes every attempt in turn, then waits for the end of standard input. */
async function main(): Promise<void> {
  const lines = inputLines();
  const first = await lines.next();
  if (first.done) return;
  serve();
  for (const attempt of JSON.parse(first.value) as Attempt[]) {
    writeOutputText(JSON.stringify(await tryAttempt(attempt)) + "\n");
  }
  while (!(await lines.next()).done);
}

function serve(): void {
  new Listener(LISTENER, CONNECTION_LIMIT, (channel) => {
    channel.write(encodeText(SERVED));
    channel.finish();
  }, () => exitProcess(1));
}

if (import.meta.main) {
  // A refused attempt may fail outside of the call that made it; it is reported where it was made.
  onUncaughtError(() => {});
  await main();
  exitProcess(0);
}
