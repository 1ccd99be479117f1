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
  "CLI-05":
    "tests/attacks/peers/replies_test.ts: CLI-05, CLI-11: any code at any step is judged by its class",
  "CLI-07":
    "tests/attacks/peers/replies_test.ts: CLI-07: what a server says reaches log and reports as one line without controls",
  "CLI-08": "tests/attacks/peers/tls_test.ts: CLI-08: replies in the clear behind the answer to STARTTLS",
  "CLI-13": "tests/attacks/peers/replies_test.ts: CLI-13: 421 at any step",
  "CLI-16": "tests/attacks/peers/replies_test.ts: CLI-16: a reply that drips",
  "CLI-19": "tests/attacks/peers/replies_test.ts: CLI-19: ",
  "CLI-20": "tests/attacks/peers/replies_test.ts: CLI-20: ",
  "CLI-22": "does not apply: the clients do not send BDAT",
};

const DNS: Readonly<Record<string, string>> = {
  "DNS-01": "tests/daemons/smtp/dns_cases.ts: DNS-01: a null MX",
  "DNS-02": "tests/daemons/smtp/dns_cases.ts: DNS-02: a null MX beside another",
  "DNS-04": "tests/lib/smtp/client_lookup_test.ts: DNS-04: MX at; tests/attacks/peers/destinations_test.ts",
  "DNS-05": "tests/lib/smtp/client_lookup_test.ts: DNS-05: MX at; tests/attacks/peers/destinations_test.ts",
  "DNS-07": "tests/lib/dns/message_test.ts: DNS-07: a label with a dot",
  "DNS-08": "tests/lib/dns/resolver_test.ts: DNS-07, DNS-08: host names that are none are left out",
  "DNS-10":
    "tests/lib/dns/resolver_test.ts: DNS-10: a chain of ten is followed; tests/daemons/smtp/dns_cases.ts: DNS-10: twenty aliases",
  "DNS-11": "tests/daemons/smtp/dns_cases.ts: DNS-11: MX at an alias",
  "DNS-13":
    "tests/lib/smtp/client_lookup_test.ts: DNS-13: a thousand addresses are cut; tests/daemons/smtp/dns_cases.ts: DNS-13: many addresses",
  "DNS-14": "tests/lib/smtp/client_lookup_test.ts: the lowest preference; being a backup MX",
  "DNS-16": "tests/daemons/smtp/dns_cases.ts: DNS-16: REFUSED for MX; DNS-16: FORMERR for MX",
  "DNS-17": "tests/daemons/smtp/dns_cases.ts: DNS-17: silence for MX",
  "DNS-19": "tests/lib/smtp/client_lookup_test.ts: without MX the name is its own host",
  "DNS-20": "tests/daemons/smtp/dns_cases.ts: DNS-20: neither MX nor address",
  "DNS-22": "tests/lib/dns/resolver_test.ts: DNS-22: TCP refused, silent, cut off or out of step",
  "DNS-23": "tests/lib/dns/resolver_test.ts: DNS-23: packets with another id",
  "DNS-25": "tests/lib/dns/message_test.ts: DNS-25: compression pointers",
  "DNS-26": "tests/lib/dns/message_test.ts: DNS-26: a record whose data does not fit",
  "DNS-28": "tests/lib/tls/client_dane_test.ts",
  "DNS-29": "tests/lib/dns/message_test.ts: DNS-29: thousands of records",
  "DNS-31":
    "tests/lib/access/peer_name_test.ts: smtpd: of the names of an address only a few are tried; tests/lib/dns/resolver_test.ts: DNS-10: a chain of ten is followed",
  "DNS-32": "tests/daemons/smtpd/smtpd_restrictions_test.ts: reject_unknown_sender_domain",
  "DNS-34": "own test: the text of a list",
  "DNS-35":
    "tests/lib/smtp/client_lookup_test.ts: DNS-35: a name that cannot exist is not asked for; tests/lib/dns/resolver_test.ts: DNS-35: names that no zone can hold",
};

for (const [id, { script, look }] of Object.entries(CHECKS)) {
  Deno.test(`${id} has the outcome that the case names, and the next message is not harmed`, async () => {
    look(await play({ name: id, script }));
  });
}

testEveryCase("CLI", CHECKS, CLI);
testEveryCase("DNS", {}, DNS);
