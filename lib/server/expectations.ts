/**
 * expect.toml: the administrator's own tests of a configuration. Each says what a client asks for and what must become of
 * it; `check`, `start` and `reload` run them all.
 *
 * @module
 */
// Utility
import type { Configuration, ServiceEntry } from "../config/configuration.ts";
import { didYouMean } from "../config/nearest.ts";
import { errorAt, type Place, type Problem } from "../config/problem.ts";
import { isTable, readTomlFile, type Table } from "../config/toml_file.ts";
import { parseIpAddress } from "../vstring/ip_address.ts";
import { printable } from "../vstring/printable.ts";
// Access
import { canonicalAddress } from "../access/peer.ts";
// Server skeleton
import { type Decision, Decisions, type View } from "./decisions.ts";
import type { Service } from "./service.ts";

/** Name of the file, in the configuration directory. */
export const EXPECT_FILE = "expect.toml";

/** What a client that nothing is said of is like: a stranger. */
export const STRANGER: View = {
  address: "203.0.113.250",
  name: "unknown",
  helo: "client.example",
  sender: "sender@elsewhere.example",
  recipient: "recipient@elsewhere.example",
};

/** Keys with text that describe the client. */
const ASKED = ["client", "name", "helo", "sender", "recipient", "service"] as const;
/** Keys with text that say what must become of it. */
const EXPECTED = ["reply", "transport", "nexthop", "class"] as const;
/** The same with true or false. */
const SWITCHES = ["accepted", "relay"] as const;

const KEYS: readonly string[] = [...ASKED, ...EXPECTED, ...SWITCHES];

/** One expectation, its form checked. */
interface Expectation {
  readonly texts: ReadonlyMap<string, string>;
  readonly switches: ReadonlyMap<string, boolean>;
  readonly place: Place;
}

/** Runs the expectations; what is not as expected is an error. Without the file there are none. */
export async function findBrokenExpectations(
  configuration: Configuration,
  services: ReadonlyMap<string, Service>,
  readText: (path: string) => string | undefined,
): Promise<Problem[]> {
  const path = `${configuration.directory}/${EXPECT_FILE}`;
  const text = readText(path);
  if (text === undefined) return [];
  const problems: Problem[] = [];
  const expectations = readExpectations(path, text, problems);
  if (expectations.length === 0) return problems;
  const decisions = new Decisions(configuration, services);
  for (const expectation of expectations) {
    problems.push(...await tryExpectation(expectation, configuration, decisions));
  }
  return problems;
}

function readExpectations(path: string, text: string, problems: Problem[]): Expectation[] {
  const file = readTomlFile(path, () => text, problems);
  if (file === undefined) return [];
  for (const key of Object.keys(file.table)) {
    if (key === "expect") continue;
    problems.push(errorAt(file.place(key), `unknown key "${key}"`, "expectations are written [[expect]]"));
  }
  const tables = file.table["expect"] ?? [];
  if (!Array.isArray(tables) || !tables.every(isTable)) {
    problems.push(errorAt(file.place("expect"), "no expectations", "expectations are written [[expect]]"));
    return [];
  }
  return tables.flatMap((table, index) => {
    const before = problems.length;
    const place = (key?: string) =>
      key === undefined ? file.place("expect", index) : file.place("expect", index, key);
    const made = readExpectation(table, place, problems);
    return problems.length === before ? [made] : [];
  });
}

function readExpectation(table: Table, place: (key?: string) => Place, problems: Problem[]): Expectation {
  const texts = new Map<string, string>();
  const switches = new Map<string, boolean>();
  for (const [key, value] of Object.entries(table)) {
    const wrong = (why: string, cure?: string) => problems.push(errorAt(place(key), why, cure));
    if (!KEYS.includes(key)) wrong(`unknown key "${key}" of an expectation`, didYouMean(key, KEYS));
    else if (key === "client" && (typeof value !== "string" || parseIpAddress(value) === undefined)) {
      wrong('"client": expected an IP address in quotes');
    } else if ((SWITCHES as readonly string[]).includes(key)) {
      if (typeof value === "boolean") switches.set(key, value);
      else wrong(`"${key}": expected true or false`);
    } else if (typeof value === "string") texts.set(key, value);
    else wrong(`"${key}": expected a string in quotes`);
  }
  const says = [...EXPECTED, ...SWITCHES].some((key) => Object.hasOwn(table, key));
  if (!says) {
    problems.push(
      errorAt(
        place(),
        "an expectation without anything that is expected",
        `say ${[...EXPECTED, ...SWITCHES].join(", ")}`,
      ),
    );
  }
  return { texts, switches, place: place() };
}

/** Asks, and compares. */
async function tryExpectation(
  { texts, switches, place }: Expectation,
  configuration: Configuration,
  decisions: Decisions,
): Promise<Problem[]> {
  const entry = findService(configuration, texts.get("service"));
  if (entry === undefined) {
    return [errorAt(place, `expectation: master.toml has no smtpd service "${texts.get("service") ?? ""}"`)];
  }
  const view: View = {
    address: canonicalAddress(texts.get("client") ?? STRANGER.address),
    name: texts.get("name") ?? STRANGER.name,
    helo: texts.get("helo") ?? STRANGER.helo,
    sender: texts.get("sender") ?? STRANGER.sender,
    recipient: texts.get("recipient") ?? STRANGER.recipient,
  };
  const decision = await decisions.ask(entry, view);
  const differences = [...textDifferences(texts, decision), ...switchDifferences(switches, decision)];
  const asked = `<${view.sender}> to <${view.recipient}> from ${view.name}[${view.address}]`;
  return differences.map(({ what, wanted, got }) =>
    errorAt(
      place,
      `expectation is not met: mail of ${printable(asked)}: expected ${what} ${printable(wanted)}, got ${
        printable(got)
      }`,
      "change the rule, or the expectation",
    )
  );
}

/** The service that is named, or the first smtpd. */
function findService(configuration: Configuration, name: string | undefined): ServiceEntry | undefined {
  return configuration.services.find((entry) =>
    entry.command === "smtpd" && (name === undefined || entry.name === name)
  );
}

/** One thing that is not as expected. */
interface Difference {
  readonly what: string;
  readonly wanted: string;
  readonly got: string;
}

function textDifferences(texts: ReadonlyMap<string, string>, { reply, resolved }: Decision): Difference[] {
  const got = {
    reply,
    transport: resolved?.transport ?? "",
    nexthop: resolved?.nexthop ?? "",
    class: resolved?.class ?? "",
  };
  return EXPECTED.flatMap((what) => {
    const wanted = texts.get(what);
    // A reply is named by its code, or by as much of it as matters.
    const met = wanted === undefined ||
      (what === "reply" ? got.reply.startsWith(wanted) : got[what] === wanted);
    return met ? [] : [{ what, wanted: `"${wanted}"`, got: `"${got[what]}"` }];
  });
}

function switchDifferences(switches: ReadonlyMap<string, boolean>, decision: Decision): Difference[] {
  const got = { accepted: decision.accepted, relay: decision.relayed };
  return SWITCHES.flatMap((what) => {
    const wanted = switches.get(what);
    if (wanted === undefined || wanted === got[what]) return [];
    return [{ what, wanted: String(wanted), got: `${got[what]} (${decision.reply})` }];
  });
}
