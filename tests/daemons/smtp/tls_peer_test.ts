/**
 * Mail over TLS at every level to Debian's Postfix with good and bad certificates, beside Debian's own client with the
 * same tables.
 *
 * @module
 */
import assert from "node:assert/strict";
import { parseCertificate } from "../../../lib/tls/client_certificate.ts";
import { fingerprintOf } from "../../../lib/tls/client_fingerprint.ts";
import { until } from "../../commands/mail_system.ts";
import { utf8 } from "../../support/bytes.ts";
import { AUTHORITY, CertificateChains, server } from "../../support/certificate_chains.ts";
import { Postern } from "../../support/postern.ts";
import { Postfix } from "../../support/postfix.ts";
import { sendWithPython } from "../../support/smtplib.ts";
import { testNeeding } from "../../support/tools.ts";
import { freePort } from "../../support/ports.ts";

/** Certificates of the servers; "clear" has none and offers no TLS. */
const SERVERS = ["valid", "expired", "self", "wrong", "clear"] as const;
type ServerKind = (typeof SERVERS)[number];

/** What is wanted of each, as a line of smtp_tls_policy_maps; FINGERPRINT stands for the server's own. */
const POLICIES: Readonly<Record<string, string>> = {
  none: "none",
  may: "may",
  encrypt: "encrypt",
  tls12: "encrypt protocols=TLSv1.2",
  tls13: "encrypt protocols=>=TLSv1.3",
  finger: "fingerprint match=FINGERPRINT",
  other: "fingerprint match=AA:BB|CC:DD",
  verify: "verify",
  named: "secure match=localhost:other.test",
  parent: "secure match=.test",
  secure: "secure",
  broken: "secure match=",
  unknown: "encrypt colour=blue",
};

interface Route {
  readonly name: string;
  readonly policy: string;
  readonly kind: ServerKind;
  readonly port: number;
}

/** A port that none of the routes before has. */
function otherPort(taken: Set<number>): number {
  for (;;) {
    const port = freePort();
    if (taken.has(port)) continue;
    taken.add(port);
    return port;
  }
}

/** What became of a recipient: status, enhanced code and reason, without what differs from run to run. */
function outcomes(log: string, routes: readonly Route[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const { name, port } of routes) {
    const line = log.split("\n").findLast((one) => one.includes(`to=<u@${name}.test>`));
    const [, dsn, status, reason = ""] = /dsn=([\d.]+), status=(\w+) \((.*)\)$/.exec(line ?? "") ?? [];
    const text = reason.startsWith("250 ") ? "250" : reason.replaceAll(String(port), "PORT");
    found.set(name, `${status} ${dsn} ${text}`);
  }
  return found;
}

/** Words of Postfix about handshakes with a server. */
function handshakes(log: string, routes: readonly Route[]): Map<string, string> {
  return new Map(routes.map(({ name, port }) => {
    const pattern = new RegExp(
      `(\\w+) TLS connection established to localhost\\[127.0.0.1\\]:${port}: (\\S+) with cipher (\\S+)`,
    );
    const [, word = "", version = ""] = pattern.exec(log) ?? [];
    return [name, `${word} ${version}`];
  }));
}

function makeCertificates(): CertificateChains {
  const chains = new CertificateChains();
  chains.make("root", { extensions: AUTHORITY });
  const localhost = server("localhost", "mx.local.test");
  chains.make("valid", { issuer: "root", extensions: localhost });
  chains.make("expired", { issuer: "root", extensions: localhost, from: -9, to: -1 });
  chains.make("self", { extensions: localhost });
  chains.make("wrong", { issuer: "root", extensions: server("elsewhere.invalid") });
  return chains;
}

/** Without it Postfix has no TLS. */
const TLSMGR = "tlsmgr unix - - n 1000? 1 tlsmgr\n";

/** A line of master.cf for each route. */
function servers(routes: readonly Route[], chains: CertificateChains): string {
  return routes.map(({ kind, port }) => {
    const tls = kind === "clear" ? "none" : "may";
    const files = kind === "clear"
      ? ""
      : ` -o smtpd_tls_cert_file=${chains.path(kind)} -o smtpd_tls_key_file=${chains.key(kind)}`;
    return `127.0.0.1:${port} inet n - n - - smtpd -o smtpd_tls_security_level=${tls}${files}\n`;
  }).join("");
}

testNeeding(
  ["root", "postfix", "python3", "openssl"],
  "every level does with every certificate what Debian's does",
  async () => {
    using chains = makeCertificates();
    const taken = new Set<number>();
    const routes = Object.keys(POLICIES).flatMap((policy) =>
      SERVERS.map((kind): Route => ({ name: `${policy}-${kind}`, policy, kind, port: otherPort(taken) }))
    );
    const fingerprint = (kind: ServerKind) =>
      kind === "clear" ? "AA" : fingerprintOf("sha256", parseCertificate(chains.der(kind)).key);
    const policyText = routes.map(({ policy, kind, port }) =>
      `[localhost]:${port} ${POLICIES[policy]!.replace("FINGERPRINT", fingerprint(kind))}\n`
    ).join("");
    const transportText = routes.map(({ name, port }) => `${name}.test smtp:[localhost]:${port}\n`).join("");
    await using peer = Postfix.make({
      settings: {
        mydestination: "",
        virtual_mailbox_domains: "static:all",
        virtual_transport: "discard",
        smtpd_tls_loglevel: "1",
      },
    });
    Deno.writeTextFileSync(`${peer.root}/etc/master.cf`, TLSMGR + servers(routes, chains), { append: true });
    Deno.writeTextFileSync(`${peer.root}/policy`, policyText);
    Deno.writeTextFileSync(`${peer.root}/transport`, transportText);
    Deno.chmodSync(`${peer.root}/policy`, 0o644);
    await peer.start();
    await using theirs = Postfix.make({
      settings: {
        transport_maps: `texthash:${peer.root}/transport`,
        smtp_tls_policy_maps: `texthash:${peer.root}/policy`,
        smtp_tls_CAfile: chains.path("root"),
        smtp_tls_loglevel: "1",
        smtp_tls_fingerprint_digest: "sha256",
        smtp_host_lookup: "native",
        smtp_destination_concurrency_limit: "5",
      },
    });
    Deno.writeTextFileSync(`${theirs.root}/etc/master.cf`, TLSMGR, { append: true });
    await theirs.start();
    await using ours = await Postern.start({
      settings: {
        mynetworks: '["127.0.0.0/8"]',
        smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
        default_transport: '"smtp"',
        inet_protocols: '["ipv4"]',
        transport_maps: JSON.stringify([`texthash:${peer.root}/transport`]),
        smtp_tls_policy_maps: JSON.stringify([`texthash:${peer.root}/policy`]),
        smtp_tls_CAfile: JSON.stringify(chains.path("root")),
        smtp_tls_loglevel: "1",
      },
    });
    const post = {
      from: "a@x.test",
      to: routes.map(({ name }) => `u@${name}.test`),
      content: utf8("Subject: tls\r\n\r\ntext\r\n"),
    };
    for (const { port } of [theirs, ours]) {
      const [posted] = await sendWithPython(port, [post]);
      assert.equal(posted?.code, 250, posted?.text ?? "");
    }
    const settled = (log: string) => routes.every(({ name }) => log.includes(`to=<u@${name}.test>`));
    assert.ok(
      await until(() => settled(ours.log()) && settled(theirs.log())),
      ours.log().slice(-5000),
    );
    const [expected, found] = [outcomes(theirs.log(), routes), outcomes(ours.log(), routes)];
    assert.deepEqual(found, expected);
    const [words, theirWords] = [handshakes(ours.log(), routes), handshakes(theirs.log(), routes)];
    for (const [name, word] of theirWords) {
      // With TLS 1.2 Postfix prefers ciphers without certificates where it does not look at one; ours has none of these.
      if (!word.startsWith("Anonymous")) assert.equal(words.get(name), word, name);
      else assert.match(words.get(name)!, /^(Trusted|Untrusted) TLSv1.2$/, name);
    }
    // What arrived did so over TLS: the server says the same.
    const secure = routes.filter(({ name }) =>
      found.get(name)!.startsWith("sent") && words.get(name) !== " "
    );
    assert.ok(secure.length > 20, String(secure.length));
  },
);
