/**
 * Figures as a table for people, or as JSON for programs.
 *
 * @module
 */
import type { Figures } from "./measure.ts";

/** All runs on one file system. */
export interface Section {
  /** "disk" or "tmpfs". */
  readonly name: string;
  /** Where it is, and what kind of file system that is. */
  readonly place: string;
  readonly postern: readonly Figures[];
  /** Empty where Postfix could not be measured. */
  readonly postfix: readonly Figures[];
}

const COLUMNS: readonly {
  readonly title: string;
  readonly of: (figures: Figures) => number;
  readonly digits: number;
}[] = [
  { title: "messages/s", of: ({ rate }) => rate, digits: 0 },
  { title: "accepted/s", of: ({ accepted }) => accepted, digits: 0 },
  { title: "CPU ms/message", of: ({ cpu }) => cpu, digits: 3 },
  { title: "peak RSS MiB", of: ({ memory }) => memory, digits: 0 },
];
const WIDTH = 16;

/** The middle one of the values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** One table: a line for each run, the medians, and their ratio. */
export function formatSection({ name, place, postern, postfix }: Section): string {
  const lines = [`${name} (${place})`, row("", COLUMNS.map(({ title }) => title))];
  for (const i of postern.keys()) {
    if (postfix[i] !== undefined) lines.push(row(`  Postfix ${i + 1}`, numbers(postfix[i])));
    lines.push(row(`  Postern ${i + 1}`, numbers(postern[i]!)));
  }
  const ours = medians(postern);
  if (postfix.length > 0) lines.push(row("  Postfix median", numbers(medians(postfix))));
  lines.push(row("  Postern median", numbers(ours)));
  if (postfix.length > 0) {
    const theirs = medians(postfix);
    const ratios = COLUMNS.map(({ of }) => `${(of(ours) / of(theirs)).toFixed(2)}x`);
    lines.push(row("  Postern/Postfix", ratios));
  }
  return lines.join("\n") + "\n";
}

/** The same for a program. */
export function sectionJson(section: Section): unknown {
  const { postern, postfix } = section;
  const ours = medians(postern);
  if (postfix.length === 0) return { ...section, medians: { postern: ours } };
  const theirs = medians(postfix);
  const ratio = {
    rate: ours.rate / theirs.rate,
    cpu: ours.cpu / theirs.cpu,
    memory: ours.memory / theirs.memory,
  };
  return { ...section, medians: { postern: ours, postfix: theirs }, ratio };
}

function medians(runs: readonly Figures[]): Figures {
  return {
    rate: median(runs.map(({ rate }) => rate)),
    accepted: median(runs.map(({ accepted }) => accepted)),
    cpu: median(runs.map(({ cpu }) => cpu)),
    memory: median(runs.map(({ memory }) => memory)),
  };
}

function numbers(figures: Figures): string[] {
  return COLUMNS.map(({ of, digits }) => of(figures).toFixed(digits));
}

function row(head: string, cells: readonly string[]): string {
  return head.padEnd(18) + cells.map((cell) => cell.padStart(WIDTH)).join("");
}
