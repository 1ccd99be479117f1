/** The administrator's own tests: what is met, what is told. @module */
import assert from "node:assert/strict";
import { SERVICES } from "../../../daemons/services.ts";
import { findBrokenExpectations } from "../../../lib/server/expectations.ts";
import { formatProblem } from "../../../lib/config/problem.ts";
import { loadGood, MASTER } from "../config/fixture.ts";

const MAIN = `
alias_maps = []
mydestination = ["mail.example.com"]
local_recipient_maps = ["inline:{alice=x}"]
relay_domains = ["partner.example"]
transport_maps = ["inline:{partner.example=smtp:[mx.partner.example]}"]
mynetworks = ["192.0.2.0/24"]
smtpd_sender_restrictions = ["check_sender_access", "inline:{ {spam.example = 554 5.7.9 go away} }"]
smtpd_helo_restrictions = ["reject_non_fqdn_helo_hostname"]
`;

const SECOND = `
[[service]]
name = "587"
type = "inet"
command = "smtpd"
parameters = { smtpd_client_restrictions = ["permit_mynetworks", "reject"] }
`;

async function broken(expect: string | undefined): Promise<string[]> {
  const configuration = loadGood(MAIN, MASTER + SECOND);
  const problems = await findBrokenExpectations(configuration, SERVICES, (path) => {
    assert.equal(path, "/c/expect.toml");
    return expect;
  });
  return problems.map(formatProblem);
}

/** Expectations that are met. */
const MET: readonly string[] = [
  "relay = false",
  "accepted = false\nreply = '454 4.7.1 <recipient@elsewhere.example>: Relay access denied'",
  "client = '192.0.2.7'\nrelay = true\ntransport = 'smtp'\nnexthop = 'elsewhere.example'\nclass = 'default'",
  "client = '::ffff:192.0.2.7'\nrelay = true",
  "recipient = 'alice@mail.example.com'\naccepted = true\nrelay = false\nclass = 'local'\ntransport = 'local'",
  "recipient = 'bob@mail.example.com'\nreply = '550 5.1.1'",
  "recipient = 'x@partner.example'\naccepted = true\nrelay = false\nclass = 'relay'\nnexthop = '[mx.partner.example]'",
  "recipient = 'alice@mail.example.com'\nsender = 'x@spam.example'\nreply = '554 5.7.9'",
  "recipient = 'alice@mail.example.com'\nsender = ''\naccepted = true",
  "recipient = 'alice@mail.example.com'\nhelo = 'short'\nreply = '504'",
  "recipient = 'alice@mail.example.com'\nservice = '587'\naccepted = false",
  "recipient = 'alice@mail.example.com'\nservice = '587'\nclient = '192.0.2.7'\naccepted = true",
  "recipient = '\"victim@elsewhere.example\"@mail.example.com'\nrelay = false\naccepted = false",
];

for (const expectation of MET) {
  Deno.test(`expectation met: ${expectation.split("\n").join("; ")}`, async () => {
    assert.deepEqual(await broken(`[[expect]]\n${expectation}\n`), []);
  });
}

/** Expectations that are not, and what is told of them. */
const BROKEN: readonly (readonly [string, RegExp])[] = [
  ["relay = true", /expect\.toml:1: expectation is not met: .*expected relay true, got false \(454 4\.7\.1 /],
  ["accepted = true", /expected accepted true, got false/],
  [
    "client = '192.0.2.7'\naccepted = false",
    /from unknown\[192\.0\.2\.7\]: expected accepted false, got true \(250/,
  ],
  ["reply = '554'", /expected reply "554", got "454 4\.7\.1/],
  ["transport = 'lmtp'", /expected transport "lmtp", got "smtp"/],
  ["service = '26'\nrelay = false", /master\.toml has no smtpd service "26"/],
  ["sender = 'x'", /without anything that is expected/],
  ["relay = 'no'", /expect\.toml:2: "relay": expected true or false/],
  ["client = 'mail.example.com'\nrelay = false", /"client": expected an IP address/],
  ["recepient = 'x'\nrelay = false", /unknown key "recepient" .*"recipient"\?/],
  ["reply = 554", /"reply": expected a string/],
];

for (const [expectation, told] of BROKEN) {
  Deno.test(`expectation told: ${expectation.split("\n").join("; ")}`, async () => {
    const lines = await broken(`[[expect]]\n${expectation}\n`);
    assert.equal(lines.length, 1, lines.join("\n"));
    assert.match(lines[0]!, told);
    assert.ok(lines[0]!.startsWith("error: /c/expect.toml:"));
  });
}

Deno.test("every expectation is tried, the file may be missing or empty", async () => {
  assert.deepEqual(await broken(undefined), []);
  assert.deepEqual(await broken("# nothing\n"), []);
  const lines = await broken(
    "[[expect]]\nrelay = true\n[[expect]]\nrelay = false\n[[expect]]\nreply = '5'\n",
  );
  assert.deepEqual(lines.map((line) => line.split(":")[2]), ["1", "5"]);
});

Deno.test("what is no list of expectations is told", async () => {
  assert.match((await broken("relay = false"))[0]!, /unknown key "relay"/);
  assert.match((await broken("expect = 1"))[0]!, /no expectations/);
  assert.match((await broken("[[expect"))[0]!, /not valid TOML/);
});

Deno.test("the sample and the manual's example are expectations that a plain configuration meets", async () => {
  const root = new URL("../../../", import.meta.url);
  const sample = Deno.readTextFileSync(new URL("conf/expect.toml", root));
  assert.deepEqual(await broken(sample), []);
  const page = Deno.readTextFileSync(new URL("docs/man/expect.toml.5.md", root));
  const example = /```toml[^\n]*\n([\s\S]*?)```/.exec(page)![1]!;
  const main = `alias_maps = []\nlocal_recipient_maps = []\n` +
    'smtpd_sender_restrictions = ["check_sender_access", "inline:{spam.example=REJECT}"]';
  const problems = await findBrokenExpectations(loadGood(main), SERVICES, () => example);
  assert.deepEqual(problems.map(formatProblem), []);
});

Deno.test("a table that cannot answer gets the client a soft reply", async () => {
  const configuration = loadGood(
    'alias_maps = []\nsmtpd_client_restrictions = ["check_client_access", "fail:now"]',
  );
  const expect = "[[expect]]\nrecipient = 'a@mail.example.com'\nreply = '451 4.3.5'\n";
  assert.deepEqual(await findBrokenExpectations(configuration, SERVICES, () => expect), []);
});
