import assert from "node:assert/strict";
import { type LineOptions, readLines } from "../../commands/sendmail_lines.ts";

const OPTIONS: LineOptions = { pieceLimit: 8, dotEnds: true, fixLineEndings: "always" };

async function cut(text: string, size: number, options: Partial<LineOptions> = {}): Promise<string[]> {
  async function* input(): AsyncGenerator<Uint8Array> {
    const bytes = new TextEncoder().encode(text);
    for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
  }
  const out: string[] = [];
  for await (const piece of readLines(input(), { ...OPTIONS, ...options })) {
    out.push(new TextDecoder().decode(piece.bytes) + (piece.ends ? "$" : "+"));
  }
  return out;
}

const CASES: { name: string; text: string; options?: Partial<LineOptions>; pieces: string[] }[] = [
  { name: "nothing is no line", text: "", pieces: [] },
  { name: "an empty line is a line", text: "\n", pieces: ["$"] },
  { name: "a last line needs no line feed", text: "a\nb", pieces: ["a$", "b$"] },
  { name: "CR LF ends a line, and so do several CRs", text: "a\r\nb\r\r\n\r\n", pieces: ["a$", "b$", "$"] },
  { name: "a CR inside a line stays", text: "\ra\rb\n", pieces: ["\ra\rb$"] },
  { name: "a lone dot ends the input", text: "a\n.\nb\n", pieces: ["a$"] },
  { name: "a lone dot with CR LF ends the input", text: "a\r\n.\r\nb\n", pieces: ["a$"] },
  { name: "a lone dot without line end ends the input", text: "a\n.", pieces: ["a$"] },
  {
    name: "with -i a lone dot is text",
    text: "a\n.\nb\n",
    options: { dotEnds: false },
    pieces: ["a$", ".$", "b$"],
  },
  { name: "a dot with text behind it is text", text: ".a\n..\n", pieces: [".a$", "..$"] },
  { name: "a line of n bytes is one piece", text: "12345678\n", pieces: ["12345678$"] },
  { name: "a line of n + 1 bytes is two", text: "123456789\nx\n", pieces: ["12345678+", "9$", "x$"] },
  {
    name: "a dot at the start of a later piece is text",
    text: "12345678.\nx\n",
    pieces: ["12345678+", ".$", "x$"],
  },
  { name: "NUL is text", text: "a\0b\n", pieces: ["a\0b$"] },
  { name: "never: CR stays", text: "a\r\n", options: { fixLineEndings: "never" }, pieces: ["a\r$"] },
  {
    name: "strict: CR goes when the first line has it",
    text: "a\r\nb\r\n",
    options: { fixLineEndings: "strict" },
    pieces: ["a$", "b$"],
  },
  {
    name: "strict: CR stays when the first line has none",
    text: "a\nb\r\n",
    options: { fixLineEndings: "strict" },
    pieces: ["a$", "b\r$"],
  },
];

for (const { name, text, options, pieces } of CASES) {
  Deno.test(`lines of standard input: ${name}`, async () => {
    assert.deepEqual(await cut(text, 65536, options), pieces);
  });
}

Deno.test("lines of standard input are the same however the input is cut", async () => {
  let seed = 7;
  const random = (most: number) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % most;
  for (let round = 0; round < 300; round++) {
    const text = Array.from({ length: random(60) }, () => "ab.\r\n\0"[random(6)]).join("");
    const whole = (await cut(text, 65536)).join("").replaceAll("+", "");
    for (const size of [1, 2, 3, 7]) {
      assert.equal((await cut(text, size)).join("").replaceAll("+", ""), whole, JSON.stringify(text));
    }
  }
});
