import assert from "node:assert/strict";
import {
  listProblems,
  listSubject,
  matchDomainList,
  type MatchList,
  matchList,
  matchLiteral,
  parseAddressList,
  parseDomainList,
  parseList,
} from "../../../lib/table/match_list.ts";
import { inNetwork, parseIpAddress, parseIpNetwork } from "../../../lib/table/ip_network.ts";
import { openTable } from "../../../lib/table/open.ts";
import { CountingTable, seeded } from "./table_support.ts";

/** Whether a list of addresses holds the client; its name may be empty. */
function matchAddressList(list: MatchList, address: string, name = "") {
  return matchList(list, listSubject("address", `${name} ${address}`));
}

const how = (parents: "plain" | "dotted" = "dotted") => ({
  parents,
  name: "list",
  open: (spec: string) => openTable(spec),
});

Deno.test("mynetworks holds addresses by network, however they are written", async () => {
  const list = parseAddressList([
    "127.0.0.0/8",
    "[::1]/128",
    "!10.0.0.5",
    "10.0.0.0/24, 192.0.2.1",
    "[2001:db8::]/32",
    "fe80::/10",
  ], how());
  const cases: [address: string, expected: boolean][] = [
    ["127.0.0.1", true],
    ["127.255.255.255", true],
    ["128.0.0.1", false],
    ["::1", true],
    ["0:0:0:0:0:0:0:1", true],
    ["::2", false],
    ["10.0.0.4", true],
    ["10.0.0.5", false],
    ["10.0.1.1", false],
    ["192.0.2.1", true],
    ["::ffff:127.0.0.1", true],
    ["::FFFF:7f00:1", true],
    ["::127.0.0.1", false],
    ["2001:db8:ffff::1", true],
    ["2001:db9::", false],
    ["febf::1", true],
    ["fec0::1", false],
    ["127.1", false],
    ["unknown", false],
    ["", false],
  ];
  for (const [address, expected] of cases) {
    assert.equal((await matchAddressList(list, address)).kind, expected ? "found" : "missing", address);
    assert.equal(matchLiteral(list, listSubject("address", address)), expected ? "match" : "none", address);
  }
});

Deno.test("RFC 3493 section 3.7: an IPv4 address in IPv6 form is the IPv4 address, and no other form is", () => {
  const bytes = (text: string) => [...parseIpAddress(text) ?? []];
  assert.deepEqual(bytes("::ffff:192.0.2.1"), [192, 0, 2, 1]);
  assert.deepEqual(bytes("::FFFF:C000:201"), [192, 0, 2, 1]);
  for (const other of ["::c000:201", "::fffe:c000:201", "::ff:c000:201", "::1:ffff:c000:201"]) {
    assert.equal(bytes(other).length, 16, other);
  }
});

Deno.test("a network of IPv6 holds no IPv4 client, as in Postfix", async () => {
  const list = parseAddressList(["[::ffff:10.0.0.0]/104"], how());
  assert.equal((await matchAddressList(list, "10.200.1.1")).kind, "missing");
  assert.equal((await matchAddressList(list, "::ffff:10.200.1.1")).kind, "missing");
  assert.equal((await matchAddressList(parseAddressList(["[::]/0"], how()), "10.0.0.1")).kind, "missing");
});

Deno.test("lists of clients match host names too", async () => {
  const list = parseAddressList(["example.com", ".example.org"], how("plain"));
  assert.equal((await matchAddressList(list, "192.0.2.1", "Mail.EXAMPLE.com")).kind, "found");
  assert.equal((await matchAddressList(list, "192.0.2.1", "badexample.com")).kind, "missing");
  assert.equal((await matchAddressList(list, "192.0.2.1", "")).kind, "missing");
});

Deno.test("domain lists match parents by their style, string lists never", async () => {
  const cases: [
    kind: "domain" | "string",
    parents: "plain" | "dotted",
    item: string,
    name: string,
    expected: boolean,
  ][] = [
    ["domain", "plain", "example.com", "example.com", true],
    ["domain", "plain", "example.com", "a.b.example.com", true],
    ["domain", "plain", ".example.com", "a.example.com", false],
    ["domain", "dotted", "example.com", "a.example.com", false],
    ["domain", "dotted", ".example.com", "a.example.com", true],
    ["domain", "dotted", ".example.com", "example.com", false],
    ["domain", "plain", "ample.com", "example.com", false],
    ["domain", "plain", "Example.COM", "EXAMPLE.com", true],
    ["string", "plain", "example.com", "example.com", true],
    ["string", "plain", "example.com", "a.example.com", false],
    ["string", "plain", "[192.0.2.1]", "[192.0.2.1]", true],
  ];
  for (const [kind, parents, item, name, expected] of cases) {
    const list = parseList([item], { ...how(parents), kind });
    assert.equal(
      (await matchDomainList(list, name)).kind,
      expected ? "found" : "missing",
      `${kind} ${parents} ${item} ${name}`,
    );
  }
});

Deno.test("the first item that matches decides", async () => {
  const items = [
    "!a.example.com",
    "example.com",
    "!b.example.com",
    "!!c.org",
    "inline:{d.org=x}",
    "!static:y",
    "e.org",
  ];
  const list = parseDomainList(items, how("plain"));
  const cases: [string, boolean][] = [
    ["a.example.com", false],
    ["b.example.com", true],
    ["example.com", true],
    ["c.org", true],
    ["d.org", true],
    ["e.org", false],
  ];
  for (const [name, expected] of cases) {
    assert.equal((await matchDomainList(list, name)).kind, expected ? "found" : "missing", name);
  }
  assert.equal(matchLiteral(list, listSubject("domain", "c.org")), "match");
  assert.equal(matchLiteral(list, listSubject("domain", "e.org")), "ask");
});

Deno.test("tables of a list are asked for the name, its parents and the address", async () => {
  const table = new CountingTable({});
  const list = parseAddressList(["texthash:/t"], { parents: "plain", name: "x", open: () => table });
  await matchAddressList(list, "1.2.3.4", "a.b.c");
  assert.deepEqual(table.asked, ["a.b.c", "b.c", "c", "1.2.3.4"]);
  const strings = new CountingTable({});
  await matchDomainList(
    parseList(["texthash:/t"], { kind: "string", parents: "plain", name: "x", open: () => strings }),
    "a.b",
  );
  assert.deepEqual(strings.asked, ["a.b"]);
  const pattern = new CountingTable({}, false);
  await matchDomainList(
    parseDomainList(["texthash:/t"], { parents: "plain", name: "x", open: () => pattern }),
    "a.b",
  );
  assert.deepEqual(pattern.asked, ["a.b"]);
});

Deno.test("an item that cannot be used fails softly, but only when it is reached", async () => {
  const list = parseAddressList(["127.0.0.1", "10.0.0.1/8", "hash:/x", "fail:x", "{a", "192.0.2.1"], how());
  assert.equal((await matchAddressList(list, "127.0.0.1")).kind, "found");
  const outcome = await matchAddressList(list, "192.0.2.1");
  assert.deepEqual(outcome.kind, "retry");
  assert.match((outcome as { why: string }).why, /^list: non-null host address bits in "10.0.0.1\/8"/);
  assert.equal(listProblems(list).length, 3);
  const failing = parseAddressList(["fail:x"], how());
  assert.equal((await matchAddressList(failing, "1.1.1.1")).kind, "retry");
  const closed = parseAddressList(["static:x"], { parents: "plain", name: "x" });
  assert.equal((await matchAddressList(closed, "1.1.1.1")).kind, "retry");
});

Deno.test("subjects of lists are read from names, addresses and both", () => {
  const mapped = parseIpAddress("1.2.3.4");
  assert.deepEqual(listSubject("address", "Host.x 1.2.3.4"), {
    name: "host.x",
    address: mapped,
    addressText: "1.2.3.4",
  });
  assert.deepEqual(listSubject("address", "1.2.3.4"), { name: "", address: mapped, addressText: "1.2.3.4" });
  assert.deepEqual(listSubject("address", " 1.2.3.4"), { name: "", address: mapped, addressText: "1.2.3.4" });
  assert.deepEqual(listSubject("address", "Host"), { name: "host", address: undefined, addressText: "" });
  assert.deepEqual(listSubject("domain", "1.2.3.4"), {
    name: "1.2.3.4",
    address: undefined,
    addressText: "",
  });
});

Deno.test("indexed lists say what looking at each item in turn says", async () => {
  const random = seeded(77);
  const address = () => `${[10, 127][random(2)]}.${random(2)}.${random(2)}.${random(4)}`;
  for (let round = 0; round < 200; round++) {
    const items = Array.from({ length: random(12) }, () => {
      const bits = 8 + random(25);
      const bytes = parseIpAddress(address())!.map((byte, i) =>
        byte & (bits >= i * 8 + 8 ? 255 : (0xff00 >> Math.max(0, bits - i * 8)) & 255)
      );
      return `${random(3) === 0 ? "!" : ""}${bytes.join(".")}/${bits}`;
    });
    const list = parseAddressList(items, how());
    for (let i = 0; i < 20; i++) {
      const client = address();
      const first = items.find((item) => {
        const parsed = parseIpNetwork(item.replace("!", ""));
        return parsed.kind === "network" && inNetwork(parseIpAddress(client)!, parsed.network);
      });
      const expected = first !== undefined && !first.startsWith("!");
      assert.equal(
        (await matchAddressList(list, client)).kind,
        expected ? "found" : "missing",
        `${items.join(" ")} ${client}`,
      );
    }
  }
});

Deno.test("a list of 100,000 items is asked through its indexes", async () => {
  const items = Array.from(
    { length: 100_000 },
    (_, i) => `${10 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}.0/24`,
  );
  const list = parseAddressList(items, how());
  assert.equal(list.networks.length, 1);
  assert.equal((await matchAddressList(list, "10.255.255.9")).kind, "found");
  const names = parseList(items.map((_, i) => `d${i}.example`), { ...how(), kind: "string" });
  assert.equal((await matchList(names, listSubject("string", "D99999.example"))).kind, "found");
  assert.equal((await matchList(names, listSubject("string", "d100000.example"))).kind, "missing");
});

Deno.test("networks are read strictly", () => {
  const cases: [string, boolean][] = [
    ["10.0.0.0/8", true],
    ["10.0.0.0/08", true],
    ["10.0.0.0/-1", false],
    ["10.0.0.0/33", false],
    ["10.0.0.0/", false],
    ["10.0.0.0/8/8", false],
    ["[10.0.0.0]/8", true],
    ["[10.0.0.0/8]", true],
    ["[10.0.0.0/8]/8", false],
    ["[::1]x", false],
    ["[::1", false],
    ["::1/129", false],
    ["::/0", true],
    ["1.2.3.4/31", true],
    ["1.2.3.5/31", false],
    ["", false],
    ["/8", false],
  ];
  for (const [text, expected] of cases) assert.equal(parseIpNetwork(text).kind === "network", expected, text);
});
