/**
 * Figures as tables for people, or as JSON for programs.
 *
 * @module
 */
import { describeLoad, type Load } from "./cases.ts";
import type { Figures } from "./measure.ts";
import { type DaemonSizes, largerSizes } from "./processes.ts";

/** All runs of one system in one case on one file system. */
export interface Runs {
  readonly figures: readonly Figures[];
  /** Processes of the watched daemons before the load, MiB. */
  readonly idle: DaemonSizes;
}

/** All runs of one case on one file system. */
export interface Section {
  readonly letter: string;
  readonly title: string;
  /** "disk" or "tmpfs". */
  readonly name: string;
  /** Where it is, and what kind of file system that is. */
  readonly place: string;
  readonly load: Load;
  /** Messages that waited in deferred/. */
  readonly deferred: number;
  readonly postern: Runs;
  /** Missing where Postfix could not be measured. */
  readonly postfix?: Runs;
  /** Messages per second of the client alone, into smtp-sink. */
  readonly clientAlone: number;
}

/** What is told of a run, or of several. */
export interface Summary {
  readonly rate: number;
  readonly accepted: number;
  readonly cpu: number;
  readonly rss: number;
  readonly pss: number;
  readonly finalP50: number;
  readonly finalP99: number;
  readonly transactionP50: number;
  readonly transactionP99: number;
  /** Share of the deliveries over a connection that had been used before. */
  readonly reused: number;
}
export type Metric = keyof Summary;

export const COLUMNS: readonly { readonly title: string; readonly metric: Metric }[] = [
  { title: "messages/s", metric: "rate" },
  { title: "accepted/s", metric: "accepted" },
  { title: "CPU ms/message", metric: "cpu" },
  { title: "RSS MiB", metric: "rss" },
  { title: "PSS MiB", metric: "pss" },
  { title: "250 p50 ms", metric: "finalP50" },
  { title: "250 p99 ms", metric: "finalP99" },
  { title: "MAIL-250 p50", metric: "transactionP50" },
  { title: "MAIL-250 p99", metric: "transactionP99" },
];
const WIDTH = 15;
const HEAD = 18;

/** The value below which a share of the values lies; of few values the nearest one. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

/** The middle one of the values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Medians over the runs; latencies over the samples of all runs together, as one run has few. */
export function summarize(figures: readonly Figures[]): Summary {
  const finals = figures.flatMap(({ probe }) => probe.finals);
  const transactions = figures.flatMap(({ probe }) => probe.transactions);
  const of = (pick: (one: Figures) => number) => median(figures.map(pick));
  return {
    rate: of(({ rate }) => rate),
    accepted: of(({ accepted }) => accepted),
    cpu: of(({ cpu }) => cpu),
    rss: of(({ rss }) => rss),
    pss: of(({ pss }) => pss),
    finalP50: quantile(finals, 0.5),
    finalP99: quantile(finals, 0.99),
    transactionP50: quantile(transactions, 0.5),
    transactionP99: quantile(transactions, 0.99),
    reused: of(({ reused }) => reused),
  };
}

/** Postern's summary by Postfix's. */
export function ratios(postern: Summary, postfix: Summary): Summary {
  const ratio = (metric: Metric): [Metric, number] => [metric, postern[metric] / postfix[metric]];
  return Object.fromEntries(COLUMNS.map(({ metric }) => ratio(metric))) as Record<Metric, number>;
}

/** A number with three digits that count, and no more than three decimals. */
export function formatNumber(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

/** One case's table: a line for each run, the medians, and their ratio. */
export function formatSection(section: Section): string {
  const { postern, postfix } = section;
  const lines = [
    `(${section.letter}) ${section.title}, on ${section.name} (${section.place})`,
    `  ${describeLoad(section.load)}${section.deferred > 0 ? `; ${section.deferred} messages deferred` : ""}`,
    row("", COLUMNS.map(({ title }) => title)),
  ];
  for (const [i, ours] of postern.figures.entries()) {
    const theirs = postfix?.figures[i];
    if (theirs !== undefined) lines.push(row(`  Postfix ${i + 1}`, cells(summarize([theirs]))));
    lines.push(row(`  Postern ${i + 1}`, cells(summarize([ours]))));
  }
  const ours = summarize(postern.figures);
  if (postfix !== undefined) {
    const theirs = summarize(postfix.figures);
    lines.push(row("  Postfix median", cells(theirs)));
    lines.push(row("  Postern median", cells(ours)));
    lines.push(row("  Postern/Postfix", cells(ratios(ours, theirs)).map((text) => `${text}x`)));
  } else lines.push(row("  Postern median", cells(ours)));
  if (ours.reused > 0) {
    const share = (figures: readonly Figures[]) => `${Math.round(summarize(figures).reused * 100)}%`;
    const theirs = postfix === undefined ? "" : `, Postfix ${share(postfix.figures)}`;
    lines.push(
      `  deliveries over a connection that was used before: Postern ${share(postern.figures)}${theirs}`,
    );
  }
  lines.push(`  the client alone, into smtp-sink: ${formatNumber(section.clientAlone)} messages/s`);
  if (postfix !== undefined) lines.push(...formatDaemons("Postfix", postfix));
  lines.push(...formatDaemons("Postern", postern));
  return lines.join("\n") + "\n";
}

/** Largest process of each watched daemon over all runs, MiB. */
function peaks({ figures }: Runs): DaemonSizes {
  return figures.map(({ daemons }) => daemons).reduce(largerSizes, {});
}

function formatDaemons(name: string, runs: Runs): string[] {
  const texts = Object.entries(peaks(runs)).sort(([a], [b]) => a < b ? -1 : 1).map(([daemon, peak]) => {
    const idle = runs.idle[daemon];
    const from = idle === undefined ? "" : `${formatNumber(idle)} to `;
    return `${daemon} ${from}${formatNumber(peak)}${
      idle === undefined ? "" : ` (${formatNumber(peak / idle)}x)`
    }`;
  });
  return texts.length === 0 ? [] : [`  ${name}, one process idle to peak, MiB: ${texts.join(", ")}`];
}

/** All cases in one table: Postern's medians, and how many times Postfix's they are. */
export function formatOverview(sections: readonly Section[]): string {
  const lines = ["Postern, and Postern/Postfix in parentheses", row("", COLUMNS.map(({ title }) => title))];
  for (const section of sections) {
    const ours = summarize(section.postern.figures);
    const theirs = section.postfix && ratios(ours, summarize(section.postfix.figures));
    const cell = ({ metric }: { readonly metric: Metric }) =>
      formatNumber(ours[metric]) + (theirs === undefined ? "" : ` (${theirs[metric].toFixed(2)})`);
    lines.push(row(`(${section.letter}) ${section.name}`, COLUMNS.map(cell)));
  }
  return lines.join("\n") + "\n";
}

/** One case for a program. */
export function sectionJson(section: Section): unknown {
  const { postern, postfix } = section;
  const ours = summarize(postern.figures);
  const ratio = postfix === undefined ? {} : { ratio: ratios(ours, summarize(postfix.figures)) };
  return {
    ...section,
    postern: runsJson(postern),
    ...(postfix === undefined ? {} : { postfix: runsJson(postfix) }),
    ...ratio,
  };
}

function runsJson(runs: Runs): unknown {
  const one = (figures: Figures) => ({
    messages: figures.messages,
    ...summarize([figures]),
    samples: figures.probe.finals.length,
  });
  return {
    runs: runs.figures.map(one),
    medians: summarize(runs.figures),
    daemons: { idle: runs.idle, peak: peaks(runs) },
  };
}

function cells(summary: Summary): string[] {
  return COLUMNS.map(({ metric }) => formatNumber(summary[metric]));
}

function row(head: string, cells: readonly string[]): string {
  return head.padEnd(HEAD) + cells.map((cell) => cell.padStart(WIDTH)).join("");
}
