/** Policy servers in the flags of smtpd, and what check says of them. @module */
import assert from "node:assert/strict";
import { SERVICES } from "../../../daemons/services.ts";
import { formatProblem } from "../../../lib/config/problem.ts";
import { findPolicyProblems, policyGrants } from "../../../lib/server/policy_reach.ts";
import { loadGood, MASTER } from "../config/fixture.ts";

const MAIN = `
queue_directory = "/queue"
smtpd_restriction_classes = ["greylist"]
smtpd_recipient_restrictions = ["check_policy_service inet:127.0.0.1:10023", "greylist"]
smtpd_client_restrictions = ["check_policy_service", "{ unix:/run/policy, timeout=5s }"]
smtpd_data_restrictions = ["check_policy_service inet:[::1]:10024"]
[variables]
greylist = "check_policy_service unix:private/grey, permit"
`;

Deno.test("each policy server adds exactly its address", () => {
  const configuration = loadGood(MAIN, MASTER);
  const entry = configuration.services.find(({ command }) => command === "smtpd")!;
  const grants = policyGrants(configuration, entry).map(({ kind, object }) => `${kind} ${object}`);
  assert.deepEqual(grants.sort(), [
    "net 127.0.0.1:10023",
    "net [::1]:10024",
    "net unix:/queue/private/grey",
    "net unix:/run/policy",
    "read /queue/private/grey",
    "read /run/policy",
    "write /queue/private/grey",
    "write /run/policy",
  ]);
  assert.deepEqual(findPolicyProblems(configuration), []);
  assert.ok(policyGrants(configuration, entry).every(({ because }) => because.includes("main.toml:")));
  assert.deepEqual([...SERVICES.values()].filter((one) => one.asksPolicyServers).map((one) => one.command), [
    "smtpd",
  ]);
});

Deno.test("a server that cannot be is told with its line", () => {
  const main = 'smtpd_data_restrictions = ["check_policy_service", "{ inet:127.0.0.1:1, colour=red }"]\n';
  const problems = findPolicyProblems(loadGood(main, MASTER)).map(formatProblem);
  assert.equal(problems.length, 1);
  assert.match(
    problems[0]!,
    /^error: \/c\/main\.toml:1: "smtpd_data_restrictions": unknown setting "colour=red"/,
  );
});
