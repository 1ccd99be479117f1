import assert from "node:assert/strict";
import { CACHE_ENTRY_LIMIT, CacheFile } from "../../../lib/table/cache_file.ts";
import { Random } from "../../support/random.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";

/** A cache that was opened without a word. */
function open(path: string): CacheFile {
  return new CacheFile(path, { warning: (text) => assert.fail(text) });
}

Deno.test("cache: what was put and written is there when it is opened again, the last value of each key", async () => {
  using directory = new TemporaryDirectory();
  const path = directory.at("cache");
  {
    using cache = open(path);
    cache.put("a", "one", 100);
    cache.put("b", "two", 200);
    cache.put("a", "three", 300);
    await cache.flush();
    cache.put("c", "lost", 300);
  }
  assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
  using cache = open(path);
  assert.deepEqual(["a", "b", "c"].map((key) => cache.get(key)), ["three", "two", undefined]);
});

Deno.test("cache: a file that was cut at any byte gives the lines that are whole", async () => {
  using directory = new TemporaryDirectory();
  const path = directory.at("cache");
  {
    using cache = open(path);
    cache.put("a", "1;2", 100);
    cache.put("b", "3;4", 100);
    await cache.flush();
  }
  const bytes = Deno.readFileSync(path);
  const first = bytes.indexOf(0x0a);
  for (let cut = 0; cut <= bytes.length; cut++) {
    Deno.writeFileSync(path, bytes.subarray(0, cut));
    using cache = open(path);
    assert.equal(cache.get("a"), cut >= first ? "1;2" : undefined, `cut at ${cut}`);
    assert.equal(cache.get("b"), cut >= bytes.length - 1 ? "3;4" : undefined, `cut at ${cut}`);
    // What is put behind a torn line must not become a part of it.
    cache.put("z", "9", 100);
    await cache.flush();
    using again = open(path);
    assert.equal(again.get("z"), "9", `cut at ${cut}`);
  }
});

Deno.test("cache: noise in the file is passed over", () => {
  using directory = new TemporaryDirectory();
  const path = directory.at("cache");
  const random = new Random(5);
  for (let i = 0; i < 50; i++) {
    Deno.writeFileSync(path, random.bytes(random.below(5000)));
    using cache = open(path);
    assert.ok(cache.size <= 5000);
  }
});

Deno.test("cache: a link in the place of the file is not followed, and gives way", async () => {
  using directory = new TemporaryDirectory();
  const path = directory.at("cache");
  const text = '["a",100,"one"]\n';
  Deno.writeTextFileSync(directory.at("other"), text);
  Deno.linkSync(directory.at("other"), path);
  const warnings: string[] = [];
  {
    using cache = new CacheFile(path, { warning: (text) => void warnings.push(text) });
    assert.equal(cache.get("a"), undefined);
    assert.match(warnings.join(), /2 hard links/);
    cache.put("b", "two", 100);
    await cache.flush();
  }
  assert.equal(Deno.readTextFileSync(directory.at("other")), text);
  using again = open(path);
  assert.equal(again.get("b"), "two");
});

Deno.test("cache: keys and values with tabs and line ends come back as they are", async () => {
  using directory = new TemporaryDirectory();
  {
    using cache = open(directory.at("cache"));
    cache.put("a\tb", "x\ny\t100\tz", 100);
    await cache.flush();
  }
  using cache = open(directory.at("cache"));
  assert.equal(cache.size, 1);
  assert.equal(cache.get("a\tb"), "x\ny\t100\tz");
});

Deno.test("cache: a clean-up forgets what has expired, in the file too", async () => {
  using directory = new TemporaryDirectory();
  const path = directory.at("cache");
  {
    using cache = open(path);
    cache.put("old", "x", 100);
    cache.put("new", "y", 101);
    assert.deepEqual(cache.clean(100), { retained: 1, dropped: 1 });
    assert.deepEqual(cache.clean(100), { retained: 1, dropped: 0 });
    await cache.flush();
    cache.put("later", "z", 500);
    await cache.flush();
  }
  using cache = open(path);
  assert.deepEqual(["old", "new", "later"].map((key) => cache.get(key)), [undefined, "y", "z"]);
});

Deno.test("cache: the file does not grow with what is put again and again", async () => {
  using directory = new TemporaryDirectory();
  const path = directory.at("cache");
  using cache = open(path);
  for (let i = 0; i < 30_000; i++) {
    cache.put("key", `value ${i}`, 100);
    if (i % 100 === 0) await cache.flush();
  }
  await cache.flush();
  assert.ok(Deno.statSync(path).size < 400_000, String(Deno.statSync(path).size));
  using again = open(path);
  assert.equal(again.get("key"), "value 29999");
});

Deno.test("cache: past the limit of entries the oldest goes", () => {
  using directory = new TemporaryDirectory();
  using cache = open(directory.at("cache"));
  for (let i = 0; i <= CACHE_ENTRY_LIMIT; i++) cache.put(`k${i}`, "v", 100);
  assert.equal(cache.size, CACHE_ENTRY_LIMIT);
  assert.deepEqual([cache.get("k0"), cache.get("k1")], [undefined, "v"]);
});
