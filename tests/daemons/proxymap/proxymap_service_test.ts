import assert from "node:assert/strict";
import { addressSet } from "../../../lib/maps/proxymap_local.ts";
import { type FindRequest, LINES_TIME, proxymapHandler } from "../../../lib/maps/proxymap_service.ts";
import { SERVICE } from "../../../daemons/proxymap/service.ts";
import { MapClient } from "../../../lib/proto/proxymap_client.ts";
import { utf8 } from "../../support/bytes.ts";
import { makeService } from "./proxymap_support.ts";

const ask = (parameter: string, search: FindRequest["search"], key: string, table = ""): FindRequest => {
  return { parameter, search, key, table };
};
const found = (value: string, extension = "", place?: string) => ({
  kind: "found",
  value,
  extension,
  ...(place === undefined ? {} : { place }),
});
const MISSING = { kind: "missing" };

Deno.test("each way to search reaches the tables of the parameter", async () => {
  const { service, log } = makeService({
    mydestination: ["here.test"],
    virtual_alias_maps: ["texthash:/v", "regexp:/r"],
    transport_maps: ["texthash:/t"],
    smtpd_client_restrictions: ["check_client_access", "cidr:/c", "permit"],
    relay_domains: ["relay.test", "texthash:/d"],
    mynetworks: ["127.0.0.0/8", "[::1]/128"],
    local_recipient_maps: ["proxy:unix:passwd.byname", "texthash:/aliases"],
    alias_maps: ["texthash:/aliases"],
    smtp_requiretls_policy: ["texthash:/policy", "enforce"],
    smtpd_helo_restrictions: ["check_helo_access", "texthash:/policy"],
  }, {
    "/v": "joe@x.test a@b\n@catch.test c@d\njane e@f\n",
    "/r": "/^list-(.*)@x\\.test$/ $1@lists.test",
    "/t": ".sub.test smtp:[h]\n* retry:\n",
    "/c": "192.0.2.0/24 REJECT",
    "/d": "table.test x",
    "/policy": ".tls.test enforce\ntls.test disable\n",
    "/etc/passwd": "root:x:0:0::/root:/bin/sh",
    "/aliases": 'postmaster: root\n"odd name": root\n',
  });
  const cases: [FindRequest, object][] = [
    [ask("virtual_alias_maps", "address", "joe+e@x.test"), found("a@b", "+e")],
    [ask("virtual_alias_maps", "address", "LIST-Dev@x.test"), found("Dev@lists.test")],
    [ask("virtual_alias_maps", "address", "a+b@catch.test"), found("c@d", "+b")],
    [ask("virtual_alias_maps", "address", "jane@here.test"), found("e@f")],
    [ask("virtual_alias_maps", "address", "jane+x@mx.test"), found("e@f", "+x")],
    [ask("virtual_alias_maps", "address", "jane@[192.0.2.1]"), found("e@f")],
    [ask("virtual_alias_maps", "address", "jane@[IPv6:2001:DB8::1]"), found("e@f")],
    [ask("virtual_alias_maps", "address", "jane@[198.51.100.7]"), found("e@f")],
    [ask("virtual_alias_maps", "address", "jane@[192.0.2.2]"), MISSING],
    [ask("virtual_alias_maps", "address", "jane@there.test"), MISSING],
    [ask("virtual_alias_maps", "key", "joe@x.test"), found("a@b")],
    [ask("virtual_alias_maps", "key", "joe@x.test", "texthash:/v"), found("a@b", "", "/v:1")],
    [ask("virtual_alias_maps", "key", "joe@x.test", "regexp:/r"), MISSING],
    [ask("transport_maps", "transport", "u@a.sub.test"), found("smtp:[h]")],
    [ask("transport_maps", "transport", "u@sub.test"), found("retry:")],
    [ask("smtpd_client_restrictions", "client", "h.test 192.0.2.9", "cidr:/c"), found("REJECT", "", "/c:1")],
    [ask("smtpd_client_restrictions", "client", "h.test 192.0.3.9", "cidr:/c"), MISSING],
    [ask("smtpd_client_restrictions", "access", "u@h.test", "cidr:/c"), MISSING],
    [ask("relay_domains", "list", "a.relay.test"), found("")],
    [ask("relay_domains", "list", "a.table.test"), found("")],
    [ask("relay_domains", "list", "other.test"), MISSING],
    [ask("mynetworks", "list", "localhost 127.0.0.1"), found("")],
    [ask("mynetworks", "list", "::ffff:127.9.9.9"), found("")],
    [ask("mynetworks", "list", "192.0.2.1"), MISSING],
    [ask("local_recipient_maps", "address", "root@mx.test"), found("root:x:0:0::/root:/bin/sh")],
    [ask("local_recipient_maps", "address", "Postmaster@mx.test"), found("root")],
    [ask("local_recipient_maps", "address", "odd name@mx.test"), found("root")],
    [ask("local_recipient_maps", "address", "nobody-here@mx.test"), MISSING],
    [ask("relocated_maps", "address", "a@b"), MISSING],
    [
      ask("smtp_requiretls_policy", "domain", "a.tls.test", "texthash:/policy"),
      found("enforce", "", "/policy:1"),
    ],
    [
      ask("smtp_requiretls_policy", "domain", "tls.test", "texthash:/policy"),
      found("disable", "", "/policy:2"),
    ],
    [ask("smtp_requiretls_policy", "domain", "a.b.test", "texthash:/policy"), MISSING],
    [
      ask("smtpd_helo_restrictions", "domain", "a.tls.test", "texthash:/policy"),
      found("disable", "", "/policy:2"),
    ],
  ];
  for (const [request, expected] of cases) {
    assert.deepEqual(await service.find(request), expected, JSON.stringify(request));
  }
  assert.deepEqual(log.lines, []);
});

Deno.test("what the declaration does not serve is refused and logged", async () => {
  const { service, log } = makeService({ virtual_alias_maps: ["texthash:/v"] }, { "/v": "a b" });
  const requests = [
    ask("virtual_uid_maps", "key", "a"),
    ask("myorigin", "key", "a"),
    ask("__proto__", "key", "a"),
    ask("virtual_alias_maps", "key", "root", "texthash:/etc/shadow"),
    ask("virtual_alias_maps", "key", "root", "unix:passwd.byname"),
    ask("bad\nname", "key", "a"),
  ];
  for (const request of requests) {
    assert.equal((await service.find(request)).kind, "retry", JSON.stringify(request));
  }
  assert.equal(log.lines.length, requests.length);
  assert.equal(
    log.lines[3],
    'warning: refused request for "virtual_alias_maps" table "texthash:/etc/shadow": parameter does not name that table',
  );
  assert.ok(!log.lines[5]!.includes("\n"));
});

Deno.test("tables that decide about users and files are not served, but for those on a server", async () => {
  for (const name of ["mailbox_command_maps"]) {
    assert.ok(!SERVICE.reads.some((item) => item.endsWith(`:${name}`)), name);
    assert.ok(!SERVICE.parameters.some((item) => item === name), name);
  }
  for (const name of ["virtual_uid_maps", "virtual_gid_maps", "mailbox_transport_maps"]) {
    assert.ok(!SERVICE.reads.some((item) => item === `table:${name}`), name);
    assert.ok(SERVICE.reads.some((item) => item === `servers:${name}`), name);
  }
  for (const item of SERVICE.reads) {
    const [, parameter] = item.split(":");
    assert.ok(SERVICE.parameters.some((name) => name === parameter), `${item} is a parameter`);
  }
  const { service } = makeService({ virtual_uid_maps: ["texthash:/u", "mysql:/m.cf"] }, {
    "/u": "a 1",
    "/m.cf": "dbname = mail\nquery = SELECT 1\n",
  });
  assert.equal((await service.find(ask("virtual_uid_maps", "key", "a", "texthash:/u"))).kind, "retry");
  const asked = await service.find(ask("virtual_uid_maps", "key", "a", "mysql:/m.cf"));
  assert.match(asked.kind === "retry" ? asked.why : "", /table mysql:\/m.cf/);
});

Deno.test("a table with proxy: must be in proxy_read_maps where that is set", async () => {
  const given = { virtual_alias_maps: ["proxy:texthash:/v"], relocated_maps: ["texthash:/v"] };
  const texts = { "/v": "a b" };
  const open = makeService(given, texts);
  assert.equal((await open.service.find(ask("virtual_alias_maps", "key", "a"))).kind, "found");
  const approved = makeService({ ...given, proxy_read_maps: ["proxy:texthash:/v"] }, texts);
  assert.equal((await approved.service.find(ask("virtual_alias_maps", "key", "a"))).kind, "found");
  const refused = makeService({ ...given, proxy_read_maps: ["proxy:texthash:/other"] }, texts);
  assert.equal((await refused.service.find(ask("virtual_alias_maps", "key", "a"))).kind, "retry");
  assert.equal((await refused.service.find(ask("relocated_maps", "key", "a"))).kind, "found");
  assert.match(
    refused.log.lines[0]!,
    /^error: table "proxy:texthash:\/v" is not approved: add it to proxy_read_maps/,
  );
});

Deno.test("a table that fails is retry, is logged at the start and heals", async () => {
  const { service, log, files } = makeService({
    virtual_alias_maps: ["texthash:/v"],
    relay_domains: ["hash:/x"],
  });
  assert.equal(log.lines.length, 2);
  assert.ok(log.lines.every((line) => line.startsWith("error: ")));
  assert.equal((await service.find(ask("virtual_alias_maps", "address", "a@b"))).kind, "retry");
  assert.equal((await service.find(ask("relay_domains", "list", "a.b"))).kind, "retry");
  files.write("/v", "a@b c");
  files.time = 10_000;
  assert.deepEqual(await service.find(ask("virtual_alias_maps", "address", "a@b")), found("c"));
});

Deno.test("a policy service's socket is no table", () => {
  const { log } = makeService({
    smtpd_recipient_restrictions: ["check_policy_service", "unix:private/policy", "permit"],
  });
  assert.deepEqual(log.lines, []);
});

Deno.test("a value too long for a reply is retry", async () => {
  const { service, log } = makeService({ virtual_alias_maps: ["texthash:/v"] }, {
    "/v": `a ${"x".repeat(65536)}\nb ${"x".repeat(65537)}`,
  });
  assert.equal((await service.find(ask("virtual_alias_maps", "key", "a"))).kind, "found");
  assert.equal((await service.find(ask("virtual_alias_maps", "key", "b"))).kind, "retry");
  assert.match(log.lines[0]!, /value is longer than 65536 bytes/);
});

Deno.test("replies carry what was found, and a reason cut to its limit", async () => {
  const { service } = makeService({ virtual_alias_maps: ["inline:{a=b}", `fail:${"é".repeat(5000)}`] });
  const replies: [string, object][] = [];
  const exchange = {
    reply: (type: string, fields: object) => void replies.push([type, fields]),
    state: undefined,
    onCancel: undefined,
    cancelled: false,
  };
  const handler = proxymapHandler(service);
  await handler(exchange, { is: "find", ...ask("virtual_alias_maps", "key", "a") });
  await handler(exchange, { is: "find", ...ask("virtual_alias_maps", "key", "x") });
  await handler(exchange, { is: "find", ...ask("relay_domains", "list", "x") });
  assert.deepEqual(replies.map(([type]) => type), ["found", "retry", "missing"]);
  assert.deepEqual(replies[0]![1], { value: "b", extension: "", place: "" });
  assert.ok(new TextEncoder().encode((replies[1]![1] as { reason: string }).reason).length <= 4096);
});

Deno.test("addresses of this host are compared as addresses", () => {
  assert.deepEqual([...addressSet(["loopback-only"], () => [])], ["127.0.0.1", "::1"]);
  assert.deepEqual([...addressSet(["ALL"], () => ["::ffff:192.0.2.1", "fe80::1%eth0"])], ["192.0.2.1"]);
  assert.deepEqual([...addressSet(["host.example", "2001:DB8:0:0::1"], () => [])], ["2001:db8::1"]);
});

Deno.test("lines are looked up as whole keys, whatever their bytes are", async () => {
  const { service, log } = makeService({
    header_checks: ["regexp:/h"],
    body_checks: ["texthash:/b"],
    virtual_alias_maps: ["fail:x"],
  }, { "/h": "/^A: (.*)$/ WARN $1\n/^many/ IGNORE\n", "/b": "word REJECT\n" });
  const lines = (parameter: string, ...texts: (string | Uint8Array)[]) =>
    service.findLines({
      parameter,
      lines: texts.map((line) => ({ line: typeof line === "string" ? utf8(line) : line })),
    });
  const headers = await lines(
    "header_checks",
    "A: b",
    "B: c",
    Uint8Array.of(0x41, 0x3a, 0x20, 0xe9, 0xff),
    "A: x\n y",
  );
  assert.ok(headers.kind === "matched");
  assert.equal(headers.done, 4);
  assert.deepEqual(headers.matches.map(({ index, value }) => [index, [...value]]), [
    [0, [...utf8("WARN b")]],
    [2, [...utf8("WARN "), 0xe9, 0xff]],
    [3, [...utf8("WARN x\n y")]],
  ]);
  assert.deepEqual(await lines("body_checks", "other"), { kind: "matched", done: 1, matches: [] });
  assert.equal((await lines("virtual_alias_maps", "x")).kind, "retry");
  assert.equal((await lines("queue_directory", "x")).kind, "retry");
  assert.ok(log.lines.some((line) => line.includes('refused request for "queue_directory"')));
});

Deno.test("no more lines are looked up at once than a moment allows, and at least one", async () => {
  const done = async (step: number) => {
    const { service } = makeService({ header_checks: ["regexp:/h"] }, { "/h": "/^many/ IGNORE\n" }, step);
    const lines = Array.from({ length: 1024 }, () => ({ line: utf8("many") }));
    const found = await service.findLines({ parameter: "header_checks", lines });
    assert.ok(found.kind === "matched");
    assert.equal(found.matches.length, found.done);
    return found.done;
  };
  assert.equal(await done(0), 1024);
  assert.equal(await done(LINES_TIME / 10), 10);
  assert.equal(await done(10 * LINES_TIME), 1);
});

Deno.test("the client asks until every line has its answer, and trouble is none", async () => {
  const asked: number[] = [];
  let lost = false;
  const client = new MapClient({
    call: (_type, fields) => {
      const { lines } = fields as { lines: readonly { line: Uint8Array }[] };
      asked.push(lines.length);
      if (lost) return Promise.resolve({ is: "retry", reason: "table is away" });
      const done = Math.min(300, lines.length);
      const matches = lines.slice(0, done).flatMap(({ line }, index) =>
        line[0] === 0x61 ? [{ index, value: line }] : []
      );
      return Promise.resolve({ is: "matched", done, matches });
    },
  });
  const lines = Array.from({ length: 2000 }, (_, i) => utf8(i % 500 === 7 ? `a${i}` : "b"));
  const found = await client.findLines("header_checks", lines);
  assert.ok(found.kind === "matched");
  assert.deepEqual([...found.values].map(([index, value]) => `${index}=${new TextDecoder().decode(value)}`), [
    "7=a7",
    "507=a507",
    "1007=a1007",
    "1507=a1507",
  ]);
  assert.deepEqual(asked, [1024, 1024, 1024, 1024, 800, 500, 200]);
  lost = true;
  assert.deepEqual(await client.findLines("header_checks", lines), { kind: "retry", why: "table is away" });
});
