import assert from "node:assert/strict";
import {
  type HeaderClass,
  type MimeFault,
  type MimeOptions,
  MimeReader,
} from "../../../lib/mail/mime_structure.ts";
import { Random } from "../../support/random.ts";
import { latin1 } from "../../daemons/smtpd/queued_message.ts";

const OPTIONS: MimeOptions = {
  headerLimit: 1000,
  parts: true,
  nestingLimit: 3,
  boundaryLimit: 10,
  faults: new Set<MimeFault>(["nesting", "headerData", "bodyData", "encodingDomain"]),
};

const bytesOf = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));
const MIXED = "Content-Type: multipart/mixed; boundary=b";

/** What a reader finds in lines, in one text per thing; lines come in pieces of `size` bytes. */
function read(lines: readonly string[], options: Partial<MimeOptions> = {}, size = Infinity): string[] {
  const found: string[] = [];
  let open = "";
  const reader = new MimeReader({ ...OPTIONS, ...options }, {
    header: (field, where: HeaderClass) => void found.push(`${where}: ${latin1(field)}`),
    headerEnd: (separated) => void found.push(separated ? "end" : "end without separator"),
    body: (data, endsLine) => {
      open += latin1(data);
      if (!endsLine) return;
      found.push(`body: ${open}`);
      open = "";
    },
    fault: (fault) => void found.push(`fault: ${fault}`),
  });
  for (const line of lines) {
    const bytes = bytesOf(line);
    let at = 0;
    for (; bytes.length - at > size; at += size) reader.piece(bytes.slice(at, at + size), false);
    reader.piece(bytes.slice(at), true);
  }
  reader.finish();
  return found;
}

/** Messages, and what is found in them. */
const MESSAGES: Readonly<
  Record<string, { lines: readonly string[]; options?: Partial<MimeOptions>; found: readonly string[] }>
> = {
  "a header and a body": {
    lines: ["A: b", " c", "D : e", "", "x", "A: b"],
    found: ["primary: A: b\n c", "primary: D: e", "end", "body: ", "body: x", "body: A: b"],
  },
  "nothing": { lines: [], found: ["end"] },
  "a header alone": { lines: ["A: b"], found: ["primary: A: b", "end"] },
  "text in place of the empty line": {
    lines: ["A: b", "text"],
    found: ["primary: A: b", "end without separator", "body: text"],
  },
  "the parts of a multipart": {
    lines: [MIXED, "", "--b", "A: b", "", "x", "--b--", "A: b"],
    found: [
      `primary: ${MIXED}`,
      "end",
      "body: ",
      "body: --b",
      "multipart: A: b",
      "body: ",
      "body: x",
      "body: --b--",
      "body: A: b",
    ],
  },
  "no parts where they are not wanted": {
    lines: [MIXED, "", "--b", "A: b"],
    options: { parts: false },
    found: [`primary: ${MIXED}`, "end", "body: ", "body: --b", "body: A: b"],
  },
  "the header of a message within": {
    lines: ["Content-Type: message/rfc822", "", "A: b", "", "x"],
    found: ["primary: Content-Type: message/rfc822", "end", "body: ", "nested: A: b", "body: ", "body: x"],
  },
  "a digest": {
    lines: ["Content-Type: multipart/digest; boundary=b", "", "--b", "", "A: b"],
    found: [
      "primary: Content-Type: multipart/digest; boundary=b",
      "end",
      "body: ",
      "body: --b",
      "body: ",
      "nested: A: b",
    ],
  },
  "a header that is cut at its limit": {
    lines: [`A: ${"x".repeat(50)}`, `\t${"y".repeat(50)}`, "B: c"],
    options: { headerLimit: 20 },
    found: [`primary: A: ${"x".repeat(17)}`, "primary: B: c", "end"],
  },
  "a boundary that is cut at its limit": {
    lines: ["Content-Type: multipart/mixed; boundary=0123456789abc", "", "--0123456789xyz", "A: b"],
    found: [
      "primary: Content-Type: multipart/mixed; boundary=0123456789abc",
      "end",
      "body: ",
      "body: --0123456789xyz",
      "multipart: A: b",
    ],
  },
  "8-bit data where it should not be, each told once": {
    lines: ["A: \xe9", "B: \xe9", "", "\xe9", "\xe9"],
    found: [
      "fault: headerData",
      "primary: A: \xe9",
      "primary: B: \xe9",
      "end",
      "body: ",
      "fault: bodyData",
      "body: \xe9",
      "body: \xe9",
    ],
  },
};

for (const [name, { lines, options, found }] of Object.entries(MESSAGES)) {
  Deno.test(`MIME structure: ${name}`, () => assert.deepEqual(read(lines, options), found));
}

Deno.test("RFC 2046 section 5.1.2: a boundary of an outer multipart ends the inner ones", () => {
  const inner = "Content-Type: multipart/mixed; boundary=c";
  const lines = [MIXED, "", "--b", inner, "", "--c", "", "x", "--b", "A: b", "", "--c", "C: d"];
  assert.deepEqual(read(lines).slice(-4), ["multipart: A: b", "body: ", "body: --c", "body: C: d"]);
});

Deno.test("RFC 2045 section 6.4: parts and messages have no encoding that hides them", () => {
  for (
    const [type, encoding, faulty] of [
      ["multipart/mixed; boundary=b", "base64", true],
      ["multipart/mixed; boundary=b", "quoted-printable", true],
      ["multipart/mixed; boundary=b", "8bit", false],
      ["message/rfc822", "base64", true],
      ["message/rfc822", "binary", false],
      ["message/partial", "8bit", true],
      ["message/external-body", "7bit", false],
      ["text/plain", "base64", false],
    ] as const
  ) {
    const found = read([`Content-Type: ${type}`, `Content-Transfer-Encoding: ${encoding}`, ""]);
    assert.equal(found.includes("fault: encodingDomain"), faulty, `${type} ${encoding}`);
  }
});

Deno.test("multiparts within one another are found as far as the limit", () => {
  const nested = (depth: number) =>
    Array.from(
      { length: depth },
      (_, i) => [`--n${i - 1}`, `Content-Type: multipart/mixed; boundary=n${i}`, ""],
    ).flat().slice(1);
  // Those within the first one count.
  assert.equal(read(nested(5)).includes("fault: nesting"), false);
  const found = read([...nested(6), "--n5", "A: b"]);
  assert.ok(found.includes("fault: nesting"));
  assert.deepEqual(found.slice(-2), ["body: --n5", "body: A: b"]);
});

Deno.test("what is found does not depend on where lines are cut, but for the names of headers and boundaries", () => {
  const lines = [
    MIXED,
    "Subject: some text",
    "\tfolded",
    "",
    "--b",
    "Content-Type: text/plain",
    "",
    "a long line of text",
    "--b--",
  ];
  const whole = read(lines);
  for (let size = 26; size < 45; size++) assert.deepEqual(read(lines, {}, size), whole, `${size}`);
});

Deno.test("random lines never make the reader throw, and every byte of a body comes through", () => {
  const random = new Random(17);
  const words = [
    MIXED,
    "--b",
    "--b--",
    "",
    "A: b",
    " c",
    "Content-Type: message/rfc822",
    "text",
    ":",
    "\xe9: x",
    "--",
  ];
  for (let round = 0; round < 1000; round++) {
    const lines = Array.from({ length: random.below(25) }, () => random.pick(words));
    const found = read(lines, { faults: new Set() });
    const back = found.flatMap((one) => {
      const [kind, rest = ""] = [one.slice(0, one.indexOf(":")), one.slice(one.indexOf(":") + 2)];
      return one.startsWith("end") ? [] : kind === "body" ? [rest] : rest.split("\n");
    });
    assert.deepEqual(back, lines);
  }
});

/** Bytes that count how often one of them is looked at. */
function counted(bytes: Uint8Array, counter: { steps: number }): Uint8Array {
  return new Proxy(bytes, {
    get(target, name) {
      if (typeof name === "string" && name.charCodeAt(0) < 0x3a) counter.steps++;
      const value = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        if (name === "subarray") return counted(Reflect.apply(value, target, args), counter);
        counter.steps += target.length;
        return Reflect.apply(value, target, args);
      };
    },
  });
}

/** Steps for a message, fed line by line. */
function steps(lines: readonly string[]): number {
  const counter = { steps: 0 };
  const reader = new MimeReader(
    { ...OPTIONS, nestingLimit: 100, boundaryLimit: 2048, headerLimit: 102_400 },
    {
      header: () => {},
      headerEnd: () => {},
      body: () => {},
      fault: () => {},
    },
  );
  for (const line of lines) reader.piece(counted(bytesOf(line), counter), true);
  reader.finish();
  return counter.steps;
}

Deno.test("no message takes more steps than a multiple of its size", () => {
  const deep = Array.from({ length: 10 }, (_, i) => [
    `Content-Type: multipart/mixed; boundary=${"x".repeat(100)}${i}`,
    "",
    `--${"x".repeat(100)}${i}`,
  ]).flat();
  const hostile: Readonly<Record<string, (n: number) => string[]>> = {
    "empty headers": (n) => Array.from({ length: n }, () => "a:"),
    "one long header": (n) => ["A: b", ...Array.from({ length: n }, () => " folded")],
    "lines that nearly are boundaries": (
      n,
    ) => [...deep, ...Array.from({ length: n }, () => `--${"x".repeat(100)}y`)],
    "parts without end": (n) => [MIXED, "", ...Array.from({ length: n }, () => "--b")],
    "messages in messages": (n) =>
      Array.from({ length: n }, () => ["Content-Type: message/rfc822", ""]).flat(),
    "blanks before a colon": (n) => [`A${" ".repeat(n)}b`],
    "quotes without end": (n) => [`Content-Type: multipart/x; boundary="${'\\"'.repeat(n)}`],
    "comments without end": (n) => [`Content-Type: ${"(".repeat(n)}`],
    "parameters without end": (n) => [`Content-Type: multipart/x${"; boundary=b".repeat(n)}`],
  };
  for (const [name, make] of Object.entries(hostile)) {
    const [small, large] = [60, 480].map((n) => steps(make(n)));
    assert.ok(large! < small! * 8 * 1.5, `${name}: ${small} steps, then ${large}`);
  }
});
