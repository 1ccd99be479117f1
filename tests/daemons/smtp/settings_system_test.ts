/** Settings of the clients that need something of the sandbox, in a whole mail system. @module */
import assert from "node:assert/strict";
import { until } from "../../commands/mail_system.ts";
import { fakeServer } from "../../lib/smtp/fake_server.ts";
import { utf8 } from "../../support/bytes.ts";
import { Postern } from "../../support/postern.ts";
import { ZoneServer } from "../../support/zone_server.ts";
import { sendWithPython } from "../../support/smtplib.ts";
import { testNeeding } from "../../support/tools.ts";

const SETTINGS = {
  mynetworks: '["127.0.0.0/8"]',
  smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
  default_transport: '"smtp"',
};

/** A name of this machine that its hosts file has and the DNS of the test does not; undefined where there is none. */
function nameInHosts(): string | undefined {
  const lines = Deno.readTextFileSync("/etc/hosts").split("\n").map((line) =>
    line.split("#")[0]!.trim().split(/\s+/)
  );
  return lines.filter(([address]) => address === "127.0.0.1").flatMap(([, ...names]) => names)
    .find((name) => /^[a-z0-9-]+$/.test(name) && name !== "localhost");
}

function post(to: string) {
  return { from: "from@example.test", to: [to], content: utf8("Subject: a test\r\n\r\ntext\r\n") };
}

async function send(postern: Postern, ...to: string[]): Promise<void> {
  for (const { code, text } of await sendWithPython(postern.port, to.map(post))) {
    assert.equal(code, 250, text);
  }
}

testNeeding(
  ["python3"],
  "connections come from smtp_bind_address, hosts from the hosts file, ports from SRV",
  async () => {
    const peers: string[] = [];
    const named = nameInHosts();
    const server = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = server.addr as Deno.NetAddr;
    const serving = (async () => {
      for await (const connection of server) {
        peers.push((connection.remoteAddr as Deno.NetAddr).hostname);
        await connection.write(utf8("421 4.3.2 seen\r\n"));
        connection.close();
      }
    })();
    await using dns = await ZoneServer.start({
      "_submission._tcp.srv.test": [`SRV 0 0 ${port} localhost`],
    });
    try {
      await using postern = await Postern.start({
        settings: {
          ...SETTINGS,
          notify_classes: "[]",
          resolver: `"127.0.0.1:${dns.port}"`,
          smtp_bind_address: '"127.0.0.7"',
          smtp_host_lookup: '["dns", "native"]',
          use_srv_lookup: '["submission"]',
          known_tcp_ports: `["smtp=25", "submission=${port}"]`,
          transport_maps:
            `["inline:{{hosts.test=smtp:[${
              named ?? "nowhere.test"
            }]:${port}}, {literal.test=smtp:[127.0.0.1]:${port}}, ` +
            `{srv.test=smtp:srv.test:submission}}"]`,
          inet_protocols: '["ipv4"]',
        },
      });
      await send(postern, "r@literal.test", "r@srv.test");
      assert.ok(await until(() => peers.length >= 2), postern.log());
      assert.deepEqual([...new Set(peers)], ["127.0.0.7"]);
      await postern.untilLogged(/to=<r@srv\.test>, relay=localhost\[127\.0\.0\.1\]:\d+, .*421 4\.3\.2 seen/);
      await send(postern, "r@hosts.test");
      await postern.untilLogged(/to=<r@hosts\.test>, .*status=/);
      const [, text] = /to=<r@hosts\.test>, .*status=\w+ \((.*)\)/.exec(postern.log())!;
      const expected = named === undefined
        ? "unable to look up host nowhere.test: Name or service not known"
        : "421 4.3.2 seen";
      assert.ok(text!.includes(expected), String(text));
    } finally {
      server.close();
      await serving;
    }
  },
);

testNeeding(
  ["python3"],
  "the postmaster gets a transcript by mail where notify_classes has protocol",
  async () => {
    const server = fakeServer({ answers: { MAIL: "500 5.5.2 what is that" } });
    try {
      await using postern = await Postern.start({
        settings: {
          ...SETTINGS,
          notify_classes: '["protocol"]',
          error_notice_recipient: '"watch@example.test"',
          transport_maps: `["inline:{odd.test=smtp:[127.0.0.1]:${server.port}}"]`,
        },
      });
      await send(postern, "r@odd.test");
      const [notice] = await postern.mail("watch");
      const text = new TextDecoder().decode(notice);
      assert.match(text, /^Subject: Postern SMTP client: errors from 127\.0\.0\.1\[127\.0\.0\.1\]$/m);
      assert.ok(text.includes("\nUnexpected response from 127.0.0.1[127.0.0.1].\n"));
      assert.ok(text.includes("\n In:  500 5.5.2 what is that\n"), text);
    } finally {
      await server.stop();
    }
  },
);

testNeeding(["python3"], "mail whose best MX is this host goes to best_mx_transport", async () => {
  await using dns = await ZoneServer.start({
    "ours.test": ["MX 10 mx.ours.test"],
    "mx.ours.test": ["A 127.0.0.1"],
  });
  await using postern = await Postern.start({
    settings: {
      ...SETTINGS,
      notify_classes: "[]",
      resolver: `"127.0.0.1:${dns.port}"`,
      best_mx_transport: '"discard:best"',
    },
  });
  await send(postern, "r@ours.test");
  await postern.untilLogged(/postfix\/discard\[\d+\]: \w+: to=<r@ours\.test>, .*status=sent \(best\)/);
  await postern.untilEmpty();
});
