/** What the log says of recipients. Not a test itself. @module */
import assert from "node:assert/strict";
import { until } from "../commands/mail_system.ts";
import type { Postern } from "./postern.ts";
import { type Post, sendWithPython } from "./smtplib.ts";

/** Sends, and waits until each recipient has a line in the log; "dsn status (text" by recipient. */
export async function relay(postern: Postern, posts: readonly Post[]): Promise<Map<string, string>> {
  for (const { code, text } of await sendWithPython(postern.port, posts)) assert.equal(code, 250, text);
  const wanted = new Set(posts.flatMap(({ to }) => to));
  const found = new Map<string, string>();
  const look = () => {
    for (
      const [, to, dsn, status, text] of postern.log().matchAll(
        /to=<([^>]*)>, .*dsn=([^,]*), status=(\w+) (.*)/g,
      )
    ) {
      if (wanted.has(to!)) found.set(to!, `${dsn} ${status} ${text}`);
    }
    return found.size === wanted.size;
  };
  if (!await until(look)) throw postern.failure(`${found.size} of ${wanted.size} recipients`);
  return found;
}

/** Each recipient's line begins as it should. */
export function begins(found: ReadonlyMap<string, string>, expected: Readonly<Record<string, string>>): void {
  for (const [to, text] of Object.entries(expected)) {
    assert.ok(found.get(to)?.startsWith(text), `${to}: ${found.get(to)}`);
  }
}
