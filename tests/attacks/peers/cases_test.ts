/** Classes CLI and DNS of the security cases: what servers and zones may do to the clients, and where the rest is. @module */
import assert from "node:assert/strict";
import type { Script } from "../../lib/smtp/fake_server.ts";
import { testEveryCase } from "../cases.ts";
import { type Outcome, PATIENCE, play } from "./peer.ts";

interface Check {
  readonly script: Script;
  readonly look: (outcome: Outcome) => void;
}

const results = (...expected: string[]) => (outcome: Outcome) => assert.deepEqual(outcome.results, expected);

const CHECKS: Readonly<Record<string, Check>> = {
  "CLI-01": {
    script: { greeting: `220 ${"a".repeat(10_000_000)}` },
    look: ({ results, said }) => {
      assert.deepEqual(results, ["deferred 4.5.0"]);
      assert.ok(said < 10_000_000, "the rest was not read");
    },
  },
  "CLI-02": { script: { greeting: { endless: "220-x" } }, look: results("deferred 4.5.0") },
  "CLI-04": { script: { greeting: "hello" }, look: results("deferred 4.4.2") },
  "CLI-10": {
    script: { pause: PATIENCE + 1000 },
    look: ({ results, reasons, texts }) => {
      assert.deepEqual(results, ["deferred 4.4.2"]);
      assert.ok(
        reasons[0]!.endsWith("timed out while sending end of data -- message may be sent more than once"),
      );
      assert.equal(texts, 1);
    },
  },
  "CLI-11": {
    script: { answers: { DATA: "250 2.0.0 ok" } },
    look: ({ results, texts }) => {
      assert.deepEqual(results, ["bounced 5.5.0"]);
      assert.equal(texts, 0);
    },
  },
  "CLI-14": { script: { keywords: ["SIZE 10"] }, look: results("bounced 5.3.4") },
  "CLI-17": { script: { answers: { RCPT: "550 4.1.1 x" } }, look: results("bounced 5.0.0") },
};

const CLI: Readonly<Record<string, string>> = {
  "CLI-05": "replies_test.ts: any code at any step",
  "CLI-07": "replies_test.ts, and the record of the report: tests/daemons/bounce",
  "CLI-08": "TLS of the clients: tests/lib/smtp",
  "CLI-13": "replies_test.ts: 421 at any step",
  "CLI-16": "replies_test.ts: a reply that drips",
  "CLI-19": "replies_test.ts",
  "CLI-20": "replies_test.ts",
  "CLI-22": "the clients do not send BDAT",
};

const DNS: Readonly<Record<string, string>> = {
  "DNS-01": "tests/lib/smtp/client_lookup_test.ts, tests/daemons/smtp/dns_peer_test.ts",
  "DNS-02": "tests/lib/smtp/client_lookup_test.ts, tests/daemons/smtp/dns_peer_test.ts",
  "DNS-04": "tests/lib/smtp/client_lookup_test.ts; destinations_test.ts with the whole system",
  "DNS-05": "tests/lib/smtp/client_lookup_test.ts; destinations_test.ts with the whole system",
  "DNS-07": "tests/lib/dns",
  "DNS-08": "tests/lib/dns",
  "DNS-10": "tests/lib/dns/resolver_test.ts, tests/daemons/smtp/dns_peer_test.ts",
  "DNS-11": "tests/daemons/smtp/dns_peer_test.ts",
  "DNS-13": "tests/lib/smtp/client_lookup_test.ts, tests/daemons/smtp/dns_peer_test.ts",
  "DNS-14": "tests/lib/smtp/client_lookup_test.ts: the lowest preference; being a backup MX",
  "DNS-16": "tests/lib/smtp/client_lookup_test.ts, tests/daemons/smtp/dns_peer_test.ts",
  "DNS-17": "tests/daemons/smtp/dns_peer_test.ts",
  "DNS-19": "tests/lib/smtp/client_lookup_test.ts: without MX the name is its own host",
  "DNS-20": "tests/lib/smtp/client_lookup_test.ts, tests/daemons/smtp/dns_peer_test.ts",
  "DNS-22": "tests/lib/dns/resolver_test.ts",
  "DNS-23": "tests/lib/dns/resolver_test.ts",
  "DNS-25": "tests/lib/dns/message_test.ts",
  "DNS-26": "tests/lib/dns/message_test.ts",
  "DNS-28": "TLS of the clients: tests/lib/smtp",
  "DNS-29": "tests/lib/dns",
  "DNS-31": "smtpd: tests/daemons/smtpd",
  "DNS-32": "smtpd: tests/daemons/smtpd",
  "DNS-34": "smtpd: tests/daemons/smtpd",
  "DNS-35": "tests/lib/smtp/client_lookup_test.ts",
};

for (const [id, { script, look }] of Object.entries(CHECKS)) {
  Deno.test(`${id} has the outcome that the case names, and the next message is not harmed`, async () => {
    look(await play({ name: id, script }));
  });
}

testEveryCase("CLI", CHECKS, CLI);
testEveryCase("DNS", {}, DNS);
