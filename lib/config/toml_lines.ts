/**
 * Where the keys of a TOML document stand, which the parser does not tell.
 *
 * @module
 */

/** Where a key or the header of a table stands. Offsets are UTF-16 units. */
export interface KeyMark {
  /** From 1 on. */
  readonly line: number;
  /** Of the first character of the key, or of the header's bracket. */
  readonly start: number;
  /** Behind the last character of the value, or of the header. */
  readonly end: number;
  /** Of the first character of the value; undefined for what has none of its own. */
  readonly value?: number;
}

/**
 * Every key and table by path: `smtpd_banner`, `variables.relay`, `service.0.parameters.smtpd_banner`. The document must
 * be one that the parser accepts.
 */
export function findKeys(document: string): ReadonlyMap<string, KeyMark> {
  return new KeyScanner(document).scan();
}

class KeyScanner {
  readonly #text: string;
  readonly #marks = new Map<string, KeyMark>();
  /** Number of elements so far of each array of tables. */
  readonly #arrays = new Map<string, number>();
  #at = 0;
  #line = 1;

  constructor(text: string) {
    this.#text = text;
  }

  scan(): ReadonlyMap<string, KeyMark> {
    let table = "";
    for (this.#skipSpace(); this.#at < this.#text.length; this.#skipSpace()) {
      if (this.#peek() === "[") table = this.#header();
      else this.#assignment(table);
    }
    return this.#marks;
  }

  #peek(): string {
    return this.#text[this.#at] ?? "";
  }

  #next(): string {
    const char = this.#peek();
    this.#at++;
    if (char === "\n") this.#line++;
    return char;
  }

  /** Blanks, line ends and comments. */
  #skipSpace(): void {
    while (this.#at < this.#text.length) {
      const char = this.#peek();
      if (char === "#") this.#skipLine();
      else if (char === " " || char === "\t" || char === "\r" || char === "\n") this.#next();
      else return;
    }
  }

  #skipLine(): void {
    while (this.#at < this.#text.length && this.#peek() !== "\n") this.#at++;
  }

  /** `[table]` or `[[array]]`; returns the path below which the next keys are. */
  #header(): string {
    const { line, start } = this.#here();
    this.#next();
    const array = this.#peek() === "[";
    if (array) this.#next();
    const keys = this.#keys();
    this.#at += array ? 2 : 1;
    const end = this.#at;
    this.#skipLine();
    let path = "";
    for (const key of keys.slice(0, -1)) path = this.#current(join(path, key));
    path = join(path, keys.at(-1) ?? "");
    if (array) {
      const index = this.#arrays.get(path) ?? 0;
      this.#arrays.set(path, index + 1);
      path = join(path, String(index));
    } else path = this.#current(path);
    this.#note(path, { line, start, end });
    return path;
  }

  #here(): KeyMark {
    return { line: this.#line, start: this.#at, end: this.#at };
  }

  /** The path of the last element for an array of tables, else the path. */
  #current(path: string): string {
    const count = this.#arrays.get(path);
    return count === undefined ? path : join(path, String(count - 1));
  }

  #note(path: string, mark: KeyMark): void {
    if (!this.#marks.has(path)) this.#marks.set(path, mark);
  }

  #assignment(table: string): void {
    const key = this.#here();
    let path = table;
    for (const part of this.#keys()) {
      path = join(path, part);
      this.#note(path, key);
    }
    this.#next();
    while (this.#peek() === " " || this.#peek() === "\t") this.#next();
    const value = this.#at;
    this.#value(path);
    this.#marks.set(path, { ...key, value, end: this.#at });
  }

  /** A dotted key, up to `=` or `]`. */
  #keys(): string[] {
    const keys: string[] = [];
    let key = "";
    for (;;) {
      const char = this.#peek();
      if (char === "" || char === "=" || char === "]" || char === "\n") break;
      if (char === '"' || char === "'") key += this.#string();
      else {
        this.#next();
        if (char === ".") {
          keys.push(key);
          key = "";
        } else if (char !== " " && char !== "\t" && char !== "\r") key += char;
      }
    }
    keys.push(key);
    return keys;
  }

  #value(path: string): void {
    const char = this.#peek();
    if (char === '"' || char === "'") this.#string();
    else if (char === "[") this.#array(path);
    else if (char === "{") this.#inlineTable(path);
    else this.#bare();
  }

  /** A number, a date, true or false. */
  #bare(): void {
    let end = this.#at;
    while (!/^[,\]}\n#]?$/.test(this.#peek())) {
      if (!/[ \t\r]/.test(this.#next())) end = this.#at;
    }
    this.#at = end;
  }

  #array(path: string): void {
    this.#next();
    for (let index = 0;; index++) {
      this.#skipSpace();
      if (this.#peek() === "]" || this.#peek() === "") break;
      this.#note(join(path, String(index)), this.#here());
      this.#value(join(path, String(index)));
      this.#skipSpace();
      if (this.#peek() === ",") this.#next();
    }
    this.#next();
  }

  #inlineTable(path: string): void {
    this.#next();
    for (;;) {
      this.#skipSpace();
      if (this.#peek() === "}" || this.#peek() === "") break;
      this.#assignment(path);
      this.#skipSpace();
      if (this.#peek() === ",") this.#next();
    }
    this.#next();
  }

  /** A string of any of the four kinds; returns what is between the quotes. */
  #string(): string {
    const quote = this.#next();
    const long = this.#text.startsWith(quote + quote, this.#at);
    if (long) this.#at += 2;
    const end = long ? quote.repeat(3) : quote;
    const start = this.#at;
    while (this.#at < this.#text.length && !this.#text.startsWith(end, this.#at)) {
      if (this.#next() === "\\" && quote === '"') this.#next();
    }
    const content = this.#text.slice(start, this.#at);
    this.#at += end.length;
    // Up to two quotes may stand before the three that close a long string.
    while (long && this.#peek() === quote) this.#at++;
    return content;
  }
}

function join(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}
