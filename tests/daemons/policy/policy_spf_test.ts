/** The SPF evaluator on the openspf test suite for RFC 7208, as Debian's python3-spf brings it. @module */
import assert from "node:assert/strict";
import { checkSpf } from "../../../daemons/policy/policy_spf.ts";
import type { DnsAnswer, DnsLookup } from "../../../lib/proto/dns_client.ts";
import { runProgram } from "../../support/postern.ts";
import { testNeeding } from "../../support/tools.ts";

type Scalar = string | readonly (string | number)[];
interface Scenario {
  readonly description: string;
  readonly tests: Readonly<
    Record<string, {
      readonly helo: string;
      readonly host: string;
      readonly mailfrom: string;
      readonly result: string | readonly string[];
      readonly explanation?: string;
    }>
  >;
  readonly zonedata: Readonly<Record<string, readonly (string | Readonly<Record<string, Scalar>>)[]>>;
}

/** Reads the suite: documents of YAML, made into JSON by the library that Debian's own tests use. */
const READER = `
import gzip, json, sys, yaml
with gzip.open("/usr/share/doc/python3-spf/rfc7208-tests.yml.gz", "rb") as f:
    print(json.dumps([d for d in yaml.safe_load_all(f.read())], default=str))
`;

/** The zone of one scenario. Records of type SPF stand for TXT records, unless the name has its own. */
function lookup(zonedata: Scenario["zonedata"]): DnsLookup {
  const zone = new Map(Object.entries(zonedata).map(([name, entries]) => [name.toLowerCase(), entries]));
  const answer = (rcode: DnsAnswer["rcode"], texts: readonly Scalar[] = []): Promise<DnsAnswer> =>
    Promise.resolve({
      rcode,
      authenticated: false,
      ttl: 60,
      canonicalName: "",
      records: texts.map((text) => ({
        priority: 0,
        weight: 0,
        port: 0,
        value: typeof text === "string" ? text : text.filter((part) => typeof part === "string").join(""),
        data: new Uint8Array(),
      })),
    });
  const query = (asked: string, type: string, depth = 0): Promise<DnsAnswer> => {
    const entries = zone.get(asked.toLowerCase());
    if (entries === undefined) return answer("nxdomain");
    const objects = entries.filter((entry) => typeof entry !== "string");
    const hasText = objects.some((entry) => "TXT" in entry);
    const found = objects.flatMap((entry) => {
      const value = entry[type] ?? (type === "TXT" && !hasText ? entry["SPF"] : undefined);
      return value === undefined || value === "NONE" ? [] : [value];
    });
    if (found.includes("TIMEOUT")) return answer("timeout");
    if (found.length > 0) return answer("ok", found);
    const alias = objects.find((entry) => "CNAME" in entry)?.["CNAME"];
    if (typeof alias === "string" && depth < 10) return query(alias, type, depth + 1);
    return entries.includes("TIMEOUT") ? answer("timeout") : answer("ok");
  };
  return { query: (name, type) => query(name, type) };
}

testNeeding(
  ["python3-spf"],
  "the openspf test suite for RFC 7208: every result and explanation",
  async () => {
    const read = await runProgram("python3", ["-c", READER]);
    assert.equal(read.status, 0, read.errors);
    const scenarios = JSON.parse(read.output) as readonly Scenario[];
    const wrong: string[] = [];
    let count = 0;
    for (const { description, tests, zonedata } of scenarios) {
      for (const [name, { helo, host, mailfrom, result, explanation }] of Object.entries(tests)) {
        count++;
        const question = { address: host, helo, sender: mailfrom, receiver: "mx.receiver.test" };
        const verdict = await checkSpf(question, lookup(zonedata));
        const expected = typeof result === "string" ? [result] : result;
        if (!expected.includes(verdict.result)) {
          wrong.push(`${description}: ${name}: ${verdict.result}, not ${expected.join(" or ")}`);
        }
        if (explanation !== undefined && verdict.result === "fail") {
          const own = explanation === "DEFAULT" ? "" : explanation;
          if (verdict.explanation !== own) {
            wrong.push(`${description}: ${name}: explanation "${verdict.explanation}", not "${own}"`);
          }
        }
      }
    }
    assert.ok(count > 180, `only ${count} tests`);
    assert.deepEqual(wrong, []);
  },
);
