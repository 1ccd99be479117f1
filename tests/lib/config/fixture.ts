/** A configuration directory in memory, for the tests of lib/config. @module */
import assert from "node:assert/strict";
import { type Configuration, loadConfiguration, type Loaded } from "../../../lib/config/configuration.ts";
import type { SystemFacts } from "../../../lib/config/defaults.ts";
import { formatProblem } from "../../../lib/config/problem.ts";

export const FACTS: SystemFacts = { hostName: "mail.example.com", addresses: [] };

export const COMMANDS = [
  "smtpd",
  "spawn",
  "qmgr",
  "smtp",
  "local",
  "pipe",
  "virtual",
  "trivial-rewrite",
  "cleanup",
];

export const MASTER = `
[[service]]
name = "25"
type = "inet"
command = "smtpd"

[[service]]
name = "qmgr"
type = "unix"
private = false
command = "qmgr"
wakeup = "300s"

[[service]]
name = "smtp"
type = "unix"
command = "smtp"

[[service]]
name = "slow-smtp"
type = "unix"
command = "smtp"

[[service]]
name = "local"
type = "unix"
command = "local"

[[service]]
name = "relay"
type = "unix"
command = "smtp"

[[service]]
name = "virtual"
type = "unix"
command = "virtual"
`;

/** Loads from texts; `files` are other files by path. */
export function load(
  main: string,
  master: string = MASTER,
  files: Readonly<Record<string, string>> = {},
  facts: SystemFacts = FACTS,
): Loaded {
  const texts = new Map(Object.entries({ "/c/main.toml": main, "/c/master.toml": master, ...files }));
  return loadConfiguration("/c", facts, {
    commands: COMMANDS,
    readText: (path) => {
      const text = texts.get(path);
      if (text === undefined) throw new Error(`Cannot read "${path}": no such file`);
      return text;
    },
  });
}

/** The configuration, which must have no problem at all. */
export function loadGood(...args: Parameters<typeof load>): Configuration {
  const { configuration, problems } = load(...args);
  assert.deepEqual(problems.map(formatProblem), []);
  assert.ok(configuration);
  return configuration;
}

/** The problems as lines; without an error there must be a configuration, with one there must be none. */
export function problemsOf(...args: Parameters<typeof load>): string[] {
  const { configuration, problems } = load(...args);
  assert.equal(configuration === undefined, problems.some((problem) => problem.severity === "error"));
  return problems.map(formatProblem);
}
