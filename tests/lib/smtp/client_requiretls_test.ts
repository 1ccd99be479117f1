/** What REQUIRETLS demands of a destination, by smtp_requiretls_policy, and what the log says of it. @module */
import assert from "node:assert/strict";
import { configure } from "../../daemons/smtpd/mail_host.ts";
import type { MapLookup } from "../../../lib/proto/proxymap_client.ts";
import { parseDestination } from "../../../lib/smtp/client_destination.ts";
import { destinationKey, endpointKey, PLAIN_TERMS } from "../../../lib/smtp/client_key.ts";
import { demandsTls, REQUIRETLS_LEVELS, RequireTlsPolicy } from "../../../lib/smtp/client_requiretls.ts";
import type { HostLevel, HostTls } from "../../../lib/smtp/client_tls_policy.ts";
import type { TlsLevel } from "../../../lib/smtp/client_tls_settings.ts";
import { type TlsStage, tlsStatus, undecidedStatus } from "../../../lib/smtp/client_tls_status.ts";
import type { RequireTlsLevel } from "../../../lib/smtp/client_requiretls.ts";
import { TableError } from "../../../lib/table/table.ts";
import { POLICY } from "./delivery_bench.ts";
import { fakeMaps } from "./tls_bench.ts";

const NO_MAPS = (): MapLookup => {
  throw new Error("no table has to be asked");
};

async function ask(
  items: readonly string[],
  nexthop: string,
  maps: () => MapLookup = NO_MAPS,
): Promise<string> {
  const policy = RequireTlsPolicy.from(
    "smtp",
    { smtp_requiretls_policy: items },
    "client.test",
    maps,
    () => {},
  );
  const found = await policy.of(parseDestination(nexthop, POLICY));
  return found.kind === "level" ? found.level : `invalid: ${found.why}`;
}

/** The default where $mydomain is that. */
function defaultFor(domain: string): readonly string[] {
  return configure({ mydomain: `"${domain}"` }).settings.smtp_requiretls_policy;
}

const DEFAULT = defaultFor("example.com");

for (
  const [nexthop, level] of [
    ["example.com", "opportunistic"],
    ["mx.Example.com:26", "opportunistic"],
    ["[a.b.example.com]", "opportunistic"],
    ["localhost", "opportunistic"],
    ["[127.0.0.1]:10025", "opportunistic"],
    ["[2001:db8::1]", "opportunistic"],
    ["[IPv6:2001:db8::1]", "opportunistic"],
    ["example.org", "enforce"],
    ["notexample.com", "enforce"],
    ["xexample.com", "enforce"],
  ] as const
) {
  Deno.test(`the default policy for ${nexthop} is ${level}`, async () => {
    assert.equal(await ask(DEFAULT, nexthop), level);
  });
}

Deno.test("a domain outside ASCII stands in the default policy, and is looked up, as its A-label", async () => {
  const items = defaultFor("bücher.test");
  assert.ok(items[0]!.includes("{xn--bcher-kva.test=opportunistic}"));
  assert.equal(await ask(items, "bücher.test"), "opportunistic");
  assert.equal(await ask(items, "mx.xn--bcher-kva.test"), "opportunistic");
});

Deno.test("the first item that has the destination counts, and without one it is enforce", async () => {
  assert.equal(await ask([], "a.test"), "enforce");
  assert.equal(await ask(["disable", "enforce"], "a.test"), "disable");
  const tables = ["inline:{a.test=disable}", "inline:{{a.test=enforce}, {.test=opportunistic+starttls}}"];
  assert.equal(await ask(tables, "a.test"), "disable");
  assert.equal(await ask(tables, "b.test"), "opportunistic+starttls");
  assert.equal(await ask(tables, "b.other"), "enforce");
  assert.equal(await ask([...tables, "opportunistic"], "b.other"), "opportunistic");
});

Deno.test("a table on a file or server is asked through proxymap; what it cannot say, or says wrong, is no level", async () => {
  const asked: string[] = [];
  const maps = (): MapLookup => ({
    find: (parameter, search, key, table) => {
      asked.push(`${parameter} ${search} ${key} ${table}`);
      return fakeMaps({ "a.test": "disable", "b.test": "TROUBLE", "c.test": "Enforce" }).find(
        "",
        search,
        key,
      );
    },
  });
  const items = ["texthash:/etc/policy", "opportunistic"];
  assert.equal(await ask(items, "a.test", maps), "disable");
  assert.equal(await ask(items, "d.test", maps), "opportunistic");
  assert.equal(await ask(items, "b.test", maps), "invalid: smtp_requiretls_policy: table is away");
  assert.equal(
    await ask(items, "c.test", maps),
    'invalid: smtp_requiretls_policy: "Enforce" for c.test is no level',
  );
  assert.equal(asked[0], "smtp_requiretls_policy domain a.test texthash:/etc/policy");
  assert.equal(
    await ask(["sometimes"], "a.test"),
    'invalid: smtp_requiretls_policy: "sometimes" for a.test is no level',
  );
  await assert.rejects(ask(["inline:{a.test}"], "a.test"), TableError);
});

Deno.test("a unix socket is looked up as our own name", async () => {
  const items = ["inline:{client.test=disable}"];
  const policy = RequireTlsPolicy.from(
    "lmtp",
    { lmtp_requiretls_policy: items },
    "client.test",
    NO_MAPS,
    () => {},
  );
  const destination = parseDestination("unix:/run/lmtp", { ...POLICY, dialect: "lmtp" });
  assert.deepEqual(await policy.of(destination), { kind: "level", level: "disable" });
});

Deno.test("connections are shared only by mail that REQUIRETLS demands the same of", () => {
  const host = { kind: "inet", address: "192.0.2.1", port: 25 } as const;
  const keys = ["", ...REQUIRETLS_LEVELS].flatMap((requireTls) => {
    const terms = { ...PLAIN_TERMS, requireTls };
    return [destinationKey("a.test", terms), endpointKey(host, terms)];
  });
  assert.equal(new Set(keys).size, keys.length);
  assert.deepEqual(REQUIRETLS_LEVELS.filter(demandsTls), ["opportunistic+starttls", "enforce"]);
});

/** The examples of postconf(5), smtp_log_tls_feature_status, in its words. */
const STATUS: readonly {
  readonly asked: TlsLevel;
  readonly level: HostLevel;
  readonly requireTls?: RequireTlsLevel;
  readonly stage: TlsStage;
  /** clear, tls, or tls and the keyword; undefined: no connection. */
  readonly session?: "clear" | "tls" | "keyword";
  readonly expected: string;
}[] = [
  { asked: "none", level: "none", stage: "ready", session: "clear", expected: "none" },
  { asked: "may", level: "may", stage: "ready", session: "tls", expected: "may" },
  { asked: "may", level: "may", stage: "undecided", expected: "may?" },
  { asked: "may", level: "may", stage: "ready", session: "clear", expected: "may:none" },
  { asked: "dane", level: "dane", stage: "ready", session: "tls", expected: "dane" },
  { asked: "dane", level: "half-dane", stage: "ready", session: "tls", expected: "dane:halfdane" },
  { asked: "dane", level: "encrypt", stage: "ready", session: "tls", expected: "dane:encrypt" },
  { asked: "dane", level: "dane", stage: "validation-failure", session: "clear", expected: "dane?" },
  { asked: "may", level: "secure", stage: "ready", session: "tls", expected: "secure" },
  {
    asked: "encrypt",
    level: "encrypt",
    stage: "starttls-not-supported",
    session: "clear",
    expected: "!encrypt:nostarttls",
  },
  {
    asked: "verify",
    level: "verify",
    stage: "certificate-not-trusted",
    session: "tls",
    expected: "!verify:nocertmatch",
  },
  {
    asked: "secure",
    level: "secure",
    requireTls: "enforce",
    stage: "ready",
    session: "keyword",
    expected: "secure/requiretls",
  },
  {
    asked: "secure",
    level: "secure",
    requireTls: "enforce",
    stage: "certificate-expired",
    session: "tls",
    expected: "!secure:nocertmatch/!requiretls:nocertmatch",
  },
  {
    asked: "may",
    level: "may",
    requireTls: "enforce",
    stage: "nocertmatch",
    expected: "may?/!requiretls:nocertmatch",
  },
  {
    asked: "none",
    level: "none",
    requireTls: "enforce",
    stage: "noencryption",
    expected: "none/!requiretls:noencryption",
  },
  {
    asked: "dane",
    level: "dane",
    requireTls: "enforce",
    stage: "requiretls-not-offered",
    session: "tls",
    expected: "dane/!requiretls:none",
  },
  { asked: "dane", level: "dane", requireTls: "enforce", stage: "undecided", expected: "dane?/requiretls?" },
  {
    asked: "may",
    level: "may",
    requireTls: "opportunistic+starttls",
    stage: "starttls-not-supported",
    session: "clear",
    expected: "may?/!requiretls:nostarttls",
  },
  {
    asked: "may",
    level: "may",
    requireTls: "opportunistic+starttls",
    stage: "ready",
    session: "keyword",
    expected: "may/requiretls:nocertmatch",
  },
  {
    asked: "may",
    level: "may",
    requireTls: "opportunistic+starttls",
    stage: "ready",
    session: "tls",
    expected: "may/requiretls:none",
  },
  {
    asked: "may",
    level: "may",
    requireTls: "opportunistic",
    stage: "ready",
    session: "clear",
    expected: "may:none/requiretls:none",
  },
];

for (const { asked, level, requireTls, stage, session, expected } of STATUS) {
  Deno.test(`the log says tls=${expected}`, () => {
    const wanted = { kind: "wanted", level: asked, entry: undefined, label: "" } as const;
    const tls = { level, required: level !== "none" && level !== "may", requireTls } as HostTls;
    const connection = session && {
      security: session === "clear" ? undefined : {},
      features: { requireTls: session === "keyword" },
    };
    assert.equal(tlsStatus(wanted, tls, stage, connection), expected);
  });
}

Deno.test("of a destination without a host the log says what was wanted, and of one without a policy nothing", () => {
  const wanted = { kind: "wanted", level: "may", entry: undefined, label: "" } as const;
  assert.equal(undecidedStatus(wanted, undefined), "may?");
  assert.equal(undecidedStatus(wanted, "enforce"), "may?/requiretls?");
  assert.equal(undecidedStatus({ kind: "invalid", why: "x" }, "enforce"), "");
});
