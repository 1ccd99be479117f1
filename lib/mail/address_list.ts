/**
 * The right-hand side of the tables that replace addresses: canonical(5), virtual(5), generic(5). Commas, semicolons
 * and blanks separate addresses; names before angle brackets, groups and comments are passed over.
 *
 * @module
 */
import { joinAddress, quoteLocalpart, splitAddress, unquoteAddress } from "./address.ts";

/** The addresses of a table's value, internal form. Empty when it holds none. */
export function parseAddressList(value: string): string[] {
  return new ListReader(value).read().map((address) => unquoteAddress(address));
}

/**
 * The addresses that a table has for one, internal form, as they are before trivial-rewrite completes them.
 *
 * @param address what was looked up, internal form
 * @param value what the table holds
 * @param extension what the key that was found did not hold of the local part, with its delimiter
 * @param propagate the extension goes on to the results (propagate_unmatched_extensions)
 */
export function mapAddress(address: string, value: string, extension: string, propagate: boolean): string[] {
  // "@other.example" stands for the same user there, extension and all.
  if (value.startsWith("@")) return parseAddressList(quoteLocalpart(splitAddress(address).localpart) + value);
  const found = parseAddressList(value);
  return propagate && extension !== "" ? found.map((one) => withExtension(one, extension)) : found;
}

function withExtension(address: string, extension: string): string {
  const { localpart, domain } = splitAddress(address);
  return joinAddress(localpart + extension, domain);
}

/** Reads a value from its beginning to its end, once. */
class ListReader {
  readonly #value: string;
  #at = 0;
  /** Addresses that are certain. */
  readonly #found: string[] = [];
  /** Words since the last separator: addresses, unless they turn out to be a name. */
  #words: string[] = [];
  #word = "";

  constructor(value: string) {
    this.#value = value;
  }

  read(): string[] {
    while (this.#at < this.#value.length) this.#step(this.#value[this.#at]!);
    this.#endElement();
    return this.#found;
  }

  #step(character: string): void {
    switch (character) {
      case " ":
      case "\t":
      case "\r":
      case "\n":
        return this.#blank();
      case "(":
        this.#at = this.#behindComment();
        return;
      case ",":
      case ";":
        this.#at++;
        return this.#endElement();
      case ":":
        // The name of a group.
        this.#at++;
        return this.#dropWords();
      case "<":
        return this.#angle();
      case '"':
        return this.#take(this.#behind('"'));
      case "[":
        return this.#take(this.#behind("]"));
      case "\\":
        return this.#take(this.#at + 2);
      default:
        return this.#take(this.#at + 1);
    }
  }

  #take(end: number): void {
    this.#word += this.#value.slice(this.#at, end);
    this.#at = Math.min(end, this.#value.length);
  }

  /** A blank ends a word, but not around the `@` and the dots of an address. */
  #blank(): void {
    while (" \t\r\n".includes(this.#value[this.#at] ?? "x")) this.#at++;
    const next = this.#value[this.#at];
    const joins = next === "@" || next === "." || this.#word.endsWith("@") || this.#word.endsWith(".");
    if (!joins) this.#endWord();
  }

  /** What stands in angle brackets is the address; the words before it were a name. */
  #angle(): void {
    this.#dropWords();
    const end = this.#behind(">");
    const closed = this.#value[end - 1] === ">" && end - 1 > this.#at;
    this.#words.push(this.#value.slice(this.#at + 1, closed ? end - 1 : end));
    this.#at = end;
    this.#endElement();
  }

  /** Behind the character that closes what begins here; a backslash takes the next one's meaning. */
  #behind(close: string): number {
    let at = this.#at + 1;
    for (; at < this.#value.length && this.#value[at] !== close; at++) if (this.#value[at] === "\\") at++;
    return Math.min(at + 1, this.#value.length);
  }

  #behindComment(): number {
    let depth = 0;
    let at = this.#at;
    do {
      const character = this.#value[at++];
      if (character === "\\") at++;
      else if (character === "(") depth++;
      else if (character === ")") depth--;
    } while (depth > 0 && at < this.#value.length);
    return at;
  }

  #dropWords(): void {
    this.#word = "";
    this.#words = [];
  }

  #endWord(): void {
    if (this.#word !== "") this.#words.push(this.#word);
    this.#word = "";
  }

  #endElement(): void {
    this.#endWord();
    for (const word of this.#words) if (word !== "") this.#found.push(word);
    this.#words = [];
  }
}
