import assert from "node:assert/strict";
import { oneMailbox, sharedMailboxes } from "../../../daemons/mailbox/mailbox_place.ts";
import { CodecError } from "../../../lib/ipc/codec.ts";
import { MailboxError } from "../../../lib/mail/mailbox_outcome.ts";
import { type Mailbox } from "../../../lib/mail/mailbox_writer.ts";

function mailbox(): Mailbox {
  return { begin: () => Promise.reject(new Error("not asked for")) };
}

/** A directory with `domain/`, the link `away` out of it, the link `aside` to its own `domain`, and a file. */
class Base implements Disposable {
  readonly root = Deno.makeTempDirSync();
  readonly path = `${this.root}/base`;
  readonly made: string[] = [];
  readonly open = sharedMailboxes(this.path, (path, format) => {
    this.made.push(`${format} ${path.slice(this.path.length)}`);
    return mailbox();
  });

  constructor() {
    Deno.mkdirSync(`${this.path}/domain/deep`, { recursive: true });
    Deno.mkdirSync(`${this.root}/elsewhere`);
    Deno.symlinkSync(`${this.root}/elsewhere`, `${this.path}/away`);
    Deno.symlinkSync("domain", `${this.path}/aside`);
    Deno.writeTextFileSync(`${this.path}/file`, "");
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.root, { recursive: true });
  }
}

Deno.test("A helper of one mailbox serves that one and no path that it is told", () => {
  const one = mailbox();
  const open = oneMailbox(one, "maildir");
  assert.equal(open("", "maildir"), one);
  assert.throws(() => open("x", "maildir"), CodecError);
  assert.throws(() => open("", "mbox"), CodecError);
});

Deno.test("A shared helper makes each mailbox once, by path and format", () => {
  using base = new Base();
  const first = base.open("box", "maildir");
  assert.equal(base.open("box", "maildir"), first);
  assert.notEqual(base.open("box", "mbox"), first);
  base.open("domain/deep/box", "mbox");
  assert.deepEqual(base.made, ["maildir /box", "mbox /box", "mbox /domain/deep/box"]);
});

for (
  const path of [
    "",
    "/",
    "/etc",
    ".",
    "..",
    "../elsewhere",
    "domain/../../elsewhere/x",
    "domain//x",
    "domain/./x",
    "domain/",
    "x\0y",
    Array.from({ length: 21 }, () => "x").join("/"),
  ]
) {
  Deno.test(`A shared helper breaks with an agent that names ${JSON.stringify(path)}`, () => {
    using base = new Base();
    assert.throws(() => base.open(path, "maildir"), CodecError);
    assert.deepEqual(base.made, []);
  });
}

for (
  const [path, why] of [
    ["away/box", "a symbolic link"],
    ["aside/box", "a symbolic link"],
    ["aside/deep/box", "a symbolic link"],
    ["file/box", "not a directory"],
    ["nowhere/box", "missing"],
  ] as const
) {
  Deno.test(`A shared helper defers mail for ${path}, where ${path.split("/")[0]} is ${why}`, () => {
    using base = new Base();
    const isDeferral = (error: unknown) =>
      error instanceof MailboxError && error.status === "4.2.0" && error.message.endsWith(`is ${why}`);
    assert.throws(() => base.open(path, "maildir"), isDeferral);
    assert.deepEqual(base.made, []);
  });
}

Deno.test("A shared helper looks for links each time", () => {
  using base = new Base();
  base.open("domain/box", "maildir");
  Deno.renameSync(`${base.path}/domain`, `${base.path}/old`);
  Deno.symlinkSync(`${base.root}/elsewhere`, `${base.path}/domain`);
  assert.throws(() => base.open("domain/box", "maildir"), MailboxError);
});

Deno.test("A shared helper remembers a bounded number of mailboxes, those in use before others", () => {
  using base = new Base();
  for (let i = 0; i < 1001; i++) {
    base.open(`box${i}`, "maildir");
    base.open("box0", "maildir");
  }
  assert.equal(base.made.length, 1001);
  base.open("box1", "maildir");
  assert.equal(base.made.at(-1), "maildir /box1");
  base.open("box0", "maildir");
  assert.equal(base.made.length, 1002);
});
