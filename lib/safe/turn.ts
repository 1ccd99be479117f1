/**
 * The end of a turn of the event loop: when all that the system had for this process was handed out. A write wakes the
 * process that reads it, and where that gets this one's processor each write costs two changes of process; what is
 * written then, one behind the other, wakes it once.
 *
 * @module
 */
import { setImmediate } from "node:timers";

let waiting: (() => void)[] = [];

/** Runs work at the end of this turn, behind what was put off before it. */
export function atTurnEnd(work: () => void): void {
  if (waiting.length === 0) setImmediate(runAll);
  waiting.push(work);
}

function runAll(): void {
  const all = waiting;
  waiting = [];
  for (const work of all) work();
}
