/** The resolver against a server on 127.0.0.1 that lies, stammers and stays silent. @module */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import dgram from "node:dgram";
import packet from "dns-packet";
import { AnswerCache } from "../../../lib/dns/cache.ts";
import { type Answer, CNAME_LIMIT } from "../../../lib/dns/answer.ts";
import { parseServers, Resolver, RESOLVER_LIMITS } from "../../../lib/dns/resolver.ts";
import { freePort } from "../../support/ports.ts";

/** What to send for one query: packets in order, or nothing. */
type Behaviour = (query: packet.Packet, nth: number) => readonly (packet.Packet | Uint8Array)[];

interface FakeDnsServer {
  readonly port: number;
  /** "name type" of each query over UDP; over TCP with "tcp " before it. */
  readonly asked: string[];
  readonly ports: Set<number>;
  readonly ids: Set<number>;
  stop(): Promise<void>;
}

/** A server; `tcp` undefined: nobody listens there. */
async function fakeDns(udp: Behaviour, tcp?: Behaviour, address = "127.0.0.1"): Promise<FakeDnsServer> {
  const socket = dgram.createSocket("udp4");
  // For TCP as well: a port of the system's choice may be taken there.
  const port = freePort();
  await new Promise<void>((resolve) => socket.bind(port, address, resolve));
  const server = { port, asked: [] as string[], ports: new Set<number>(), ids: new Set<number>() };
  const toBytes = (reply: packet.Packet | Uint8Array) =>
    reply instanceof Uint8Array ? reply : packet.encode(reply);
  const name = (query: packet.Packet) => `${query.questions![0]!.name} ${query.questions![0]!.type}`;
  socket.on("message", (bytes: Uint8Array, from: { port: number; address: string }) => {
    const query = packet.decode(Buffer.from(bytes));
    server.asked.push(name(query));
    server.ports.add(from.port);
    server.ids.add(query.id!);
    for (const reply of udp(query, server.asked.length)) socket.send(toBytes(reply), from.port, from.address);
  });
  const listener = tcp === undefined ? undefined : Deno.listen({ hostname: "127.0.0.1", port });
  const serving = listener === undefined ? Promise.resolve() : serveTcp(listener, async (connection) => {
    const bytes = new Uint8Array(4096);
    const count = await connection.read(bytes);
    if (count === null) return;
    const query = packet.decode(Buffer.from(bytes.subarray(2, count)));
    server.asked.push(`tcp ${name(query)}`);
    for (const reply of tcp!(query, server.asked.length)) {
      const body = toBytes(reply);
      const framed = new Uint8Array([body.length >> 8, body.length & 255, ...body]);
      // In two pieces, the length itself torn.
      await connection.write(framed.subarray(0, 1));
      await new Promise((resolve) => setTimeout(resolve, 1));
      for (let done = 1; done < framed.length;) done += await connection.write(framed.subarray(done));
    }
  });
  return {
    ...server,
    stop: async () => {
      await new Promise<void>((resolve) => socket.close(() => resolve()));
      listener?.close();
      await serving;
    },
  };
}

async function serveTcp(
  listener: Deno.Listener,
  serve: (connection: Deno.Conn) => Promise<void>,
): Promise<void> {
  for await (const connection of listener) {
    await serve(connection).catch(() => undefined);
    connection.close();
  }
}

const ANSWERS: packet.Answer[] = [{ name: "d.test", type: "A", ttl: 60, data: "192.0.2.1" }];

function reply(
  query: packet.Packet,
  answers: packet.Answer[],
  more: Partial<packet.Packet> = {},
): packet.Packet {
  return {
    id: query.id!,
    type: "response",
    flags: packet.RECURSION_AVAILABLE,
    questions: query.questions!,
    answers,
    ...more,
  };
}

/** For servers that answer, however busy the machine is. */
const PATIENT = [20_000, 20_000];
/** For servers that do not. */
const HASTY = [60, 60];

async function withResolver(
  udp: Behaviour,
  tcp: Behaviour | undefined,
  look: (resolver: Resolver, server: FakeDnsServer, warnings: string[]) => Promise<void>,
  timeouts: readonly number[] = PATIENT,
): Promise<void> {
  const server = await fakeDns(udp, tcp);
  const warnings: string[] = [];
  const limits = { ...RESOLVER_LIMITS, timeouts };
  const resolver = new Resolver(
    [{ address: "127.0.0.1", port: server.port }],
    (text) => warnings.push(text),
    limits,
  );
  try {
    await look(resolver, server, warnings);
  } finally {
    await server.stop();
  }
}

const values = (answer: Answer) => answer.records.map((record) => record.value);

Deno.test("an answer is given, kept for its time, and asked for once", async () => {
  await withResolver(
    (query) => [reply(query, ANSWERS, { flags: packet.AUTHENTIC_DATA })],
    undefined,
    async (resolver, server) => {
      const [first, joined] = await Promise.all([
        resolver.query("D.Test.", "A"),
        resolver.query("d.test", "A"),
      ]);
      assert.deepEqual([first!.rcode, values(first!), first!.authenticated, first!.ttl], [
        "ok",
        ["192.0.2.1"],
        true,
        60,
      ]);
      assert.equal(joined, first);
      assert.deepEqual(values(await resolver.query("d.test", "A")), ["192.0.2.1"]);
      assert.deepEqual(server.asked, ["d.test A"]);
      assert.equal(resolver.cached, 1);
    },
  );
});

Deno.test("RFC 4035 section 4.9.3: validation is believed of a resolver on this host only", async (t) => {
  const own = Deno.networkInterfaces().find(({ family, address }) =>
    family === "IPv4" && !address.startsWith("127.")
  );
  for (const address of ["127.0.0.1", "127.0.0.53", ...(own === undefined ? [] : [own.address])]) {
    await t.step(address, async () => {
      const behave: Behaviour = (query) => [reply(query, ANSWERS, { flags: packet.AUTHENTIC_DATA })];
      const server = await fakeDns(behave, undefined, address);
      try {
        const resolver = new Resolver([{ address, port: server.port }], () => {}, RESOLVER_LIMITS);
        const answer = await resolver.query("d.test", "A");
        assert.deepEqual([answer.rcode, answer.authenticated], ["ok", address.startsWith("127.")]);
      } finally {
        await server.stop();
      }
    });
  }
});

for (
  const [rcode, expected] of [[3, "nxdomain"], [2, "servfail"], [5, "refused"], [4, "other"], [
    9,
    "other",
  ]] as const
) {
  Deno.test(`response code ${rcode} is ${expected} and nothing else`, async () => {
    await withResolver((query) => [reply(query, [], { flags: rcode })], undefined, async (resolver) => {
      const answer = await resolver.query("d.test", "MX");
      assert.deepEqual([answer.rcode, answer.records.length], [expected, 0]);
      assert.equal(resolver.cached, 0);
    });
  });
}

Deno.test("an existing name without such records is ok and empty", async () => {
  await withResolver((query) => [reply(query, [])], undefined, async (resolver) => {
    const answer = await resolver.query("d.test", "MX");
    assert.deepEqual([answer.rcode, answer.records.length, answer.canonicalName], ["ok", 0, "d.test"]);
  });
});

Deno.test("RFC 2308 section 5: that there is nothing is kept for the SOA's minimum, and without SOA not at all", async () => {
  const soa = {
    name: "test",
    type: "SOA",
    ttl: 900,
    data: { mname: "a", rname: "b", minimum: 30 },
  } as packet.Answer;
  for (const rcode of [0, 3]) {
    await withResolver(
      (query) => [reply(query, [], { flags: rcode, authorities: [soa] })],
      undefined,
      async (resolver, server) => {
        assert.equal((await resolver.query("d.test", "MX")).ttl, 30);
        await resolver.query("d.test", "MX");
        assert.equal(server.asked.length, 1);
      },
    );
  }
});

Deno.test("a silent server is asked again from another port with another id, then it is a timeout", async () => {
  await withResolver(() => [], undefined, async (resolver, server, warnings) => {
    assert.equal((await resolver.query("d.test", "A")).rcode, "timeout");
    assert.equal(server.asked.length, HASTY.length);
    assert.equal(server.ports.size, HASTY.length);
    assert.equal(warnings.length, 1);
    assert.equal(resolver.cached, 0);
  }, HASTY);
});

Deno.test("one lost packet does no harm", async () => {
  await withResolver(
    (query, nth) => nth === 1 ? [] : [reply(query, ANSWERS)],
    undefined,
    async (resolver) => {
      assert.deepEqual(values(await resolver.query("d.test", "A")), ["192.0.2.1"]);
    },
    [60, 20_000],
  );
});

Deno.test("DNS-23: packets with another id, another question or no answer bit are ignored", async () => {
  const evil: packet.Answer[] = [{ name: "d.test", type: "A", ttl: 60, data: "203.0.113.66" }];
  await withResolver(
    (query) => [
      { ...reply(query, evil), id: (query.id! + 1) & 0xffff },
      { ...reply(query, evil), questions: [{ name: "e.test", type: "A", class: "IN" }] },
      { ...reply(query, evil), questions: [{ name: "d.test", type: "AAAA", class: "IN" }] },
      { ...reply(query, evil), questions: [] },
      { ...reply(query, evil), type: "query" },
      new Uint8Array(3),
      reply(query, ANSWERS),
    ],
    undefined,
    async (resolver) => {
      assert.deepEqual(values(await resolver.query("d.test", "A")), ["192.0.2.1"]);
    },
  );
});

Deno.test("RFC 5452 section 9: id and port are unpredictable, and an answer to another question is not believed", async () => {
  const rounds = 40;
  await withResolver(
    (query) => [
      { ...reply(query, []), questions: [{ name: "e.test", type: "A", class: "IN" }] },
      reply(query, [{ name: query.questions![0]!.name, type: "A", ttl: 60, data: "192.0.2.1" }]),
    ],
    undefined,
    async (resolver, server) => {
      for (let i = 0; i < rounds; i++) {
        assert.deepEqual(values(await resolver.query(`d${i}.test`, "A")), ["192.0.2.1"]);
      }
      // Sets keep the order of arrival: a counter would make all steps the same.
      for (const set of [server.ids, server.ports]) {
        const seen = [...set];
        assert.ok(seen.length > rounds * 0.8, `${seen.length} of ${rounds}`);
        const steps = new Set(seen.slice(1).map((value, i) => value - seen[i]!));
        assert.ok(steps.size > rounds * 0.5, `${steps.size} steps`);
      }
    },
  );
});

Deno.test("a packet from another port is never seen", async () => {
  const stranger = dgram.createSocket("udp4");
  await withResolver(
    (query) => {
      const evil = packet.encode(
        reply(query, [{ name: "d.test", type: "A", ttl: 60, data: "203.0.113.66" }]),
      );
      queueMicrotask(() => stranger.send(evil, lastPort(), "127.0.0.1"));
      return [];
    },
    undefined,
    async (resolver, server) => {
      lastPort = () => [...server.ports].at(-1)!;
      assert.equal((await resolver.query("d.test", "A")).rcode, "timeout");
    },
    HASTY,
  );
  stranger.close();
});
let lastPort = () => 0;

Deno.test("a broken packet with the right id is malformed: passing, not absent", async () => {
  await withResolver(
    (query) => [new Uint8Array([query.id! >> 8, query.id! & 255, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0])],
    undefined,
    async (resolver) => {
      assert.equal((await resolver.query("d.test", "A")).rcode, "malformed");
    },
  );
});

const truncated: Behaviour = (query) => [
  reply(query, [{ name: "d.test", type: "A", ttl: 60, data: "203.0.113.66" }], {
    flags: packet.TRUNCATED_RESPONSE,
  }),
];

Deno.test("RFC 7766 section 5: a truncated answer is asked for over TCP, and its content is not used (DNS-22)", async () => {
  const many = Array.from(
    { length: 300 },
    (_, i): packet.Answer => ({ name: "d.test", type: "A", ttl: 60, data: `192.0.2.${i % 250}` }),
  );
  await withResolver(truncated, (query) => [reply(query, many)], async (resolver, server) => {
    assert.equal((await resolver.query("d.test", "A")).records.length, 300);
    assert.deepEqual(server.asked, ["d.test A", "tcp d.test A"]);
  });
});

Deno.test("DNS-22: TCP refused, silent, cut off or out of step: passing, and the truncated set is never used", async () => {
  await withResolver(truncated, undefined, async (resolver) => {
    assert.deepEqual([(await resolver.query("d.test", "A")).rcode], ["timeout"]);
  });
  for (
    const [tcp, expected] of [
      [() => [], "timeout"],
      [() => [new Uint8Array(0)], "malformed"],
      [(query: packet.Packet) => [{ ...reply(query, ANSWERS), id: (query.id! + 1) & 0xffff }], "malformed"],
      [(query: packet.Packet) => [reply(query, ANSWERS, { flags: packet.TRUNCATED_RESPONSE })], "malformed"],
    ] as const
  ) {
    await withResolver(truncated, tcp as Behaviour, async (resolver) => {
      const answer = await resolver.query("d.test", "A");
      assert.deepEqual([answer.rcode, answer.records.length], [expected, 0]);
    }, expected === "timeout" ? HASTY : PATIENT);
  }
});

Deno.test("RFC 6891 section 7: a server that knows no EDNS is asked without", async () => {
  await withResolver(
    (query) => query.additionals?.length === 1 ? [reply(query, [], { flags: 1 })] : [reply(query, ANSWERS)],
    undefined,
    async (resolver) => {
      assert.deepEqual(values(await resolver.query("d.test", "A")), ["192.0.2.1"]);
    },
  );
});

function chain(length: number, from = 0): packet.Answer[] {
  return Array.from({ length }, (_, i): packet.Answer => ({
    name: from + i === 0 ? "d.test" : `c${from + i}.test`,
    type: "CNAME",
    ttl: 100 - i,
    data: `c${from + i + 1}.test`,
  }));
}

Deno.test("CNAMEs in an answer are followed, and the least TTL counts", async () => {
  await withResolver(
    (query) => [
      reply(query, [...chain(3), { name: "c3.test", type: "A", ttl: 500, data: "192.0.2.3" }, ...ANSWERS]),
    ],
    undefined,
    async (resolver) => {
      const answer = await resolver.query("d.test", "A");
      assert.deepEqual([values(answer), answer.canonicalName, answer.ttl], [["192.0.2.3"], "c3.test", 98]);
    },
  );
});

Deno.test("DNS-10: a chain of ten is followed, of eleven not, and a loop not at all", async () => {
  for (
    const [length, expected] of [[CNAME_LIMIT, "ok"], [CNAME_LIMIT + 1, "malformed"], [
      20,
      "malformed",
    ]] as const
  ) {
    await withResolver(
      (query) => [
        reply(query, [...chain(length), { name: `c${length}.test`, type: "A", ttl: 5, data: "192.0.2.3" }]),
      ],
      undefined,
      async (resolver) => {
        assert.equal((await resolver.query("d.test", "A")).rcode, expected);
      },
    );
  }
  const loop: packet.Answer[] = [
    { name: "d.test", type: "CNAME", ttl: 5, data: "e.test" },
    { name: "e.test", type: "CNAME", ttl: 5, data: "d.test" },
  ];
  await withResolver((query) => [reply(query, loop)], undefined, async (resolver) => {
    assert.equal((await resolver.query("d.test", "A")).rcode, "loop");
  });
});

Deno.test("a chain that leads out of the answer is asked for, ten aliases in all", async () => {
  const step: Behaviour = (query) => {
    const name = query.questions![0]!.name;
    const at = name === "d.test" ? 0 : Number(name.slice(1, -5));
    return [reply(query, at < 4 ? chain(1, at) : [{ name, type: "A", ttl: 5, data: "192.0.2.9" }])];
  };
  await withResolver(step, undefined, async (resolver, server) => {
    assert.deepEqual(values(await resolver.query("d.test", "A")), ["192.0.2.9"]);
    assert.equal(server.asked.length, 5);
  });
  const endless: Behaviour = (query) => {
    const name = query.questions![0]!.name;
    return [reply(query, chain(1, name === "d.test" ? 0 : Number(name.slice(1, -5))))];
  };
  await withResolver(endless, undefined, async (resolver, server) => {
    assert.equal((await resolver.query("d.test", "A")).rcode, "malformed");
    assert.ok(server.asked.length <= CNAME_LIMIT + 1);
  });
});

Deno.test("DNS-07, DNS-08: host names that are none are left out and logged in printable form; the rest stays", async () => {
  const mx = (exchange: string): packet.Answer => ({
    name: "d.test",
    type: "MX",
    ttl: 60,
    data: { preference: 10, exchange },
  });
  const bad = ["evil\r\nX.test", "a b;`id`.test", "-a.test", "a..test", "\u001b[31m.test"];
  await withResolver(
    (query) => [reply(query, [...bad.slice(0, 3).map(mx), mx("good.test"), mx(".")])],
    undefined,
    async (resolver, _, warnings) => {
      assert.deepEqual(values(await resolver.query("d.test", "MX")), ["good.test", "."]);
      assert.equal(warnings.length, 3);
      for (const line of warnings) for (const char of line) assert.ok(char >= " " && char <= "~");
    },
  );
  await withResolver((query) => [reply(query, [mx(bad[0]!)])], undefined, async (resolver) => {
    // Nothing usable is not the same as nothing: the mail waits.
    assert.equal((await resolver.query("d.test", "MX")).rcode, "malformed");
  });
});

Deno.test("DNS-35: names that no zone can hold are not asked for", async () => {
  await withResolver(() => [], undefined, async (resolver, server) => {
    for (
      const name of [
        "",
        ".",
        "a..b",
        `${"x".repeat(64)}.test`,
        "x.".repeat(130),
        "a b",
        "a\r\nb",
        "ä.test",
        "-a.test",
      ]
    ) {
      assert.equal((await resolver.query(name, "A")).rcode, "nxdomain", name);
    }
    assert.deepEqual(server.asked, []);
  });
});

Deno.test("with two servers the second is asked when the first is ill", async () => {
  for (const ill of [2, 5]) {
    const first = await fakeDns((query) => [reply(query, [], { flags: ill })]);
    const second = await fakeDns((query) => [reply(query, ANSWERS)]);
    const servers = [first, second].map(({ port }) => ({ address: "127.0.0.1", port }));
    const resolver = new Resolver(servers, () => undefined, { ...RESOLVER_LIMITS, timeouts: PATIENT });
    assert.deepEqual(values(await resolver.query("d.test", "A")), ["192.0.2.1"]);
    await first.stop();
    await second.stop();
  }
});

Deno.test("questions over the limit wait their turn, and too many are turned away as passing failures", async () => {
  const server = await fakeDns((
    query,
  ) => [reply(query, [{ name: query.questions![0]!.name, type: "A", ttl: 0, data: "192.0.2.1" }])]);
  const limits = { ...RESOLVER_LIMITS, timeouts: PATIENT, concurrency: 2, waiting: 3 };
  const resolver = new Resolver([{ address: "127.0.0.1", port: server.port }], () => undefined, limits);
  const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => resolver.query(`n${i}.test`, "A")));
  assert.deepEqual(answers.map((answer) => answer.rcode).sort(), [
    ..."ok ".repeat(5).trim().split(" "),
    "servfail",
    "servfail",
    "servfail",
  ]);
  await server.stop();
});

const NOTHING: Answer = { rcode: "ok", authenticated: false, ttl: 10, canonicalName: "", records: [] };

Deno.test("the cache forgets what is over, counts down, and gives up the least recently used", () => {
  const cache = new AnswerCache(3, 1 << 20);
  for (const key of ["a", "b", "c"]) cache.keep(key, NOTHING, 0);
  assert.equal(cache.find("a", 4000)?.ttl, 6);
  cache.keep("d", NOTHING, 4000);
  assert.deepEqual(["a", "b", "c", "d"].map((key) => cache.find(key, 5000) !== undefined), [
    true,
    false,
    true,
    true,
  ]);
  assert.equal(cache.find("a", 9999)?.ttl, 1);
  assert.equal(cache.find("a", 10_000), undefined);
  assert.equal(cache.size, 2);
  cache.keep("e", { ...NOTHING, ttl: 0 }, 0);
  assert.equal(cache.find("e", 0), undefined);
});

Deno.test("the cache is bounded in bytes, not only in entries", () => {
  const record = { priority: 0, weight: 0, port: 0, value: "x".repeat(1000), data: new Uint8Array(0) };
  const cache = new AnswerCache(1000, 5000);
  for (let i = 0; i < 10; i++) cache.keep(`k${i}`, { ...NOTHING, records: [record] }, 0);
  assert.ok(cache.size <= 3 && cache.size >= 1);
  cache.keep("huge", { ...NOTHING, records: Array.from({ length: 10 }, () => record) }, 0);
  assert.equal(cache.find("huge", 0), undefined);
});

Deno.test("resolver settings: addresses with and without port, and nothing else", () => {
  assert.deepEqual(parseServers("192.0.2.53, 192.0.2.54:5353 [2001:DB8::53]:5353 2001:db8::54 [::1]"), [
    { address: "192.0.2.53", port: 53 },
    { address: "192.0.2.54", port: 5353 },
    { address: "2001:db8::53", port: 5353 },
    { address: "2001:db8::54", port: 53 },
    { address: "::1", port: 53 },
  ]);
  for (
    const bad of [
      "dns.test",
      "192.0.2.1:",
      "192.0.2.1:0",
      "192.0.2.1:65536",
      "[::1",
      "[::1]x",
      "[::1]:",
      "[x]:53",
      ":53",
    ]
  ) {
    assert.throws(() => parseServers(bad), /Cannot use resolver/, bad);
  }
});
