/**
 * Time as the scheduler sees it, so that tests can play a day in a moment.
 */

/** What the scheduler asks of time. */
export interface Clock {
  /** Milliseconds since some moment; no step of the clock moves it. */
  now(): number;
  /** Does the work when the code that runs now is through. */
  soon(work: () => void): void;
  /** Does the work after so many milliseconds. */
  later(milliseconds: number, work: () => void): void;
}

/** The time that passes. */
export const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  soon: (work) => queueMicrotask(work),
  later: (milliseconds, work) => void setTimeout(work, milliseconds),
};
