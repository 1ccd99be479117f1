/**
 * Results from a mail system, reported as mail and by HTTPS.
 *
 * @module
 */
import assert from "node:assert/strict";
import { gunzipSync } from "node:zlib";
import { until } from "../../commands/mail_system.ts";
import { utf8 } from "../../support/bytes.ts";
import { AUTHORITY, CertificateChains, server } from "../../support/certificate_chains.ts";
import { decode, Postern } from "../../support/postern.ts";
import { SignedZones } from "../../support/signed_zones.ts";
import { sendWithPython } from "../../support/smtplib.ts";
import { StartTlsServer } from "../../support/starttls_server.ts";
import { testNeeding } from "../../support/tools.ts";
import { freePort } from "../../support/ports.ts";

/** The part of a report that differs. */
interface Report {
  readonly policies: readonly {
    readonly policy: { readonly "policy-type": string; readonly "policy-domain": string };
    readonly summary: {
      readonly "total-successful-session-count": number;
      readonly "total-failure-session-count": number;
    };
    readonly "failure-details"?: readonly {
      readonly "result-type": string;
      readonly "receiving-mx-hostname": string;
    }[];
  }[];
}

function summary(report: Report): string[] {
  return report.policies.map(({ policy, summary, "failure-details": details }) =>
    [
      policy["policy-type"],
      policy["policy-domain"],
      summary["total-successful-session-count"],
      summary["total-failure-session-count"],
      ...(details ?? []).map((one) => `${one["result-type"]} ${one["receiving-mx-hostname"]}`),
    ].join(" ")
  );
}

testNeeding(
  ["python3", "openssl", "unbound"],
  "RFC 8460 section 4.2: what became of TLS is counted, and reported when the day is over",
  async () => {
    using chains = new CertificateChains();
    chains.make("root", { extensions: AUTHORITY });
    chains.make("mx", { issuer: "root", extensions: server("mx.good.test") });
    chains.make("web", { issuer: "root", extensions: server("reports.web.test") });
    const port = freePort();
    await using peer = await StartTlsServer.start({
      key: Deno.readTextFileSync(chains.key("mx")),
      certificate: Deno.readTextFileSync(chains.path("mx")),
    });
    await using clear = await StartTlsServer.start({ keywords: ["PIPELINING"] });
    const posted: Uint8Array[] = [];
    const web = Deno.serve({
      hostname: "127.0.0.1",
      port,
      key: Deno.readTextFileSync(chains.key("web")),
      cert: Deno.readTextFileSync(chains.path("web")),
      onListen: () => {},
    }, async (request) => {
      assert.equal(request.headers.get("content-type"), "application/tlsrpt+gzip");
      posted.push(await request.bytes());
      return new Response("", { status: 201 });
    });
    const hosts = ["@ IN MX 10 mx", "mx IN A 127.0.0.1"];
    await using resolver = await SignedZones.start({
      "good.test": { records: [...hosts, '_smtp._tls IN TXT "v=TLSRPTv1; rua=mailto:reports@example.test"'] },
      "clear.test": {
        records: [...hosts, '_smtp._tls IN TXT "v=TLSRPTv1; rua=https://reports.web.test/in"'],
      },
      "silent.test": { records: hosts },
      "web.test": { records: ["reports IN A 127.0.0.1"] },
    });
    await using ours = await Postern.start({
      settings: {
        mynetworks: '["127.0.0.0/8"]',
        smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
        default_transport: '"smtp"',
        inet_protocols: '["ipv4"]',
        resolver: JSON.stringify(resolver.resolver),
        transport_maps: JSON.stringify([
          `inline:{good.test=smtp:good.test:${peer.port} silent.test=smtp:silent.test:${peer.port} clear.test=smtp:clear.test:${clear.port}}`,
        ]),
        smtp_trusted_nexthops: JSON.stringify([`[127.0.0.1]:${peer.port}`]),
        smtp_tlsrpt_enable: "true",
        https_port: String(port),
        https_CAfile: JSON.stringify(chains.path("root")),
        https_trusted_addresses: '["127.0.0.1"]',
        tlsrpt_contact: '"tls@example.test"',
      },
    });
    const content = utf8("Subject: r\r\n\r\nx\r\n");
    const to = ["a@good.test", "a@clear.test", "a@silent.test"];
    await sendWithPython(ours.port, [{ from: "me@example.test", to, content }]);
    const sent = () => to.every((address) => ours.log().includes(`to=<${address}>`));
    assert.ok(await until(sent), ours.log());
    await ours.stop();
    // Nobody waits for midnight: today becomes the day before yesterday's neighbour.
    const today = new Date().toISOString().slice(0, 10);
    const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);
    const directory = `${ours.paths.queue}/tlsrpt`;
    Deno.renameSync(`${directory}/${today}`, `${directory}/${yesterday}`);
    await ours.start();
    // The daemon starts when something is told to it.
    await sendWithPython(ours.port, [{ from: "me@example.test", to: ["b@good.test"], content }]);
    const [mail] = await ours.mail("reports", 1);
    const text = decode(mail!);
    assert.match(text, /^From: tls@example.test\r?$/m);
    assert.match(text, /^TLS-Report-Domain: good.test\r?$/m);
    const base64 = /filename="[^"]*\.json\.gz"\r?\n\r?\n([A-Za-z0-9+/=\r\n]+)/.exec(text)![1]!.replace(
      /\s/g,
      "",
    );
    const report: Report = JSON.parse(decode(gunzipSync(Uint8Array.fromBase64(base64))));
    assert.deepEqual(summary(report), ["no-policy-found good.test 1 0"]);
    assert.ok(await until(() => posted.length === 1), ours.log());
    assert.deepEqual(summary(JSON.parse(decode(gunzipSync(posted[0]!)))), [
      "no-policy-found clear.test 0 1 starttls-not-supported mx.clear.test",
    ]);
    const files = () => [...Deno.readDirSync(directory)].map(({ name }) => name);
    assert.ok(await until(() => !files().includes(yesterday)), files().join(" "));
    await web.shutdown();
  },
);
