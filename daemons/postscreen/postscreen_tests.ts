/**
 * The tests, and what a client has passed of them: a time for each until which it counts. The record in the cache is
 * Postfix's, five numbers with semicolons, in the order of the table.
 */
// Utility
import { parseDecimal } from "../../lib/vstring/ascii.ts";
// This program
import type { PostscreenSettings } from "./postscreen_settings.ts";

/** What a failed test does. */
export type Action = "ignore" | "enforce" | "drop";

/** The tests, in the order of the record; the first two are before the greeting. */
export const TESTS = ["pregreet", "dnsbl", "pipelining", "nonSmtp", "bareNewline"] as const;
export type TestName = typeof TESTS[number];

/** Tests that take a dialogue. */
export const DIALOGUE_TESTS: readonly TestName[] = ["pipelining", "nonSmtp", "bareNewline"];

/** A client that is new, and a test that was off when it was tested: Postfix's marks in the place of times. */
const NEVER = 0;
const DISABLED = 1;

/** How a test is configured. */
export interface TestRule {
  readonly enabled: boolean;
  readonly action: Action;
  /** Seconds that it counts when it is passed; the lists say themselves how long theirs does. */
  readonly ttl: number;
}

/** The rules of all tests. */
export function testRules(settings: PostscreenSettings): Readonly<Record<TestName, TestRule>> {
  const rule = (enabled: boolean, action: string, ttl: number) => ({
    enabled,
    action: action as Action,
    ttl,
  });
  return {
    pregreet: rule(true, settings.postscreen_greet_action, settings.postscreen_greet_ttl),
    dnsbl: rule(
      settings.postscreen_dnsbl_sites.length > 0,
      settings.postscreen_dnsbl_action,
      settings.postscreen_dnsbl_max_ttl,
    ),
    pipelining: rule(
      settings.postscreen_pipelining_enable,
      settings.postscreen_pipelining_action,
      settings.postscreen_pipelining_ttl,
    ),
    nonSmtp: rule(
      settings.postscreen_non_smtp_command_enable,
      settings.postscreen_non_smtp_command_action,
      settings.postscreen_non_smtp_command_ttl,
    ),
    bareNewline: rule(
      settings.postscreen_bare_newline_enable,
      settings.postscreen_bare_newline_action,
      settings.postscreen_bare_newline_ttl,
    ),
  };
}

/** What is known of a client: until when each test counts, seconds since 1970. */
export class TestRecord {
  readonly #times = new Map<TestName, number>();
  /** There is a test that the client has never passed. */
  readonly isNew: boolean;

  private constructor(times: readonly (readonly [TestName, number])[]) {
    this.isNew = times.some(([, time]) => time === NEVER);
    for (const [name, time] of times) this.#times.set(name, time);
  }

  /** The record of a client of which nothing is known. */
  static empty(rules: Readonly<Record<TestName, TestRule>>): TestRecord {
    return new TestRecord(TESTS.map((name) => [name, rules[name].enabled ? NEVER : DISABLED]));
  }

  /** The record in the cache; undefined for text that is none. */
  static parse(text: string): TestRecord | undefined {
    const parts = text.split(";");
    if (parts.length !== TESTS.length) return undefined;
    const times = parts.map((part) => parseDecimal(part));
    if (times.includes(undefined)) return undefined;
    return new TestRecord(TESTS.map((name, i) => [name, times[i]!]));
  }

  /** True when the test counts as passed. */
  counts(name: TestName, now: number): boolean {
    return this.#times.get(name)! > now;
  }

  /** The test is passed until a time. */
  pass(name: TestName, until: number): void {
    this.#times.set(name, until);
  }

  /** When the last of the tests expires. */
  get expires(): number {
    return Math.max(...this.#times.values());
  }

  toString(): string {
    return TESTS.map((name) => this.#times.get(name)).join(";");
  }
}
