/** posttls-finger on Debian's Postfix, beside Debian's posttls-finger. @module */
import assert from "node:assert/strict";
import { digest } from "../../lib/safe/digest.ts";
import { parseCertificate } from "../../lib/tls/client_certificate.ts";
import { AUTHORITY, CertificateChains, server } from "../support/certificate_chains.ts";
import { type Ended, Postern, runProgram } from "../support/postern.ts";
import { Postfix } from "../support/postfix.ts";
import { SignedZones } from "../support/signed_zones.ts";
import { testNeeding } from "../support/tools.ts";
import { freePort } from "../support/ports.ts";

interface FingerCase {
  readonly args: readonly string[];
  readonly status: number;
}

/** Arguments; ROOT, PORT and FINGERPRINT stand for what the test has. */
const CASES: readonly FingerCase[] = [
  { args: ["-l", "secure", "-F", "ROOT", "[localhost]:PORT", "localhost"], status: 0 },
  { args: ["-l", "secure", "-A", "ROOT", "[localhost]:PORT", "localhost"], status: 0 },
  { args: ["-l", "secure", "-F", "ROOT", "[localhost]:PORT", "other.test"], status: 1 },
  { args: ["-l", "verify", "[localhost]:PORT"], status: 1 },
  { args: ["-l", "fingerprint", "[localhost]:PORT", "FINGERPRINT"], status: 0 },
  { args: ["-l", "fingerprint", "[localhost]:PORT", "AA:BB"], status: 1 },
  { args: ["-l", "secure", "-F", "ROOT", "-p", "TLSv1.2", "[localhost]:PORT", "localhost"], status: 0 },
];

/** The lines about certificate and handshake, without what OpenSSL knows and the runtime does not tell. */
function tlsLines({ output, errors }: Ended): string[] {
  return `${output}\n${errors}`.split("\n")
    .filter((line) => /subject_CN=| TLS connection established/.test(line))
    .map((line) =>
      line.replace(/^(posttls-finger: )?(localhost\[127.0.0.1\]:\d+:? ?)?/, "").replace(/ key-exchange.*/, "")
        .replace(/^ +/, "")
    )
    .map((line) => line.replace(/\(256\/256 bits\).*/, "(256/256 bits)"));
}

testNeeding(["root", "postfix", "openssl"], "posttls-finger says what Debian's says", async () => {
  using chains = new CertificateChains();
  chains.make("root", { extensions: AUTHORITY });
  chains.make("mx", { issuer: "root", extensions: server("localhost") });
  await using peer = Postfix.make({
    settings: {
      smtpd_tls_security_level: "may",
      smtpd_tls_cert_file: chains.path("mx"),
      smtpd_tls_key_file: chains.key("mx"),
    },
  });
  Deno.writeTextFileSync(`${peer.root}/etc/master.cf`, "tlsmgr unix - - n 1000? 1 tlsmgr\n", {
    append: true,
  });
  await peer.start();
  await using ours = await Postern.make({ settings: { inet_protocols: '["ipv4"]' } });
  const fingerprint = [...digest("sha256", parseCertificate(chains.der("mx")).key)]
    .map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(":");
  const filled = (args: readonly string[]) =>
    args.map((arg) =>
      arg.replace("ROOT", chains.path("root")).replace("PORT", String(peer.port)).replace(
        "FINGERPRINT",
        fingerprint,
      )
    );
  for (const { args, status } of CASES) {
    const words = ["-c", "-d", "sha256", "-L", "summary,peercert", "-h", "native", ...filled(args)];
    const mine = await ours.run(["posttls-finger", ...words]);
    const theirs = await runProgram("/usr/sbin/posttls-finger", ["-a", "ipv4", ...words]);
    assert.deepEqual(tlsLines(mine), tlsLines(theirs), `${args.join(" ")}\n${mine.output}\n${theirs.output}`);
    assert.equal(mine.status, status, `${args.join(" ")}\n${mine.output}`);
  }
  const chat = await ours.run(["posttls-finger", "-l", "encrypt", `[localhost]:${peer.port}`]);
  for (
    const line of [
      "< 220 postfix.test ESMTP Postfix",
      "> STARTTLS",
      "< 220 2.0.0 Ready to start TLS",
      "> QUIT",
      "< 221 2.0.0 Bye",
    ]
  ) {
    assert.ok(chat.output.includes(`posttls-finger: ${line}\n`), chat.output);
  }
  const json = JSON.parse(
    (await ours.run([
      "posttls-finger",
      "--json",
      "-l",
      "secure",
      "-F",
      chains.path("root"),
      `[localhost]:${peer.port}`,
    ])).output,
  );
  assert.equal(json.good, true);
  assert.deepEqual(json.hosts[0].tls.certificates[0].names, ["localhost"]);
  assert.equal(json.hosts[0].tls.trust, "Verified");
  const pem = await ours.run(["posttls-finger", "-c", "-C", "-l", "encrypt", `[localhost]:${peer.port}`]);
  assert.ok(pem.output.includes(Deno.readTextFileSync(chains.path("mx"))), pem.output);
});

testNeeding(
  ["root", "postfix", "openssl", "unbound", "ldns"],
  "posttls-finger looks TLSA records up",
  async () => {
    using chains = new CertificateChains();
    chains.make("mx", { extensions: server("localhost") });
    const port = freePort();
    const hash = [...digest("sha256", parseCertificate(chains.der("mx")).key)].map((byte) =>
      byte.toString(16).padStart(2, "0")
    ).join("");
    const records = ["@ IN MX 10 mx", "mx IN A 127.0.0.1", `_${port}._tcp.mx IN TLSA 3 1 1 ${hash}`];
    await using resolver = await SignedZones.start({ "dane.test": { signed: true, records } });
    await using peer = Postfix.make();
    Deno.writeTextFileSync(
      `${peer.root}/etc/master.cf`,
      `tlsmgr unix - - n 1000? 1 tlsmgr\n127.0.0.1:${port} inet n - n - - smtpd -o smtpd_tls_security_level=may ` +
        `-o smtpd_tls_cert_file=${chains.path("mx")} -o smtpd_tls_key_file=${chains.key("mx")}\n`,
      { append: true },
    );
    await peer.start();
    await using ours = await Postern.make({
      settings: { inet_protocols: '["ipv4"]', resolver: JSON.stringify(resolver.resolver) },
    });
    const seen = await ours.run(["posttls-finger", "-c", `dane.test:${port}`]);
    assert.match(seen.output, /Verified TLS connection established to mx.dane.test\[127.0.0.1\]/);
    assert.equal(seen.status, 0, seen.output);
  },
);

Deno.test("a wrong command line is said, with status 64", async () => {
  await using ours = await Postern.make();
  for (
    const args of [[], ["-l", "strong", "x.test"], ["-q", "x.test"], ["-t", "0", "x.test"], [
      "-r",
      "1",
      "x.test",
    ]]
  ) {
    const { status, errors } = await ours.run(["posttls-finger", ...args]);
    assert.equal(status, 64, `${args.join(" ")}: ${errors}`);
  }
});
