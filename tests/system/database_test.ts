/**
 * A mail system whose tables are on PostgreSQL, MariaDB and OpenLDAP: mail is delivered by what they hold, proxymap
 * alone may reach them, and while one is down mail waits and nothing bounces.
 */
import assert from "node:assert/strict";
import { until } from "../commands/mail_system.ts";
import { utf8 } from "../support/bytes.ts";
import { startLdap, startMariadb, startPostgres } from "../support/databases.ts";
import { Postern } from "../support/postern.ts";
import { sendWithPython } from "../support/smtplib.ts";
import { TemporaryDirectory } from "../support/temporary.ts";
import { testNeeding } from "../support/tools.ts";

const USERS = ["ann", "bob", "cat", "dan", "eve"];
const LDIF = `dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: cn=lists,dc=example,dc=com
objectClass: inetOrgPerson
cn: lists
sn: lists
mail: all@example.test
description: ann@example.test
description: bob@example.test
`;

/** Sends one message; the code that decided. */
async function send(postern: Postern, to: string): Promise<{ code: number; text: string }> {
  const content = utf8(`From: me@example.test\r\nTo: ${to}\r\nSubject: table\r\n\r\ntext\r\n`);
  const [sent] = await sendWithPython(postern.port, [{ from: "me@example.test", to: [to], content }]);
  const { rcpt: [code = 0], ...rest } = sent!;
  return code === 250 ? rest : { ...rest, code };
}

/** Does something until it works; many times, as a server takes its time to come up. */
async function again(work: () => Promise<boolean>): Promise<void> {
  for (let left = 100; !(await work()); left--) {
    assert.ok(left > 0, "it never worked");
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

testNeeding(
  ["postgres", "mariadb", "slapd", "python3"],
  "a mail system with its tables in databases",
  async (t) => {
    const rows = USERS.map((user) => `INSERT INTO box VALUES ('${user}@example.test', '${user}/');`).join(
      "\n",
    );
    await using pgsql = await startPostgres(`CREATE TABLE box (k text, v text);\n${rows}`);
    await using mysql = await startMariadb(
      "CREATE TABLE alias (k varchar(99), v varchar(99)); INSERT INTO alias VALUES ('info@example.test', 'cat@example.test');",
    );
    await using ldap = await startLdap(LDIF);
    using directory = new TemporaryDirectory();
    const login = "user = mail\npassword = secret\ndbname = mail\n";
    const file = (name: string, text: string) => directory.write(name, text, 0o644);
    const boxes = file(
      "box.cf",
      `hosts = 127.0.0.1:${pgsql.port}\n${login}query = SELECT v FROM box WHERE k='%s'\n`,
    );
    const uids = file(
      "uid.cf",
      `hosts = unix:${pgsql.socket}\n${login}query = SELECT 65534 FROM box WHERE k='%s'\n`,
    );
    const aliases = file(
      "alias.cf",
      `hosts = 127.0.0.1:${mysql.port}\n${login}query = SELECT v FROM alias WHERE k='%s'\n`,
    );
    const lists = file(
      "list.cf",
      `server_host = ldap://127.0.0.1:${ldap.port}\nsearch_base = dc=example,dc=com\nquery_filter = (mail=%s)\n` +
        "result_attribute = description\n",
    );
    const ids = Deno.uid() === 0 ? `["pgsql:${uids}"]` : `["static:${Deno.uid()}"]`;
    await using postern = await Postern.start({
      settings: {
        // No notices to the postmaster of what is out of order here.
        notify_classes: "[]",
        myhostname: '"postern.test"',
        virtual_mailbox_maps: `["proxy:pgsql:${boxes}"]`,
        virtual_mailbox_path: '""',
        virtual_uid_maps: ids,
        virtual_alias_maps: `["mysql:${aliases}", "ldap:${lists}"]`,
        proxy_read_maps: '["$virtual_mailbox_maps"]',
      },
    });

    await t.step("mail goes where the databases say", async () => {
      assert.equal((await send(postern, "ann@example.test")).code, 250);
      await postern.mail("ann");
      assert.equal((await send(postern, "info@example.test")).code, 250);
      await postern.mail("cat");
      assert.equal((await send(postern, "all@example.test")).code, 250);
      await postern.mail("ann", 2);
      await postern.mail("bob");
      const unknown = await send(postern, "unknown@example.test");
      assert.equal(unknown.code, 550, unknown.text);
    });

    await t.step(
      "proxymap may reach exactly the servers that the tables name, and nobody else may",
      async () => {
        const shown = await postern.run(["sandbox", "--json"]);
        assert.equal(shown.status, 0, shown.errors);
        const services = JSON.parse(shown.output) as {
          service: string;
          args: string[];
          grants: { kind: string; object: string; because: string }[];
        }[];
        const proxymap = services.find(({ service }) => service === "proxymap")!;
        const net = proxymap.grants.filter(({ kind }) => kind === "net").map(({ object }) => object);
        const tcp = [pgsql, mysql, ldap].map(({ port }) => `127.0.0.1:${port}`);
        const unix = Deno.uid() === 0 ? [`unix:${pgsql.socket}`] : [];
        assert.deepEqual([...new Set(net)].sort(), [...tcp, ...unix].sort());
        assert.ok(proxymap.args.includes("--ignore-env"));
        for (const { service, grants } of services.filter((one) => one !== proxymap)) {
          for (const { object } of grants) {
            assert.ok(!net.includes(object) && !object.startsWith(directory.path), `${service} ${object}`);
          }
        }
      },
    );

    await t.step(
      "while a database is down clients are told to come again, and mail that was taken waits",
      async () => {
        await pgsql.stop();
        const refused = await send(postern, "dan@example.test");
        assert.equal(refused.code, 451, refused.text);
        assert.equal((await send(postern, "nobody@example.test")).code, 451);
        const posted = await postern.run(
          ["sendmail", "-f", "me@example.test", "eve@example.test"],
          "Subject: x\n\ntext\n",
        );
        assert.equal(posted.status, 0, posted.errors);
        assert.ok(await until(() => postern.queued("deferred").length === 1), postern.log());
        assert.ok(!/status=bounced/.test(postern.log()), postern.log());
        await pgsql.start();
      },
    );

    await t.step("when it is back everything goes on", async () => {
      await again(async () => (await send(postern, "dan@example.test")).code === 250);
      await postern.mail("dan");
      // Its recipient's answer may be kept for some seconds by who asked.
      await again(async () => {
        await postern.run(["postqueue", "-f"]);
        return postern.mailbox("eve").length === 1;
      });
      await postern.untilEmpty();
      assert.ok(!/status=bounced/.test(postern.log()), postern.log());
      assert.ok(!/sandbox refused|NotCapable/.test(postern.log()), postern.log());
    });
  },
);
