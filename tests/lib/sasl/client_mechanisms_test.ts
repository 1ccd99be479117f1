/** SASL mechanisms on the client's side: the examples of their RFCs, and servers that cheat. @module */
import assert from "node:assert/strict";
import { type ClientExchange, SaslClientError } from "../../../lib/sasl/client_exchange.ts";
import { CLIENT_MECHANISMS, startClientExchange } from "../../../lib/sasl/client_mechanisms.ts";
import { ScramClient } from "../../../lib/sasl/client_scram.ts";

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);
const bytes = (value: string) => new TextEncoder().encode(value);

function begin(name: string, user: string, password: string): ClientExchange {
  const mechanism = CLIENT_MECHANISMS.find((one) => one.name === name)!;
  return startClientExchange(mechanism, { user, password });
}

Deno.test("RFC 4616 section 2: PLAIN is name and password between NULs", () => {
  const exchange = begin("PLAIN", "tim", "tanstaaftanstaaf");
  assert.equal(text(exchange.initial), "\0tim\0tanstaaftanstaaf");
  assert.equal(exchange.complete, true);
  assert.throws(() => begin("PLAIN", "a\0b", "c"), SaslClientError);
});

Deno.test("RFC 2195 section 2: CRAM-MD5 answers with the keyed digest of the challenge", async () => {
  const exchange = begin("CRAM-MD5", "tim", "tanstaaftanstaaf");
  assert.equal(exchange.initial, undefined);
  const answer = await exchange.respond(bytes("<1896.697170952@postoffice.reston.mci.net>"));
  assert.equal(text(answer), "tim b913a602c7eda7a495b4e6e7334d3890");
  assert.throws(() => exchange.respond(bytes("again")), SaslClientError);
});

Deno.test("LOGIN answers two questions, whatever they say, and no third", async () => {
  const exchange = begin("LOGIN", "me", "it");
  assert.equal(exchange.initial, undefined);
  assert.equal(text(await exchange.respond(bytes("Password:"))), "me");
  assert.equal(exchange.complete, false);
  assert.equal(text(await exchange.respond(bytes("Username:"))), "it");
  assert.equal(exchange.complete, true);
  assert.throws(() => exchange.respond(bytes("More:")), SaslClientError);
});

Deno.test("XOAUTH2 sends the token, and nothing in answer to the server's reasons", async () => {
  const exchange = begin("XOAUTH2", "someuser@example.com", "vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg==");
  assert.equal(
    exchange.initial!.toBase64(),
    "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB2RjlkZnQ0cW1UYzJOdmIzUmxja0JoZEhSaGRtbHpkR0V1WTI5dENnPT0BAQ==",
  );
  assert.equal((await exchange.respond(bytes('{"status":"401"}'))).length, 0);
});

interface ScramExample {
  readonly name: "sha1" | "sha256";
  readonly nonce: string;
  readonly serverFirst: string;
  readonly clientFinal: string;
  readonly serverFinal: string;
}

const EXAMPLES: readonly ScramExample[] = [
  {
    name: "sha1", // RFC 5802 section 5
    nonce: "fyko+d2lbbFgONRv9qkxdawL",
    serverFirst: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
    clientFinal: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    serverFinal: "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
  },
  {
    name: "sha256", // RFC 7677 section 3
    nonce: "rOprNGfwEbeRWgbNEkqO",
    serverFirst: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    clientFinal:
      "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    serverFinal: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
  },
];

const USER = { user: "user", password: "pencil" };

for (const { name, nonce, serverFirst, clientFinal, serverFinal } of EXAMPLES) {
  Deno.test(`RFC 5802 section 3: the example with ${name}, and a server that cannot prove itself`, async () => {
    const exchange = new ScramClient(name, USER, nonce);
    assert.equal(text(exchange.initial), `n,,n=user,r=${nonce}`);
    assert.equal(text(await exchange.respond(bytes(serverFirst))), clientFinal);
    assert.equal(exchange.complete, false);
    assert.equal((await exchange.respond(bytes(serverFinal))).length, 0);
    assert.equal(exchange.complete, true);
    for (
      const forged of [
        "v=AAAA",
        "v=",
        "e=other-error",
        "",
        `v=${btoa("x".repeat(20))}`,
        serverFinal.slice(0, -4),
      ]
    ) {
      const other = new ScramClient(name, USER, nonce);
      await other.respond(bytes(serverFirst));
      await assert.rejects(async () => await other.respond(bytes(forged)), SaslClientError);
      assert.equal(other.complete, false);
    }
  });
}

Deno.test("RFC 5802 section 5.1: names are escaped, and an extension that must be understood is not", async () => {
  const exchange = new ScramClient("sha256", { user: "a=b,c", password: "p" }, "nonce");
  assert.equal(text(exchange.initial), "n,,n=a=3Db=2Cc,r=nonce");
  const salt = "s=QSXCR+Q6sek8bf92";
  for (
    const first of [
      `m=ext,r=noncex,${salt},i=4096`,
      `r=nonce,${salt},i=4096`,
      `r=other,${salt},i=4096`,
      `r=noncex,s=,i=4096`,
      `r=noncex,s=*,i=4096`,
      `r=noncex,${salt},i=1`,
      `r=noncex,${salt},i=4095`,
      `r=noncex,${salt},i=1000001`,
      `r=noncex,${salt},i=99999999999999999999`,
      `r=noncex,${salt},i=x`,
      `r=noncex,${salt}`,
      "",
      "x".repeat(3000),
    ]
  ) {
    const each = new ScramClient("sha256", USER, "nonce");
    await assert.rejects(async () => await each.respond(bytes(first)), SaslClientError, first);
  }
  await assert.rejects(
    async () => await new ScramClient("sha256", USER, "n").respond(new Uint8Array([0xff, 0xfe])),
    SaslClientError,
  );
});
