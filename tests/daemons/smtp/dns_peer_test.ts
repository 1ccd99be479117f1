/** Zones, good and bad, given to Debian's client and to ours with its dns daemon: the same becomes of the same mail. @module */
import assert from "node:assert/strict";
import { until } from "../../commands/mail_system.ts";
import { type FakeServer, fakeServer } from "../../lib/smtp/fake_server.ts";
import { utf8 } from "../../support/bytes.ts";
import { Postern } from "../../support/postern.ts";
import { Postfix } from "../../support/postfix.ts";
import { type ServedZone, ZoneServer } from "../../support/zone_server.ts";
import { sendWithPython } from "../../support/smtplib.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";
import { testNeeding } from "../../support/tools.ts";
import * as dns from "./dns_cases.ts";
import { freePort } from "../../support/ports.ts";

/** Where Debian's resolver finds the zone: it knows no port but 53. */
const THEIR_RESOLVER = "127.3.53.53";
const TEXT_COMPARED = 300;

const CASES = dns.DNS_CASES.map((row, i) => ({ ...row, domain: `z${i}.test` }));

function inDomain(text: string, domain: string): string {
  return text.replaceAll("D", domain);
}

function wholeZone(): ServedZone {
  const zone: Record<string, ServedZone[string]> = {
    "fallback.test": ["MX 10 mx.fallback.test"],
    "mx.fallback.test": [`A ${dns.GOOD_TOO}`],
  };
  for (const { domain, zone: own } of CASES) {
    for (const [name, entry] of Object.entries(own)) {
      const [host, type] = name.split(" ");
      const key = [inDomain(host!, domain), ...type === undefined ? [] : [type]].join(" ");
      zone[key] = typeof entry === "string" ? entry : entry.map((text) => {
        const [kind, ...words] = text.split(" ");
        return [kind, ...words.map((word) => inDomain(word, domain))].join(" ");
      });
    }
  }
  return zone;
}

function transports(port: number): string {
  const routes = CASES.map(({ domain, nexthop = "D:PORT" }) =>
    `${domain} smtp:${inDomain(nexthop, domain).replaceAll("PORT", String(port))}\n`
  );
  // A route to a literal of loopback: without one the sandbox lets the client reach nothing of it.
  return `${routes.join("")}literal.test smtp:[${dns.GOOD}]:${port}\nsender.test discard:\n`;
}

function startServers(port: number): FakeServer[] {
  const at = (hostname: string, script = {}) => fakeServer(script, { hostname, port });
  const busy = { greeting: "421 4.3.2 busy" };
  const later = { answers: { RCPT: "450 4.2.1 later" } };
  return [
    at(dns.GOOD),
    at(dns.GOOD_TOO),
    ...[dns.BUSY, dns.BUSY_TOO, dns.BUSY_THREE].map((address) => at(address, busy)),
    ...[dns.LATER, dns.LATER_TOO].map((address) => at(address, later)),
    at(dns.NEVER, { answers: { RCPT: "550 5.1.1 never" } }),
  ];
}

/** What a log says of each domain's recipient: "dsn status (text" and the relay. */
function outcomes(log: string, port: number): Map<string, string> {
  const found = new Map<string, string>();
  const line = /: to=<r@(z\d+\.test)>, relay=([^,]*),.*?dsn=([^,]*), status=(\w+) \((.*)$/gm;
  for (const [, domain, relay, dsn, status, text] of log.matchAll(line)) {
    const plain = text!.slice(0, TEXT_COMPARED).replaceAll(`:${port}`, "");
    found.set(domain!, `${dsn} ${status} (${plain} relay=${relay!.replaceAll(`:${port}`, "")}`);
  }
  return found;
}

testNeeding(
  ["root", "postfix", "python3", "unshare"],
  "what becomes of domains is what Debian's client makes of them",
  async () => {
    using directory = new TemporaryDirectory();
    Deno.chmodSync(directory.path, 0o755);
    const ports = { theirs: freePort(), ours: freePort() };
    directory.write("theirs", transports(ports.theirs));
    directory.write("ours", transports(ports.ours));
    const servers = [...startServers(ports.theirs), ...startServers(ports.ours)];
    try {
      await using theirDns = await ZoneServer.start(wholeZone(), THEIR_RESOLVER, 53);
      await using ourDns = await ZoneServer.start(wholeZone());
      await using postfix = await Postfix.start({
        settings: {
          transport_maps: `texthash:${directory.at("theirs")}`,
          disable_dns_lookups: "no",
          default_process_limit: "40",
          notify_classes: "",
          myhostname: "client.example.test",
        },
        resolver: THEIR_RESOLVER,
      });
      await using postern = await Postern.start({
        settings: {
          transport_maps: JSON.stringify([`texthash:${directory.at("ours")}`]),
          resolver: `"127.0.0.1:${ourDns.port}"`,
          inet_interfaces: '["127.0.0.1"]',
          inet_protocols: '["ipv4"]',
          mydestination: "[]",
          default_transport: '"smtp"',
          mynetworks: '["127.0.0.0/8"]',
          smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
          notify_classes: "[]",
          myhostname: '"client.example.test"',
        },
      });
      const posts = CASES.map(({ domain }) => ({
        from: "from@sender.test",
        to: [`r@${domain}`],
        content: utf8("Subject: a test\r\n\r\ntext\r\n"),
      }));
      for (const { port } of [postfix, postern]) {
        for (const { code, text } of await sendWithPython(port, posts)) assert.equal(code, 250, text);
      }
      const [expected, found] = [
        () => outcomes(postfix.log(), ports.theirs),
        () => outcomes(postern.log(), ports.ours),
      ];
      const done = () => expected().size >= CASES.length && found().size >= CASES.length;
      const all = await until(done, 90_000);
      assert.ok(all, `${expected().size} and ${found().size} of ${CASES.length} domains have a result`);
      const differences: string[] = [];
      for (const { name, domain, meant } of CASES) {
        const [theirs, ours] = [expected().get(domain)!, found().get(domain)!];
        const same = theirs === ours;
        if (meant === undefined ? !same : same || !ours.startsWith(meant)) {
          differences.push(
            `${name}\n  ${theirs}\n  ${ours}`,
          );
        }
      }
      assert.ok(theirDns.asked.length > 0);
      assert.deepEqual(differences, []);
    } finally {
      for (const server of servers) await server.stop();
    }
  },
);
