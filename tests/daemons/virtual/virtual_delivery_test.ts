import assert from "node:assert/strict";
import { findMailbox, type VirtualMaps, type VirtualSettings } from "../../../lib/server/virtual_mailbox.ts";
import { virtualPath } from "../../../lib/server/virtual_path.ts";
import { decodeText } from "../../../lib/vstring/byte_builder.ts";

const SETTINGS: VirtualSettings = {
  double_bounce_sender: "double-bounce",
  owner_request_special: true,
  recipient_delimiter: "+",
  virtual_mailbox_base: "/base",
  virtual_mailbox_path: "",
  virtual_minimum_uid: 100,
};

const RECIPIENT = { user: "alice", domain: "example.test" };

const PATHS: readonly {
  template?: string;
  value?: string;
  base?: string;
  user?: string;
  expected: string;
}[] = [
  { value: "example.test/alice/", expected: "maildir /base/example.test/alice" },
  { value: "example.test/alice", expected: "mbox /base/example.test/alice" },
  { value: "/alice//x", expected: "mbox /base/alice/x" },
  { value: "alice/", base: "/base//", expected: "maildir /base/alice" },
  { value: "alice/", base: "/", expected: "maildir /alice" },
  { value: "alice/", base: "base", expected: "badConfiguration" },
  { value: "alice/", base: "", expected: "badConfiguration" },
  { value: "", expected: "badConfiguration" },
  { value: "/", expected: "badConfiguration" },
  { value: "a/../b", expected: "badConfiguration" },
  { value: "../b", expected: "badConfiguration" },
  { value: "a/..", expected: "badConfiguration" },
  { value: "a/./b", expected: "badConfiguration" },
  { value: "a\0b", expected: "badConfiguration" },
  { value: "a\nb", expected: "badConfiguration" },
  { value: "a..b/.mail/", expected: "maildir /base/a..b/.mail" },
  { value: "x".repeat(255), expected: `mbox /base/${"x".repeat(255)}` },
  { value: "x".repeat(256), expected: "badConfiguration" },
  { value: "ignored", template: "%u/", expected: "maildir /base/alice" },
  { value: "ignored", template: "%d/%u", expected: "mbox /base/example.test/alice" },
  { value: "ignored", template: "%%%u", expected: "mbox /base/%alice" },
  { value: "ignored", template: "%x/", expected: "badConfiguration" },
  { value: "ignored", template: "%", expected: "badConfiguration" },
  ...[
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "/etc",
    ".ssh",
    "a\0",
    "a\n",
    "\x7f",
    "x".repeat(256),
    "é".repeat(128),
    decodeText(new Uint8Array([0x61, 0xff])),
  ]
    .map((user) => ({ template: "%u/", user, expected: "badRecipient" })),
  { template: "%u/", user: "a b", expected: "maildir /base/a b" },
  { template: "%u/", user: "é\u{1F600}", expected: "maildir /base/é\u{1F600}" },
  { template: "%u/", user: "%d", expected: "maildir /base/%d" },
];

for (const { template = "", value = "x", base = "/base", user = RECIPIENT.user, expected } of PATHS) {
  const what = JSON.stringify([base, template, value.slice(0, 30), user.slice(0, 30)]);
  Deno.test(`The virtual mailbox of ${what} (${value.length}, ${user.length}) is ${expected.slice(0, 40)}`, () => {
    const found = virtualPath(base, template, value, { ...RECIPIENT, user });
    assert.equal(found.kind === "path" ? `${found.format} ${found.path}` : found.kind, expected);
  });
}

const TABLES: Readonly<Record<VirtualMaps, string>> = {
  virtual_mailbox_maps: "box/",
  virtual_uid_maps: "1000",
  virtual_gid_maps: "100",
};

interface Case {
  readonly name: string;
  readonly address?: string;
  readonly tables?: Partial<Record<VirtualMaps, string | undefined>>;
  readonly settings?: Partial<VirtualSettings>;
  /** Status and result, or the helper's task. */
  readonly expected: string;
}

const CASES: readonly Case[] = [
  { name: "a known recipient has a mailbox", expected: "maildir /base/box 1000 100 alice@example.test" },
  {
    name: "letters are folded",
    address: "Alice@Example.TEST",
    expected: "maildir /base/box 1000 100 alice@example.test",
  },
  {
    name: "the extension is no part of the name",
    address: "Alice+Tag@example.test",
    settings: { virtual_mailbox_path: "%u/" },
    expected: "maildir /base/alice 1000 100 alice+tag@example.test",
  },
  {
    name: "an unknown recipient bounces",
    tables: { virtual_mailbox_maps: undefined },
    expected: "5.1.1 bounced",
  },
  { name: "a failing table defers", tables: { virtual_mailbox_maps: "RETRY" }, expected: "4.3.5 deferred" },
  {
    name: "a path out of the base defers",
    tables: { virtual_mailbox_maps: "../x" },
    expected: "4.3.5 deferred",
  },
  {
    name: "a user that is no name bounces",
    address: "../x@example.test",
    settings: { virtual_mailbox_path: "%u/" },
    expected: "5.1.1 bounced",
  },
  { name: "no base defers", settings: { virtual_mailbox_base: "" }, expected: "4.3.5 deferred" },
  {
    name: "the least uid is allowed",
    tables: { virtual_uid_maps: "100" },
    expected: "maildir /base/box 100 100 alice@example.test",
  },
  { name: "a lesser uid defers", tables: { virtual_uid_maps: "99" }, expected: "4.3.5 deferred" },
  {
    name: "uid 0 defers even where the least is 1",
    tables: { virtual_uid_maps: "0" },
    settings: { virtual_minimum_uid: 1 },
    expected: "4.3.5 deferred",
  },
  ...["", "-1", "1e3", "0x3e8", " 1000", "1000 ", "4294967295", "99999999999999999999"].flatMap((
    id,
  ): Case[] => [
    { name: `uid "${id}" defers`, tables: { virtual_uid_maps: id }, expected: "4.3.5 deferred" },
    { name: `gid "${id}" defers`, tables: { virtual_gid_maps: id }, expected: "4.3.5 deferred" },
  ]),
  { name: "no uid defers", tables: { virtual_uid_maps: undefined }, expected: "4.3.5 deferred" },
  { name: "no gid defers", tables: { virtual_gid_maps: undefined }, expected: "4.3.5 deferred" },
  { name: "a failing uid table defers", tables: { virtual_uid_maps: "RETRY" }, expected: "4.3.5 deferred" },
  { name: "gid 0 defers", tables: { virtual_gid_maps: "0" }, expected: "4.3.5 deferred" },
  {
    name: "gid 1 is allowed",
    tables: { virtual_gid_maps: "1" },
    expected: "maildir /base/box 1000 1 alice@example.test",
  },
];

for (const { name, address = "alice@example.test", tables = {}, settings = {}, expected } of CASES) {
  Deno.test(`In virtual delivery ${name}`, async () => {
    const all: Partial<Record<VirtualMaps, string | undefined>> = { ...TABLES, ...tables };
    const found = await findMailbox({
      settings: { ...SETTINGS, ...settings },
      find: (maps) => {
        const value = all[maps];
        if (value === "RETRY") return Promise.resolve({ kind: "retry", why: "disk" });
        return Promise.resolve(
          value === undefined ? { kind: "missing" } : { kind: "found", value, extension: "" },
        );
      },
      warn: () => {},
    }, address);
    if (found.kind === "settled") {
      return assert.equal(`${found.outcome.status} ${found.outcome.result}`, expected);
    }
    const { format, path, uid, gid, user } = found.task;
    assert.equal(`${format} ${path} ${uid} ${gid} ${user}`, expected);
  });
}
