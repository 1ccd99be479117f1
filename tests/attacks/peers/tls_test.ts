/** Servers, and people in the middle, that spoil TLS at every step: what becomes of the mail. @module */
import assert from "node:assert/strict";
import type { Logger } from "../../../lib/log/log.ts";
import { parseCertificate } from "../../../lib/tls/client_certificate.ts";
import type { TlsConfiguration } from "../../../lib/smtp/client_tls_settings.ts";
import type { DeliveryRequest } from "../../../lib/smtp/client_recipients.ts";
import { until } from "../../commands/mail_system.ts";
import { type Bench, FakeDns, makeBench } from "../../lib/smtp/delivery_bench.ts";
import { makeClientTls } from "../../lib/smtp/tls_bench.ts";
import { AUTHORITY, CertificateChains, server } from "../../support/certificate_chains.ts";
import { type StartTlsScript, StartTlsServer } from "../../support/starttls_server.ts";
import { testNeeding } from "../../support/tools.ts";
import { onlyOutcome } from "./peer.ts";

interface TlsCase {
  readonly name: string;
  readonly script?: StartTlsScript;
  readonly tls?: Partial<TlsConfiguration>;
  /** The message is older than minimal_backoff_time. */
  readonly old?: true;
  /** "sent", or "deferred STATUS part of the reason". */
  readonly outcome: string;
  /** Verbs that the server heard, "+" over TLS. */
  readonly verbs?: string;
  readonly connections?: number;
  readonly logged?: RegExp;
  /** The server's certificate is for this name. */
  readonly certificate?: "mx" | "other" | "self" | "expired";
  /** What the server does may come a moment too late: one of so many attempts shows it. */
  readonly attempts?: number;
}

const DELIVERED = "EHLO STARTTLS +EHLO +MAIL +RCPT +DATA +QUIT";
const NO_HANDSHAKE = "deferred 4.7.5 Cannot start TLS: handshake failure";
const VERIFY: Partial<TlsConfiguration> = { level: "verify", verifyMatch: ["mx.test"] };

const CASES: readonly TlsCase[] = [
  {
    name: "an honest server",
    outcome: "sent",
    verbs: DELIVERED,
    logged: /^Untrusted TLS connection established to 127/,
  },
  {
    name: "an honest server, verified",
    tls: VERIFY,
    outcome: "sent",
    verbs: DELIVERED,
    logged: /^Verified TLS connection/,
  },
  {
    name: "CRT-08: a self-signed certificate at level secure: never in the clear",
    tls: { level: "secure", secureMatch: ["mx.test"] },
    certificate: "self",
    old: true,
    outcome: "deferred 4.7.5 Server certificate not verified",
    verbs: "EHLO STARTTLS +QUIT",
    connections: 1,
  },
  {
    name: "CRT-07: an expired certificate at level verify",
    tls: VERIFY,
    certificate: "expired",
    outcome: "deferred 4.7.5 Server certificate not verified",
    verbs: "EHLO STARTTLS +QUIT",
    logged: /certificate verification failed for .*: certificate has expired/,
  },
  {
    name: "CRT-07: an expired certificate at level may",
    certificate: "expired",
    outcome: "sent",
    verbs: DELIVERED,
    logged: /^Untrusted/,
  },
  {
    name: "another host's certificate",
    tls: VERIFY,
    certificate: "other",
    outcome: "deferred 4.7.5 Server certificate not verified",
    logged: /certificate verification failed for .*: hostname mismatch/,
  },
  {
    name: "STARTTLS was taken out of the answer to EHLO, level encrypt",
    tls: { level: "encrypt" },
    script: { keywords: ["PIPELINING"] },
    old: true,
    outcome: "deferred 4.7.4 TLS is required, but was not offered by host",
    verbs: "EHLO QUIT",
    connections: 1,
  },
  {
    name: "STARTTLS was changed to something else, level encrypt",
    tls: { level: "encrypt" },
    script: { keywords: ["XXXXXXXX", "STARTTL"] },
    outcome: "deferred 4.7.4 TLS is required, but was not offered by host",
  },
  {
    name: "EHLO is not understood, level encrypt",
    tls: { level: "encrypt" },
    script: { answers: { EHLO: "502 5.5.1 what?\r\n" } },
    outcome: "deferred 4.7.4 TLS is required, but was not offered by host",
    verbs: "EHLO HELO QUIT",
  },
  {
    name: "RFC 3207 section 4: STARTTLS is refused, level may: as if it had not been offered (CRT-10)",
    script: { answer: "454 4.7.0 TLS not available\r\n" },
    outcome: "sent",
    verbs: "EHLO STARTTLS MAIL RCPT DATA QUIT",
    connections: 1,
  },
  {
    name: "CRT-10: STARTTLS is refused, level encrypt",
    tls: { level: "encrypt" },
    script: { answer: "454 4.7.0 TLS not available\r\n" },
    old: true,
    outcome:
      "deferred 4.7.0 TLS is required, but host 127.0.0.1[127.0.0.1] refused to start TLS: 454 4.7.0 TLS not available",
    verbs: "EHLO STARTTLS QUIT",
    connections: 1,
  },
  {
    name: "CLI-08: replies in the clear behind the answer to STARTTLS",
    script: { behind: "250-EVIL\r\n250 AUTH PLAIN\r\n" },
    outcome: NO_HANDSHAKE,
    verbs: "EHLO STARTTLS",
    logged: /SSL_connect error to .*: data in the clear behind the reply to STARTTLS/,
  },
  { name: "half a reply behind the answer to STARTTLS", script: { behind: "25" }, outcome: NO_HANDSHAKE },
  ...(["close", "garbage", "cut", "silent"] as const).flatMap((handshake): TlsCase[] => [
    {
      name: `CRT-11: the handshake ends with "${handshake}", level may: young mail waits`,
      script: { handshake },
      outcome: NO_HANDSHAKE,
      connections: 1,
    },
    {
      name: `CRT-11: the handshake ends with "${handshake}", level may: old mail goes in the clear, once`,
      script: { handshake },
      old: true,
      outcome: "sent",
      verbs: "EHLO STARTTLS EHLO MAIL RCPT DATA QUIT",
      connections: 2,
      logged: /Cannot start TLS: handshake failure/,
    },
    {
      name: `the handshake ends with "${handshake}", level encrypt: old mail waits as well`,
      tls: { level: "encrypt" },
      script: { handshake },
      old: true,
      outcome: NO_HANDSHAKE,
      connections: 1,
    },
  ]),
  {
    name: "the connection ends behind the handshake, old mail, level may",
    script: { closeAt: "MAIL" },
    old: true,
    outcome: "sent",
    verbs: "EHLO STARTTLS +EHLO +MAIL EHLO MAIL RCPT DATA QUIT",
    connections: 2,
  },
  {
    name: "the connection ends behind the handshake, old mail, level verify",
    tls: VERIFY,
    script: { closeAt: "MAIL" },
    old: true,
    outcome: "deferred 4.4.2 lost connection",
    connections: 1,
  },
  {
    name: "a server that speaks before it is asked, where that is looked for",
    tls: { blocksEarlyReplies: true },
    script: { early: "250 2.1.0 Ok\r\n" },
    outcome: "deferred 4.7.0",
    logged: /^/,
    attempts: 20,
  },
  {
    name: "keywords of the clear text mean nothing over TLS",
    script: { keywords: ["STARTTLS", "SIZE 1", "PIPELINING"], secureKeywords: ["SIZE 100000"] },
    outcome: "sent",
  },
  {
    name: "TLS from the first byte on",
    tls: { wrapper: true, level: "encrypt" },
    script: { wrapper: true },
    outcome: "sent",
    verbs: "+EHLO +MAIL +RCPT +DATA +QUIT",
  },
  {
    name: "a server in the clear where TLS from the first byte on is wanted",
    tls: { wrapper: true, level: "encrypt" },
    old: true,
    outcome: NO_HANDSHAKE,
    verbs: "",
    connections: 1,
  },
];

/** A client with this TLS that may go to the destination. */
function benchWith(nexthop: string, tls: Partial<TlsConfiguration>): Bench {
  const more = (log: Logger) => ({ tls: makeClientTls(tls, new FakeDns(), log) });
  return makeBench({ trusted: new Set([nexthop]) }, {}, undefined, true, more);
}

/** Delivers a message to the case's server, and compares. */
async function hold(
  one: TlsCase,
  chains: CertificateChains,
  root: ReturnType<typeof parseCertificate>,
): Promise<void> {
  const name = one.certificate ?? "mx";
  await using peer = await StartTlsServer.start({
    key: Deno.readTextFileSync(chains.key(name)),
    certificate: Deno.readTextFileSync(chains.path(name)),
    ...one.script,
  });
  const nexthop = `[127.0.0.1]:${peer.port}`;
  const authorities = one.tls?.level === undefined || one.tls.level === "may"
    ? { certificates: [], keys: [] }
    : { certificates: [root], keys: [] };
  await using bench = benchWith(nexthop, { authorities, timeout: 500, ...one.tls });
  const age: Partial<DeliveryRequest> = one.old ? { arrivalTime: Date.now() - 3_600_000 } : {};
  const delivered = await bench.deliver({ nexthop, ...age });
  const outcome = onlyOutcome(delivered);
  assert.ok(outcome.includes(one.outcome), `${outcome}\n${bench.lines.join("\n")}`);
  assert.deepEqual(delivered.errors, []);
  if (one.verbs !== undefined) {
    // The goodbye is not waited for.
    await until(() => peer.verbs.join(" ") === one.verbs, 5000);
    assert.equal(peer.verbs.join(" "), one.verbs);
  }
  if (one.connections !== undefined) assert.equal(peer.connections, one.connections);
  if (one.logged !== undefined) {
    assert.ok(bench.lines.some((line) => one.logged!.test(line)), bench.lines.join("\n"));
  }
}

testNeeding(["openssl"], "servers that spoil TLS", async (t) => {
  using chains = new CertificateChains();
  chains.make("root", { extensions: AUTHORITY });
  chains.make("mx", { issuer: "root", extensions: server("mx.test") });
  chains.make("other", { issuer: "root", extensions: server("other.test") });
  chains.make("expired", { issuer: "root", extensions: server("mx.test"), from: -9, to: -1 });
  chains.make("self", { extensions: server("mx.test") });
  const root = parseCertificate(chains.der("root"));
  for (const one of CASES) {
    await t.step(one.name, async () => {
      for (let attempt = 1;; attempt++) {
        try {
          return await hold(one, chains, root);
        } catch (error) {
          if (attempt >= (one.attempts ?? 1)) throw error;
        }
      }
    });
  }
});

testNeeding(
  ["openssl"],
  "a kept TLS connection serves the next message of the same policy, and no other",
  async () => {
    using chains = new CertificateChains();
    chains.make("mx", { extensions: server("mx.test") });
    await using peer = await StartTlsServer.start({
      key: Deno.readTextFileSync(chains.key("mx")),
      certificate: Deno.readTextFileSync(chains.path("mx")),
    });
    const nexthop = `[127.0.0.1]:${peer.port}`;
    await using bench = benchWith(nexthop, { level: "encrypt" });
    for (let i = 0; i < 3; i++) await bench.deliver({ nexthop });
    // The first knows nothing of a second; from then on one connection carries all.
    assert.equal(peer.connections, 2);
    assert.equal(peer.verbs.filter((verb) => verb === "+MAIL").length, 3);
  },
);
