/**
 * DANE with zones that ldns signs and unbound validates, and Debian's Postfix as the server.
 *
 * @module
 */
import assert from "node:assert/strict";
import { digest as digestOf } from "../../../lib/safe/digest.ts";
import { parseCertificate } from "../../../lib/tls/client_certificate.ts";
import { until } from "../../commands/mail_system.ts";
import { utf8 } from "../../support/bytes.ts";
import { AUTHORITY, CertificateChains, server } from "../../support/certificate_chains.ts";
import { Postern } from "../../support/postern.ts";
import { Postfix } from "../../support/postfix.ts";
import { SignedZones, type Zone } from "../../support/signed_zones.ts";
import { sendWithPython } from "../../support/smtplib.ts";
import { testNeeding } from "../../support/tools.ts";
import { freePort } from "../../support/ports.ts";

/** What a domain has, and what must become of mail for it at the levels dane and dane-only. */
interface Domain {
  readonly zone: (tlsa: Records) => Zone;
  readonly dane: RegExp;
  readonly only: RegExp;
  /** Word of the log about the handshake at level dane. */
  readonly word: string;
}

/** TLSA records for the server that runs, as lines of a zone. */
interface Records {
  readonly owner: string;
  readonly server: string;
  readonly authority: string;
  readonly stranger: string;
}

const HOSTS = ["@ IN MX 10 mx", "mx IN A 127.0.0.1"];
const SENT = /^sent 2\.0\.0/;
const NOT_VERIFIED = /^deferred 4\.7\.5 Server certificate not verified/;

const DOMAINS: Readonly<Record<string, Domain>> = {
  "server.test": {
    zone: ({ owner, server }) => ({ signed: true, records: [...HOSTS, `${owner}.mx IN TLSA ${server}`] }),
    dane: SENT,
    only: SENT,
    word: "Verified",
  },
  "authority.test": {
    zone: ({ owner, authority }) => ({
      signed: true,
      records: [...HOSTS, `${owner}.mx IN TLSA ${authority}`],
    }),
    dane: SENT,
    only: SENT,
    word: "Verified",
  },
  "stranger.test": {
    zone: ({ owner, stranger }) => ({ signed: true, records: [...HOSTS, `${owner}.mx IN TLSA ${stranger}`] }),
    dane: NOT_VERIFIED,
    only: NOT_VERIFIED,
    word: "Untrusted",
  },
  // The authority vouches for mx.authority.test and mx.elsewhere.invalid only.
  "othername.test": {
    zone: ({ owner, authority }) => ({
      signed: true,
      records: [...HOSTS, `${owner}.mx IN TLSA ${authority}`],
    }),
    dane: NOT_VERIFIED,
    only: NOT_VERIFIED,
    word: "Untrusted",
  },
  "none.test": {
    zone: () => ({ signed: true, records: HOSTS }),
    dane: SENT,
    only: /^deferred 4\.7\.5 no TLSA records found/,
    word: "Untrusted",
  },
  "unusable.test": {
    zone: ({ owner, server }) => ({
      signed: true,
      records: [...HOSTS, `${owner}.mx IN TLSA ${server.replace("3", "1")}`],
    }),
    dane: SENT,
    only: /^deferred 4\.7\.5 TLSA records of mx.unusable.test are not usable/,
    word: "Untrusted",
  },
  // Not signed: the records are there, and nobody vouches for them, so that a wrong one harms nobody.
  "plain.test": {
    zone: ({ owner, stranger }) => ({ records: [...HOSTS, `${owner}.mx IN TLSA ${stranger}`] }),
    dane: SENT,
    only: /^deferred 4\.7\.5 no DNSSEC validated address/,
    word: "Untrusted",
  },
  // Forged on the way: the resolver says SERVFAIL, and mail waits.
  "forged.test": {
    zone: ({ owner, stranger }) => {
      const [, , , hash = ""] = stranger.split(" ");
      return {
        signed: true,
        records: [...HOSTS, `${owner}.mx IN TLSA ${stranger}`],
        forged: [hash, hash.replace(/^../, hash.startsWith("00") ? "11" : "00")],
      };
    },
    dane: /^deferred 4\.7\.5 TLSA lookup error for mx.forged.test/,
    only: /^deferred 4\.7\.5 TLSA lookup error for mx.forged.test/,
    word: "",
  },
  "alias.test": {
    zone: ({ owner, server }) => ({
      signed: true,
      records: [
        "@ IN MX 10 mx",
        "mx IN CNAME real",
        "real IN A 127.0.0.1",
        `${owner}.real IN TLSA ${server}`,
      ],
    }),
    dane: SENT,
    only: SENT,
    word: "Verified",
  },
};

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

testNeeding(
  ["root", "postfix", "python3", "openssl", "unbound", "ldns"],
  "DANE with signed zones and a validating resolver",
  async () => {
    using chains = new CertificateChains();
    chains.make("root", { extensions: AUTHORITY });
    chains.make("mx", { issuer: "root", extensions: server("mx.authority.test", "mx.elsewhere.invalid") });
    chains.make("stranger", { extensions: AUTHORITY });
    const [mx, root, stranger] = ["mx", "root", "stranger"].map((name) => parseCertificate(chains.der(name)));
    const port = freePort();
    const records: Records = {
      owner: `_${port}._tcp`,
      server: `3 1 1 ${hex(digestOf("sha256", mx!.key))}`,
      authority: `2 0 2 ${hex(digestOf("sha512", root!.raw))}`,
      stranger: `3 1 1 ${hex(digestOf("sha256", stranger!.key))}`,
    };
    const zones = Object.fromEntries(
      Object.entries(DOMAINS).map(([name, { zone }]) => [name, zone(records)]),
    );
    await using resolver = await SignedZones.start(zones);
    await using peer = Postfix.make({
      settings: { virtual_mailbox_domains: "static:all", virtual_transport: "discard" },
    });
    const files = `-o smtpd_tls_cert_file=${chains.bundle("mx", "mx", "root")} -o smtpd_tls_key_file=${
      chains.key("mx")
    }`;
    Deno.writeTextFileSync(
      `${peer.root}/etc/master.cf`,
      `tlsmgr unix - - n 1000? 1 tlsmgr\n127.0.0.1:${port} inet n - n - - smtpd -o smtpd_tls_security_level=may ${files}\n`,
      { append: true },
    );
    await peer.start();
    const names = Object.keys(DOMAINS);
    for (const level of ["dane", "dane-only"] as const) {
      await using ours = await Postern.start({
        settings: {
          mynetworks: '["127.0.0.0/8"]',
          smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
          default_transport: '"smtp"',
          inet_protocols: '["ipv4"]',
          resolver: JSON.stringify(resolver.resolver),
          smtp_tcp_port: JSON.stringify(String(port)),
          // The flags let loopback be reached where the configuration names it.
          smtp_trusted_nexthops: JSON.stringify([...names, `[127.0.0.1]:${port}`]),
          smtp_dns_support_level: '"dnssec"',
          smtp_tls_security_level: JSON.stringify(level),
          smtp_tls_loglevel: "1",
        },
      });
      const to = names.map((name) => `u@${name}`);
      const [posted] = await sendWithPython(ours.port, [{
        from: "a@x.test",
        to,
        content: utf8("Subject: d\r\n\r\nx\r\n"),
      }]);
      assert.equal(posted?.code, 250);
      const settled = () => names.every((name) => ours.log().includes(`to=<u@${name}>`));
      assert.ok(await until(settled), ours.log().slice(-4000));
      for (const [name, domain] of Object.entries(DOMAINS)) {
        const line = ours.log().split("\n").findLast((one) => one.includes(`to=<u@${name}>`))!;
        const [, dsn, status, reason] = /dsn=([\d.]+), status=(\w+) \((.*)\)$/.exec(line)!;
        assert.match(
          `${status} ${dsn} ${reason}`,
          level === "dane" ? domain.dane : domain.only,
          `${level} ${name}\n${ours.log().slice(-3000)}`,
        );
        if (level !== "dane") continue;
        const word = new RegExp(`(\\w+) TLS connection established to mx.${name}\\[`).exec(ours.log())?.[1] ??
          "";
        assert.equal(word, domain.word, `${name}\n${ours.log().slice(-3000)}`);
      }
    }
  },
);
