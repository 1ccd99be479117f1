/** What of a login is said behind it. @module */
import assert from "node:assert/strict";
import type { Logger } from "../../../lib/log/log.ts";
import { ClientLogin } from "../../../lib/smtp/client_sasl.ts";
import { StartTlsServer } from "../../support/starttls_server.ts";
import { FakeDns, makeBench } from "./delivery_bench.ts";
import { fakeMaps, makeClientTls } from "./tls_bench.ts";

/** The MAIL command that a server heard which a login is known for, or not. */
async function mailSaid(dummyAuth: boolean, known: boolean): Promise<string | undefined> {
  await using peer = await StartTlsServer.start({ keywords: ["AUTH PLAIN"], auth: () => "235 2.7.0 Ok\r\n" });
  const nexthop = `[127.0.0.1]:${peer.port}`;
  const configuration = {
    passwords: "smtp_sasl_password_maps",
    delimiter: ":",
    bySender: false,
    softBounce: true,
    filter: [],
    clear: ["noanonymous"],
    encrypted: [],
    verified: [],
    dummyAuth,
  };
  const more = (log: Logger) => ({
    tls: makeClientTls({}, new FakeDns(), log),
    login: new ClientLogin(configuration, fakeMaps(known ? { [nexthop]: "user:secret" } : {})),
  });
  await using bench = makeBench({ trusted: new Set([nexthop]) }, {}, undefined, true, more);
  const { recipients } = await bench.deliver({ nexthop });
  assert.equal(recipients[0]!.result, "sent", bench.lines.join("\n"));
  return peer.heard.map(({ line }) => line).find((line) => line.startsWith("MAIL"));
}

Deno.test("RFC 4954 section 5: MAIL vouches for nobody behind a login, where it is configured", async () => {
  assert.match(await mailSaid(true, true) ?? "", /^MAIL FROM:<[^>]*>.* AUTH=<>$/);
  assert.doesNotMatch(await mailSaid(true, false) ?? "", /AUTH=/);
  assert.doesNotMatch(await mailSaid(false, true) ?? "", /AUTH=/);
});
