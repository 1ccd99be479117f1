/**
 * REQUIRETLS from one mail system to another (RFC 8689): what is delivered, what comes back to the sender, and what the
 * log says of it, at every level of smtp_requiretls_policy; and TLS-Required: no.
 *
 * @module
 */
import assert from "node:assert/strict";
import { AUTHORITY, CertificateChains, server } from "../support/certificate_chains.ts";
import { freePort } from "../support/ports.ts";
import { decode, Postern } from "../support/postern.ts";
import { TlsClient } from "../support/tls_client.ts";
import { testNeeding } from "../support/tools.ts";

/** Servers: with all that is wanted; without REQUIRETLS; without TLS; with a certificate that nobody vouches for. */
const SERVERS = ["full", "old", "clear", "self"] as const;
type ServerKind = (typeof SERVERS)[number];
type Ports = Readonly<Record<ServerKind, number>>;

/** A domain, the level of REQUIRETLS on its way, its server, and whether its certificate is compared. */
interface Route {
  readonly name: string;
  readonly policy: "enforce" | "opportunistic+starttls" | "opportunistic" | "disable";
  readonly server: ServerKind;
  readonly secure: boolean;
  /** What the log says of mail with REQUIRETLS, from `tls=` on. */
  readonly outcome: string;
}

const ROUTES: readonly Route[] = [
  route("enforce", "full", true, "tls=secure/requiretls, dsn=2.0.0, status=sent"),
  route("enforce", "old", true, "tls=secure/!requiretls:none, dsn=5.7.30, status=bounced"),
  route(
    "enforce",
    "clear",
    true,
    "tls=!secure:nostarttls/!requiretls:nostarttls, dsn=5.7.30, status=bounced",
  ),
  route(
    "enforce",
    "self",
    true,
    "tls=!secure:nocertmatch/!requiretls:nocertmatch, dsn=5.7.10, status=bounced",
  ),
  route("enforce", "full", false, "tls=may?/!requiretls:nocertmatch, dsn=5.7.10, status=bounced"),
  route("opportunistic+starttls", "full", true, "tls=secure/requiretls, dsn=2.0.0, status=sent"),
  route("opportunistic+starttls", "full", false, "tls=may/requiretls:nocertmatch, dsn=2.0.0, status=sent"),
  route("opportunistic+starttls", "old", false, "tls=may/requiretls:none, dsn=2.0.0, status=sent"),
  route(
    "opportunistic+starttls",
    "clear",
    false,
    "tls=may?/!requiretls:nostarttls, dsn=5.7.30, status=bounced",
  ),
  route("opportunistic", "self", false, "tls=may/requiretls:nocertmatch, dsn=2.0.0, status=sent"),
  route("opportunistic", "clear", false, "tls=may:none/requiretls:none, dsn=2.0.0, status=sent"),
  route("disable", "full", true, "tls=secure, dsn=2.0.0, status=sent"),
];

function route(policy: Route["policy"], server: ServerKind, secure: boolean, outcome: string): Route {
  const name = `${policy.replace("+", "-")}-${server}${secure ? "" : "-may"}.test`;
  return { name, policy, server, secure, outcome };
}

/** The system that gets the mail: one smtpd for each kind of server. */
async function startFar(chains: CertificateChains, ports: Ports): Promise<Postern> {
  const parameters: Readonly<Record<ServerKind, string>> = {
    full: "",
    old: "requiretls_enable = false",
    clear: 'smtpd_tls_security_level = "none"',
    self: `smtpd_tls_chain_files = ["${chains.key("self")}", "${chains.path("self")}"]`,
  };
  return await Postern.start({
    settings: {
      virtual_mailbox_domains: '["static:all"]',
      virtual_mailbox_maps: '["static:u/"]',
      mynetworks: "[]",
      smtpd_relay_restrictions: '["reject_unauth_destination"]',
      smtpd_tls_security_level: '"may"',
      smtpd_tls_chain_files: `["${chains.key("valid")}", "${chains.path("valid")}"]`,
      inet_protocols: '["ipv4"]',
    },
    services: (text) => {
      const more = SERVERS.map((kind) => `
[[service]]
name = "127.0.0.1:${ports[kind]}"
type = "inet"
command = "smtpd"
parameters = { ${parameters[kind]} }
`);
      return [text, ...more].join("");
    },
  });
}

/** The system that sends it: a transport for each level. */
async function startNear(chains: CertificateChains, ports: Ports): Promise<Postern> {
  const levels = [...new Set(ROUTES.map(({ policy }) => policy))];
  const transportOf = (policy: string) => `rt-${policy.replace("+", "-")}`;
  const nexthop = ({ server, secure }: Route) => `[${secure ? "localhost" : "127.0.0.1"}]:${ports[server]}`;
  const entries = ROUTES.map((one) => `{${one.name} = ${transportOf(one.policy)}:${nexthop(one)}}`);
  const policies = SERVERS.map((kind) => `{[localhost]:${ports[kind]} = secure match=localhost}`);
  return await Postern.start({
    settings: {
      mynetworks: '["127.0.0.0/8"]',
      smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
      smtpd_tls_security_level: '"may"',
      smtpd_tls_chain_files: `["${chains.key("valid")}", "${chains.path("valid")}"]`,
      // So that the header in what arrives was put there by the other system.
      requiretls_esmtp_header: "false",
      default_transport: '"smtp"',
      inet_protocols: '["ipv4"]',
      transport_maps: JSON.stringify([`inline:{${entries.join(", ")}}`]),
      smtp_tls_policy_maps: JSON.stringify([`inline:{${policies.join(", ")}}`]),
      smtp_tls_CAfile: JSON.stringify(chains.path("root")),
    },
    services: (text) => {
      const more = levels.map((level) => `
[[service]]
name = "${transportOf(level)}"
type = "unix"
command = "smtp"
parameters = { smtp_requiretls_policy = ["${level}"] }
`);
      return [text, ...more].join("");
    },
  });
}

function makeChains(): CertificateChains {
  const chains = new CertificateChains();
  chains.make("root", { extensions: AUTHORITY });
  chains.make("valid", { issuer: "root", extensions: server("localhost") });
  chains.make("self", { extensions: server("localhost") });
  return chains;
}

/** Sends one message to each recipient, over TLS, and with REQUIRETLS where it is wanted. */
async function send(
  port: number,
  recipients: readonly string[],
  requireTls: boolean,
  header = "",
): Promise<void> {
  using client = await TlsClient.connect(port);
  await client.reply();
  assert.ok(!(await client.say("EHLO near.test")).includes("REQUIRETLS"));
  await client.startTls();
  assert.match(await client.say("EHLO near.test"), /^250[ -]REQUIRETLS$/m);
  for (const recipient of recipients) {
    await client.says(
      `MAIL FROM:<sender@example.test>${requireTls ? " REQUIRETLS" : ""}`,
      `RCPT TO:<${recipient}>`,
      "DATA",
    );
    const text = `From: sender@example.test\r\n${header}Subject: to ${recipient}\r\n\r\nthe secret text\r\n.`;
    assert.match(await client.say(text), /^250 2\.0\.0 Ok: queued as /);
  }
}

/** What the log says of a delivery from `tls=` on. */
function outcome(log: string, recipient: string): string {
  const line = log.split("\n").findLast((one) => one.includes(`to=<${recipient}>`)) ?? "";
  return / (tls=\S+ dsn=\S+ status=\w+)/.exec(line)?.[1] ?? line;
}

function makePorts(): Ports {
  return { full: freePort(), old: freePort(), clear: freePort(), self: freePort() };
}

testNeeding(
  ["openssl"],
  "RFC 8689 section 4.2.1: mail with REQUIRETLS goes to servers that satisfy the policy, and else back to its sender",
  async () => {
    using chains = makeChains();
    const ports = makePorts();
    await using far = await startFar(chains, ports);
    await using near = await startNear(chains, ports);
    await send(near.port, ROUTES.map(({ name }) => `u@${name}`), true);
    for (const { name } of ROUTES) await near.untilLogged(new RegExp(`to=<u@${name}>.* status=`), 60_000);
    for (const { name, outcome: expected } of ROUTES) {
      assert.equal(outcome(near.log(), `u@${name}`), expected, name);
    }
    const sent = ROUTES.filter((one) => one.outcome.endsWith("sent"));
    const arrived = (await far.mail("u", sent.length)).map(decode);
    for (const { name, outcome: said } of sent) {
      const text = arrived.find((one) => one.includes(`Subject: to u@${name}\n`));
      // The next system knows of it just where the log says that it was told.
      const told = /\/requiretls(:nocertmatch)?,/.test(said);
      assert.equal(text?.includes("\nRequire-TLS-ESMTP: yes\n"), told, name);
      const [, protocol] = / with (\S+) id /.exec(text ?? "") ?? [];
      assert.equal(protocol, said.includes("may:none") ? "ESMTP" : "ESMTPS", name);
    }
    const reports = (await near.mail("sender", ROUTES.length - sent.length)).map(decode);
    for (const { name, outcome: said } of ROUTES.filter((one) => !sent.includes(one))) {
      const report = reports.find((one) => one.includes(`rfc822; u@${name}`))!;
      assert.ok(report.includes(`Status: ${/dsn=([\d.]+)/.exec(said)![1]}`), name);
      // RFC 8689 section 5: the way back may be in the clear.
      assert.ok(report.includes(`Subject: to u@${name}`) && !report.includes("the secret text"), name);
    }
    await near.untilEmpty();
  },
);

testNeeding(
  ["openssl"],
  "RFC 8689 section 3: mail with TLS-Required: no goes to a server whose certificate is wrong, other mail waits",
  async () => {
    using chains = makeChains();
    const ports = makePorts();
    await using far = await startFar(chains, ports);
    await using near = await startNear(chains, ports);
    const to = "enforce-self.test";
    await send(near.port, [`relaxed@${to}`], false, "TLS-Required: No\r\n");
    await send(near.port, [`other@${to}`], false);
    await far.mail("relaxed");
    await near.untilLogged(new RegExp(`to=<other@${to}>.* status=`));
    assert.equal(outcome(near.log(), `relaxed@${to}`), "tls=may, dsn=2.0.0, status=sent");
    assert.equal(outcome(near.log(), `other@${to}`), "tls=!secure:nocertmatch, dsn=4.7.5, status=deferred");
    // REQUIRETLS counts more than the header.
    await send(near.port, [`both@${to}`], true, "TLS-Required: No\r\n");
    const [report] = await near.mail("sender");
    assert.match(decode(report!), /^Status: 5\.7\.10$/m);
  },
);
