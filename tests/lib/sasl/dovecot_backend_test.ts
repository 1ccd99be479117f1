/** Dovecot's protocol against a Dovecot that is broken, slow or gone, and the rest of the backends. @module */
import assert from "node:assert/strict";
import { DovecotBackend } from "../../../lib/sasl/dovecot_backend.ts";
import { asksSocket, parseSaslPath, targetText } from "../../../lib/sasl/sasl_target.ts";
import { SaslauthdBackend } from "../../../lib/sasl/saslauthd_backend.ts";
import type { Mechanism, SaslStep } from "../../../lib/sasl/server_exchange.ts";
import { offeredMechanisms } from "../../../lib/sasl/server_filter.ts";
import { KeptLog } from "../../daemons/bounce/bounce_support.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";

const GREETING = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tSECRET\tprivate\nMECH\tLOGIN\tplaintext\n" +
  "SPID\t1\nCUID\t1\nCOOKIE\tx\nDONE\n";
const CLIENT = { clientAddress: "192.0.2.9", serverAddress: "192.0.2.1", secured: true };

/** A server that says what a test wants; it keeps what it was told. */
class Fake implements Disposable {
  readonly directory = new TemporaryDirectory();
  readonly path = this.directory.at("auth");
  readonly heard: string[] = [];
  readonly log = new KeptLog();
  readonly #listener: Deno.UnixListener;
  readonly #open: Deno.Conn[] = [];

  constructor(greeting: string, answer: (line: string) => string | undefined) {
    this.#listener = Deno.listen({ transport: "unix", path: this.path });
    this.#accept(greeting, answer).catch(() => {});
  }

  async #accept(greeting: string, answer: (line: string) => string | undefined): Promise<void> {
    for await (const connection of this.#listener) {
      this.#open.push(connection);
      this.#serve(connection, greeting, answer).catch(() => {});
    }
  }

  async #serve(connection: Deno.Conn, greeting: string, answer: (line: string) => string | undefined) {
    const say = async (text: string) => {
      const bytes = new TextEncoder().encode(text);
      for (let done = 0; done < bytes.length;) done += await connection.write(bytes.subarray(done));
    };
    await say(greeting);
    const buffer = new Uint8Array(65_536);
    for (let count = await connection.read(buffer); count !== null; count = await connection.read(buffer)) {
      for (const line of new TextDecoder().decode(buffer.subarray(0, count)).split("\n")) {
        if (line === "") continue;
        this.heard.push(line);
        const reply = answer(line);
        if (reply === "HANG UP") return connection.close();
        if (reply !== undefined) await say(reply);
      }
    }
  }

  backend(): DovecotBackend {
    return new DovecotBackend({ kind: "unix", path: this.path }, "smtp", this.log);
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    for (const connection of this.#open) {
      try {
        connection.close();
      } catch {
        continue; // closed by the test already
      }
    }
    this.directory[Symbol.dispose]();
  }
}

/** What AUTH PLAIN comes to when Dovecot answers with these lines; `%` stands for the request's id. */
async function plain(answer: string): Promise<SaslStep> {
  using fake = new Fake(GREETING, (line) => {
    const [word, id = ""] = line.split("\t");
    return word === "AUTH" ? answer.replaceAll("%", id) : undefined;
  });
  return (await fake.backend().start("PLAIN", new Uint8Array([0]), CLIENT)).step;
}

Deno.test("dovecot: requests are as the protocol has them, and private mechanisms are not offered", async () => {
  using fake = new Fake(GREETING, (line) => line.startsWith("AUTH") ? "OK\t1\tuser=me\n" : undefined);
  const backend = fake.backend();
  assert.deepEqual((await backend.mechanisms())?.map(({ name }) => name), ["PLAIN", "LOGIN"]);
  const { step } = await backend.start("PLAIN", new Uint8Array([0, 0x61]), CLIENT);
  assert.deepEqual(step, { kind: "success", username: "me" });
  assert.deepEqual(fake.heard, [
    "VERSION\t1\t2",
    `CPID\t${Deno.pid}`,
    "AUTH\t1\tPLAIN\tservice=smtp\tnologin\tlip=192.0.2.1\trip=192.0.2.9\tsecured\tresp=AGE=",
  ]);
  assert.equal((await backend.start("X\tY", undefined, CLIENT)).step.kind, "failure");
  assert.equal(fake.heard.length, 3);
});

/** AUT-14: lines of Dovecot's, and what the login comes to. */
const ANSWERS: readonly (readonly [answer: string, step: Partial<SaslStep>])[] = [
  ["OK\t%\tuser=a\n", { kind: "success", username: "a" }],
  ["OK\t%\tx=y\tuser=a@b\tuser=c\n", { kind: "success", username: "a@b" }],
  ["OK\t%\n", { kind: "failure" }],
  ["OK\t%\tuser=\n", { kind: "failure" }],
  ["OK\t%\tuser=a\x01nb\n", { kind: "failure" }],
  ["OK\t%\tuser=a\x01tb\n", { kind: "failure" }],
  ["FAIL\t%\n", { kind: "failure", why: "" }],
  ["FAIL\t%\tuser=a\treason=too bad\n", { kind: "failure", why: "too bad", username: "a" }],
  ["FAIL\t%\treason=a\x01rb\tuser=x\n", { kind: "failure", why: "a?b" }],
  ["FAIL\t%\ttemp\n", { kind: "trouble" }],
  ["FAIL\t%\tcode=temp_fail\treason=later\n", { kind: "trouble", why: "later" }],
  ["CONT\t%\tYWJj\n", { kind: "challenge", data: new TextEncoder().encode("abc") }],
  ["CONT\t%\t!!\n", { kind: "trouble" }],
  ["FAIL\t\nOK\t999\tuser=evil\nOK\t-1\tuser=evil\nOK\t%\tuser=a\n", { kind: "success", username: "a" }],
  ["\n\t\t\nFOO\t%\nOK\t%\tuser=a\n", { kind: "success", username: "a" }],
  ["DONE\nOK\t%\tuser=a\n", { kind: "success", username: "a" }],
  ["VERSION\t2\t0\n", { kind: "trouble" }],
  ["HANG UP", { kind: "trouble" }],
  [`FAIL\t%\treason=${"x".repeat(1_000_000)}`, { kind: "trouble" }],
  [`FAIL\t%\treason=${"x".repeat(1_000_000)}\n`, { kind: "trouble" }],
];

for (const [answer, expected] of ANSWERS) {
  Deno.test(`AUT-14: dovecot: ${JSON.stringify(answer.slice(0, 60))} is ${expected.kind}`, async () => {
    const step = await plain(answer);
    for (const [key, value] of Object.entries(expected)) {
      assert.deepEqual((step as unknown as Record<string, unknown>)[key], value, key);
    }
  });
}

Deno.test("AUT-14: dovecot: a greeting that is none gives no mechanisms, and no login", async () => {
  const greetings = [
    "",
    "DONE\n",
    "VERSION\t2\t0\n",
    "VERSION\t1\t0\nSPID\t1\n",
    "MECH\tPLAIN\nDONE\n",
    "x".repeat(100_000),
  ].filter((text) => text !== "");
  for (const greeting of greetings) {
    using fake = new Fake(greeting, () => "HANG UP");
    const backend = fake.backend();
    assert.equal(await backend.mechanisms(), undefined, greeting.slice(0, 20));
    assert.equal((await backend.start("PLAIN", undefined, CLIENT)).step.kind, "trouble");
  }
});

Deno.test("dovecot: a connection that was lost is made anew, and what was broken off is told of", async () => {
  let count = 0;
  using fake = new Fake(GREETING, (line) => {
    const [word, id] = line.split("\t");
    if (word === "CPID" || word === "VERSION" || word === "CANCEL") return undefined;
    return ++count === 1 ? "HANG UP" : word === "AUTH" ? `CONT\t${id}\t\n` : `OK\t${id}\tuser=me\n`;
  });
  const backend = fake.backend();
  assert.equal((await backend.start("LOGIN", undefined, CLIENT)).step.kind, "trouble");
  const { exchange, step } = await backend.start("LOGIN", undefined, CLIENT);
  assert.equal(step.kind, "challenge");
  exchange.cancel();
  const again = await backend.start("LOGIN", undefined, CLIENT);
  assert.deepEqual(await again.exchange.respond(new Uint8Array([0x61])), { kind: "success", username: "me" });
  assert.ok(fake.heard.includes("CANCEL\t1"));
  assert.ok(fake.heard.includes("CONT\t2\tYQ=="));
});

/** What saslauthd's answer, as bytes, makes of a password. */
async function saslauthd(answer: Uint8Array, user = "user@example.test"): Promise<[SaslStep, Uint8Array]> {
  using directory = new TemporaryDirectory();
  const path = directory.at("mux");
  using listener = Deno.listen({ transport: "unix", path });
  const served = (async () => {
    using connection = await listener.accept();
    const buffer = new Uint8Array(1000);
    const count = await connection.read(buffer);
    await connection.write(answer);
    return buffer.slice(0, count ?? 0);
  })();
  const backend = new SaslauthdBackend({ kind: "unix", path }, "smtp", "realm.test", new KeptLog());
  const { step } = await backend.start("PLAIN", new TextEncoder().encode(`\0${user}\0pw`));
  return [step, await served];
}

Deno.test("saslauthd: the request is four texts with their lengths, the answer decides", async () => {
  const reply = (text: string) =>
    new Uint8Array([text.length >> 8, text.length & 255, ...new TextEncoder().encode(text)]);
  const [step, asked] = await saslauthd(reply("OK"));
  assert.deepEqual(step, { kind: "success", username: "user@example.test" });
  assert.equal(
    new TextDecoder().decode(asked),
    "\0\x04user\0\x02pw\0\x04smtp\0\x0cexample.test",
  );
  const [bare] = await saslauthd(reply("OK Success."), "me");
  assert.deepEqual(bare, { kind: "success", username: "me@realm.test" });
  assert.equal((await saslauthd(reply("NO no")))[0].kind, "failure");
  for (
    const bad of [
      new Uint8Array(0),
      new Uint8Array([0]),
      reply(""),
      reply("o"),
      new Uint8Array([255, 255, 0x4e]),
    ]
  ) {
    assert.equal((await saslauthd(bad))[0].kind, "trouble");
  }
});

const mechanism = (name: string, ...properties: string[]) =>
  ({ name, properties: new Set(properties) }) as unknown as Mechanism;
const ALL = [
  mechanism("PLAIN", "plaintext"),
  mechanism("ANONYMOUS", "anonymous"),
  mechanism("EXTERNAL"),
  mechanism("CRAM-MD5", "dictionary", "active"),
  mechanism("SCRAM-SHA-256", "mutual-auth"),
];

Deno.test("sasl: options and filter leave the mechanisms that all of them let pass", () => {
  const names = (options: string[], filter: string[]) =>
    offeredMechanisms(ALL, options, filter).map(({ name }) => name);
  const standard = ["!external", "static:rest"];
  assert.deepEqual(names(["noanonymous"], standard), ["PLAIN", "CRAM-MD5", "SCRAM-SHA-256"]);
  assert.deepEqual(names(["noanonymous", "noplaintext"], standard), ["CRAM-MD5", "SCRAM-SHA-256"]);
  assert.deepEqual(names(["noactive", "nodictionary", "noplaintext", "noanonymous"], standard), [
    "SCRAM-SHA-256",
  ]);
  assert.deepEqual(names(["mutual_auth"], ["static:rest"]), ["SCRAM-SHA-256"]);
  assert.deepEqual(names(["forward_secrecy"], ["static:rest"]), []);
  assert.deepEqual(names([], ["plain", "!static:rest"]), ["PLAIN"]);
  assert.deepEqual(names([], []), []);
});

Deno.test("sasl: where a backend is, by type and path", () => {
  const at = (type: string, path: string) => {
    const parsed = parseSaslPath(type, path, "/queue");
    return parsed.kind === "target" ? targetText(parsed.target) : parsed.kind;
  };
  assert.equal(at("dovecot", "private/auth"), "unix:/queue/private/auth");
  assert.equal(at("dovecot", "/run/dovecot/auth"), "unix:/run/dovecot/auth");
  assert.equal(at("dovecot", "unix:/run/x"), "unix:/run/x");
  assert.equal(at("dovecot", "inet:127.0.0.1:12345"), "inet:127.0.0.1:12345");
  assert.equal(at("dovecot", "inet:localhost:1"), "inet:127.0.0.1:1");
  assert.equal(at("dovecot", "inet:[::1]:65535"), "inet:[::1]:65535");
  assert.equal(at("cyrus", "smtpd"), "unix:/run/saslauthd/mux");
  assert.equal(at("saslauthd", "/x/mux"), "unix:/x/mux");
  for (
    const bad of [
      "inet:auth.example.com:1",
      "inet:127.0.0.1",
      "inet:127.0.0.1:0",
      "inet:127.0.0.1:65536",
      "inet::1",
    ]
  ) {
    assert.equal(at("dovecot", bad), "wrong", bad);
  }
  assert.ok(asksSocket("cyrus") && !asksSocket("passwords"));
});
