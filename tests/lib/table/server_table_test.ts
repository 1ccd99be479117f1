/**
 * tcp: and socketmap: tables against servers that the test plays, each with what it sends written down; Debian's
 * postmap asks the same servers. And what configuration files of databases may hold.
 */
import assert from "node:assert/strict";
import { parseLdapUrl, quoteDn, quoteFilter } from "../../../lib/table/ldap_table.ts";
import { openTable } from "../../../lib/table/open.ts";
import { expandQuery, parseQuery } from "../../../lib/table/query_template.ts";
import { ServerPool, type ServerTarget } from "../../../lib/table/server_target.ts";
import { SOCKETMAP_REPLY_LIMIT } from "../../../lib/table/socketmap_table.ts";
import { quoteMysql, quoteStandard } from "../../../lib/table/sql_table.ts";
import type { Outcome } from "../../../lib/table/table.ts";
import { asksServer, tableFiles, tableTargets } from "../../../lib/table/table_files.ts";
import { TABLE_SERVERS } from "../../../lib/table/table_servers.ts";
import { decodeTcp, encodeTcp, TCP_REPLY_LIMIT } from "../../../lib/table/tcp_table.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";
import { testNeeding } from "../../support/tools.ts";

const HOW = { servers: TABLE_SERVERS };
const text = new TextDecoder();

/** A server that answers each read by what `reply` makes of it; undefined closes the connection. */
class Script implements AsyncDisposable {
  readonly port: number;
  connections = 0;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #open = new Set<Deno.Conn>();
  readonly #done: Promise<void>;

  constructor(reply: (request: string) => string | undefined) {
    this.port = this.#listener.addr.port;
    this.#done = this.#serve(reply);
  }

  async #serve(reply: (request: string) => string | undefined): Promise<void> {
    const sessions: Promise<void>[] = [];
    try {
      for (;;) {
        const conn = await this.#listener.accept();
        this.connections++;
        this.#open.add(conn);
        sessions.push(this.#session(conn, reply));
      }
    } catch {
      await Promise.all(sessions);
    }
  }

  async #session(conn: Deno.Conn, reply: (request: string) => string | undefined): Promise<void> {
    const buffer = new Uint8Array(65536);
    try {
      for (;;) {
        const count = await conn.read(buffer);
        const answer = count === null ? undefined : reply(text.decode(buffer.subarray(0, count)));
        if (answer === undefined) break;
        for (let rest = new TextEncoder().encode(answer); rest.length > 0;) {
          rest = rest.subarray(await conn.write(rest));
        }
      }
    } catch {
      // The client has gone.
    }
    this.#open.delete(conn);
    try {
      conn.close();
    } catch {
      // Closed by the end of the test.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const conn of this.#open) conn.close();
    this.#open.clear();
    await this.#done;
  }
}

/** Asks one table for keys in turn. */
async function askAll(spec: string, keys: readonly string[]): Promise<Outcome[]> {
  const table = openTable(spec, HOW);
  const outcomes: Outcome[] = [];
  for (const key of keys) outcomes.push(await table.lookup(key));
  table.close!();
  return outcomes;
}

const short = (outcome: Outcome) => outcome.kind === "found" ? outcome.value : outcome.kind;

const TCP: Readonly<Record<string, string | undefined>> = {
  "get a\n": "200 plain\n",
  "get b%20c\n": "200 two%20words%25\n",
  "get none\n": "500 not here\n",
  "get later\n": "400 later\n",
  "get odd\n": "700 what\n",
  "get bad\n": "200 %zz\n",
  "get long\n": `200 ${"x".repeat(TCP_REPLY_LIMIT)}\n`,
  "get two\n": "200 one\n200 two\n",
  "get cut\n": undefined,
};

const TCP_KEYS = "a|A|b c|none|later|odd|bad|long|two|a|cut|none".split("|");
const TCP_ANSWERS = "plain|plain|two words%|missing|retry|retry|retry|retry|one|plain|retry|missing".split(
  "|",
);

Deno.test("tcp: takes values, misses and trouble as tcp_table(5) has them", async () => {
  await using server = new Script((request) => TCP[request]);
  const outcomes = await askAll(`tcp:127.0.0.1:${server.port}`, TCP_KEYS);
  assert.deepEqual(outcomes.map(short), TCP_ANSWERS);
  assert.match(JSON.stringify(outcomes), /error reply: later/);
  // A refusal to talk, and a server that is not there.
  const [gone] = await askAll("tcp:127.0.0.1:1", ["a"]);
  assert.equal(gone!.kind, "retry");
});

testNeeding(
  ["postfix"],
  "tcp: and socketmap: find what Debian's postmap finds at the same servers",
  async () => {
    await using tcp = new Script((request) => TCP[request]);
    await using map = new Script((request) => socketmap(request));
    using directory = new TemporaryDirectory();
    directory.write("main.cf", "compatibility_level = 3.6\n", 0o644);
    const peer = async (spec: string, key: string) => {
      // Postfix folds keys of these two; postmap does too.
      const args = ["-c", directory.path, "-q", key, spec];
      const { code, stdout } = await new Deno.Command("/usr/sbin/postmap", { args, stderr: "null" }).output();
      return code === 0 ? text.decode(stdout).trimEnd() : undefined;
    };
    for (
      const [spec, keys] of [
        [`tcp:127.0.0.1:${tcp.port}`, ["a", "b c", "none", "later", "odd", "bad"]],
        [`socketmap:inet:127.0.0.1:${map.port}:users`, ["joe", "two words", "none", "later", "perm", "odd"]],
      ] as const
    ) {
      const ours = await askAll(spec, keys);
      for (const [i, key] of keys.entries()) {
        const outcome = ours[i]!;
        assert.equal(
          outcome.kind === "found" ? outcome.value : undefined,
          await peer(spec, key),
          `${spec} ${key}`,
        );
      }
    }
  },
);

Deno.test("tcp: goes on after its server has closed an idle connection, and never mixes answers up", async () => {
  let count = 0;
  await using server = new Script((request) => ++count % 2 === 0 ? undefined : `200 ${request.slice(4)}`);
  const outcomes = await askAll(`tcp:127.0.0.1:${server.port}`, ["a", "b", "c"]);
  assert.deepEqual(outcomes.map(short), ["a", "b", "c"]);
  const table = openTable(`tcp:127.0.0.1:${server.port}`, HOW);
  await using echo = new Script((request) => `200 ${request.slice(4)}`);
  const many = openTable(`tcp:127.0.0.1:${echo.port}`, HOW);
  const keys = Array.from({ length: 200 }, (_, i) => `key${i}`);
  const all = await Promise.all(keys.map((key) => many.lookup(key)));
  assert.deepEqual(all.map(short), keys);
  assert.equal(echo.connections, 1);
  table.close!();
  many.close!();
});

Deno.test("who waits behind a request that a silent server never answers is told with it, not after as long again", async () => {
  await using server = new Script(() => "");
  using directory = new TemporaryDirectory();
  const path = directory.write(
    "mc.cf",
    `memcache = inet:127.0.0.1:${server.port}\ntimeout = 1\nmax_try = 1\n`,
  );
  const table = openTable(`memcache:${path}`, HOW);
  const outcomes = await Promise.all(Array.from({ length: 50 }, (_, i) => table.lookup(`key${i}`)));
  assert.ok(outcomes.every(({ kind }) => kind === "retry"));
  assert.equal(server.connections, 1);
  assert.equal((await table.lookup("later")).kind, "retry");
  assert.equal(server.connections, 2);
  table.close!();
});

/** A socketmap server's answers. */
function socketmap(request: string): string | undefined {
  const net = (reply: string) => `${new TextEncoder().encode(reply).length}:${reply},`;
  switch (request) {
    case "9:users joe,":
      return net("OK joe@inside");
    case "15:users two words,":
      return net("OK zwei wörter");
    case "10:users none,":
      return net("NOTFOUND ");
    case "11:users later,":
      return net("TEMP later");
    case "10:users perm,":
      return net("PERM never");
    case "13:users timeout,":
      return net("TIMEOUT slow");
    case "9:users odd,":
      return net("HUH");
    case "10:users long,":
      return `${SOCKETMAP_REPLY_LIMIT + 1}:x`;
    case "9:users max,":
      return net(`OK ${"x".repeat(SOCKETMAP_REPLY_LIMIT - 3)}`);
    case "9:users cut,":
      return "20:OK half";
    case "11:users comma,":
      return "5:OK ab;";
    case "12:users digits,":
      return "x:OK,";
    default:
      return undefined;
  }
}

Deno.test("socketmap: takes netstrings and no more than its limits", async () => {
  let half = 0;
  await using server = new Script((request) => {
    // What follows a half reply is the end of the connection.
    if (half-- === 1) return undefined;
    if (request.includes("cut")) half = 1;
    return socketmap(request);
  });
  const keys = "joe|JOE|two words|none|later|perm|timeout|odd|long|comma|digits|unknown|joe".split("|");
  const outcomes = await askAll(`socketmap:inet:127.0.0.1:${server.port}:users`, keys);
  assert.deepEqual(
    outcomes.map(short),
    "joe@inside|joe@inside|zwei wörter|missing|retry|retry|retry|retry|retry|retry|retry|retry|joe@inside"
      .split("|"),
  );
  const [max, tooLong] = await askAll(`socketmap:inet:127.0.0.1:${server.port}:users`, [
    "max",
    "x".repeat(10_000),
  ]);
  assert.equal(max!.kind === "found" ? max!.value.length : 0, SOCKETMAP_REPLY_LIMIT - 3);
  assert.match(tooLong!.kind === "retry" ? tooLong!.why : "", /query is longer than 10000 bytes/);
});

Deno.test("servers that are not authenticated are refused where results name files and users", () => {
  for (const spec of ["tcp:127.0.0.1:25", "socketmap:unix:/s:x", "memcache:/m.cf"]) {
    assert.throws(
      () => openTable(spec, { ...HOW, paranoid: true }),
      /not allowed for security-sensitive data/,
    );
  }
  for (
    const spec of [
      "tcp:host",
      "tcp:unix:/x",
      "tcp:host:0",
      "socketmap:host:1:x",
      "socketmap:inet:h:1",
      "socketmap:unix:x:y",
    ]
  ) {
    assert.throws(() => openTable(spec, HOW), /expected the form/, spec);
  }
});

Deno.test("the encoding of tcp_table is undone by its decoding, and what is malformed is told", () => {
  const all = Uint8Array.from({ length: 127 }, (_, i) => i + 1);
  assert.equal(decodeTcp(encodeTcp(all)), text.decode(all));
  assert.equal(text.decode(encodeTcp(new TextEncoder().encode("a b%\n\x7f"))), "a%20b%25%0a%7f");
  for (const bad of ["%", "%4", "%4g", "a%-1"]) {
    assert.equal(decodeTcp(new TextEncoder().encode(bad)), undefined);
  }
});

Deno.test("templates are filled with the parts of the key, or not at all", () => {
  const expand = (template: string, key: string, value = key) => {
    const parsed = parseQuery(template);
    if (parsed.kind === "bad") throw new Error(parsed.why);
    return expandQuery(parsed.template, key, value, (part) => `<${part}>`);
  };
  const cases: readonly (readonly [string, string, string | undefined, string?])[] = [
    ["%s", "joe@a.b.c", "<joe@a.b.c>"],
    ["%u and %d", "joe@a.b.c", "<joe> and <a.b.c>"],
    ["%u", "joe", "<joe>"],
    ["%u", "@a.b", undefined],
    ["%d", "joe", undefined],
    ["%d", "joe@", undefined],
    ["%1 %2 %3", "joe@a.b.c", "<c> <b> <a>"],
    ["%4", "joe@a.b.c", undefined],
    ["%1", "joe", undefined],
    ["100%%", "joe", "100%"],
    ["%u", 'a@b"@c', '<a@b">'],
    ["%s", "key@d", undefined, ""],
    ["%s %u %d %S %U %D %1", "key@x.y", "<v@w> <v> <w> <key@x.y> <key> <x.y> <y>", "v@w"],
    ["%d", "key@x.y", undefined, "plain"],
    ["%u", "key@x.y", undefined, "@w"],
    ["%D", "key", undefined, "v@w"],
  ];
  for (const [template, key, expected, value] of cases) {
    assert.equal(expand(template, key, value), expected, `${template} ${key} ${value}`);
  }
  for (const bad of ["%", "%x", "a%0"]) assert.equal(parseQuery(bad).kind, "bad", bad);
});

Deno.test("text between quotes stays between them", () => {
  assert.equal(quoteMysql("a'b\"c\\d\ne\r\x1a"), "a\\'b\\\"c\\\\d\\ne\\r\\Z");
  assert.equal(quoteStandard("a''b\\'"), "a''''b\\''");
});

Deno.test("RFC 4515 section 3: what a filter gives a meaning is escaped", () => {
  assert.equal(quoteFilter("a*b(c)d\\e\0é"), "a\\2ab\\28c\\29d\\5ce\\00é");
});

Deno.test("RFC 4514 section 2.4: what a name gives a meaning is escaped", () => {
  assert.equal(quoteDn(' a,b+c"d\\e<f>g;h=i '), "\\20a\\2cb\\2bc\\22d\\5ce\\3cf\\3eg\\3bh\\3di\\20");
  assert.equal(quoteDn("#a#"), "\\23a#");
});

Deno.test("RFC 4516 section 2: an LDAP URL has base, attributes, scope and filter", () => {
  assert.deepEqual(parseLdapUrl("ldap:///dc=a,dc=b?Mail,cn?sub?(cn=%2a)"), {
    base: "dc=a,dc=b",
    attributes: ["mail", "cn"],
    scope: "sub",
    filter: "(cn=*)",
  });
  assert.deepEqual(parseLdapUrl("LDAP://host/o=a%20b"), {
    base: "o=a b",
    attributes: [],
    scope: "base",
    filter: "(objectclass=*)",
  });
  assert.equal(parseLdapUrl("ldap:///a??children"), undefined);
  assert.equal(parseLdapUrl("ldap:///%zz"), undefined);
});

Deno.test("of several servers the sockets come first, and a failed one is left out for a while", () => {
  let time = 0;
  const unix: ServerTarget = { kind: "unix", path: "/s" };
  const hosts = ["a", "b", "c"].map((host): ServerTarget => ({ kind: "inet", host, port: 1 }));
  const pool = new ServerPool([...hosts, unix], 60, () => time);
  const firsts = new Set<ServerTarget>();
  for (let i = 0; i < 200; i++) {
    const order = pool.order();
    assert.equal(order[0], unix);
    firsts.add(order[1]!);
  }
  assert.equal(firsts.size, 3);
  pool.failed(unix);
  pool.failed(hosts[0]!);
  assert.deepEqual(new Set(pool.order()), new Set(hosts.slice(1)));
  time = 60_000;
  assert.equal(pool.order().length, 4);
  const single = new ServerPool([unix], 60, () => time);
  single.failed(unix);
  assert.deepEqual(single.order(), [unix]);
});

const CONFIGURATIONS: Readonly<Record<string, string>> = {
  "/my.cf":
    "hosts = db1.example db2.example:3307 unix:/run/my.sock\ndbname = m\nquery = SELECT 1\ntls_CAfile = /ca.pem\n",
  "/pg.cf": "hosts = [::1]:5433\ndbname = m\nquery = SELECT 1\ndomain = texthash:/domains\n",
  "/lite.cf": "dbpath = /var/data.db\nquery = SELECT 1\n",
  "/ld.cf": "server_host = ldaps://ld.example ldapi://%2Frun%2Fldapi\nsearch_base = dc=a\n",
  "/mc.cf": "memcache = inet:cache.example:11211\nbackup = mysql:/my.cf\n",
};

Deno.test("the files and servers of tables are found in their configuration", () => {
  const files = {
    read: (path: string) => {
      const content = CONFIGURATIONS[path];
      if (content === undefined) throw new Error("No such file or directory");
      return content;
    },
  };
  const reach = (spec: string) => [
    tableFiles([spec], files),
    tableTargets([spec], files).map((target) =>
      target.kind === "unix" ? target.path : `${target.host} ${target.port}`
    ),
  ];
  const my = ["db1.example 3306", "db2.example 3307", "/run/my.sock"];
  const cases: readonly (readonly [string, string[], string[]])[] = [
    ["mysql:/my.cf", ["/my.cf", "/ca.pem"], my],
    ["proxy:mysql:/my.cf", ["/my.cf", "/ca.pem"], my],
    ["pgsql:/pg.cf", ["/pg.cf", "/domains"], ["::1 5433"]],
    [
      "sqlite:/lite.cf",
      ["/lite.cf", ...["", "-journal", "-wal", "-shm"].map((end) => `/var/data.db${end}`)],
      [],
    ],
    ["ldap:/ld.cf", ["/ld.cf"], ["ld.example 636", "/run/ldapi"]],
    ["memcache:/mc.cf", ["/mc.cf", "/my.cf", "/ca.pem"], ["cache.example 11211", ...my]],
    ["tcp:t.example:99", [], ["t.example 99"]],
    ["socketmap:unix:/run/s:name", [], ["/run/s"]],
    ["unionmap:{texthash:/a, tcp:t:1, debug:pcre:/p}", ["/a", "/p"], ["t 1"]],
    ["cdb:/c", ["/c.cdb"], []],
    ["mysql:/none.cf", ["/none.cf"], []],
  ];
  for (const [spec, paths, servers] of cases) assert.deepEqual(reach(spec), [paths, servers], spec);
  const remote = cases.map(([spec]) => spec).filter(asksServer);
  assert.deepEqual(remote, cases.map(([spec]) => spec).filter((spec) => !/^(sqlite|cdb):/.test(spec)));
});

Deno.test("a configuration that cannot be used says file and line, and a table without servers says who may ask", async () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ["mysql", "dbname = m\nquerry = SELECT 1\n", /line 2: unknown parameter "querry"/],
    ["mysql", "query = SELECT 1\n", /"dbname" must be set/],
    ["mysql", "dbname = m\n", /"query" must be set/],
    ["mysql", "dbname = m\nquery = %x\n", /line 2: query: invalid "%x"/],
    ["mysql", "dbname = m\nquery = 1\nexpansion_limit = many\n", /line 3: bad numerical value/],
    ["mysql", "dbname = m\nquery = 1\nrequire_result_set = maybe\n", /line 3: bad boolean value/],
    ["mysql", "dbname = m\nquery = 1\nhosts = a:b\n", /line 3: "a:b" of "hosts" is no server/],
    ["pgsql", "dbname = m\nquery = 1\nhosts = postgresql://x/y\n", /line 3: .* is not supported/],
    ["sqlite", "dbpath = data.db\nquery = 1\n", /line 1: "data.db" is not an absolute path/],
    ["ldap", "search_base = dc=a\nbind = sasl\n", /line 2: bind = sasl is not supported/],
    ["ldap", "search_base = dc=a\nversion = 2\n", /line 2: version must be 3/],
    ["ldap", "server_host = http://x/\n", /"search_base" must be set/],
    ["memcache", "memcache = nowhere:\n", /is no server/],
    ["mysql", "just words\n", /line 1: missing '='/],
  ];
  for (const [type, content, expected] of cases) {
    const files = { read: () => content, version: () => "1", now: () => 0 };
    assert.throws(() => openTable(`${type}:/t.cf`, { files }), expected, content);
  }
  const files = { read: () => CONFIGURATIONS["/my.cf"]!, version: () => "1", now: () => 0 };
  const outcome = await openTable("mysql:/my.cf", { files }).lookup("a");
  assert.match(outcome.kind === "retry" ? outcome.why : "", /which only proxymap may reach/);
});
