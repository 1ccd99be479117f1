import assert from "node:assert/strict";
import { findServer } from "../../commands/sendmail_smtp.ts";

type Services = Parameters<typeof findServer>[0]["services"];

function find(...entries: Record<string, unknown>[]) {
  return findServer({ services: entries as unknown as Services, settings: { queue_directory: "/q" } });
}

Deno.test("-bs speaks to the unix socket of an smtpd before a port of one", () => {
  const inet = { name: "25", type: "inet", command: "smtpd", private: false, listen: { port: 25 } };
  const unix = { name: "smtpd", type: "unix", command: "smtpd", private: true };
  assert.deepEqual(find(inet, unix), { kind: "unix", path: "/q/private/smtpd" });
  assert.deepEqual(find(inet), { kind: "inet", host: "127.0.0.1", port: 25, family: 0 });
  assert.deepEqual(find({ ...inet, listen: { host: "192.0.2.1", port: 2525 } }), {
    kind: "inet",
    host: "192.0.2.1",
    port: 2525,
    family: 0,
  });
  assert.equal(find({ name: "cleanup", type: "unix", command: "cleanup", private: false }), undefined);
});
