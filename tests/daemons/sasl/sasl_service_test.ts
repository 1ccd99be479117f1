/** The sasl daemon's service over its real protocol: who gets in, what is told of the rest, and how much work it does. @module */
import assert from "node:assert/strict";
import { SaslService } from "../../../daemons/sasl/sasl_service.ts";
import { PasswordsBackend } from "../../../lib/sasl/passwords_backend.ts";
import { scramKeys } from "../../../lib/sasl/password_entry.ts";
import type { SaslStep } from "../../../lib/sasl/server_exchange.ts";
import { SASL } from "../../../lib/proto/protocols.ts";
import { KeptLog } from "../bounce/bounce_support.ts";
import { Served } from "../../support/served.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const SALT = bytes("saltsaltsaltsalt");

async function scramLine(user: string, password: string): Promise<string> {
  const { storedKey, serverKey } = await scramKeys(bytes(password), SALT, 4096);
  return `${user}:{SCRAM-SHA-256}4096,${SALT.toBase64()},${storedKey.toBase64()},${serverKey.toBase64()}\n`;
}

/** A service on a file of the test. */
class Passwords implements AsyncDisposable {
  readonly directory = new TemporaryDirectory();
  readonly path = this.directory.at("passwords");
  readonly log = new KeptLog();
  #served: Served<typeof SASL> | undefined;

  async start(text: string, realm = "", delay = 0): Promise<PasswordsBackend> {
    Deno.writeTextFileSync(this.path, text);
    const service = new SaslService(this.path, this.log, delay);
    this.#served = await Served.start(SASL, (exchange, message) => service.handle(exchange, message));
    return new PasswordsBackend(this.#served.client, realm);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#served?.[Symbol.asyncDispose]();
    assert.deepEqual(this.#served?.troubles, []);
    this.directory[Symbol.dispose]();
  }
}

const plain = async (backend: PasswordsBackend, user: string, password: string): Promise<SaslStep> =>
  (await backend.start("PLAIN", bytes(`\0${user}\0${password}`))).step;

Deno.test("sasl: the right password lets in, and nothing else does; names are keys of a map", async () => {
  await using passwords = new Passwords();
  const backend = await passwords.start(await scramLine("user", "right") + await scramLine("__proto__", "x"));
  assert.deepEqual(await plain(backend, "user", "right"), { kind: "success", username: "user" });
  assert.deepEqual(await plain(backend, "__proto__", "x"), { kind: "success", username: "__proto__" });
  for (
    const [user, password] of [["user", "wrong"], ["nobody", "right"], ["constructor", "x"], [
      "User",
      "right",
    ]]
  ) {
    const step = await plain(backend, user!, password!);
    assert.deepEqual(step, { kind: "failure", why: "Authentication failed", username: user });
  }
});

Deno.test("sasl: SCRAM is offered when all have keys for it, and an exchange goes over several messages", async () => {
  await using passwords = new Passwords();
  const backend = await passwords.start(await scramLine("user@realm.test", "pencil"), "realm.test");
  const names = (await backend.mechanisms())?.map(({ name }) => name);
  assert.deepEqual(names, ["SCRAM-SHA-256", "PLAIN", "LOGIN"]);
  const { exchange, step } = await backend.start("LOGIN", undefined);
  assert.equal(step.kind, "challenge");
  assert.equal((await exchange.respond(bytes("user"))).kind, "challenge");
  assert.deepEqual(await exchange.respond(bytes("pencil")), { kind: "success", username: "user@realm.test" });
  await using others = new Passwords();
  const mixed = await others.start(
    `${await scramLine("a", "x")}b:{SHA512-CRYPT}$6$saltstring$${"a".repeat(86)}\nbad line\n`,
  );
  assert.deepEqual((await mixed.mechanisms())?.map(({ name }) => name), ["PLAIN", "LOGIN"]);
  assert.deepEqual((await mixed.start("SCRAM-SHA-256", bytes("n,,n=a,r=x"))).step.kind, "failure");
  assert.ok(others.log.lines.some((line) => line.includes("line 3: expected")), others.log.lines.join("\n"));
});

Deno.test("sasl: SCRAM for a user that is not there looks the same each time, and fails at its end", async () => {
  await using passwords = new Passwords();
  const backend = await passwords.start(await scramLine("user", "pencil"));
  const first = async (user: string) => {
    const { exchange, step } = await backend.start("SCRAM-SHA-256", bytes(`n,,n=${user},r=abc`));
    assert.ok(step.kind === "challenge");
    exchange.cancel();
    const [, salt, iterations] = new TextDecoder().decode(step.data).split(",");
    return [salt, iterations];
  };
  const [real, one, again, other] = [
    await first("user"),
    await first("a"),
    await first("a"),
    await first("b"),
  ];
  assert.deepEqual(one, again);
  assert.notDeepEqual(one, other);
  assert.equal(one[0]!.length, real[0]!.length);
  assert.equal(one[1], real[1]);
});

Deno.test("sasl: without a file nobody gets in, and that is told once as a trouble", async () => {
  await using passwords = new Passwords();
  const backend = await passwords.start("");
  assert.equal((await plain(backend, "user", "x")).kind, "failure");
  await using gone = new Passwords();
  const without = await gone.start("x");
  Deno.removeSync(gone.path);
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(await plain(without, "user", "x"), {
      kind: "trouble",
      why: "password file is not available",
    });
  }
  assert.equal(gone.log.lines.length, 1);
});

Deno.test("sasl: failures are told late, and a crowd of logins waits in a line that has an end", async () => {
  await using passwords = new Passwords();
  const backend = await passwords.start(await scramLine("user", "right"), "", 300);
  const begun = performance.now();
  assert.equal((await plain(backend, "user", "wrong")).kind, "failure");
  assert.ok(performance.now() - begun >= 290);
  const crowd = await Promise.all(Array.from({ length: 200 }, () => plain(backend, "user", "right")));
  const kinds = crowd.map(({ kind }) => kind);
  assert.equal(kinds.filter((kind) => kind === "success").length, 102);
  assert.equal(kinds.filter((kind) => kind === "trouble").length, 98);
  assert.equal((await plain(backend, "user", "right")).kind, "success");
});
