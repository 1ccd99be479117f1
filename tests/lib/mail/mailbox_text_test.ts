import assert from "node:assert/strict";
import {
  type DeliveryHeaders,
  MailboxText,
  PIECE_LIMIT,
  type TextForm,
} from "../../../lib/mail/mailbox_text.ts";
import { MessageSource, readDeliveredTo } from "../../../lib/mail/mailbox_source.ts";
import { ContentReader } from "../../../lib/mail/queue_file.ts";
import { appendRecord, RECORD } from "../../../lib/mail/record.ts";
import { ByteBuilder, encodeText } from "../../../lib/vstring/byte_builder.ts";

const NO_HEADERS = { returnPath: "", originalTo: "", deliveredTo: "" };
const DECODER = new TextDecoder("utf-8", { ignoreBOM: true });

type Piece = readonly [type: "N" | "L" | "w", text: string | Uint8Array];

/** The records of a content segment, with what stands behind it. */
function segment(pieces: readonly Piece[]): Uint8Array<ArrayBuffer> {
  const out = new ByteBuilder(20_000_000);
  for (const [type, text] of pieces) appendRecord(out, type.charCodeAt(0), text);
  appendRecord(out, RECORD.EXTRACTED, "");
  appendRecord(out, RECORD.END, "");
  return out.copy();
}

function reader(bytes: Uint8Array): ContentReader {
  return new ContentReader((buffer, offset) => {
    const part = bytes.subarray(offset, offset + buffer.length);
    buffer.set(part);
    return part.length;
  }, 0);
}

function textOf(pieces: readonly Piece[], headers: DeliveryHeaders = NO_HEADERS, form?: TextForm): string {
  const text = new MailboxText(headers, reader(segment(pieces)), form);
  let out = "";
  for (let piece = text.next(); piece !== undefined; piece = text.next()) out += DECODER.decode(piece);
  return out;
}

Deno.test("The text begins with Return-Path, X-Original-To and Delivered-To", () => {
  const headers = { returnPath: "s@a", originalTo: "o@b", deliveredTo: "d@c" };
  assert.equal(
    textOf([["N", "Subject: x"], ["N", ""], ["N", "y"]], headers),
    "Return-Path: <s@a>\nX-Original-To: o@b\nDelivered-To: d@c\nSubject: x\n\ny\n",
  );
  assert.equal(textOf([["N", "y"]]), "Return-Path: <>\ny\n");
});

const LINES: readonly { name: string; pieces: readonly Piece[]; expected: string }[] = [
  {
    name: "pieces of a line are joined",
    pieces: [["L", "ab"], ["L", "cd"], ["N", "ef"]],
    expected: "abcdef\n",
  },
  { name: "a last line without an end has none", pieces: [["N", "a"], ["L", "b"]], expected: "a\nb" },
  { name: "deleted text is left out", pieces: [["N", "a"], ["w", "xxx"], ["N", "b"]], expected: "a\nb\n" },
  {
    name: "CR before the line end is taken off",
    pieces: [["N", "a\r"], ["N", "\r"], ["N", "b\r\r"]],
    expected: "a\n\nb\n",
  },
  {
    name: "CR inside a line stays",
    pieces: [["N", "a\rb"], ["L", "c\r"], ["N", "d"]],
    expected: "a\rb\nc\rd\n",
  },
  {
    name: "CR before an end that comes later is taken off",
    pieces: [["L", "a\r"], ["L", "\r"], ["N", ""]],
    expected: "a\n",
  },
  { name: "NUL stays", pieces: [["N", "a\0b"]], expected: "a\0b\n" },
];

for (const { name, pieces, expected } of LINES) {
  Deno.test(`In the text ${name}`, () => assert.equal(textOf(pieces), `Return-Path: <>\n${expected}`));
}

Deno.test("No sequence of pieces leaves CR LF in the text", () => {
  let seed = 99;
  const random = (most: number) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % most;
  for (let round = 0; round < 300; round++) {
    const pieces: Piece[] = [];
    for (let i = random(10); i >= 0; i--) {
      const text = Array.from({ length: random(5) }, () => "\r\rab"[random(4)]).join("");
      pieces.push([random(2) === 0 ? "N" : "L", text]);
    }
    assert.ok(!textOf(pieces).includes("\r\n"), JSON.stringify(pieces));
  }
});

Deno.test("A run of CRs longer than memory should hold is cut, and the reader goes on", () => {
  const run = new Uint8Array(60_000).fill(0x0d);
  const pieces: Piece[] = Array.from({ length: 20 }, () => ["L", run] as const);
  const text = textOf([...pieces, ["N", "x"]]);
  assert.ok(text.length < 2000 && text.endsWith("\rx\n"));
});

Deno.test("A large message comes in pieces of bounded size, byte for byte", () => {
  const pieces: Piece[] = [];
  let expected = "Return-Path: <>\n";
  for (const size of [0, 1, 2047, 32767, 32768, 65535, 65536, 10, 65536, 65536, 3]) {
    for (let i = 0; i < 5; i++) {
      const line = String.fromCharCode(97 + i).repeat(size);
      pieces.push(["N", line]);
      expected += line + "\n";
    }
  }
  const text = new MailboxText(NO_HEADERS, reader(segment(pieces)));
  let out = "";
  for (let piece = text.next(); piece !== undefined; piece = text.next()) {
    assert.ok(piece.length <= PIECE_LIMIT);
    out += DECODER.decode(piece);
  }
  assert.equal(out, expected);
});

Deno.test("A content segment cut at any byte throws instead of giving half a message as a whole", () => {
  const bytes = segment([["N", "Subject: x"], ["N", ""], ["L", "ab"], ["N", "cd"]]);
  const whole = bytes.length - 4; // both end records carry no text
  for (let length = 0; length < whole; length++) {
    const text = new MailboxText(NO_HEADERS, reader(bytes.subarray(0, length)));
    assert.throws(() => {
      while (text.next() !== undefined);
    }, `cut at ${length}`);
  }
});

Deno.test("What could end a header line early becomes a question mark", () => {
  const headers = {
    ...NO_HEADERS,
    returnPath: undefined,
    originalTo: "a\r\nBcc: b\0\x7f\té",
    fromLine: "From x\n y",
  };
  assert.equal(textOf([["N", "z"]], headers), "From x? y\nX-Original-To: a??Bcc: b???é\nz\n");
});

Deno.test("A program's text has its own line ends, its quoted lines, and its empty line at the end", () => {
  const form: TextForm = {
    lineEnd: encodeText("\r\n"),
    quoted: [{ start: encodeText("From "), mark: 0x3e }, { start: encodeText("."), mark: 0x2e }],
    blankEnd: true,
  };
  const headers = { ...NO_HEADERS, returnPath: undefined, fromLine: "From s" };
  assert.equal(
    textOf(
      [["N", "From x"], ["N", "."], ["N", ".."], ["L", "a"], ["N", "From y"], ["N", "From"], ["N", ""]],
      headers,
      form,
    ),
    "From s\r\n>From x\r\n..\r\n...\r\naFrom y\r\nFrom\r\n\r\n\r\n",
  );
});

const DELIVERED: readonly { name: string; pieces: readonly Piece[]; expected: readonly string[] }[] = [
  {
    name: "every header of the name is found, letters folded, quotes taken off",
    pieces: [["N", "Delivered-To: A@B"], ["N", "DELIVERED-TO:c@d  "], ["N", 'Delivered-To: "e f"@G']],
    expected: ["a@b", "c@d", "e f@g"],
  },
  {
    name: "the body is not searched",
    pieces: [["N", "X: y"], ["N", ""], ["N", "Delivered-To: a@b"]],
    expected: [],
  },
  {
    name: "a line that is no header ends it",
    pieces: [["N", "no header"], ["N", "Delivered-To: a@b"]],
    expected: [],
  },
  {
    name: "a continuation is passed over",
    pieces: [["N", "X: y"], ["N", "\tDelivered-To: a@b"], ["N", "Delivered-To: c@d"]],
    expected: ["c@d"],
  },
  {
    name: "the rest of a long line is not taken for a header",
    pieces: [["L", "X: y"], ["N", "Delivered-To: a@b"], ["N", "Delivered-To: c@d"]],
    expected: ["c@d"],
  },
  { name: "a longer name is another one", pieces: [["N", "Delivered-To-X: a@b"]], expected: [] },
];

for (const { name, pieces, expected } of DELIVERED) {
  Deno.test(`Of Delivered-To, ${name}`, () => {
    assert.deepEqual([...readDeliveredTo(reader(segment(pieces)))], expected);
  });
}

Deno.test("A queue file that is a link, has two names or is missing is not read", () => {
  const directory = Deno.makeTempDirSync();
  try {
    Deno.writeFileSync(`${directory}/A`, encodeText("x"));
    Deno.symlinkSync(`${directory}/A`, `${directory}/B`);
    assert.throws(() => new MessageSource(`${directory}/B`, 0), /symbolic link/);
    assert.throws(() => new MessageSource(`${directory}/C`, 0), /no such file/);
    Deno.linkSync(`${directory}/A`, `${directory}/D`);
    assert.throws(() => new MessageSource(`${directory}/A`, 0), /2 hard links/);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});
