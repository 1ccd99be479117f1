import assert from "node:assert/strict";
import { DataReader } from "../../../daemons/smtpd/smtpd_data.ts";
import { RECORD, RecordCursor } from "../../../lib/mail/record.ts";
import { concat, utf8 } from "../../support/bytes.ts";
import { Random } from "../../support/random.ts";
import { latin1 } from "./queued_message.ts";

const LIMIT = 2048;

/** What a reader made of pieces of input. */
interface Read {
  /** Records as "N text" and "L text", one character for each byte. */
  readonly records: readonly string[];
  /** The text that the records stand for. */
  readonly text: string;
  /** Bytes of the input that belong to the message; -1: its end did not come. */
  readonly used: number;
  readonly bareNewline: boolean;
  readonly size: number;
}

function read(pieces: readonly Uint8Array[], lineLimit = LIMIT, sizeLimit = 0): Read {
  const chunks: Uint8Array[] = [];
  const reader = new DataReader(lineLimit, sizeLimit, (records) => chunks.push(records.slice()));
  let used = -1;
  let before = 0;
  for (const piece of pieces) {
    const count = reader.push(piece);
    if (count >= 0) {
      used = before + count;
      break;
    }
    before += piece.length;
  }
  reader.flush();
  const cursor = new RecordCursor(concat(...chunks));
  const records: string[] = [];
  let text = "";
  while (cursor.next()) {
    const whole = cursor.type === RECORD.NORMAL;
    records.push(`${whole ? "N" : "L"} ${latin1(cursor.data)}`);
    text += latin1(cursor.data) + (whole ? "\n" : "");
  }
  return { records, text, used, bareNewline: reader.bareNewline, size: reader.size };
}

/** One byte for each character. */
function raw(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function whole(text: string, lineLimit = LIMIT, sizeLimit = 0): Read {
  return read([raw(text)], lineLimit, sizeLimit);
}

const EOD = "\r\n.\r\n";

/** Input behind DATA up to its end, the text that it stands for, and whether a line ended in LF alone. */
const TABLE: readonly (readonly [name: string, input: string, text: string, bare?: boolean])[] = [
  ["an empty message is a lone dot", ".\r\n", ""],
  ["lines end in CR LF", `a\r\nb${EOD}`, "a\nb\n"],
  ["an empty line stays", `a\r\n\r\nb${EOD}`, "a\n\nb\n"],
  // RFC 5321 section 4.5.2
  [
    "RFC 5321 section 4.5.2: a leading dot is taken off",
    `a\r\n..\r\n..b\r\n.c\r\n...${EOD}`,
    "a\n.\n.b\nc\n..\n",
  ],
  ["the first line may begin with a dot", `.x\r\ny${EOD}`, "x\ny\n"],
  ["the first line may be two dots", `..${EOD}`, ".\n"],
  ["a dot inside a line stays", `a.b\r\n x .${EOD}`, "a.b\n x .\n"],
  // RFC 5321 section 4.1.1.4
  ["LF . LF is no end and no text", `x\n.\ny${EOD}`, "x\ny\n", true],
  ["LF . CRLF is no end and no text", `x\n.\r\ny${EOD}`, "x\ny\n", true],
  ["CRLF . LF is no end and no text", `x\r\n.\ny${EOD}`, "x\ny\n", true],
  ["a dot behind a dropped one is no end", `x\n.\n.\r\ny${EOD}`, "x\ny\n", true],
  ["CR . CR is text", `x\r.\ry${EOD}`, "x\r.\ry\n"],
  ["CRLF . CR is text", `x\r\n.\ry${EOD}`, "x\n\ry\n"],
  ["LF . CR is text", `x\n.\ry${EOD}`, "x\n\ry\n", true],
  ["CR . LF is text", `x\r.\ny${EOD}`, "x\r.\ny\n", true],
  ["CRLF . NUL CRLF is text", `x\r\n.\0\r\ny${EOD}`, "x\n\0\ny\n"],
  ["CRLF . CR CRLF is text", `x\r\n.\r\r\ny${EOD}`, "x\n\r\ny\n"],
  ["CR CRLF . CRLF is the end", `x\r\r\n.\r\n`, "x\r\n"],
  ["CRLF . SPACE CRLF is text", `x\r\n. \r\ny${EOD}`, "x\n \ny\n"],
  ["CRLF . TAB CRLF is text", `x\r\n.\t\r\ny${EOD}`, "x\n\t\ny\n"],
  ["VT and FF end no line", `x\v.\vy\f.\fz${EOD}`, "x\v.\vy\f.\fz\n"],
  ["NEL ends no line", `x\x85.\x85y${EOD}`, "x\x85.\x85y\n"],
  ["U+2028 ends no line", `x\xe2\x80\xa8.\xe2\x80\xa8y${EOD}`, "x\xe2\x80\xa8.\xe2\x80\xa8y\n"],
  [
    "a byte-order mark before the dot makes it text",
    `x\r\n\xef\xbb\xbf.\r\ny${EOD}`,
    "x\n\xef\xbb\xbf.\ny\n",
  ],
  ["a lone LF after DATA is an empty line", `\n.\r\nx${EOD}`, "\nx\n", true],
  ["a dot and LF right after DATA is no end", `.\nx${EOD}`, "x\n", true],
  ["LF alone ends a line", `a\nb${EOD}`, "a\nb\n", true],
  ["bytes of every value are kept", `\0\x01\x7f\x80\xff${EOD}`, "\0\x01\x7f\x80\xff\n"],
  // postfix-map section 5.1
  ["a mailbox separator becomes a header", `From a Mon\r\nS: x${EOD}`, "X-Mailbox-Line: From a Mon\nS: x\n"],
  ["a quoted mailbox separator does too", `>>From a\r\nS: x${EOD}`, "X-Mailbox-Line: >>From a\nS: x\n"],
  [
    "as many as there are in front",
    `From a\r\nFrOm b\r\nS: x\r\nFrom c${EOD}`,
    "X-Mailbox-Line: From a\nX-Mailbox-Line: FrOm b\nS: x\nFrom c\n",
  ],
  ["From: is no mailbox separator", `From: a${EOD}`, "From: a\n"],
  ["a stuffed mailbox separator is one", `.From a${EOD}`, "X-Mailbox-Line: From a\n"],
  ["text that begins with a blank gets an empty line before it", ` x${EOD}`, "\n x\n"],
  ["or with a tab", `\tx${EOD}`, "\n\tx\n"],
  ["a stuffed blank too", `. x${EOD}`, "\n x\n"],
  [
    "a blank behind a mailbox separator continues no header of ours",
    `From a\r\n x${EOD}`,
    "X-Mailbox-Line: From a\n\n x\n",
  ],
  ["a later line may begin with a blank", `S: x\r\n y${EOD}`, "S: x\n y\n"],
];

for (const [name, input, text, bare] of TABLE) {
  Deno.test(`data: ${name}`, () => {
    const result = whole(input + "QUIT\r\n");
    assert.equal(result.text, text);
    assert.equal(result.used, input.length);
    assert.equal(result.bareNewline, bare ?? false);
  });
}

Deno.test("data: input cut at every byte, and into single bytes, reads as the whole does", () => {
  for (const [name, input] of TABLE) {
    const bytes = raw(input + "NOOP\r\n");
    const expected = read([bytes]);
    for (let at = 0; at <= bytes.length; at++) {
      const cut = read([bytes.subarray(0, at), bytes.subarray(at)]);
      assert.deepEqual(cut, expected, `${name}, cut at ${at}`);
    }
    assert.deepEqual(
      read(Array.from(bytes, (byte) => Uint8Array.of(byte))),
      expected,
      `${name}, byte by byte`,
    );
  }
});

Deno.test("data: without its end a message goes on", () => {
  for (
    const input of ["", "x", "x\r", "x\r\n", "x\r\n.", "x\r\n.\r", "x\n.\r\n", ".", ".\r", "..\r\n", "x.\r\n"]
  ) {
    assert.equal(whole(input).used, -1, JSON.stringify(input));
  }
});

Deno.test("data: what follows the end is not the message's", () => {
  const input = `a${EOD}.\r\n hidden\r\n.\r\n`;
  assert.equal(whole(input).used, `a${EOD}`.length);
  assert.equal(whole(input).text, "a\n");
});

for (const limit of [10, 512, LIMIT]) {
  Deno.test(`data: a line becomes pieces of at most ${limit} bytes and is not cut short`, () => {
    for (
      const length of [limit - 1, limit, limit + 1, 2 * limit - 1, 2 * limit, 2 * limit + 1, 5 * limit + 3]
    ) {
      const line = "abcdefghij".repeat(length).slice(0, length);
      const result = whole(`S: x\r\n${line}${EOD}`, limit);
      assert.equal(result.text, `S: x\n${line}\n`);
      assert.ok(result.records.every((record) => record.length - 2 <= limit));
      const pieces = result.records.slice(1);
      assert.equal(pieces.length, Math.max(1, Math.ceil(length / limit)));
      assert.ok(pieces.slice(0, -1).every((piece) => piece.startsWith("L ")));
      assert.ok(pieces.at(-1)!.startsWith("N "));
      assert.equal(result.used, `S: x\r\n${line}${EOD}`.length);
    }
  });

  Deno.test(`data: CR LF is one line end wherever it falls near ${limit} bytes`, () => {
    for (let length = limit - 3; length <= limit + 3; length++) {
      const line = "x".repeat(length);
      const input = raw(`${line}\r\n.\r\n`);
      for (const cut of [length - 1, length, length + 1, length + 2, length + 3, length + 4]) {
        const result = read([input.subarray(0, cut), input.subarray(cut)], limit);
        assert.equal(result.text, `${line}\n`, `${length} bytes cut at ${cut}`);
        assert.equal(result.used, input.length);
        assert.equal(result.bareNewline, false);
      }
    }
  });

  Deno.test(`data: a dot that follows a piece of ${limit} bytes begins no line`, () => {
    const line = "x".repeat(limit);
    for (const input of [`${line}.\r\n`, `${line}..\r\n`, `${line}.x\r\n`]) {
      const bytes = raw(`${input}.\r\n`);
      const text = `${input.slice(0, -2)}\n`;
      for (const cut of [limit - 1, limit, limit + 1, limit + 2, limit + 3]) {
        const result = read([bytes.subarray(0, cut), bytes.subarray(cut)], limit);
        assert.equal(result.text, text);
        assert.equal(result.used, bytes.length);
      }
    }
  });

  Deno.test(`data: a stuffed dot before a line of about ${limit} bytes is taken off once`, () => {
    for (let length = limit - 2; length <= limit + 2; length++) {
      const line = "x".repeat(length);
      const bytes = raw(`a\r\n.${line}${EOD}`);
      for (const cut of [3, 4, 5, limit, limit + 3, limit + 4, limit + 5]) {
        const result = read([bytes.subarray(0, cut), bytes.subarray(cut)], limit);
        assert.equal(result.text, `a\n${line}\n`, `${length} bytes cut at ${cut}`);
      }
    }
  });
}

Deno.test("data: the end is seen wherever it falls near 64 KiB", () => {
  const line = "a".repeat(62) + "\r\n";
  for (let size = 65_520; size <= 65_545; size++) {
    const head = line.repeat(1023);
    const body = head + "b".repeat(size - head.length);
    const bytes = raw(body + EOD);
    for (let cut = size; cut <= bytes.length; cut++) {
      const result = read([bytes.subarray(0, cut), bytes.subarray(cut)]);
      assert.equal(result.used, bytes.length, `${size} bytes cut at ${cut}`);
      assert.equal(result.text.length, body.replaceAll("\r\n", "\n").length + 1);
    }
  }
});

Deno.test("data: records come in chunks that cleanup takes, also for the longest lines that a parameter allows", () => {
  for (const limit of [512, LIMIT, 32 * 1024, 1_000_000]) {
    const sizes: number[] = [];
    const reader = new DataReader(limit, 0, (records) => sizes.push(records.length));
    for (let i = 0; i < 40; i++) reader.push(raw("y".repeat(10_000 + 997 * i) + (i % 3 === 0 ? "\r\n" : "")));
    reader.push(raw(EOD));
    reader.flush();
    assert.ok(Math.max(...sizes) <= 65_536);
  }
});

Deno.test("RFC 1870 section 4: the size counts line ends as two bytes and stuffed dots not at all", () => {
  for (
    const [input, size] of [["", 0], ["abc\r\n", 5], ["abc\n", 5], ["..\r\n", 3], [
      "a\r\n\r\nb\r\n",
      8,
    ]] as const
  ) {
    assert.equal(whole(`${input}.\r\n`).size, size, JSON.stringify(input));
  }
});

Deno.test("data: text beyond the size limit is read and not handed on", () => {
  const line = "0123456789\r\n";
  for (const [lines, tooBig] of [[10, false], [11, true], [5000, true]] as const) {
    const chunks: Uint8Array[] = [];
    const reader = new DataReader(LIMIT, 120, (records) => chunks.push(records.slice()));
    const input = raw(`${line.repeat(lines)}.\r\n`);
    assert.equal(reader.push(input), input.length);
    reader.flush();
    assert.equal(reader.tooBig, tooBig);
    assert.equal(reader.size, lines * 12);
    assert.ok(concat(...chunks).length <= 120);
  }
  // A line without an end is no way round it.
  const chunks: Uint8Array[] = [];
  const reader = new DataReader(LIMIT, 10_000, (records) => chunks.push(records.slice()));
  for (let i = 0; i < 100; i++) reader.push(raw("z".repeat(10_000)));
  reader.flush();
  assert.equal(reader.tooBig, true);
  assert.ok(concat(...chunks).length <= 10_000);
});

Deno.test("data: a message of the limit exactly is not too big, a byte more is", () => {
  for (const [length, tooBig] of [[98, false], [99, true]] as const) {
    const reader = new DataReader(LIMIT, 100, () => {});
    reader.push(raw(`${"x".repeat(length)}${EOD}`));
    assert.equal(reader.tooBig, tooBig);
  }
});

Deno.test("data: random text comes back as it was sent, however it is cut", () => {
  const random = new Random(20);
  for (let round = 0; round < 300; round++) {
    const lines = Array.from({ length: random.below(8) }, () => {
      const length = random.pick([0, 1, 2, 5, 30, 600]);
      return latin1(random.bytes(length)).replaceAll("\n", "n").replace(/\r$/, "r");
    });
    const stuffed = lines.map((line) => (line.startsWith(".") ? `.${line}` : line) + "\r\n").join("") +
      ".\r\n";
    const bytes = raw(`S: x\r\n${stuffed}`);
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < bytes.length;) {
      const end = at + 1 + random.below(40);
      pieces.push(bytes.subarray(at, end));
      at = end;
    }
    const result = read(pieces, 512);
    assert.equal(result.text, ["S: x", ...lines].map((line) => `${line}\n`).join(""));
    assert.equal(result.used, bytes.length);
  }
});

Deno.test("data: many lines at once become the records that they become one by one", () => {
  const random = new Random(7);
  const lines = [
    "",
    ".",
    "..",
    ".x",
    "x",
    "x.".repeat(40),
    "y".repeat(127),
    "y".repeat(128),
    "z".repeat(5000),
    "a\rb",
  ];
  for (let round = 0; round < 60; round++) {
    let text = "Subject: x\r\n\r\n";
    // Some texts are simple for long stretches, others are not at all.
    const odd = random.below(20) + 1;
    while (text.length < 70_000) {
      const line = random.below(odd) === 0 ? random.pick(lines) : "text ".repeat(random.below(20));
      text += `${line}${random.below(odd * 20) === 0 ? "\n" : "\r\n"}`;
      if (text.endsWith("\r\n.\r\n")) text = text.slice(0, -3);
    }
    const whole = raw(text);
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < whole.length; at += 200) pieces.push(whole.subarray(at, at + 200));
    const sizeLimit = random.below(3) === 0 ? 30_000 : 0;
    assert.deepEqual(read([whole], LIMIT, sizeLimit), read(pieces, LIMIT, sizeLimit), `round ${round}`);
  }
});

Deno.test("data: text of dots is not copied more often than other text", () => {
  const { set } = Uint8Array.prototype;
  for (const line of ["x\r\n.y\r\n", ".\r.\r\n", "x".repeat(130) + "\r\ny\r\n", "x\ny\r\n"]) {
    const input = raw(line.repeat(Math.ceil(60_000 / line.length)));
    let copied = 0;
    try {
      Uint8Array.prototype.set = function (source: ArrayLike<number>, offset?: number) {
        copied += source.length;
        return set.call(this, source, offset);
      };
      new DataReader(LIMIT, 0, () => {}).push(input);
    } finally {
      Uint8Array.prototype.set = set;
    }
    // A view of 256 bytes for each line that stands alone, and the growth of the buffer.
    assert.ok(copied < input.length * 100, `${copied} bytes are copied for ${input.length}`);
  }
});

Deno.test("data: no input makes the reader throw, and only CRLF . CRLF ends it", () => {
  const random = new Random(21);
  for (let round = 0; round < 2000; round++) {
    const text = Array.from(
      { length: random.below(30) },
      () => random.pick(["\r", "\n", ".", "\r\n", "x", "\0"]),
    ).join("");
    const end = `\r\n${text}`.indexOf(EOD);
    assert.equal(whole(text).used, end < 0 ? -1 : end - 2 + EOD.length, JSON.stringify(text));
  }
});

Deno.test("data: a piece of the caller's buffer is not kept", () => {
  const chunks: string[] = [];
  const reader = new DataReader(LIMIT, 0, (records) => chunks.push(latin1(records)));
  const buffer = utf8("ab");
  reader.push(buffer);
  buffer.fill(0x7a);
  reader.push(utf8("c\r\n.\r\n"));
  reader.flush();
  assert.equal(chunks.join(""), "N\x03abc");
});
