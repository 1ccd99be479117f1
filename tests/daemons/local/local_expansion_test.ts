import assert from "node:assert/strict";
import { ALIAS_DEPTH_LIMIT, LocalExpansion } from "../../../lib/server/local_expansion.ts";
import { forwardBatches } from "../../../daemons/local/local_forward.ts";
import { type LocalSettings } from "../../../daemons/local/local_settings.ts";
import { type LocalSources } from "../../../lib/server/local_sources.ts";
import { type Action } from "../../../lib/server/local_state.ts";
import { parseUser, userMailbox } from "../../../lib/server/local_user.ts";
import { type Author, type HelperRequest } from "../../../lib/server/boot.ts";
import { type HelperFile } from "../../../lib/server/mailbox_helper.ts";
import { parseTargets, targetLines, targetName } from "../../../lib/server/local_target.ts";
import { LOCAL_SETTINGS } from "./local_support.ts";

interface Case {
  readonly name: string;
  readonly aliases?: Readonly<Record<string, string>>;
  readonly settings?: Partial<LocalSettings>;
  readonly delivered?: readonly string[];
  readonly recipient?: string;
  /** .forward files by user or, where there is an extension, by address; lists by path. REFUSED and LATER as they say. */
  readonly files?: Readonly<Record<string, string>>;
  /** What tables by user have, by "TABLES USER". */
  readonly users?: Readonly<Record<string, string>>;
  /** `mailbox USER`, `forward ADDRESS from SENDER for DELIVERED-TO`, `STATUS ADDRESS reason`. */
  readonly expected: readonly string[];
  readonly warnings?: number;
}

const USERS = ["alice", "bob", "carol", "postmaster2", "root"];

/** What the outside world says: one local domain, the users of USERS, the aliases of the case. */
function sourcesOf(
  aliases: ReadonlyMap<string, string>,
  delivered: readonly string[],
  warnings: string[],
  files: Readonly<Record<string, string>> = {},
  users: Readonly<Record<string, string>> = {},
): LocalSources {
  const rewrite = (address: string) => address.includes("@") ? address : `${address}@example.com`;
  return {
    alias: (name) => {
      const value = aliases.get(name);
      if (value === "RETRY") return Promise.resolve({ kind: "retry", why: "disk" });
      return Promise.resolve(
        value === undefined ? { kind: "missing" } : { kind: "found", value, extension: "" },
      );
    },
    forUser: (maps, user) => {
      const value = users[`${maps} ${user}`];
      if (value === "RETRY") return Promise.resolve({ kind: "retry", why: "disk" });
      return Promise.resolve(
        value === undefined ? { kind: "missing" } : { kind: "found", value, extension: "" },
      );
    },
    read: (request) =>
      Promise.resolve(fileOf(request, { "/refused": "REFUSED", "/later": "LATER", ...files })),
    passwd: (user) => {
      if (user === "retry") return Promise.resolve({ kind: "retry", why: "disk" });
      const index = USERS.indexOf(user);
      if (index < 0) return Promise.resolve({ kind: "missing" });
      const uid = user === "root" ? 0 : 1000 + index;
      return Promise.resolve({
        kind: "found",
        value: `${user}:x:${uid}:100::/home/${user}:/bin/sh`,
        extension: "",
      });
    },
    resolve: (_sender, address) => {
      if (address === "retry") return Promise.resolve({ kind: "retry", why: "gone" });
      if (address.endsWith("@")) return Promise.resolve({ kind: "bad" });
      const recipient = rewrite(address);
      return Promise.resolve({
        kind: "resolved",
        transport: recipient.endsWith("@example.com") ? "local" : "smtp",
        recipient,
      });
    },
    rewrite: (address) => Promise.resolve(address === "owner-retry" ? undefined : rewrite(address)),
    wasDeliveredTo: (address) => delivered.includes(address.toLowerCase()),
    warn: (text) => void warnings.push(text),
  };
}

/** What a helper would answer. */
function fileOf(request: HelperRequest, files: Readonly<Record<string, string>>): HelperFile {
  const key = request.kind === "include"
    ? request.path
    : request.kind === "mailbox"
    ? request.user
    : request.kind === "forward"
    ? request.recipient
    : "";
  const text = files[key];
  if (text === undefined) return { kind: "missing" };
  if (text === "REFUSED") return { kind: "refused", index: 0, why: "file is world writable" };
  if (text === "LATER") return { kind: "retry", why: "not now" };
  return { kind: "read", index: 0, content: new TextEncoder().encode(text) };
}

function authorText(author: Author): string {
  if (author.kind === "alias") return `alias ${author.name}`;
  if (author.kind === "forward") return `.forward of ${author.user}`;
  return `list ${author.path} of ${authorText(author.author)}`;
}

function requestText(request: HelperRequest): string {
  if (request.kind === "mailboxCommand") return `mailboxCommand ${request.user}`;
  return request.kind === "command" || request.kind === "file" ? authorText(request.author) : request.kind;
}

const CASES: readonly Case[] = [
  { name: "a user has a mailbox", expected: ["mailbox alice"], recipient: "Alice@example.com" },
  {
    name: "an extension is taken off to find the user",
    recipient: "alice+x@example.com",
    expected: ["mailbox alice"],
  },
  {
    name: "an unknown user bounces",
    recipient: "Nobody@example.com",
    expected: ['5.1.1 Nobody@example.com unknown user: "nobody"'],
  },
  {
    name: "an empty user bounces",
    recipient: "@example.com",
    expected: ['5.1.3 @example.com null username in "@example.com"'],
  },
  {
    name: "a failing user table defers",
    recipient: "retry@example.com",
    expected: ["4.0.0 retry@example.com user lookup error: disk"],
  },
  {
    name: "root has no mailbox",
    recipient: "root@example.com",
    expected: [
      '4.3.5 root@example.com mail system configuration error: user "root" is root: it needs an alias',
    ],
    warnings: 1,
  },
  {
    name: "postmaster without an alias is thrown away with a warning",
    recipient: "postmaster@example.com",
    expected: ["2.0.0 postmaster@example.com discarded"],
    warnings: 1,
  },
  {
    name: "a list of local and remote addresses is split",
    aliases: { alice: "bob, x@other.org, carol" },
    expected: ["mailbox bob", "forward x@other.org from s@a for alice@example.com", "mailbox carol"],
  },
  {
    name: "nested aliases are followed",
    aliases: { alice: "b1", b1: "b2", b2: "bob" },
    expected: ["mailbox bob"],
  },
  {
    name: "an alias that lists itself means the user",
    aliases: { alice: "alice, bob" },
    expected: ["mailbox alice", "mailbox bob"],
  },
  {
    name: "an alias that is found with its extension goes before the one without",
    aliases: { "alice+x": "bob", alice: "carol" },
    recipient: "alice+x@example.com",
    expected: ["mailbox bob"],
  },
  {
    name: "an alias is found without the extension",
    aliases: { alice: "bob" },
    recipient: "alice+x@example.com",
    expected: ["mailbox bob"],
  },
  {
    name: "the extension goes on to the members where the configuration says so",
    aliases: { alice: "x@other.org" },
    settings: { propagate_unmatched_extensions: ["alias"] },
    recipient: "alice+k@example.com",
    expected: ["forward x+k@other.org from s@a for alice+k@example.com"],
  },
  {
    name: "a user that two aliases name gets one copy",
    aliases: { alice: "b1, b2", b1: "bob", b2: "BOB, bob" },
    expected: ["mailbox bob"],
  },
  {
    // LOP-02
    name: "two aliases that name each other end",
    aliases: { alice: "b1", b1: "alice" },
    expected: ["5.4.6 b1@example.com possible alias database loop for b1@example.com"],
  },
  {
    name: "aliases that all name one another end",
    aliases: {
      alice: "b1, b2, b3",
      b1: "b1, b2, b3, alice",
      b2: "b1, b2, b3, alice",
      b3: "alice, b1, b2, b3, bob",
    },
    settings: { duplicate_filter_limit: 0 },
    expected: [
      "*5.4.6",
      "mailbox bob",
      '5.1.1 b1@example.com unknown user: "b1"',
      '5.1.1 b2@example.com unknown user: "b2"',
    ],
  },
  {
    name: "an address that the message was delivered to before bounces",
    delivered: ["alice@example.com"],
    expected: ["5.4.6 alice@example.com mail forwarding loop for alice@example.com"],
  },
  {
    name: "a member that the message was delivered to before bounces, the others get it",
    aliases: { alice: "bob, carol" },
    delivered: ["bob@example.com"],
    expected: ["5.4.6 bob@example.com mail forwarding loop for bob@example.com", "mailbox carol"],
  },
  {
    name: "a failing alias table defers",
    aliases: { alice: "RETRY" },
    expected: ["4.3.0 alice@example.com alias database unavailable: disk"],
  },
  {
    name: "an alias of nothing defers",
    aliases: { alice: " , (none)" },
    expected: ["4.3.0 alice@example.com alias database error: value of alias has no recipient"],
    warnings: 1,
  },
  {
    name: "a failing resolver defers",
    aliases: { alice: "retry" },
    expected: ["4.3.0 retry address resolver failure: gone"],
  },
  {
    name: "a bad address bounces",
    aliases: { alice: "x@" },
    expected: ["5.1.3 x@ bad recipient address syntax"],
  },
  {
    name: "commands, files and users of an alias are all done",
    aliases: { alice: 'bob, "|cmd a b", /file/name, /mail/dir/' },
    expected: [
      "mailbox bob",
      "command cmd a b by alias alice",
      "file /file/name by alias alice",
      "file /mail/dir/ by alias alice",
    ],
  },
  {
    name: "the same command and the same file are done once",
    aliases: { alice: '"|cmd", "|cmd", /f, b1', b1: '/f, "|cmd"' },
    expected: ["command cmd by alias alice", "file /f by alias alice"],
  },
  ...["~/x", "~bob/x"].map((target) => ({
    name: `a file in a home that nobody stands for fails: ${target}`,
    aliases: { alice: target },
    expected: ["5.3.5 alice@example.com mail system configuration error"],
    warnings: 1,
  })),
  {
    name: "commands and files are refused where they may not stand",
    aliases: { alice: '"|cmd", /f' },
    settings: { allow_mail_to_commands: ["forward"], allow_mail_to_files: [] },
    expected: [
      "5.7.1 alice@example.com mail to command is restricted",
      "5.7.1 alice@example.com mail to file is restricted",
    ],
  },
  {
    name: "the members of a list get the message anew, its commands are refused",
    aliases: { alice: ":INCLUDE:/lists/a" },
    files: { "/lists/a": '# members\nbob, carol\nx@other.org\n"|cmd"\n/f\n' },
    expected: [
      "forward bob@example.com from s@a for alice@example.com",
      "forward carol@example.com from s@a for alice@example.com",
      "forward x@other.org from s@a for alice@example.com",
      "5.7.1 alice@example.com mail to command is restricted",
      "5.7.1 alice@example.com mail to file is restricted",
    ],
  },
  {
    name: "a list's commands run where that is allowed, by the list that the alias names",
    aliases: { alice: ":include:/lists/a" },
    files: { "/lists/a": ":include:/lists/b", "/lists/b": '"|cmd"' },
    settings: { allow_mail_to_commands: ["include"] },
    expected: ["command cmd by list /lists/b of list /lists/a of alias alice"],
  },
  {
    // LOP-08
    name: "lists that include themselves and one another end",
    aliases: { alice: ":include:/lists/a" },
    files: { "/lists/a": ":include:/lists/a\n:include:/lists/b\nbob", "/lists/b": ":include:/lists/a" },
    expected: ["forward bob@example.com from s@a for alice@example.com"],
  },
  ...[":include:lists", ":include:/missing", ":include:/refused"].map((target) => ({
    name: `the list ${target} bounces with a warning`,
    aliases: { alice: `bob, ${target}` },
    expected: ["mailbox bob", "5.3.5 alice@example.com mail system configuration error"],
    warnings: 1,
  })),
  {
    name: "a list that cannot be read now defers",
    aliases: { alice: ":include:/later" },
    expected: ["4.3.5 alice@example.com cannot read list: not now"],
  },
  {
    // LOP-07
    name: "the own address in a .forward is the mailbox",
    files: { "alice": "alice\n\\alice\nalice@example.com" },
    expected: ["mailbox alice"],
  },
  {
    name: "another user in a .forward gets the message anew",
    files: { alice: "\\alice, bob" },
    expected: ["mailbox alice", "forward bob@example.com from s@a for alice@example.com"],
  },
  {
    name: "commands and files of a .forward are the user's",
    files: { alice: '"|cmd x"\n~/box, /abs\n' },
    expected: [
      "command cmd x by .forward of alice",
      "file ~/box by .forward of alice",
      "file /abs by .forward of alice",
    ],
  },
  {
    name: "a .forward without an address is none",
    files: { alice: "# nothing\n\n" },
    expected: ["mailbox alice"],
  },
  {
    name: "a .forward that must not be used is not, with a warning",
    files: { alice: "REFUSED" },
    expected: ["mailbox alice"],
    warnings: 1,
  },
  {
    name: "a .forward that cannot be read now defers",
    files: { alice: "LATER" },
    expected: ["4.3.0 alice@example.com cannot read .forward: not now"],
  },
  {
    name: "an address with an extension has a .forward of its own",
    recipient: "alice+x@example.com",
    files: { "alice+x@example.com": "y@other.org", alice: "z@other.org" },
    expected: ["forward y@other.org from s@a for alice+x@example.com"],
  },
  {
    name: "the extension goes on to the addresses of a .forward whose name has none",
    recipient: "alice+x@example.com",
    files: { "alice+x@example.com": "y@other.org" },
    settings: { propagate_unmatched_extensions: ["forward"], forward_path: "$home/.forward" },
    expected: ["forward y+x@other.org from s@a for alice+x@example.com"],
  },
  {
    name: "an alias in a .forward is the alias's, not the user's",
    aliases: { list: '"|cmd", ~/x' },
    files: { alice: "list" },
    expected: ["command cmd by alias list", "5.3.5 list@example.com mail system configuration error"],
    warnings: 1,
  },
  {
    name: "the bad words of a .forward are its user's trouble",
    files: { alice: ":fail: no\n\\alice" },
    expected: ["5.3.5 alice@example.com mail system configuration error", "mailbox alice"],
    warnings: 1,
  },
  {
    name: "without forward_path no .forward is asked for",
    files: { alice: "LATER" },
    settings: { forward_path: "" },
    expected: ["mailbox alice"],
  },
  {
    name: "a list with an owner is sent on in the owner's name, to local members too",
    aliases: { alice: "bob, x@other.org", "owner-alice": "carol" },
    expected: [
      "forward bob@example.com from owner-alice@example.com for alice@example.com owned",
      "forward x@other.org from owner-alice@example.com for alice@example.com owned",
    ],
  },
  {
    name: "the owner can be what its alias says",
    aliases: { alice: "bob", "owner-alice": "carol@z.org" },
    settings: { expand_owner_alias: true },
    expected: ["forward bob@example.com from carol@z.org for alice@example.com owned"],
  },
  {
    name: "without owner_request_special there are no owners",
    aliases: { alice: "bob", "owner-alice": "carol" },
    settings: { owner_request_special: false },
    expected: ["mailbox bob"],
  },
  {
    name: "an owner that cannot be looked up defers",
    aliases: { retry: "bob", "owner-retry": "x" },
    recipient: "retry@example.com",
    expected: ["4.3.0 retry@example.com alias database unavailable"],
  },
  {
    name: "the members of a nested list keep the outer owner",
    aliases: { alice: "b1", "owner-alice": "x", b1: "y@z" },
    expected: ["forward y@z from owner-alice@example.com for alice@example.com owned"],
  },
  {
    name: "without frozen_delivered_to the last local address counts",
    aliases: { alice: "b1", b1: "y@z" },
    settings: { frozen_delivered_to: false },
    expected: ["forward y@z from s@a for b1@example.com"],
  },
  {
    name: "luser_relay takes mail of unknown users",
    recipient: "no+x@example.com",
    settings: { luser_relay: "catch+$user.$extension@other.org" },
    expected: ["forward catch+no.x@other.org from s@a for no+x@example.com"],
  },
  {
    name: "luser_relay may be a local user",
    recipient: "no@example.com",
    settings: { luser_relay: "bob" },
    expected: ["mailbox bob"],
  },
  {
    name: "luser_relay that leads to itself bounces",
    recipient: "no@example.com",
    settings: { luser_relay: "$recipient" },
    expected: ['5.1.1 no@example.com unknown user: "no"'],
  },
  {
    name: "luser_relay that leads to other unknown users ends",
    recipient: "no@example.com",
    settings: { luser_relay: "x$user" },
    expected: ["*5.4.6"],
  },
  {
    name: "luser_relay may be no command",
    recipient: "no@example.com",
    settings: { luser_relay: "|cmd" },
    expected: ["*4.3.5"],
    warnings: 1,
  },
  {
    name: "luser_relay takes what a stranger wrote as one address",
    recipient: "a|`;$b@example.com",
    settings: { luser_relay: "$user@other.org" },
    expected: ["forward a|`;$b@other.org from s@a for a|`;$b@example.com"],
  },
  {
    name: "luser_relay is expanded once",
    recipient: "$home@example.com",
    settings: { luser_relay: "x$user@other.org" },
    expected: ["forward x$home@other.org from s@a for $home@example.com"],
  },
  {
    name: "mailbox_command takes the mailbox's place",
    settings: { mailbox_command: "/bin/x $1" },
    expected: ["command /bin/x $1 by mailboxCommand alice"],
  },
  {
    name: "mailbox_command_maps goes before mailbox_command",
    settings: { mailbox_command: "/bin/x", mailbox_command_maps: ["m"] },
    users: { "mailbox_command_maps alice": "/bin/y" },
    expected: ["command /bin/y by mailboxCommand alice"],
  },
  {
    name: "mailbox_transport takes all names, those that nobody has as well",
    settings: { mailbox_transport: "lmtp:unix:/x" },
    recipient: "no@example.com",
    expected: ["pass lmtp:unix:/x no@example.com"],
  },
  {
    name: "mailbox_transport_maps takes some",
    settings: { mailbox_transport_maps: ["m"] },
    users: { "mailbox_transport_maps alice": "t:" },
    recipient: "alice+x@example.com",
    expected: ["pass t: alice+x@example.com"],
  },
  {
    name: "a table of transports that fails defers",
    settings: { mailbox_transport_maps: ["m"] },
    users: { "mailbox_transport_maps alice": "RETRY" },
    expected: ["4.3.0 alice@example.com mailbox_transport_maps lookup error: disk"],
  },
  {
    name: "fallback_transport takes unknown users",
    settings: { fallback_transport: "smtp:x" },
    recipient: "no@example.com",
    expected: ["pass smtp:x no@example.com"],
  },
  {
    name: "fallback_transport leaves known users",
    settings: { fallback_transport: "smtp:x" },
    expected: ["mailbox alice"],
  },
];

for (
  const {
    name,
    aliases = {},
    settings = {},
    delivered = [],
    recipient = "alice@example.com",
    expected,
    files,
    users,
    warnings = 0,
  } of CASES
) {
  Deno.test(`In local delivery ${name}`, async () => {
    const warned: string[] = [];
    const sources = sourcesOf(new Map(Object.entries(aliases)), delivered, warned, files, users);
    const { actions } = await new LocalExpansion({ ...LOCAL_SETTINGS, ...settings }, sources, "local").run(
      recipient,
      "s@a",
    );
    const found = actions.map((action) => {
      switch (action.kind) {
        case "mailbox":
          return `mailbox ${action.task.user}`;
        case "forward":
          return `forward ${action.address} from ${action.sender} for ${action.deliveredTo}${
            action.owned ? " owned" : ""
          }`;
        case "command":
          return `command ${action.command} by ${requestText(action.request)}`;
        case "file":
          return `file ${action.request.path} by ${requestText(action.request)}`;
        case "pass":
          return `pass ${action.transport} ${action.address}`;
        case "settled":
          return `${action.outcome.status} ${action.address} ${action.outcome.reason}`;
      }
    });
    const short = found.map((line) =>
      expected.includes(`*${line.slice(0, 5)}`) ? `*${line.slice(0, 5)}` : line
    );
    assert.deepEqual([...new Set(short)].sort(), [...expected].sort());
    if (recipient !== "postmaster" && !name.includes("luser_relay that leads")) {
      assert.equal(warned.length, warnings);
    }
  });
}

Deno.test("An alias chain of the depth limit is followed, one step more bounces", async () => {
  for (
    const [length, status] of [[ALIAS_DEPTH_LIMIT, undefined], [ALIAS_DEPTH_LIMIT + 1, "5.4.6"]] as const
  ) {
    const chain = new Map(Array.from({ length: length - 1 }, (_, i) => [`n${i}`, `n${i + 1}`]));
    chain.set("alice", "n0").set(`n${length - 1}`, "bob");
    // Alias n(k) stands at level k + 1, bob one below the last.
    chain.delete(`n${length - 1}`);
    chain.set(`n${length - 2}`, "bob");
    const { actions } = await new LocalExpansion(LOCAL_SETTINGS, sourcesOf(chain, [], []), "local").run(
      "alice@example.com",
      "",
    );
    assert.equal(actions.length, 1);
    const [action] = actions;
    assert.equal(action!.kind === "settled" ? action!.outcome.status : undefined, status);
  }
});

Deno.test("An alias bomb stops at the limit of addresses", async () => {
  const bomb = new Map<string, string>();
  for (let level = 0; level < 8; level++) {
    for (let i = 0; i < 10; i++) {
      const members = Array.from(
        { length: 10 },
        (_, k) => level === 7 ? `u${i}x${k}@z.org` : `l${level + 1}n${k}`,
      );
      bomb.set(`l${level}n${i}`, members.join(", "));
    }
  }
  bomb.set("alice", "l0n0");
  const settings = { ...LOCAL_SETTINGS, duplicate_filter_limit: 1 };
  const { actions } = await new LocalExpansion(settings, sourcesOf(bomb, [], []), "local").run(
    "alice@example.com",
    "",
  );
  const failures = actions.filter((action) => action.kind === "settled");
  assert.equal(failures.length, 1);
  assert.equal(failures[0]!.kind === "settled" && failures[0]!.outcome.status, "5.4.6");
});

const VALUES: readonly (readonly [value: string, targets: readonly string[]])[] = [
  ["a, b@c", ["a", "b@c"]],
  ["a,,b,", ["a", "b"]],
  ['"a b"@c', ["a b@c"]],
  ['"a,b"@c, d', ["a,b@c", "d"]],
  ["John Doe <jd@x.org> (comment)", ["jd@x.org"]],
  ['"Doe, John" <jd@x.org>', ["jd@x.org"]],
  ["a@[192.0.2.1]", ["a@[192.0.2.1]"]],
  ["a b c@d", ["a", "b", "c@d"]],
  ["|/bin/x /y", ["!command |/bin/x", "!file /y"]],
  ["~/x, ~y/z", ["!file ~/x", "!file ~y/z"]],
  [`"|${"x".repeat(4000)}"`, ["?text is too long"]],
  ['"|cmd arg, more"', ["!command |cmd arg, more"]],
  ["|/bin/cmd", ["!command |/bin/cmd"]],
  ["/var/x", ["!file /var/x"]],
  [":include:/a/b", ["!include :include:/a/b"]],
  [":fail: x", ["?unknown directive"]],
  ['"a\\\nb"@c', ["a b@c"]],
  ['"a\0b"@c', ["?control character"]],
  ["\x01", ["?control character"]],
  ["x".repeat(1024), ["x".repeat(1024)]],
  ["x".repeat(1025), ["?address is too long"]],
  ["()", []],
];

for (const [value, targets] of VALUES) {
  Deno.test(`The alias value ${JSON.stringify(value.slice(0, 40))} (${value.length}) has ${targets.length} targets`, () => {
    const found = parseTargets(value)!.map((target) =>
      target.kind === "address"
        ? target.address
        : target.kind === "bad"
        ? `?${target.why}`
        : `!${target.kind} ${targetName(target)}`
    );
    assert.deepEqual(found, targets);
  });
}

Deno.test("A file's lines are cut at the limit, and comments and ends of lines left out", () => {
  const lines = (text: string) => [...targetLines(text, 4)];
  assert.deepEqual(lines(""), []);
  assert.deepEqual(lines("a\n#b\n\nc"), ["a", "", "c"]);
  assert.deepEqual(lines("abcd\nabcde\n"), ["abcd", "abcd", "e"]);
  assert.deepEqual(lines("abcd#ef"), ["abcd"]);
});

Deno.test("An alias value cut at every byte or of random bytes never throws", () => {
  const value = 'John <"a\\"b"@[1.2]>, (c(d)e) |x, "/f g", :include:/x';
  for (let length = 0; length <= value.length; length++) parseTargets(value.slice(0, length));
  let seed = 7;
  const random = (most: number) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % most;
  for (let round = 0; round < 2000; round++) {
    parseTargets(
      Array.from({ length: random(40) }, () => '",()<>@[]\\:;|/ \t\n\0aé'[random(21)]).join(""),
    );
  }
});

const MAILBOXES: readonly (readonly [home: string, spool: string, expected: string])[] = [
  ["", "/var/mail", "mbox /var/mail/alice"],
  ["", "/var/mail/", "maildir /var/mail/alice"],
  ["Maildir/", "/var/mail", "maildir /home/alice/Maildir"],
  ["mail/inbox", "/var/mail", "mbox /home/alice/mail/inbox"],
];

for (const [home_mailbox, mail_spool_directory, expected] of MAILBOXES) {
  Deno.test(`home_mailbox "${home_mailbox}" and mail_spool_directory "${mail_spool_directory}" give ${expected}`, () => {
    const found = userMailbox(parseUser("alice:x:1000:100::/home/alice:/bin/sh")!, {
      home_mailbox,
      mail_spool_directory,
    });
    assert.equal(found.kind === "mailbox" && `${found.task.format} ${found.task.path}`, expected);
    assert.deepEqual(found.kind === "mailbox" && [found.task.uid, found.task.gid, found.task.user], [
      1000,
      100,
      "alice",
    ]);
  });
}

for (
  const line of [
    "",
    "a",
    "a:x:1",
    "a:x::1::/h:/s",
    "a:x:-1:1::/h:/s",
    "a:x:1:1x::/h:/s",
    ":x:1:1::/h:/s",
    "a:x:4294967295:1::/h:/s",
  ]
) {
  Deno.test(`The password line "${line}" is malformed`, () => assert.equal(parseUser(line), undefined));
}

for (const name of [".", "..", "a/b", "a\0b"]) {
  Deno.test(`The user name ${JSON.stringify(name)} has no mailbox`, () => {
    const user = { name, uid: 1000, gid: 100, home: "/h", shell: "" };
    assert.equal(userMailbox(user, { home_mailbox: "", mail_spool_directory: "/var/mail" }).kind, "none");
  });
}

Deno.test("Forwarded addresses share a message when sender and Delivered-To are the same", () => {
  const forward = (address: string, sender: string, deliveredTo: string, owned = false): Action => ({
    kind: "forward",
    address,
    sender,
    deliveredTo,
    owned,
    lines: [],
  });
  const batches = forwardBatches([
    forward("a@x", "s", "d"),
    forward("b@x", "s", "e"),
    forward("c@x", "s", "d"),
    forward("d@x", "s", "d", true),
    { ...forward("e", "s", "d"), kind: "settled", outcome: { result: "sent", status: "2.0.0", reason: "" } },
  ]);
  assert.deepEqual(batches.map(({ addresses }) => addresses), [["a@x", "c@x"], ["b@x"], ["d@x"]]);
});
