/** What the client does beyond the plain dialogue: XFORWARD, firewalls, tables about servers, other transports. @module */
import assert from "node:assert/strict";
import type { Logger } from "../../../lib/log/log.ts";
import type { LineLookup, LinesOutcome, MapLookup, MapOutcome } from "../../../lib/proto/proxymap_client.ts";
import type { DeliveryTools } from "../../../lib/smtp/client_delivery.ts";
import type { ClientPolicy } from "../../../lib/smtp/client_policy.ts";
import type { RecipientReport } from "../../../lib/smtp/client_recipients.ts";
import { ClientTables, type TableSettings } from "../../../lib/smtp/client_tables.ts";
import { type Bench, type Delivered, FakeDns, makeBench, POLICY, type Zone } from "./delivery_bench.ts";
import { type FakeServer, fakeServer, type Script } from "./fake_server.ts";

/** Tables of a test: values by parameter and key; "retry" for one that cannot be asked. */
type Tables = Readonly<Record<string, Readonly<Record<string, string>> | "retry">>;

class TestMaps implements MapLookup, LineLookup {
  readonly asked: string[] = [];
  readonly #tables: Tables;
  constructor(tables: Tables) {
    this.#tables = tables;
  }
  find(parameter: string, _search: string, key: string): Promise<MapOutcome> {
    this.asked.push(`${parameter} ${key}`);
    const table = this.#tables[parameter];
    if (table === "retry") return Promise.resolve({ kind: "retry", why: "away" });
    const value = table?.[key];
    return Promise.resolve(
      value === undefined ? { kind: "missing" } : { kind: "found", value, extension: "" },
    );
  }
  findLines(parameter: string, lines: readonly Uint8Array[]): Promise<LinesOutcome> {
    const table = this.#tables[parameter];
    if (table === "retry") return Promise.resolve({ kind: "retry", why: "away" });
    const values = new Map<number, Uint8Array>();
    for (const [i, line] of lines.entries()) {
      const text = new TextDecoder().decode(line);
      this.asked.push(`${parameter} ${text}`);
      const value = table?.[text];
      if (value !== undefined) values.set(i, new TextEncoder().encode(value));
    }
    return Promise.resolve({ kind: "matched", values });
  }
}

function tablesOf(tables: Tables, log: Logger): ClientTables {
  const names = [
    "smtp_connection_cache_destinations",
    "smtp_delivery_status_filter",
    "smtp_discard_ehlo_keyword_address_maps",
    "smtp_dns_reply_filter",
    "smtp_pix_workaround_maps",
    "smtp_reply_filter",
  ];
  const settings = Object.fromEntries(names.map((name) => [name, name in tables ? ["x:y"] : []]));
  return ClientTables.from(
    "smtp",
    settings as unknown as TableSettings<"smtp">,
    () => new TestMaps(tables),
    log,
  )!;
}

interface Setting {
  readonly server?: Script;
  readonly policy?: Partial<ClientPolicy>;
  readonly tables?: Tables;
  readonly tools?: Partial<DeliveryTools>;
  readonly request?: Parameters<Bench["deliver"]>[0];
  readonly zone?: Zone;
  /** Deliveries one after the other; 1 by default. */
  readonly times?: number;
}

async function once(
  setting: Setting,
  look: (delivered: Delivered, server: FakeServer, bench: Bench) => void | Promise<void>,
): Promise<void> {
  const server = fakeServer(setting.server);
  const nexthop = `[127.0.0.1]:${server.port}`;
  const policy = { trusted: new Set([nexthop]), ...setting.policy };
  const more = (log: Logger): Partial<DeliveryTools> => ({
    ...setting.tables === undefined ? {} : { tables: tablesOf(setting.tables, log) },
    ...setting.tools,
  });
  try {
    await using bench = makeBench(policy, setting.zone, undefined, undefined, more);
    let delivered: Delivered | undefined;
    for (let i = 0; i < (setting.times ?? 1); i++) {
      delivered = await bench.deliver({ nexthop, ...setting.request });
    }
    assert.deepEqual(delivered!.errors, []);
    await look(delivered!, server, bench);
  } finally {
    await server.stop();
  }
}

const CLIENT = {
  clientName: "client.test",
  clientAddress: "IPv6:2001:db8::1",
  clientPort: "4321",
  protocolName: "ESMTP",
  heloName: "[he=lo]",
  logIdent: "ABC123",
  rewriteContext: "remote" as const,
};

Deno.test("XFORWARD tells of the client, in two commands before MAIL, only what the server takes and is known", async () => {
  const keywords = ["PIPELINING", "XFORWARD NAME ADDR PORT PROTO HELO SOURCE IDENT"];
  const policy = { xforward: true };
  await once({ server: { keywords }, policy, request: CLIENT }, (delivered, server) => {
    assert.equal(delivered.recipients[0]?.result, "sent");
    assert.deepEqual(server.commands.slice(1, 4), [
      "XFORWARD NAME=client.test ADDR=IPv6:2001:db8::1 PORT=4321",
      "XFORWARD PROTO=ESMTP HELO=[he+3Dlo] IDENT=ABC123 SOURCE=REMOTE",
      "MAIL FROM:<sender@client.test>",
    ]);
  });
  const unknown = { ...CLIENT, clientName: "unknown", clientPort: "" };
  await once({ server: { keywords: ["XFORWARD NAME ADDR"] }, policy, request: unknown }, (_, server) => {
    assert.deepEqual(server.commands.slice(1, 3), [
      "XFORWARD ADDR=IPv6:2001:db8::1",
      "MAIL FROM:<sender@client.test>",
    ]);
  });
  await once({ server: { keywords }, request: CLIENT }, (_, server) => {
    assert.ok(!server.commands.some((line) => line.startsWith("XFORWARD")));
  });
});

Deno.test("a server that refuses XFORWARD gets the message all the same", async () => {
  const server = { keywords: ["XFORWARD NAME"], answers: { XFORWARD: "550 5.7.0 no" } };
  await once({ server, policy: { xforward: true }, request: CLIENT }, (delivered, _, bench) => {
    assert.equal(delivered.recipients[0]?.result, "sent");
    assert.ok(
      bench.lines.some((line) => line.includes("said: 550 5.7.0 no (in reply to XFORWARD name/address")),
    );
  });
});

const MASKED = "220 **********02***0****2**0******";

Deno.test("a masked greeting gets HELO, and the end of old mail a packet of its own after a pause", async () => {
  const arrivalTime = Date.now() - 600_000;
  await once({ server: { greeting: MASKED }, request: { arrivalTime } }, (delivered, server, bench) => {
    assert.equal(delivered.recipients[0]?.result, "sent");
    assert.equal(server.commands[0], "HELO client.test");
    assert.ok(server.pauseBeforeEnd! >= 40, String(server.pauseBeforeEnd));
    const line =
      `enabling PIX workarounds: disable_esmtp delay_dotcrlf for 127.0.0.1[127.0.0.1]:${server.port}`;
    assert.ok(bench.lines.some((each) => each.endsWith(line)), bench.lines.join("\n"));
  });
  await once({ server: { greeting: MASKED } }, (_, server, bench) => {
    assert.equal(server.pauseBeforeEnd, undefined);
    assert.ok(bench.lines.some((each) => each.includes("enabling PIX workarounds: disable_esmtp for ")));
  });
});

Deno.test("smtp_pix_workaround_maps decides by address, smtp_pix_workarounds for all others", async () => {
  const tables = { smtp_pix_workaround_maps: { "127.0.0.1": "delay_dotcrlf" } };
  await once({ server: { greeting: MASKED }, tables }, (_, server) => {
    assert.equal(server.commands[0], "EHLO client.test");
  });
  const other = { smtp_pix_workaround_maps: { "127.0.0.2": "delay_dotcrlf" } };
  await once({ server: { greeting: MASKED }, tables: other }, (_, server) => {
    assert.equal(server.commands[0], "HELO client.test");
  });
  const away = { smtp_pix_workaround_maps: "retry" as const };
  await once({ server: { greeting: MASKED }, tables: away }, (delivered) => {
    assert.equal(delivered.recipients[0]?.status, "4.3.0");
    assert.equal(
      delivered.recipients[0]?.reason,
      "local data error while talking to 127.0.0.1[127.0.0.1]",
    );
  });
});

Deno.test("smtp_discard_ehlo_keyword_address_maps takes the place of the list, for its servers", async () => {
  const server = { keywords: ["PIPELINING", "SIZE 5", "DSN"] };
  const policy = { discardKeywords: ["dsn"] };
  const tables = { smtp_discard_ehlo_keyword_address_maps: { "127.0.0.1": "size, silent-discard" } };
  await once({ server, policy, tables }, (delivered, _, bench) => {
    assert.equal(delivered.recipients[0]?.result, "sent");
    assert.ok(!bench.lines.some((line) => line.includes("discarding")));
  });
  await once({ server, policy }, (delivered, _, bench) => {
    assert.equal(delivered.recipients[0]?.status, "5.3.4");
    assert.ok(bench.lines.some((line) => line.endsWith("discarding EHLO keywords: dsn")));
  });
});

Deno.test("smtp_reply_filter changes a line before anything is made of it", async () => {
  const tables = {
    smtp_reply_filter: {
      "550 5.1.1 full": "450 4.2.2 full",
      "250 2.0.0 Ok: queued as TEST": "250 2.0.0 taken",
    },
  };
  const server = { answers: { RCPT: ["550 5.1.1 full", "250 ok"] } };
  await once({ server, tables, request: { to: ["a@d.test", "b@d.test"] } }, (delivered) => {
    assert.deepEqual(delivered.recipients.map(({ offset, result, status }) => [offset, result, status]), [
      [1001, "sent", "2.0.0"],
      [1000, "deferred", "4.2.2"],
    ]);
    assert.equal(delivered.recipients[0]?.diagnosticText, "250 2.0.0 taken");
  });
  await once({ tables: { smtp_reply_filter: "retry" } }, (delivered) => {
    assert.equal(delivered.recipients[0]?.status, "4.3.0");
    assert.match(delivered.recipients[0]!.reason, /refused to talk to me: 450 4.3.0 Internal error/);
  });
});

Deno.test("smtp_delivery_status_filter changes results, but never makes a success of a failure", async () => {
  const reason = "host 127.0.0.1[127.0.0.1] said: 450 4.2.1 later (in reply to RCPT TO command)";
  const key = `4.2.1 ${reason}`;
  const server = { answers: { RCPT: "450 4.2.1 later" } };
  const filter = (value: string) => ({ smtp_delivery_status_filter: { [key]: value } });
  const cases: [value: string, expected: string][] = [
    ["5.7.1 never", "bounced 5.7.1 never"],
    ["4.7.1 later still", "deferred 4.7.1 later still"],
    ["2.0.0 fine", `deferred 4.2.1 ${reason}`],
    ["nonsense", `deferred 4.2.1 ${reason}`],
  ];
  for (const [value, expected] of cases) {
    await once({ server, tables: filter(value) }, (delivered, _, bench) => {
      const [told] = delivered.recipients;
      assert.equal(`${told?.result} ${told?.status} ${told?.reason}`, expected);
      assert.ok(bench.lines.some((line) => line.includes(`dsn=${told?.status}, status=${told?.result}`)));
    });
  }
  await once({ tables: { smtp_delivery_status_filter: "retry" } }, (delivered) => {
    assert.equal(delivered.recipients[0]?.result, "sent");
  });
});

Deno.test("smtp_dns_reply_filter drops records; where none is left the mail waits", async () => {
  const zone: Zone = { "d.test MX": [[10, "a.test"], [20, "b.test"]] };
  const lines: string[] = [];
  const write = (text: string) => void lines.push(text);
  const log = { info: write, warning: write, error: write, debug: write, flush: () => undefined };
  const filtered = (tables: Tables) =>
    tablesOf(tables, log).filterDns(new FakeDns(zone)).query("d.test", "MX");
  const first = "d.test. 60 IN MX 10 a.test.";
  const second = "d.test. 60 IN MX 20 b.test.";
  const some = await filtered({ smtp_dns_reply_filter: { [first]: "ignore" } });
  assert.deepEqual([some.rcode, some.records.map(({ value }) => value)], ["ok", ["b.test"]]);
  assert.ok(lines.includes(`ignoring DNS RR: ${first}`));
  const none = await filtered({ smtp_dns_reply_filter: { [first]: "IGNORE", [second]: "IGNORE" } });
  assert.deepEqual([none.rcode, none.records], ["policy", []]);
  const odd = await filtered({ smtp_dns_reply_filter: { [first]: "REJECT" } });
  assert.equal(odd.records.length, 2);
  assert.equal((await filtered({ smtp_dns_reply_filter: "retry" })).rcode, "servfail");
});

Deno.test("connections to smtp_connection_cache_destinations are kept from the first delivery on", async () => {
  const tables = { smtp_connection_cache_destinations: { "127.0.0.1": "" } };
  const policy = { reuse: { ...POLICY.reuse, enabled: false } };
  await once({ tables, policy, times: 3 }, (_, server) => assert.equal(server.connections, 1));
  await once({ tables: { smtp_connection_cache_destinations: {} }, policy, times: 3 }, (_, server) => {
    assert.equal(server.connections, 3);
  });
});

Deno.test("mail whose best MX is this host goes to best_mx_transport, or back", async () => {
  const zone: Zone = { "d.test MX": [[10, "a.test"]], "a.test A": ["192.0.2.1"] };
  const passed: string[] = [];
  const tools: Partial<DeliveryTools> = {
    pass: (_, recipients, report) => {
      for (const { offset, address } of recipients.slice(1)) {
        passed.push(address);
        report({ ...DELIVERED, offset });
      }
      return Promise.resolve("it has not told of all");
    },
  };
  const request = { nexthop: "d.test", to: ["a@d.test", "b@d.test"] };
  await once({ zone, tools, policy: { bestMxTransport: "local" }, request }, (delivered) => {
    assert.deepEqual(passed, ["b@d.test"]);
    assert.deepEqual(
      delivered.recipients.map(({ offset, result, status, reason }) => [
        offset,
        result,
        `${status} ${reason}`,
      ]),
      [
        [1001, "sent", "2.0.0 delivered to mailbox"],
        [1000, "deferred", "4.3.0 it has not told of all"],
      ],
    );
  });
  await once({ zone, request }, (delivered) => {
    assert.deepEqual(delivered.recipients.map(({ status }) => status), ["5.4.6", "5.4.6"]);
  });
  // A relayhost that leads back to us was configured wrong: the mail waits.
  const wrong = { bestMxTransport: "local", relayhost: "d.test" };
  await once({ zone, tools, policy: wrong, request }, (delivered) => {
    assert.deepEqual(delivered.recipients.map(({ result, status }) => `${result} ${status}`), [
      "deferred 4.3.5",
      "deferred 4.3.5",
    ]);
  });
});

const DELIVERED: Omit<RecipientReport, "offset"> = {
  result: "sent",
  status: "2.0.0",
  action: "delivered",
  reason: "delivered to mailbox",
  diagnosticType: "",
  diagnosticText: "",
  remoteMta: "",
};

Deno.test("the postmaster gets the transcript of a misunderstanding, and of nothing else", async () => {
  const notices: string[][] = [];
  const tools = {
    notify: (server: string, body: readonly string[]) => void notices.push([server, ...body]),
    doubleBounceSender: "double-bounce@client.test",
  };
  const cases: [server: Script, told: boolean, request?: Setting["request"]][] = [
    [{ answers: { MAIL: "500 5.5.2 what" } }, true],
    [{ answers: { RCPT: "555 5.5.4 what" } }, true],
    [{ answers: { DATA: "250 2.0.0 ok" } }, true],
    [{ answers: { RCPT: "noise\r\n250 2.0.0 ok" } }, true],
    [{ answers: { EHLO: "502 no", HELO: "503 no" } }, true],
    [{ answers: { RCPT: "550 5.1.1 no" } }, false],
    [{ answers: { MAIL: "451 4.3.0 later" } }, false],
    [{}, false],
    [{ answers: { MAIL: "500 5.5.2 what" } }, false, { sender: "" }],
    [{ answers: { MAIL: "500 5.5.2 what" } }, false, { sender: "double-bounce@client.test" }],
  ];
  for (const [server, told, request = {}] of cases) {
    notices.length = 0;
    await once({ server, tools, request }, () => {
      assert.equal(notices.length, told ? 1 : 0, JSON.stringify(server));
    });
  }
  await once({ server: { answers: { MAIL: "500 5.5.2 what" } }, tools }, (_, server) => {
    const [name, ...body] = notices.at(-1)!;
    assert.equal(name, "127.0.0.1[127.0.0.1]");
    assert.deepEqual(body.slice(0, 3), [
      "Unexpected response from 127.0.0.1[127.0.0.1].",
      "",
      "Transcript of session follows.",
    ]);
    assert.ok(body.includes(" In:  220 fake.test ESMTP"));
    assert.ok(body.includes(" Out: EHLO client.test"));
    assert.ok(body.includes(" In:  500 5.5.2 what"));
    assert.ok(server.commands.length > 0);
  });
});

Deno.test("noise from a server with PIPELINING is warned of, and the connection is not kept", async () => {
  const server = { answers: { MAIL: "noise\r\n250 2.0.0 ok" } };
  await once({ server, times: 3 }, (delivered, fake, bench) => {
    assert.equal(delivered.recipients[0]?.result, "sent");
    assert.equal(fake.connections, 3);
    assert.equal(bench.cache.size, 0);
    const relay = `127.0.0.1[127.0.0.1]:${fake.port}`;
    assert.ok(bench.lines.some((line) => line.endsWith(`: non-SMTP response from ${relay}: noise`)));
    assert.ok(
      bench.lines.some((line) => line.includes("to prevent loss of mail, turn off command pipelining")),
    );
  });
});

Deno.test("the answer to QUIT is not taken for one to the message", async () => {
  await once({ server: { final: "hello" } }, (delivered, server) => {
    assert.equal(server.texts.length, 1);
    assert.deepEqual(delivered.recipients.map(({ result, status }) => [result, status]), [[
      "deferred",
      "4.5.0",
    ]]);
  });
});
