/** TLS with databases: servers that demand it, certificates that are checked and that are not. */
import assert from "node:assert/strict";
import { openTable } from "../../../lib/table/open.ts";
import { TABLE_SERVERS } from "../../../lib/table/table_servers.ts";
import { makeCertificate, startLdap, startMariadb } from "../../support/databases.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";
import { testNeeding } from "../../support/tools.ts";

/** What a table with this configuration says of a key. */
async function ask(type: string, directory: TemporaryDirectory, text: string): Promise<string> {
  const path = directory.write(`${crypto.randomUUID()}.cf`, text);
  const table = openTable(`${type}:${path}`, { servers: TABLE_SERVERS });
  const outcome = await table.lookup("joe");
  table.close!();
  await new Promise((resolve) => setTimeout(resolve, 20));
  return outcome.kind === "found" ? outcome.value : outcome.kind === "retry" ? outcome.why : outcome.kind;
}

testNeeding(
  ["mariadb", "openssl"],
  "mysql: speaks TLS, and checks the server's certificate where it is told to",
  async () => {
    using directory = new TemporaryDirectory();
    const certificate = await makeCertificate(directory);
    const other = await (async () => {
      using second = new TemporaryDirectory();
      return Deno.readTextFileSync((await makeCertificate(second)).cert);
    })();
    await using server = await startMariadb(
      "CREATE TABLE a (v text); INSERT INTO a VALUES ('secure');",
      certificate,
    );
    const login = (host: string) =>
      `hosts = ${host}:${server.port}\nuser = mail\npassword = secret\ndbname = mail\nquery = SELECT v FROM a\n`;
    assert.match(await ask("mysql", directory, login("127.0.0.1")), /insecure transport|ACCESS_DENIED/);
    const trusted = `${login("localhost")}tls_CAfile = ${certificate.cert}\ntls_verify_cert = yes\n`;
    assert.equal(await ask("mysql", directory, trusted), "secure");
    const strange = `${login("localhost")}tls_CAfile = ${directory.write("other.pem", other)}\n`;
    assert.equal(await ask("mysql", directory, strange), "secure");
    assert.match(await ask("mysql", directory, `${strange}tls_verify_cert = yes\n`), /certificate/);
  },
);

testNeeding(
  ["slapd", "openssl"],
  "ldap: speaks TLS from the start and by STARTTLS, and checks the certificate",
  async () => {
    using directory = new TemporaryDirectory();
    const certificate = await makeCertificate(directory);
    const ldif =
      "dn: dc=example,dc=com\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: secure\n";
    await using server = await startLdap(ldif, certificate);
    const search = "search_base = dc=example,dc=com\nquery_filter = (dc=example)\nresult_attribute = o\n";
    const checked = `tls_ca_cert_file = ${certificate.cert}\ntls_require_cert = yes\n`;
    for (
      const host of [
        `server_host = ${server.socket}\n`,
        `server_host = ldap://127.0.0.1:${server.port}\nstart_tls = yes\n`,
      ]
    ) {
      assert.equal(await ask("ldap", directory, host + search + checked), "secure", host);
      assert.equal(await ask("ldap", directory, host + search), "secure", host);
      assert.match(
        await ask("ldap", directory, `${host}${search}tls_require_cert = yes\n`),
        /self.signed/,
        host,
      );
    }
  },
);
