/**
 * The figures as a picture: a row for each case and file system, a column for each measure, in it a bar for each
 * system, drawn against the longer of the two.
 *
 * @module
 */
import {
  COLUMNS,
  formatNumber,
  type Metric,
  ratios,
  type Section,
  summarize,
  type Summary,
} from "./report.ts";

/** Measures where more is better; of the others less is. */
const MORE_IS_BETTER: ReadonlySet<Metric> = new Set(["rate", "accepted"]);
const HEAD = 330;
const COLUMN = 170;
const BAR = 90;
const ROW = 44;
const TOP = 64;
const POSTFIX = "#9aa5b1";
const POSTERN = "#2b6cb0";
const BETTER = "#22543d";
const WORSE = "#9b2c2c";

/** An SVG document. */
export function drawChart(sections: readonly Section[], caption: string): string {
  const [width, height] = [HEAD + COLUMNS.length * COLUMN, TOP + sections.length * ROW + 34];
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    legend(),
    ...COLUMNS.map(({ title }, i) => text(HEAD + i * COLUMN, TOP - 12, title, 'font-weight="bold"')),
    ...sections.flatMap((section, i) => drawSection(section, TOP + i * ROW)),
    text(10, height - 12, caption, 'fill="#555"'),
    "</svg>",
  ];
  return parts.join("\n") + "\n";
}

function legend(): string {
  return `<rect x="10" y="12" width="12" height="12" fill="${POSTFIX}"/>${text(28, 22, "Postfix")}` +
    `<rect x="90" y="12" width="12" height="12" fill="${POSTERN}"/>${text(108, 22, "Postern")}` +
    text(HEAD, 22, "medians; bold: Postern/Postfix, green where Postern is ahead", 'fill="#555"');
}

function drawSection(section: Section, y: number): string[] {
  const ours = summarize(section.postern.figures);
  const theirs = section.postfix && summarize(section.postfix.figures);
  return [
    `<line x1="10" x2="${HEAD + COLUMNS.length * COLUMN - 10}" y1="${y}" y2="${y}" stroke="#e2e8f0"/>`,
    text(10, y + 19, `(${section.letter}) ${section.name}`, 'font-weight="bold"'),
    text(10, y + 35, section.title, 'fill="#555"'),
    ...COLUMNS.flatMap(({ metric }, i) => drawCell(metric, ours, theirs, HEAD + i * COLUMN, y)),
  ];
}

function drawCell(
  metric: Metric,
  ours: Summary,
  theirs: Summary | undefined,
  x: number,
  y: number,
): string[] {
  const most = Math.max(ours[metric], theirs?.[metric] ?? 0);
  const bar = (value: number, top: number, fill: string) => {
    const length = most > 0 ? Math.max(1, (value / most) * BAR) : 1;
    return `<rect x="${x}" y="${top}" width="${length.toFixed(1)}" height="14" fill="${fill}"/>` +
      text(x + length + 4, top + 11, formatNumber(value), 'font-size="10"');
  };
  if (theirs === undefined) return [bar(ours[metric], y + 14, POSTERN)];
  const ratio = ratios(ours, theirs)[metric];
  const color = ratio > 1 === MORE_IS_BETTER.has(metric) ? BETTER : WORSE;
  return [
    bar(theirs[metric], y + 6, POSTFIX),
    bar(ours[metric], y + 23, POSTERN),
    text(x + BAR + 40, y + 27, `${ratio.toFixed(2)}`, `font-weight="bold" fill="${color}" font-size="11"`),
  ];
}

function text(x: number, y: number, content: string, attributes = ""): string {
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x.toFixed(1)}" y="${y}" ${attributes}>${escaped}</text>`;
}
