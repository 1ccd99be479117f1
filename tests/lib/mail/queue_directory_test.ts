import assert from "node:assert/strict";
import { QueueDirectory } from "../../../lib/mail/queue_directory.ts";
import type { QueueId } from "../../../lib/mail/queue_id.ts";
import { TemporaryDirectory } from "../../support/temporary.ts";

const ID = "4F2A1B" as QueueId;

function queue(directory: TemporaryDirectory, depth = 1): QueueDirectory {
  for (const name of ["incoming", "active", "deferred"]) Deno.mkdirSync(directory.at(name));
  return new QueueDirectory(directory.path, ["deferred", "defer"], depth);
}

Deno.test("paths: only the queues of hash_queue_names have hash directories, to hash_queue_depth", () => {
  const plain = new QueueDirectory("/q", ["deferred"], 2);
  assert.equal(plain.path("incoming", ID), "/q/incoming/4F2A1B");
  assert.equal(plain.path("deferred", ID), "/q/deferred/4/F/4F2A1B");
  assert.equal(plain.directory("deferred"), "/q/deferred");
});

Deno.test("moving makes the hash directory that is missing, and says false for a file that is gone", () => {
  using directory = new TemporaryDirectory();
  const made = queue(directory);
  directory.write("active/4F2A1B", "x");
  assert.equal(made.move(ID, "active", "deferred"), true);
  assert.equal(Deno.readTextFileSync(directory.at("deferred/4/4F2A1B")), "x");
  assert.equal(made.move(ID, "active", "deferred"), false);
  assert.equal(made.move(ID, "deferred", "active"), true);
  assert.equal(Deno.readTextFileSync(directory.at("active/4F2A1B")), "x");
});

Deno.test("ids: every id of a queue once, on whatever level; what is no id is passed over", () => {
  using directory = new TemporaryDirectory();
  const made = queue(directory, 2);
  for (const path of ["4", "4/F", "A", "A/_"]) Deno.mkdirSync(directory.at(`deferred/${path}`));
  for (const name of ["4/F/4F2A1B", "A/_/A9", "top1", "4/level1", "4/F/..tmp", "4/F/1234.567", "4/F/a-b"]) {
    directory.write(`deferred/${name}`, "");
  }
  assert.deepEqual([...made.ids("deferred")].sort(), ["4F2A1B", "A9", "level1", "top1"]);
  for (const name of ["4F2A1B", "1700000.42", "x y", "é"]) directory.write(`incoming/${name}`, "");
  assert.deepEqual([...made.ids("incoming")], ["4F2A1B"]);
  assert.deepEqual([...made.ids("hold")], [], "a directory that there is not");
});
