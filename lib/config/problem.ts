/**
 * What is wrong with a configuration, said so that it can be found and mended.
 *
 * @module
 */

/** One thing that is wrong. */
export interface Problem {
  /** The file as it was named on reading. */
  readonly file: string;
  /** Line from 1 on; 0 when it is about the whole file. */
  readonly line: number;
  /** An error stops the start, a warning does not. */
  readonly severity: "error" | "warning";
  /** What is wrong. */
  readonly text: string;
  /** What to do about it. */
  readonly cure?: string;
}

/** Where a setting stands. */
export interface Place {
  readonly file: string;
  readonly line: number;
}

/** `FILE:LINE`, or `FILE` for what is about the whole file. */
export function formatPlace(place: Place): string {
  return place.line > 0 ? `${place.file}:${place.line}` : place.file;
}

/** One line: `error: FILE:LINE: what is wrong (what to do)`. */
export function formatProblem(problem: Problem): string {
  return `${problem.severity}: ${describeProblem(problem)}`;
}

/** The same without its severity, for a log that has its own word for it. */
export function describeProblem(problem: Problem): string {
  const cure = problem.cure === undefined ? "" : ` (${problem.cure})`;
  return `${formatPlace(problem)}: ${problem.text}${cure}`;
}

/** An error at a place. */
export function errorAt(place: Place, text: string, cure?: string): Problem {
  const problem = { file: place.file, line: place.line, severity: "error", text } as const;
  return cure === undefined ? problem : { ...problem, cure };
}

/** A warning at a place. */
export function warningAt(place: Place, text: string, cure?: string): Problem {
  return { ...errorAt(place, text, cure), severity: "warning" };
}
