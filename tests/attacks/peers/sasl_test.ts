/** Servers that want a password: those that cheat, and those that must not get it. @module */
import assert from "node:assert/strict";
import type { Logger } from "../../../lib/log/log.ts";
import type { DeliveryRequest } from "../../../lib/smtp/client_recipients.ts";
import type { MapLookup } from "../../../lib/proto/proxymap_client.ts";
import { ClientLogin, type SaslConfiguration } from "../../../lib/smtp/client_sasl.ts";
import { RefusedLogins } from "../../../lib/smtp/client_sasl_cache.ts";
import type { TlsConfiguration } from "../../../lib/smtp/client_tls_settings.ts";
import { FakeDns, makeBench } from "../../lib/smtp/delivery_bench.ts";
import { fakeMaps, makeClientTls } from "../../lib/smtp/tls_bench.ts";
import { CertificateChains, server } from "../../support/certificate_chains.ts";
import { type StartTlsScript, StartTlsServer } from "../../support/starttls_server.ts";
import { testNeeding } from "../../support/tools.ts";
import { onlyOutcome } from "./peer.ts";

const CONFIGURATION: SaslConfiguration = {
  passwords: "smtp_sasl_password_maps",
  delimiter: ":",
  bySender: false,
  softBounce: true,
  filter: [],
  clear: ["noplaintext", "noanonymous"],
  encrypted: ["noanonymous"],
  verified: ["noanonymous"],
};

interface SaslCase {
  readonly name: string;
  readonly script: StartTlsScript;
  readonly sasl?: Partial<SaslConfiguration>;
  readonly tls?: Partial<TlsConfiguration>;
  /** Keys beside or in the place of the destination's own entry. */
  readonly entries?: Readonly<Record<string, string>>;
  readonly old?: true;
  readonly outcome: string;
  /** AUTH lines that the server heard, "+" over TLS, the secret part left out. */
  readonly heard?: string;
}

const base64 = (text: string) => btoa(text);
const GOOD = () => "235 2.7.0 Authentication successful\r\n";
const CLEAR = (words: string): readonly string[] => [`AUTH ${words}`];
const REFUSED = () => "535 5.7.8 wrong\r\n";

const CASES: readonly SaslCase[] = [
  {
    name: "an honest server in the clear gets no password by default",
    script: { keywords: CLEAR("PLAIN LOGIN"), auth: GOOD },
    outcome: "deferred 4.7.0 SASL authentication failed: server",
    heard: "",
  },
  {
    name: "an honest server over TLS gets it",
    script: { secureKeywords: CLEAR("PLAIN"), auth: GOOD },
    outcome: "sent",
    heard: "+AUTH PLAIN",
  },
  {
    name: "mechanisms offered in the clear are forgotten over TLS",
    script: { keywords: ["STARTTLS", "AUTH LOGIN PLAIN"], secureKeywords: ["PIPELINING"], auth: GOOD },
    outcome: "sent",
    heard: "",
  },
  {
    name: "STARTTLS was taken out: the password stays here",
    script: { keywords: CLEAR("PLAIN"), auth: GOOD },
    tls: { level: "may" },
    outcome: "deferred 4.7.0",
    heard: "",
  },
  {
    name: "TLS is broken, old mail, level may: nothing goes in the clear to where a password belongs",
    script: { handshake: "close", auth: GOOD },
    old: true,
    outcome: "deferred 4.7.5 Cannot start TLS",
    heard: "",
  },
  {
    name: "a SCRAM server that says yes without a proof",
    script: { secureKeywords: CLEAR("SCRAM-SHA-256"), auth: GOOD },
    outcome:
      "deferred 4.7.0 SASL authentication failed; cannot authenticate to server 127.0.0.1[127.0.0.1]: server does not prove",
  },
  {
    name: "a SCRAM server that does not hold our nonce",
    script: {
      secureKeywords: CLEAR("SCRAM-SHA-256"),
      auth: (_line, step) => step === 0 ? `334 ${base64("r=evil,s=QSXCR+Q6sek8bf92,i=4096")}\r\n` : GOOD(),
    },
    outcome:
      "deferred 4.7.0 SASL authentication failed; cannot authenticate to server 127.0.0.1[127.0.0.1]: server's nonce",
  },
  {
    name: "a server that asks for ever",
    script: { secureKeywords: CLEAR("LOGIN"), auth: () => `334 ${base64("More:")}\r\n` },
    outcome:
      "deferred 4.7.0 SASL authentication failed; cannot authenticate to server 127.0.0.1[127.0.0.1]: server asks for more",
  },
  {
    name: "a challenge that is no base64",
    script: { secureKeywords: CLEAR("CRAM-MD5"), auth: () => "334 *not*\r\n" },
    outcome:
      "deferred 4.7.0 SASL authentication failed; cannot authenticate to server 127.0.0.1[127.0.0.1]: challenge is no base64",
  },
  {
    name: "a login that is refused keeps the mail",
    script: { secureKeywords: CLEAR("PLAIN"), auth: REFUSED },
    outcome: "deferred 4.7.8 SASL authentication failed; server 127.0.0.1[127.0.0.1] said: 535 5.7.8 wrong",
  },
  {
    name: "a login that is refused returns it, where that is configured",
    script: { secureKeywords: CLEAR("PLAIN"), auth: REFUSED },
    sasl: { softBounce: false },
    outcome: "bounced 5.7.8 SASL authentication failed; server",
  },
  {
    name: "a server that does not speak of AUTH is a stranger",
    script: { secureKeywords: ["PIPELINING"], auth: GOOD },
    outcome: "sent",
    heard: "",
  },
  {
    name: "a destination without an entry is a stranger",
    script: { secureKeywords: CLEAR("PLAIN"), auth: GOOD },
    entries: { none: "x" },
    outcome: "sent",
    heard: "",
  },
  {
    name: "a table that is away keeps the mail",
    script: { secureKeywords: CLEAR("PLAIN"), auth: GOOD },
    entries: { "127.0.0.1": "TROUBLE" },
    outcome: "deferred 4.3.0 smtp_sasl_password_maps lookup problem",
    heard: "",
  },
  {
    name: "the sender's own password comes first",
    script: {
      secureKeywords: CLEAR("PLAIN"),
      auth: (line) => line.endsWith(base64("\0sender\0own")) ? GOOD() : REFUSED(),
    },
    sasl: { bySender: true },
    entries: { "sender@client.test": "sender:own", "127.0.0.1": "all:other" },
    outcome: "sent",
  },
  {
    name: "mechanisms that the filter does not name are not used",
    script: {
      secureKeywords: CLEAR("PLAIN LOGIN"),
      auth: (line) => line.startsWith("AUTH LOGIN") ? REFUSED() : GOOD(),
    },
    sasl: { filter: ["!plain", "static:all"] },
    outcome: "deferred 4.7.8",
    heard: "+AUTH LOGIN",
  },
  {
    name: "RFC 4954 section 4: a long response is sent behind an empty challenge",
    script: {
      secureKeywords: CLEAR("PLAIN"),
      auth: (line, step) =>
        step === 0
          ? (line === "AUTH PLAIN" ? "334 \r\n" : REFUSED())
          : line.length > 500
          ? GOOD()
          : REFUSED(),
    },
    entries: { "127.0.0.1": `user:${"p".repeat(600)}` },
    outcome: "sent",
  },
];

testNeeding(["openssl"], "servers that want a password", async (t) => {
  using chains = new CertificateChains();
  chains.make("mx", { extensions: server("mx.test") });
  for (const one of CASES) {
    await t.step(one.name, async () => {
      await using peer = await StartTlsServer.start({
        key: Deno.readTextFileSync(chains.key("mx")),
        certificate: Deno.readTextFileSync(chains.path("mx")),
        ...one.script,
      });
      const nexthop = `[127.0.0.1]:${peer.port}`;
      const maps = fakeMaps(one.entries ?? { [nexthop]: "user:secret" });
      const more = (log: Logger) => ({
        tls: makeClientTls({ timeout: 500, ...one.tls }, new FakeDns(), log),
        login: new ClientLogin({ ...CONFIGURATION, ...one.sasl }, maps),
      });
      await using bench = makeBench({ trusted: new Set([nexthop]) }, {}, undefined, true, more);
      const age: Partial<DeliveryRequest> = one.old ? { arrivalTime: Date.now() - 3_600_000 } : {};
      const delivered = await bench.deliver({ nexthop, ...age });
      const outcome = onlyOutcome(delivered);
      assert.ok(outcome.includes(one.outcome), `${outcome}\n${bench.lines.join("\n")}`);
      assert.deepEqual(delivered.errors, []);
      const heard = peer.heard.filter(({ line }) => line.startsWith("AUTH"))
        .map(({ secure, line }) => `${secure ? "+" : ""}${line.split(" ").slice(0, 2).join(" ")}`).join(", ");
      if (one.heard !== undefined) assert.equal(heard, one.heard);
      assert.ok(!bench.lines.join("\n").includes("secret"));
    });
  }
});

testNeeding(
  ["openssl"],
  "a refused login is not tried again until its time is over or the password changes",
  async () => {
    using chains = new CertificateChains();
    chains.make("mx", { extensions: server("mx.test") });
    await using peer = await StartTlsServer.start({
      key: Deno.readTextFileSync(chains.key("mx")),
      certificate: Deno.readTextFileSync(chains.path("mx")),
      secureKeywords: CLEAR("PLAIN"),
      auth: REFUSED,
    });
    const nexthop = `[127.0.0.1]:${peer.port}`;
    const kept = new Map<string, string>();
    let now = 1000;
    const cache = {
      get: (key: string) => Promise.resolve(kept.get(key)),
      put: (key: string, value: string) => void kept.set(key, value),
    };
    const refused = new RefusedLogins(cache, 100, () => now);
    let password = "secret";
    const maps: MapLookup = {
      find: () => Promise.resolve({ kind: "found", value: `user:${password}`, extension: "" }),
    };
    const more = (log: Logger) => ({
      tls: makeClientTls({}, new FakeDns(), log),
      login: new ClientLogin(CONFIGURATION, maps, refused),
    });
    await using bench = makeBench({ trusted: new Set([nexthop]) }, {}, undefined, true, more);
    const logins = () => peer.heard.filter(({ line }) => line.startsWith("AUTH")).length;
    const reason = async () => (await bench.deliver({ nexthop })).recipients[0]!.reason;
    assert.match(await reason(), /^SASL authentication failed; server .* said: 535 5.7.8 wrong/);
    assert.match(await reason(), /^SASL \[CACHED\] authentication failed; server .* said: 535 5.7.8 wrong/);
    assert.equal(logins(), 1);
    assert.match(kept.get("127.0.0.1;user")!, /^1000;[A-Za-z0-9+/]{27}=;5\.7\.8;535 5\.7\.8 wrong$/);
    now += 100;
    await reason();
    assert.equal(logins(), 2);
    password = "other";
    await reason();
    assert.equal(logins(), 3);
  },
);
