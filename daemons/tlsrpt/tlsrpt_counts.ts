/**
 * Results of a day by domain and policy, in memory and on disk.
 *
 * @module
 */
// Safe primitives
import { listDirectory, openOwn, removeFile, replaceFile } from "../../lib/safe/file.ts";
// Utility
import { decodeText, encodeText } from "../../lib/vstring/byte_builder.ts";
import type { TlsResult } from "../../lib/proto/tlsrpt_client.ts";

/** Failures of one kind at one server. */
export interface FailureCount {
  readonly type: string;
  readonly host: string;
  readonly address: string;
  count: number;
}

/** Results under one policy of a domain. */
export interface PolicyCounts {
  readonly policy: TlsResult["policy"];
  readonly strings: readonly string[];
  readonly patterns: readonly string[];
  successes: number;
  failures: number;
  readonly details: FailureCount[];
}

/** Results of a day by domain. */
export type DayCounts = Map<string, PolicyCounts[]>;

/** Domains of a day, policies of a domain, kinds of failures of a policy that are told apart. */
const DOMAIN_LIMIT = 10_000;
const POLICY_LIMIT = 10;
const DETAIL_LIMIT = 100;
/** Largest file of a day, bytes. */
const FILE_LIMIT = 64 * 1024 * 1024;
const MODE = 0o600;

/** Adds a result to a day's. */
export function countResult(day: DayCounts, result: TlsResult): void {
  const policies = day.get(result.domain) ?? [];
  if (policies.length === 0) {
    if (day.size >= DOMAIN_LIMIT) return;
    day.set(result.domain, policies);
  }
  const strings = result.strings.map(({ line }) => line);
  const same = (one: PolicyCounts) =>
    one.policy === result.policy && JSON.stringify(one.strings) === JSON.stringify(strings);
  let found = policies.find(same);
  if (found === undefined) {
    if (policies.length >= POLICY_LIMIT) return;
    const patterns = result.patterns.map(({ name }) => name);
    found = { policy: result.policy, strings, patterns, successes: 0, failures: 0, details: [] };
    policies.push(found);
  }
  if (result.failure === "") found.successes++;
  else countFailure(found, result);
}

function countFailure(counts: PolicyCounts, { failure, host, address }: TlsResult): void {
  counts.failures++;
  const known = counts.details.find((one) =>
    one.type === failure && one.host === host && one.address === address
  );
  if (known !== undefined) known.count++;
  else if (counts.details.length < DETAIL_LIMIT) {
    counts.details.push({ type: failure, host, address, count: 1 });
  }
}

/** Days on disk: a file in tlsrpt/ each, named as "2026-11-28". */
export class DayStore {
  readonly #directory: string;
  readonly #warn: (text: string) => void;

  constructor(directory: string, warn: (text: string) => void) {
    this.#directory = directory;
    this.#warn = warn;
  }

  /** The days that are there, the oldest first. */
  days(): string[] {
    return listDirectory(this.#directory).filter(isDay).sort();
  }

  read(day: string): DayCounts {
    const opened = openOwn(`${this.#directory}/${day}`, "read");
    if (opened.kind !== "opened") return new Map();
    using file = opened.file;
    const bytes = new Uint8Array(Math.min(file.size(), FILE_LIMIT));
    try {
      return new Map(
        JSON.parse(decodeText(bytes.subarray(0, file.read(bytes, 0)))) as [string, PolicyCounts[]][],
      );
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      this.#warn(`file of ${day} is damaged: its results are lost`);
      return new Map();
    }
  }

  async write(day: string, counts: DayCounts): Promise<void> {
    try {
      await replaceFile(`${this.#directory}/${day}`, encodeText(JSON.stringify([...counts])), MODE);
    } catch (error) {
      this.#warn(
        `results of ${day} cannot be kept: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }

  remove(day: string): void {
    removeFile(`${this.#directory}/${day}`);
  }
}

/** The day of a time, UTC. */
export function dayOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

function isDay(name: string): boolean {
  const time = Date.parse(`${name}T00:00:00Z`);
  return name.length === 10 && !Number.isNaN(time) && dayOf(time) === name;
}
