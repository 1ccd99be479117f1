import assert from "node:assert/strict";
import { run } from "../../commands/postcat.ts";
import { concat } from "../support/bytes.ts";
import { queueFile } from "../support/messages.ts";
import { Random } from "../support/random.ts";
import { records } from "./maildrop_support.ts";
import { QueueBench } from "./queue_support.ts";

const POSTCAT = "/usr/sbin/postcat";
const LATIN1 = new TextDecoder("latin1");
const present = (() => {
  try {
    return Deno.statSync(POSTCAT).isFile;
  } catch {
    return false;
  }
})();

type Pair = readonly [string, string | Uint8Array];

const HEAD: readonly Pair[] = [
  ["T", "1795413368 123456"],
  ["A", "create_time=1795413368"],
  ["A", "rewrite_context=local"],
  ["S", "a@b"],
];

/** A file with a true size record in front; `w` are records between its envelope and its content. */
function sized(envelope: readonly Pair[], content: readonly Pair[], rest: readonly Pair[]): Uint8Array {
  const body = records(...envelope, ["M", ""]);
  const text = records(...content);
  const numbers = [text.length, 97 + body.length, 1, 0, text.length, 0];
  const size = records(["C", numbers.map((number) => String(number).padStart(15)).join(" ")]);
  return concat(size, body, text, records(...rest));
}

const at = (offset: number) => String(offset).padStart(15);

/** A file that a milter has edited: pointers to what was added behind the end, and back. */
function edited(): Uint8Array {
  const before = records(...HEAD, ["R", "x"]);
  const pointer = records(["p", at(0)]).length;
  const envelope = records(["R", "y"], ["M", ""]);
  const one = records(["N", "A: b"]);
  const two = records(["N", "B: c"], ["N", ""]);
  const tail = records(["N", "body"], ["p", at(0)], ["X", ""], ["p", at(0)], ["E", ""]);
  const first = 97 + before.length;
  const second = first + pointer + envelope.length + one.length;
  const end = second + pointer + two.length + tail.length;
  const added = records(["R", "added@x"], ["p", at(first + pointer)]);
  const header = records(["N", "New: hdr"], ["p", at(second + pointer)]);
  const data = first + pointer + envelope.length;
  const content = end - records(["X", ""], ["p", at(0)], ["E", ""]).length - data;
  return concat(
    records(["C", [content, data, 1, 0, content, 0].map(at).join(" ")]),
    before,
    records(["p", at(end)]),
    envelope,
    one,
    records(["p", at(end + added.length)]),
    two,
    tail,
    added,
    header,
  );
}

/** A file whose size record has the three numbers of old Postfix. */
function shortSize(): Uint8Array {
  const body = records(...HEAD, ["M", ""]);
  const text = records(["N", "A: b"], ["N", ""], ["N", "c"]);
  const offset = records(["C", [0, 0, 0].map(at).join(" ")]).length + body.length;
  return concat(
    records(["C", [text.length, offset, 1].map(at).join(" ")]),
    body,
    text,
    records(["X", ""], ["E", ""]),
  );
}

const END: readonly Pair[] = [["X", ""], ["E", ""]];

const FILES: Readonly<Record<string, Uint8Array>> = {
  "one that our writer made": queueFile({
    recipients: ["a@x", { address: "b@x", original: "c@x" }, { address: "d e@x", original: "", done: true }],
  }),
  "every record type": sized(
    [
      ...HEAD,
      ["c", "1795413368"],
      ["F", "full name"],
      ["I", "insp"],
      ["L", "smtp:foo"],
      ["D", "done@x"],
      ["O", "orig"],
      ["/", "canc"],
      ["W", at(1795413999)],
      ["W", "             -1"],
      ["V", "+="],
      ["A", "nonsense"],
      ["A", "=x"],
      [">", "redir"],
      ["K", "killed"],
      ["<", "1"],
      ["i", "env"],
      ["o", "rfc822;x"],
      ["n", "3"],
      ["R", "to@x"],
    ],
    [["N", "Subject: x"], ["N", "\tfold"], ["L", "X: part"], ["N", "ial"], ["w", "padding"], ["N", ""], [
      "L",
      "long",
    ], [
      "N",
      " line",
    ], ["N", "nonheader"]],
    [["X", ""], ["r", "rr@x"], ["e", "err@x"], ["P", "0"], ["A", "encoding=8bit"], ["R", "ext@x"], ["E", ""]],
  ),
  "no header": sized(HEAD, [["N", "no header here"], ["N", "Subject: late"], ["N", ""], ["N", "x"]], END),
  "an empty line first": sized(HEAD, [["N", ""], ["N", "x"]], END),
  "a blank first": sized(
    HEAD,
    [["N", " lead"], ["N", "A : b"], ["N", ": no"], ["N", "D"], ["N", "x: y"]],
    END,
  ),
  "lines in pieces": sized(
    HEAD,
    [["L", "X: part"], ["L", "Y: part"], ["N", "ial"], ["N", "Y: z"], ["L", "n"], ["N", "U: x"], ["N", ""], [
      "L",
      "b",
    ]],
    END,
  ),
  "envelope records in the content": sized(HEAD, [["N", "Y: z"], ["A", "a=b"], ["w", "p"], ["N", ""], [
    "K",
    "k",
  ]], END),
  "no end": sized(HEAD, [["N", "A: b"]], [["X", ""]]),
  "no content": records(...HEAD),
  "text behind the end": sized(HEAD, [["N", "A: b"]], [...END, ["N", "trail"]]),
  "parts out of order": sized(
    [...HEAD, ["N", "early"], ["X", ""]],
    [["N", "A: b"], ["M", ""], ["R", "in content"], ["Z", "weird"], ["X", ""]],
    [["X", ""], ["N", "in ext"], ["E", ""]],
  ),
  "cut in a record": sized(HEAD, [["N", "A: b"]], [["N", "cut off"]]).slice(0, -2),
  "no numbers in its times": records(["T", "xyz"], ["T", "12"], ["A", "create_time=zz"], ["W", "x"], [
    "M",
    "",
  ], ...END),
  "a short size record": shortSize(),
  "two size records": sized([...HEAD, ["C", [4, 5, 6].map(at).join(" ")]], [["N", "A: b"], ["N", ""], [
    "N",
    "c",
  ]], END),
  "bytes of any value": sized(
    [...HEAD, ["R", new Uint8Array([0xff, 0, 1, 0x78])]],
    [["N", new Uint8Array([0x53, 0xe9, 0x3a, 0, 0x78])], ["N", new Uint8Array([0x41, 0x3a, 0xff, 0x80, 7])]],
    END,
  ),
  "long records": sized([...HEAD, ["R", "r".repeat(300)]], [["N", `A: ${"x".repeat(5000)}`], [
    "N",
    "y".repeat(20000),
  ]], END),
  "pointers": edited(),
  "a pointer to itself": concat(records(...HEAD), records(["p", at(records(...HEAD).length)])),
  "a malformed pointer": records(...HEAD, ["p", "xx"], ["M", ""], ...END),
  "a pointer beyond its end": records(...HEAD, ["p", at(99999)], ["M", ""], ...END),
  "a local submission": records(
    ["T", "1795413180 457270"],
    ["F", "root"],
    ["S", "me"],
    ["R", "x"],
    ["M", ""],
    [
      "N",
      "Subject: md",
    ],
    ...END,
  ),
  "garbage": new TextEncoder().encode("hello world"),
  "nothing": new Uint8Array(0),
};

const OPTIONS: readonly (readonly string[])[] = [
  [],
  ["-e"],
  ["-h"],
  ["-b"],
  ["-eh"],
  ["-bh"],
  ["-eb"],
  ["-o"],
  ["-d"],
  ["-od"],
  ["-oh"],
  ["-ob"],
  ["-oed"],
  ["-r"],
  ["-v", "-o"],
  ["-vro"],
  ["-vb"],
  ["-vrb"],
];

interface Shown {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

function debian(args: readonly string[], cwd: string): Shown {
  const { code, stdout, stderr } = new Deno.Command(POSTCAT, { args: [...args], cwd, stdin: "null" })
    .outputSync();
  return { status: code, out: LATIN1.decode(stdout), err: new TextDecoder().decode(stderr) };
}

/** Errors without Debian's chatter of -v; of a damaged record only that it is one, as the wording is ours. */
function errors(text: string): string[] {
  const lines = text.split("\n").filter((line) => line !== "" && !/name_mask|inet_addr_local/.test(line));
  const plain = lines.map((line) => line.replace(/^[/a-z]*postcat: /, ""));
  const damaged = ["fatal: record read error", "fatal: bad pointer record, or input is not seekable"];
  return damaged.includes(plain.at(-1)!) ? [...plain.slice(0, -2), "fatal"] : plain;
}

for (const [name, bytes] of Object.entries(FILES)) {
  Deno.test({
    name: `a file with ${name} is printed byte for byte as Debian's postcat prints it, with every option`,
    ignore: !present,
    fn: async () => {
      using bench = new QueueBench();
      bench.put("active/4F2A01", bytes);
      const path = bench.path("active/4F2A01");
      // Debian's waits a second before it ends with an error: a few options must do for what is damaged.
      const damaged = /^cut in|^a pointer to itself|^a malformed pointer/.test(name);
      for (const options of damaged ? [[], ["-vo"], ["-b"]] : OPTIONS) {
        // Debian's follows such a pointer for ever once records are named.
        if (name === "a pointer to itself" && options.join("").includes("v")) continue;
        const want = debian([...options, path], bench.path("active"));
        const got = await bench.run("postcat", run, [...options, path]);
        assert.equal(got.out, want.out, options.join(" "));
        assert.deepEqual(errors(got.err), errors(want.err), options.join(" "));
        assert.equal(got.status, want.status, options.join(" "));
      }
    },
  });
}

Deno.test("a pointer to itself ends also where records are named", async () => {
  using bench = new QueueBench();
  bench.put("active/4F2A01", FILES["a pointer to itself"]!);
  const done = await bench.run("postcat", run, ["-v", bench.path("active/4F2A01")]);
  assert.equal(done.status, 1);
  assert.match(done.err, /too many reverse jump records/);
});

Deno.test("a second content marker behind the content does not send -e back to the content for ever", async () => {
  using bench = new QueueBench();
  bench.put("active/4F2A01", sized(HEAD, [["N", "A: b"]], [["X", ""], ["M", ""], ["E", ""]]));
  const done = await bench.run("postcat", run, ["-e", bench.path("active/4F2A01")]);
  assert.ok(done.out.endsWith(`*** MESSAGE FILE END ${bench.path("active/4F2A01")} ***\n`));
});

Deno.test("-q finds a message in the queue, in the subdirectory of its queue", async () => {
  using bench = new QueueBench();
  bench.put("deferred/4/4F2A01", queueFile({ sender: "deferred@x" }));
  bench.put("hold/4F2A02", queueFile({ sender: "hold@x" }));
  const done = await bench.run("postcat", run, ["-q", "4F2A01", "4F2A02"]);
  assert.equal(done.status, 0);
  assert.match(done.out, /^\*\*\* ENVELOPE RECORDS deferred\/4\/4F2A01 \*\*\*\n/);
  assert.match(done.out, /sender: deferred@x\n[^]*sender: hold@x\n/);
});

Deno.test("standard input is printed when no file is named", async () => {
  using bench = new QueueBench();
  const text = LATIN1.decode(queueFile());
  const done = await bench.run("postcat", run, ["-b"], text);
  assert.equal(done.out, "\nHello\n");
});

Deno.test({
  name: "-s begins where Debian's postcat begins",
  ignore: !present,
  fn: async () => {
    using bench = new QueueBench();
    bench.put("active/4F2A01", FILES["every record type"]!);
    const path = bench.path("active/4F2A01");
    const offsets = (await bench.run("postcat", run, ["-o", path])).out.split("\n")
      .map((line) => line.slice(0, 9).trim()).filter((word) => /^[0-9]+$/.test(word));
    assert.ok(offsets.length > 20);
    for (const offset of offsets.filter((_, i) => i % 5 === 2)) {
      for (const options of [[], ["-e"], ["-vo"]]) {
        const want = debian([...options, "-s", offset, path], bench.path("active"));
        const got = await bench.run("postcat", run, [...options, "-s", offset, path]);
        assert.equal(got.out, want.out, `${options} ${offset}`);
        assert.equal(got.status, want.status);
      }
    }
  },
});

Deno.test("-s begins at an offset", async () => {
  using bench = new QueueBench();
  bench.put("active/4F2A01");
  const path = bench.path("active/4F2A01");
  const whole = (await bench.run("postcat", run, ["-o", path])).out.split("\n");
  const line = whole.findIndex((one) => one.includes("sender:"));
  const offset = whole[line]!.slice(0, 9).trim();
  const rest = (await bench.run("postcat", run, ["-o", "-s", offset, path])).out.split("\n");
  assert.equal(rest[0], whole[line]);
});

for (
  const [what, args] of [
    ["an option that does not exist", ["-x"]],
    ["a bad offset", ["-s", "1x", "f"]],
    ["a malformed id", ["-q", "../x"]],
    ["an id that no queue has", ["-q", "4F2A99"]],
    ["a file that is not there", ["/nonexistent/file"]],
  ] as const
) {
  Deno.test(`${what} is fatal`, async () => {
    using bench = new QueueBench();
    const done = await bench.run("postcat", run, args);
    assert.equal(done.status, 1);
    assert.match(done.err, /fatal: /);
    assert.equal(done.out, "");
  });
}

Deno.test("damaged files from a seed end, with or without an error", async () => {
  using bench = new QueueBench();
  const random = new Random(7);
  const whole = [FILES["every record type"]!, FILES["pointers"]!];
  for (let i = 0; i < 400; i++) {
    bench.put("active/4F2A01", random.damage(random.pick(whole)));
    const done = await bench.run("postcat", run, ["-ov", bench.path("active/4F2A01")]);
    assert.ok(done.out.length < 200_000);
  }
});
