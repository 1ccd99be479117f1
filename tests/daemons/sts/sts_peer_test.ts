/**
 * MTA-STS with a web server and a zone of the test's own, and Debian's Postfix as the mail server.
 *
 * @module
 */
import assert from "node:assert/strict";
import { until } from "../../commands/mail_system.ts";
import { utf8 } from "../../support/bytes.ts";
import { AUTHORITY, CertificateChains, server } from "../../support/certificate_chains.ts";
import { Postern } from "../../support/postern.ts";
import { Postfix } from "../../support/postfix.ts";
import { SignedZones, type Zone } from "../../support/signed_zones.ts";
import { sendWithPython } from "../../support/smtplib.ts";
import { testNeeding } from "../../support/tools.ts";
import { freePort } from "../../support/ports.ts";

interface Domain {
  /** What its web server gives; undefined: 404. */
  readonly policy: string | undefined;
  /** Records beside MX and the hosts' addresses. */
  readonly record?: string;
  readonly outcome: RegExp;
  readonly word: string;
}

const policy = (mode: string, mx: string) => `version: STSv1\nmode: ${mode}\nmx: ${mx}\nmax_age: 86400\n`;
const RECORD = '"v=STSv1; id=one;"';
const SENT = /^sent 2/;

/** The mail server has a certificate for mx.good.test, mx.wild.test and mx.testing.test only. */
const DOMAINS: Readonly<Record<string, Domain>> = {
  "good.test": { policy: policy("enforce", "mx.good.test"), outcome: SENT, word: "Verified" },
  "wild.test": { policy: policy("enforce", "*.wild.test"), outcome: SENT, word: "Verified" },
  "badname.test": {
    policy: policy("enforce", "mx.badname.test"),
    outcome: /^deferred 4\.7\.5 Server certificate not verified/,
    word: "Untrusted",
  },
  "badhost.test": {
    policy: policy("enforce", "other.badhost.test"),
    outcome: /^deferred 4\.7\.5 MX host mx\.badhost\.test does not match the MTA-STS policy/,
    word: "",
  },
  "testing.test": { policy: policy("testing", "other.testing.test"), outcome: SENT, word: "Trusted" },
  "none.test": { policy: "version: STSv1\nmode: none\nmax_age: 1\n", outcome: SENT, word: "Trusted" },
  "norecord.test": {
    policy: policy("enforce", "x.test"),
    record: '"v=spf1 -all"',
    outcome: SENT,
    word: "Trusted",
  },
  "nopolicy.test": { policy: undefined, outcome: SENT, word: "Trusted" },
  "broken.test": { policy: "<html>not a policy</html>", outcome: SENT, word: "Trusted" },
};

function zoneOf({ record }: Domain): Zone {
  return {
    records: [
      "@ IN MX 10 mx",
      "mx IN A 127.0.0.1",
      "mta-sts IN A 127.0.0.1",
      `_mta-sts IN TXT ${record ?? RECORD}`,
    ],
  };
}

testNeeding(["root", "postfix", "python3", "openssl", "unbound"], "policies from a web server", async () => {
  using chains = new CertificateChains();
  chains.make("root", { extensions: AUTHORITY });
  chains.make("mx", {
    issuer: "root",
    extensions: server("mx.good.test", "mx.wild.test", "mx.testing.test"),
  });
  chains.make("web", {
    issuer: "root",
    extensions: server(...Object.keys(DOMAINS).map((name) => `mta-sts.${name}`)),
  });
  const names = Object.keys(DOMAINS);
  const asked: string[] = [];
  const options = {
    hostname: "127.0.0.1",
    port: 0,
    key: Deno.readTextFileSync(chains.key("web")),
    cert: Deno.readTextFileSync(chains.path("web")),
    onListen: () => {},
  };
  const web = Deno.serve(options, (request) => {
    const domain = (request.headers.get("host") ?? "").replace(/^mta-sts\.|:\d+$/g, "");
    asked.push(domain);
    const text = new URL(request.url).pathname === "/.well-known/mta-sts.txt"
      ? DOMAINS[domain]?.policy
      : undefined;
    return new Response(text ?? "no", {
      status: text === undefined ? 404 : 200,
      headers: { "content-type": "text/plain" },
    });
  });
  await using resolver = await SignedZones.start(
    Object.fromEntries(Object.entries(DOMAINS).map(([name, domain]) => [name, zoneOf(domain)])),
  );
  const port = freePort();
  await using peer = Postfix.make({
    settings: { virtual_mailbox_domains: "static:all", virtual_transport: "discard" },
  });
  const files = `-o smtpd_tls_cert_file=${chains.path("mx")} -o smtpd_tls_key_file=${chains.key("mx")}`;
  Deno.writeTextFileSync(
    `${peer.root}/etc/master.cf`,
    `tlsmgr unix - - n 1000? 1 tlsmgr\n127.0.0.1:${port} inet n - n - - smtpd -o smtpd_tls_security_level=may ${files}\n`,
    { append: true },
  );
  await peer.start();
  const settings = {
    mynetworks: '["127.0.0.0/8"]',
    smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
    default_transport: '"smtp"',
    inet_protocols: '["ipv4"]',
    resolver: JSON.stringify(resolver.resolver),
    smtp_tcp_port: JSON.stringify(String(port)),
    smtp_trusted_nexthops: JSON.stringify([...names, `[127.0.0.1]:${port}`]),
    smtp_tls_loglevel: "1",
    smtp_tls_CAfile: JSON.stringify(chains.path("root")),
    smtp_tls_sts: "true",
    https_port: String(web.addr.port),
    https_CAfile: JSON.stringify(chains.path("root")),
    https_trusted_addresses: '["127.0.0.1"]',
  };
  await using ours = await Postern.start({ settings });
  const send = async (user: string, to: readonly string[]) => {
    const content = utf8("Subject: sts\r\n\r\nx\r\n");
    await sendWithPython(ours.port, [{ from: "a@x.test", to: to.map((name) => `${user}@${name}`), content }]);
    const settled = () => to.every((name) => ours.log().includes(`to=<${user}@${name}>`));
    assert.ok(await until(settled), ours.log().slice(-4000));
  };
  const outcome = (user: string, name: string) => {
    const line = ours.log().split("\n").findLast((one) => one.includes(`to=<${user}@${name}>`))!;
    const [, dsn, status, reason] = /dsn=([\d.]+), status=(\w+) \((.*)\)$/.exec(line)!;
    return `${status} ${dsn} ${reason}`;
  };
  await send("first", names);
  for (const [name, domain] of Object.entries(DOMAINS)) {
    assert.match(outcome("first", name), domain.outcome, `${name}\n${ours.log().slice(-4000)}`);
    const word = new RegExp(`(\\w+) TLS connection established to mx.${name}\\[`).exec(ours.log())?.[1] ?? "";
    assert.equal(word, domain.word, name);
  }
  assert.ok(!asked.includes("norecord.test"));
  // RFC 8461 section 5.1: the web server is gone, and so is our memory; the policy on disk counts.
  await web.shutdown();
  await ours.stop();
  assert.ok(Deno.statSync(`${ours.paths.queue}/sts/badhost.test`).isFile);
  await ours.start();
  await send("second", ["good.test", "badhost.test"]);
  assert.match(outcome("second", "good.test"), SENT);
  assert.match(outcome("second", "badhost.test"), DOMAINS["badhost.test"]!.outcome);
  // A policy on a private address is a stranger's try to have us look there.
  await ours.stop();
  Deno.removeSync(`${ours.paths.queue}/sts`, { recursive: true });
  ours.set({ https_trusted_addresses: "[]" });
  await ours.start();
  await send("third", ["badhost.test"]);
  assert.match(outcome("third", "badhost.test"), SENT);
  await ours.untilLogged("mta-sts.badhost.test has no address on the public internet");
});
