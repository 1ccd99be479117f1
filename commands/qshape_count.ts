/**
 * Counts addresses by domain and age, and prints the table, column for column as Postfix's qshape does.
 *
 * @module
 */
// Utility
import { asciiLower } from "../lib/vstring/ascii.ts";
import { printable } from "../lib/vstring/printable.ts";

/** How addresses are counted and shown. */
export interface ShapeOptions {
  readonly width: number;
  readonly buckets: number;
  /** Length of the first interval. */
  readonly minutes: number;
  readonly subdomains: number;
  readonly linear: boolean;
  readonly parents: boolean;
  /** Most rows; 0: all. */
  readonly rows: number;
}

/** Least columns for the domain. */
const DOMAIN_WIDTH = 18;
const NULL_SENDER = "MAILER-DAEMON";
const TOTAL = "TOTAL";
/** Longest domain that is told from others. */
const DOMAIN_LIMIT = 1024;
/** Most parents of one domain that are counted. */
const PARENT_LIMIT = 128;

/** The counts. */
export class QueueShape {
  readonly #options: ShapeOptions;
  /** By domain: the sum, then a count for each interval. */
  readonly #counts = new Map<string, number[]>();
  readonly #subdomains = new Map<string, number>();

  constructor(options: ShapeOptions) {
    this.#options = options;
    this.#row(TOTAL);
  }

  /** Counts a message's addresses. @param age seconds */
  add(age: number, addresses: readonly string[]): void {
    const bucket = this.#bucket(age);
    for (const address of addresses) {
      this.#count(TOTAL, bucket);
      let domain: string | undefined = domainOf(address);
      // A subdomain that was met for the first time is one more of its parent's.
      let isNew = false;
      for (let level = 0; domain !== undefined && level < PARENT_LIMIT; level++) {
        const known = this.#counts.has(domain);
        this.#count(domain, bucket);
        if (isNew) this.#subdomains.set(domain, (this.#subdomains.get(domain) ?? 0) + 1);
        isNew = !known;
        domain = this.#options.parents ? parentOf(domain) : undefined;
      }
    }
  }

  /** The table. */
  print(): string {
    const { heads, widths, domainWidth } = this.#columns();
    const line = (domain: string, values: readonly (string | number)[]) =>
      cutDomain(domain, domainWidth) +
      values.map((value, i) => String(value).padStart(widths[i]!)).join("") + "\n";
    let text = line("", heads);
    const rows = [...this.#counts].sort(([a, one], [b, two]) => two[0]! - one[0]! || a.length - b.length);
    let shown = 0;
    for (const [domain, counts] of rows) {
      const subdomains = this.#subdomains.get(domain) ?? 0;
      if (domain.startsWith(".") && subdomains < this.#options.subdomains) continue;
      if (this.#options.rows > 0 && ++shown > this.#options.rows) break;
      text += line(printable(domain, DOMAIN_LIMIT), counts);
    }
    return text;
  }

  #row(domain: string): number[] {
    let row = this.#counts.get(domain);
    if (row === undefined) {
      row = new Array<number>(this.#options.buckets + 1).fill(0);
      this.#counts.set(domain, row);
    }
    return row;
  }

  #count(domain: string, bucket: number): void {
    const row = this.#row(domain);
    row[0]!++;
    row[bucket]!++;
  }

  #bucket(age: number): number {
    const { linear, minutes, buckets } = this.#options;
    const units = age / (60 * minutes);
    if (units < 1) return 1;
    const bucket = linear ? Math.floor(units + 1) : 2 + Math.floor(Math.log(units) / Math.log(2));
    return Math.min(bucket, buckets);
  }

  /** Heads, widths, and what they leave for the domain. */
  #columns(): { heads: string[]; widths: number[]; domainWidth: number } {
    const { buckets, minutes, linear, width } = this.#options;
    const total = this.#counts.get(TOTAL)!;
    const heads: string[] = [];
    const widths: number[] = [];
    let limit = 0;
    for (let i = 0; i <= buckets; i++) {
      const head = i === 0 ? "T" : i < buckets ? String(limit += step(limit)) : `${limit}+`;
      const most = Math.max(String(total[i]).length, head.length);
      heads.push(head);
      widths.push(most > 2 ? most + 1 : 3);
    }
    const used = widths.reduce((sum, one) => sum + one, 0);
    return { heads, widths, domainWidth: Math.max(DOMAIN_WIDTH, width - used) };

    function step(reached: number): number {
      return reached > 0 && !linear ? reached : minutes;
    }
  }
}

/** An address's domain: without dots at its ends, without empty labels. */
function domainOf(address: string): string {
  if (address === "") return NULL_SENDER;
  const lower = asciiLower(address);
  const whole = lower.slice(lower.lastIndexOf("@") + 1).slice(0, DOMAIN_LIMIT);
  let domain = "";
  for (const letter of whole) if (letter !== "." || !domain.endsWith(".")) domain += letter;
  if (domain.length > 1 && domain.startsWith(".")) domain = domain.slice(1);
  return domain.length > 1 && domain.endsWith(".") ? domain.slice(0, -1) : domain;
}

/** The parent, with a dot in front; undefined for one that is a top-level domain. */
function parentOf(domain: string): string | undefined {
  const from = domain.startsWith(".") ? 1 : 0;
  const dot = domain.indexOf(".", from + 1);
  if (dot < 0 || domain.indexOf(".", dot + 1) < 0) return undefined;
  return domain.slice(dot);
}

/** The domain in its columns; of one that is too long the end. */
function cutDomain(domain: string, width: number): string {
  if (domain.length <= width) return domain.padStart(width);
  return domain.startsWith(".")
    ? `.+${domain.slice(domain.length - width + 2)}`
    : `+${domain.slice(domain.length - width + 1)}`;
}
