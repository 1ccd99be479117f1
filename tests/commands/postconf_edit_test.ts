/** Changes that postconf makes: beside Debian's, and what only a TOML file can have. @module */
import assert from "node:assert/strict";
import { type CommandEnv, makeEnv } from "../../commands/command.ts";
import { run } from "../../commands/postconf.ts";
import { TemporaryDirectory } from "../support/temporary.ts";
import { testNeeding } from "../support/tools.ts";

const MAIN = `# who we are
myhostname = "mail.example.com" # not example.org
  # indented
mydestination = [
  "$myhostname", # us
  "localhost",
]
smtpd_helo_required = true

# Texts of our own
[variables]
place = "here" # or there
`;

const MASTER = `# from the network
[[service]]
name = "25"
type = "inet"
private = false
command = "smtpd"
parameters = { syslog_name = "postfix/x", smtpd_helo_required = true }

# into the queue
[[service]]
name = "cleanup"
type = "unix"
command = "cleanup"

[[service]]
name = "smtp"
type = "unix"
command = "smtp" # out
`;

interface Edited {
  readonly main: string;
  readonly master: string;
  readonly err: string;
}

/** Runs postconf on copies of the files. */
async function edit(
  args: readonly string[],
  main: string = MAIN,
  master: string = MASTER,
): Promise<Edited> {
  using directory = new TemporaryDirectory();
  directory.write("main.toml", main, 0o640);
  directory.write("master.toml", master);
  let err = "";
  const env: CommandEnv = { ...makeEnv("postconf", directory.path), err: (text) => err += text };
  assert.equal(await run(args, env), 0);
  assert.equal(Deno.statSync(directory.at("main.toml")).mode! & 0o777, 0o640);
  assert.deepEqual([...Deno.readDirSync(directory.path)].map(({ name }) => name).sort(), [
    "main.toml",
    "master.toml",
  ]);
  const text = (name: string) => Deno.readTextFileSync(directory.at(name));
  return { main: text("main.toml"), master: text("master.toml"), err };
}

/** Arguments, the lines of main.toml that go, those that come in their place. */
const MAIN_EDITS: readonly (readonly [readonly string[], string, string])[] = [
  [["-e", "myhostname = mx.example.com"], '"mail.example.com" # not', '"mx.example.com" # not'],
  [["smtpd_helo_required=no"], "smtpd_helo_required = true", "smtpd_helo_required = false"],
  [["smtpd_helo_required="], "", ""],
  [
    ["mydestination=localhost, $place"],
    '[\n  "$myhostname", # us\n  "localhost",\n]',
    '["localhost", "$place"]',
  ],
  [["mydestination="], '[\n  "$myhostname", # us\n  "localhost",\n]', "[]"],
  [
    ["smtpd_helo_required=${place?{yes}:{no}}"],
    "smtpd_helo_required = true",
    'smtpd_helo_required = "${place?{yes}:{no}}"',
  ],
  [
    ["relayhost=[mx.example.net]:587"],
    "smtpd_helo_required = true\n",
    'smtpd_helo_required = true\nrelayhost = "[mx.example.net]:587"\n',
  ],
  [
    ["smtp_destination_recipient_limit=7", "smtp_helo_timeout=5m"],
    "smtpd_helo_required = true\n",
    'smtpd_helo_required = true\nsmtp_destination_recipient_limit = 7\nsmtp_helo_timeout = "5m"\n',
  ],
  [['place=a "b"'], 'place = "here"', 'place = "a \\"b\\""'],
  [["-X", "myhostname"], 'myhostname = "mail.example.com" # not example.org\n', ""],
  [["-X", "nosuch"], "", ""],
  [["-X", "place"], 'place = "here" # or there\n', ""],
  [["-#", "place"], 'place = "here"', '#place = "here"'],
  [
    ["-#", "mydestination"],
    'mydestination = [\n  "$myhostname", # us\n  "localhost",\n]',
    '#mydestination = [\n#  "$myhostname", # us\n#  "localhost",\n#]',
  ],
];

for (const [args, before, after] of MAIN_EDITS) {
  Deno.test(`postconf ${args.join(" ")} changes main.toml there and nowhere else`, async () => {
    if (args[0] === "smtpd_helo_required=") {
      await assert.rejects(edit(args), { message: /is left as it was/ });
      return;
    }
    const { main, master, err } = await edit(args);
    assert.equal(main, MAIN.replace(before, () => after));
    assert.equal(master, MASTER);
    assert.equal(err, "");
  });
}

Deno.test("postconf puts the first parameter above the first table and its comment", async () => {
  const { main } = await edit(["relayhost=x.example"], "# all default\n\n# ours\n[variables]\n");
  assert.equal(main, '# all default\n\nrelayhost = "x.example"\n# ours\n[variables]\n');
  assert.equal((await edit(["relayhost=x.example"], "")).main, 'relayhost = "x.example"\n');
  assert.equal((await edit(["relayhost=x.example"], "# c")).main, '# c\nrelayhost = "x.example"\n');
});

Deno.test("postconf makes [variables] for the first name that is no parameter, and says so", async () => {
  const { main, err } = await edit(["smtpd_baner=x"], 'myhostname = "a.example"');
  assert.equal(main, 'myhostname = "a.example"\n\n[variables]\nsmtpd_baner = "x"\n');
  assert.match(err, /smtpd_baner is no parameter: .*"smtpd_banner"\?/);
});

/** Arguments, what goes, what comes in its place in master.toml. */
const MASTER_EDITS: readonly (readonly [readonly string[], string, string])[] = [
  [["-P", "25/inet/syslog_name=x y"], '"postfix/x"', '"x y"'],
  [["-P", "25/inet/smtpd_timeout=10"], "required = true }", 'required = true, smtpd_timeout = "10" }'],
  [["-PX", "25/inet/syslog_name"], 'syslog_name = "postfix/x", ', ""],
  [["-PX", "25/inet/smtpd_helo_required"], ", smtpd_helo_required = true", ""],
  [
    ["-PX", "25/inet/smtpd_helo_required", "25/inet/syslog_name"],
    'parameters = { syslog_name = "postfix/x", smtpd_helo_required = true }\n',
    "",
  ],
  [
    ["-P", "smtp/unix/smtp_helo_timeout=5s"],
    'command = "smtp" # out\n',
    'command = "smtp" # out\nparameters = { smtp_helo_timeout = "5s" }\n',
  ],
  [["-F", "25/inet/service=127.0.0.1:25"], 'name = "25"', 'name = "127.0.0.1:25"'],
  [["-F", "25/inet/process_limit=3"], "true }\n", "true }\nprocess_limit = 3\n"],
  [
    ["-F", "cleanup/unix/private=n"],
    'command = "cleanup"\n',
    'command = "cleanup"\nprivate = false\n',
  ],
  [["-F", "smtp/unix/command=smtp -o a=b"], "", "refused"],
  [
    ["-F", "smtp/unix/command=smtp -o smtp_helo_timeout=1s"],
    'command = "smtp" # out\n',
    'command = "smtp" # out\nparameters = { smtp_helo_timeout = "1s" }\n',
  ],
  [["-F", "smtp/unix/chroot=n"], "", ""],
  [
    ["-M#", "cleanup/unix"],
    '[[service]]\nname = "cleanup"\ntype = "unix"\ncommand = "cleanup"\n',
    '#[[service]]\n#name = "cleanup"\n#type = "unix"\n#command = "cleanup"\n',
  ],
  [["-MX", "cleanup/unix"], '[[service]]\nname = "cleanup"\ntype = "unix"\ncommand = "cleanup"\n\n', ""],
  [
    ["-M", "cleanup/unix=cleanup unix n - n 60 2 cleanup -o { header_size_limit = 5 }"],
    'name = "cleanup"\ntype = "unix"\ncommand = "cleanup"\n',
    'name = "cleanup"\ntype = "unix"\nprivate = false\ncommand = "cleanup"\nprocess_limit = 2\n' +
    'wakeup = "60s"\nparameters = { header_size_limit = 5 }\n',
  ],
  [
    ["-M", "587/inet=587 inet n - n - - smtpd"],
    'command = "smtp" # out\n',
    'command = "smtp" # out\n\n[[service]]\nname = "587"\ntype = "inet"\nprivate = false\ncommand = "smtpd"\n',
  ],
];

for (const [args, before, after] of MASTER_EDITS) {
  Deno.test(`postconf ${args.join(" ")} changes master.toml there and nowhere else`, async () => {
    if (after === "refused") {
      await assert.rejects(edit(args), { message: /is left as it was/ });
      return;
    }
    const { main, master } = await edit(args);
    assert.equal(master, MASTER.replace(before, () => after));
    assert.equal(main, MAIN);
  });
}

Deno.test("postconf changes every service that a * means", async () => {
  const { master } = await edit(["-MX", "*/unix"]);
  assert.ok(master.includes('name = "25"') && !master.includes('"unix"'));
});

/** What is refused, and the reason. */
const REFUSED: readonly (readonly [readonly string[], RegExp])[] = [
  [["smtpd_helo_required=maybe"], /left as it was/],
  [["myorigin=$nosuch"], /left as it was/],
  [["smtpd_tls_CApath=/etc/ssl"], /smtpd_tls_CApath: Postern does not support .* TLS library/],
  [["-e", "myhostname"], /missing '='/],
  [["-#", "myhostname=x"], /specify one of/],
  [["-P", "25/inet/nosuch=1"], /unknown parameter "nosuch"/],
  [["-P", "26/inet/smtpd_timeout=1"], /unmatched request: "26\/inet\/smtpd_timeout"/],
  [["-F", "25/inet/chroot=y"], /"chroot" is not supported/],
  [["-M", "26/inet=26 inet n - n - -"], /bad field count/],
  [["-M", "26/inet=26 inet n - y - - smtpd"], /"chroot" is not supported/],
  [["-M", "26/inet=26 inet n - n - - smtpd -v"], /no arguments but -o/],
  [["-M", "26/inet=26 unix n - n - - smtpd"], /type mismatch/],
  [["-M", "26/inet=26 inet n - n - - nosuch"], /left as it was/],
];

for (const [args, why] of REFUSED) {
  Deno.test(`postconf ${args.join(" ")} is refused and changes nothing`, async () => {
    await assert.rejects(edit(args), { name: "CommandError", message: why });
  });
}

Deno.test("postconf mends a file that has other errors, and follows a link to it", async () => {
  using directory = new TemporaryDirectory();
  const real = directory.write("real.toml", "nosuch = 1\nsmtpd_helo_required = 5\n", 0o644);
  directory.write("master.toml", MASTER);
  Deno.symlinkSync(real, directory.at("main.toml"));
  const env = makeEnv("postconf", directory.path);
  assert.equal(await run(["smtpd_helo_required=yes"], env), 0);
  assert.ok(Deno.lstatSync(directory.at("main.toml")).isSymlink);
  assert.equal(Deno.readTextFileSync(real), "nosuch = 1\nsmtpd_helo_required = true\n");
});

/** Edits of parameters that both make; after each, both show the same. */
const SHARED: readonly (readonly string[])[] = [
  ["-e", "mydestination=$myhostname, localhost, ${place}.example"],
  ["mynetworks = 127.0.0.0/8, [::1]/128"],
  ["smtpd_helo_required=yes", "message_size_limit=0", "queue_run_delay=5m"],
  ["place=over there"],
  ["-#", "smtpd_helo_required"],
  ["-X", "message_size_limit", "nosuch"],
  ["smtpd_helo_required=no"],
  ["relayhost="],
  ["smtp_destination_concurrency_limit=3"],
  ["-P", "smtp/unix/smtp_helo_timeout=7s"],
  ["-P", "smtp/unix/syslog_name=postfix/out"],
  ["-F", "smtp/unix/process_limit=9"],
  ["-F", "smtp/unix/wakeup=60?"],
  ["-M", "587/inet=587 inet n - n - - smtpd -o smtpd_timeout=9 -o { smtpd_banner = $myhostname hello }"],
  ["-PX", "smtp/unix/syslog_name"],
  ["-P", "*/inet/smtpd_helo_required=yes"],
  ["-MX", "587/inet"],
  ["-F", "smtp/unix/command=smtp"],
];

/** What is compared, three of them after each. */
const VIEWS: readonly (readonly string[])[] = [
  ["-n"],
  ["-nf"],
  ["-nx"],
  ["-nh"],
  ["-nH"],
  ["-C", "user"],
  ["-nC", "service"],
  ["-M"],
  ["-Mf"],
  ["-F"],
  ["-Fh", "smtp"],
  ["-FH"],
  ["-P"],
  ["-Ph"],
  ["-x", "-o", "place=elsewhere", "mydestination"],
  ["-d", "smtp_helo_timeout", "nosuch"],
];

testNeeding(["postfix"], "postconf edits and shows as Debian's postconf does", async () => {
  using directory = new TemporaryDirectory();
  const settings = {
    myhostname: "mail.example.com",
    mydestination:
      "$myhostname, aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example.com, bbbbbbbbbbbbbbbbbbbbbbbbbbb.example.com",
    mynetworks: "127.0.0.0/8",
    alias_maps: "",
  };
  const services = ["25 inet n - n - - smtpd", "smtp unix - - n - - smtp", "qmgr unix n - n 300 1 qmgr"];
  const cf = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`).join("");
  directory.write("main.cf", `compatibility_level = 3.6\n${cf}place = here\n`);
  directory.write("master.cf", services.map((line) => `${line}\n`).join(""));
  directory.write("main.toml", "# none yet\n");
  const theirs = (args: readonly string[]) => {
    const ended = new Deno.Command("/usr/sbin/postconf", { args: ["-c", directory.path, ...args] })
      .outputSync();
    // What only main.cf has.
    const text = new TextDecoder().decode(ended.stdout)
      .replace(/^(compatibility_level|config_directory)( = .*)?\n/gm, "")
      .replace(/^3\.6\n|^\/tmp\/.*\n/gm, "");
    return text;
  };
  const ours = async (args: readonly string[]) => {
    let out = "";
    const env: CommandEnv = {
      ...makeEnv("postconf", directory.path),
      out: (text) => out += text,
      err: () => {},
    };
    assert.equal(await run(args, env), 0, args.join(" "));
    return out;
  };
  Deno.writeTextFileSync(directory.at("master.toml"), MASTER_OF_SHARED);
  await ours(Object.entries(settings).map(([name, value]) => `${name}=${value}`));
  await ours(["place=here"]);
  for (const [step, args] of SHARED.entries()) {
    theirs(args);
    await ours(args);
    const last = step === SHARED.length - 1;
    for (const [i, view] of VIEWS.entries()) {
      if (!last && i > 0 && i % 6 !== step % 6) continue;
      assert.equal(await ours(view), theirs(view), `${args.join(" ")}: ${view.join(" ")}`);
    }
  }
});

const MASTER_OF_SHARED = `[[service]]
name = "25"
type = "inet"
private = false
command = "smtpd"

[[service]]
name = "smtp"
type = "unix"
command = "smtp"

[[service]]
name = "qmgr"
type = "unix"
private = false
command = "qmgr"
wakeup = "300s"
process_limit = 1
`;
