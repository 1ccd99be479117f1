/** The client of policy servers against a scripted one. @module */
import assert from "node:assert/strict";
import type { Question } from "../../../lib/access/policy.ts";
import { policyRequest, PolicyServers } from "../../../lib/access/policy_server.ts";
import { parsePolicyServer, policyServers } from "../../../lib/access/policy_server_rule.ts";
import { connectTo } from "../../../lib/table/stream_target.ts";
import { STRANGER } from "../../support/question.ts";
import { type PolicyAnswer, ScriptedPolicyServer } from "../../support/policy_server.ts";

const SETTINGS = {
  queue_directory: "/queue",
  smtpd_policy_service_default_action: "451 4.3.5 Server configuration problem",
  smtpd_policy_service_max_idle: 300,
  smtpd_policy_service_max_ttl: 1000,
  smtpd_policy_service_policy_context: "",
  smtpd_policy_service_request_limit: 0,
  smtpd_policy_service_retry_delay: 1,
  smtpd_policy_service_timeout: 5,
  smtpd_policy_service_try_limit: 1,
};

const QUESTION: Question = {
  ...STRANGER,
  peer: { ...STRANGER.peer, reverseName: "host.ext.test" },
  size: 12,
  instance: "1.2.3",
};

async function ask(answer: PolicyAnswer, questions = 1, options = "", settings = {}) {
  await using server = new ScriptedPolicyServer(answer);
  const warnings: string[] = [];
  const log = { warning: (text: string) => void warnings.push(text) };
  const servers = new PolicyServers({ ...SETTINGS, ...settings }, { stream: connectTo }, log);
  const where = `inet:127.0.0.1:${server.port}`;
  const actions: string[] = [];
  for (let i = 0; i < questions; i++) {
    actions.push(await servers.ask(options === "" ? where : `{ ${where}, ${options} }`, QUESTION));
  }
  return { actions, warnings, connections: server.connections, texts: server.texts };
}

Deno.test("policy: a request is what Postfix sends", async () => {
  const { texts, actions, warnings } = await ask(() => "action=DUNNO\n\n");
  assert.deepEqual([actions, warnings], [["DUNNO"], []]);
  assert.equal(texts[0]!.split("\n")[0], "request=smtpd_access_policy");
  const has = (line: string) => assert.ok(texts[0]!.split("\n").includes(line), line);
  for (
    const line of [
      "protocol_state=RCPT",
      "protocol_name=ESMTP",
      "client_address=198.51.100.9",
      "client_name=unknown",
      "client_port=1234",
      "reverse_client_name=host.ext.test",
      "helo_name=c.test",
      "sender=a@ext.test",
      "recipient=alice@local.test",
      "recipient_count=0",
      "queue_id=",
      "size=12",
      "encryption_keysize=0",
    ]
  ) has(line);
});

Deno.test("policy: a line end in a value is no further attribute", () => {
  const text = policyRequest({ ...QUESTION, helo: "x\naction=OK\n\n" }, "");
  assert.equal(text.split("\n").length, policyRequest(QUESTION, "").split("\n").length);
  assert.ok(text.includes("helo_name=x?action=OK??\n"));
});

Deno.test("INJ-13: an equals sign in an address is part of its attribute's value", async () => {
  const question: Question = { ...QUESTION, sender: "a=b@ext.test", recipient: "r=x@local.test" };
  const lines = policyRequest(question, "").split("\n");
  assert.ok(lines.includes("sender=a=b@ext.test") && lines.includes("recipient=r=x@local.test"));
  assert.equal(lines.length, policyRequest(QUESTION, "").split("\n").length);
});

Deno.test("JSX-08: an answer that names what everything inherits is none, and changes nothing", async () => {
  const { actions, warnings } = await ask(() => "__proto__=x\naction=OK\nconstructor=y\n\n");
  assert.deepEqual(actions, [SETTINGS.smtpd_policy_service_default_action]);
  assert.match(warnings[0]!, /: unexpected attribute __proto__=x in an answer$/);
  assert.equal(({} as Record<string, unknown>)["x"], undefined);
});

Deno.test("policy: connections are kept, and given up after so many requests", async () => {
  const kept = await ask(() => "action=OK\n\n", 5);
  assert.deepEqual([kept.connections, kept.actions.length], [1, 5]);
  const limited = await ask(() => "action=OK\n\n", 5, "request_limit=2");
  assert.equal(limited.connections, 3);
});

const BROKEN: Readonly<Record<string, PolicyAnswer>> = {
  "that closes": () => "close",
  "that names no action": () => "reason=x\n\n",
  "with an empty answer": () => "\n",
  "with an empty action": () => "action=\n\n",
  "whose answer has no end": () => `action=${"x".repeat(10_000)}`,
};
for (const [name, answer] of Object.entries(BROKEN)) {
  Deno.test(`policy: a server ${name} is answered for by the default action`, async () => {
    const { actions, warnings } = await ask(answer);
    assert.deepEqual(actions, [SETTINGS.smtpd_policy_service_default_action]);
    assert.match(warnings[0]!, /^problem talking to server 127\.0\.0\.1:[0-9]+: /);
  });
}

Deno.test("policy: a server is tried again before it counts as failed", async () => {
  const answer: PolicyAnswer = (_, count) => count === 1 ? "close" : "action=REJECT no\n\n";
  const { actions, warnings } = await ask(answer, 1, "try_limit=2");
  assert.deepEqual([actions, warnings.length], [["REJECT no"], 1]);
});

Deno.test("policy: each server may have its own settings", async () => {
  const silent: PolicyAnswer = () => "";
  const { actions } = await ask(silent, 1, "timeout=1s, default_action=DUNNO");
  assert.deepEqual(actions, ["DUNNO"]);
  const blanks = await ask(() => "close", 1, "{ default_action = 450 4.7.1 wait }");
  assert.deepEqual(blanks.actions, ["450 4.7.1 wait"]);
});

Deno.test("policy: servers that nobody listens as", async () => {
  const servers = new PolicyServers(SETTINGS, { stream: connectTo }, { warning: () => {} });
  assert.match(await servers.ask("unix:private/none", QUESTION), /^451/);
  assert.match(await servers.ask("nonsense", QUESTION), /^451/);
});

Deno.test("policy: many questions at once do not wait for one another", async () => {
  await using server = new ScriptedPolicyServer((request) => `action=OK ${request.get("helo_name")}\n\n`);
  const servers = new PolicyServers(SETTINGS, { stream: connectTo }, { warning: () => {} });
  const where = `inet:127.0.0.1:${server.port}`;
  const names = Array.from({ length: 30 }, (_, i) => `h${i}`);
  const actions = await Promise.all(names.map((helo) => servers.ask(where, { ...QUESTION, helo })));
  assert.deepEqual(actions, names.map((name) => `OK ${name}`));
  assert.ok(server.connections > 1 && server.connections <= 30);
});

const RULES: readonly (readonly [text: string, wrong: RegExp])[] = [
  ["inet:", /is no server/],
  ["tcp:1.2.3.4:5", /is no server/],
  ["inet:127.0.0.1", /is no server/],
  ["{ inet:127.0.0.1:1, colour=red }", /unknown setting "colour=red"/],
  ["{ inet:127.0.0.1:1, timeout=0 }", /bad value of "timeout"/],
  ["{ inet:127.0.0.1:1, timeout=soon }", /bad value of "timeout"/],
  ["{ inet:127.0.0.1:1", /missing '}'/],
];
for (const [text, wrong] of RULES) {
  Deno.test(`policy: ${text} is refused`, () => {
    const parsed = parsePolicyServer(text, SETTINGS, "/queue");
    assert.match(parsed.kind === "bad" ? parsed.why : "taken", wrong);
  });
}

Deno.test("policy: sockets below the queue, and servers in lists and classes", () => {
  const parsed = parsePolicyServer("unix:private/policy", SETTINGS, "/queue");
  assert.deepEqual(parsed.kind === "rule" && parsed.rule.target, {
    kind: "unix",
    path: "/queue/private/policy",
  });
  const items = [
    "permit",
    "check_policy_service",
    "inet:a:1",
    "{check_policy_service { unix:/b, timeout=1s }, permit}",
  ];
  assert.deepEqual(policyServers(items), ["inet:a:1", "{ unix:/b, timeout=1s }"]);
});
