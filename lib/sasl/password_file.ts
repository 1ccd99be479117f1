/**
 * The password file of small sites: `name:{SCHEME}hash` on each line, `#` begins a comment. What stands behind a third
 * colon is for others, as in Dovecot's passwd-file.
 *
 * @module
 */
// Utility
import { encodeText } from "../vstring/byte_builder.ts";
import { trimBlanks } from "../vstring/ascii.ts";
// SASL
import { parseEntry, type PasswordEntry } from "./password_entry.ts";
import { readName } from "./server_plain.ts";

/** Most users of one file; more is a case for Dovecot or a directory. */
const USERS_LIMIT = 10_000;

/** The users of a file, and what is wrong with lines of it. */
export interface PasswordFile {
  readonly users: ReadonlyMap<string, PasswordEntry>;
  readonly problems: readonly { readonly line: number; readonly text: string }[];
}

/** Reads a file's text. A line that is wrong is told of and left out. */
export function parsePasswordFile(text: string): PasswordFile {
  const users = new Map<string, PasswordEntry>();
  const problems: { line: number; text: string }[] = [];
  for (const [at, raw] of text.split("\n").entries()) {
    const line = trimBlanks(raw.endsWith("\r") ? raw.slice(0, -1) : raw);
    if (line === "" || line.startsWith("#")) continue;
    const wrong = (text: string) => problems.push({ line: at + 1, text });
    const colon = line.indexOf(":");
    const name = readName(encodeText(line.slice(0, Math.max(colon, 0))));
    const [stored = ""] = line.slice(colon + 1).split(":");
    const parsed = parseEntry(stored);
    if (name === undefined || name === "") wrong('expected "name:{SCHEME}hash"');
    else if (parsed.kind === "wrong") wrong(`"${name}": ${parsed.why}`);
    else if (users.has(name)) wrong(`"${name}" stands here twice: the first line counts`);
    else if (users.size >= USERS_LIMIT) {
      wrong(`more than ${USERS_LIMIT} users`);
      break;
    } else users.set(name, parsed.entry);
  }
  return { users, problems };
}
