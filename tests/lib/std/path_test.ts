import assert from "node:assert/strict";
import { basename, dirname, extname, isAbsolute, join, normalize, relative, resolve } from "@std/path";

Deno.test("path functions follow POSIX as the real package does", () => {
  assert.equal(basename("/a/b.toml"), "b.toml");
  assert.equal(basename("/a/b.toml", ".toml"), "b");
  assert.equal(dirname("/a/b/c"), "/a/b");
  assert.equal(extname("main.toml"), ".toml");
  assert.equal(isAbsolute("/a"), true);
  assert.equal(isAbsolute("a"), false);
  assert.equal(join("/a", "../b", "./c"), "/b/c");
  assert.equal(normalize("/a//b/../c/."), "/a/c");
  assert.equal(relative("/a/b", "/a/c/d"), "../c/d");
  assert.equal(resolve("/a", "b", "/c", "d"), "/c/d");
});
