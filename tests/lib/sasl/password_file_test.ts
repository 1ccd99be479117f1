/** The password file: schemes, lines, and the command that makes them. @module */
import assert from "node:assert/strict";
import { parseEntry } from "../../../lib/sasl/password_entry.ts";
import { parsePasswordFile } from "../../../lib/sasl/password_file.ts";
import { parseSha512Crypt, sha512Crypt } from "../../../lib/sasl/sha512_crypt.ts";
import { MAIN } from "../../commands/mail_system.ts";
import { runProgram } from "../../support/postern.ts";
import { testNeeding } from "../../support/tools.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** From the specification "Unix crypt using SHA-256 and SHA-512", U. Drepper. */
const SHA512_VECTORS: readonly (readonly [password: string, hash: string])[] = [
  [
    "Hello world!",
    "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
  ],
  [
    "Hello world!",
    "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
  ],
  [
    "a very much longer text to encrypt.  This one even stretches over morethan one line.",
    "$6$rounds=1400$anotherlongsalts$POfYwTEok97VWcjxIiSOjiykti.o/pQs.wPvMxQ6Fm7I6IoYN3CmLs66x9t0oSwbtEW7o7UmJEiDwGqd8p4ur1",
  ],
];

Deno.test("sha512-crypt: the specification's own examples", async () => {
  for (const [password, whole] of SHA512_VECTORS) {
    const parsed = parseSha512Crypt(whole);
    assert.ok(parsed, whole);
    assert.equal(await sha512Crypt(bytes(password), parsed), parsed.hash);
  }
});

Deno.test("sha512-crypt: what is no hash, or takes too long, is none", () => {
  const [, good] = SHA512_VECTORS[0]!;
  const wrong = [
    "",
    "$6$",
    "$5$saltstring$x",
    good!.slice(0, -1),
    good + "x",
    good!.replace("svn8", "svn!"),
    good!.replace("$6$", "$6$rounds=999$"),
    good!.replace("$6$", "$6$rounds=500001$"),
    good!.replace("$6$", "$6$rounds=x$"),
    good!.replace("saltstring", "saltstringsaltstr"),
    good + "$",
  ];
  for (const text of wrong) assert.equal(parseSha512Crypt(text), undefined, text);
});

testNeeding(["openssl"], "sha512-crypt: passwords of every length are hashed as openssl does", async () => {
  for (const length of [1, 15, 16, 17, 63, 64, 65, 127, 128, 200]) {
    const password = "p".repeat(length);
    const { output } = await runProgram("openssl", ["passwd", "-6", "-salt", "abcdef", "-stdin"], password);
    const parsed = parseSha512Crypt(output.trim());
    assert.ok(parsed, output);
    assert.equal(await sha512Crypt(bytes(password), parsed), parsed.hash, String(length));
  }
});

testNeeding(["dovecot", "root"], "passwords: what doveadm writes is checked here", async () => {
  for (const scheme of ["ARGON2ID", "SHA512-CRYPT", "SCRAM-SHA-256"]) {
    const { output } = await runProgram("doveadm", ["pw", "-s", scheme, "-p", "s\u00e9cret pass"]);
    const parsed = parseEntry(output.trim());
    assert.ok(parsed.kind === "entry", output);
    assert.equal(await parsed.entry.check(bytes("s\u00e9cret pass")), true, scheme);
    assert.equal(await parsed.entry.check(bytes("secret pass")), false, scheme);
    assert.equal(parsed.entry.scram !== undefined, scheme === "SCRAM-SHA-256");
  }
});

Deno.test("passwords: a scheme or hash that cannot be checked is told of, never taken", () => {
  const wrong = [
    "",
    "secret",
    "{PLAIN}secret",
    "{CRYPT}$y$j9T$x$y",
    "{ARGON2ID}",
    "{ARGON2ID}$argon2id$v=19$m=1000000,t=3,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
    "{ARGON2ID}$argon2id$v=19$m=65536,t=999,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
    "{ARGON2ID}$argon2i$v=19$m=65536,t=3,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
    "{SCRYPT}$scrypt$ln=30,r=8,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2g",
    "{SCRYPT}$scrypt$ln=14,r=8,p=1$c2FsdHNhbHQ$aGFz",
    "{SCRYPT}$scrypt$ln=14,r=8$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2g",
    "{SCRAM-SHA-256}4095,c2FsdA==,AAAA,AAAA",
    "{SCRAM-SHA-256}4096,c2FsdA==,AAAA,AAAA",
    "{SCRAM-SHA-256}4096,,,",
    "{constructor}x",
    "{__proto__}x",
  ];
  for (const text of wrong) assert.equal(parseEntry(text).kind, "wrong", text);
});

Deno.test("passwords: a file's lines, with those that are wrong told of by their number", () => {
  const [, hash] = SHA512_VECTORS[0]!;
  const { users, problems } = parsePasswordFile(
    [
      "# users",
      "",
      `user@example.test:{SHA512-CRYPT}${hash}`,
      `  bare:${hash}:1000:1000::/home  `,
      `user@example.test:${hash}`,
      "no colon",
      `:${hash}`,
      `t\tab:${hash}`,
      "plain:{PLAIN}x",
      `__proto__:${hash}`,
      `windows:${hash}\r`,
    ].join("\n"),
  );
  assert.deepEqual([...users.keys()], ["user@example.test", "bare", "__proto__", "windows"]);
  assert.deepEqual(problems.map(({ line }) => line), [5, 6, 7, 8, 9]);
  assert.equal(users.get("constructor"), undefined);
});

Deno.test("saslpasswd: a line of each scheme lets its user in, and nothing else is made of bad input", async () => {
  const run = (args: readonly string[], input: string) =>
    runProgram(Deno.execPath(), ["run", "-A", MAIN, "saslpasswd", ...args], input);
  for (const scheme of ["SCRAM-SHA-256", "ARGON2ID", "SCRYPT"]) {
    const { output, status } = await run(
      ["-s", scheme.toLowerCase(), "me@example.test"],
      "pass word\nmore\n",
    );
    assert.equal(status, 0);
    const { users, problems } = parsePasswordFile(output);
    assert.deepEqual(problems, []);
    assert.equal(await users.get("me@example.test")!.check(bytes("pass word")), true, scheme);
    assert.equal(await users.get("me@example.test")!.check(bytes("pass wor")), false, scheme);
  }
  assert.ok((await run(["me"], "x")).output.startsWith("me:{SCRAM-SHA-256}100000,"));
  for (
    const [args, input] of [[["me"], ""], [["a:b"], "x"], [["-s", "PLAIN", "me"], "x"], [[], "x"]] as const
  ) {
    const { status, output } = await run(args, input);
    assert.equal(status, 1);
    assert.equal(output, "");
  }
});
