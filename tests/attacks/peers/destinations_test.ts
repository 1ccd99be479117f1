/**
 * Zones of strangers that point at us, at our network and at nothing: a whole mail system sends nothing where the
 * configuration does not route, by its own check and, where that is fooled, by the sandbox.
 *
 * @module
 */
import assert from "node:assert/strict";
import { until } from "../../commands/mail_system.ts";
import { utf8 } from "../../support/bytes.ts";
import { Postern } from "../../support/postern.ts";
import { type ServedZone, ZoneServer } from "../../support/zone_server.ts";
import { sendWithPython } from "../../support/smtplib.ts";
import { testNeeding } from "../../support/tools.ts";

/** An address of loopback that no other test uses; the mail port is listened on there. */
const TRAP = "127.9.25.25";
const SETTINGS = {
  mydestination: "[]",
  default_transport: '"smtp"',
  mynetworks: '["127.0.0.0/8"]',
  smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
  notify_classes: "[]",
  inet_protocols: '["all"]',
};

/** Domains by what their mail exchangers are, and what becomes of their mail: "dsn status" and a part of the text. */
const DOMAINS: readonly (readonly [name: string, zone: ServedZone, status: string, text: string])[] = [
  ["loop", { "D": ["MX 10 a.D"], "a.D": [`A ${TRAP}`] }, "5.4.6 bounced", "loops back to myself"],
  ["zero", { "D": ["MX 10 a.D"], "a.D": ["A 0.0.0.0"] }, "5.4.6 bounced", "loops back to myself"],
  ["six", { "D": ["MX 10 a.D"], "a.D": ["AAAA ::1"] }, "5.4.6 bounced", "loops back to myself"],
  ["mapped", { "D": ["MX 10 a.D"], "a.D": [`AAAA ::ffff:${TRAP}`] }, "5.4.6 bounced", "loops back to myself"],
  ["literal", { "D": [`MX 10 ${TRAP}`] }, "5.4.6 bounced", "loops back to myself"],
  ["alias", { "D": ["CNAME l.D"], "l.D": [`A ${TRAP}`] }, "5.4.6 bounced", "loops back to myself"],
  ["meta", { "D": ["MX 10 a.D"], "a.D": ["A 169.254.169.254"] }, "5.4.4 bounced", "on the public internet"],
  ["ten", { "D": ["MX 10 a.D"], "a.D": ["A 10.0.0.1"] }, "5.4.4 bounced", "on the public internet"],
  ["ula", { "D": ["MX 10 a.D"], "a.D": ["AAAA fd00::1"] }, "5.4.4 bounced", "on the public internet"],
  [
    "backup",
    { "D": ["MX 10 a.D", "MX 20 b.D"], "a.D": "SERVFAIL", "b.D": [`A ${TRAP}`] },
    "4.4.4 deferred",
    "unable to find primary relay",
  ],
  [
    "many",
    { "D": Array.from({ length: 1000 }, (_, i) => `MX ${i} h${i}.D`), "h19.D": [`A ${TRAP}`] },
    "4.4.4 deferred",
    "unable to find primary relay",
  ],
  [
    "circle",
    { "D": ["MX 10 a.D"], "a.D": ["CNAME b.D"], "b.D": ["CNAME a.D"] },
    "5.4.4 bounced",
    "Name server loop",
  ],
  ["nothing", { "D": ["MX 0 ."] }, "5.1.10 bounced", "does not accept mail (nullMX)"],
  ["silent", { "D": "SERVFAIL" }, "4.4.3 deferred", "try again"],
  // The check of addresses is told that these are fine: what refuses them is the sandbox.
  ["fooled", { "D": ["MX 10 a.D"], "a.D": [`A ${TRAP}`] }, "4.4.1 deferred", "connect to "],
  [
    "port",
    { "_submission._tcp.D": ["SRV 0 0 9 a.D"], "a.D": ["A 192.0.2.1"] },
    "4.4.1 deferred",
    "connect to ",
  ],
];

function wholeZone(): ServedZone {
  const zone: Record<string, ServedZone[string]> = {};
  for (const [name, own] of DOMAINS) {
    const named = (text: string) => text.replaceAll("D", `${name}.test`);
    for (const [host, entry] of Object.entries(own)) {
      zone[named(host)] = typeof entry === "string" ? entry : entry.map((text) => {
        const [kind, ...words] = text.split(" ");
        return [kind, ...words.map(named)].join(" ");
      });
    }
  }
  return zone;
}

testNeeding(
  ["root", "python3"],
  "mail for domains that point at this host or its network goes nowhere",
  async () => {
    let caught = 0;
    const trap = Deno.listen({ hostname: TRAP, port: 25 });
    const trapping = (async () => {
      for await (const connection of trap) {
        caught++;
        connection.close();
      }
    })();
    try {
      await using dns = await ZoneServer.start(wholeZone());
      await using postern = await Postern.start({
        settings: {
          ...SETTINGS,
          resolver: `"127.0.0.1:${dns.port}"`,
          use_srv_lookup: '["submission"]',
          // Port 26, so that the address is no loop, and named, so that it may be private.
          transport_maps:
            '["inline:{{fooled.test=smtp:fooled.test:26}, {port.test=smtp:port.test:submission}, {sender.test=discard:}}"]',
        },
      });
      const posts = DOMAINS.map(([name]) => ({
        from: "from@sender.test",
        to: [`r@${name}.test`],
        content: utf8("Subject: a test\r\n\r\ntext\r\n"),
      }));
      for (const { code, text } of await sendWithPython(postern.port, posts)) assert.equal(code, 250, text);
      const line = (name: string) =>
        new RegExp(`: to=<r@${name}\\.test>, .*dsn=([^,]*), status=(\\w+) \\((.*)\\)`).exec(postern.log());
      const done = () => DOMAINS.every(([name]) => line(name) !== null);
      if (!await until(done)) throw postern.failure("not every domain has a result");
      for (const [name, , status, text] of DOMAINS) {
        const [, dsn, result, said] = line(name)!;
        assert.equal(`${dsn} ${result}`, status, `${name}: ${said}`);
        assert.ok(said!.includes(text), `${name}: ${said}`);
      }
      for (const name of ["fooled", "port"]) {
        assert.match(line(name)![3]!, /Requires net access/, "it was the sandbox that refused");
      }
      // Nor does a recipient's own literal lead there.
      const literal = {
        from: "from@sender.test",
        to: [`r@[${TRAP}]`],
        content: utf8("Subject: x\r\n\r\nx\r\n"),
      };
      for (const { code, text } of await sendWithPython(postern.port, [literal])) {
        assert.equal(
          code,
          250,
          text,
        );
      }
      await postern.untilLogged(/to=<r@\[127\.9\.25\.25\]>, .*dsn=5\.4\.6, status=bounced/);
      assert.equal(caught, 0);
    } finally {
      trap.close();
      await trapping;
    }
  },
);
