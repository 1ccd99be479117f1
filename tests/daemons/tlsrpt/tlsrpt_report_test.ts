/** Who gets reports, and what is in them: RFC 8460. @module */
import assert from "node:assert/strict";
import { countResult, type DayCounts, DayStore } from "../../../daemons/tlsrpt/tlsrpt_counts.ts";
import { readTargets, reportJson, reportLines } from "../../../daemons/tlsrpt/tlsrpt_report.ts";
import type { TlsResult } from "../../../lib/proto/tlsrpt_client.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";

const RESULT: TlsResult = {
  domain: "d.test",
  policy: "no-policy-found",
  strings: [],
  patterns: [],
  failure: "",
  host: "mx.d.test",
  address: "192.0.2.1",
};

Deno.test("RFC 8460 section 3: one record of the version counts; targets are plain, or none", () => {
  assert.deepEqual(readTargets(["v=TLSRPTv1; rua=mailto:reports@example.com"]), [
    { kind: "mail", address: "reports@example.com" },
  ]);
  assert.deepEqual(readTargets(["v=spf1", "v=TLSRPTv1;rua=https://r.example.com/v1?x=1,mailto:a@b.test"]), [
    { kind: "web", host: "r.example.com", path: "/v1?x=1" },
    { kind: "mail", address: "a@b.test" },
  ]);
  for (
    const texts of [
      [],
      ["v=TLSRPTv1; rua=mailto:a@b.test", "v=TLSRPTv1; rua=mailto:c@d.test"],
      ["v=TLSRPTv2; rua=mailto:a@b.test"],
      ["v=TLSRPTv1; ruf=mailto:a@b.test"],
      ["v=TLSRPTv1; rua="],
      ["v=TLSRPTv1; rua=http://a.test/"],
      ["v=TLSRPTv1; rua=https://a.test:8443/"],
      ["v=TLSRPTv1; rua=https://user:pw@a.test/"],
      ["v=TLSRPTv1; rua=https://127.0.0.1/"],
      ["v=TLSRPTv1; rua=https://[::1]/"],
      ["v=TLSRPTv1; rua=mailto:a@b.test?bcc=c@d.test"],
      ["v=TLSRPTv1; rua=mailto:a%0d%0ab@b.test"],
      ["v=TLSRPTv1; rua=mailto:a\r\nX: y@b.test"],
      ["v=TLSRPTv1; rua=mailto:a@[192.0.2.1]"],
      ["v=TLSRPTv1; rua=mailto:b.test"],
      [`v=TLSRPTv1; rua=mailto:${"a".repeat(1000)}@b.test`],
    ]
  ) assert.deepEqual(readTargets(texts), [], JSON.stringify(texts));
  const many = Array.from({ length: 20 }, (_, i) => `mailto:r${i}@b.test`).join(",");
  assert.equal(readTargets([`v=TLSRPTv1; rua=${many}`]).length, 5);
});

Deno.test("results are counted by domain, policy and kind of failure, within bounds", () => {
  const day: DayCounts = new Map();
  for (let i = 0; i < 3; i++) countResult(day, RESULT);
  countResult(day, { ...RESULT, failure: "certificate-expired" });
  countResult(day, { ...RESULT, failure: "certificate-expired" });
  countResult(day, { ...RESULT, failure: "starttls-not-supported", host: "other.d.test" });
  countResult(day, { ...RESULT, policy: "sts", strings: [{ line: "version: STSv1" }] });
  const [plain, sts] = day.get("d.test")!;
  assert.deepEqual([plain!.successes, plain!.failures, plain!.details.map(({ count }) => count)], [3, 3, [
    2,
    1,
  ]]);
  assert.deepEqual([sts!.policy, sts!.successes], ["sts", 1]);
  for (let i = 0; i < 500; i++) {
    countResult(day, { ...RESULT, failure: "validation-failure", address: `192.0.2.${i}` });
  }
  assert.deepEqual([plain!.failures, plain!.details.length], [503, 100]);
  for (let i = 0; i < 50; i++) countResult(day, { ...RESULT, strings: [{ line: String(i) }] });
  assert.equal(day.get("d.test")!.length, 10);
  for (let i = 0; i < 11_000; i++) countResult(day, { ...RESULT, domain: `${i}.test` });
  assert.equal(day.size, 10_000);
});

Deno.test("a day survives its file; a damaged one is no day", async () => {
  using directory = new TemporaryDirectory();
  const warnings: string[] = [];
  const store = new DayStore(directory.path, (text) => warnings.push(text));
  const day: DayCounts = new Map();
  countResult(day, { ...RESULT, failure: "certificate-expired" });
  await store.write("2026-11-27", day);
  directory.write("2026-11-28", "[[");
  directory.write("2026-13-99", "");
  assert.deepEqual(store.days(), ["2026-11-27", "2026-11-28"]);
  assert.deepEqual(store.read("2026-11-27"), day);
  assert.equal(store.read("2026-11-28").size, 0);
  assert.equal(warnings.length, 1);
  store.remove("2026-11-27");
  assert.deepEqual(store.days(), ["2026-11-28"]);
});

const BY = { organization: "Example", contact: "postmaster@example.com", submitter: "mx.example.com" };

Deno.test("a report has what RFC 8460 section 4.4 names", () => {
  const day: DayCounts = new Map();
  const sts = {
    ...RESULT,
    policy: "sts",
    strings: [{ line: "version: STSv1" }],
    patterns: [{ name: "*.d.test" }],
  } as const;
  countResult(day, sts);
  countResult(day, { ...sts, failure: "certificate-expired" });
  assert.deepEqual(JSON.parse(reportJson("d.test", "2026-11-27", "id-1", day.get("d.test")!, BY)), {
    "organization-name": "Example",
    "date-range": { "start-datetime": "2026-11-27T00:00:00Z", "end-datetime": "2026-11-27T23:59:59Z" },
    "contact-info": "postmaster@example.com",
    "report-id": "id-1",
    policies: [{
      policy: {
        "policy-type": "sts",
        "policy-string": ["version: STSv1"],
        "policy-domain": "d.test",
        "mx-host": ["*.d.test"],
      },
      summary: { "total-successful-session-count": 1, "total-failure-session-count": 1 },
      "failure-details": [{
        "result-type": "certificate-expired",
        "sending-mta-hostname": "mx.example.com",
        "receiving-mx-hostname": "mx.d.test",
        "receiving-ip": "192.0.2.1",
        "failed-session-count": 1,
      }],
    }],
  });
});

Deno.test("the message of a report has the headers and parts of RFC 8460 section 5.3", () => {
  const lines = reportLines(
    "d.test",
    "2026-11-27",
    "id-1",
    "r@d.test",
    new Uint8Array(200),
    BY,
    "QUEUEID",
    0,
  );
  for (
    const line of [
      "From: postmaster@example.com",
      "To: r@d.test",
      "Subject: Report Domain: d.test Submitter: mx.example.com Report-ID: <id-1@mx.example.com>",
      "TLS-Report-Domain: d.test",
      "TLS-Report-Submitter: mx.example.com",
      "TLS-Required: no",
      'Content-Type: multipart/report; report-type="tlsrpt"; boundary="QUEUEID.id-1"',
      "Content-Type: application/tlsrpt+gzip",
      'Content-Disposition: attachment; filename="mx.example.com!d.test!1795737600!1795823999.json.gz"',
      "--QUEUEID.id-1--",
    ]
  ) assert.ok(lines.includes(line), line);
  assert.ok(lines.every((line) => line.length <= 998));
});
