/** Which rule decides, and what each had to say before it. @module */
import assert from "node:assert/strict";
import { SERVICES } from "../../../daemons/services.ts";
import type { Step } from "../../../lib/access/policy.ts";
import { Decisions, type View } from "../../../lib/server/decisions.ts";
import { loadGood, MASTER } from "../config/fixture.ts";

const directory = Deno.makeTempDirSync({ prefix: "postern-decisions-" });
globalThis.addEventListener("unload", () => Deno.removeSync(directory, { recursive: true }));
const senders = `${directory}/senders`;
Deno.writeTextFileSync(senders, "# who may not\nspam.example 554 5.7.9 go away\n");

const MAIN = `
alias_maps = []
mydestination = ["mail.example.com"]
local_recipient_maps = ["inline:{alice=x}"]
mynetworks = ["192.0.2.0/24"]

smtpd_sender_restrictions = ["check_sender_access", "texthash:${senders}"]
smtpd_helo_restrictions = ["warn_if_reject", "reject_non_fqdn_helo_hostname"]
`;
const SECOND = `
[[service]]
name = "587"
type = "inet"
command = "smtpd"
parameters = { smtpd_client_restrictions = ["permit_mynetworks", "reject"] }
`;
/** Lines of the fixture's main.toml, whose first line is its own. */
const lineOf = (start: string) => MAIN.split("\n").findIndex((line) => line.startsWith(start)) + 1;

const VIEW: View = {
  address: "198.51.100.7",
  name: "unknown",
  helo: "short",
  sender: "x@spam.example",
  recipient: "alice@mail.example.com",
};

async function decide(view: Partial<View>, service = "25") {
  const configuration = loadGood(MAIN, MASTER + SECOND);
  const entry = configuration.services.find(({ name, command }) => command === "smtpd" && name === service)!;
  const steps: Step[] = [];
  const decision = await new Decisions(configuration, SERVICES).ask(
    entry,
    { ...VIEW, ...view },
    (step) => steps.push(step),
  );
  return { decision, steps };
}

const SENDER_RULE = {
  text: `check_sender_access texthash:${senders}`,
  parameter: "smtpd_sender_restrictions",
  place: `/c/main.toml:${lineOf("smtpd_sender")}`,
};
const SENDER_ENTRY = {
  table: `texthash:${senders}`,
  value: "554 5.7.9 go away",
  place: `${senders}:2`,
};

Deno.test("a refusal names the restriction, its list's place and the table's entry", async () => {
  const { decision, steps } = await decide({});
  const reply = "554 5.7.9 <x@spam.example>: Sender address rejected: go away";
  assert.deepEqual(decision.refusal, { reply, rule: SENDER_RULE, entry: SENDER_ENTRY });
  assert.deepEqual(steps.map(({ rule, outcome, note }) => [rule.text, outcome, note]), [
    ["reject_non_fqdn_helo_hostname", "reject", "warn_if_reject"],
    [SENDER_RULE.text, "reject", undefined],
  ]);
  assert.deepEqual(steps[1], { rule: SENDER_RULE, outcome: "reject", reply, entry: SENDER_ENTRY });
});

Deno.test("a list that is not set names its default", async () => {
  const { decision, steps } = await decide({
    sender: "",
    recipient: "bob@elsewhere.example",
    helo: "a.example",
  });
  assert.deepEqual(decision.refusal?.rule, {
    text: "defer_unauth_destination",
    parameter: "smtpd_relay_restrictions",
    place: "default",
  });
  assert.deepEqual(steps.map(({ rule, outcome }) => `${rule.text} ${outcome}`), [
    "reject_non_fqdn_helo_hostname dunno",
    `${SENDER_RULE.text} dunno`,
    "permit_mynetworks dunno",
    "permit_sasl_authenticated dunno",
    "defer_unauth_destination reject",
  ]);
});

Deno.test("a list of one service names its place in master.toml", async () => {
  const { decision } = await decide({}, "587");
  assert.equal(decision.refusal?.rule?.text, "reject");
  assert.match(decision.refusal?.rule?.place ?? "", /^\/c\/master\.toml:[0-9]+$/);
});

Deno.test("a recipient that does not exist names the parameter that asks for it", async () => {
  const { decision, steps } = await decide({ sender: "", recipient: "bob@mail.example.com" });
  const rule = {
    text: "smtpd_reject_unlisted_recipient",
    parameter: "smtpd_reject_unlisted_recipient",
    place: "default",
  };
  assert.deepEqual(decision.refusal?.rule, rule);
  assert.deepEqual(steps.at(-1), { rule, outcome: "reject", reply: decision.reply });
});

Deno.test("an accepted recipient has no refusal", async () => {
  const { decision, steps } = await decide({ sender: "" });
  assert.equal(decision.refusal, undefined);
  assert.equal(steps.at(-1)?.outcome, "dunno");
});

Deno.test("a table that master.toml names for one service is asked by that service", async () => {
  const third = SECOND.replace('"587"', '"588"').replace(
    '["permit_mynetworks", "reject"]',
    `["check_client_access texthash:${directory}/clients"]`,
  );
  Deno.writeTextFileSync(`${directory}/clients`, "198.51.100.7 REJECT of 588\n");
  const configuration = loadGood(MAIN, MASTER + third);
  const ask = async (service: string) => {
    const entry = configuration.services.find(({ name, command }) =>
      command === "smtpd" && name === service
    )!;
    return (await new Decisions(configuration, SERVICES).ask(entry, { ...VIEW, sender: "" })).reply;
  };
  assert.match(await ask("588"), /^554 5\.7\.1 .*: Client host rejected: of 588$/);
  assert.equal(await ask("25"), "250 2.1.5 Ok");
});
