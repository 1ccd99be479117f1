/** Debian's postsuper and ours on the same queue, each on a copy of its own: what they say, and what they leave. */
import assert from "node:assert/strict";
import { run } from "../../commands/postsuper.ts";
import { inodeOf, toQueueId } from "../../lib/mail/queue_id.ts";
import { type Ended, QUEUES, runProgram } from "../support/postern.ts";
import { testNeeding } from "../support/tools.ts";
import { QueueBench } from "./queue_support.ts";

const POSTSUPER = "/usr/sbin/postsuper";
const DIRECTORIES = [...QUEUES, "bounce", "defer", "trace", "flush"];
const DAY = 86_400_000;

/** A file of the queue: its mode, its age in milliseconds. */
type Spec = Readonly<Record<string, readonly [mode: number, age?: number]>>;

/** A name with INODE in it gets the file's own inode number there. */
const PLAIN: Spec = {
  "active/AAAAAINODE": [0o700],
  "active/AAAABINODE": [0o710],
  "incoming/BBBBBINODE": [0o700],
  "deferred/C/CCCCCINODE": [0o700],
  "deferred/C/CCCCDINODE": [0o700],
  "hold/DDDDDINODE": [0o700],
  "hold/DDDDEINODE": [0o700],
  "maildrop/EEEEEINODE": [0o744],
  "corrupt/F0F0FINODE": [0o700],
};

/** What is not committed: options that name a message leave it alone. */
const UNREADY: Spec = {
  "incoming/BBBBBINODE": [0o700],
  "incoming/BBBBCINODE": [0o600],
  "incoming/81236.4711": [0o600],
  "deferred/C/CCCCEINODE": [0o400],
  "hold/DDDDDINODE": [0o710],
};

const OLD: Spec = {
  "incoming/11111INODE": [0o600, 8 * DAY],
  "incoming/11112INODE": [0o600, 6 * DAY],
  "incoming/11113INODE": [0o700, 30 * DAY],
  "incoming/81236.4712": [0o600, 8 * DAY],
  "maildrop/11114INODE": [0o644, 8 * DAY],
  "deferred/1/11115INODE": [0o600, 8 * DAY],
  "hold/11116INODE": [0o400, 8 * DAY],
  "bounce/11117": [0o600, 30 * DAY],
  "corrupt/11118INODE": [0o600, 30 * DAY],
};

const MOVED: Spec = {
  "deferred/C/CCCCC1234": [0o700],
  "defer/C/CCCCC1234": [0o600],
  "bounce/CCCCC1234": [0o600],
  "deferred/1/2/12345INODE": [0o700],
  "deferred/99999INODE": [0o700],
  "hold/2/22222INODE": [0o700],
  "active/33333INODE": [0o700],
  "defer/4/9/49999INODE": [0o600],
  "incoming/some.thing": [0o700],
  "incoming/lower1234": [0o700],
  "flush/example_com": [0o600],
};

const LONG: Spec = {
  "hold/4jXwD359PfzJ9Qy": [0o700],
  "active/4jXwD359PgzAEI": [0o700],
  "deferred/9/4jXwD359PfzJ9Qw": [0o700],
  "incoming/12345INODE": [0o700],
};

interface Case {
  readonly spec: Spec;
  readonly args: readonly string[];
  readonly input?: string;
  readonly long?: true;
  readonly depth?: number;
}

const SPECS = {
  "single messages": PLAIN,
  "what is not committed": UNREADY,
  "what is old": OLD,
  "names and places": MOVED,
  "long ids": LONG,
};
/** Cases that run at the same time. */
const TOGETHER = 12;
const ID = "AAAAAINODE";
const CASES: readonly Case[] = [
  ...["-d", "-h", "-H", "-r", "-e", "-f"].flatMap((option): Case[] => [
    { spec: PLAIN, args: [option, "ALL"] },
    { spec: PLAIN, args: [option, "ALL", "hold"] },
    { spec: PLAIN, args: [option, "ALL", "deferred", "active"] },
    ...["AAAAAINODE", "BBBBBINODE", "CCCCCINODE", "DDDDDINODE", "EEEEEINODE"].map((id) => ({
      spec: PLAIN,
      args: [option, id],
    })),
    { spec: PLAIN, args: [option, ID, "maildrop"] },
    { spec: PLAIN, args: [option, "-"], input: `${ID}\nBAD ID\n\nDDDDDINODE\nFFFFFF\n` },
    { spec: PLAIN, args: [option, "all"] },
    { spec: PLAIN, args: [option, ""] },
    { spec: PLAIN, args: [option, "ALL", "nowhere"] },
    { spec: PLAIN, args: [option, "ALL", "corrupt"] },
    { spec: PLAIN, args: [option, "ALL", "defer"] },
  ]),
  ...["-d", "-h", "-H", "-r", "-e", "-f"].flatMap((option): Case[] =>
    ["BBBBBINODE", "BBBBCINODE", "81236.4711", "CCCCEINODE", "DDDDDINODE"].map((id) => ({
      spec: UNREADY,
      args: [option, id],
    }))
  ),
  ...["-d", "-h", "-r", "-e", "-f"].flatMap((one): Case[] =>
    ["-d", "-h", "-H", "-r"].filter((other) => other !== one).flatMap((other): Case[] => [
      { spec: PLAIN, args: [one, ID, other, ID] },
      { spec: PLAIN, args: [one, "-", other, "-"], input: `${ID}\nCCCCCINODE\n` },
    ])
  ),
  {
    spec: PLAIN,
    args: ["-d", ID, "-h", "CCCCCINODE", "-H", "DDDDDINODE", "-r", "CCCCDINODE", "-e", "AAAABINODE"],
  },
  { spec: PLAIN, args: ["-h", "ALL", "-H", "ALL"] },
  { spec: PLAIN, args: ["-r", "ALL", "-d", "ALL"] },
  { spec: PLAIN, args: ["-d", "-", "-h", "-"], input: ID },
  { spec: PLAIN, args: ["-d", ID, "-d", ID] },
  { spec: PLAIN, args: [] },
  { spec: PLAIN, args: ["hold"] },
  { spec: PLAIN, args: ["-x"] },
  { spec: OLD, args: ["-p"] },
  { spec: OLD, args: ["-p", "incoming"] },
  { spec: OLD, args: [] },
  { spec: MOVED, args: ["-s"] },
  { spec: MOVED, args: ["-s", "hold"] },
  { spec: MOVED, args: ["-s", "defer"] },
  { spec: MOVED, args: ["-s"], depth: 2 },
  { spec: LONG, args: ["-s"] },
  { spec: LONG, args: ["-s"], long: true },
  { spec: LONG, args: ["-S"], long: true },
  { spec: LONG, args: ["-S"] },
];

/** A queue, made from a specification; every file holds its own name there. */
class Copy implements Disposable {
  readonly bench: QueueBench;
  readonly #inodes: [name: string, inode: number][] = [];

  constructor({ spec, long, depth }: Case) {
    this.bench = new QueueBench(
      `enable_long_queue_ids = ${long ?? false}\nhash_queue_depth = ${depth ?? 1}\n`,
    );
    for (const queue of DIRECTORIES) Deno.mkdirSync(this.bench.path(queue), { recursive: true });
    for (const [name, [mode, age]] of Object.entries(spec)) {
      const inode = this.bench.put("made", new TextEncoder().encode(name), mode);
      const path = this.bench.path(this.#named(name, inode));
      Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
      Deno.renameSync(this.bench.path("made"), path);
      this.#inodes.push([name.slice(name.lastIndexOf("/") + 1), inode]);
      const time = (Date.now() - (age ?? 0)) / 1000;
      Deno.utimeSync(path, time, time);
    }
  }

  #named(text: string, inode: number): string {
    return text.replace("INODE", inode.toString(16).toUpperCase());
  }

  /** Arguments and input with the names of this copy. */
  name(text: string): string {
    const inodeOf = (line: string) => this.#inodes.find(([name]) => name === line)?.[1] ?? 0;
    return text.split("\n").map((line) => this.#named(line, inodeOf(line))).join("\n");
  }

  /** The other way round: a text without the numbers of this copy. */
  unname(text: string): string {
    let out = text;
    for (const [, inode] of this.#inodes) {
      out = out.replaceAll(inode.toString(16).toUpperCase(), "INODE");
    }
    return out;
  }

  /** Every file: where it is now, what it was, its mode; a name that holds its inode number shows only that. */
  left(): string[] {
    return this.bench.files(...DIRECTORIES).map((name) => {
      const path = this.bench.path(name);
      const { ino, mode, mtime } = Deno.lstatSync(path);
      const id = toQueueId(name.slice(name.lastIndexOf("/") + 1));
      const right = id !== undefined && inodeOf(id) === ino;
      const shown = right ? `${name.slice(0, name.lastIndexOf("/") + 6)}+inode` : this.unname(name);
      const old = Date.now() - mtime!.getTime() > DAY ? " old" : "";
      return `${shown} was ${Deno.readTextFileSync(path)} ${(mode! & 0o7777).toString(8)}${old}`;
    }).sort();
  }

  directories(): string[] {
    return DIRECTORIES.flatMap((queue) =>
      [...Deno.readDirSync(this.bench.path(queue))].filter((entry) => entry.isDirectory).map(({ name }) =>
        `${queue}/${name}`
      )
    ).sort();
  }

  [Symbol.dispose](): void {
    this.bench[Symbol.dispose]();
  }
}

/** Debian's on a copy that is its own user's. */
async function debian(copy: Copy, test: Case) {
  const { root } = copy.bench.system.queue;
  Deno.writeTextFileSync(
    `${root}/etc/main.cf`,
    `compatibility_level = 3.6\nqueue_directory = ${root}\nmaillog_file = ${root}/log/mail.log\n` +
      `maillog_file_prefixes = ${root}\nenable_long_queue_ids = ${test.long ? "yes" : "no"}\n` +
      `hash_queue_depth = ${test.depth ?? 1}\n`,
  );
  Deno.chmodSync(root, 0o755);
  Deno.writeTextFileSync(`${root}/log/mail.log`, "");
  Deno.chmodSync(`${root}/log/mail.log`, 0o666);
  await runProgram("chown", ["-R", "postfix:postfix", ...DIRECTORIES.map((name) => copy.bench.path(name))]);
  const args = ["-c", `${root}/etc`, ...test.args.map((word) => copy.name(word))];
  return await runProgram(POSTSUPER, args, copy.name(test.input ?? ""));
}

/** Lines without the numbers of one copy, each once and in one order: Debian's looks at some files twice. */
function lines(text: string, copy: Copy): string[] {
  return copy.unname(text).replaceAll(/^\/?[a-z/]*postsuper: /gm, "postsuper: ").split("\n").sort()
    .filter((line, i, all) => line !== all[i - 1]);
}

/** A case's name in the report. */
function nameOf({ args, input, long, depth }: Case): string {
  const more = [
    input === undefined ? "" : "with input",
    long ? "long ids" : "",
    depth ? `depth ${depth}` : "",
  ];
  return ["postsuper", ...args.map((word) => word === "" ? '""' : word), ...more].filter((word) =>
    word !== ""
  )
    .join(" ");
}

async function compare(test: Case, theirs: Copy, want: Ended): Promise<void> {
  using ours = new Copy(test);
  const args = test.args.map((word) => ours.name(word));
  const got = await ours.bench.run("postsuper", run, args, ours.name(test.input ?? ""));
  assert.deepEqual(lines(got.err, ours), lines(want.errors, theirs));
  assert.equal(got.status, want.status);
  assert.equal(got.out, want.output);
  assert.deepEqual(ours.left(), theirs.left());
  assert.deepEqual(ours.directories(), theirs.directories());
}

for (const [what, spec] of Object.entries(SPECS)) {
  testNeeding(["root", "postfix"], `postsuper says and does what Debian's does: ${what}`, async (t) => {
    const cases = CASES.filter((test) => test.spec === spec);
    // Debian's sleeps a second before it ends with an error: a number of them together.
    for (let at = 0; at < cases.length; at += TOGETHER) {
      const batch = cases.slice(at, at + TOGETHER);
      const copies = batch.map((test) => new Copy(test));
      const wants = await Promise.all(batch.map((test, i) => debian(copies[i]!, test)));
      for (const [i, test] of batch.entries()) {
        using theirs = copies[i]!;
        await t.step(nameOf(test), () => compare(test, theirs, wants[i]!));
      }
    }
  });
}
