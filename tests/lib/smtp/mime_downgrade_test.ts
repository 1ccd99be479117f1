/** 8-bit MIME to 7-bit. @module */
import assert from "node:assert/strict";
import { MimeDowngrade, MimeError } from "../../../lib/smtp/mime_downgrade.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("latin1");

function downgrade(lines: readonly string[], pieceSize = Infinity): string[] {
  const out: string[] = [];
  let open = "";
  const converter = new MimeDowngrade((data, ends) => {
    open += decoder.decode(data);
    if (!ends) return;
    out.push(open);
    open = "";
  });
  for (const line of lines) {
    const bytes = encoder.encode(line);
    let at = 0;
    for (; bytes.length - at > pieceSize; at += pieceSize) {
      converter.piece(bytes.slice(at, at + pieceSize), false);
    }
    converter.piece(bytes.slice(at), true);
  }
  converter.finish();
  if (open !== "") out.push(open);
  return out;
}

const QP = "Content-Transfer-Encoding: quoted-printable";
const BIT8 = "Content-Transfer-Encoding: 8bit";

Deno.test("RFC 2045 section 6.7: an 8bit leaf becomes quoted-printable", () => {
  assert.deepEqual(
    downgrade([
      "Subject: x",
      "content-TRANSFER-encoding:  8BIT (yes)",
      "To: y",
      "",
      "é=",
      "blank ",
      "tab\t",
      "",
      "plain",
    ]),
    ["Subject: x", "To: y", QP, "", "=C3=A9=3D", "blank=20", "tab=09", "", "plain"],
  );
});

Deno.test("RFC 2045 section 6.7 rule 5: encoded lines are 76 characters at most, and decode to what they were", () => {
  const body = "é".repeat(100);
  for (const size of [Infinity, 1, 7, 50]) {
    const lines = downgrade([BIT8, "", body], size).slice(2);
    assert.ok(lines.every((line) => line.length <= 76), `${size}`);
    const joined = lines.map((line) => line.endsWith("=") ? line.slice(0, -1) : `${line}\n`).join("");
    assert.equal(joined, `${"=C3=A9".repeat(100)}\n`);
  }
});

Deno.test("what is no 8bit is left alone, its header in place", () => {
  const lines = ["Content-Transfer-Encoding: 7bit", "Subject: x", "", "text = text "];
  assert.deepEqual(downgrade(lines), lines);
  const folded = ["Content-Transfer-Encoding:", "\tbase64", "Subject: x", "", "AAAA"];
  assert.deepEqual(downgrade(folded), folded);
  const none = ["Subject: x", "", "é"];
  assert.deepEqual(downgrade(none), ["Subject: x", "", "\xc3\xa9"]);
});

Deno.test("parts of multiparts are judged one by one, and the multipart says 7bit", () => {
  const lines = [
    'Content-Type: multipart/mixed; x=y; boundary="b=1"',
    BIT8,
    "",
    "preamble é",
    "--b=1",
    "Content-Type: text/plain",
    BIT8,
    "",
    "é",
    "--b=10",
    "--b=1",
    "Content-Type: text/plain",
    "",
    "= stays",
    "--b=1--",
    "epilogue =",
  ];
  assert.deepEqual(downgrade(lines), [
    'Content-Type: multipart/mixed; x=y; boundary="b=1"',
    "Content-Transfer-Encoding: 7bit",
    "",
    "preamble \xc3\xa9",
    "--b=1",
    "Content-Type: text/plain",
    QP,
    "",
    "=C3=A9",
    "--b=3D10",
    "--b=1",
    "Content-Type: text/plain",
    "",
    "= stays",
    "--b=1--",
    "epilogue =",
  ]);
});

Deno.test("messages inside messages and digests are followed", () => {
  assert.deepEqual(downgrade(["Content-Type: message/rfc822", BIT8, "", "Subject: inner", BIT8, "", "é"]), [
    "Content-Type: message/rfc822",
    "Content-Transfer-Encoding: 7bit",
    "",
    "Subject: inner",
    QP,
    "",
    "=C3=A9",
  ]);
  const digest = ["Content-Type: multipart/digest; boundary=d", "", "--d", "", BIT8, "", "é", "--d--"];
  assert.deepEqual(downgrade(digest).slice(3), ["", QP, "", "=C3=A9", "--d--"]);
});

Deno.test("RFC 2046 section 5.1.2: an inner boundary that is missing ends at the outer one", () => {
  const lines = [
    "Content-Type: multipart/mixed; boundary=out",
    "",
    "--out",
    "Content-Type: multipart/mixed; boundary=in",
    "",
    "--in",
    BIT8,
    "",
    "é",
    "--out",
    BIT8,
    "",
    "é",
    "--in",
    "--out--",
  ];
  assert.deepEqual(downgrade(lines).slice(6), [
    QP,
    "",
    "=C3=A9",
    "--out",
    QP,
    "",
    "=C3=A9",
    "--in",
    "--out--",
  ]);
});

Deno.test("a header without its empty line, and a message without a body, are brought to an end", () => {
  assert.deepEqual(downgrade([BIT8, "not a header é"]), [QP, "", "not a header =C3=A9"]);
  assert.deepEqual(downgrade([BIT8]), [QP]);
  assert.deepEqual(downgrade([]), []);
});

Deno.test("structures beyond reason are refused", () => {
  const nested = (depth: number) => {
    const lines: string[] = [];
    for (let i = 0; i < depth; i++) lines.push("Content-Type: message/rfc822", "");
    return [...lines, BIT8, "", "é"];
  };
  assert.equal(downgrade(nested(100)).at(-1), "=C3=A9");
  assert.throws(() => downgrade(nested(101)), MimeError);
  assert.throws(() => downgrade(["Content-Type: text/plain;", ` ${"x".repeat(60_000)}`, "", "x"]), MimeError);
});

Deno.test("random text never makes a line with 8-bit data in an entity that says 8bit", () => {
  let seed = 7;
  const next = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) >> 8;
  const words = ["--b", "--b--", BIT8, "", "é = x ", "Content-Type: text/plain", " folded", "x: y"];
  for (let round = 0; round < 500; round++) {
    const body = Array.from({ length: 20 }, () => words[next() % words.length]!).filter((line) =>
      !line.startsWith("--")
    );
    const lines = [BIT8, "", ...body];
    for (const line of downgrade(lines, 1 + next() % 9)) {
      assert.ok(line.length <= 76);
      for (const char of line) assert.ok(char < "\x7f", line);
    }
  }
});
