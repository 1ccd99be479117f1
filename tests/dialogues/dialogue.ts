/**
 * Dialogues with an SMTP server, as files. A line is
 *
 *     # text           a comment; the first one is the dialogue's name
 *     = name: value    a parameter, in words that both Postern and Postfix read: "yes", "5", "a, b"
 *     C: text          the client sends a line
 *     C| text          the same, in one segment with what follows
 *     C> text          the client sends bytes without a line end
 *     S: text          the server says this line; `*` at the end stands for anything
 *     P: text          and Postfix says this one in the place of the S: line before it
 *     S.               the server ends the session
 *     P.               Postfix ends it here
 *
 * In what a client sends `\xHH` is a byte and `\\` a backslash. Not a test itself.
 *
 * @module
 */
import assert from "node:assert/strict";
import { concat, utf8 } from "../support/bytes.ts";
import { SmtpClient } from "./smtp_client.ts";

/** Which server is talked to. */
export type Speaker = "postern" | "postfix";

/** A turn of the conversation. */
type Turn =
  | { readonly kind: "send"; readonly bytes: Uint8Array; readonly line: number }
  | { readonly kind: "hear"; readonly postern: string; postfix: string | undefined; readonly line: number }
  | { readonly kind: "end"; readonly of: Speaker | undefined; readonly line: number };

export interface Dialogue {
  readonly file: string;
  readonly name: string;
  readonly settings: ReadonlyMap<string, string>;
  readonly turns: readonly Turn[];
}

const DIRECTORY = new URL(".", import.meta.url);

/** Every dialogue of this directory. */
export function allDialogues(): Dialogue[] {
  return [...Deno.readDirSync(DIRECTORY)].map(({ name }) => name).filter((name) => name.endsWith(".smtp"))
    .sort()
    .map((name) => parseDialogue(name, Deno.readTextFileSync(new URL(name, DIRECTORY))));
}

/** Reads a dialogue; throws with file and line where it is none. */
export function parseDialogue(file: string, text: string): Dialogue {
  const settings = new Map<string, string>();
  const turns: Turn[] = [];
  let name: string | undefined;
  let pending: Uint8Array[] = [];
  text.split("\n").forEach((line, index) => {
    const at = index + 1;
    const bad = (why: string) => new Error(`${file}:${at}: ${why}`);
    const mark = line.slice(0, 2);
    const rest = line.slice(3);
    if (line === "") return;
    if (mark.startsWith("#")) name ??= line.slice(2);
    else if (mark === "= ") {
      const colon = line.indexOf(":");
      settings.set(line.slice(2, colon), line.slice(colon + 1).trim());
    } else if (mark === "C|" || mark === "C:" || mark === "C>") {
      pending.push(unescape(rest), utf8(mark === "C>" ? "" : "\r\n"));
      if (mark === "C|") return;
      turns.push({ kind: "send", bytes: concat(...pending), line: at });
      pending = [];
    } else if (mark === "S:") turns.push({ kind: "hear", postern: rest, postfix: undefined, line: at });
    else if (mark === "P:") {
      const last = turns.at(-1);
      if (last?.kind !== "hear" || last.postfix !== undefined) throw bad("P: without an S: line before it");
      last.postfix = rest;
    } else if (line === "S.") turns.push({ kind: "end", of: undefined, line: at });
    else if (line === "P.") turns.push({ kind: "end", of: "postfix", line: at });
    else throw bad(`line "${line}" is not known`);
  });
  if (name === undefined || pending.length > 0) {
    throw new Error(`${file}: has no name, or ends within a group`);
  }
  return { file, name, settings, turns };
}

function unescape(text: string): Uint8Array {
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const match of text.matchAll(/\\(x[0-9a-f]{2}|\\)/g)) {
    parts.push(utf8(text.slice(at, match.index)));
    const code = match[1] === "\\" ? 0x5c : parseInt(match[1]!.slice(1), 16);
    parts.push(Uint8Array.of(code));
    at = match.index + match[0].length;
  }
  parts.push(utf8(text.slice(at)));
  return concat(...parts);
}

/** Holds a dialogue with a server that has not been spoken to. */
export async function hold(dialogue: Dialogue, speaker: Speaker, port: number): Promise<void> {
  using client = await SmtpClient.connect(port);
  let heard: string[] = [];
  for (const turn of dialogue.turns) {
    const where = `${dialogue.file}:${turn.line}`;
    if (turn.kind === "send") {
      assert.deepEqual(heard, [], `${where}: the server has said more`);
      await client.send(turn.bytes);
    } else if (turn.kind === "hear") {
      if (heard.length === 0) heard = (await client.reply()).split("\n");
      const expected = speaker === "postfix" ? turn.postfix ?? turn.postern : turn.postern;
      compare(heard.shift() ?? "", expected, where);
    } else if (turn.of === undefined || turn.of === speaker) {
      assert.deepEqual(heard, [], `${where}: the server has said more`);
      assert.equal(await client.reply(), "", `${where}: the session goes on`);
      return;
    }
  }
  assert.deepEqual(heard, [], `${dialogue.file}: the server has said more`);
}

function compare(heard: string, expected: string, where: string): void {
  if (expected.endsWith("*")) {
    const start = expected.slice(0, -1);
    assert.equal(heard.slice(0, start.length), start, `${where}: ${heard}`);
  } else assert.equal(heard, expected, where);
}
