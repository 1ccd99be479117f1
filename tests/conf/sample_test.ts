import assert from "node:assert/strict";
import { SERVICES } from "../../daemons/services.ts";
import { BUILT_IN_TEMPLATES, formatTemplates, parseTemplates } from "../../lib/config/bounce_templates.ts";
import { loadConfiguration } from "../../lib/config/configuration.ts";
import { formatProblem } from "../../lib/config/problem.ts";
import { findTableProblems } from "../../lib/server/check_tables.ts";

const DIRECTORY = new URL("../../conf", import.meta.url).pathname;

function loadSample(readText: (path: string) => string) {
  return loadConfiguration(DIRECTORY, { hostName: "mail.example.com", addresses: [] }, {
    readText,
    commands: [...SERVICES.keys()],
  });
}

/** The text with its examples, `#name = value` and the tables, taken into use. */
function withExamples(path: string): string {
  return Deno.readTextFileSync(path).replaceAll(/^#(?=\[|[a-z_]+ = )/gm, "");
}

Deno.test("the sample configuration and its tables have no problem", () => {
  const { configuration, problems } = loadSample(Deno.readTextFileSync);
  assert.deepEqual(problems.map(formatProblem), []);
  assert.ok(configuration);
  assert.deepEqual(findTableProblems(configuration).map(formatProblem), []);
});

/** Daemons whose services are examples in comments, as in Postfix's master.cf. */
const OPTIONAL = [
  "dnsblog",
  "filter",
  "pipe",
  "policy",
  "postscreen",
  "proxywrite",
  "qmqpd",
  "spawn",
  "tlsproxy",
];

Deno.test("every daemon that other daemons or the administrator need has a service in the sample", () => {
  const { configuration } = loadSample(Deno.readTextFileSync);
  const commands = new Set(configuration?.services.map((entry) => entry.command));
  for (const { command, skeleton } of SERVICES.values()) {
    if (skeleton !== "helper" && !OPTIONAL.includes(command)) assert.ok(commands.has(command), command);
  }
});

Deno.test("the examples in the sample's comments are valid as they stand", () => {
  const { problems } = loadSample(withExamples);
  assert.deepEqual(problems.map(formatProblem), []);
});

Deno.test("the sample relays for this host's own clients only", () => {
  const { configuration } = loadSample(Deno.readTextFileSync);
  assert.deepEqual(configuration?.settings.mynetworks, ["127.0.0.1/32", "[::1]/128"]);
  assert.deepEqual(configuration?.settings.relay_domains, []);
  assert.ok(configuration?.settings.smtpd_relay_restrictions.includes("reject_unauth_destination"));
});

Deno.test("the sample of report texts holds the built-in ones", () => {
  const text = Deno.readTextFileSync(new URL("../../conf/bounce.cf.default", import.meta.url));
  const from = "Mail Delivery System <MAILER-DAEMON>";
  assert.equal(formatTemplates(parseTemplates(text), from), formatTemplates(BUILT_IN_TEMPLATES, from));
});
