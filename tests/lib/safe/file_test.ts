import assert from "node:assert/strict";
import { SystemError } from "../../../lib/safe/error.ts";
import {
  linkFile,
  listDirectory,
  lookAt,
  makeDirectory,
  type Opened,
  openOwn,
  readBytesFile,
  readTextFile,
  removeFile,
  renameFile,
  replaceFile,
  safeCreate,
  SafeFile,
  safeOpen,
  setFileTime,
} from "../../../lib/safe/file.ts";
import { utf8 } from "../../support/bytes.ts";
import { TemporaryDirectory, TinyFileSystem } from "../../support/temporary.ts";

type Access = "read" | "write" | "append";

/** What became of an open: the kind, with the reason of a refusal. */
function outcome(opened: Opened): string {
  if (opened.kind !== "opened") return opened.kind === "refused" ? `refused: ${opened.why}` : "missing";
  opened.file.close();
  return "opened";
}

function mustOpen(path: string, access: Access = "read"): SafeFile {
  const opened = safeOpen(path, { access });
  assert.equal(opened.kind, "opened");
  return (opened as { file: SafeFile }).file;
}

function mustCreate(path: string, mode = 0o600): SafeFile {
  const made = safeCreate(path, mode);
  assert.equal(made.kind, "created");
  return (made as { file: SafeFile }).file;
}

const NAMES: readonly [string, (at: (name: string) => string) => void, string][] = [
  ["a regular file", (at) => Deno.writeTextFileSync(at("x"), "text"), "opened"],
  ["nothing", () => {}, "missing"],
  ["a symbolic link to a file", (at) => {
    Deno.writeTextFileSync(at("target"), "text");
    Deno.symlinkSync(at("target"), at("x"));
  }, "refused: is a symbolic link"],
  [
    "a symbolic link to a secret of the system",
    (at) => Deno.symlinkSync("/etc/passwd", at("x")),
    "refused: is a symbolic link",
  ],
  ["a dangling link", (at) => Deno.symlinkSync(at("nowhere"), at("x")), "refused: is a symbolic link"],
  ["a link to itself", (at) => Deno.symlinkSync(at("x"), at("x")), "refused: is a symbolic link"],
  ["a directory", (at) => Deno.mkdirSync(at("x")), "refused: is not a regular file"],
  ["a FIFO that nobody writes to", (at) => makeFifo(at("x")), "refused: is not a regular file"],
  ["a device", (at) => Deno.symlinkSync("/dev/zero", at("x")), "refused: is a symbolic link"],
  ["a file with two names", (at) => {
    Deno.writeTextFileSync(at("other"), "text");
    Deno.linkSync(at("other"), at("x"));
  }, "refused: has 2 hard links"],
];

function makeFifo(path: string): void {
  assert.ok(new Deno.Command("mkfifo", { args: [path] }).outputSync().success);
}

for (const [name, make, expected] of NAMES) {
  Deno.test(`safeOpen on ${name}: ${expected}`, () => {
    using directory = new TemporaryDirectory();
    make((name) => directory.at(name));
    for (const access of ["read", "write", "append"] as const) {
      assert.equal(outcome(safeOpen(directory.at("x"), { access })), expected, access);
    }
  });

  Deno.test(`openOwn on ${name}: ${expected}`, () => {
    using directory = new TemporaryDirectory();
    make((name) => directory.at(name));
    for (const access of ["read", "write"] as const) {
      assert.equal(outcome(openOwn(directory.at("x"), access)), expected, access);
    }
  });
}

Deno.test("safeOpen on a device file and on a socket refuses them", () => {
  using directory = new TemporaryDirectory();
  assert.equal(outcome(safeOpen("/dev/null", { access: "read" })), "refused: is not a regular file");
  const listener = Deno.listen({ transport: "unix", path: directory.at("socket") });
  assert.equal(
    outcome(safeOpen(directory.at("socket"), { access: "read" })),
    "refused: is not a regular file",
  );
  listener.close();
});

Deno.test("safeOpen demands the owner that it was given", () => {
  using directory = new TemporaryDirectory();
  const path = directory.write("x", "text");
  const own = Deno.uid()!;
  assert.equal(outcome(safeOpen(path, { access: "read", owner: own })), "opened");
  const expected = `refused: is owned by uid ${own}, not ${own + 1}`;
  assert.equal(outcome(safeOpen(path, { access: "read", owner: own + 1 })), expected);
});

Deno.test("safeOpen sees that the name stands for another file than was opened", () => {
  using directory = new TemporaryDirectory();
  const path = directory.write("x", "first");
  directory.write("other", "second");
  const open = Deno.openSync;
  // The exchange of the names happens between the open and the look at the name, as an attacker would time it.
  Deno.openSync = (...args) => {
    const file = open(...args);
    Deno.renameSync(directory.at("other"), path);
    return file;
  };
  try {
    // Renaming over the name took the opened file's last link away.
    assert.equal(outcome(safeOpen(path, { access: "read" })), "refused: is another file than was opened");
  } finally {
    Deno.openSync = open;
  }
});

Deno.test("safeOpen sees a link that was put there after the first look", () => {
  using directory = new TemporaryDirectory();
  const path = directory.write("x", "mine");
  directory.write("secret", "theirs");
  const open = Deno.openSync;
  Deno.openSync = (...args) => {
    Deno.removeSync(path);
    Deno.symlinkSync(directory.at("secret"), path);
    return open(...args);
  };
  try {
    assert.equal(outcome(safeOpen(path, { access: "read" })), "refused: is a symbolic link");
  } finally {
    Deno.openSync = open;
  }
});

Deno.test("safeOpen says missing when the file goes away between its steps", () => {
  using directory = new TemporaryDirectory();
  const path = directory.write("x", "text");
  const open = Deno.openSync;
  Deno.openSync = (...args) => {
    const file = open(...args);
    Deno.removeSync(path);
    return file;
  };
  try {
    assert.equal(outcome(safeOpen(path, { access: "read" })), "missing");
  } finally {
    Deno.openSync = open;
  }
});

Deno.test("a refused open leaves no descriptor behind", () => {
  using directory = new TemporaryDirectory();
  Deno.writeTextFileSync(directory.at("other"), "text");
  Deno.linkSync(directory.at("other"), directory.at("x"));
  const count = () => [...Deno.readDirSync("/proc/self/fd")].length;
  const before = count();
  for (let i = 0; i < 50; i++) safeOpen(directory.at("x"), { access: "read" });
  assert.equal(count(), before);
});

Deno.test("safeCreate never goes through a link, not even a dangling one", () => {
  using directory = new TemporaryDirectory();
  Deno.symlinkSync(directory.at("nowhere"), directory.at("dangling"));
  directory.write("file", "text");
  Deno.symlinkSync(directory.at("file"), directory.at("link"));
  Deno.mkdirSync(directory.at("directory"));
  for (const name of ["dangling", "file", "link", "directory"]) {
    assert.equal(safeCreate(directory.at(name), 0o600).kind, "exists", name);
  }
  assert.equal(lookAt(directory.at("nowhere")), undefined);
  assert.equal(Deno.readTextFileSync(directory.at("file")), "text");
});

Deno.test("safeCreate makes a file with the mode, for reading and writing", () => {
  using directory = new TemporaryDirectory();
  using file = mustCreate(directory.at("x"), 0o600);
  file.write(utf8("hello"));
  assert.equal(lookAt(directory.at("x"))?.mode, 0o600);
  const buffer = new Uint8Array(10);
  assert.equal(file.read(buffer, 1), 4);
  assert.equal(file.read(buffer), 0);
});

Deno.test("reading and writing at offsets, truncating, reading all within a limit", () => {
  using directory = new TemporaryDirectory();
  using file = mustCreate(directory.at("x"));
  file.write(utf8("0123456789"));
  file.writeAt(2, utf8("AB"));
  file.seek(0);
  assert.equal(new TextDecoder().decode(file.readAll(10)), "01AB456789");
  file.seek(0);
  assert.throws(() => file.readAll(9), {
    message: `Cannot read "${directory.at("x")}": file is longer than 9 bytes`,
  });
  file.truncate(3);
  assert.equal(file.size(), 3);
  assert.equal(readTextFile(directory.at("x"), 3), "01A");
  assert.throws(() => readBytesFile(directory.at("x"), 2), SystemError);
});

Deno.test("a file longer than the reader's first buffer comes whole", () => {
  using directory = new TemporaryDirectory();
  const content = new Uint8Array(300_001).map((_, i) => i & 255);
  const path = directory.write("x", content);
  assert.deepEqual(readBytesFile(path, content.length), content);
  assert.throws(() => readBytesFile(path, content.length - 1), /longer than 300000 bytes/);
});

Deno.test("append writes at the end, whatever was read before", () => {
  using directory = new TemporaryDirectory();
  using file = mustOpen(directory.write("x", "one"), "append");
  Deno.writeTextFileSync(directory.at("x"), "one two");
  file.write(utf8(" three"));
  assert.equal(Deno.readTextFileSync(directory.at("x")), "one two three");
});

Deno.test("a file that was opened for reading is not written", () => {
  using directory = new TemporaryDirectory();
  using file = mustOpen(directory.write("x", "one"));
  assert.throws(() => file.write(utf8("two")), SystemError);
});

Deno.test("a closed file is an error that names it; closing twice is none", () => {
  using directory = new TemporaryDirectory();
  const file = mustOpen(directory.write("x", "one"));
  file.close();
  file.close();
  assert.throws(() => file.size(), { message: `Cannot use "${directory.at("x")}": file is closed` });
});

Deno.test("locks exclude one another until they are given back", async () => {
  using directory = new TemporaryDirectory();
  const path = directory.write("x", "");
  using first = mustOpen(path);
  using second = mustOpen(path);
  assert.equal(first.tryLock("shared"), true);
  assert.equal(second.tryLock("shared"), true);
  assert.equal(second.tryLock("exclusive"), false);
  first.unlock();
  assert.equal(second.tryLock("exclusive"), true);
  assert.equal(first.tryLock("shared"), false);
  let locked = false;
  const waiting = first.lock("shared").then(() => locked = true);
  second.unlock();
  await waiting;
  assert.equal(locked, true);
});

Deno.test("rename replaces, says false for nothing, and names both in its error", () => {
  using directory = new TemporaryDirectory();
  const [a, b] = [directory.write("a", "A"), directory.write("b", "B")];
  assert.equal(renameFile(a, b), true);
  assert.equal(Deno.readTextFileSync(b), "A");
  assert.equal(renameFile(a, b), false);
  const far = directory.at("no/such/place");
  assert.throws(() => renameFile(b, far), {
    message: `Cannot rename to "${far}" "${b}": No such file or directory`,
  });
  using file = mustOpen(b);
  file.rename(a);
  assert.equal(file.path, a);
  Deno.removeSync(a);
  assert.throws(() => file.rename(b), /it is gone/);
});

Deno.test("remove takes the link and not what it points to; link says when the name is taken", () => {
  using directory = new TemporaryDirectory();
  const path = directory.write("x", "text");
  Deno.symlinkSync(path, directory.at("link"));
  assert.equal(removeFile(directory.at("link")), true);
  assert.equal(removeFile(directory.at("link")), false);
  assert.equal(Deno.readTextFileSync(path), "text");
  assert.equal(linkFile(path, directory.at("second")), true);
  assert.equal(linkFile(path, directory.at("second")), false);
  assert.equal(lookAt(path)?.links, 2);
});

Deno.test("lookAt tells what a name is without following it", () => {
  using directory = new TemporaryDirectory();
  const path = directory.write("x", "text", 0o640);
  Deno.symlinkSync(path, directory.at("link"));
  setFileTime(path, 1_234_567_000);
  const stat = lookAt(path)!;
  assert.deepEqual([stat.kind, stat.size, stat.mode, stat.uid, stat.links], [
    "file",
    4,
    0o640,
    Deno.uid(),
    1,
  ]);
  assert.equal(stat.modified, 1_234_567_000);
  assert.equal(lookAt(directory.at("link"))?.kind, "link");
  assert.equal(lookAt(directory.path)?.kind, "directory");
  assert.equal(lookAt("/dev/null")?.kind, "other");
  assert.equal(lookAt(directory.at("none")), undefined);
});

Deno.test("makeDirectory gives exactly the mode, whatever the umask is", () => {
  using directory = new TemporaryDirectory();
  assert.equal(makeDirectory(directory.at("drop"), 0o1733), true);
  assert.equal(lookAt(directory.at("drop"))?.mode, 0o1733);
  assert.equal(makeDirectory(directory.at("drop"), 0o700), false);
  assert.deepEqual(listDirectory(directory.path), ["drop"]);
  assert.deepEqual(listDirectory(directory.at("none")), []);
});

Deno.test("replaceFile: a reader sees the old or the new content, and nothing is left over", async () => {
  using directory = new TemporaryDirectory();
  const path = directory.write("x", "old".repeat(1000), 0o644);
  const seen = new Set<string>();
  const replacing = replaceFile(path, utf8("new".repeat(1000)), 0o600);
  let over = false;
  const watching = (async () => {
    while (!over) {
      seen.add(Deno.readTextFileSync(path));
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
  })();
  await replacing;
  seen.add(Deno.readTextFileSync(path));
  over = true;
  await watching;
  assert.ok([...seen].every((text) => text === "old".repeat(1000) || text === "new".repeat(1000)));
  assert.equal(Deno.readTextFileSync(path), "new".repeat(1000));
  assert.equal(lookAt(path)?.mode, 0o600);
  assert.deepEqual(listDirectory(directory.path), ["x"]);
});

Deno.test("replaceFile replaces a link and not its target, and clears what an earlier process left", async () => {
  using directory = new TemporaryDirectory();
  const target = directory.write("target", "keep");
  Deno.symlinkSync(target, directory.at("x"));
  Deno.symlinkSync(target, directory.at(`x.tmp.${Deno.pid}`));
  await replaceFile(directory.at("x"), utf8("new"), 0o600);
  assert.equal(Deno.readTextFileSync(target), "keep");
  assert.equal(lookAt(directory.at("x"))?.kind, "file");
  assert.deepEqual(listDirectory(directory.path).sort(), ["target", "x"]);
});

Deno.test({
  name:
    "a full disk: the write that does not fit throws ENOSPC, though a part of it went in, and replaceFile keeps the old file",
  ignore: !TinyFileSystem.available(),
  fn: async () => {
    using tiny = TinyFileSystem.mount(64)!;
    await replaceFile(`${tiny.path}/x`, utf8("old"), 0o600);
    await assert.rejects(replaceFile(`${tiny.path}/x`, new Uint8Array(100_000), 0o600), isNoSpace);
    assert.equal(Deno.readTextFileSync(`${tiny.path}/x`), "old");
    for (const name of listDirectory(tiny.path)) if (name !== "x") removeFile(`${tiny.path}/${name}`);
    using file = mustCreate(`${tiny.path}/y`);
    assert.throws(() => file.write(new Uint8Array(100_000)), isNoSpace);
    assert.ok(file.size() > 0 && file.size() < 100_000, "a short write came first");
  },
});

function isNoSpace(error: unknown): boolean {
  return error instanceof SystemError && error.code === "ENOSPC" &&
    error.message.endsWith("No space left on device");
}

Deno.test("errors name action, path and the system's word, without the runtime's decoration", () => {
  const path = "/proc/self/mem/x";
  assert.throws(() => safeOpen(path, { access: "read" }), {
    name: "SystemError",
    message: `Cannot open "${path}": Not a directory`,
    code: "ENOTDIR",
  });
});
