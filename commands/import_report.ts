/**
 * What became of each setting of main.cf and master.cf: nothing is dropped silently.
 *
 * @module
 */
// Utility
import { printable } from "../lib/vstring/printable.ts";

/** What can become of a setting, in the order of the report. */
const FATES = {
  carried: "Carried over",
  changed: "Carried over in another form",
  unneeded: "Left out, as nothing is lost",
  unsupported: "Not supported",
} as const;

/** What became of a setting. */
export type Fate = keyof typeof FATES;

/** One line of the report. */
export interface ReportLine {
  readonly fate: Fate;
  /** `main.cf:12`. */
  readonly place: string;
  readonly subject: string;
  /** What it became, or why it is not there. */
  readonly text: string;
  /** What to do about it. */
  readonly cure: string;
}

/** The lines of one import. */
export class ImportReport {
  readonly #lines: ReportLine[] = [];

  /** Adds a line, unless the same is there. */
  add(fate: Fate, place: string, subject: string, text = "", cure = ""): void {
    const line = { fate, place, subject, text, cure };
    const key = JSON.stringify(line);
    if (!this.#lines.some((other) => JSON.stringify(other) === key)) this.#lines.push(line);
  }

  /** Turns what was carried into something else. */
  revoke(place: string, subject: string, text: string, cure: string): void {
    const isMeant = (line: ReportLine) => line.place === place && line.subject === subject;
    const kept = this.#lines.filter((line) => !isMeant(line));
    this.#lines.splice(0, this.#lines.length, ...kept);
    this.add("unsupported", place, subject, text, cure);
  }

  get lines(): readonly ReportLine[] {
    return this.#lines;
  }

  /** The report as text, one section for each fate. */
  format(): string {
    const sections = (Object.keys(FATES) as Fate[]).map((fate) => {
      const lines = this.#lines.filter((line) => line.fate === fate);
      if (lines.length === 0) return "";
      return `${FATES[fate]}:\n${lines.map((line) => `  ${formatLine(line)}\n`).join("")}`;
    });
    return sections.filter((section) => section !== "").join("\n");
  }
}

function formatLine({ place, subject, text, cure }: ReportLine): string {
  const what = text === "" ? "" : `: ${text}`;
  return printable(`${place}: ${subject}${what}${cure === "" ? "" : ` (${cure})`}`);
}
