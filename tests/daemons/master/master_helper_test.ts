import assert from "node:assert/strict";
import { checkHelperTask } from "../../../daemons/master/master_helper.ts";
import type { Configuration } from "../../../lib/config/configuration.ts";
import { findUser } from "../../../lib/safe/process.ts";
import { testNeeding } from "../../support/tools.ts";

/** What a daemon that was taken over may ask master for, and does not get. */

const SETTINGS = {
  mail_owner: "postern",
  net_owner: "postern-net",
  home_mailbox: "",
  mail_spool_directory: "/var/mail",
  virtual_mailbox_base: "/srv/mail",
  virtual_mailbox_shared_helper: false,
  virtual_minimum_uid: 100,
};

function configuration(settings: Partial<typeof SETTINGS> = {}): Configuration {
  return { settings: { ...SETTINGS, ...settings } } as unknown as Configuration;
}

const VIRTUAL = {
  kind: "mailbox",
  path: "/srv/mail/user",
  format: "maildir",
  user: "u@example.test",
  uid: 5000,
  gid: 5000,
};
const LOCAL = {
  kind: "mailbox",
  path: "/var/mail/nobody",
  format: "mbox",
  user: "nobody",
  ...idsOf("nobody"),
};

function idsOf(name: string) {
  const { uid, gid } = findUser(name)!;
  return { uid, gid };
}

testNeeding(
  ["root"],
  "virtual gets a helper for a mailbox below its base, with the uid that its table gives",
  () => {
    assert.deepEqual(checkHelperTask("virtual", VIRTUAL, configuration()), {
      kind: "allowed",
      task: VIRTUAL,
    });
  },
);

Deno.test("without users of their own every helper has master's identity, whatever was asked for", () => {
  const checked = checkHelperTask(
    "virtual",
    { ...VIRTUAL, uid: 0, gid: 0 },
    configuration({ mail_owner: "" }),
  );
  assert.ok(checked.kind === "allowed");
  assert.deepEqual([checked.task.uid, checked.task.gid], [Deno.uid(), Deno.gid()]);
});

for (
  const [name, change, settings] of [
    ["the root folder's own base", { path: "/srv/mail" }],
    ["the base itself", { path: "/srv/mail/" }],
    ["the base with slashes", { path: "/srv/mail//" }],
    ["a path with a slash at its end", { path: "/srv/mail/user/" }],
    ["a neighbour of the base", { path: "/srv/mailbox/user" }],
    ["a path that climbs out", { path: "/srv/mail/../../etc/cron.d" }],
    ["a path that climbs and returns", { path: "/srv/mail/a/../b" }],
    ["a path with a dot", { path: "/srv/mail/./b" }],
    ["a path with empty parts", { path: "/srv/mail//b" }],
    ["a relative path", { path: "srv/mail/user" }],
    ["a NUL in the path", { path: "/srv/mail/user\0/x" }],
    ["no path", { path: "" }],
    ["a path without end", { path: `/srv/mail/${"x".repeat(4000)}` }],
    ["system files", { path: "/etc/shadow", format: "mbox" }],
    ["no base in the configuration", {}, { virtual_mailbox_base: "" }],
    ["another kind", { kind: "shell" }],
    ["another format", { format: "exe" }],
    ["a path that is no string", { path: ["/srv/mail/user"] }],
    ["a uid that is no number", { uid: "5000" }],
    ["a uid that is no integer", { uid: 5000.5 }],
    ["a uid beyond all", { uid: Number.MAX_VALUE }],
    ["a uid that is root's when cut to 32 bits", { uid: 2 ** 32 }],
    ["a gid that is root's when cut to 32 bits", { gid: 2 ** 32 }],
    ["a uid that is -1 in 32 bits", { uid: 2 ** 32 - 1 }],
    ["no uid", { uid: undefined }],
    ["no user", { user: null }],
  ] as const
) {
  Deno.test(`virtual is refused ${name}`, () => {
    const checked = checkHelperTask("virtual", { ...VIRTUAL, ...change }, configuration(settings));
    assert.equal(checked.kind, "refused");
  });
}

for (
  const [name, change] of [["root", { uid: 0 }], ["a system user", { uid: 99 }], ["group 0", { gid: 0 }], [
    "a negative uid",
    { uid: -1 },
  ]] as const
) {
  testNeeding(["root"], `virtual is refused the identity of ${name}`, () => {
    assert.equal(checkHelperTask("virtual", { ...VIRTUAL, ...change }, configuration()).kind, "refused");
  });
}

const SHARED = { kind: "mailboxes", path: "/srv/mail", uid: 5000, gid: 5000 };
const WANTED = { virtual_mailbox_shared_helper: true };

testNeeding(
  ["root"],
  "virtual gets a helper for the whole base where virtual_mailbox_shared_helper is set",
  () => {
    const expected = { kind: "allowed", task: SHARED };
    assert.deepEqual(checkHelperTask("virtual", SHARED, configuration(WANTED)), expected);
    const withSlash = configuration({ ...WANTED, virtual_mailbox_base: "/srv/mail/" });
    assert.deepEqual(checkHelperTask("virtual", SHARED, withSlash), expected);
  },
);

for (
  const [name, command, change, settings] of [
    ["where it is not set", "virtual", {}, {}],
    ["for local", "local", {}, WANTED],
    ["above the base", "virtual", { path: "/srv" }, WANTED],
    ["below the base", "virtual", { path: "/srv/mail/user" }, WANTED],
    ["at a neighbour of the base", "virtual", { path: "/srv/mail2" }, WANTED],
    ["at a detour to the base", "virtual", { path: "/srv/x/../mail" }, WANTED],
    ["without a base", "virtual", { path: "/" }, { ...WANTED, virtual_mailbox_base: "" }],
    ["at the root folder", "virtual", { path: "/" }, { ...WANTED, virtual_mailbox_base: "/" }],
  ] as const
) {
  Deno.test(`a shared helper is refused ${name}`, () => {
    assert.equal(checkHelperTask(command, { ...SHARED, ...change }, configuration(settings)).kind, "refused");
  });
}

for (
  const [name, change] of [["root", { uid: 0 }], ["a system user", { uid: 99 }], ["group 0", {
    gid: 0,
  }]] as const
) {
  testNeeding(["root"], `a shared helper is refused the identity of ${name}`, () => {
    assert.equal(checkHelperTask("virtual", { ...SHARED, ...change }, configuration(WANTED)).kind, "refused");
  });
}

testNeeding(["root"], "virtual is refused a negative group", () => {
  assert.equal(checkHelperTask("virtual", { ...VIRTUAL, gid: -1 }, configuration()).kind, "refused");
});

Deno.test("local gets a helper for its user's spool file or home mailbox, as that user", () => {
  assert.equal(checkHelperTask("local", LOCAL, configuration()).kind, "allowed");
  const { home } = findUser("nobody")!;
  const task = { ...LOCAL, path: `${home}/Maildir`, format: "maildir" };
  assert.equal(checkHelperTask("local", task, configuration({ home_mailbox: "Maildir/" })).kind, "allowed");
});

for (
  const [name, change] of [
    ["another user's mailbox", { path: "/var/mail/root" }],
    ["a file below its mailbox", { path: "/var/mail/nobody/x" }],
    ["root's identity for its user's mailbox", { uid: 0, gid: 0 }],
    ["another group", { gid: 1 }],
    ["a user that does not exist", { user: "nobody-here" }],
    ["a user whose name is a path", { user: "../mail/nobody", path: "/var/mail/../mail/nobody" }],
    ["a user whose name breaks the password file's lines", { user: "nobody:x:0" }],
    ["the home mailbox where the spool is used", { path: "/nonexistent/Maildir" }],
  ] as const
) {
  Deno.test(`local is refused ${name}`, () => {
    assert.equal(checkHelperTask("local", { ...LOCAL, ...change }, configuration()).kind, "refused");
  });
}

Deno.test("requests of any form are refused, never an error", () => {
  for (
    const request of [
      undefined,
      null,
      0,
      "",
      [],
      {},
      { kind: {} },
      { ...VIRTUAL, user: {} },
      Object.create(null),
    ]
  ) {
    for (const command of ["local", "virtual", "smtpd"]) {
      assert.equal(checkHelperTask(command, request, configuration()).kind, "refused");
    }
  }
});
