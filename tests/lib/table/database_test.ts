/**
 * Tables on PostgreSQL, MariaDB, OpenLDAP, memcached and in SQLite files: the real servers, and Debian's postmap on
 * the same configuration files and keys as the second opinion.
 */
import assert from "node:assert/strict";
import { openTable } from "../../../lib/table/open.ts";
import { TABLE_SERVERS } from "../../../lib/table/table_servers.ts";
import type { Outcome, Table } from "../../../lib/table/table.ts";
import {
  type DatabaseServer,
  mustRun,
  startLdap,
  startMariadb,
  startMemcached,
  startPostgres,
} from "../../support/databases.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";
import { testNeeding } from "../../support/tools.ts";
import { queryPeer } from "./postmap_peer.ts";

const HOW = { servers: TABLE_SERVERS };

/** Asks a table that is opened for it. */
async function ask(spec: string, keys: readonly string[]): Promise<Outcome[]> {
  const table = openTable(spec, HOW);
  try {
    const outcomes: Outcome[] = [];
    for (const key of keys) outcomes.push(await table.lookup(key));
    return outcomes;
  } finally {
    await closed(table);
  }
}

/** Closes a table; its connections go with the next turns of the event loop. */
async function closed(table: Table): Promise<void> {
  table.close?.();
  await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Asks our table and Debian's postmap, which must agree; how many keys were found. */
async function compare(
  directory: TemporaryDirectory,
  spec: string,
  keys: readonly string[],
): Promise<number> {
  using configuration = new TemporaryDirectory();
  // Postfix waits until a file that it reads is two seconds old.
  const past = new Date(Date.now() - 60_000);
  for (const { name } of Deno.readDirSync(directory.path)) {
    if (name.endsWith(".cf") || name === "map") Deno.utimeSync(directory.at(name), past, past);
  }
  const peer = queryPeer("postmap", configuration.path, spec, keys);
  const ours = await ask(spec, keys);
  keys.forEach((key, i) => {
    const outcome = ours[i]!;
    const text = `${spec} ${key} ${Deno.readTextFileSync(spec.slice(spec.indexOf(":") + 1))}`;
    assert.notEqual(outcome.kind, "retry", `${text} ${JSON.stringify(outcome)}`);
    assert.equal(outcome.kind === "found" ? outcome.value : undefined, peer.get(key), text);
  });
  return ours.filter(({ kind }) => kind === "found").length;
}

const ROWS: readonly (readonly [string, string | null, number | null])[] = [
  ["joe@example.com", "joe@inside.example", 5],
  ["joe@example.com", "copy@inside.example", null],
  ["@example.com", "catch@inside.example", 1],
  ["bare", "bare-result", 2],
  ["o'brien@example.com", "quote", 3],
  ["back\\slash@example.com", "backslash", 4],
  ['dou"ble@example.com', "double", 6],
  ["empty@example.com", "", 7],
  ["null@example.com", null, null],
  ["greetings@example.com", "street", 8],
  ["100%@example.com", "per%cent", 9],
  ["a.b.c.d", "labels", 10],
];

const KEYS = [
  ...ROWS.map(([key]) => key),
  ..."Joe@Example.COM nobody joe@other.example @other.example joe@ example.com user@mail.example.com".split(
    " ",
  ),
  "x'; DROP TABLE a; --@example.com",
  "x\\'; DROP TABLE a; --@example.com",
  "joe@example.com' OR '1'='1",
  "a%sb@example.com",
  "_oe@example.com",
];

/** Queries and formats that both sides must understand in the same way. */
const CASES: readonly (readonly [what: string, least: number])[] = [
  ["query = SELECT v FROM a WHERE k='%s'", 9],
  ["query = SELECT v, n FROM a WHERE k='%s' ORDER BY v, n", 9],
  ["query = SELECT v FROM a WHERE k='%u@%d'", 6],
  ["query = SELECT v FROM a WHERE k='%U@%D'", 6],
  ["query = SELECT '%u' FROM a WHERE k='bare'", 10],
  ["query = SELECT '%d' FROM a WHERE k='bare'", 10],
  ["query = SELECT '%2.%1' FROM a WHERE k='bare'", 5],
  ["query = SELECT '%3' FROM a WHERE k='bare'", 1],
  ["query = SELECT '100%%' FROM a WHERE k='%s'", 9],
  ["query = SELECT v FROM a WHERE k='%s'\nresult_format = smtp:[%s]", 9],
  ["query = SELECT v FROM a WHERE k='%s'\nresult_format = %u at %d", 2],
  ["query = SELECT v FROM a WHERE k='%s'\nresult_format = %S %U %D %1 %2", 5],
  ["query = SELECT v FROM a WHERE k='%s'\ndomain = example.com", 6],
  ["query = SELECT v FROM a WHERE k='%s'\ndomain = other.example, inline:{example.com=x}", 6],
  ["query = SELECT v FROM a WHERE k='%s'\ndomain = none.example", 0],
  ["query = SELECT v FROM a WHERE k='%s'\nexpansion_limit = 2", 9],
  ["select_field = v\ntable = a\nwhere_field = k", 9],
  ["select_field = v\ntable = a\nwhere_field = k\nadditional_conditions = AND n > 4", 5],
];

const SCHEMA = "CREATE TABLE a (k varchar(100), v varchar(100), n int);";

/** The rows as statements; a backslash is doubled where the database gives it a meaning. */
function inserts(doubled: boolean): string {
  const quote = (text: string | null) => {
    if (text === null) return "NULL";
    return `'${(doubled ? text.replaceAll("\\", "\\\\") : text).replaceAll("'", "''")}'`;
  };
  const rows = ROWS.map(([k, v, n]) => `INSERT INTO a VALUES (${quote(k)}, ${quote(v)}, ${n ?? "NULL"});`);
  return [...rows, UTF8_ROW].join("\n");
}

/** What Debian's Postfix 3.7 does not look up and Postfix 3.12 does. */
const UTF8_ROW = "INSERT INTO a VALUES ('grüße@example.com', 'straße', 8);";

/** Runs the cases of SQL tables. */
async function compareSql(type: string, directory: TemporaryDirectory, login: string): Promise<void> {
  for (const [index, [text, least]] of CASES.entries()) {
    const path = directory.write(`case${index}.cf`, `${login}\n${text}\n`, 0o644);
    const found = await compare(directory, `${type}:${path}`, KEYS);
    assert.ok(found >= least, `${text}: ${found} found`);
  }
  const utf8 = await ask(`${type}:${directory.at("case0.cf")}`, ["grüße@example.com", "\udc80@example.com"]);
  assert.deepEqual(utf8, [{ kind: "found", value: "straße" }, { kind: "missing" }]);
  const limited = directory.write("limit.cf", `${login}\n${CASES[0]![0]}\nexpansion_limit = 1\n`);
  const [one, two] = await ask(`${type}:${limited}`, ["bare", "joe@example.com"]);
  assert.equal(one!.kind, "found");
  assert.match(two!.kind === "retry" ? two!.why : "", /Expansion limit exceeded for key: 'joe@example.com'/);
}

/** What must be trouble, and never "not there". */
async function troubles(type: string, directory: TemporaryDirectory, login: string): Promise<void> {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["query = SELECT nocolumn FROM a", /nocolumn/],
    ["query = SELECT v FROM a; SELECT v FROM a", /./],
    ["query = UPDATE a SET n=n WHERE k='%s'", /no result set/],
  ];
  for (const [index, [text, why]] of cases.entries()) {
    const path = directory.write(`trouble${index}.cf`, `${login}\n${text}\n`);
    const [outcome] = await ask(`${type}:${path}`, ["bare"]);
    assert.match(outcome!.kind === "retry" ? outcome!.why : outcome!.kind, why, text);
  }
}

/** Waits until a server that has just started takes queries: until then it says that it does not. */
async function answers(table: Table, key: string): Promise<void> {
  for (let left = 200; left > 0 && (await table.lookup(key)).kind === "retry"; left--) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A server that goes and comes back: trouble, then the answer again, on the table that was open all the time. */
async function outage(spec: string, server: DatabaseServer, key: string): Promise<void> {
  const table = openTable(spec, HOW);
  try {
    assert.equal((await table.lookup(key)).kind, "found");
    await server.stop();
    assert.equal((await table.lookup(key)).kind, "retry");
    assert.equal((await table.lookup("nobody")).kind, "retry");
    await server.start();
    await answers(table, key);
    assert.equal((await table.lookup(key)).kind, "found");
    assert.equal((await table.lookup("nobody")).kind, "missing");
  } finally {
    await closed(table);
  }
}

testNeeding(
  ["postgres", "postfix-pgsql"],
  "pgsql: gives what Debian's pgsql gives, on the network and on a socket",
  async () => {
    await using server = await startPostgres(`${SCHEMA}\n${inserts(false)}`);
    const { directory, port, socket } = server;
    const login = `hosts = 127.0.0.1:${port}\nuser = mail\npassword = secret\ndbname = mail`;
    await compareSql("pgsql", directory, login);
    await troubles("pgsql", directory, login);
    const select = directory.write(
      "function.cf",
      `${login}\nselect_function = upper\n`,
      0o644,
    );
    assert.equal(await compare(directory, `pgsql:${select}`, ["bare", "o'brien@example.com"]), 2);
    const local = login.replace(/hosts = .*/, `hosts = unix:${socket}`);
    const path = directory.write("socket.cf", `${local}\n${CASES[0]![0]}\n`);
    assert.deepEqual(await ask(`pgsql:${path}`, ["bare"]), [{ kind: "found", value: "bare-result" }]);
    const named = directory.write(
      "named.cf",
      `${login.replace("127.0.0.1", "localhost")}\n${CASES[0]![0]}\n`,
    );
    assert.deepEqual(await ask(`pgsql:${named}`, ["bare"]), [{ kind: "found", value: "bare-result" }]);
    const wrong = directory.write("wrong.cf", `${login.replace("secret", "guess")}\n${CASES[0]![0]}\n`);
    assert.equal((await ask(`pgsql:${wrong}`, ["bare"]))[0]!.kind, "retry");
    await outage(`pgsql:${path}`, server, "bare");
  },
);

testNeeding(
  ["mariadb", "postfix-mysql"],
  "mysql: gives what Debian's mysql gives, on the network and on a socket",
  async () => {
    const procedure = "CREATE PROCEDURE look(IN p VARCHAR(100)) SELECT v FROM a WHERE k=p;" +
      "CREATE PROCEDURE nothing(IN p VARCHAR(100)) SET @x = p;";
    await using server = await startMariadb(
      `SET NAMES utf8mb4;\n${SCHEMA.replace(";", " CHARSET utf8mb4 COLLATE utf8mb4_bin;")}\n${
        inserts(true)
      }\n${procedure}`,
    );
    const { directory, port, socket } = server;
    const login = `hosts = 127.0.0.1:${port}\nuser = mail\npassword = secret\ndbname = mail`;
    // Debian's client reads the whole of a table of one character set, and ours must say which it wants.
    await compareSql("mysql", directory, `${login}\noption_group =`.replace("\noption_group =", ""));
    await troubles("mysql", directory, login);
    const call = directory.write("call.cf", `${login}\nquery = CALL look('%s')\n`, 0o644);
    assert.equal(await compare(directory, `mysql:${call}`, ["bare", "o'brien@example.com", "nobody"]), 2);
    const nothing = `${login}\nquery = CALL nothing('%s')\n`;
    const required = directory.write("required.cf", nothing);
    assert.equal((await ask(`mysql:${required}`, ["bare"]))[0]!.kind, "retry");
    const optional = directory.write("optional.cf", `${nothing}require_result_set = no\n`);
    assert.equal((await ask(`mysql:${optional}`, ["bare"]))[0]!.kind, "missing");
    const local = login.replace(/hosts = .*/, `hosts = unix:${socket}`);
    const path = directory.write("socket.cf", `${local}\n${CASES[0]![0]}\n`);
    await outage(`mysql:${path}`, server, "bare");
    await outage(`mysql:${directory.at("case0.cf")}`, server, "bare");
  },
);

testNeeding(
  ["mariadb"],
  "mysql: a server that takes backslashes for text cannot be made to read more than a key",
  async () => {
    await using server = await startMariadb(
      `${SCHEMA}\n${inserts(true)}\nSET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES';`,
    );
    const { directory, port } = server;
    const path = directory.write(
      "my.cf",
      `hosts = 127.0.0.1:${port}\nuser = mail\npassword = secret\ndbname = mail\nquery = SELECT v FROM a WHERE k='%s'\n`,
    );
    const outcomes = await ask(`mysql:${path}`, ["' OR 1=1 -- ", "\\' OR 1=1 -- ", "o'brien@example.com"]);
    assert.deepEqual(outcomes.map(({ kind }) => kind), ["missing", "missing", "found"]);
  },
);

testNeeding(["sqlite3", "postfix-sqlite"], "sqlite: gives what Debian's sqlite gives", async () => {
  using directory = new TemporaryDirectory();
  Deno.chmodSync(directory.path, 0o755);
  await mustRun("sqlite3", [directory.at("data.db")], `${SCHEMA}\n${inserts(false)}`);
  await compareSql("sqlite", directory, `dbpath = ${directory.at("data.db")}`);
  await troubles("sqlite", directory, `dbpath = ${directory.at("data.db")}`).catch((error) => {
    // SQLite runs the first of two statements and says nothing of the second: so does Debian's table.
    assert.match(String(error), /SELECT v FROM a; SELECT v FROM a/);
  });
  const missing = directory.write("missing.cf", `dbpath = ${directory.at("none.db")}\nquery = SELECT 1\n`);
  assert.throws(() => openTable(`sqlite:${missing}`, HOW), /none.db/);
  const table = openTable(`sqlite:${missing}`, { ...HOW, soft: true });
  assert.equal((await table.lookup("x")).kind, "retry");
  const writing = directory.write(
    "w.cf",
    `dbpath = ${directory.at("data.db")}\nquery = DELETE FROM a RETURNING v\n`,
  );
  assert.equal((await ask(`sqlite:${writing}`, ["x"]))[0]!.kind, "retry");
});

const LDIF = `dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: cn=joe,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
cn: joe
sn: Joe
mail: joe@example.com
mail: joe2@example.com
uid: 1

dn: cn=ann\\2C the first,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
cn: ann, the first
sn: Ann
mail: ann@example.com
title: (star*)

dn: cn=group,dc=example,dc=com
objectClass: groupOfNames
objectClass: extensibleObject
cn: group
mail: group@example.com
member: cn=joe,ou=people,dc=example,dc=com
member: cn=ann\\2C the first,ou=people,dc=example,dc=com
member: cn=gone,dc=example,dc=com

dn: cn=urls,dc=example,dc=com
objectClass: groupOfNames
objectClass: extensibleObject
cn: urls
mail: urls@example.com
member: cn=joe,ou=people,dc=example,dc=com
labeledURI: ldap:///ou=people,dc=example,dc=com?mail?sub?(cn=ann*)

dn: cn=routed,dc=example,dc=com
objectClass: groupOfNames
objectClass: extensibleObject
cn: routed
mail: routed@example.com
destinationIndicator: routed@elsewhere.example
member: cn=joe,ou=people,dc=example,dc=com

dn: cn=loop,dc=example,dc=com
objectClass: groupOfNames
objectClass: extensibleObject
cn: loop
mail: loop@example.com
member: cn=loop,dc=example,dc=com
`;

const LDAP_KEYS = [
  ..."joe Joe group urls routed nobody joe@example.com ann@example.com @example.com * j* joe) (cn=*".split(
    " ",
  ),
  "ann, the first",
  "joe)(cn=*",
  "(star*)",
  "#x",
];

const GROUPS = "query_filter = (cn=%s)\nresult_attribute =\nspecial_result_attribute = member";

const LDAP_CASES: readonly (readonly [text: string, least: number])[] = [
  ["query_filter = (cn=%s)\nresult_attribute = mail", 6],
  ["query_filter = cn=%s\nresult_attribute = mail", 6],
  ["query_filter = (mail=%s)\nresult_attribute = cn", 2],
  ["query_filter = (mail=%u@%d)\nresult_attribute = cn\nresult_format = <%s> %U", 2],
  [
    "query_filter = (&(objectClass=inetOrgPerson)(|(title=%s)(uid=1)))\nresult_attribute = cn\nscope = one",
    0,
  ],
  ["query_filter = (title=%s)\nresult_attribute = mail", 1],
  [
    "query_filter = (cn=joe)\nsearch_base = cn=%s,ou=people,dc=example,dc=com\nresult_attribute = mail\nscope = base",
    2,
  ],
  [
    "query_filter = (sn=*)\nsearch_base = cn=%s,ou=people,dc=example,dc=com\nresult_attribute = mail\nscope = base",
    3,
  ],
  [`${GROUPS}\nleaf_result_attribute = mail`, 6],
  [`${GROUPS}, labeledURI\nleaf_result_attribute = mail`, 6],
  [`${GROUPS}\nleaf_result_attribute = mail\nterminal_result_attribute = destinationIndicator`, 6],
  ["query_filter = (cn=%s)\nresult_attribute = mail\nspecial_result_attribute = member", 6],
  ["query_filter = (mail=%s)\nresult_attribute = cn\ndomain = example.com", 2],
  ["query_filter = (cn=%s)\nresult_attribute = mail\nbind = no", 6],
];

testNeeding(
  ["slapd", "postfix-ldap"],
  "ldap: gives what Debian's ldap gives, on the network and on a socket",
  async () => {
    await using server = await startLdap(LDIF);
    const { directory, port, socket } = server;
    const login = `bind_dn = cn=admin,dc=example,dc=com\nbind_pw = secret\nversion = 3`;
    const base = "search_base = dc=example,dc=com";
    const hosts = [
      `server_host = ldap://127.0.0.1:${port}`,
      `server_host = ldapi://${encodeURIComponent(socket)}`,
    ];
    for (const [index, [text, least]] of LDAP_CASES.entries()) {
      const lines = [hosts[index % 2], login, ...(text.includes("search_base") ? [] : [base]), text];
      const path = directory.write(`case${index}.cf`, `${lines.join("\n")}\n`, 0o644);
      const found = await compare(directory, `ldap:${path}`, LDAP_KEYS);
      assert.ok(found >= least, `${text}: ${found} found`);
    }
    const plain = `${hosts[0]}\n${base}\n${login}\n`;
    const loop = directory.write(
      "loop.cf",
      `${plain}${GROUPS}\nleaf_result_attribute = mail\nrecursion_limit = 20\n`,
    );
    const [endless] = await ask(`ldap:${loop}`, ["loop"]);
    assert.match(endless!.kind === "retry" ? endless!.why : "", /Recursion limit exceeded/);
    const size = directory.write(
      "size.cf",
      `${plain}query_filter = (cn=*)\nresult_attribute = mail\nsize_limit = 1\n`,
    );
    assert.match(JSON.stringify(await ask(`ldap:${size}`, ["x"])), /more than 1 entries/);
    const filter = directory.write("filter.cf", `${plain}query_filter = (cn=%s\nresult_attribute = mail\n`);
    assert.equal((await ask(`ldap:${filter}`, ["x"]))[0]!.kind, "retry");
    const wrong = directory.write("wrong.cf", `${plain.replace("secret", "guess")}query_filter = (cn=%s)\n`);
    assert.match(JSON.stringify(await ask(`ldap:${wrong}`, ["x"])), /InvalidCredentials/);
    const second = directory.write(
      "second.cf",
      `server_host = 127.0.0.1:1, 127.0.0.1:${port}\n${base}\n${LDAP_CASES[0]![0]}\n`,
    );
    assert.equal((await ask(`ldap:${second}`, ["joe"]))[0]!.kind, "found");
    await outage(`ldap:${directory.at("case0.cf")}`, server, "joe");
    await outage(`ldap:${directory.at("case1.cf")}`, server, "joe");
  },
);

testNeeding(["memcached", "postfix"], "memcache: shares its entries with Debian's memcache", async () => {
  await using server = await startMemcached();
  const { directory, port } = server;
  using etc = new TemporaryDirectory();
  directory.write("map", "joe one\nann two\n", 0o644);
  const cache = `memcache = inet:127.0.0.1:${port}\nkey_format = t:%s\n`;
  const backed = directory.write("backed.cf", `${cache}backup = texthash:${directory.at("map")}\n`, 0o644);
  const bare = directory.write("bare.cf", cache, 0o644);
  assert.equal(await compare(directory, `memcache:${bare}`, ["joe", "nobody"]), 0);
  assert.deepEqual(await ask(`memcache:${backed}`, ["joe"]), [{ kind: "found", value: "one" }]);
  // Our answer from the backup is in the cache now: Debian's table without a backup finds it, and the other way round.
  assert.equal(await compare(directory, `memcache:${bare}`, ["joe", "ann", "nobody"]), 1);
  assert.equal(
    queryPeer("postmap", etc.path, `memcache:${backed}`, ["ann"]).get("ann"),
    "two",
  );
  assert.equal(await compare(directory, `memcache:${bare}`, ["joe", "ann", "nobody"]), 2);
  // A key that would be a command of its own is never sent.
  const hostile = await ask(`memcache:${bare}`, ["a\r\nflush_all\r\n", "two words", "x".repeat(300)]);
  assert.deepEqual(hostile.map(({ kind }) => kind), ["missing", "missing", "missing"]);
  assert.deepEqual(await ask(`memcache:${bare}`, ["joe"]), [{ kind: "found", value: "one" }]);
  const small = directory.write("small.cf", `${cache}data_size_limit = 2\nmax_try = 1\n`);
  assert.equal((await ask(`memcache:${small}`, ["joe"]))[0]!.kind, "retry");
  await server.stop();
  assert.equal((await ask(`memcache:${bare}`, ["joe"]))[0]!.kind, "retry");
  assert.deepEqual(await ask(`memcache:${backed}`, ["joe"]), [{ kind: "found", value: "one" }]);
});
