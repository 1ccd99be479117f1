import assert from "node:assert/strict";
import { makeService } from "./rewrite_fixture.ts";

/** Address, its standard form in local context, in remote context without and with a rewrite domain. */
const FORMS: readonly (readonly [address: string, local: string, remote: string, completed: string])[] = [
  ["", "", "", ""],
  ['""', '""', '""', '""'],
  ["@", '""', '""', '""'],
  ["user", "user@mx.test", "user", "user@invalid.test"],
  ["user@dom.test", "user@dom.test", "user@dom.test", "user@dom.test"],
  ["user@DOM.test", "user@DOM.test", "user@DOM.test", "user@DOM.test"],
  ["user@dom.test.", "user@dom.test", "user@dom.test", "user@dom.test"],
  ["user@dom..", "user@dom..", "user@dom..", "user@dom.."],
  ["user@.", "user@.", "user@.", "user@."],
  ["user@dom", "user@dom", "user@dom", "user@dom"],
  ["site!user", "user@site", "user@site", "user@site"],
  ["a!b!user", "b!user@a", "b!user@a", "b!user@a"],
  ["user%site", "user@site", "user@site", "user@site"],
  ["user%b%a", "user%b@a", "user%b@a", "user%b@a"],
  ["site!user%other", "user%other@site", "user%other@site", "user%other@site"],
  ["a!b@c.test", "a!b@c.test", "a!b@c.test", "a!b@c.test"],
  ["@a,@b:user@c.test", "user@c.test", "user@c.test", "user@c.test"],
  ["@a:user", "user@mx.test", "user", "user@invalid.test"],
  ["@a:", "@a:", "@a:", "@a:"],
  ["@a", "@a", "@a", "@a"],
  ['"a@b"', '"a@b"@mx.test', '"a@b"', '"a@b"@invalid.test'],
  ['"a!b%c"', '"a!b%c"@mx.test', '"a!b%c"', '"a!b%c"@invalid.test'],
  ['"a@b"@c.test', '"a@b"@c.test', '"a@b"@c.test', '"a@b"@c.test'],
  ["user@[192.0.2.1]", "user@[192.0.2.1]", "user@[192.0.2.1]", "user@[192.0.2.1]"],
  ["user@", "user@", "user@", "user@"],
  ["!", '""@', '""@', '""@'],
  ["a!", '""@a', '""@a', '""@a'],
];

Deno.test("addresses are brought into their standard form", () => {
  const { service } = makeService();
  const { service: completing } = makeService({ remote_header_rewrite_domain: "invalid.test" });
  for (const [address, local, remote, completed] of FORMS) {
    assert.equal(service.rewrite("local", address), local, `local: ${address}`);
    assert.equal(service.rewrite("remote", address), remote, `remote: ${address}`);
    assert.equal(completing.rewrite("remote", address), completed, `completed: ${address}`);
  }
});

Deno.test("RFC 5321 appendix C: a source route is stripped", () => {
  const { service } = makeService();
  assert.equal(service.rewrite("local", "@one.test,@two.test:joe@three.test"), "joe@three.test");
});

Deno.test("append_dot_mydomain completes domains without a dot", () => {
  const { service } = makeService({
    append_dot_mydomain: true,
    remote_header_rewrite_domain: "invalid.test",
  });
  const table = [
    ["user@dom", "user@dom.test", "user@dom.invalid.test"],
    ["user%dom", "user@dom.test", "user@dom.invalid.test"],
    ["user@dom.", "user@dom", "user@dom"],
    ["user@[1]", "user@[1]", "user@[1]"],
    ["user@", "user@", "user@"],
    ["user@a.b", "user@a.b", "user@a.b"],
  ] as const;
  for (const [address, local, remote] of table) {
    assert.equal(service.rewrite("local", address), local);
    assert.equal(service.rewrite("remote", address), remote);
  }
});

Deno.test("each kind of rewriting can be switched off", () => {
  const rewrite = (overrides: Record<string, boolean>, address: string) =>
    makeService(overrides).service.rewrite("local", address);
  assert.equal(rewrite({ swap_bangpath: false }, "site!user"), "site!user@mx.test");
  assert.equal(rewrite({ allow_percent_hack: false }, "user%site"), "user%site@mx.test");
  assert.equal(rewrite({ append_at_myorigin: false }, "user"), "user");
});

Deno.test("an address that would grow too long stays as it is", () => {
  const { service } = makeService();
  assert.equal(service.rewrite("local", "a".repeat(1016)), `${"a".repeat(1016)}@mx.test`);
  assert.equal(service.rewrite("local", "a".repeat(1017)), "a".repeat(1017));
});

Deno.test("rewriting adds at most a domain and quotes to an address", () => {
  const { service } = makeService({ append_dot_mydomain: true });
  let state = 7;
  const random = (most: number) => (state = (state * 1103515245 + 12345) & 0x7fffffff) % most;
  const alphabet = 'ab.@:,"\\[]!% (';
  for (let round = 0; round < 5000; round++) {
    const address = Array.from({ length: 1 + random(12) }, () => alphabet[random(alphabet.length)]).join("");
    const rewritten = service.rewrite("local", address);
    assert.ok(rewritten.length <= 2 * address.length + "@mx.test.test".length, address);
  }
});
