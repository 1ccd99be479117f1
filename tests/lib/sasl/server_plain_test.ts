/** PLAIN, LOGIN and SCRAM-SHA-256 as the server runs them. @module */
import assert from "node:assert/strict";
import { digest, hmac } from "../../../lib/safe/digest.ts";
import { scramKeys } from "../../../lib/sasl/password_entry.ts";
import type { SaslStep, Started } from "../../../lib/sasl/server_exchange.ts";
import { startPlain } from "../../../lib/sasl/server_plain.ts";
import { type ScramKeys, startScram } from "../../../lib/sasl/server_scram.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (step: SaslStep) => step.kind === "challenge" ? new TextDecoder().decode(step.data) : step.kind;

/** What a password check was asked. */
async function plain(message: string | Uint8Array): Promise<[SaslStep, string[]]> {
  const asked: string[] = [];
  const { step } = await startPlain(
    "PLAIN",
    typeof message === "string" ? bytes(message) : message,
    (username, password) => {
      asked.push(`${username} ${new TextDecoder().decode(password)}`);
      return Promise.resolve({ kind: "success", username });
    },
  );
  return [step, asked];
}

Deno.test("RFC 4616 section 2: PLAIN is an identity, a name and a password between NULs, and nothing else", async () => {
  assert.deepEqual(await plain("\0user\0pass"), [{ kind: "success", username: "user" }, ["user pass"]]);
  assert.deepEqual(await plain("user\0user\0p q\u00e9"), [{ kind: "success", username: "user" }, [
    "user p q\u00e9",
  ]]);
  // AUT-01, AUT-02, AUT-13, AUT-16
  const wrong = [
    "",
    "nonuls",
    "\0",
    "\0\0",
    "\0user",
    "\0\0pass",
    "\0user\0",
    "\0u\0p\0extra",
    "\0u\0p\0",
    "other\0user\0pass",
    "\0a\tservice=imap\0p",
    "\0a\r\nX: 1\0p",
    `\0${"u".repeat(256)}\0p`,
    `\0u\0${"p".repeat(1025)}`,
  ];
  for (const message of wrong) {
    const [step, asked] = await plain(message);
    assert.equal(step.kind, "failure", JSON.stringify(message));
    assert.deepEqual(asked, [], JSON.stringify(message));
  }
  assert.equal((await plain(new Uint8Array([0, 0xff, 0xfe, 0, 0x70])))[0].kind, "failure");
  assert.deepEqual((await plain(`\0${"u".repeat(255)}\0${"p".repeat(1024)}`))[1].length, 1);
});

Deno.test("RFC 4616 section 2: PLAIN cut at every byte is a failure or the password that is there", async () => {
  const whole = "\0user\0pass";
  for (let end = 0; end < whole.length; end++) {
    const [step, asked] = await plain(whole.slice(0, end));
    if (end <= "\0user\0".length) assert.equal(step.kind, "failure");
    else assert.deepEqual(asked, [`user ${whole.slice("\0user\0".length, end)}`]);
  }
});

Deno.test("RFC 4954 section 4: without an initial response PLAIN asks for one by an empty challenge, LOGIN for the name", async () => {
  const check = (username: string) => Promise.resolve<SaslStep>({ kind: "success", username });
  const first = await startPlain("PLAIN", undefined, check);
  assert.equal(text(first.step), "");
  assert.deepEqual(await first.exchange.respond(bytes("\0u\0p")), { kind: "success", username: "u" });
  const login = await startPlain("LOGIN", undefined, check);
  assert.equal(text(login.step), "Username:");
  assert.equal(text(await login.exchange.respond(bytes("me"))), "Password:");
  assert.deepEqual(await login.exchange.respond(bytes("p")), { kind: "success", username: "me" });
  const short = await startPlain("LOGIN", bytes("me"), check);
  assert.equal(text(short.step), "Password:");
  for (const bad of ["", "a\0b", "x\ny"]) {
    const one = await startPlain("LOGIN", bytes(bad), check);
    assert.equal(one.step.kind, "failure", JSON.stringify(bad));
  }
  const nul = await startPlain("LOGIN", bytes("me"), check);
  assert.equal((await nul.exchange.respond(bytes("p\0q"))).kind, "failure");
});

/** The example of RFC 7677 section 3: password "pencil". */
const SALT = Uint8Array.fromBase64("W22ZaJ0SNY7soEsUEjb6gQ==");
const SERVER_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

async function example(known = true): Promise<{ started: Started; keys: ScramKeys }> {
  const keys = await scramKeys(bytes("pencil"), SALT, 4096);
  const find = (name: string) => ({ name, keys, known });
  return { started: startScram(bytes("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"), find, SERVER_NONCE), keys };
}

const FINAL = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0," +
  "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

Deno.test("RFC 5802 section 3: the client proves that it has the password, the server that it has what is stored of it", async () => {
  const { started } = await example();
  assert.equal(text(started.step), `r=rOprNGfwEbeRWgbNEkqO${SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`);
  const last = await started.exchange.respond(bytes(FINAL));
  assert.equal(text(last), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
  assert.deepEqual(await started.exchange.respond(bytes("")), { kind: "success", username: "user" });
});

Deno.test("RFC 5802 section 5: behind the server's proof the client has nothing to add", async () => {
  const { started } = await example();
  await started.exchange.respond(bytes(FINAL));
  assert.equal((await started.exchange.respond(bytes("x"))).kind, "failure");
});

Deno.test("RFC 5802 section 7: a wrong proof, nonce, binding or user fails, whatever of it was right", async () => {
  const wrong = [
    FINAL.replace("dHzb", "eHzb"),
    FINAL.replace("c=biws", "c=eSws"),
    FINAL.replace("lj)h", "lj)i"),
    FINAL.replace(",p=", ",x=1,p="),
    FINAL.slice(0, FINAL.indexOf(",p=")),
    FINAL + "=",
    "p=",
    "",
    "\xff",
  ];
  for (const message of wrong) {
    const { started } = await example();
    assert.equal((await started.exchange.respond(bytes(message))).kind, "failure", message);
  }
  // A user that is not there fails at the same step, with a proof that fits the keys that were made up.
  const { started } = await example(false);
  assert.equal((await started.exchange.respond(bytes(FINAL))).kind, "failure");
});

const FIRSTS: Readonly<Record<string, string>> = {
  "n,,n=user,r=abc": "challenge",
  "y,,n=user,r=abc": "challenge",
  "n,a=user,n=user,r=abc": "challenge",
  "n,,n=a=2Cb=3Dc,r=abc": "challenge",
  "n,a=other,n=user,r=abc": "failure",
  "p=tls-unique,,n=user,r=abc": "failure",
  "n,,m=ext,n=user,r=abc": "failure",
  "n,,n=,r=abc": "failure",
  "n,,n=a=2cb,r=abc": "failure",
  "n,,n=a=,r=abc": "failure",
  "n,,n=user,r=": "failure",
  "n,,n=user": "failure",
  "": "failure",
  ",,,": "failure",
  "n,,n=a\tb,r=abc": "failure",
};

Deno.test("RFC 5802 section 5.1: the first message is taken apart by its rules and no others", async () => {
  const keys = await scramKeys(bytes("x"), SALT, 4096);
  const names: string[] = [];
  const find = (name: string) => {
    names.push(name);
    return { name, keys, known: true };
  };
  for (const [message, expected] of Object.entries(FIRSTS)) {
    assert.equal(startScram(bytes(message), find).step.kind, expected, message);
  }
  assert.deepEqual(names, ["user", "user", "user", "a,b=c"]);
  assert.equal(text(startScram(undefined, find).step), "");
  assert.equal(startScram(bytes(`n,,n=u,r=${"r".repeat(511)}`), find).step.kind, "failure");
  assert.equal(startScram(bytes("x".repeat(2049)), find).step.kind, "failure");
});

Deno.test("sasl: what is stored for SCRAM is what the RFC's example computes", async () => {
  const { keys } = await example();
  const salted = hmac("sha256", keys.storedKey, bytes("x"));
  assert.equal(salted.length, 32);
  assert.equal(
    digest("sha256", bytes("")).toHex(),
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  );
});
