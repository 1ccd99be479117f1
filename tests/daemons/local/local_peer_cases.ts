/**
 * Cases of aliases, .forward files, lists, commands, files and pipes. Not a test itself.
 *
 * @module
 */
import { type PeerCase } from "./local_peer_support.ts";

/** A command of an alias, with how it ends. */
function command(name: string, text: string, more: Partial<PeerCase> = {}): PeerCase {
  return { name: `command: ${name}`, aliases: { "": quoted(`|${text}`) }, ...more };
}

function alias(name: string, value: string, more: Partial<PeerCase> = {}): PeerCase {
  return { name: `alias: ${name}`, ...more, aliases: { "": value, ...more.aliases } };
}

/** A list whose owner has a mailbox. */
function ownedList(name: string, value: string, more: Partial<PeerCase> = {}): PeerCase {
  return alias(`a list with an owner: ${name}`, value, {
    ...more,
    aliases: { "owner-$id": "o$id@sender.test", ...more.aliases },
  });
}

function forward(name: string, text: string, more: Partial<PeerCase> = {}): PeerCase {
  return { name: `forward: ${name}`, ...more, forwards: { alice: text, ...more.forwards } };
}

function quoted(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

const EXIT_CODES = [
  0,
  1,
  2,
  63,
  64,
  65,
  66,
  67,
  68,
  69,
  70,
  71,
  72,
  73,
  74,
  75,
  76,
  77,
  78,
  79,
  99,
  100,
  111,
  126,
  127,
  200,
  255,
];

const COMMANDS: readonly PeerCase[] = [
  ...EXIT_CODES.map((code) => command(`exit ${code}`, `cat >/dev/null; exit ${code}`)),
  ...[1, 2, 9, 15].map((signal) => command(`signal ${signal}`, `kill -${signal} $$`)),
  command("output and exit code", "echo no such luck; exit 67"),
  command("output of a success", "echo all is well; cat > /dev/null"),
  command("output on standard error", "echo oops >&2; exit 70"),
  command("several lines of output", "printf 'one\\ntwo\\tthree\\n'; exit 69"),
  command("unprintable output", "printf 'a\\001b\\177c\\n'; exit 69"),
  command("status code in the output", "echo 4.7.1 come back; exit 1"),
  command("final status code in the output", "echo 5.7.1 never; exit 75"),
  command("status code alone", "echo 5.7.1; exit 75"),
  command("no status code", "echo 5.7 never; exit 77"),
  command("status code of a success that is none", "echo 5.7.1 never; cat >/dev/null; exit 0"),
  command("too much output", "i=0; while [ $i -lt 900 ]; do echo line $i; i=$((i+1)); done; exit 69", {
    otherText: true,
  }),
  command("the message is not read", "exit 0", { body: Array(3000).fill("x".repeat(70)) }),
  command("the message is not read and the command fails", "exit 67", {
    body: Array(3000).fill("x".repeat(70)),
  }),
  command("time limit", "sleep 60", { otherText: true }),
  command("what the message looks like", "cat > $out/$id.txt", {
    body: ["From here", ">From there", ".dot", "", "last"],
  }),
  command(
    "environment",
    "env | grep -v -e ^PWD -e ^OLDPWD -e ^TZ -e ^MAIL_ -e ^LANG -e ^_= | sort > $out/$id.env",
  ),
  command("working directory and user", "{ pwd | sed 's,.*/,,'; id -un; id -gn; umask; } > $out/$id.where"),
  command("program without a shell", "/usr/bin/touch $out/$id.touched"),
  command("program in the path", "touch $out/$id.touched2"),
  command("program that is missing", "/no/such/program", { otherText: true }),
  command("name that is missing", "nosuchprogram"),
  command("name that is missing, with shell characters", "nosuchprogram; exit 68", { otherText: true }),
  command("a command of the shell's own", "exit 65"),
  command("program that may not be run", "/etc/passwd", { otherText: true }),
  command("quotes and blanks", "echo 'a  b' \"c\" > $out/$id.quotes"),
  command("two words", "/bin/cp /etc/hostname $out/$id.copy", { otherText: true }),
  command("output that is open in the background", "sleep 1 & echo x; exit 69"),
  {
    name: "command: what mail brings is made harmless",
    aliases: { "": '"|env | grep ^EXTENSION= > $out/$id.ext"' },
    to: ['"$id+a;b|c`d\'e"@local.test'],
  },
  {
    name: "command: address in upper case",
    aliases: { "": '"|env | grep -e ^LOCAL -e ^RECIPIENT -e ^USER -e ^EXTENSION > $out/$id.upper"' },
    to: ["$id+Ext@Local.Test"],
  },
];

const ALIASES: readonly PeerCase[] = [
  alias("one user", "alice"),
  alias("two users", "alice, bob"),
  alias("the same user twice", "alice, Alice, alice@local.test"),
  alias("an address elsewhere", "x$id@remote.test"),
  alias("addresses here and elsewhere", "bob, x$id@remote.test, y$id@remote.test"),
  alias("nested", "n$id, carol", { aliases: { "n$id": "alice, bob" } }),
  alias("itself", "$id", { otherText: true }),
  alias("a loop", "l$id", { aliases: { "l$id": "$id" }, otherText: true }),
  alias("an unknown user", "nobody-$id"),
  alias("an unknown user and a known one", "nobody-$id, alice"),
  alias("with a comment and a name", "Alice <alice> (the first)"),
  alias("with a quoted address", '"x y"@remote.test'),
  alias("a file", "$out/$id.file"),
  alias("a file that exists", "$out/$id.file", {
    shell: "printf 'old\\n\\n' > $OUT/$ID.file; chmod 666 $OUT/$ID.file",
  }),
  alias("a file that is executable", "$out/$id.file", {
    shell: "echo old > $OUT/$ID.file; chmod 777 $OUT/$ID.file",
  }),
  alias("a file that is a directory", "$out/$id.d", { shell: "mkdir $OUT/$ID.d", otherText: true }),
  alias("a file that is a link", "$out/$id.link", {
    shell: "ln -s /etc/hostname $OUT/$ID.link",
    otherText: true,
  }),
  alias("a file that may not be written", "$out/$id.file", {
    shell: "echo old > $OUT/$ID.file; chmod 600 $OUT/$ID.file",
    otherText: true,
  }),
  alias("a file in no directory", "$out/$id.none/file", { ours: ["to=<$id@local.test> 4.2.0 deferred"] }),
  alias("a file with lines to quote", "$out/$id.file", { body: ["From here", "x", "From there"] }),
  alias("a maildir", "$out/$id.md/"),
  alias("nowhere", "/dev/null"),
  alias("a file in a home that is none", "~/$id.file", { otherText: true }),
  alias("a file in somebody's home", "~alice/$id.file", { otherText: true }),
  alias("a command and a user", '"|cat > $out/$id.txt", alice'),
  alias("a failing command and a user", '"|exit 67", alice', { otherText: true }),
  alias("a deferring command and a user", '"|exit 75", alice', { otherText: true }),
  alias("the same command twice", '"|echo x >> $out/$id.twice", "|echo x >> $out/$id.twice"'),
  alias("the same file twice", "$out/$id.file, $out/$id.file"),
  alias("an extension that nobody has", "alice", { to: ["$id+ext@local.test"] }),
  alias("an extension of its own", "alice", { aliases: { "$id+ext": "bob" }, to: ["$id+ext@local.test"] }),
  alias("postmaster that is not there", "x", { to: ["postmaster@local.test"] }),
  alias("an unknown recipient", "x", { to: ["unknown-$id@local.test"] }),
  alias("a Delivered-To loop", "alice", { headers: ["Delivered-To: $id@local.test"] }),
  alias("a Delivered-To loop of a member", "alice", { headers: ["Delivered-To: alice@local.test"] }),
  alias("two recipients", "alice", {
    aliases: { "two$id": "bob" },
    to: ["$id@local.test", "two$id@local.test"],
  }),
  alias("a percent sign", "alice%local.test@local.test"),
];

const OWNERS: readonly PeerCase[] = [
  alias("a list with an owner", "alice, x$id@remote.test", { aliases: { "owner-$id": "bob" } }),
  alias("a list with an owner and an unknown member", "nobody-$id, x$id@remote.test", {
    aliases: { "owner-$id": "y$id@remote.test" },
  }),
  alias("a list with an owner elsewhere", "x$id@remote.test", { aliases: { "owner-$id": "y@remote.test" } }),
  alias("a list in a list", "in$id, x$id@remote.test", {
    aliases: { "owner-$id": "bob", "in$id": "y$id@remote.test", "owner-in$id": "carol" },
  }),
  alias("a list in a list without an owner", "in$id", {
    aliases: { "owner-$id": "bob", "in$id": "y$id@remote.test" },
  }),
  alias("the owner itself", "x", { aliases: { "owner-$id": "bob" }, to: ["owner-$id@local.test"] }),
  alias("a list whose owner expands", "x$id@remote.test", {
    aliases: { "owner-$id": "y$id@remote.test" },
    to: ["$id@lists.test"],
  }),
  ownedList("a command that fails", quoted("|exit 67")),
  ownedList("a command that fails, and an extension", quoted("|exit 67"), { to: ["$id+ext@local.test"] }),
  ownedList("a command that fails, reported to whom the owner expands to", quoted("|exit 67"), {
    to: ["$id@lists.test"],
  }),
  ownedList("a command that is to be tried again", quoted("|exit 75")),
  ownedList("a file that cannot be written", "$out/$id.file", {
    shell: "mkdir $OUT/$ID.file",
    otherText: true,
  }),
  ownedList("a loop", "alice", { headers: ["Delivered-To: $id@local.test"] }),
  ownedList("a loop of a member", "alice, bob", { headers: ["Delivered-To: alice@local.test"] }),
  ownedList("a list that is missing", ":include:/nonexistent"),
  ownedList("a command that fails beside a file and a member", `${quoted("|exit 67")}, alice, $out/$id.f`),
  ownedList("a command of a list in it", "n$id", { aliases: { "n$id": quoted("|exit 67") } }),
  alias("a command of a list with an owner in one without", "n$id", {
    aliases: { "n$id": quoted("|exit 67"), "owner-n$id": "p$id@sender.test" },
  }),
  ownedList(
    "what a command is told",
    quoted("|env | grep -e SENDER -e ORIGINAL_RECIPIENT >$out/$id.env; head -4 >$out/$id.head"),
  ),
];

const LISTS: readonly PeerCase[] = [
  alias("an include", ":include:$inc/$id", { lists: { "$id": "# members\nalice, bob\nx$id@remote.test\n" } }),
  alias("an include of a user", ":include:$inc/$id", { lists: { "alice:$id": "bob\n" } }),
  alias("an include that is missing", ":include:$inc/$id.none"),
  alias("an include that is relative", ":include:list"),
  alias("an include that the world may write", ":include:$inc/$id", {
    shell: "echo alice > $INC/$ID; chmod 666 $INC/$ID",
  }),
  alias("an include that is a directory", ":include:$inc/$id", { shell: "mkdir $INC/$ID" }),
  alias("an include that is a link", ":include:$inc/$id", {
    shell: "echo $BOB > $INC/$ID.t; ln -s $ID.t $INC/$ID",
  }),
  alias("an include that includes itself", ":include:$inc/$id", {
    lists: { "$id": ":include:$inc/$id\nalice\n" },
  }),
  alias("includes that include one another", ":include:$inc/$id", {
    lists: { "$id": ":include:$inc/b$id\nalice\n", "b$id": ":include:$inc/$id\nbob\n" },
  }),
  alias("a command in an include", ":include:$inc/$id", { lists: { "$id": '"|cat > $out/$id.txt"\n' } }),
  alias("a file in an include", ":include:$inc/$id", { lists: { "$id": "$out/$id.file\n" } }),
  alias("an empty include", ":include:$inc/$id", {
    lists: { "$id": "# nobody\n" },
    ours: ["to=<$id@local.test> 2.0.0 sent"],
  }),
  alias("an include and a user", "carol, :include:$inc/$id", { lists: { "$id": "bob\n" } }),
  alias("a command in an include, allowed", ":include:$inc/$id", {
    lists: { "$id": '"|{ id -un; cat; } > $out/$id.txt"\n' },
    to: ["$id@lists.test"],
  }),
  alias("a user's include with a command, allowed", ":include:$inc/$id", {
    lists: { "alice:$id": '"|{ id -un; echo $HOME; cat; } > $out/$id.txt"\n' },
    to: ["$id@lists.test"],
  }),
  alias("a user's include with a file, allowed", ":include:$inc/$id", {
    lists: { "bob:$id": "$out/$id.file\n" },
    to: ["$id@lists.test"],
  }),
  alias("an include with an owner", ":include:$inc/$id", {
    lists: { "$id": "alice\nx$id@remote.test\n" },
    aliases: { "owner-$id": "bob" },
  }),
  alias("an include and an extension", ":include:$inc/$id", {
    lists: { "$id": "x$id@remote.test\n" },
    to: ["$id+ext@lists.test"],
  }),
  alias("an include that nobody may read", ":include:$inc/$id", {
    lists: { "bob:$id": "alice\n" },
    shell: "chmod 000 $INC/$ID",
  }),
];

const FORWARDS: readonly PeerCase[] = [
  forward("the own address", "alice\n"),
  forward("the own address and its extension", "alice+$id\n"),
  forward("the own address with its domain", "alice@local.test\n"),
  forward("with a backslash", "\\alice\n"),
  forward("an address elsewhere", "x$id@remote.test\n"),
  forward("the own address and one elsewhere", "\\alice, x$id@remote.test\n"),
  forward("another user", "bob\n"),
  forward("another user with a backslash", "\\bob\n"),
  forward("an empty file", ""),
  forward("comments alone", "# nothing\n#more\n"),
  forward("a command", '"|{ id -un; id -gn; pwd | sed s,.*/,,; cat; } > $out/$id.txt"\n'),
  forward("a command without quotes", "|/usr/bin/touch $out/$id.touched\n"),
  forward(
    "a command's environment",
    '"|env | grep -v -e ^PWD -e ^OLDPWD -e ^TZ -e ^MAIL_ -e ^LANG -e ^_= | sort > $out/$id.env"\n',
  ),
  forward("a command that fails", '"|exit 67"\n'),
  forward("a command that is deferred before a file", '"|exit 75"\n$out/$id.file\n', {}),
  forward("a file before a command that is deferred", '$out/$id.file\n"|exit 75"\n', {}),
  forward("a command that fails before a file", '"|exit 67"\n$out/$id.file\n', { otherText: true }),
  forward("a line with a command that is deferred and a file", '"|exit 75", $out/$id.file\n', {}),
  forward("a file", "$out/$id.file\n"),
  forward("a file in the home", "~/$id.box\n"),
  forward("a maildir in the home", "~/$id.md/\n"),
  forward("a file in another's home", "~bob/$id.box\n", { otherText: true }),
  forward("a file that another owns", "$out/$id.file\n", {
    shell: "echo old > $OUT/$ID.file; chown $BOB $OUT/$ID.file",
    otherText: true,
  }),
  forward("a file that another owns and all may write", "$out/$id.file\n", {
    shell: "printf 'old\\n\\n' > $OUT/$ID.file; chown $BOB $OUT/$ID.file; chmod 666 $OUT/$ID.file",
  }),
  forward("nowhere", "/dev/null\n"),
  forward("a list in the home", ":include:$out/$id.list\n", {
    shell: "echo x$ID@remote.test > $OUT/$ID.list; chown $ALICE $OUT/$ID.list",
  }),
  forward("a list with a command", ":include:$out/$id.list\n", { shell: "echo '|true' > $OUT/$ID.list" }),
  forward("a list with a command, allowed", ":include:$out/$id.list\n", {
    shell: 'echo "\\"|{ id -un; cat; } > $OUT/$ID.txt\\"" > $OUT/$ID.list',
    to: ["alice+$id@lists.test"],
  }),
  forward("a list that is missing", ":include:$out/$id.none\n"),
  forward("a list of another that may not be read", ":include:$out/$id.list\n", {
    shell: "echo x > $OUT/$ID.list; chown $BOB $OUT/$ID.list; chmod 600 $OUT/$ID.list",
  }),
  forward("owned by root", "x$id@remote.test\n", { shell: "chown root $HOME_ALICE/.forward+$ID" }),
  forward("owned by another", "x$id@remote.test\n", { shell: "chown $BOB $HOME_ALICE/.forward+$ID" }),
  forward("that the world may write", "x$id@remote.test\n", { shell: "chmod 666 $HOME_ALICE/.forward+$ID" }),
  forward("that the group may write", "x$id@remote.test\n", { shell: "chmod 664 $HOME_ALICE/.forward+$ID" }),
  forward("that nobody may read", "x$id@remote.test\n", { shell: "chmod 000 $HOME_ALICE/.forward+$ID" }),
  forward("that is a link", "x", {
    shell:
      "rm $HOME_ALICE/.forward+$ID; echo x$ID@remote.test > $OUT/$ID.f; chown $ALICE $OUT/$ID.f; ln -s $OUT/$ID.f $HOME_ALICE/.forward+$ID",
  }),
  forward("that is a directory", "x", {
    shell: "rm $HOME_ALICE/.forward+$ID; mkdir $HOME_ALICE/.forward+$ID",
  }),
  forward("that is a FIFO", "x", { shell: "rm $HOME_ALICE/.forward+$ID; mkfifo $HOME_ALICE/.forward+$ID" }),
  forward("an unknown user", "nobody-$id\n"),
  forward("a root alias", "$id-a\n", { aliases: { "$id-a": "bob" } }),
  forward("lines that are too long", `x$id@remote.test,${" ".repeat(2040)}y$id@remote.test\n`),
  forward("several lines", "x$id@remote.test\n\n# no\ny$id@remote.test\n\\alice\n"),
  forward("without a newline at the end", "x$id@remote.test"),
  forward("bytes that are no text", "\x01\n", { ours: ["to=<alice+$id@local.test> 5.3.5 bounced"] }),
  forward("between two users", "bob+$id\n", { forwards: { bob: "alice+$id\n" } }),
  forward("to two at once", "bob+$id, carol+$id\n", {
    forwards: { bob: "x$id@remote.test\n", carol: "y$id@remote.test\n" },
  }),
  forward("an extension that is passed on", "x$id@remote.test\n", { to: ["alice+$id@lists.test"] }),
  forward("an extension with a slash", "x", { to: ["alice+$id/x@local.test"] }),
  forward("mail that was delivered before", "x$id@remote.test\n", {
    headers: ["Delivered-To: alice+$id@local.test"],
  }),
  { name: "forward: no file", to: ["bob+$id@local.test"] },
  {
    name: "forward: capital letters",
    forwards: { alice: "x$id@remote.test\n" },
    to: ["ALICE+$id@local.test"],
  },
  { name: "forward: root", to: ["root+$id@local.test"], aliases: { root: "bob" } },
];

const MAILBOXES: readonly PeerCase[] = [
  { name: "mailbox: a user", to: ["carol@local.test"], body: ["From x", "y"] },
  { name: "mailbox: without Delivered-To", to: ["carol@plain.test"] },
  { name: "mailbox: a maildir", to: ["carol@maildir.test"] },
  { name: "mailbox: a command", to: ["carol+$id@command.test"] },
  { name: "mailbox: a transport", to: ["carol+$id@pass.test"] },
  { name: "mailbox: a transport for an unknown user", to: ["nobody-$id@pass.test"] },
  { name: "mailbox: a transport for unknown users, a known one", to: ["carol@fallback.test"] },
  { name: "mailbox: a transport for unknown users", to: ["nobody-$id@fallback.test"] },
  { name: "mailbox: luser_relay", to: ["nobody-$id+ext@luser.test"] },
  { name: "mailbox: luser_relay without an extension", to: ["nobody-$id@luser.test"] },
  { name: "mailbox: luser_relay with odd characters", to: ['"nobody-$id a|b"@luser.test'] },
  { name: "mailbox: luser_relay, a known user", to: ["carol@luser.test"] },
  { name: "mailbox: two users", to: ["carol@local.test", "bob@local.test"] },
  {
    name: "mailbox: a command's directory",
    aliases: {},
    forwards: { alice: '"|{ pwd | sed s,.*/,,; } > $out/$id.pwd"\n' },
    to: ["alice+$id@maildir.test"],
  },
];

const PIPE_CODES = [0, 1, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 100];

const PIPED: readonly PeerCase[] = [
  { name: "pipe: flags DRXhu and macros", to: ["User+Ext@Pipe.Test"], body: ["From x", ".y"] },
  { name: "pipe: several recipients", to: ["a@pipe3.test", "b@pipe3.test", '"c d"@pipe3.test'] },
  { name: "pipe: flags FORB>.", to: ["a@pipe2.test"], body: ["From x", ".y", "..z", ">From"] },
  { name: "pipe: flags q", to: ['"a b"@pipe3.test'] },
  { name: "pipe: line ends and a directory", to: ["a@pipe4.test"], body: ["x", "", "y"] },
  { name: "pipe: shell characters in an address", to: ['"a;b`c$(d)"@pipe4.test'] },
  { name: "pipe: too large", to: ["e0@pipe5.test"], body: Array(60).fill("x".repeat(70)) },
  { name: "pipe: large enough", to: ["e0@pipe5.test"], body: Array(20).fill("x".repeat(70)) },
  ...PIPE_CODES.map((code) => ({ name: `pipe: exit ${code}`, to: [`e${code}@pipe6.test`] })),
  { name: "pipe: signal", to: ["k9@pipe6.test"] },
  { name: "pipe: time limit", to: ["t@pipe6.test"], otherText: true },
  { name: "pipe: status in the output", to: ["d4@pipe6.test"] },
  { name: "pipe: status in the output that may pass", to: ["m4@pipe6.test"] },
  { name: "pipe: output of a success", to: ["o@pipe6.test"] },
  { name: "pipe: too much output", to: ["l@pipe6.test"], otherText: true },
  { name: "pipe: a loop", to: ["e0@pipe6.test"], headers: ["Delivered-To: e0@pipe6.test"] },
  { name: "pipe: several recipients with D", to: ["e0@pipe6.test", "e1@pipe6.test"], otherText: true },
  { name: "pipe: a program that is missing", to: ["a@pipe7.test"], otherText: true },
];

/** All of them. */
export const PEER_CASES: readonly PeerCase[] = [
  ...COMMANDS,
  ...ALIASES,
  ...OWNERS,
  ...LISTS,
  ...FORWARDS,
  ...MAILBOXES,
  ...PIPED,
];
