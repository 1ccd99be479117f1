/**
 * Tests that need a tool of the machine: skipped with the reason where it is missing, failed in CI (CI=true), where
 * nothing may be missing. Not a test itself.
 *
 * @module
 */

import { AMAVIS } from "./amavis.ts";
import { CYRUS } from "./cyrus.ts";
import { MAILMAN } from "./mailman.ts";
import { postgresBin } from "./databases.ts";
import { DOVECOT, DOVECOT_LMTP } from "./dovecot_lmtp.ts";
import { EXIM } from "./exim.ts";

/** What a test may need, and how to see whether it is there. */
const NEEDS = {
  amavis: () => isFile(AMAVIS),
  clock: () => inPath("tcc") && inPath("patchelf"),
  root: () => Deno.uid() === 0,
  postfix: () => isFile("/usr/sbin/postfix"),
  swaks: () => inPath("swaks"),
  cyrus: () => isFile(CYRUS),
  dovecot: () => isFile(DOVECOT),
  "dovecot-lmtp": () => isFile(DOVECOT) && isFile(DOVECOT_LMTP),
  exim: () => isFile(EXIM),
  unshare: () => inPath("unshare") && runs("unshare", "-m", "true"),
  strace: () => inPath("strace") && runs("strace", "-o", "/dev/null", "true"),
  cdb: () => inPath("cdb"),
  curl: () => inPath("curl"),
  msmtp: () => inPath("msmtp"),
  sslscan: () => inPath("sslscan"),
  saslauthd: () => isFile("/usr/sbin/saslauthd"),
  haproxy: () => isFile("/usr/sbin/haproxy"),
  clamav: () => isFile("/usr/sbin/clamd") && isFile("/usr/sbin/clamav-milter"),
  mailman: () => isFile(MAILMAN),
  mariadb: () => isFile("/usr/sbin/mariadbd"),
  memcached: () => inPath("memcached"),
  opendkim: () => inPath("opendkim"),
  opendmarc: () => inPath("opendmarc"),
  "dovecot-lda": () => isFile("/usr/lib/dovecot/dovecot-lda"),
  ldns: () => inPath("ldns-signzone"),
  maildrop: () => inPath("maildrop"),
  procmail: () => inPath("procmail"),
  spamc: () => inPath("spamc"),
  spamd: () => inPath("spamd"),
  vacation: () => inPath("vacation"),
  openssl: () => inPath("openssl"),
  "python3-spf": () => isFile("/usr/share/doc/python3-spf/rfc7208-tests.yml.gz"),
  "policyd-spf": () => inPath("policyd-spf"),
  postfwd: () => isFile("/usr/sbin/postfwd1"),
  postgrey: () => isFile("/usr/sbin/postgrey"),
  postgres: () => postgresBin() !== undefined,
  rspamd: () => inPath("rspamd"),
  slapd: () => isFile("/usr/sbin/slapd"),
  spamassassin: () => isFile("/usr/sbin/spamd") && isFile("/usr/sbin/spamass-milter"),
  sqlite3: () => inPath("sqlite3"),
  unbound: () => isFile("/usr/sbin/unbound"),
  "postfix-cdb": () => isFile("/usr/lib/postfix/postfix-cdb.so"),
  "postfix-ldap": () => isFile("/usr/lib/postfix/postfix-ldap.so"),
  "postfix-mysql": () => isFile("/usr/lib/postfix/postfix-mysql.so"),
  "postfix-pcre": () => isFile("/usr/lib/postfix/postfix-pcre.so"),
  "postfix-pgsql": () => isFile("/usr/lib/postfix/postfix-pgsql.so"),
  "postfix-sqlite": () => isFile("/usr/lib/postfix/postfix-sqlite.so"),
  "python3-milter": () => runs("/usr/bin/python3", "-c", "import Milter"),
  python3: () => runs("python3", "-c", "import smtplib"),
} as const;

export type Need = keyof typeof NEEDS;

/** In CI a missing tool is a failure. */
export const IN_CI: boolean = Deno.env.get("CI") === "true";

/** Those of the needs that are missing here. */
export function missingNeeds(needs: readonly Need[]): Need[] {
  return needs.filter((need) => !NEEDS[need]());
}

/** Registers a test that needs something. */
export function testNeeding(
  needs: readonly Need[],
  name: string,
  fn: (context: Deno.TestContext) => void | Promise<void>,
): void {
  const missing = missingNeeds(needs);
  if (missing.length === 0) return Deno.test(name, fn);
  const why = `${missing.join(", ")} missing`;
  if (!IN_CI) return Deno.test({ name: `${name} [skipped: ${why}]`, ignore: true, fn });
  Deno.test(name, () => {
    throw new Error(`Cannot run: ${why}`);
  });
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

function inPath(program: string): boolean {
  return (Deno.env.get("PATH") ?? "").split(":").some((directory) => isFile(`${directory}/${program}`));
}

function runs(program: string, ...args: string[]): boolean {
  try {
    return new Deno.Command(program, { args, stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}
