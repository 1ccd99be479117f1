/** Replies in what came from a server. Not a test itself. @module */

/** The first whole reply, its lines joined by LF, and what stands behind it; undefined while it is not all there. */
export function takeReply(input: string): readonly [reply: string, rest: string] | undefined {
  for (let at = 0;;) {
    const end = input.indexOf("\r\n", at);
    if (end < 0) return undefined;
    const last = input[at + 3] !== "-";
    at = end + 2;
    if (last) return [input.slice(0, end).replaceAll("\r\n", "\n"), input.slice(at)];
  }
}
