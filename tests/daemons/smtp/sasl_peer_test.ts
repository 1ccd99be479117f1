/**
 * Logins at Debian's Postfix with Dovecot behind it: every mechanism, right and wrong passwords.
 *
 * @module
 */
import assert from "node:assert/strict";
import { until } from "../../commands/mail_system.ts";
import { utf8 } from "../../support/bytes.ts";
import { CertificateChains, server } from "../../support/certificate_chains.ts";
import { Dovecot } from "../../support/dovecot.ts";
import { Postern } from "../../support/postern.ts";
import { Postfix } from "../../support/postfix.ts";
import { sendWithPython } from "../../support/smtplib.ts";
import { testNeeding } from "../../support/tools.ts";
import { freePort } from "../../support/ports.ts";

interface LoginCase {
  /** What the server offers. */
  readonly offers: string;
  /** Entry of the password table; undefined: there is none. */
  readonly entry: string | undefined;
  /** The server demands a login of all. */
  readonly open?: true;
  readonly outcome: RegExp;
  /** Mechanism that the server logs; empty: none. */
  readonly method: string;
}

const USER = "user@example.test";
const WRONG =
  /^deferred 4\.7\.[08] SASL authentication failed; server localhost\[127\.0\.0\.1\] said: 535 5\.7\.8 Error: authentication failed/;

const CASES: Readonly<Record<string, LoginCase>> = {
  plain: { offers: "plain", entry: `${USER}:secret`, outcome: /^sent 2/, method: "PLAIN" },
  login: { offers: "login", entry: `${USER}:secret`, outcome: /^sent 2/, method: "LOGIN" },
  cram: { offers: "cram-md5", entry: `${USER}:secret`, outcome: /^sent 2/, method: "CRAM-MD5" },
  sha1: { offers: "scram-sha-1", entry: `${USER}:secret`, outcome: /^sent 2/, method: "SCRAM-SHA-1" },
  sha256: { offers: "scram-sha-256", entry: `${USER}:secret`, outcome: /^sent 2/, method: "SCRAM-SHA-256" },
  best: {
    offers: "plain, login, cram-md5, scram-sha-1, scram-sha-256",
    entry: `${USER}:secret`,
    outcome: /^sent 2/,
    method: "SCRAM-SHA-256",
  },
  wrongplain: { offers: "plain", entry: `${USER}:wrong`, outcome: WRONG, method: "" },
  wrongscram: { offers: "scram-sha-256", entry: `${USER}:wrong`, outcome: WRONG, method: "" },
  wrongcram: { offers: "cram-md5", entry: `${USER}:wrong`, outcome: WRONG, method: "" },
  token: {
    offers: "xoauth2",
    entry: `${USER}:no token`,
    outcome: /offered no compatible authentication mechanisms/,
    method: "",
  },
  stranger: { offers: "plain", entry: undefined, open: true, outcome: /^sent 2/, method: "" },
};

testNeeding(
  ["root", "postfix", "python3", "openssl", "dovecot"],
  "logins with every mechanism that Dovecot has",
  async () => {
    using chains = new CertificateChains();
    chains.make("mx", { extensions: server("localhost") });
    await using dovecot = await Dovecot.start();
    await using peer = Postfix.make({
      settings: {
        virtual_mailbox_domains: "static:all",
        virtual_transport: "discard",
        smtpd_sasl_type: "dovecot",
        smtpd_sasl_path: dovecot.socket,
        smtpd_sasl_auth_enable: "yes",
        smtpd_sasl_tls_security_options: "noanonymous",
        smtpd_tls_security_level: "may",
        smtpd_tls_cert_file: chains.path("mx"),
        smtpd_tls_key_file: chains.key("mx"),
        mynetworks: "",
      },
    });
    const ports = new Map<string, number>();
    for (const name of Object.keys(CASES)) {
      let port = freePort();
      while ([...ports.values()].includes(port)) port = freePort();
      ports.set(name, port);
    }
    const lines = Object.entries(CASES).map(([name, { offers, open }]) =>
      `127.0.0.1:${ports.get(name)} inet n - n - - smtpd -o { smtpd_sasl_mechanism_filter = ${offers} }` +
      (open ? "\n" : " -o smtpd_client_restrictions=permit_sasl_authenticated,reject\n")
    );
    Deno.writeTextFileSync(
      `${peer.root}/etc/master.cf`,
      `tlsmgr unix - - n 1000? 1 tlsmgr\n${lines.join("")}`,
      { append: true },
    );
    const entries = Object.entries(CASES).flatMap(([name, { entry }]) =>
      entry === undefined ? [] : [`[localhost]:${ports.get(name)} ${entry}\n`]
    );
    Deno.writeTextFileSync(`${peer.root}/passwords`, entries.join(""));
    const transports = [...ports].map(([name, port]) => `${name}.test smtp:[localhost]:${port}\n`);
    Deno.writeTextFileSync(`${peer.root}/transport`, transports.join(""));
    await peer.start();
    await using ours = await Postern.start({
      services: (text) =>
        `${text}\n[[service]]\nname = "proxywrite"\ntype = "unix"\ncommand = "proxywrite"\n`,
      settings: {
        mynetworks: '["127.0.0.0/8"]',
        smtpd_relay_restrictions: '["permit_mynetworks", "reject_unauth_destination"]',
        default_transport: '"smtp"',
        inet_protocols: '["ipv4"]',
        transport_maps: JSON.stringify([`texthash:${peer.root}/transport`]),
        smtp_sasl_auth_enable: "true",
        smtp_sasl_password_maps: JSON.stringify([`texthash:${peer.root}/passwords`]),
        smtp_sasl_tls_security_options: '["noanonymous"]',
      },
    });
    const to = Object.keys(CASES).map((name) => `u@${name}.test`);
    const content = utf8("Subject: login\r\n\r\nx\r\n");
    const [posted] = await sendWithPython(ours.port, [{ from: "a@x.test", to, content }]);
    assert.equal(posted?.code, 250);
    const settled = () => to.every((address) => ours.log().includes(`to=<${address}>`));
    assert.ok(await until(settled), ours.log().slice(-4000));
    for (const [name, { outcome, method }] of Object.entries(CASES)) {
      const line = ours.log().split("\n").findLast((one) => one.includes(`to=<u@${name}.test>`))!;
      const [, dsn, status, reason] = /dsn=([\d.]+), status=(\w+) \((.*)\)$/.exec(line)!;
      assert.match(`${status} ${dsn} ${reason}`, outcome, `${name}\n${peer.log().slice(-3000)}`);
      if (method === "") continue;
      assert.ok(
        peer.log().includes(`sasl_method=${method}, sasl_username=${USER}`),
        `${name}\n${peer.log().slice(-3000)}`,
      );
    }
    await cachedRefusal(ours);
    await tokenLogin(ours, peer, dovecot, ports.get("token")!);
    // No password in the log, in whatever form.
    for (const secret of ["secret", btoa("secret"), btoa(`\0${USER}\0secret`)]) {
      assert.ok(!ours.log().includes(secret), secret);
    }
  },
);

/** XOAUTH2 is used where the configuration names it, with a token in the place of the password. */
async function tokenLogin(ours: Postern, peer: Postfix, dovecot: Dovecot, port: number): Promise<void> {
  await ours.stop();
  const token = await dovecot.token(USER);
  Deno.writeTextFileSync(`${peer.root}/passwords`, `[localhost]:${port} ${USER}:${token}\n`);
  ours.set({ smtp_sasl_mechanism_filter: '["xoauth2"]' });
  await ours.start();
  const content = utf8("Subject: token\r\n\r\nx\r\n");
  await sendWithPython(ours.port, [{ from: "a@x.test", to: ["second@token.test"], content }]);
  await ours.untilLogged(/to=<second@token.test>.*status=/);
  assert.match(ours.log(), /to=<second@token.test>.*status=sent/, peer.log().slice(-2000));
  assert.ok(peer.log().includes(`sasl_method=XOAUTH2, sasl_username=${USER}`), peer.log().slice(-2000));
  assert.ok(!ours.log().includes(token.slice(-20)));
}

/** A wrong password is tried once, also by a process that has just started. */
async function cachedRefusal(ours: Postern): Promise<void> {
  await ours.stop();
  const data = `${ours.paths.root}/data`;
  Deno.mkdirSync(data);
  ours.set({
    data_directory: JSON.stringify(data),
    smtp_sasl_auth_cache_name: '"cache:$data_directory/logins"',
  });
  const content = utf8("Subject: cached\r\n\r\nx\r\n");
  for (
    const [user, words] of [["once", "SASL authentication failed;"], [
      "twice",
      "SASL [CACHED] authentication failed;",
    ]]
  ) {
    await ours.start();
    await sendWithPython(ours.port, [{ from: "a@x.test", to: [`${user}@wrongplain.test`], content }]);
    await ours.untilLogged(new RegExp(`to=<${user}@wrongplain.test>.*status=`));
    const line = ours.log().split("\n").findLast((one) => one.includes(`to=<${user}@wrongplain.test>`))!;
    assert.ok(line.includes(words!), line);
    await ours.stop();
  }
  await ours.start();
}
