/**
 * The same mail and the same homes, aliases, lists and programs for Debian's Postfix and for an installed Postern, both
 * as root with real users, one after the other; and what came of each case in a form that can be compared. Not a test
 * itself.
 *
 * @module
 */
import assert from "node:assert/strict";
import { masterToml } from "../../../commands/trial_configuration.ts";
import { until } from "../../commands/mail_system.ts";
import { Installation, runTool } from "../../scripts/install_support.ts";
import { utf8 } from "../../support/bytes.ts";
import { filesBelow } from "../../support/postern.ts";
import { Postfix } from "../../support/postfix.ts";
import { sendWithPython } from "../../support/smtplib.ts";
import { RIGHTS, spawnLines, spawnServices } from "../spawn/spawn_peer_support.ts";

/** One delivery. In all texts `$id` is the case's name, `$out` where outputs go, `$inc` where lists are. */
export interface PeerCase {
  readonly name: string;
  /** Right-hand sides by alias; "" stands for the case's own name. */
  readonly aliases?: Readonly<Record<string, string>>;
  /** Text of `~USER/.forward+$id`, by user. */
  readonly forwards?: Readonly<Record<string, string>>;
  /** Lists by name: `$inc/NAME`; "USER:NAME" for one that the user owns. */
  readonly lists?: Readonly<Record<string, string>>;
  /** Recipients; default: `$id@local.test`, or `alice+$id@local.test` where alice has a .forward. */
  readonly to?: readonly string[];
  /** Lines of the text behind the header. */
  readonly body?: readonly string[];
  readonly headers?: readonly string[];
  /** Prepares homes or outputs, with paths in its environment: OUT, INC, HOME_ALICE, HOME_BOB, ID. */
  readonly shell?: string;
  /** Texts of the log line and of mailboxes differ, and docs/differences.md says why. */
  readonly otherText?: true;
  /** What becomes of the mail differs as well: to, status and result here. */
  readonly ours?: readonly string[];
}

/** What came of a case. */
export interface PeerResult {
  /** `to=<> dsn= status= (text)`. */
  readonly lines: readonly string[];
  /** Mailboxes and outputs, by name: owner, mode, content. */
  readonly files: Readonly<Record<string, string>>;
  /** What reports say of each recipient, with whom they are to where that is not the sender. */
  readonly bounces: readonly string[];
}

/** The users of the cases. */
export const PEER_USERS = ["alice", "bob", "carol"] as const;

/** What all cases together may take on a machine that others use, milliseconds. */
const SETTLE_LIMIT = 600_000;

/** Parameters that both systems have, as main.cf writes them. */
const COMMON: Readonly<Record<string, string>> = {
  myhostname: "local.test",
  mydestination:
    "local.test plain.test luser.test command.test maildir.test pass.test fallback.test lists.test " +
    "procmail.test maildrop.test dovecot.test",
  local_recipient_maps: "",
  recipient_delimiter: "+",
  command_time_limit: "8s",
  relay_domains:
    "remote.test filter.test spam.test pipe.test pipe2.test pipe3.test pipe4.test pipe5.test pipe6.test pipe7.test",
  virtual_mailbox_domains: "sender.test",
  minimal_backoff_time: "1000s",
  queue_run_delay: "1000s",
};

/** Local transports with parameters of their own, by the domain that they serve. */
export const LOCAL_VARIANTS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  plain: { prepend_delivered_header: "forward", home_mailbox: "Mailbox" },
  luser: { luser_relay: "$user.$extension@remote.test" },
  command: { mailbox_command: 'cat > $out/$EXTENSION.mbc; echo "$USER $HOME $SHELL" >> $out/$EXTENSION.mbc' },
  maildir: { home_mailbox: "Maildir/", command_execution_directory: "$home" },
  pass: { mailbox_transport: "discard:gone" },
  fallback: { fallback_transport: "discard:unknown" },
  lists: {
    allow_mail_to_commands: "alias,forward,include",
    allow_mail_to_files: "alias,forward,include",
    propagate_unmatched_extensions: "alias,forward,include",
    expand_owner_alias: "yes",
  },
  procmail: { mailbox_command: '/usr/bin/procmail -a "$EXTENSION"' },
  maildrop: { mailbox_command: "/usr/bin/maildrop" },
  dovecot: {
    mailbox_command: '/usr/lib/dovecot/dovecot-lda -c $inc/dovecot.conf -f "$SENDER" -a "$RECIPIENT"',
  },
};

/** Pipe services: attributes by name. */
export const PIPES: Readonly<Record<string, readonly string[]>> = {
  pipe: [
    "flags=DRXhu",
    "user=$alice",
    "argv=/bin/sh $inc/show ${sender} ${recipient} ${user} ${extension} ${domain} ${nexthop} ${mailbox} ${size} $$x",
  ],
  pipe2: [
    "flags=FORB>.",
    "user=$bob:nogroup",
    "argv=/bin/sh $inc/show -f ${sender} -- ${original_recipient}",
  ],
  pipe3: ["flags=q", "user=$alice", "null_sender=", "argv=/bin/sh $inc/show {a b} ${sender} ${recipient}"],
  pipe4: ["flags=F", "user=$alice", "eol=\\r\\n", "directory=/tmp", "argv=/bin/sh $inc/show x${recipient}y"],
  pipe5: ["user=$alice", "size=3000", "argv=/bin/sh $inc/fail ${user}"],
  pipe6: ["flags=D", "user=$alice", "argv=/bin/sh $inc/fail ${user}"],
  pipe7: ["flags=O", "user=$alice", "argv=/nonexistent/program ${user}"],
};

/** Three users with homes and one group too many; `using` removes them. */
export class PeerUsers implements AsyncDisposable {
  /** Login names by the names of the cases. */
  readonly logins: ReadonlyMap<string, string>;

  private constructor(logins: ReadonlyMap<string, string>) {
    this.logins = logins;
  }

  static async make(): Promise<PeerUsers> {
    const mark = crypto.randomUUID().slice(0, 6);
    const logins = new Map(PEER_USERS.map((user) => [user, `pt${user[0]}${mark}`] as const));
    for (const login of logins.values()) {
      const made = await runTool("useradd", [
        "--create-home",
        "--shell",
        "/bin/sh",
        "--groups",
        "nogroup",
        login,
      ]);
      assert.equal(made.status, 0, made.errors);
    }
    return new PeerUsers(logins);
  }

  /** Logins in place of users' names. */
  login(text: string): string {
    let out = text;
    for (const [user, login] of this.logins) out = out.replaceAll(user, login);
    return out;
  }

  /** Users' names in place of logins. */
  plain(text: string): string {
    let out = text;
    for (const [user, login] of this.logins) out = out.replaceAll(login, user);
    return out;
  }

  home(user: string): string {
    return `/home/${this.logins.get(user)}`;
  }

  /** Number of a user; of nobody for any other name. */
  ids(user: string): readonly [uid: number, gid: number] {
    const name = this.logins.get(user) ?? user;
    const line = Deno.readTextFileSync("/etc/passwd").split("\n").find((one) => one.startsWith(`${name}:`))!;
    const [, , uid, gid] = line.split(":");
    return [Number(uid), Number(gid)];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const login of this.logins.values()) await runTool("userdel", ["--remove", login]);
  }
}

/** One of the two systems with the places that its mail goes to. */
interface Bench {
  readonly root: string;
  readonly port: number;
  log(): string;
}

/** The places of one run. */
class Places {
  readonly root: string;
  readonly users: PeerUsers;

  constructor(root: string, users: PeerUsers) {
    this.root = root;
    this.users = users;
    for (const name of ["out", "inc", "boxes", "mail"]) {
      Deno.mkdirSync(`${root}/${name}`, { recursive: true });
    }
    for (const name of ["out", "boxes", "mail"]) Deno.chmodSync(`${root}/${name}`, 0o1777);
    Deno.chmodSync(`${root}/mail`, 0o777);
  }

  /** Paths and names in place of what stands for them. */
  fill(text: string, id: string): string {
    const { root } = this;
    return this.users.login(
      text.replaceAll("$id", id).replaceAll("$out", `${root}/out`).replaceAll("$inc", `${root}/inc`),
    ).replaceAll("$root", root);
  }

  /** Writes aliases, .forward files and lists of all cases. */
  async prepare(cases: readonly PeerCase[]): Promise<void> {
    const { root, users } = this;
    for (const [index, one] of cases.entries()) {
      const id = idOf(index);
      for (const [user, text] of Object.entries(one.forwards ?? {})) {
        this.#write(`${users.home(user)}/.forward+${id}`, this.fill(text, id), user);
      }
      for (const [key, text] of Object.entries(one.lists ?? {})) {
        const [name = "", user = "root"] = key.split(":").reverse();
        this.#write(`${root}/inc/${this.fill(name, id)}`, this.fill(text, id), user);
      }
      if (one.shell === undefined) continue;
      const environment = {
        PATH: "/usr/bin:/bin",
        OUT: `${root}/out`,
        INC: `${root}/inc`,
        ID: id,
        HOME_ALICE: users.home("alice"),
        HOME_BOB: users.home("bob"),
        ALICE: users.logins.get("alice")!,
        BOB: users.logins.get("bob")!,
      };
      const done = await runTool("/bin/sh", ["-ec", one.shell], { environment });
      assert.equal(done.status, 0, `${one.name}: ${done.errors}`);
    }
    this.#write(`${root}/inc/show`, SHOW.replaceAll("$out", `${root}/out`), "root");
    this.#write(`${root}/inc/fail`, FAIL, "root");
    this.#write(`${root}/inc/rights`, RIGHTS, "root");
  }

  aliases(cases: readonly PeerCase[]): string {
    const lines = cases.flatMap((one, index) =>
      Object.entries(one.aliases ?? {}).map(([name, value]) => {
        const id = idOf(index);
        return `${this.fill(name === "" ? "$id" : name, id)}: ${this.fill(value, id)}\n`;
      })
    );
    return lines.join("");
  }

  #write(path: string, text: string, user: string): void {
    Deno.writeTextFileSync(path, text);
    Deno.chmodSync(path, 0o644);
    if (user !== "root") Deno.chownSync(path, ...this.users.ids(user));
  }

  /** Removes what the run left in the homes. */
  clean(): void {
    for (const user of PEER_USERS) {
      for (const { name } of Deno.readDirSync(this.users.home(user))) {
        if (/^\.(bash|profile)/.test(name)) continue;
        Deno.removeSync(`${this.users.home(user)}/${name}`, { recursive: true });
      }
    }
  }
}

/** Writes what a pipe's program got. */
const SHOW = `for one in "$@"; do out="$out<$one>
"; done
cat > "/tmp/$$.show"
id=$(sed -n 's/^Subject: \\(c[0-9]*\\).*/\\1/p' "/tmp/$$.show" | tr -d '\\r' | head -1)
{ printf '%s' "$out"; pwd; id -un; id -gn; cat "/tmp/$$.show"; } > "OUT/$id.pipe"
rm "/tmp/$$.show"
`.replaceAll("OUT", "$out");

/** Ends as its argument says. */
const FAIL = `cat > /dev/null
case "$1" in
e*) exit "\${1#e}" ;;
k*) kill -"\${1#k}" $$ ;;
t*) sleep 60 ;;
d*) echo "5.7.\${1#d} enough of this"; exit 1 ;;
m*) echo "4.1.\${1#m} later"; exit 64 ;;
o*) echo "some output"; echo "on errors" >&2; exit 0 ;;
l*) i=0; while [ $i -lt 600 ]; do echo "line $i"; i=$((i + 1)); done; exit 69 ;;
esac
`;

export function idOf(index: number): string {
  return `c${String(index + 1).padStart(3, "0")}`;
}

/** Sends all cases, waits until each is settled, and reads what came of them. */
async function runCases(bench: Bench, places: Places, cases: readonly PeerCase[]): Promise<PeerResult[]> {
  const posts = cases.map((one, index) => {
    const id = idOf(index);
    const to = one.to ?? [one.forwards?.["alice"] === undefined ? "$id@local.test" : "alice+$id@local.test"];
    const lines = [
      `From: ${id}@sender.test`,
      `Subject: ${id}`,
      ...one.headers ?? [],
      "",
      ...one.body ?? ["text"],
    ];
    return {
      from: `${id}@sender.test`,
      to: to.map((address) => places.fill(address, id)),
      content: utf8(lines.map((line) => `${places.fill(line, id)}\r\n`).join("")),
    };
  });
  const sent = await sendWithPython(bench.port, posts);
  for (const [index, { code, text }] of sent.entries()) {
    assert.equal(code, 250, `${cases[index]!.name}: ${text}`);
  }
  const settled = () => cases.every((_, index) => isSettled(bench.log(), idOf(index)));
  if (!await until(settled, SETTLE_LIMIT)) {
    const open = cases.filter((_, index) => !isSettled(bench.log(), idOf(index))).map(({ name }) => name);
    throw new Error(`not settled: ${open.join("; ")}\n${bench.log().split("\n").slice(-60).join("\n")}`);
  }
  return cases.map((_, index) => resultOf(bench, places, idOf(index)));
}

/** The queue ids of a message and of all that was made of it. */
function idsOf(log: string, id: string): string[] {
  const ids = [...log.matchAll(new RegExp(` (\\w+): from=<${id}@sender\\.test>`, "g"))].map(([, qid]) =>
    qid!
  );
  for (let i = 0; i < ids.length; i++) {
    const made = log.matchAll(new RegExp(` ${ids[i]}: .*(?:forwarded as |notification: )(\\w+)`, "g"));
    for (const [, qid] of made) if (!ids.includes(qid!)) ids.push(qid!);
  }
  return [...new Set(ids)];
}

function isSettled(log: string, id: string): boolean {
  const ids = idsOf(log, id);
  return ids.length > 0 &&
    ids.every((qid) =>
      log.includes(` ${qid}: removed\n`) || new RegExp(` ${qid}: to=.*status=deferred`).test(log)
    );
}

function resultOf({ log, root }: Bench, places: Places, id: string): PeerResult {
  const text = log();
  const normal = (value: string) => normalised(places, value);
  const lines = idsOf(text, id).flatMap((qid) =>
    [...text.matchAll(new RegExp(` ${qid}: to=<([^>]*)>.* dsn=([0-9.]+), status=(\\w+) \\((.*?)\\)?$`, "gm"))]
      .filter(([, to]) => !to!.endsWith("@sender.test"))
      .map(([, to, dsn, status, why]) => normal(`to=<${to}> ${dsn} ${status} (${why})`))
  );
  const files: Record<string, string> = {};
  for (const path of filesBelow(`${root}/out`)) {
    if (!path.slice(`${root}/out/`.length).includes(id) || !Deno.statSync(path).isFile) continue;
    files[normal(path).replace(/\/\d+\.[A-Z].*$/, "/MESSAGE")] = normal(describeFile(path));
  }
  const mailboxes = PEER_USERS.flatMap((user) => [
    `${root}/boxes/${places.users.logins.get(user)}`,
    `${places.users.home(user)}/Mailbox`,
    ...filesBelow(`${places.users.home(user)}/Maildir/new`),
    ...filesBelow(places.users.home(user)).filter((path) => path.includes(id) && !path.includes("/.")),
  ]);
  for (const path of new Set(mailboxes)) {
    const messages = messagesOf(path).filter((message) => message.includes(`\nSubject: ${id}\n`));
    const name = normal(path).replace(/\/new\/.*/, "/new/MESSAGE");
    if (messages.length > 0) files[name] = messages.map(normal).join("----\n");
  }
  const bounces = filesBelow(`${root}/mail`).map((path) => Deno.readTextFileSync(path))
    .flatMap((message) => {
      const to = /^To: (.*)$/m.exec(message)?.[1] ?? "";
      if (!to.includes(id)) return [];
      const told = to === `${id}@sender.test` ? "" : `${to}: `;
      return [...message.matchAll(/^Final-Recipient: [^;]*; *.*\n(?:.*\n)*?Action: (.*)\nStatus: (.*)$/gm)]
        .map(([, action, status]) => `${told}${action} ${status}`);
    });
  return { lines: lines.sort(), files, bounces: [...new Set(bounces)].sort() };
}

function describeFile(path: string): string {
  const { mode, uid } = Deno.lstatSync(path);
  const passwd = Deno.readTextFileSync("/etc/passwd").split("\n").map((line) => line.split(":"));
  const owner = passwd.find((fields) => fields[2] === String(uid))?.[0] ?? uid;
  return `${owner} ${(mode! & 0o777).toString(8)}\n${Deno.readTextFileSync(path)}`;
}

function messagesOf(path: string): string[] {
  let text: string;
  try {
    // A FIFO would be waited for.
    if (!Deno.lstatSync(path).isFile) return [];
    text = Deno.readTextFileSync(path);
  } catch {
    return [];
  }
  return text.startsWith("From ") ? text.split(/^(?=From \S+ {2})/m) : [text];
}

/** Without what differs from system to system and from run to run. */
function normalised(places: Places, text: string): string {
  return places.users.plain(text.replaceAll(places.root, "ROOT"))
    .replaceAll(
      /\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun),? +[A-Z0-9][a-z0-9]* [A-Z0-9][a-z0-9]* [0-9: ]+( [+-]\d{4} \(\w+\))?/g,
      "DATE",
    )
    .replaceAll(/\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z][a-z] +\d+ [0-9:]+ \d{4}/g, "DATE")
    .replaceAll(/forwarded as \w+/g, "forwarded as ID")
    .replaceAll(/(\bid |with ESMTP id |Message-Id: <)[0-9A-F.]{6,}/g, "$1ID")
    .replaceAll(/\((Postern|Postfix)/g, "(MAIL")
    // The name of the zone, and of the shell by its path or without.
    .replaceAll(/ \((UTC|GMT)\)/g, "")
    .replaceAll("/bin/sh: 1:", "sh: 1:")
    .replaceAll(/;\n\tDATE/g, "; DATE")
    .replaceAll(/port \d+|\[127\.0\.0\.1\]:\d+/g, "PORT")
    .replaceAll(/localhost \[127/g, "localhost [127");
}

/**
 * Runs the cases on Debian's Postfix.
 *
 * @param look before the system is stopped; takes its queue directory
 */
export async function runOnPostfix(
  users: PeerUsers,
  cases: readonly PeerCase[],
  look: (queue: string) => void | Promise<void> = () => {},
): Promise<PeerResult[]> {
  const variants = Object.entries(LOCAL_VARIANTS);
  const names = [
    ...variants.map(([name]) => `${name}.test=${name}:`),
    ...Object.keys(PIPES).map((name) => `${name}.test=${name}:hop.Test`),
  ];
  await using postfix = Postfix.make({
    settings: {
      ...COMMON,
      mail_spool_directory: "$root/boxes",
      alias_maps: "hash:$root/aliases",
      virtual_mailbox_maps: "static:senders/",
      virtual_mailbox_base: "$root/mail",
      virtual_uid_maps: "static:65534",
      virtual_gid_maps: "static:65534",
      transport_maps: `inline:{ remote.test=discard:away, ${names.join(", ")} }`,
    },
    services: "local unix - n n - - local\n" +
      variants.map(([name, settings]) =>
        `${name} unix - n n - - local\n` +
        Object.entries(settings).map(([key, value]) => `  -o { ${key} = ${value} }\n`).join("")
      ).join("").replaceAll("$out", "$root/out").replaceAll("$inc", "$root/inc") +
      Object.entries(PIPES).map(([name, attributes]) =>
        `${name} unix - n n - - pipe\n  ${attributes.join(" ")}\n`.replaceAll("$inc", "$root/inc")
          .replaceAll("$alice", users.logins.get("alice")!).replaceAll("$bob", users.logins.get("bob")!)
      ).join("") +
      spawnLines(users),
  });
  const places = new Places(postfix.root, users);
  try {
    await places.prepare(cases);
    Deno.writeTextFileSync(`${postfix.root}/aliases`, places.aliases(cases));
    const made = await runTool("/usr/sbin/postalias", [`hash:${postfix.root}/aliases`]);
    assert.equal(made.status, 0, made.errors);
    await postfix.start();
    const bench = { root: postfix.root, port: postfix.port, log: () => postfix.log() };
    const results = await runCases(bench, places, cases);
    await look(postfix.queue);
    return results;
  } finally {
    places.clean();
  }
}

/** What is done beside the cases. */
export interface PosternRun {
  /** Again and again while the cases run. */
  readonly watch?: (installation: Installation) => void;
  /** Before the system is stopped. */
  readonly look?: (installation: Installation) => void | Promise<void>;
  /** Programs find Postern's sendmail where they look for any: /usr/sbin/sendmail. */
  readonly withSendmail?: true;
  /** In the place of the parameters that both systems have, as main.cf writes them. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Further text of master.toml. */
  readonly master?: (installation: Installation) => string;
}

/** Runs the cases on an installed Postern. */
export async function runOnPostern(
  users: PeerUsers,
  cases: readonly PeerCase[],
  { watch, look, withSendmail, settings = {}, master = () => "" }: PosternRun = {},
): Promise<PeerResult[]> {
  const installation = new Installation();
  const places = new Places(installation.directory, users);
  try {
    await installation.install();
    await places.prepare(cases);
    const { configuration, directory } = installation;
    Deno.writeTextFileSync(`${configuration}/aliases`, places.aliases(cases));
    Deno.writeTextFileSync(
      `${configuration}/main.toml`,
      posternMain(installation, { ...COMMON, ...settings }),
    );
    Deno.writeTextFileSync(
      `${configuration}/master.toml`,
      posternMaster(installation, users) + places.fill(master(installation), ""),
    );
    const start = ["-c", configuration, "start"];
    const started = withSendmail
      // In a file system of its own, so that nobody else's sendmail is replaced.
      ? await runTool("unshare", [
        "-m",
        "/bin/sh",
        "-ec",
        'mount --bind "$0/sendmail" /usr/sbin/sendmail; exec "$0/postern" "$@"',
        `${installation.prefix}/sbin`,
        ...start,
      ])
      : await installation.program("sbin/postern", start);
    assert.equal(started.status, 0, started.errors + started.output);
    const bench = { root: directory, port: installation.port, log: () => installation.readLog() };
    const timer = watch === undefined ? undefined : setInterval(() => watch(installation), 300);
    const results = await runCases(bench, places, cases).finally(() => clearInterval(timer));
    await look?.(installation);
    await installation.program("sbin/postern", ["-c", configuration, "stop"]);
    return results;
  } finally {
    places.clean();
    await installation.remove();
  }
}

const LISTS: readonly string[] = [
  "mydestination",
  "local_recipient_maps",
  "relay_domains",
  "virtual_mailbox_domains",
  "prepend_delivered_header",
  "allow_mail_to_commands",
  "allow_mail_to_files",
  "propagate_unmatched_extensions",
];

function tomlOf(name: string, value: string): string {
  if (!LISTS.includes(name)) return value === "yes" ? "true" : JSON.stringify(value);
  return JSON.stringify(value.split(/[ ,]+/).filter((word) => word !== ""));
}

function posternMain(
  { queue, log, directory, configuration }: Installation,
  settings: Readonly<Record<string, string>>,
): string {
  const transports = [
    "remote.test=discard:away",
    "filter.test=filter:",
    "spam.test=spam:",
    ...Object.keys(LOCAL_VARIANTS).map((name) => `${name}.test=${name}:`),
    ...Object.keys(PIPES).map((name) => `${name}.test=${name}:hop.Test`),
  ];
  return [
    `queue_directory = "${queue}"`,
    `maillog_file = "${log}"`,
    `maillog_file_prefixes = ["${directory}"]`,
    `mail_spool_directory = "${directory}/boxes"`,
    `alias_maps = ["texthash:${configuration}/aliases"]`,
    'virtual_mailbox_maps = ["static:senders/"]',
    `virtual_mailbox_base = "${directory}/mail"`,
    'virtual_uid_maps = ["static:65534"]',
    'virtual_gid_maps = ["static:65534"]',
    `transport_maps = ["inline:{ ${transports.join(", ")} }"]`,
    'smtpd_relay_restrictions = ["permit_mynetworks", "reject_unauth_destination"]',
    'inet_interfaces = ["127.0.0.1"]',
    "smtpd_peername_lookup = false",
    "mailbox_helper_limit = 40",
    'mailbox_helper_idle = "2s"',
    ...Object.entries(settings).map(([name, value]) => `${name} = ${tomlOf(name, value)}`),
    "",
  ].join("\n");
}

function posternMaster({ port, directory }: Installation, users: PeerUsers): string {
  const service = (name: string, command: string, more: string) =>
    `\n[[service]]\nname = "${name}"\ntype = "unix"\ncommand = "${command}"\n${more}\n`;
  const locals = Object.entries(LOCAL_VARIANTS).map(([name, settings]) => {
    const parameters = Object.entries(settings).map(([key, value]) =>
      `${key} = ${
        tomlOf(key, value.replaceAll("$out", `${directory}/out`).replaceAll("$inc", `${directory}/inc`))
      }`
    );
    return service(name, "local", `parameters = { ${parameters.join(", ")} }`);
  });
  const pipes = Object.entries(PIPES).map(([name, attributes]) => {
    const filled = attributes.map((one) =>
      one.replaceAll("$inc", `${directory}/inc`).replaceAll("$alice", users.logins.get("alice")!)
        .replaceAll("$bob", users.logins.get("bob")!)
    );
    return service(name, "pipe", `arguments = ${JSON.stringify(filled)}`);
  });
  return [masterToml(port), ...locals, ...pipes, spawnServices(users, `${directory}/inc`)].join("");
}
