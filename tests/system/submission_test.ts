/** Submission as the sample has it, with the clients that people use and the scanners that look for weak TLS. @module */
import assert from "node:assert/strict";
import { until } from "../commands/mail_system.ts";
import { Certificates } from "../support/certificates.ts";
import { Dovecot } from "../support/dovecot.ts";
import { type Ended, Postern, runProgram } from "../support/postern.ts";
import { testNeeding } from "../support/tools.ts";
import { freePort } from "../support/ports.ts";

const SAMPLE = new URL("../../conf/master.toml", import.meta.url).pathname;
const USER = "user@example.test";
const MESSAGE = "From: a@example.test\nTo: one@example.test\nSubject: x\n\nbody\n";

/** The two services of the sample's comments, on ports of this test. */
function sampleServices(submission: number, submissions: number): string {
  const text = Deno.readTextFileSync(SAMPLE);
  const from = text.indexOf('#[[service]]\n#name = "submission"\n');
  const to = text.indexOf("# A second door");
  assert.ok(from > 0 && to > from);
  return text.slice(from, to).split("\n").filter((line) => line.startsWith("#") && !line.startsWith("# "))
    .map((line) => line.slice(1)).join("\n")
    .replace('"submission"\n', `"127.0.0.1:${submission}"\n`)
    .replace('"submissions"\n', `"127.0.0.1:${submissions}"\n`);
}

/** A site with submission, and what its clients need. */
interface Site {
  readonly submission: number;
  readonly submissions: number;
  /** A certificate that clients check: that of our authority for "localhost". */
  readonly authority: string;
  readonly directory: string;
  readonly token: string;
}

/** A client: how it is run, and by which mechanism it logs in. */
interface Client {
  readonly needs: Parameters<typeof testNeeding>[0];
  readonly method: string;
  run(site: Site): Promise<Ended>;
}

const swaks = (method: string): Client => ({
  needs: ["swaks"],
  method,
  run: ({ submission }) =>
    runProgram("swaks", [
      ...["--server", `127.0.0.1:${submission}`, "--tls", "--auth", method, "--au", USER, "--ap", "secret"],
      ...["--from", "a@example.test", "--to", "one@example.test"],
    ]),
});

const curl = (method: string, scheme: "smtp" | "smtps"): Client => ({
  needs: ["curl"],
  method,
  run: ({ submission, submissions, authority, token }) => {
    const bearer = method === "OAUTHBEARER" || method === "XOAUTH2";
    return runProgram("curl", [
      ...["--silent", "--show-error", "--ssl-reqd", "--cacert", authority],
      ...["--url", `${scheme}://localhost:${scheme === "smtp" ? submission : submissions}`],
      ...["--login-options", `AUTH=${method}`, "--ipv4"],
      ...(bearer ? ["--user", USER, "--oauth2-bearer", token] : ["--user", `${USER}:secret`]),
      ...["--mail-from", "a@example.test", "--mail-rcpt", "one@example.test", "--upload-file", "-"],
    ], MESSAGE);
  },
});

const msmtp = (method: string, wrapper: boolean): Client => ({
  needs: ["msmtp"],
  method: method.toUpperCase(),
  run: ({ submission, submissions, authority }) =>
    runProgram("msmtp", [
      ...["--file=/dev/null", "--host=localhost", `--port=${wrapper ? submissions : submission}`],
      ...["--tls=on", `--tls-starttls=${wrapper ? "off" : "on"}`, `--tls-trust-file=${authority}`],
      ...[`--auth=${method}`, `--user=${USER}`, "--passwordeval=echo secret", "--from=a@example.test"],
      "one@example.test",
    ], MESSAGE),
});

const python = (method: string, wrapper: boolean): Client => ({
  needs: ["python3"],
  method,
  run: ({ submission, submissions, authority }) =>
    runProgram("python3", [
      "-c",
      `import smtplib, ssl, sys
context = ssl.create_default_context(cafile=${JSON.stringify(authority)})
client = smtplib.SMTP_SSL("localhost", ${submissions}, context=context) if ${
        wrapper ? "True" : "False"
      } else smtplib.SMTP("localhost", ${submission})
if not ${wrapper ? "True" : "False"}: client.starttls(context=context)
client.ehlo()
client.user, client.password = ${JSON.stringify(USER)}, "secret"
client.auth("${method}", client.auth_${method.toLowerCase().replace("-", "_")})
client.sendmail("a@example.test", ["one@example.test"], ${JSON.stringify(MESSAGE)})
client.quit()`,
    ]),
});

const nodemailer = (method: string, wrapper: boolean): Client => ({
  needs: [],
  method,
  run: ({ submission, submissions, directory, authority, token }) => {
    const auth = method === "XOAUTH2"
      ? { type: "OAuth2", user: USER, accessToken: token }
      : { user: USER, pass: "secret" };
    const program = `import nodemailer from "npm:nodemailer@10.6.1";
const transport = nodemailer.createTransport(${
      JSON.stringify({
        host: "localhost",
        port: wrapper ? submissions : submission,
        secure: wrapper,
        requireTLS: true,
        authMethod: method,
        auth,
      }).slice(0, -1)
    }, tls: { ca: Deno.readTextFileSync(${JSON.stringify(authority)}) } });
await transport.sendMail({ from: "a@example.test", to: "one@example.test", subject: "x", text: "body" });
transport.close();`;
    const path = `${directory}/mailer.ts`;
    Deno.writeTextFileSync(path, program);
    return runProgram(Deno.execPath(), ["run", "-A", "--no-config", "--no-lock", path], "", directory);
  },
});

const CLIENTS: Readonly<Record<string, Client>> = {
  "swaks, PLAIN": swaks("PLAIN"),
  "swaks, LOGIN": swaks("LOGIN"),
  "swaks, CRAM-MD5": swaks("CRAM-MD5"),
  "curl, PLAIN, STARTTLS": curl("PLAIN", "smtp"),
  "curl, LOGIN, TLS from the first byte on": curl("LOGIN", "smtps"),
  "curl, OAUTHBEARER": curl("OAUTHBEARER", "smtps"),
  "msmtp, SCRAM-SHA-256, STARTTLS": msmtp("scram-sha-256", false),
  "msmtp, PLAIN, TLS from the first byte on": msmtp("plain", true),
  "smtplib, CRAM-MD5, STARTTLS": python("CRAM-MD5", false),
  "smtplib, PLAIN, TLS from the first byte on": python("PLAIN", true),
  "nodemailer, PLAIN, TLS from the first byte on": nodemailer("PLAIN", true),
  "nodemailer, XOAUTH2, STARTTLS": nodemailer("XOAUTH2", false),
};

const NEEDS = [...new Set(Object.values(CLIENTS).flatMap(({ needs }) => needs))];

testNeeding(
  ["dovecot", "openssl", ...NEEDS],
  "submission: clients log in and send, by every mechanism",
  async (context) => {
    using made = new Certificates();
    await using dovecot = await Dovecot.start();
    const authority = made.make("authority", { authority: true });
    const chain = made.make("localhost", { issuer: authority, kind: "rsa" }).chain;
    const [submission, submissions] = [freePort(), freePort()];
    await using system = await Postern.start({
      settings: {
        notify_classes: "[]",
        mynetworks: "[]",
        virtual_mailbox_domains: '["example.test"]',
        smtpd_tls_chain_files: `["${chain}"]`,
        smtpd_tls_loglevel: "1",
        smtpd_sasl_type: '"dovecot"',
        smtpd_sasl_path: `"${dovecot.socket}"`,
      },
      services: (text) => `${text}\n${sampleServices(submission, submissions)}`,
    });
    const site: Site = {
      submission,
      submissions,
      authority: authority.certificate,
      directory: made.directory.path,
      token: await dovecot.token(USER),
    };
    let count = 0;
    for (const [name, client] of Object.entries(CLIENTS)) {
      await context.step(name, async () => {
        const before = system.log().length;
        const { status, output, errors } = await client.run(site);
        assert.equal(status, 0, `${output}${errors}\n${system.log().slice(before)}`);
        await system.mail("one", ++count);
        const logged = new RegExp(
          `sasl_method=${client.method}, sasl_username=${USER.replace(".", "\\.")}\n`,
        );
        assert.ok(await until(() => logged.test(system.log().slice(before))), system.log().slice(before));
        assert.match(system.log().slice(before), /Anonymous TLS connection (established|reused) from/);
      });
    }
    // Nobody gets in without a login, and none is offered in the clear.
    const without = await runProgram("swaks", [
      ...[
        "--server",
        `127.0.0.1:${submission}`,
        "--tls",
        "--from",
        "a@example.test",
        "--to",
        "one@example.test",
      ],
    ]);
    assert.match(
      without.output,
      /554 5\.7\.1 <one@example\.test>: Recipient address rejected: Access denied/,
    );
    const clear = await runProgram("swaks", [
      "--server",
      `127.0.0.1:${submission}`,
      "--quit-after",
      "FIRST-EHLO",
    ]);
    assert.ok(clear.output.includes("STARTTLS") && !clear.output.includes("AUTH"));
  },
);

testNeeding(
  ["sslscan", "openssl"],
  "submission: sslscan finds no old protocol, weak cipher or known hole",
  async () => {
    using made = new Certificates();
    const [submission, submissions] = [freePort(), freePort()];
    for (const kind of ["rsa", "ec"] as const) {
      const chain = made.make(`localhost-${kind}`, { kind, hosts: ["localhost"] }).chain;
      await using system = await Postern.start({
        settings: { notify_classes: "[]", smtpd_tls_chain_files: `["${chain}"]` },
        services: (text) => `${text}\n${sampleServices(submission, submissions)}`,
      });
      for (const [port, ...options] of [[submission, "--starttls-smtp"], [submissions]] as const) {
        const { output } = await runProgram("sslscan", ["--no-colour", ...options, `127.0.0.1:${port}`]);
        for (const old of ["SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"]) {
          assert.match(output, new RegExp(`^${old.replace(".", "\\.")}\\s+disabled$`, "m"), output);
        }
        assert.match(output, /^TLSv1\.2\s+enabled$/m);
        assert.match(output, /^TLSv1\.3\s+enabled$/m);
        assert.match(output, /Compression disabled|does not support compression/);
        assert.match(output, /Session renegotiation not supported|Secure session renegotiation supported/);
        assert.doesNotMatch(output, /(?<!not )vulnerable to heartbleed/);
        const ciphers = [...output.matchAll(/^(?:Preferred|Accepted)\s+(\S+)\s+(\d+) bits\s+(\S+)/gm)];
        assert.ok(ciphers.length >= 6, output);
        for (const [, , bits, name] of ciphers) {
          assert.ok(Number(bits) >= 128, String(name));
          assert.match(
            name!,
            /^(TLS_AES_(128|256)_GCM_SHA\d+|TLS_CHACHA20_POLY1305_SHA256|ECDHE-(RSA|ECDSA)-(AES(128|256)-GCM-SHA\d+|CHACHA20-POLY1305))$/,
          );
        }
      }
      assert.deepEqual(system.pids("smtpd").length, 3);
    }
  },
);
