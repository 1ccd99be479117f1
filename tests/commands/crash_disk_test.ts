import assert from "node:assert/strict";
import { CrashDisk, type DiskState, type Operation } from "../../commands/crash_disk.ts";
import { writeState } from "../../commands/crash_state_files.ts";
import { TraceReader } from "../../commands/crash_trace.ts";
import { Random } from "../support/random.ts";
import { TemporaryDirectory } from "../support/temporary.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const create = (path: string, file: number): Operation => ({ kind: "create", path, file, mode: 0o600 });
const write = (file: number, text: string, offset = 0): Operation => ({
  kind: "write",
  file,
  offset,
  bytes: bytes(text),
});

/** What may be there after these operations, a text for each state. */
function after(operations: readonly Operation[], limit = 1000): string[] {
  const disk = new CrashDisk();
  for (const operation of operations) disk.apply(operation);
  const random = new Random(1);
  return [...new Set([...disk.states(limit, (below) => random.below(below))].map(show))].toSorted();
}

function show({ entries }: DiskState): string {
  return [...entries].map(([path, entry]) =>
    entry.kind === "directory"
      ? `${path}/`
      : `${path}=${new TextDecoder().decode(entry.content).replaceAll("\0", "0")}`
  ).join(" ");
}

Deno.test("a new file is there or not, and its data whole, missing, zeros or cut", () => {
  assert.deepEqual(after([create("/d/a", 1), write(1, "abcd")]), [
    "",
    "/d/a=",
    "/d/a=0000",
    "/d/a=ab",
    "/d/a=abcd",
  ]);
});

Deno.test("a file's sync keeps its data and not its name, a directory's the name and not the data", () => {
  assert.deepEqual(after([create("/d/a", 1), write(1, "abcd"), { kind: "sync", file: 1 }]), [
    "",
    "/d/a=abcd",
  ]);
  const named = after([create("/d/a", 1), write(1, "abcd"), { kind: "syncDirectory", path: "/d" }]);
  assert.deepEqual(named, ["/d/a=", "/d/a=0000", "/d/a=ab", "/d/a=abcd"]);
});

Deno.test("what was synced stays when more is written", () => {
  const found = after([
    create("/d/a", 1),
    write(1, "ab"),
    { kind: "sync", file: 1 },
    { kind: "syncDirectory", path: "/d" },
    write(1, "cd", 2),
  ]);
  assert.deepEqual(found, ["/d/a=ab", "/d/a=ab00", "/d/a=abc", "/d/a=abcd"]);
});

Deno.test("a rename is done or not, and the sync of either directory does it", () => {
  const start: Operation[] = [create("/d/a", 1), { kind: "syncDirectory", path: "/d" }, {
    kind: "rename",
    from: "/d/a",
    to: "/e/b",
  }];
  assert.deepEqual(after(start), ["/d/a=", "/e/b="]);
  for (const path of ["/d", "/e"]) {
    assert.deepEqual(after([...start, { kind: "syncDirectory", path }]), ["/e/b="]);
  }
});

Deno.test("what was done to one file keeps its order; what was done to others does not", () => {
  const found = after([
    create("/d/a", 1),
    create("/d/b", 2),
    { kind: "rename", from: "/d/a", to: "/d/c" },
    { kind: "remove", path: "/d/b" },
  ]);
  // b is never there with a's rename undone only: each file stands on its own.
  assert.deepEqual(found, ["", "/d/a=", "/d/a= /d/b=", "/d/b=", "/d/b= /d/c=", "/d/c="]);
});

Deno.test("what is in a directory whose name is lost is lost with it, however well it is synced", () => {
  const inside: Operation[] = [
    { kind: "directory", path: "/d/x", mode: 0o700 },
    create("/d/x/a", 1),
    { kind: "sync", file: 1 },
    { kind: "syncDirectory", path: "/d/x" },
  ];
  assert.deepEqual(after(inside), ["", "/d/x/ /d/x/a="]);
  assert.deepEqual(after([...inside, { kind: "syncDirectory", path: "/d" }]), ["/d/x/ /d/x/a="]);
});

Deno.test("with more states than the limit the extremes come first, and the number is bounded", () => {
  const operations = Array.from({ length: 20 }, (_, i) => create(`/d/${i}`, i + 1));
  const found = after(operations, 40);
  assert.ok(found.includes("") && found.length <= 40 && found.length > 10, `${found.length}`);
  assert.ok(found.some((state) => state.split(" ").length === 20));
});

Deno.test("a state is written with its links and modes", () => {
  using directory = new TemporaryDirectory();
  const disk = new CrashDisk();
  const operations: Operation[] = [
    { kind: "directory", path: "/q/x", mode: 0o711 },
    create("/q/x/a", 1),
    write(1, "abc"),
    { kind: "mode", file: 1, mode: 0o744 },
    { kind: "link", from: "/q/x/a", to: "/q/x/b" },
    { kind: "sync", file: 1 },
    { kind: "syncDirectory", path: "/q/x" },
    { kind: "syncDirectory", path: "/q" },
  ];
  for (const operation of operations) disk.apply(operation);
  const [state] = [...disk.states(10, () => 0)];
  writeState(state!, "/q", directory.path);
  const stat = Deno.statSync(directory.at("x/b"));
  assert.deepEqual([stat.nlink, stat.mode! & 0o777, Deno.readTextFileSync(directory.at("x/a"))], [
    2,
    0o744,
    "abc",
  ]);
  assert.equal(Deno.statSync(directory.at("x")).mode! & 0o777, 0o711);
});

const hex = (text: string) =>
  [...bytes(text)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");

Deno.test("strace's lines become operations: descriptors, offsets, calls that end later, answers to clients", () => {
  const reader = new TraceReader(["/q"], []);
  const [at, a, b] = [hex("/w"), hex("/q/a"), hex("/q/b")];
  const lines = [
    `7 openat(AT_FDCWD<${at}>, "${hex("/etc/passwd")}", O_RDONLY) = 3<${hex("/etc/passwd")}>`,
    `7 openat(AT_FDCWD<${at}>, "${a}", O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, 0700) = 5<${a}>`,
    `7 write(5<${a}>, "${hex("abcd")}", 4) = 4`,
    `8 fsync(6<${a}> <unfinished ...>`,
    `7 lseek(5<${a}>, 1, SEEK_SET) = 1`,
    `8 <... fsync resumed>) = 0`,
    `7 write(5<${a}>, "${hex("XY")}", 2) = 1`,
    `7 rename("${a}", "${b}") = 0`,
    `7 fsync(9<${hex("/q")}>) = 0`,
    `9 rename("${b}", "${a}") = -1 ENOENT (No such file or directory)`,
    `9 sendto(4<socket:[1]>, "${hex("250 2.0.0 Ok: queued as AB12\r\n")}", 30, MSG_NOSIGNAL, NULL, 0) = 30`,
    `9 unlink("${b}") = 0`,
  ];
  for (const line of lines) reader.take(line);
  assert.deepEqual(reader.operations, [
    { kind: "create", path: "/q/a", file: 1, mode: 0o700 },
    write(1, "abcd"),
    { kind: "sync", file: 1 },
    write(1, "X", 1),
    { kind: "rename", from: "/q/a", to: "/q/b" },
    { kind: "syncDirectory", path: "/q" },
    { kind: "note", text: "AB12" },
    { kind: "remove", path: "/q/b" },
  ]);
});
