/**
 * Restrictions one by one, on facts that a dialogue with Postfix cannot give: TLS, logins, mail hosts, tables and DNS in
 * trouble. What a dialogue can give is in tests/dialogues/peer_access_test.ts.
 *
 * @module
 */
import assert from "node:assert/strict";
import { PARAMETERS } from "../../../lib/config/parameters.ts";
import {
  type AccessSettings,
  type Question,
  type Services,
  Standing,
  type Step,
} from "../../../lib/access/policy.ts";
import { type ListParameter, RestrictionList } from "../../../lib/access/restrictions.ts";
import type { ClientCertificate, SaslFacts, TlsFacts } from "../../../lib/access/session_facts.ts";
import type { Resolved } from "../../../lib/proto/rewrite_client.ts";
import { parseValue } from "../../../lib/config/values.ts";
import { STRANGER } from "../../support/question.ts";
import { type Zone, zoneLookup } from "../../support/scripted_dns.ts";

const CERTIFICATE: ClientCertificate = {
  subject: "client.test",
  issuer: "ca.test",
  fingerprint: "AA:BB",
  keyFingerprint: "CC:DD",
  trusted: false,
};
const TLS: TlsFacts = {
  protocol: "TLSv1.3",
  cipher: "TLS_AES_256_GCM_SHA384",
  bits: 256,
  serverName: "",
  asked: true,
  certificate: CERTIFICATE,
};
const USER: SaslFacts = { method: "PLAIN", username: "user" };

const QUESTION: Question = {
  ...STRANGER,
  recipient: "x@far.test",
  resolved: resolved("x@far.test"),
};

function resolved(address: string): Resolved {
  const local = address.endsWith("@[192.0.2.1]") || address.endsWith("@local.test");
  const own = {
    transport: local ? "local" : "smtp",
    nexthop: "",
    recipient: address,
    routed: false,
    bad: false,
  };
  return { ...own, kind: "resolved", is: "resolved", class: local ? "local" : "default" } as Resolved;
}

const ZONE: Zone = {
  "far.test MX": ["10 mx1.far.test", "20 backup.test"],
  "other.test MX": ["10 mx1.far.test"],
  "mx1.far.test A": ["198.51.100.40"],
  "backup.test A": ["192.0.2.1"],
  "broken.test MX": "servfail",
  "half.test MX": ["10 lost.test", "20 backup.test"],
  "lost.test A": "servfail",
  "lost.test AAAA": "servfail",
};

/** Tables by parameter and key; "fail" is one that cannot answer. */
type Tables = Readonly<Record<string, Readonly<Record<string, string>> | "fail">>;

interface Case {
  readonly list: string;
  readonly in?: ListParameter;
  readonly question?: Partial<Question>;
  readonly settings?: Readonly<Record<string, string>>;
  readonly tables?: Tables;
  /** The refusal, or what the list ends with. */
  readonly says: string;
}

function settingsOf(own: Readonly<Record<string, string>>): AccessSettings {
  const all = Object.entries(PARAMETERS).map(([name, row]) => {
    const text = own[name] ?? (name.endsWith("_tempfail_action") ? "defer_if_permit" : row.default);
    const parsed = parseValue(row, text);
    return [name, parsed.kind === "value" ? parsed.value : text];
  });
  const classes = (own["smtpd_restriction_classes"] ?? "").split(" ").filter((word) => word !== "");
  const told = classes.flatMap((name) => [name, `{${own[name]}}`]);
  return { ...Object.fromEntries(all), smtpd_restriction_classes: told } as unknown as AccessSettings;
}

function servicesOf(one: Case, warnings: string[]): Services {
  return {
    settings: settingsOf(one.settings ?? {}),
    origin: (parameter) => `main.toml of ${parameter}`,
    maps: {
      find: (parameter, _search, key, table) => {
        const values = one.tables?.[table ?? parameter];
        if (values === "fail") return Promise.resolve({ kind: "retry", why: "it fails" });
        const value = values?.[key];
        return Promise.resolve(
          value === undefined ? { kind: "missing" } : { kind: "found", value, extension: "" },
        );
      },
    },
    dns: zoneLookup(ZONE),
    rewrite: {
      resolve: (_sender, address) => Promise.resolve(resolved(address)),
      rewriteInternal: (_context, address) => Promise.resolve({ kind: "rewritten", address }),
    },
    warning: (text) => void warnings.push(text),
  };
}

async function ask(one: Case, warnings: string[] = [], trace?: (step: Step) => void): Promise<string> {
  const words = one.list.match(/\{[^}]*\}|[^ ,]+/g)!;
  const list = new RestrictionList(
    servicesOf(one, warnings),
    one.in ?? "smtpd_recipient_restrictions",
    words,
  );
  const standing = Standing.fresh();
  const question = { ...QUESTION, ...one.question, ...(trace === undefined ? {} : { trace }) };
  const refused = await list.evaluate(question, standing);
  return refused?.reply ?? standing.deferIfPermit?.reply ?? "permitted";
}

const DENIED = "554 5.7.1 <x@far.test>: Recipient address rejected: Access denied";
const TRUSTED = { tls: { ...TLS, certificate: { ...CERTIFICATE, trusted: true } } };

const CASES: Readonly<Record<string, Case>> = {
  "permit_inet_interfaces for one of ours": {
    list: "permit_inet_interfaces, reject",
    question: { peer: { ...QUESTION.peer, ours: true } },
    says: "permitted",
  },
  "permit_mynetworks whose table fails permits nobody, and refuses nobody for good": {
    list: "permit_mynetworks, reject",
    settings: { mynetworks: "127.0.0.0/8, [::1]/128, texthash:/nets" },
    tables: { mynetworks: "fail" },
    says: "451 4.3.0 <unknown[198.51.100.9]>: Temporary lookup failure",
  },
  "permit_mynetworks whose table does not have the client": {
    list: "permit_mynetworks, reject",
    settings: { mynetworks: "127.0.0.0/8, texthash:/nets" },
    says: DENIED,
  },
  "permit_sasl_authenticated": {
    list: "permit_sasl_authenticated, reject",
    question: { sasl: USER },
    says: "permitted",
  },
  "permit_tls_all_clientcerts with a trusted certificate": {
    list: "permit_tls_all_clientcerts, reject",
    question: TRUSTED,
    says: "permitted",
  },
  "permit_tls_all_clientcerts with any other": {
    list: "permit_tls_all_clientcerts, reject",
    question: { tls: TLS },
    says: DENIED,
  },
  "permit_tls_clientcerts by the certificate": {
    list: "permit_tls_clientcerts, reject",
    question: { tls: TLS },
    tables: { relay_clientcerts: { "AA:BB": "x" } },
    says: "permitted",
  },
  "permit_tls_clientcerts by its key": {
    list: "permit_tls_clientcerts, reject",
    question: { tls: TLS },
    tables: { relay_clientcerts: { "CC:DD": "x" } },
    says: "permitted",
  },
  "permit_tls_clientcerts by neither": {
    list: "permit_tls_clientcerts, reject",
    question: { tls: TLS },
    says: DENIED,
  },
  "permit_tls_clientcerts whose table fails permits nobody, and refuses nobody for good": {
    list: "permit_tls_clientcerts, reject",
    question: { tls: TLS },
    tables: { relay_clientcerts: "fail" },
    says: "451 4.3.0 <AA:BB>: Temporary lookup failure",
  },
  "reject_plaintext_session with TLS": {
    list: "reject_plaintext_session",
    question: { tls: TLS },
    says: "permitted",
  },
  "reject_unauth_pipelining": {
    list: "reject_unauth_pipelining",
    question: { pipelined: true },
    says: "503 5.5.0 <x@far.test>: Recipient address rejected: Improper use of SMTP command pipelining",
  },
  "check_ccert_access by the certificate": {
    list: "check_ccert_access t:x",
    question: { tls: TLS },
    tables: { "t:x": { "AA:BB": "REJECT stolen" } },
    says: "554 5.7.1 <AA:BB>: Client certificate rejected: stolen",
  },
  "check_ccert_access by its key": {
    list: "check_ccert_access t:x, reject",
    question: { tls: TLS },
    tables: { "t:x": { "CC:DD": "OK" } },
    says: "permitted",
  },
  "check_ccert_access in another order": {
    list: "check_ccert_access {t:x, search_order=pubkey_fingerprint}",
    question: { tls: TLS },
    tables: { "t:x": { "AA:BB": "REJECT", "CC:DD": "DUNNO" } },
    says: "permitted",
  },
  "check_ccert_access without a certificate": {
    list: "check_ccert_access t:x",
    tables: { "t:x": { "": "REJECT" } },
    says: "permitted",
  },
  "check_sasl_access": {
    list: "check_sasl_access t:x",
    question: { sasl: USER },
    tables: { "t:x": { user: "DEFER" } },
    says: "450 4.7.1 <user>: SASL login name rejected: Access denied",
  },
  "reject_sender_login_mismatch of the owner": {
    list: "reject_sender_login_mismatch",
    settings: { smtpd_sasl_auth_enable: "yes" },
    question: { sasl: USER },
    tables: { smtpd_sender_login_maps: { "a@ext.test": "other, USER" } },
    says: "permitted",
  },
  "reject_sender_login_mismatch of another": {
    list: "reject_sender_login_mismatch",
    settings: { smtpd_sasl_auth_enable: "yes" },
    question: { sasl: USER },
    tables: { smtpd_sender_login_maps: { "a@ext.test": "other" } },
    says: "553 5.7.1 <a@ext.test>: Sender address rejected: not owned by user user",
  },
  "reject_sender_login_mismatch of a sender that nobody owns": {
    list: "reject_sender_login_mismatch",
    settings: { smtpd_sasl_auth_enable: "yes" },
    question: { sasl: USER },
    says: "553 5.7.1 <a@ext.test>: Sender address rejected: not owned by user user",
  },
  "reject_known_sender_login_mismatch of a sender that nobody owns": {
    list: "reject_known_sender_login_mismatch",
    settings: { smtpd_sasl_auth_enable: "yes" },
    question: { sasl: USER },
    says: "permitted",
  },
  "reject_known_sender_login_mismatch of another": {
    list: "reject_known_sender_login_mismatch",
    settings: { smtpd_sasl_auth_enable: "yes" },
    question: { sasl: USER },
    tables: { smtpd_sender_login_maps: { "a@ext.test": "other" } },
    says: "553 5.7.1 <a@ext.test>: Sender address rejected: not owned by user user",
  },
  "reject_sender_login_mismatch without a login": {
    list: "reject_sender_login_mismatch",
    settings: { smtpd_sasl_auth_enable: "yes" },
    tables: { smtpd_sender_login_maps: { "a@ext.test": "other" } },
    says: "553 5.7.1 <a@ext.test>: Sender address rejected: not logged in",
  },
  "reject_authenticated_sender_login_mismatch without a login": {
    list: "reject_authenticated_sender_login_mismatch",
    settings: { smtpd_sasl_auth_enable: "yes" },
    tables: { smtpd_sender_login_maps: { "a@ext.test": "other" } },
    says: "permitted",
  },
  "sender logins in a table that fails": {
    list: "reject_sender_login_mismatch",
    settings: { smtpd_sasl_auth_enable: "yes" },
    tables: { smtpd_sender_login_maps: "fail" },
    says: "451 4.3.0 <a@ext.test>: Temporary lookup failure",
  },
  "permit_mx_backup for a domain that names us": { list: "permit_mx_backup, reject", says: "permitted" },
  "permit_mx_backup for one that does not": {
    list: "permit_mx_backup, reject",
    question: { recipient: "x@other.test", resolved: resolved("x@other.test") },
    says: "554 5.7.1 <x@other.test>: Recipient address rejected: Access denied",
  },
  "permit_mx_backup whose primary host is in its networks": {
    list: "permit_mx_backup, reject",
    settings: { permit_mx_backup_networks: "198.51.100.0/24" },
    says: "permitted",
  },
  "permit_mx_backup whose primary host is not": {
    list: "permit_mx_backup, reject",
    settings: { permit_mx_backup_networks: "203.0.113.0/24" },
    says: DENIED,
  },
  "permit_mx_backup where DNS does not answer": {
    list: "permit_mx_backup, permit",
    question: { recipient: "x@broken.test", resolved: resolved("x@broken.test") },
    says:
      "450 4.4.4 <x@broken.test>: Recipient address rejected: Unable to look up mail exchanger information: servfail",
  },
  "permit_mx_backup where a mail host cannot be looked up": {
    list: "permit_mx_backup, permit",
    question: { recipient: "x@half.test", resolved: resolved("x@half.test") },
    says:
      "450 4.4.4 <x@half.test>: Recipient address rejected: Unable to look up mail exchanger information: Unable to look up host lost.test as mail exchanger: servfail",
  },
  "a policy server that nobody can ask is answered for by the default action": {
    list: "check_policy_service inet:127.0.0.1:1",
    says: "451 4.3.5 <x@far.test>: Recipient address rejected: Server configuration problem",
  },
  "a class that names itself ends": {
    list: "loop, permit",
    settings: { smtpd_restriction_classes: "loop", loop: "loop" },
    says: "451 4.3.5 Server configuration error",
  },
  "classes that name one another end, also where they are only to warn": {
    list: "warn_if_reject one, permit",
    settings: { smtpd_restriction_classes: "one two", one: "two", two: "one" },
    says: "451 4.3.5 Server configuration error",
  },
  "sleep, then the next": { list: "sleep 0, reject", says: DENIED },
  "old names": {
    list: "reject_unknown_client",
    says: "450 4.7.25 Client host rejected: cannot find your hostname, [198.51.100.9]",
  },
};

for (const [name, one] of Object.entries(CASES)) {
  Deno.test(`restriction: ${name}`, async () => assert.equal(await ask(one), one.says));
}

Deno.test("restriction: a trace names classes, tables and the rules that they led to", async () => {
  const steps: Step[] = [];
  const one: Case = {
    list: "strict, permit",
    settings: {
      smtpd_restriction_classes: "strict",
      strict: "check_client_access t:x, reject_plaintext_session",
    },
    tables: { "t:x": { "unknown 198.51.100.9": "reject_unauth_pipelining, DUNNO" } },
    says: "",
  };
  await ask(
    { ...one, tables: { "t:x": { "unknown 198.51.100.9": "reject_unauth_pipelining" } } },
    [],
    (step) => steps.push(step),
  );
  assert.deepEqual(steps.map(({ rule, outcome, note }) => [rule.text, rule.parameter, outcome, note]), [
    ["strict", "smtpd_recipient_restrictions", "dunno", "check_client_access t:x reject_plaintext_session"],
    ["check_client_access t:x", "strict", "dunno", "reject_unauth_pipelining"],
    ["reject_unauth_pipelining", "check_client_access t:x", "dunno", undefined],
    ["reject_plaintext_session", "strict", "reject", undefined],
  ]);
  assert.equal(steps[3]!.rule.place, "main.toml of strict");
  assert.equal(steps[2]!.rule.within?.within?.text, "strict");
});

Deno.test("restriction: a permission that is not allowed is told of", async () => {
  const warnings: string[] = [];
  const one: Case = {
    list: "check_recipient_mx_access t:x",
    tables: { "t:x": { "mx1.far.test": "OK" } },
    says: "451 4.3.5 Server configuration error",
  };
  assert.equal(await ask(one, warnings), one.says);
  assert.match(
    warnings.join("\n"),
    /restriction check_recipient_mx_access returns OK for far\.test\nthis is not allowed/,
  );
});

Deno.test("DNS-34: what a DNS list says is one printable reply, whatever it is", async () => {
  const reason = `\x1b[2J\r\n250 2.1.5 Ok\r\n${"x".repeat(10_000)}`;
  const zone: Zone = { "9.100.51.198.evil.test A": ["127.0.0.2"], "9.100.51.198.evil.test TXT": [reason] };
  const services = { ...servicesOf({ list: "", says: "" }, []), dns: zoneLookup(zone) };
  const list = new RestrictionList(services, "smtpd_client_restrictions", ["reject_rbl_client", "evil.test"]);
  const reply = (await list.evaluate(QUESTION))?.reply ?? "";
  assert.match(
    reply,
    /^554 5\.7\.1 Service unavailable; Client host \[198\.51\.100\.9\] blocked using evil\.test; \?\[2J\?\?250/,
  );
  assert.ok([..."\r\n\x1b"].every((character) => !reply.includes(character)));
  assert.ok(reply.length < 500, `${reply.length}`);
});

Deno.test("DNS-35: a name that cannot be is not asked for in a list", async () => {
  const asked: string[] = [];
  const base = servicesOf({ list: "", says: "" }, []);
  const dns = { query: (name: string, type: "A") => (asked.push(name), base.dns.query(name, type)) };
  for (const helo of ["x".repeat(255), "a..b", "-", "192.0.2.1", "[192.0.2.1]", "unknown", "c.test."]) {
    const words = ["reject_rhsbl_helo", "list.test"];
    const list = new RestrictionList(
      { ...base, dns: dns as Services["dns"] },
      "smtpd_helo_restrictions",
      words,
    );
    await list.evaluate({ ...QUESTION, helo });
  }
  assert.deepEqual(asked, ["c.test.list.test"]);
});
