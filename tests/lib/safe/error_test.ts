import assert from "node:assert/strict";
import {
  describe,
  errorCode,
  isMissing,
  isSandboxRefusal,
  isTaken,
  SystemError,
} from "../../../lib/safe/error.ts";
import { connectUnixChannel } from "../../../lib/safe/channel.ts";

/** The error that an operation of the runtime throws. */
function errorOf(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error("it worked");
}

Deno.test("an error of the system is told with action, object and the system's own word", () => {
  const error = new SystemError("open", "/none", errorOf(() => Deno.openSync("/none")));
  assert.equal(error.message, 'Cannot open "/none": No such file or directory');
  assert.equal(error.code, "ENOENT");
  assert.equal(error.name, "SystemError");
});

Deno.test("missing and taken are told apart from everything else", () => {
  const missing = errorOf(() => Deno.lstatSync("/none"));
  const taken = errorOf(() => Deno.mkdirSync("/tmp"));
  assert.deepEqual([isMissing(missing), isTaken(missing)], [true, false]);
  assert.deepEqual([isMissing(taken), isTaken(taken)], [false, true]);
  for (const other of [undefined, null, "ENOENT", new Error("no"), { code: 7 }]) {
    assert.deepEqual([isMissing(other), isTaken(other), errorCode(other)], [false, false, ""]);
  }
});

Deno.test("a refusal of the sandbox is seen through the wrapping", () => {
  const refusal = new Deno.errors.NotCapable("Requires read access");
  assert.equal(isSandboxRefusal(refusal), true);
  assert.equal(isSandboxRefusal(new SystemError("read", "/x", refusal)), true);
  assert.equal(isSandboxRefusal(new SystemError("read", "/x", new Error("else"))), false);
  assert.equal(isSandboxRefusal(undefined), false);
});

Deno.test("what node:net tells by a code is told in the system's words", async () => {
  const made = await connectUnixChannel("/none/socket");
  assert.deepEqual(made, { kind: "failed", why: "No such file or directory" });
});

Deno.test("what is thrown need not be an error", () => {
  assert.equal(describe("text"), "text");
  assert.equal(describe(undefined), "undefined");
  assert.equal(describe(new Error("Broken pipe (os error 32)")), "Broken pipe");
});
